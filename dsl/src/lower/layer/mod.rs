//! Layers to nodes and variables. Initial values follow `U(−1/√in, 1/√in)` for linear maps, where `in` counts every
//! column, those of conditions included, unless the source says otherwise.

mod attention;
mod conv;
mod gcn;
mod linear;
mod norm;

use super::{FieldValue, Lowerer};
use crate::compiled::{DimRole, Init, VariableKind};
use crate::model::{AxisNo, ExprId, Layer};
use crate::source::Span;
use autodiff_runtime::{AxisId, Elem, NodeId};

impl Lowerer<'_> {
    pub(super) fn layer(&mut self, layer: &Layer, span: Span) -> NodeId {
        match layer {
            Layer::Linear(l) => self.linear(l, span),
            Layer::BatchNorm { path, arg, axis, eps, momentum } => {
                let x = self.expr(*arg);
                self.at(span);
                let axis = self.axis(*axis);
                self.batch_norm(path, x, axis, (*eps, *momentum))
            }
            Layer::LayerNorm { path, arg, axis, eps } => {
                let x = self.expr(*arg);
                self.at(span);
                let axis = self.axis(*axis);
                self.layer_norm(path.as_deref(), x, axis, *eps)
            }
            Layer::Dropout { path, arg, rate } => {
                let x = self.expr(*arg);
                self.at(span);
                self.dropout(path, x, *rate)
            }
            Layer::Activation(a, arg) => {
                let x = self.expr(*arg);
                self.at(span);
                self.activation(*a, x)
            }
            Layer::Embed { path, index, out, init } => self.embed(path, *index, *out, *init, span),
            Layer::Split { path, arg, axis, split } => {
                self.split(path.as_deref(), *arg, (*axis, *split), span)
            }
            Layer::Attention(a) => self.attention(a, span),
            Layer::Conv(t) => self.conv_tower(t, span),
            Layer::Gcn(c) => self.gcn(c, span),
        }
    }

    /// An axis inside a layer, one for each path and name, so that two uses of a layer share their variables.
    fn inner_axis(&mut self, path: &str, name: &str, size: usize) -> AxisId {
        let key = format!("{path} {name}");
        if let Some(&a) = self.inner.get(&key) {
            return a;
        }
        let a = self.g.add_axis(name, size);
        self.inner.insert(key, a);
        a
    }

    fn embed(&mut self, path: &str, index: ExprId, out: AxisNo, init: Init, span: Span) -> NodeId {
        let of = self.m.expr(index).ty.of;
        self.at(span);
        let out = self.axis(out);
        let Some(no) = of else { return self.g.constant(0.0) };
        let labels = self.axis(no);
        let labels = self.beside(labels, [out]);
        let dims = [(labels, DimRole::In), (out, DimRole::Out)];
        let table = self.variable(&format!("{path}.weight"), &dims, init, VariableKind::Trained);
        self.index_of(table, index, labels)
    }

    /// 1 at the label of a category, along the axis of its labels.
    pub(super) fn label_hot(&mut self, index: ExprId, axis: AxisNo, span: Span) -> NodeId {
        let axis = self.axis(axis);
        let value = self.code(index);
        self.at(span);
        let places = self.g.iota(axis);
        match value {
            FieldValue::Node(index) => self.g.binary(Elem::Eq, places, index),
            FieldValue::Code(code) => self.one_hot(code, axis),
            FieldValue::Single => self.one_hot(0, axis),
            FieldValue::Soft(weights) => weights,
            FieldValue::All(all) => {
                let label = self.g.iota(all);
                self.g.binary(Elem::Eq, places, label)
            }
        }
    }

    /// y[k, ·] of block k: Σ over the elements of the block of x · W, or x among zeros. One row of W serves one block, so
    /// that W is as large as one map of the whole axis.
    fn split(
        &mut self,
        path: Option<&str>,
        arg: ExprId,
        (axis, split): (AxisNo, AxisNo),
        span: Span,
    ) -> NodeId {
        let x = self.expr(arg);
        self.at(span);
        let (axis, split) = (self.axis(axis), self.axis(split));
        let size = self.g.size(axis) / self.g.size(split);
        let places = self.g.iota(axis);
        let places = self.g.to_real(places);
        let block = self.g.mul_const(places, 1.0 / size as f64);
        // Half a place more, so that rounding never falls below a block's first element.
        let block = self.g.add_const(block, 0.5 / size as f64);
        let block = self.g.unary(Elem::Floor, block);
        let blocks = self.g.iota(split);
        let blocks = self.g.to_real(blocks);
        let mine = self.g.binary(Elem::Eq, block, blocks);
        let cut = self.g.mul(x, mine);
        let Some(path) = path else { return cut };
        let twin = self.twin(axis);
        let dims = [(axis, DimRole::In), (twin, DimRole::Out)];
        let init = Init::within(1.0 / (size as f64).sqrt());
        let w = self.variable(&format!("{path}.weight"), &dims, init, VariableKind::Trained);
        let y = self.g.contract(cut, w, axis);
        self.g.rename(y, twin, axis)
    }
}
