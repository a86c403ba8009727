//! `Mixture(D, logits = w over k)`: a distribution whose parameters carry the axis of its components.

use super::{Checker, Scope, Value};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{DistExpr, Mixture};
use crate::source::Span;
use crate::syntax::ast::Call;
use distributions::Support;

impl Checker<'_> {
    pub(super) fn mixture(&mut self, call: &Call, span: Span, scope: &mut Scope) -> Value {
        let [dist, weights] = &call.args[..] else {
            return self.not_a_mixture(span);
        };
        let key = weights.name.as_ref().map(|n| n.text.as_str());
        let (None, Some(key @ ("logits" | "probs"))) = (&dist.name, key) else {
            return self.not_a_mixture(span);
        };
        let over = self.over(call, scope);
        let Some(w) = self.eval_number(&weights.value, scope) else { return Value::Error };
        let t = self.ty(w).clone();
        let own = t.of.filter(|_| t.support == Support::Simplex);
        let axis = match (&over[..], own, &t.local(&scope.plates)[..]) {
            ([(axis, _)], ..) => *axis,
            ([], Some(axis), _) | ([], None, &[axis]) => axis,
            _ => {
                let d = Diagnostic::new(Code::E0409, "the components of a mixture run along one axis");
                let d = d.at(span, format!("weights: {}", self.show_ty(&t)));
                self.diags.push(d.help("say which: `Mixture(D, logits = w over k)`"));
                return Value::Error;
            }
        };
        if !t.axes.contains(&axis) {
            let a = self.model.axis_name(axis).to_owned();
            return self.report(
                Code::E0303,
                format!("the weights need axis `{a}`"),
                weights.span,
                self.show_ty(&t),
            );
        }
        let logits = key == "logits";
        let simplex = t.support == Support::Simplex && t.of == Some(axis);
        if logits && matches!(t.support, Support::Simplex | Support::Unit) {
            let d = Diagnostic::new(Code::E0412, "`logits` was given probabilities")
                .at(weights.span, self.show_ty(&t));
            self.diags.push(d.help("write `probs = …`"));
            return Value::Error;
        }
        if !logits && !simplex {
            let d = Diagnostic::new(Code::E0412, "`probs` of a mixture sum to 1")
                .at(weights.span, self.show_ty(&t));
            self.diags.push(d.help("write `logits = …`, or map them by `softmax`"));
            return Value::Error;
        }
        // The components are independent, as elements of a plate are.
        let mut inner =
            Scope { plates: scope.plates.iter().copied().chain([axis]).collect(), ..scope.clone() };
        let value = self.eval(&dist.value, &mut inner);
        scope.repeats = inner.repeats;
        let d = match value {
            Value::Dist(d) => d,
            Value::Error => return Value::Error,
            _ => {
                let what = "a mixture is of distributions";
                return self.report(Code::E0104, what, dist.value.span, "this is a value");
            }
        };
        if let Some(inner) = &d.mixture {
            let shown = self.model.axis_name(inner.axis).to_owned();
            return self.report(
                Code::E0402,
                "a mixture of mixtures",
                d.span,
                format!("a mixture over `{shown}` already"),
            );
        }
        if d.event == Some(axis) {
            return self.report(Code::E0302, "the components and the values run along one axis", span, "");
        }
        if !d.params.iter().any(|p| self.ty(*p).axes.contains(&axis)) {
            let a = self.model.axis_name(axis).to_owned();
            let e = Diagnostic::new(Code::E0303, format!("every component along `{a}` is the same"));
            self.diags.push(
                e.at(dist.value.span, "no parameter has this axis").help(format!("give one axis `{a}`")),
            );
            return Value::Error;
        }
        Value::Dist(DistExpr { mixture: Some(Mixture { axis, weights: w, logits }), span, ..d })
    }

    fn not_a_mixture(&mut self, span: Span) -> Value {
        let d = Diagnostic::new(Code::E0403, "a mixture needs a distribution and weights").at(span, "");
        self.diags.push(d.help("write `Mixture(D, logits = w over k)` or `Mixture(D, probs = p over k)`"));
        Value::Error
    }
}
