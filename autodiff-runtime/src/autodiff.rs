//! Reverse mode, Graph → Graph: the adjoints are ordinary nodes, planned and fused together with the forward pass.
//!
//! With shapes as sets of named axes one rule covers broadcasting: an adjoint has at least the axes that the loss's
//! dependence gives it, and a contribution to a node is summed over the axes which that node lacks. An adjoint may
//! have *fewer* axes than its node (it is the same along the missing ones).

use crate::graph::{Axes, Dtype, Graph, NodeId, Origin};
use crate::op::{Elem, Op, RandomKind, ReduceKind, derivative_missing, elementwise_derivative};
use std::collections::BTreeMap;

/// Why a gradient could not be formed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("no derivative: {what}")]
pub struct NoDerivative {
    /// The node whose derivative is missing.
    pub node: NodeId,
    /// Its source.
    pub origin: Origin,
    /// The operation, in words.
    pub what: String,
}

/// Adds the gradient of the scalar `loss` in each node of `wrt` and returns them in order, each over exactly the axes of
/// its node; zero where the loss does not depend on it.
///
/// Gradients do not flow through indices, [`Op::Stop`], comparisons, or the values of discrete draws.
pub fn gradients(g: &mut Graph, loss: NodeId, wrt: &[NodeId]) -> Result<Vec<NodeId>, NoDerivative> {
    let needed = needed_nodes(g, loss, wrt);
    let mut adjoints: BTreeMap<NodeId, NodeId> = BTreeMap::new();
    let one = g.constant(1.0);
    adjoints.insert(loss, one);
    for index in (0..=loss.0).rev() {
        let id = NodeId(index);
        let Some(&adjoint) = adjoints.get(&id) else { continue };
        if !needed[id.index()] {
            continue;
        }
        let op = g.node(id).op.clone();
        g.set_origin(g.node(id).origin);
        for (operand, part) in contributions(g, id, &op, adjoint, &needed)? {
            let part = reduce_to(g, part, operand);
            let sum = match adjoints.get(&operand) {
                Some(&before) => g.add(before, part),
                None => part,
            };
            adjoints.insert(operand, sum);
        }
    }
    Ok(wrt.iter().map(|w| finish(g, adjoints.get(w).copied(), *w)).collect())
}

fn finish(g: &mut Graph, adjoint: Option<NodeId>, of: NodeId) -> NodeId {
    let axes = g.axes_of(of).clone();
    let value = adjoint.unwrap_or_else(|| g.constant(0.0));
    g.broadcast(value, &axes)
}

/// Nodes that lie on a path from `wrt` to the loss.
fn needed_nodes(g: &Graph, loss: NodeId, wrt: &[NodeId]) -> Vec<bool> {
    let mut needed = vec![false; loss.index() + 1];
    for w in wrt.iter().filter(|w| **w <= loss) {
        needed[w.index()] = true;
    }
    for id in g.node_ids().take(loss.index() + 1) {
        let node = g.node(id);
        let flows = node.dtype == Dtype::Real && !matches!(node.op, Op::Stop(_));
        if flows && node.op.operands().iter().any(|o| needed[o.index()]) {
            needed[id.index()] = true;
        }
    }
    needed
}

/// Sums a contribution over the axes that the operand lacks.
fn reduce_to(g: &mut Graph, part: NodeId, operand: NodeId) -> NodeId {
    let extra = g.axes_of(part).minus(g.axes_of(operand));
    if extra.is_empty() { part } else { g.sum(part, extra) }
}

fn contributions(
    g: &mut Graph,
    id: NodeId,
    op: &Op,
    adjoint: NodeId,
    needed: &[bool],
) -> Result<Vec<(NodeId, NodeId)>, NoDerivative> {
    let want = |x: &NodeId| needed[x.index()];
    Ok(match op {
        Op::Elem(e, args) => return elementwise(g, id, *e, args, adjoint, needed),
        Op::Reduce { kind, input, over } if want(input) => {
            vec![(*input, reduction(g, id, *kind, *input, over, adjoint)?)]
        }
        Op::Contract { a, b, .. } => contraction(g, *a, *b, adjoint, needed),
        Op::Gather { table, index, axis } if want(table) => {
            let full = g.axes_of(id).clone();
            let values = g.broadcast(adjoint, &full);
            let keep = g.axes_of(*index).intersect(&g.axes_of(*table).without(*axis));
            vec![(*table, g.push(Op::ScatterAdd { values, index: *index, axis: *axis, keep }))]
        }
        Op::ScatterAdd { values, index, axis, .. } if want(values) => {
            let full = g.axes_of(id).clone();
            let table = g.broadcast(adjoint, &full);
            vec![(*values, g.gather(table, *index, *axis))]
        }
        Op::Rename { input, from, to } if want(input) => {
            let back = if g.axes_of(adjoint).contains(*to) { g.rename(adjoint, *to, *from) } else { adjoint };
            vec![(*input, back)]
        }
        Op::Broadcast { input, axes } if want(input) => {
            let full = g.broadcast(adjoint, axes);
            vec![(*input, full)]
        }
        Op::Random { kind: RandomKind::LogGamma, params, .. } if want(&params[0]) => {
            let slope = g.binary(Elem::LogGammaSampleGrad, id, params[0]);
            let axes = g.axes_of(id).clone();
            let part = g.mul(adjoint, slope);
            vec![(params[0], g.broadcast(part, &axes))]
        }
        _ => vec![],
    })
}

fn elementwise(
    g: &mut Graph,
    id: NodeId,
    e: Elem,
    args: &[NodeId],
    adjoint: NodeId,
    needed: &[bool],
) -> Result<Vec<(NodeId, NodeId)>, NoDerivative> {
    let axes = g.axes_of(id).clone();
    let mut parts = vec![];
    for (which, arg) in args.iter().enumerate() {
        if !needed[arg.index()] {
            continue;
        }
        if derivative_missing(e, which) {
            let what = format!("`{}` is not differentiable here", e.name());
            return Err(NoDerivative { node: id, origin: g.node(id).origin, what });
        }
        let part = match (e, which) {
            // A branch not taken passes no gradient, whatever its value: select, never multiply by zero.
            (Elem::Select, 1 | 2) => {
                let zero = g.constant(0.0);
                let (yes, no) = if which == 1 { (adjoint, zero) } else { (zero, adjoint) };
                g.select(args[0], yes, no)
            }
            (Elem::Add, _) | (Elem::Sub, 0) => adjoint,
            (Elem::Neg, _) | (Elem::Sub, _) => g.neg(adjoint),
            _ => match elementwise_derivative(g, e, args, id, which) {
                Some(slope) => g.mul(adjoint, slope),
                None => continue,
            },
        };
        parts.push((*arg, fill_lost_axes(g, part, &axes, *arg)));
    }
    Ok(parts)
}

/// A part that is the same along axes of the result which the operand lacks must still be counted once per element
/// there before it is summed away: broadcast along exactly those axes.
fn fill_lost_axes(g: &mut Graph, part: NodeId, result: &Axes, operand: NodeId) -> NodeId {
    let lost = result.minus(g.axes_of(operand));
    let axes = g.axes_of(part).union(&lost);
    g.broadcast(part, &axes)
}

fn reduction(
    g: &mut Graph,
    id: NodeId,
    kind: ReduceKind,
    input: NodeId,
    over: &Axes,
    adjoint: NodeId,
) -> Result<NodeId, NoDerivative> {
    Ok(match kind {
        // The same adjoint for every element: it simply lacks the reduced axes.
        ReduceKind::Sum => adjoint,
        ReduceKind::LogSumExp => {
            // d/dx log Σ exp x = exp(x − lse); where lse is −∞ (all elements −∞) the gradient is zero.
            let shifted = g.sub(input, id);
            let weight = g.exp(shifted);
            let lowest = g.constant(f64::NEG_INFINITY);
            let empty = g.binary(Elem::Eq, id, lowest);
            let zero = g.constant(0.0);
            let weight = g.select(empty, zero, weight);
            g.mul(adjoint, weight)
        }
        ReduceKind::Max | ReduceKind::Min => {
            // Ties share the gradient equally.
            let hit = g.binary(Elem::Eq, input, id);
            let n_hits = g.sum(hit, over.clone());
            let share = g.div(hit, n_hits);
            g.mul(adjoint, share)
        }
        ReduceKind::Prod => {
            // The product of the others, also where a factor is zero: divide only by factors that are not.
            let zero = g.constant(0.0);
            let one = g.constant(1.0);
            let is_zero = g.binary(Elem::Eq, input, zero);
            let n_zeros = g.sum(is_zero, over.clone());
            let n_other_zeros = g.sub(n_zeros, is_zero);
            let safe = g.select(is_zero, one, input);
            let product = g.reduce(ReduceKind::Prod, safe, over.clone());
            let rest = g.div(product, safe);
            let rest = g.select(n_other_zeros, zero, rest);
            g.mul(adjoint, rest)
        }
        ReduceKind::ArgMax => {
            let what = "an index has no derivative".to_owned();
            return Err(NoDerivative { node: id, origin: g.node(id).origin, what });
        }
    })
}

fn contraction(
    g: &mut Graph,
    a: NodeId,
    b: NodeId,
    adjoint: NodeId,
    needed: &[bool],
) -> Vec<(NodeId, NodeId)> {
    let mut parts = vec![];
    for (this, other) in [(a, b), (b, a)] {
        if !needed[this.index()] {
            continue;
        }
        let mine = g.axes_of(this).clone();
        // Every axis of the result that `this` lacks is one of `other`, so the product counts it even where the
        // adjoint does not vary; a contracted axis of `this` alone leaves a part that does not vary along it.
        let summed = g.axes_of(adjoint).union(g.axes_of(other)).minus(&mine);
        let part = if summed.is_empty() { g.mul(adjoint, other) } else { g.contract(adjoint, other, summed) };
        parts.push((this, part));
    }
    parts
}
