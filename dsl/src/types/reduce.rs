//! Reductions and the axes they run over.

use super::{Block, Checker, Scope, Value, is_name};
use crate::diagnostic::{Code, Diagnostic, synonyms};
use crate::model::ty::{self, AxisNo, Sign, Ty};
use crate::model::{ExprId, ExprKind, Reduction};
use crate::resolve::{Static, StaticEnv};
use crate::source::Span;
use crate::syntax::ast::{self, Call};
use autodiff_runtime::{Elem, ReduceKind};
use distributions::Support;

impl Checker<'_> {
    /// The axes after `over`, each with its span; unknown ones are reported and dropped.
    pub(super) fn over(&mut self, call: &Call, scope: &Scope) -> Vec<(AxisNo, Span)> {
        let mut out: Vec<(AxisNo, Span)> = vec![];
        for name in &call.over {
            let Some(a) = self.resolve_axis(name, scope) else { continue };
            if out.iter().any(|o| o.0 == a) {
                self.report(
                    Code::E0302,
                    format!("axis `{}` is given twice", name.text),
                    name.span,
                    "again here",
                );
            } else {
                out.push((a, name.span));
            }
        }
        out
    }

    /// The axes that a reduction of `x` runs over: those written, or the only local one.
    pub(super) fn reduced_axes(
        &mut self,
        x: ExprId,
        over: Vec<(AxisNo, Span)>,
        call: &Call,
        span: Span,
        scope: &Scope,
    ) -> Option<Vec<AxisNo>> {
        let t = self.ty(x).clone();
        if !call.over.is_empty() {
            let mut fine = over.len() == call.over.len();
            for (a, at) in &over {
                let name = self.model.axis_name(*a).to_owned();
                if scope.plates.contains(a) && scope.block != Block::Objective {
                    let d = Diagnostic::new(
                        Code::E0313,
                        format!("`{name}` is the enclosing plate and cannot be reduced inside it"),
                    );
                    let d = d.at(*at, "each element is on its own here");
                    self.diags.push(d.help(format!(
                        "for one number over every {name}, declare a `stat` and read it here"
                    )));
                    fine = false;
                } else if !t.axes.contains(a) {
                    let d =
                        Diagnostic::new(Code::E0304, format!("this value has no axis `{name}` to reduce"));
                    self.diags.push(d.at(*at, "").also(
                        call.args.first().map_or(span, |a| a.span),
                        format!("has {}", self.show_axes(&t.axes)),
                    ));
                    fine = false;
                }
            }
            return fine.then(|| over.into_iter().map(|o| o.0).collect());
        }
        match t.local(&scope.plates)[..] {
            [a] => Some(vec![a]),
            [] => {
                self.report(Code::E0304, "this value has no axis to reduce", span, "it is a single number");
                None
            }
            ref many => {
                let shown = self.show_axes(many);
                let first = self.model.axis_name(many[0]).to_owned();
                let d =
                    Diagnostic::new(Code::E0305, "say which axes to reduce").at(span, format!("has {shown}"));
                self.diags.push(d.help(format!("write `… over {first}`, or list several")));
                None
            }
        }
    }

    pub(super) fn reduction(
        &mut self,
        name: &str,
        kind: Reduction,
        call: &Call,
        span: Span,
        scope: &mut Scope,
    ) -> Value {
        if call.over.is_empty() && call.filter.is_none() {
            if let Some(v) = self.guide_moment(name, call, span, scope) {
                return v;
            }
            if call.args.len() == 2 && matches!(name, "min" | "max") {
                let a = self.eval_number(&call.args[0].value, scope);
                let b = self.eval_number(&call.args[1].value, scope);
                let (Some(a), Some(b)) = (a, b) else { return Value::Error };
                return Value::Expr(self.binary_elem(
                    if name == "min" { Elem::Min } else { Elem::Max },
                    a,
                    b,
                    span,
                ));
            }
        }
        let over = self.over(call, scope);
        let bare = Call { over: vec![], filter: None, ..call.clone() };
        let outer = self.known_here.len();
        call.filter.iter().for_each(|f| observed_in(f, &mut self.known_here));
        let x = self.one(&bare, span, scope);
        self.known_here.truncate(outer);
        let Some(x) = x else { return Value::Error };
        let Some(axes) = self.reduced_axes(x, over, call, span, scope) else { return Value::Error };
        let rows = self.model.plate.filter(|p| scope.block == Block::Objective && axes.contains(p));
        let value = match &call.filter {
            Some(filter) => match self.filtered(kind, x, filter, &axes, span, scope) {
                Some(id) => id,
                None => return Value::Error,
            },
            None => {
                let left = self.ty(x).axes.iter().copied().filter(|a| !axes.contains(a)).collect();
                let t = Ty::new(left, self.reduced_support(kind, x));
                self.push(ExprKind::Reduce { kind, arg: x, over: axes }, t, span)
            }
        };
        match (kind, rows) {
            // Of all rows the minibatch shows some.
            (Reduction::Plain(ReduceKind::Sum), Some(_)) => {
                let scale = self.push(ExprKind::RowScale, Ty::scalar(Support::Positive), span);
                Value::Expr(self.operator(ast::BinaryOp::Mul, value, scale, span))
            }
            _ => Value::Expr(value),
        }
    }

    pub(super) fn reduced_support(&self, kind: Reduction, x: ExprId) -> Support {
        let s = self.sign(x);
        let support = super::numeric(self.ty(x).support);
        match kind {
            Reduction::Plain(ReduceKind::Sum | ReduceKind::Prod) if support.is_within(Support::Count) => {
                Support::Count
            }
            Reduction::Plain(ReduceKind::Sum) => ty::of_sign(s),
            Reduction::Plain(ReduceKind::Max | ReduceKind::Min) => support,
            Reduction::Mean if support.is_within(Support::Unit) => Support::Unit,
            Reduction::Plain(ReduceKind::Prod) | Reduction::Mean => ty::of_sign(s),
            Reduction::Var => ty::of_sign(Sign { nonneg: true, positive: false }),
            Reduction::Plain(_) => Support::Real,
        }
    }

    /// `mean(z)` or `var(z)` of a latent in `output` and `objective`: a moment of the guide.
    fn guide_moment(&mut self, name: &str, call: &Call, span: Span, scope: &mut Scope) -> Option<Value> {
        if !matches!(scope.block, Block::Output | Block::Objective) || !matches!(name, "mean" | "var") {
            return None;
        }
        let [arg] = &call.args[..] else { return None };
        let latent = is_name(&arg.value)?.clone();
        let Value::Expr(id) = self.latent(&latent, scope)? else { return Some(Value::Error) };
        let ExprKind::Site(site) = self.model.expr(id).kind else { return None };
        let (kind, support) = match name {
            "mean" => (ExprKind::GuideMean(site), self.ty(id).support),
            _ => (ExprKind::GuideVar(site), Support::Nonneg),
        };
        let t = Ty { support, ..self.ty(id).clone() };
        Some(Value::Expr(self.push(kind, t, span)))
    }

    /// A number that is known before any data.
    pub(super) fn static_number(&mut self, e: &ast::Expr) -> Option<f64> {
        match StaticEnv(self.program).eval(e) {
            Some(Static::Number(x)) => Some(x),
            Some(_) => {
                self.report(Code::E0410, "a number is needed here", e.span, "");
                None
            }
            None => {
                if let Some(n) = is_name(e).filter(|n| self.program.sized().any(|a| a == n.text)) {
                    let what = format!("a number is needed here, and `{}` is an axis", n.text);
                    let d = Diagnostic::new(Code::E0410, what).at(e.span, "");
                    self.diags.push(d.help("write a number, or an option: `option rate = 0.1`"));
                } else if let Some(n) = is_name(e)
                    && !self.visible_names().contains(&n.text)
                {
                    let known: Vec<&str> = self.program.option_order.iter().map(String::as_str).collect();
                    let d =
                        Diagnostic::new(Code::E0201, format!("no option called `{}`", n.text)).at(n.span, "");
                    self.diags.push(d.did_you_mean(&n.text, known));
                } else {
                    let what = "a number is needed that is known before any data are read";
                    let d = Diagnostic::new(Code::E0410, what).at(e.span, "");
                    self.diags.push(d.help("write a number, or an option: `option rate = 0.1`"));
                }
                None
            }
        }
    }

    /// One of a few words, given literally or by an option.
    pub(super) fn static_word(&mut self, e: &ast::Expr, allowed: &[&str]) -> Option<String> {
        let word = match is_name(e) {
            Some(n) if allowed.contains(&n.text.as_str()) => return Some(n.text.clone()),
            _ => StaticEnv(self.program).eval(e).map(|v| v.to_string()),
        };
        match word {
            Some(w) if allowed.contains(&w.as_str()) => Some(w),
            _ => {
                let found = is_name(e).map_or(String::new(), |n| n.text.clone());
                let d = Diagnostic::new(Code::E0201, format!("one of {} is needed here", allowed.join(", ")))
                    .at(e.span, "");
                self.diags.push(d.did_you_mean(&found, allowed.iter().copied()));
                None
            }
        }
    }

    /// A truth value that is known before any data.
    pub(super) fn static_bool(&mut self, e: &ast::Expr) -> Option<bool> {
        match StaticEnv(self.program).eval(e) {
            Some(Static::Bool(b)) => Some(b),
            _ => {
                let what = "`true`, `false` or an option is needed here";
                let d = Diagnostic::new(Code::E0411, what).at(e.span, "");
                self.diags.push(match is_name(e).and_then(|n| synonyms::truth(&n.text)) {
                    Some(here) => d.help(format!("write `{here}`")).suggest(e.span, here),
                    None => d,
                });
                None
            }
        }
    }
}

/// The fields that a condition makes sure of: those of its `observed(…)`, alone or joined by `and`.
fn observed_in(e: &ast::Expr, out: &mut Vec<String>) {
    match &e.kind {
        ast::ExprKind::Call(call) => match (is_name(&call.callee), &call.args[..]) {
            (Some(f), [arg]) if f.text == "observed" => {
                out.extend(is_name(&arg.value).map(|n| n.text.clone()))
            }
            _ => {}
        },
        ast::ExprKind::Binary { op: ast::BinaryOp::And, left, right } => {
            observed_in(left, out);
            observed_in(right, out);
        }
        _ => {}
    }
}
