//! Steps that walk arrays by strides: what is neither fused nor a product.

use super::SlotId;
use super::layout::{merge, stride};
use crate::graph::{Axes, AxisId, Dtype, Graph, NodeId};
use crate::op::{Op, RandomKind, ReduceKind};

/// Nested loops: each dimension's size and the step of every value along it.
pub type WalkDims = Vec<(usize, Vec<usize>)>;

/// to\[outer\] = reduction of from\[outer, over\].
#[derive(Clone, PartialEq, Debug)]
pub struct StridedReduce {
    /// How.
    pub kind: ReduceKind,
    /// Operand.
    pub from: SlotId,
    /// Result, walked in order.
    pub to: SlotId,
    /// Loops of the result; steps of the operand.
    pub outer: WalkDims,
    /// Loops of the reduction; steps of the operand.
    pub over: WalkDims,
}

/// to\[dims\] = from\[dims\], to walked in order.
#[derive(Clone, PartialEq, Debug)]
pub struct StridedCopy {
    /// Operand.
    pub from: SlotId,
    /// Result.
    pub to: SlotId,
    /// Loops; steps of the operand.
    pub dims: WalkDims,
}

/// to\[dims\] = data\[dims, index\[dims\]\], or with `add`: to\[dims, index\[dims\]\] += data\[dims\] from zero.
#[derive(Clone, PartialEq, Debug)]
pub struct Lookup {
    /// Whether values are added at the index instead of read there.
    pub add: bool,
    /// Table or values.
    pub data: SlotId,
    /// Indices.
    pub index: SlotId,
    /// Result.
    pub to: SlotId,
    /// Loops; steps of data, index and result.
    pub dims: WalkDims,
    /// Step along the axis looked up.
    pub axis_step: usize,
    /// Its size.
    pub axis_size: usize,
}

/// Draws.
#[derive(Clone, PartialEq, Debug)]
pub struct Draw {
    /// Distribution.
    pub kind: RandomKind,
    /// Number of the site.
    pub stream: u32,
    /// Result.
    pub to: SlotId,
    /// Row numbers.
    pub rows: Option<SlotId>,
    /// Parameters.
    pub params: Vec<SlotId>,
    /// Loops; steps of the result, of the position within a row, of the row numbers, and of each parameter.
    pub dims: WalkDims,
    /// For a multinomial, its axis: size, step of the result and step of the probabilities.
    pub event: Option<[usize; 3]>,
}

fn dims(g: &Graph, axes: &Axes, of: &[&Axes]) -> WalkDims {
    let strides = |x: AxisId| of.iter().map(|axes| stride(g, axes, x)).collect();
    merge(axes.iter().map(|x| (g.size(x), strides(x))).collect(), 0)
}

/// Plans a reduction.
pub(super) fn plan_reduce(
    g: &Graph,
    id: NodeId,
    kind: ReduceKind,
    input: NodeId,
    over: &Axes,
    slot: impl Fn(NodeId) -> SlotId,
) -> StridedReduce {
    let full = g.axes_of(input);
    StridedReduce {
        kind,
        from: slot(input),
        to: slot(id),
        outer: dims(g, g.axes_of(id), &[full]),
        over: dims(g, over, &[full]),
    }
}

/// Plans a copy: a broadcast, or a rename that changes the order of storage.
pub(super) fn plan_copy(
    g: &Graph,
    id: NodeId,
    input: NodeId,
    renamed: Option<(AxisId, AxisId)>,
    slot: impl Fn(NodeId) -> SlotId,
) -> StridedCopy {
    let full = g.axes_of(input);
    let back = |x: AxisId| match renamed {
        Some((from, to)) if to == x => from,
        _ => x,
    };
    let list = g.axes_of(id).iter().map(|x| (g.size(x), vec![stride(g, full, back(x))])).collect();
    StridedCopy { from: slot(input), to: slot(id), dims: merge(list, 0) }
}

/// Plans a look-up or a scattered addition.
pub(super) fn plan_lookup(g: &Graph, id: NodeId, slot: impl Fn(NodeId) -> SlotId) -> Option<Lookup> {
    let (add, data, index, axis) = match &g.node(id).op {
        Op::Gather { table, index, axis } => (false, *table, *index, *axis),
        Op::ScatterAdd { values, index, axis, .. } => (true, *values, *index, *axis),
        _ => return None,
    };
    let (out, from, ix) = (g.axes_of(id), g.axes_of(data), g.axes_of(index));
    let walked = if add { from.union(ix) } else { out.clone() };
    Some(Lookup {
        add,
        data: slot(data),
        index: slot(index),
        to: slot(id),
        dims: dims(g, &walked, &[from, ix, out]),
        axis_step: stride(g, if add { out } else { from }, axis),
        axis_size: g.size(axis),
    })
}

/// Plans draws.
pub(super) fn plan_draw(g: &Graph, id: NodeId, slot: impl Fn(NodeId) -> SlotId) -> Option<Draw> {
    let Op::Random { kind, params, stream, axes, rows } = &g.node(id).op else { return None };
    let row_axis = rows.map(|r| g.axes_of(r).clone()).unwrap_or_default();
    let own = axes.minus(&row_axis);
    let event = if let RandomKind::Multinomial(a) = kind { Axes::from(*a) } else { Axes::none() };
    let mut of = vec![axes, &own, &row_axis];
    of.extend(params.iter().map(|p| g.axes_of(*p)));
    let event =
        event.iter().next().map(|a| [g.size(a), stride(g, axes, a), stride(g, g.axes_of(params[1]), a)]);
    let outer = match kind {
        RandomKind::Multinomial(a) => axes.without(*a),
        _ => axes.clone(),
    };
    Some(Draw {
        kind: *kind,
        stream: *stream,
        to: slot(id),
        rows: rows.map(&slot),
        params: params.iter().map(|p| slot(*p)).collect(),
        dims: dims(g, &outer, &of),
        event,
    })
}

/// Whether renaming leaves the order of storage as it is.
pub(super) fn keeps_order(g: &Graph, input: NodeId, from: AxisId, to: AxisId) -> bool {
    let axes = g.axes_of(input);
    let rank = |axes: &Axes, a: AxisId| axes.iter().filter(|x| *x < a && *x != from && *x != to).count();
    rank(axes, from) == rank(axes, to)
}

/// Whether a value holds indices.
pub(super) fn is_index(g: &Graph, id: NodeId) -> bool {
    g.node(id).dtype == Dtype::Index
}
