//! Keeps what is added at non-zeros apart from the dense rest for as long as only linear operations follow.
//!
//! With d dense and s zero wherever a CSR input is: (d + s) ± (d' + s') = (d ± d') + (s ± s'), (d + s) · r = d·r + s·r,
//! and sums add up part by part. So s is worked on at its non-zeros, and meets d once, at the end, or never.

use super::sparsity::Sparsity;
use crate::graph::{Graph, InputId, NodeId};
use crate::op::{Elem, Op, ReduceKind};
use crate::rewrite::Copier;
use std::collections::BTreeMap;

/// A value as dense + sparse, in the new graph.
#[derive(Clone, Copy)]
struct Pair {
    dense: NodeId,
    sparse: NodeId,
    pattern: InputId,
}

/// The graph with sums of dense and sparse values kept as pairs.
pub(super) fn separate(g: &Graph) -> Graph {
    let sparsity = Sparsity::of(g);
    let mut pairs: BTreeMap<NodeId, Pair> = BTreeMap::new();
    Copier::new(g).run(|c, id| {
        if let Op::Reduce { kind: ReduceKind::Sum, input, over } = &g.node(id).op
            && let Some(p) = pairs.get(input)
        {
            let axes = g.axes_of(*input);
            let dense = c.new.broadcast(p.dense, axes);
            let (d, s) = (c.new.sum(dense, over.clone()), c.new.sum(p.sparse, over.clone()));
            return c.new.add(d, s);
        }
        if let Some(p) = pair_of(c, g, &sparsity, &pairs, id) {
            pairs.insert(id, p);
            return c.new.add(p.dense, p.sparse);
        }
        let op = c.moved(id);
        c.new.push(op)
    })
}

/// An operand as its dense part, its sparse part, or both.
struct Parts {
    dense: Option<NodeId>,
    sparse: Option<NodeId>,
}

fn pair_of(
    c: &mut Copier<'_>,
    g: &Graph,
    sparsity: &Sparsity,
    pairs: &BTreeMap<NodeId, Pair>,
    id: NodeId,
) -> Option<Pair> {
    let Op::Elem(f, args) = &g.node(id).op else { return None };
    if sparsity.pattern(id).is_some() {
        return None;
    }
    let pattern =
        args.iter().find_map(|a| pairs.get(a).map(|p| p.pattern).or_else(|| sparsity.pattern(*a)))?;
    let axes = &g.inputs()[pattern.index()].axes;
    if g.axes_of(id) != axes {
        return None;
    }
    let parts = |c: &Copier<'_>, a: NodeId| match (pairs.get(&a), sparsity.pattern(a)) {
        (Some(p), _) if p.pattern == pattern => Parts { dense: Some(p.dense), sparse: Some(p.sparse) },
        (_, Some(p)) if p == pattern => Parts { dense: None, sparse: Some(c.at(a)) },
        _ => Parts { dense: Some(c.at(a)), sparse: None },
    };
    let list: Vec<Parts> = args.iter().map(|a| parts(c, *a)).collect();
    let (dense, sparse) = match (f, &list[..]) {
        (Elem::Add | Elem::Sub, [a, b]) => {
            (combined(&mut c.new, *f, a.dense, b.dense), combined(&mut c.new, *f, a.sparse, b.sparse))
        }
        (Elem::Neg, [a]) => (a.dense.map(|x| c.new.neg(x)), a.sparse.map(|x| c.new.neg(x))),
        (
            Elem::Mul | Elem::Div,
            [Parts { dense: Some(d), sparse: Some(s) }, Parts { dense: Some(r), sparse: None }],
        ) => {
            let (d, s, r) = (*d, *s, *r);
            (Some(c.new.binary(*f, d, r)), Some(c.new.binary(*f, s, r)))
        }
        (Elem::Mul, [Parts { dense: Some(r), sparse: None }, Parts { dense: Some(d), sparse: Some(s) }]) => {
            let (d, s, r) = (*d, *s, *r);
            (Some(c.new.mul(r, d)), Some(c.new.mul(r, s)))
        }
        _ => return None,
    };
    Some(Pair { dense: dense?, sparse: sparse?, pattern })
}

fn combined(g: &mut Graph, f: Elem, a: Option<NodeId>, b: Option<NodeId>) -> Option<NodeId> {
    match (a, b) {
        (Some(a), Some(b)) => Some(g.binary(f, a, b)),
        (None, Some(b)) if f == Elem::Sub => Some(g.neg(b)),
        (a, b) => a.or(b),
    }
}
