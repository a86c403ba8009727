//! Brings a graph into the form that the planner covers. Done at every level; the numbers change by rounding at most.
//!
//! What is true afterwards:
//! - a contraction sums only axes that both operands have, and at least one;
//! - a reduction runs along the last axis, or along others but not the last, or is a sum along all;
//! - no `Stop`; roots are computed values, not inputs, variables or constants;
//! - a value sparse like a CSR input is used only where the planner takes it so (see [`super::sparsity`]).

use super::product::sparse_side;
use super::separate::separate;
use super::sparsity::Sparsity;
use crate::graph::{Axes, Graph, InputId, NodeId};
use crate::op::{Op, ReduceKind};
use crate::rewrite::Copier;

/// The legal form of a graph.
pub(super) fn legalise(g: &Graph, fuse: bool) -> Graph {
    let split = Copier::new(g).run(|c, id| match c.moved(id) {
        Op::Stop(x) => x,
        Op::Reduce { kind, input, over } => reduce(&mut c.new, kind, input, over),
        Op::Contract { a, b, over } => contract(&mut c.new, a, b, &over),
        op => c.new.push(op),
    });
    let split = if fuse { separate(&split) } else { split };
    let sparsity = Sparsity::of(&split);
    let dense = densify(&split, &sparsity);
    own_roots(&dense)
}

fn contract(g: &mut Graph, a: NodeId, b: NodeId, over: &Axes) -> NodeId {
    let lone = |g: &mut Graph, x: NodeId, other: NodeId| {
        let extra = over.intersect(g.axes_of(x)).minus(g.axes_of(other));
        if extra.is_empty() { x } else { reduce(g, ReduceKind::Sum, x, extra) }
    };
    let (a, b) = (lone(g, a, b), lone(g, b, a));
    let shared = over.intersect(g.axes_of(a)).intersect(g.axes_of(b));
    if shared.is_empty() { g.mul(a, b) } else { g.contract(a, b, shared) }
}

fn reduce(g: &mut Graph, kind: ReduceKind, input: NodeId, over: Axes) -> NodeId {
    let axes = g.axes_of(input).clone();
    if over.is_empty() {
        // A reduction of single elements: each is its own sum, product, extreme and log Σ exp.
        return if kind == ReduceKind::ArgMax { g.reduce(kind, input, over) } else { input };
    }
    let last = axes.as_slice()[axes.len() - 1];
    let whole_sum = kind == ReduceKind::Sum && over == axes;
    if kind == ReduceKind::ArgMax || over.len() == 1 || whole_sum || !over.contains(last) {
        return g.reduce(kind, input, over);
    }
    let rest = over.without(last);
    let part = g.reduce(kind, input, last);
    reduce(g, kind, part, rest)
}

/// Puts a dense copy between a sparse value and each user that needs every element.
fn densify(g: &Graph, sparsity: &Sparsity) -> Graph {
    let mut copies: Vec<Option<NodeId>> = vec![None; g.nodes().len()];
    Copier::new(g).run(|c, id| {
        let keep = accepted(g, sparsity, id);
        let op = g.node(id).op.map_operands(|o| {
            let new = c.at(o);
            match sparsity.pattern(o) {
                Some(p) if keep != Some(p) => {
                    *copies[o.index()].get_or_insert_with(|| dense_copy(&mut c.new, new))
                }
                _ => new,
            }
        });
        c.new.push(op)
    })
}

fn dense_copy(g: &mut Graph, x: NodeId) -> NodeId {
    let axes = g.axes_of(x).clone();
    g.push(Op::Broadcast { input: x, axes })
}

/// The pattern of which a node takes operands as they are.
fn accepted(g: &Graph, sparsity: &Sparsity, id: NodeId) -> Option<InputId> {
    let node = g.node(id);
    match &node.op {
        Op::Elem(_, args) => {
            let first = args.iter().find_map(|a| sparsity.pattern(*a));
            let wanted = sparsity.pattern(id).or(first)?;
            (g.inputs()[wanted.index()].axes == node.axes).then_some(wanted)
        }
        Op::Reduce { kind, input, over } => {
            let last = g.axes_of(*input).iter().next_back()?;
            let row = *over == Axes::from(last) && *kind != ReduceKind::ArgMax;
            if row || *kind == ReduceKind::Sum { sparsity.pattern(*input) } else { None }
        }
        Op::Broadcast { input, axes } if g.axes_of(*input) == axes => sparsity.pattern(*input),
        Op::Contract { .. } => sparse_side(g, sparsity, id).map(|s| s.pattern),
        _ => None,
    }
}

/// Copies inputs, variables, constants and sparse values that are results.
fn own_roots(g: &Graph) -> Graph {
    let sparsity = Sparsity::of(g);
    let mut new = g.clone();
    let own = |g: &mut Graph, id: NodeId| {
        let leaf = matches!(g.node(id).op, Op::Input(_) | Op::Variable(_) | Op::Const(_) | Op::Iota(_));
        if leaf || sparsity.pattern(id).is_some() { dense_copy(g, id) } else { id }
    };
    let outputs = g.outputs().iter().map(|(n, id)| (n.clone(), own(&mut new, *id))).collect();
    let updates = g.updates().iter().map(|(v, id)| (*v, own(&mut new, *id))).collect();
    new.set_roots(outputs, updates);
    new
}
