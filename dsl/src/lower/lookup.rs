//! Values by their place: categories and indices, subset axes, labels, other rows of a field.

use super::{FieldValue, Lowerer};
use crate::compiled::{FeedSpec, SlotKind};
use crate::model::{AxisNo, ExprId, ExprKind, FieldNo};
use crate::source::Span;
use autodiff_runtime::graph::Dtype;
use autodiff_runtime::{Axes, AxisId, Elem, NodeId, ReduceKind};

impl Lowerer<'_> {
    pub(super) fn index(&mut self, base: ExprId, index: ExprId, axis: AxisNo) -> NodeId {
        if let ExprKind::Field(at) = self.m.expr(index).kind
            && self.m.plate == Some(axis)
        {
            return self.rows_at(base, at);
        }
        let table = self.expr(base);
        let axis = self.axis(axis);
        self.index_of(table, index, axis)
    }

    /// A value at an index along an axis that is not the minibatch's.
    pub(super) fn index_of(&mut self, table: NodeId, index: ExprId, axis: AxisId) -> NodeId {
        let table = self.along(table, axis);
        let value = match self.m.expr(index).kind {
            ExprKind::Const(place) => FieldValue::Code(place as usize),
            _ => self.code(index),
        };
        self.look_up(table, value, axis)
    }

    /// The value of a category.
    pub(super) fn code(&mut self, id: ExprId) -> FieldValue {
        match self.m.expr(id).kind {
            ExprKind::Field(f) => self.field(f),
            ExprKind::Labels(a) => FieldValue::All(self.axis(a)),
            ExprKind::Site(s) => {
                let value = self.sample(s).value;
                match self.enumerated(s).filter(|a| *self.g.axes_of(value) == Axes::from(*a)) {
                    Some(axis) => FieldValue::All(axis),
                    None if self.soft(s) => FieldValue::Soft(value),
                    None => FieldValue::Node(value),
                }
            }
            _ => FieldValue::Node(self.expr(id)),
        }
    }

    /// A field as a value: codes held by `given`, or of a category with one label, are indices too.
    pub(super) fn field_value(&mut self, f: FieldNo) -> NodeId {
        let axis = self.m.fields[f].ty.of;
        match (self.field(f), axis) {
            (FieldValue::Node(n), _) => n,
            (FieldValue::Code(code), Some(a)) => self.index_constant(code, self.axis(a)),
            (FieldValue::Code(code), None) => self.g.constant(code as f64),
            (_, Some(a)) => self.index_constant(0, self.axis(a)),
            (_, None) => self.g.constant(0.0),
        }
    }

    /// The place of a label of an axis.
    fn index_constant(&mut self, code: usize, axis: AxisId) -> NodeId {
        let hot = self.one_hot(code, axis);
        self.g.reduce(ReduceKind::ArgMax, hot, axis)
    }

    /// `table` at the value of a category.
    pub(super) fn look_up(&mut self, table: NodeId, value: FieldValue, axis: AxisId) -> NodeId {
        match value {
            FieldValue::Node(index) => self.g.gather(table, index, axis),
            FieldValue::Code(code) => {
                let hot = self.one_hot(code, axis);
                self.g.contract(table, hot, axis)
            }
            FieldValue::Single => self.g.sum(table, axis),
            FieldValue::Soft(weights) => self.g.contract(table, weights, axis),
            // Each label in its place: nothing is moved.
            FieldValue::All(all) if all == axis => table,
            FieldValue::All(all) if !self.g.axes_of(table).contains(all) => self.g.rename(table, axis, all),
            FieldValue::All(all) => {
                let places = self.g.iota(all);
                self.g.gather(table, places, axis)
            }
        }
    }

    /// 1 at one label of an axis, else 0.
    pub(super) fn one_hot(&mut self, code: usize, axis: AxisId) -> NodeId {
        let places = self.g.iota(axis);
        let places = self.g.to_real(places);
        let code = self.g.constant(code as f64);
        self.g.binary(Elem::Eq, places, code)
    }

    /// A field, or whether it is known, at the rows of the data set that an index field names.
    fn rows_at(&mut self, base: ExprId, at: FieldNo) -> NodeId {
        let (f, known) = match self.m.expr(base).kind {
            ExprKind::Field(f) => (f, false),
            ExprKind::Known(f) => (f, true),
            _ => return self.expr(base),
        };
        let (decl, index) = (self.m.fields[f].clone(), self.m.fields[at].clone());
        if !known && matches!(self.field(f), FieldValue::Single | FieldValue::Code(_)) {
            return self.expr(base);
        }
        let own: Vec<AxisNo> = decl.ty.axes.iter().copied().filter(|a| Some(*a) != self.m.plate).collect();
        let of_index: Vec<AxisNo> = index.ty.axes.iter().copied().collect();
        let axes = self.axes_of(own.iter().chain(&of_index).copied());
        let last = |axes: &[AxisNo]| axes.iter().filter(|a| Some(**a) != self.m.plate).max().copied();
        let own_first = last(&own).is_some_and(|a| last(&of_index).is_some_and(|b| a < b));
        let (field, index) = (decl.slot.name.clone(), index.slot.name);
        let name = format!("{}{field} at {index}", if known { "known " } else { "" });
        let labels = decl.slot.kind == SlotKind::Category && !known;
        let dtype = if labels { Dtype::Index } else { Dtype::Real };
        self.input(&name, FeedSpec::FieldAt { field, index, known, own_first }, axes, dtype, false)
    }

    /// Where the labels of a subset axis stand on the axis that it lies within.
    pub(super) fn positions(&mut self, a: AxisNo) -> NodeId {
        let name = self.m.axis_name(a).to_owned();
        let axes = Axes::from(self.axis(a));
        self.input(&format!("within {name}"), FeedSpec::Within(name), axes, Dtype::Index, false)
    }

    /// The code of a label of a category.
    pub(super) fn label(&mut self, f: FieldNo, label: String) -> NodeId {
        let field = self.m.fields[f].slot.name.clone();
        let name = format!("label {field} {label}");
        self.input(&name, FeedSpec::Label { field, label }, Axes::none(), Dtype::Real, false)
    }

    /// Values side by side along a labelled axis.
    pub(super) fn stack(&mut self, axis: AxisNo, parts: &[ExprId], span: Span) -> NodeId {
        let values: Vec<NodeId> = parts.iter().map(|p| self.expr(*p)).collect();
        self.at(span);
        let axis = self.axis(axis);
        let places = self.g.iota(axis);
        let places = self.g.to_real(places);
        let mut out = values[values.len() - 1];
        for (k, value) in values.iter().enumerate().rev().skip(1) {
            let k = self.g.constant(k as f64);
            let here = self.g.binary(Elem::Eq, places, k);
            out = self.g.push(autodiff_runtime::Op::Elem(Elem::Select, vec![here, *value, out]));
        }
        let full = self.g.axes_of(out).with(axis);
        self.g.broadcast(out, &full)
    }
}
