//! `gcn[out](x, weights | source, target over node)`.

use super::super::{Checker, Scope};
use super::Layered;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::{AxisNo, Ty};
use crate::model::{ExprId, ExprKind, Gcn, Layer};
use distributions::Support;

impl Checker<'_> {
    pub(super) fn gcn(&mut self, l: Layered<'_>, scope: &Scope) -> Option<ExprId> {
        let ([arg, strengths @ ..], [from, to], [node], 0 | 1) =
            (&l.inputs[..], &l.conditions[..], &l.over[..], l.inputs.len().saturating_sub(1))
        else {
            let what =
                "`gcn` takes an input, perhaps weights, the two ends of its edges and the axis of nodes";
            let d = Diagnostic::new(Code::E0403, what).at(l.span, "");
            self.diags.push(d.help("write `gcn[out](x, weights | source, target over node)`"));
            return None;
        };
        let (arg, from, to, node) = (*arg, *from, *to, *node);
        let weight = strengths.first().copied();
        if !self.ty(arg).axes.contains(&node) {
            let t = self.ty(arg).clone();
            let (at, shown) = (self.model.expr(arg).span, self.show_axes(&t.axes));
            let what = format!("the input has no axis `{}` of nodes", self.model.axis_name(node));
            self.report(Code::E0303, what, at, format!("has {shown}"));
            return None;
        }
        let edge = self.edge_axis(from, node, scope)?;
        if self.edge_axis(to, node, scope)? != edge {
            let at = self.model.expr(to).span;
            self.report(Code::E0303, "both ends of an edge lie on one axis of edges", at, "another axis");
            return None;
        }
        if let Some(w) = weight {
            let t = self.ty(w).clone();
            if t.axes.iter().any(|a| *a != edge) {
                let (at, shown) = (self.model.expr(w).span, self.show_axes(&t.axes));
                self.report(Code::E0303, "an edge has one weight", at, format!("has {shown}"));
                return None;
            }
            if !t.support.is_within(Support::Nonneg) {
                let (at, shown) = (self.model.expr(w).span, self.show_ty(&t));
                self.report(Code::E0401, "weights of edges are not negative", at, format!("this is {shown}"));
                return None;
            }
        }
        let what = "beside its nodes an input has one axis of features";
        let features = self.rest_axis(arg, &[node], what, scope)?;
        let out = *l.out.first()?;
        let kept = self.ty(arg).axes.iter().copied().filter(|a| Some(*a) != features);
        let axes = kept.chain([out]).collect();
        let (bias, init) = (l.options.bias, l.options.init);
        let gcn = Gcn { path: l.path, arg, node, features, out, edge, from, to, weight, bias, init };
        let layer = Layer::Gcn(Box::new(gcn));
        Some(self.push(ExprKind::Layer(layer), Ty::new(axes, Support::Real), l.span))
    }

    /// The axis of edges of one of their ends, which numbers nodes.
    fn edge_axis(&mut self, end: ExprId, node: AxisNo, scope: &Scope) -> Option<AxisNo> {
        let t = self.ty(end).clone();
        match t.local(&scope.plates)[..] {
            [edge] if t.of == Some(node) && t.support == Support::Category && !t.may_miss => Some(edge),
            _ => {
                let (at, shown) = (self.model.expr(end).span, self.show_ty(&t));
                let node = self.model.axis_name(node).to_owned();
                let what = format!("an end of edges numbers elements of `{node}`, one for each edge");
                let d = Diagnostic::new(Code::E0401, what).at(at, format!("this is {shown}"));
                self.diags.push(d.help(format!("a field of type `index[edge] over {node}`")));
                None
            }
        }
    }
}
