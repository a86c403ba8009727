//! Norms, dropout and activations, inside other layers and on their own.

use super::super::{Checker, Scope};
use super::options::LAYER_NORM_EPS;
use super::{Layered, Options};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::{AxisNo, Ty};
use crate::model::{Activation, ExprId, ExprKind, Layer};
use crate::source::Span;
use autodiff_runtime::Elem;
use distributions::Support;

impl Checker<'_> {
    /// `batchnorm(x)` and `layernorm(x)`, along the axis after `over` or the only one.
    pub(super) fn norm_call(&mut self, l: Layered<'_>, scope: &Scope) -> Option<ExprId> {
        let x = self.only_input(&l)?;
        let over = l.call.over.iter().zip(&l.over).map(|(n, a)| (*a, n.span)).collect();
        let axes = self.reduced_axes(x, over, l.call, l.span, scope)?;
        let [axis] = axes[..] else {
            let label = self.show_axes(&axes);
            self.report(Code::E0305, "a norm runs along one axis", l.span, label);
            return None;
        };
        let batch = l.name.text == "batchnorm";
        let o = Options { batch_norm: batch, layer_norm: !batch, ..l.options };
        Some(self.norms(&l.path, &l.path, x, axis, &o, l.span))
    }

    /// The norms that the options ask for, batch norm first.
    pub(super) fn norms(
        &mut self,
        batch_path: &str,
        layer_path: &str,
        mut x: ExprId,
        axis: AxisNo,
        o: &Options,
        span: Span,
    ) -> ExprId {
        if let Some((eps, momentum)) = o.norm() {
            let layer = Layer::BatchNorm { path: batch_path.to_owned(), arg: x, axis, eps, momentum };
            x = self.push_layer(layer, x, span);
        }
        if o.layer_norm {
            let path = o.affine.then(|| layer_path.to_owned());
            let layer = Layer::LayerNorm { path, arg: x, axis, eps: o.eps.unwrap_or(LAYER_NORM_EPS) };
            x = self.push_layer(layer, x, span);
        }
        x
    }

    /// `dropout(x, rate = 0.1)`.
    pub(super) fn dropout_call(&mut self, l: Layered<'_>) -> Option<ExprId> {
        let x = self.only_input(&l)?;
        let Some(rate) = l.options.rate else {
            let d = Diagnostic::new(Code::E0403, "`dropout` needs its rate").at(l.span, "");
            self.diags.push(d.help("write `dropout(x, rate = 0.1)`"));
            return None;
        };
        Some(self.dropped(&l.path, x, rate, l.span))
    }

    pub(super) fn dropped(&mut self, path: &str, x: ExprId, rate: f64, span: Span) -> ExprId {
        if rate == 0.0 {
            return x;
        }
        self.push_layer(Layer::Dropout { path: path.to_owned(), arg: x, rate }, x, span)
    }

    /// A non-linearity; where one operation of the runtime is it, that operation.
    pub(in super::super) fn activated(&mut self, a: Activation, x: ExprId, span: Span) -> ExprId {
        let (elem, support) = match a {
            Activation::Relu => (Some(Elem::Relu), Support::Nonneg),
            Activation::Tanh => (Some(Elem::Tanh), Support::Real),
            Activation::Sigmoid => (Some(Elem::Sigmoid), Support::Unit),
            Activation::Softplus => (Some(Elem::Softplus), Support::Positive),
            _ => (None, Support::Real),
        };
        let t = Ty::new(self.ty(x).axes.clone(), support);
        let kind = match elem {
            Some(e) => ExprKind::Elem(e, vec![x]),
            None => ExprKind::Layer(Layer::Activation(a, x)),
        };
        self.push(kind, t, span)
    }
}
