//! Words of `output` and `objective`: what is asked of sites, interventions, labels; and functions that make arrays.

use super::stmt::site_ty;
use super::{Block, Checker, Scope, Value, is_name};
use crate::compiled::AxisSource;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ty::{AxisNo, Ty};
use crate::model::{ExprId, ExprKind, Held, Reduction, SiteNo, SiteWord, Treat};
use crate::source::Span;
use crate::syntax::ast::{self, BinaryOp, Binding, Call, Name};
use autodiff_runtime::{Elem, ReduceKind};
use distributions::Support;

/// What is asked of a site, by name.
pub(super) const SITE_WORDS: [SiteWord; 5] =
    [SiteWord::LogP, SiteWord::LogQ, SiteWord::Kl, SiteWord::Prob, SiteWord::Sample];

/// Squared norms below this count as this in a cosine.
const LEAST_SQUARE: f64 = 1e-16;

impl Checker<'_> {
    /// `word(… given name = value)`.
    pub(super) fn given(&mut self, call: &Call, span: Span, scope: &mut Scope) -> Value {
        let name = is_name(&call.callee).map_or("", |n| n.text.as_str());
        let takes = matches!(name, "mean" | "var" | "E") || SITE_WORDS.iter().any(|w| w.word() == name);
        if !takes || !matches!(scope.block, Block::Objective | Block::Output) {
            let what = "`given` stands after an expectation word, in `output` and `objective`";
            return self.report(Code::E0405, what, call.given[0].span, "nothing to intervene on here");
        }
        let held: Vec<Option<(Held, ExprId)>> = call.given.iter().map(|b| self.held(b, scope)).collect();
        let body = match self.call(&Call { given: vec![], ..call.clone() }, span, scope) {
            Value::Expr(id) => id,
            other => return other,
        };
        let Some(held) = held.into_iter().collect::<Option<Vec<_>>>() else { return Value::Error };
        let ty = self.ty(body).clone();
        Value::Expr(self.push(ExprKind::Given { body, held }, ty, span))
    }

    /// One intervention: a latent or field, and a value of its axes and support.
    fn held(&mut self, b: &Binding, scope: &mut Scope) -> Option<(Held, ExprId)> {
        let name = &b.name;
        let what = match (self.model.find_site(&name.text), self.fields.get(&name.text)) {
            (Some(s), _) if self.model.is_latent(s) => Held::Site(s),
            (_, Some(&f)) => Held::Field(f),
            _ => {
                if !self.is_silent(&name.text) {
                    let mut known: Vec<String> = self.model.sites.iter().map(|s| s.name.clone()).collect();
                    known.extend(self.fields.keys().cloned());
                    let what = format!("no latent or field called `{}` to hold", name.text);
                    let d = Diagnostic::new(Code::E0201, what).at(name.span, "");
                    self.diags.push(d.did_you_mean(&name.text, known.iter().map(String::as_str)));
                }
                return None;
            }
        };
        let wanted = match what {
            Held::Site(s) => {
                let site = &self.model.sites[s];
                site_ty(&site.prior, &site.plates, &site.axes)
            }
            Held::Field(f) => self.model.fields[f].ty.clone(),
        };
        let value = match &b.value.kind {
            ast::ExprKind::Record(values) => self.along_labels(values, &wanted, b.value.span, scope)?,
            _ => self.eval_expr(&b.value, scope)?,
        };
        let t = self.ty(value).clone();
        if let Some(a) = t.axes.iter().find(|a| !wanted.axes.contains(a)) {
            let a = self.model.axis_name(*a).to_owned();
            let d = Diagnostic::new(Code::E0306, format!("`{}` has no axis `{a}`", name.text));
            self.diags.push(d.at(b.value.span, self.show_ty(&t)));
            return None;
        }
        if (wanted.support == Support::Category) != (t.support == Support::Category) || wanted.covariates {
            let d = Diagnostic::new(Code::E0402, format!("`{}` cannot be held at this", name.text));
            self.diags
                .push(d.at(b.value.span, self.show_ty(&t)).note(format!("it is {}", self.show_ty(&wanted))));
            return None;
        }
        Some((what, value))
    }

    /// `{ own = 1, spill = 0 }` as an array along the labelled axis whose labels those are.
    fn along_labels(
        &mut self,
        values: &[Binding],
        wanted: &Ty,
        span: Span,
        scope: &mut Scope,
    ) -> Option<ExprId> {
        let labelled = |c: &Self, a: &AxisNo| match &c.model.axes[a.0 as usize].source {
            AxisSource::Labels(labels) => Some((*a, labels.clone())),
            _ => None,
        };
        let axes: Vec<_> = wanted.axes.iter().filter_map(|a| labelled(self, a)).collect();
        let [(axis, labels)] = &axes[..] else {
            let shown = self.show_ty(wanted);
            self.report(
                Code::E0402,
                "no labelled axis to spread these values along",
                span,
                format!("it is {shown}"),
            );
            return None;
        };
        if let Some(b) = values.iter().find(|b| !labels.contains(&b.name.text)) {
            let name = self.model.axis_name(*axis).to_owned();
            let d = Diagnostic::new(Code::E0201, format!("`{}` is no label of `{name}`", b.name.text));
            self.diags
                .push(d.at(b.name.span, "").did_you_mean(&b.name.text, labels.iter().map(String::as_str)));
            return None;
        }
        let mut parts = vec![];
        for label in labels {
            let Some(b) = values.iter().find(|b| b.name.text == *label) else {
                self.report(Code::E0403, format!("no value for label `{label}`"), span, "");
                return None;
            };
            parts.push(self.eval_number(&b.value, scope)?);
        }
        let all = parts.iter().flat_map(|p| self.ty(*p).axes.iter().copied()).chain([*axis]).collect();
        Some(self.push(ExprKind::Stack(*axis, parts), Ty::new(all, Support::Real), span))
    }

    /// `labels(axis)`: a category that has at each place of the axis the label of that place.
    pub(super) fn labels(&mut self, call: &Call, span: Span, scope: &Scope) -> Value {
        let Some(axis) = self.named_axis("labels", call, span, scope) else { return Value::Error };
        let t = Ty { of: Some(axis), ..Ty::new([axis].into(), Support::Category) };
        Value::Expr(self.push(ExprKind::Labels(axis), t, span))
    }

    /// `logp(D, x)`: the log density of a distribution at a value, element by element.
    fn density(&mut self, call: &Call, span: Span, scope: &mut Scope) -> Value {
        let [dist, at] = &call.args[..] else { return Value::Error };
        let (d, x) = (self.dist(&dist.value, scope), self.eval_expr(&at.value, scope));
        let (Some(d), Some(x)) = (d, x) else { return Value::Error };
        if d.mixture.is_some() {
            let what = "`logp(D, x)` takes a family, no mixture";
            let d = Diagnostic::new(Code::E0402, what).at(dist.span, "");
            let help = "write it out: `logsumexp(logp(D, x) + log(w) over k)`";
            self.diags.push(d.help(help));
            return Value::Error;
        }
        let labels = d.family.support() == Support::Category;
        if labels != (self.ty(x).support == Support::Category) {
            let (what, shown) = (d.family.name(), self.show_ty(&self.ty(x).clone()));
            return self.report(Code::E0402, format!("this cannot come from `{what}`"), at.span, shown);
        }
        if !labels && self.number(x, at.span).is_none() {
            return Value::Error;
        }
        let all = d.reads().chain([x]).flat_map(|id| self.ty(id).axes.iter().copied());
        let axes = all.filter(|a| Some(*a) != d.event).collect();
        Value::Expr(self.push(ExprKind::Density(Box::new(d), x), Ty::new(axes, Support::Real), span))
    }

    /// `logp(site)` and the like.
    pub(super) fn site_word(&mut self, word: SiteWord, call: &Call, span: Span, scope: &mut Scope) -> Value {
        if word == SiteWord::LogP && call.args.len() == 2 && call.over.is_empty() {
            return self.density(call, span, scope);
        }
        if !matches!(scope.block, Block::Objective | Block::Output) {
            let what = format!("`{}` stands only in `output` and `objective`", word.word());
            let d = Diagnostic::new(Code::E0201, what).at(span, "");
            self.diags.push(match (word, scope.block) {
                (SiteWord::Sample, Block::Model) => {
                    d.help("a draw is a statement of its own: `z ~ Normal(mean = 0, scale = 1)`")
                }
                _ => d,
            });
            return Value::Error;
        }
        let name = match &call.args[..] {
            [arg] if arg.name.is_none() && call.over.is_empty() => is_name(&arg.value),
            _ => None,
        };
        let Some(name) = name else {
            let what = format!("`{}` takes the name of a site", word.word());
            return self.report(Code::E0405, what, span, "");
        };
        let Some(s) = self.model.find_site(&name.text) else {
            if !self.is_silent(&name.text)
                && !self.poisoned.contains(&name.text)
                && !self.is_drawn(&name.text)
            {
                let known: Vec<String> = self.model.sites.iter().map(|s| s.name.clone()).collect();
                let d =
                    Diagnostic::new(Code::E0201, format!("no site called `{}`", name.text)).at(name.span, "");
                self.diags.push(d.did_you_mean(&name.text, known.iter().map(String::as_str)));
            }
            return Value::Error;
        };
        self.of_site(word, s, name, span)
    }

    fn of_site(&mut self, word: SiteWord, s: SiteNo, name: &Name, span: Span) -> Value {
        let site = self.model.sites[s].clone();
        let refuse = |c: &mut Self, what: String, label: String| {
            c.diags.push(
                Diagnostic::new(Code::E0402, what).at(name.span, label).also(site.span, "declared here"),
            );
            Value::Error
        };
        let guided = site.guide.is_some();
        let finite = site.prior.family.is_enumerable() && site.prior.mixture.is_none();
        let plates: crate::model::AxisSet = site.plates.iter().copied().collect();
        let ty = match word {
            SiteWord::LogQ | SiteWord::Kl if !guided => {
                let what = format!("`{}` of `{}`, which the guide does not draw", word.word(), name.text);
                return refuse(self, what, "no distribution in the guide".into());
            }
            SiteWord::LogP | SiteWord::LogQ | SiteWord::Kl => Ty::new(plates, Support::Real),
            SiteWord::Prob
                if !finite || matches!(site.treat, None | Some(Treat::Point(_) | Treat::Prior)) =>
            {
                let what = format!("`prob` of `{}`, whose values are not summed", name.text);
                return refuse(self, what, "needs a latent with finitely many values".into());
            }
            SiteWord::Prob => {
                let t = site_ty(&site.prior, &site.plates, &site.axes);
                match site.prior.event {
                    Some(a) => {
                        let axes = t.axes.iter().copied().chain([a]).collect();
                        Ty { of: Some(a), ..Ty::new(axes, Support::Simplex) }
                    }
                    None => Ty::new(t.axes, Support::Unit),
                }
            }
            SiteWord::Sample => site_ty(&site.prior, &site.plates, &site.axes),
        };
        Value::Expr(self.push(ExprKind::OfSite(word, s), ty, span))
    }

    /// `argmax(x over axis)`: a label of the axis.
    pub(super) fn argmax(&mut self, least: bool, call: &Call, span: Span, scope: &mut Scope) -> Value {
        let over = self.over(call, scope);
        let bare = Call { over: vec![], ..call.clone() };
        let Some(mut x) = self.one(&bare, span, scope) else { return Value::Error };
        let Some(axes) = self.reduced_axes(x, over, call, span, scope) else { return Value::Error };
        let [axis] = axes[..] else {
            return self.report(Code::E0305, "the largest along one axis: say which", span, "");
        };
        if least {
            let t = Ty::new(self.ty(x).axes.clone(), Support::Real);
            x = self.push(ExprKind::Elem(Elem::Neg, vec![x]), t, span);
        }
        let left = self.ty(x).axes.iter().copied().filter(|a| *a != axis).collect();
        let t = Ty { of: Some(axis), ..Ty::new(left, Support::Category) };
        Value::Expr(self.push(ExprKind::ArgMax(x, axis), t, span))
    }

    /// The axis that is the only argument of a word.
    fn named_axis(&mut self, word: &str, call: &Call, span: Span, scope: &Scope) -> Option<AxisNo> {
        let name = match &call.args[..] {
            [arg] if arg.name.is_none() && call.over.is_empty() => is_name(&arg.value),
            _ => None,
        };
        match name {
            Some(name) => self.resolve_axis(name, scope),
            None => {
                let _ = self.report(Code::E0405, format!("`{word}` takes the name of an axis"), span, "");
                None
            }
        }
    }

    /// `size(axis)`: its number of elements.
    pub(super) fn size(&mut self, call: &Call, span: Span, scope: &Scope) -> Value {
        let Some(axis) = self.named_axis("size", call, span, scope) else { return Value::Error };
        Value::Expr(self.push(ExprKind::Size(axis), Ty::scalar(Support::Positive), span))
    }

    /// `uniform(axis)`: the same probability for each label.
    pub(super) fn uniform(&mut self, call: &Call, span: Span, scope: &Scope) -> Value {
        let Some(axis) = self.named_axis("uniform", call, span, scope) else { return Value::Error };
        let zero = self.constant(0.0, span);
        let t = Ty { of: Some(axis), ..Ty::new([axis].into(), Support::Simplex) };
        Value::Expr(self.push(ExprKind::Softmax(zero, axis), t, span))
    }

    /// `linspace(from, to)`, both included, along the axis declared on the left or after `over`.
    pub(super) fn linspace(&mut self, call: &Call, span: Span, scope: &mut Scope) -> Value {
        let over = self.over(call, scope);
        let bare = Call { over: vec![], ..call.clone() };
        let Some(ends) = self.exactly(&bare, 2, span, scope) else { return Value::Error };
        let Some(axis) = over.first().map(|o| o.0).or(scope.wanted) else {
            let d = Diagnostic::new(Code::E0305, "along which axis?").at(span, "");
            self.diags.push(d.help("write `linspace(from, to over axis)`"));
            return Value::Error;
        };
        let place = self.push(ExprKind::Place(axis), Ty::new([axis].into(), Support::Count), span);
        let kind = Reduction::Plain(ReduceKind::Max);
        let last = ExprKind::Reduce { kind, arg: place, over: vec![axis] };
        let last = self.push(last, Ty::scalar(Support::Count), span);
        let one = self.constant(1.0, span);
        let last = self.binary_elem(Elem::Max, last, one, span);
        let part = self.operator(BinaryOp::Div, place, last, span);
        let width = self.operator(BinaryOp::Sub, ends[1], ends[0], span);
        let rise = self.operator(BinaryOp::Mul, width, part, span);
        Value::Expr(self.operator(BinaryOp::Add, ends[0], rise, span))
    }

    /// `cosine(a, b over axis)`.
    pub(super) fn cosine(&mut self, call: &Call, span: Span, scope: &mut Scope) -> Value {
        let over = self.over(call, scope);
        let bare = Call { over: vec![], ..call.clone() };
        let Some(v) = self.exactly(&bare, 2, span, scope) else { return Value::Error };
        let product = self.operator(BinaryOp::Mul, v[0], v[1], span);
        let Some(axes) = self.reduced_axes(product, over, call, span, scope) else { return Value::Error };
        let sum = |c: &mut Self, x: ExprId, support| {
            let left = c.ty(x).axes.iter().copied().filter(|a| !axes.contains(a)).collect();
            let kind = Reduction::Plain(ReduceKind::Sum);
            let over = axes.clone();
            c.push(ExprKind::Reduce { kind, arg: x, over }, Ty::new(left, support), span)
        };
        let dot = sum(self, product, Support::Real);
        let least = self.constant(LEAST_SQUARE, span);
        let mut norms = vec![];
        for x in v {
            let square = self.operator(BinaryOp::Mul, x, x, span);
            let square = sum(self, square, Support::Nonneg);
            let square = self.binary_elem(Elem::Max, square, least, span);
            let t = Ty::new(self.ty(square).axes.clone(), Support::Positive);
            norms.push(self.push(ExprKind::Elem(Elem::Sqrt, vec![square]), t, span));
        }
        let norm = self.operator(BinaryOp::Mul, norms[0], norms[1], span);
        Value::Expr(self.operator(BinaryOp::Div, dot, norm, span))
    }
}
