//! Distributions: parameter sets, supports of arguments, event axes.

use super::{Checker, Scope, Value, numeric};
use crate::diagnostic::{Code, Diagnostic, synonyms};
use crate::model::ty::{self, AxisNo};
use crate::model::{DistExpr, ExprId, ExprKind};
use crate::source::Span;
use crate::syntax::ast::{self, Call};
use distributions::{Family, Parameter, Support};

impl Checker<'_> {
    pub(super) fn family(
        &mut self,
        family: &'static dyn Family,
        call: &Call,
        span: Span,
        scope: &mut Scope,
    ) -> Value {
        let Some(named) = self.by_name(family, call) else { return Value::Error };
        let Some(set) = self.parameter_set(family, &named, span) else {
            // The arguments are still looked at, so that mistakes in them show too.
            named.iter().for_each(|(n, e)| drop(self.with_path(n, e, scope)));
            return Value::Error;
        };
        let mut params = vec![];
        for p in family.parameter_sets()[set] {
            let Some((_, e)) = named.iter().find(|(n, _)| n == p.name) else { return Value::Error };
            let value = self.with_path(p.name, e, scope);
            let value = match &value {
                Value::Record(parts) => self.stacked(parts, e.span).map_or(value, Value::Expr),
                _ => value,
            };
            let id = match value {
                Value::Expr(id) => id,
                Value::Error => continue,
                _ => {
                    self.report(
                        Code::E0402,
                        format!("`{}` is a number or an array", p.name),
                        e.span,
                        "this is not",
                    );
                    continue;
                }
            };
            if self.accepts(family, p, id, e) {
                params.push(id);
            }
        }
        if params.len() != family.parameter_sets()[set].len() {
            return Value::Error;
        }
        let event = match self.event_axis(family, set, &params, call, span, scope) {
            Ok(event) => event,
            Err(()) => return Value::Error,
        };
        Value::Dist(DistExpr { family, set, params, event, mixture: None, low_rank: None, span })
    }

    /// Arguments with their names: as written, or by position where every one is a literal and the family allows it.
    fn by_name(&mut self, family: &'static dyn Family, call: &Call) -> Option<Vec<(String, ast::Expr)>> {
        let positional: Vec<&ast::Arg> = call.args.iter().filter(|a| a.name.is_none()).collect();
        if let Some(first) = positional.first() {
            let order = family.positional().unwrap_or(&[]);
            let literal = |a: &&ast::Arg| {
                matches!(&a.value.kind, ast::ExprKind::Number(_)) || negative_literal(&a.value)
            };
            let fine = positional.len() == call.args.len()
                && positional.iter().all(literal)
                && positional.len() == order.len();
            if !fine {
                let sets = show_sets(family);
                let d = Diagnostic::new(
                    Code::E0404,
                    format!("arguments of `{}` are given by name", family.name()),
                );
                let d = d.at(first.span, "which parameter is this?");
                let fits = family.parameter_sets().iter().find(|s| s.len() == call.args.len());
                self.diags.push(match fits.filter(|_| positional.len() == call.args.len()) {
                    Some(set) => {
                        let args = set.iter().zip(&call.args);
                        let args: Vec<String> =
                            args.map(|(p, a)| format!("{} = {}", p.name, short(&a.value))).collect();
                        d.help(format!(
                            "if that is the order meant: `{}({})`",
                            family.name(),
                            args.join(", ")
                        ))
                    }
                    None => d.help(format!("give one complete set by name: {sets}")),
                });
                return None;
            }
            return Some(
                order.iter().zip(positional).map(|(n, a)| ((*n).to_owned(), a.value.clone())).collect(),
            );
        }
        if let Some(c) = call.conditions.first() {
            self.report(Code::E0405, "a distribution takes no conditions after a bar", c.span, "");
            return None;
        }
        let mut named: Vec<(String, ast::Expr)> = vec![];
        for arg in &call.args {
            let Some(n) = &arg.name else { continue };
            if named.iter().any(|(m, _)| *m == n.text) {
                self.report(Code::E0405, format!("`{}` is given twice", n.text), n.span, "again here");
                return None;
            }
            named.push((n.text.clone(), arg.value.clone()));
        }
        let known: Vec<&str> =
            family.parameter_sets().iter().flat_map(|s| s.iter().map(|p| p.name)).collect();
        let mut fine = true;
        for arg in &call.args {
            if let Some(n) = arg.name.as_ref().filter(|n| !known.contains(&n.text.as_str())) {
                let d = Diagnostic::new(
                    Code::E0405,
                    format!("`{}` has no parameter called `{}`", family.name(), n.text),
                );
                let near = crate::diagnostic::nearest(&n.text, known.iter().copied());
                let d = d.at(n.span, "");
                self.diags.push(match synonyms::parameter(&n.text, &known) {
                    Some(here) => d
                        .help(format!("it is called `{here}` here"))
                        .suggest(n.span, here)
                        .note(format!("it takes {}", show_sets(family))),
                    None if near.is_empty() => d.help(format!("it takes {}", show_sets(family))),
                    None => d.did_you_mean(&n.text, known.iter().copied()),
                });
                fine = false;
            }
        }
        fine.then_some(named)
    }

    fn parameter_set(
        &mut self,
        family: &'static dyn Family,
        named: &[(String, ast::Expr)],
        span: Span,
    ) -> Option<usize> {
        let sets = family.parameter_sets();
        let complete = |set: &&[Parameter]| {
            set.len() == named.len() && set.iter().all(|p| named.iter().any(|(n, _)| n == p.name))
        };
        let found = sets.iter().position(complete);
        if found.is_none() {
            let given: Vec<String> = named.iter().map(|(n, _)| format!("`{n}`")).collect();
            let d = Diagnostic::new(
                Code::E0403,
                format!("the parameters of `{}` are incomplete or mixed", family.name()),
            );
            let d = d.at(
                span,
                if given.is_empty() { "none given".into() } else { format!("given: {}", given.join(", ")) },
            );
            self.diags.push(d.help(format!("give one complete set: {}", show_sets(family))));
        }
        found
    }

    /// Checks the support of an argument; offers what would map it there.
    fn accepts(&mut self, family: &dyn Family, p: &Parameter, id: ExprId, e: &ast::Expr) -> bool {
        let t = self.ty(id).clone();
        let shown = self.show_ty(&t);
        if t.covariates || t.support == Support::Category {
            self.report(
                Code::E0410,
                format!("`{}` needs a number", p.name),
                e.span,
                format!("this is {shown}"),
            );
            return false;
        }
        if t.may_miss {
            self.report(Code::E0406, "values may be missing here", e.span, shown);
            return false;
        }
        if p.name.contains("logit")
            && matches!(t.support, Support::Simplex | Support::Unit)
            && !self.is_constant(id)
        {
            let d = Diagnostic::new(Code::E0412, format!("`{}` was given probabilities", p.name))
                .at(e.span, shown);
            let known = family.parameter_sets().iter().flat_map(|s| s.iter()).any(|p| p.name == "probs");
            let drop = "leave out the softmax or sigmoid that made them";
            self.diags.push(match known && p.name == "logits" {
                true => d.help(format!("write `probs = {}`, or {drop}", short(e))),
                false => d.help(drop),
            });
            return false;
        }
        let sign = self.sign(id);
        let fits = match p.support {
            Support::Positive => sign.positive,
            Support::Nonneg => sign.nonneg,
            // A vector of probabilities may be given unnormalised only as a simplex; a scalar in [0, 1] otherwise.
            Support::Simplex => t.support == Support::Simplex || self.is_constant(id) || self.is_shares(id),
            Support::Unit => numeric(t.support).is_within(Support::Unit),
            wanted => numeric(t.support).is_within(wanted),
        };
        if fits {
            return true;
        }
        let probs = p.name == "probs" && numeric(t.support) == Support::Real;
        let (code, headline) = match probs {
            true => (Code::E0412, format!("`probs` of `{}` was given any real numbers", family.name())),
            false => {
                (Code::E0401, format!("`{}` of `{}` must be {}", p.name, family.name(), words(p.support)))
            }
        };
        let d = Diagnostic::new(code, headline).at(e.span, format!("this is {shown}"));
        self.diags.push(match (probs, p.support) {
            (true, _) => {
                d.help(format!("write `logits = {}`, or map them by `sigmoid` or `softmax`", short(e)))
            }
            (_, Support::Positive) if sign.nonneg => {
                d.help(format!("it may be 0: keep it above, `{0} + 1e-8` or `max({0}, 1e-8)`", short(e)))
            }
            (_, Support::Positive | Support::Nonneg) => {
                d.help(format!("map it there: `exp({0})` or `softplus({0})`", short(e)))
            }
            (_, Support::Unit) => d.help(format!("map it there: `sigmoid({})`", short(e))),
            (_, Support::Simplex) => d.help(format!("map it there: `softmax({})`", short(e))),
            _ => d,
        });
        false
    }

    /// Whether a value is written out for each label, `{ off = 0.8, on = 0.2 }`, with numbers that sum to 1.
    fn is_shares(&self, id: ExprId) -> bool {
        let ExprKind::Stack(_, parts) = &self.model.expr(id).kind else { return false };
        let number = |id: &ExprId| match self.model.expr(*id).kind {
            ExprKind::Const(c) if c >= 0.0 => Some(c),
            _ => None,
        };
        parts.iter().map(number).sum::<Option<f64>>().is_some_and(|sum| (sum - 1.0).abs() < 1e-9)
    }

    fn is_constant(&self, id: ExprId) -> bool {
        matches!(self.model.expr(id).kind, ExprKind::Const(_))
    }

    /// The event axis of a vector family: after `over`, or the only one that its vector parameters have. None if only
    /// the site can tell.
    fn event_axis(
        &mut self,
        family: &dyn Family,
        set: usize,
        params: &[ExprId],
        call: &Call,
        span: Span,
        scope: &Scope,
    ) -> Result<Option<AxisNo>, ()> {
        let over = self.over(call, scope);
        if !family.is_vector() {
            if let Some((_, at)) = over.first() {
                self.report(Code::E0304, format!("`{}` has no axis of its own", family.name()), *at, "");
                return Err(());
            }
            return Ok(None);
        }
        if let [(axis, _)] = over[..] {
            return Ok(Some(axis));
        }
        let mut axes: Vec<AxisNo> = vec![];
        for (p, id) in family.parameter_sets()[set].iter().zip(params) {
            let t = self.ty(*id);
            let own = if t.support == Support::Simplex {
                t.of.into_iter().collect()
            } else {
                t.local(&scope.plates)
            };
            axes.extend(own.into_iter().filter(|_| p.has_event_axis));
        }
        axes.sort_unstable();
        axes.dedup();
        match axes[..] {
            [] => Ok(None),
            [axis] => Ok(Some(axis)),
            _ => {
                let shown = self.show_axes(&axes);
                let d = Diagnostic::new(
                    Code::E0409,
                    format!("`{}` runs along one axis, which could be any of {shown}", family.name()),
                );
                let first = self.model.axis_name(axes[0]).to_owned();
                self.diags.push(d.at(span, "").help(format!("say which: `… over {first}`")));
                Err(())
            }
        }
    }

    /// The smallest part of an expression, within its own text, that brings an axis in.
    pub(super) fn where_axis_enters(&self, id: ExprId, axis: AxisNo) -> ExprId {
        let mut at = id;
        loop {
            let span = self.model.expr(at).span;
            // A layer stands in its net: what was given to the net stands elsewhere.
            let layer = matches!(self.model.expr(at).kind, ExprKind::Layer(_));
            let inside = |s: Span| layer || s.file == span.file && span.start <= s.start && s.end <= span.end;
            let with: Vec<ExprId> = self
                .model
                .operands(at)
                .into_iter()
                .filter(|o| self.ty(*o).axes.contains(&axis) && inside(self.model.expr(*o).span))
                .collect();
            let [only] = with[..] else { return at };
            at = only;
        }
    }

    /// Fills in an event axis that only the site knows, and checks that no argument carries an axis that the site lacks.
    pub(super) fn fit_to_site(
        &mut self,
        d: &mut DistExpr,
        name: &str,
        axes: &[AxisNo],
        plates: &[AxisNo],
        span: Span,
    ) -> bool {
        if d.family.is_vector() && d.event.is_none() {
            let categorical = d.family.support() == Support::Category;
            match axes {
                [only] if !categorical => d.event = Some(*only),
                _ => {
                    let what = format!("the axis of `{}` is not clear", d.family.name());
                    self.report(Code::E0409, what, d.span, "write `over` and the axis");
                    return false;
                }
            }
        }
        let own = d.mixture.map(|m| m.axis);
        if let Some(k) = own.filter(|k| axes.contains(k)) {
            let k = self.model.axis_name(k).to_owned();
            self.report(Code::E0302, format!("`{name}` and its mixture share axis `{k}`"), d.span, "");
            return false;
        }
        let allowed: Vec<AxisNo> = axes.iter().chain(plates).copied().chain(d.event).chain(own).collect();
        for id in d.reads().collect::<Vec<_>>() {
            let t = self.ty(id).clone();
            if let Some(axis) = t.axes.iter().find(|a| !allowed.contains(a)) {
                let a = self.model.axis_name(*axis).to_owned();
                let at = self.where_axis_enters(id, *axis);
                let diag = Diagnostic::new(Code::E0306, format!("this makes `{name}` depend on every `{a}`"));
                let found = self.model.expr(at);
                let diag = diag.at(found.span, format!("has {}", self.show_axes(&found.ty.axes)));
                self.diags.push(
                    diag.also(span, format!("has {}", self.show_axes(axes)))
                        .help(format!("reduce `{a}`, or give the site that axis: `{name}[{a}] ~ …`")),
                );
                return false;
            }
        }
        if let Some(e) = d.event
            && d.family.support() != Support::Category
            && !axes.contains(&e)
        {
            let e = self.model.axis_name(e).to_owned();
            self.report(
                Code::E0303,
                format!("`{name}` needs axis `{e}`"),
                span,
                format!("has {}", self.show_axes(axes)),
            );
            return false;
        }
        true
    }
}

/// The text of an expression, if it is short.
fn short(e: &ast::Expr) -> String {
    let text = crate::syntax::print::print_expr(e);
    if text.len() <= 40 && !text.contains('\n') { text } else { "…".into() }
}

/// What values are, for a label.
pub(super) fn plural(s: Support) -> &'static str {
    match s {
        Support::Positive => "numbers above 0",
        Support::Nonneg => "numbers from 0",
        Support::Unit => "numbers between 0 and 1",
        Support::Simplex => "proportions",
        Support::Count => "counts",
        Support::Bool => "truth values",
        Support::Category => "labels",
        _ => "real numbers",
    }
}

/// What values must be, for a headline.
fn words(s: Support) -> &'static str {
    match s {
        Support::Positive => "above 0",
        Support::Nonneg => "0 or above",
        Support::Unit => "between 0 and 1",
        Support::Simplex => "proportions that sum to 1",
        Support::Count => "whole numbers from 0",
        Support::Bool => "true or false",
        Support::Category => "a category",
        _ => "a real number",
    }
}

/// `mean, scale` or `mean, var`.
fn show_sets(family: &dyn Family) -> String {
    let sets =
        family.parameter_sets().iter().map(|s| s.iter().map(|p| p.name).collect::<Vec<_>>().join(", "));
    sets.collect::<Vec<_>>().join(" | ")
}

fn negative_literal(e: &ast::Expr) -> bool {
    matches!(&e.kind, ast::ExprKind::Unary { op: ast::UnaryOp::Neg, operand } if matches!(operand.kind, ast::ExprKind::Number(_)))
}

/// Whether values of `data` can be values of a family with support `family`, and whether that is doubtful.
pub(super) fn observable(data: Support, family: Support) -> (bool, bool) {
    let continuous = matches!(
        family,
        Support::Real | Support::Nonneg | Support::Positive | Support::Unit | Support::Simplex
    );
    let fits = match family {
        Support::Positive => ty::sign_of(data).nonneg,
        _ => data.is_within(family),
    };
    (fits, fits && continuous && matches!(data, Support::Count | Support::Bool))
}
