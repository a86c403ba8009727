//! Contractions as products of matrices.

use super::SlotId;
use super::layout::{merge, stride};
use super::sparsity::Sparsity;
use crate::graph::{Axes, AxisId, Graph, InputId, NodeId};
use crate::op::Op;

/// C\[m, n\] = Σₖ A\[m, k\] B\[k, n\], for each position along the batch dimensions; further contracted dimensions add up.
#[derive(Clone, PartialEq, Debug)]
pub struct Product {
    /// Left factor.
    pub a: SlotId,
    /// Right factor.
    pub b: SlotId,
    /// Result.
    pub c: SlotId,
    /// Sizes of m, n and k.
    pub size: [usize; 3],
    /// Steps of A per m and k.
    pub a_step: [usize; 2],
    /// Steps of B per k and n.
    pub b_step: [usize; 2],
    /// Steps of C per m and n.
    pub c_step: [usize; 2],
    /// Outer loops that give different parts of C: size and steps of A, B, C.
    pub batch: Vec<[usize; 4]>,
    /// Outer loops that add to the same part of C: size and steps of A and B.
    pub again: Vec<[usize; 3]>,
}

/// Product of a CSR matrix, or its transpose, with a dense one.
#[derive(Clone, PartialEq, Debug)]
pub struct SparseProduct {
    /// The input that gives the pattern.
    pub pattern: InputId,
    /// The non-zeros.
    pub values: SlotId,
    /// The dense factor.
    pub dense: SlotId,
    /// The result.
    pub to: SlotId,
    /// Whether the rows are summed (the transposed product) instead of the columns.
    pub transposed: bool,
    /// Size of the result's first dimension (rows, or columns if transposed) and of the second.
    pub size: [usize; 2],
    /// Steps of the dense factor per contracted element and per element of the result's second dimension.
    pub dense_step: [usize; 2],
    /// Steps of the result.
    pub to_step: [usize; 2],
}

/// How a contraction uses a sparse operand.
pub(super) struct SparseSide {
    pub pattern: InputId,
    pub sparse: NodeId,
    pub dense: NodeId,
    pub transposed: bool,
    pub free: Option<AxisId>,
}

/// Whether a contraction is a product of a sparse matrix and a dense one.
pub(super) fn sparse_side(g: &Graph, sparsity: &Sparsity, id: NodeId) -> Option<SparseSide> {
    let Op::Contract { a, b, over } = &g.node(id).op else { return None };
    [(*a, *b), (*b, *a)].into_iter().find_map(|(sparse, dense)| {
        let pattern = sparsity.pattern(sparse)?;
        if sparsity.pattern(dense).is_some() {
            return None;
        }
        let axes = g.inputs()[pattern.index()].axes.clone();
        let [row, col] = [axes.as_slice()[0], axes.as_slice()[1]];
        let transposed = *over == Axes::from(row);
        if !transposed && *over != Axes::from(col) {
            return None;
        }
        let rest = g.axes_of(dense).minus(over);
        let free = rest.iter().next();
        let fits = rest.len() <= 1 && rest.intersect(&axes).is_empty();
        fits.then_some(SparseSide { pattern, sparse, dense, transposed, free })
    })
}

/// Plans a product with a sparse operand.
pub(super) fn plan_sparse(
    g: &Graph,
    id: NodeId,
    side: &SparseSide,
    slot: impl Fn(NodeId) -> SlotId,
) -> SparseProduct {
    let axes = &g.inputs()[side.pattern.index()].axes;
    let [row, col] = [axes.as_slice()[0], axes.as_slice()[1]];
    let (kept, summed) = if side.transposed { (col, row) } else { (row, col) };
    let (dense, out) = (g.axes_of(side.dense), g.axes_of(id));
    let along = |axes: &Axes| side.free.map_or(1, |f| stride(g, axes, f));
    SparseProduct {
        pattern: side.pattern,
        values: slot(side.sparse),
        dense: slot(side.dense),
        to: slot(id),
        transposed: side.transposed,
        size: [g.size(kept), side.free.map_or(1, |f| g.size(f))],
        dense_step: [stride(g, dense, summed), along(dense)],
        to_step: [stride(g, out, kept), along(out)],
    }
}

/// Plans a product of dense operands.
pub(super) fn plan_dense(
    g: &Graph,
    id: NodeId,
    a: NodeId,
    b: NodeId,
    over: &Axes,
    slot: impl Fn(NodeId) -> SlotId,
) -> Product {
    let (xa, xb, xc) = (g.axes_of(a), g.axes_of(b), g.axes_of(id));
    let dims = |axes: &Axes| {
        let of = |x: AxisId| vec![stride(g, xa, x), stride(g, xb, x), stride(g, xc, x)];
        let list: Vec<(usize, Vec<usize>)> = axes.iter().map(|x| (g.size(x), of(x))).collect();
        merge(list, 0)
    };
    let both = xa.intersect(xb).minus(over);
    let mut m = dims(&xa.minus(&both).minus(over));
    let mut n = dims(&xb.minus(&both).minus(over));
    let mut k = dims(over);
    let mut batch = dims(&both);
    let (m0, n0, k0) = (take_largest(&mut m), take_largest(&mut n), take_largest(&mut k));
    batch.extend(m);
    batch.extend(n);
    Product {
        a: slot(a),
        b: slot(b),
        c: slot(id),
        size: [m0.0, n0.0, k0.0],
        a_step: [m0.1[0], k0.1[0]],
        b_step: [k0.1[1], n0.1[1]],
        c_step: [m0.1[2], n0.1[2]],
        batch: batch.iter().map(|(s, t)| [*s, t[0], t[1], t[2]]).collect(),
        again: k.iter().map(|(s, t)| [*s, t[0], t[1]]).collect(),
    }
}

fn take_largest(dims: &mut Vec<(usize, Vec<usize>)>) -> (usize, Vec<usize>) {
    let largest = dims.iter().enumerate().max_by_key(|(_, d)| d.0).map(|(i, _)| i);
    largest.map_or((1, vec![1, 1, 1]), |i| dims.remove(i))
}
