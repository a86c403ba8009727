//! `attention[out](query, context over tokens)`.

use super::super::{Checker, Scope};
use super::Layered;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::{AxisNo, Ty};
use crate::model::{Attention, ExprId, ExprKind, Layer};
use distributions::Support;

impl Checker<'_> {
    pub(super) fn attention(&mut self, l: Layered<'_>, scope: &Scope) -> Option<ExprId> {
        if let Some(c) = l.conditions.first() {
            let at = self.model.expr(*c).span;
            self.report(Code::E0405, "`attention` takes no conditions", at, "");
            return None;
        }
        let [query, context] = l.inputs[..] else {
            let d = Diagnostic::new(Code::E0403, "`attention` takes a query and a context");
            let d = d.at(l.span, format!("{} given", l.inputs.len()));
            self.diags.push(
                d.help("write `attention[out](query, context over token)`; self-attention repeats the input"),
            );
            return None;
        };
        // One axis of tokens for both, or that of the queries first.
        let (asking, tokens) = match l.over[..] {
            [both] => (both, both),
            [asking, tokens] => (asking, tokens),
            _ => {
                let d = Diagnostic::new(Code::E0305, "`attention` needs the axis of its context's tokens");
                self.diags.push(d.at(l.span, "").help("write `(query, context over token)`"));
                return None;
            }
        };
        if !self.ty(context).axes.contains(&tokens) {
            return self.lacks(context, tokens, "the context");
        }
        if l.over.len() == 2 && !self.ty(query).axes.contains(&asking) {
            return self.lacks(query, asking, "the query");
        }
        let what = "beside its tokens a value has one axis of features";
        let query_features = self.rest_axis(query, &[asking], what, scope)?;
        let token_features = self.rest_axis(context, &[tokens], what, scope)?;
        let out = l.out.first().copied();
        let kept = self.ty(query).axes.iter().copied().filter(|a| Some(*a) != query_features);
        let mut axes: std::collections::BTreeSet<AxisNo> = kept.collect();
        axes.extend(self.ty(context).axes.iter().filter(|a| scope.plates.contains(a)));
        if let Some(a) = out.filter(|a| axes.contains(a)) {
            let a = self.model.axis_name(a).to_owned();
            self.report(
                Code::E0302,
                format!("axis `{a}` is both of the output and of the query"),
                l.span,
                "",
            );
            return None;
        }
        axes.extend(out);
        let layer = Layer::Attention(Box::new(Attention {
            path: l.path,
            query,
            context,
            out,
            tokens,
            query_features,
            token_features,
            heads: l.options.heads,
            depth: l.options.depth,
            dropout: l.options.dropout,
            bias: l.options.bias,
        }));
        Some(self.push(ExprKind::Layer(layer), Ty::new(axes, Support::Real), l.span))
    }

    /// E0303.
    fn lacks(&mut self, x: ExprId, a: AxisNo, what: &str) -> Option<ExprId> {
        let (at, t) = (self.model.expr(x).span, self.ty(x).clone());
        let shown = self.show_axes(&t.axes);
        let a = self.model.axis_name(a).to_owned();
        self.report(Code::E0303, format!("{what} has no axis `{a}` of tokens"), at, format!("has {shown}"));
        None
    }
}
