//! Calls: of families, nets, functions, layers and the language's own functions.

use super::layer::KINDS;
use super::words::SITE_WORDS;
use super::{Block, Checker, Scope, Value, is_name, numeric};
use crate::diagnostic::{Code, Diagnostic, synonyms};
use crate::model::Reduction;
use crate::model::ty::{self, Sign, Ty};
use crate::model::{Activation, ExprId, ExprKind};
use crate::source::Span;
use crate::syntax::ast::{self, Call};
use autodiff_runtime::{Elem, ReduceKind};
use distributions::Support;

/// How the support of a function's value follows from its argument's.
#[derive(Clone, Copy)]
enum Rule {
    Fixed(Support),
    /// Non-negative arguments give non-negative values; nothing is known otherwise.
    KeepsNonneg,
    /// Positive stays positive; the value is never negative.
    NonnegKeepsPositive,
}

/// Elementwise functions of one argument.
const FUNCTIONS: [(&str, Elem, Rule); 15] = [
    ("exp", Elem::Exp, Rule::Fixed(Support::Positive)),
    ("log", Elem::Log, Rule::Fixed(Support::Real)),
    ("log1p", Elem::Log1p, Rule::KeepsNonneg),
    ("expm1", Elem::Expm1, Rule::KeepsNonneg),
    ("sqrt", Elem::Sqrt, Rule::NonnegKeepsPositive),
    ("square", Elem::Square, Rule::NonnegKeepsPositive),
    ("abs", Elem::Abs, Rule::NonnegKeepsPositive),
    ("floor", Elem::Floor, Rule::KeepsNonneg),
    ("sigmoid", Elem::Sigmoid, Rule::Fixed(Support::Unit)),
    ("softplus", Elem::Softplus, Rule::Fixed(Support::Positive)),
    ("relu", Elem::Relu, Rule::Fixed(Support::Nonneg)),
    ("tanh", Elem::Tanh, Rule::KeepsNonneg),
    ("lgamma", Elem::Lgamma, Rule::Fixed(Support::Real)),
    ("digamma", Elem::Digamma, Rule::Fixed(Support::Real)),
    ("erf", Elem::Erf, Rule::KeepsNonneg),
];

/// Reductions with the way they combine.
pub(super) const REDUCTIONS: [(&str, Reduction); 7] = [
    ("sum", Reduction::Plain(ReduceKind::Sum)),
    ("prod", Reduction::Plain(ReduceKind::Prod)),
    ("max", Reduction::Plain(ReduceKind::Max)),
    ("min", Reduction::Plain(ReduceKind::Min)),
    ("logsumexp", Reduction::Plain(ReduceKind::LogSumExp)),
    ("mean", Reduction::Mean),
    ("var", Reduction::Var),
];

/// Other words that are called.
const OTHERS: [&str; 24] = [
    "softmax", "clamp", "select", "stop", "ramp", "E", "pow", "fill", "observed", "argmax", "argmin", "prob",
    "sample", "logp", "logq", "kl", "uniform", "linspace", "cosine", "Mixture", "onehot", "size", "labels",
    "stored",
];

/// Words that are called in one place only, and what to say elsewhere.
const ELSEWHERE: [(&str, &str, &str); 3] = [
    (
        "pool",
        "`pool` stands only in an adversary",
        "`adversary a { predict source(cell, spot) from pool(z, w) with critic }` tells values of plates apart",
    ),
    (
        "mc",
        "`mc` stands only in an `estimate`",
        "write `estimate kl(z) by mc(30)`; draws for all terms are `train { samples = 30 }`",
    ),
    ("present", "`present` asks for a field by its name", "write `when present(y) { … }`"),
];

/// Whether a call of this name means something without any declaration.
pub(crate) fn is_builtin(name: &str) -> bool {
    distributions::find(name).is_some()
        || KINDS.contains(&name)
        || OTHERS.contains(&name)
        || ELSEWHERE.iter().any(|w| w.0 == name)
        || REDUCTIONS.iter().any(|r| r.0 == name)
        || FUNCTIONS.iter().any(|f| f.0 == name)
        || Activation::find(name).is_some()
        || ["normal"].contains(&name)
}

/// The function of that many numbers, if the language has it.
pub(crate) fn number_function(name: &str, n_args: usize) -> Option<Elem> {
    match (name, n_args) {
        ("min", 2) => Some(Elem::Min),
        ("max", 2) => Some(Elem::Max),
        (_, 1) => FUNCTIONS.iter().find(|f| f.0 == name).map(|f| f.1),
        _ => None,
    }
}

/// What `average` may have meant.
const AVERAGE: &str = "along an axis it is `mean(e over axis)`; guides of several inputs are averaged by their parameters: \
`Normal(mean = w * a.mean + (1 - w) * b.mean, …)` of nets that return `{ mean = …, … }`";

impl Checker<'_> {
    pub(super) fn call(&mut self, call: &Call, span: Span, scope: &mut Scope) -> Value {
        if !call.given.is_empty() {
            return self.given(call, span, scope);
        }
        if let Some(filter) = &call.filter
            && !is_name(&call.callee).is_some_and(|n| REDUCTIONS.iter().any(|r| r.0 == n.text))
        {
            let d = Diagnostic::new(Code::E0405, "`where` chooses the elements of a reduction")
                .at(filter.span, "");
            self.diags.push(d.help("write it in `sum`, `mean`, `max` and their like"));
            return Value::Error;
        }
        let Some(callee) = is_name(&call.callee) else { return self.indexed_call(call, span, scope) };
        let name = callee.text.as_str();
        if let Some(family) = distributions::find(name) {
            return self.family(family, call, span, scope);
        }
        if let Some(net) = self.program.nets.iter().find(|n| n.name.text == name) {
            return self.net(net, callee, call, span, scope);
        }
        if let Some(f) = self.program.fns.iter().find(|f| f.name.text == name) {
            return self.function(f, callee, call, span, scope);
        }
        if let Some(p) = self.program.primitives.find(name).cloned() {
            return self.primitive(p, callee, call, span, scope);
        }
        if KINDS.contains(&name) {
            return self.layer(callee, &[], call, span, scope);
        }
        if let Some(&(_, kind)) = REDUCTIONS.iter().find(|r| r.0 == name) {
            return self.reduction(name, kind, call, span, scope);
        }
        if let Some(&(_, elem, rule)) = FUNCTIONS.iter().find(|f| f.0 == name) {
            return self.elementwise(elem, rule, call, span, scope);
        }
        if let Some(&word) = SITE_WORDS.iter().find(|w| w.word() == name) {
            return self.site_word(word, call, span, scope);
        }
        if let Some(a) = Activation::find(name) {
            return match self.one(call, span, scope) {
                Some(x) => Value::Expr(self.activated(a, x, span)),
                None => Value::Error,
            };
        }
        match name {
            "softmax" => self.softmax(call, span, scope),
            "argmax" | "argmin" => self.argmax(name == "argmin", call, span, scope),
            "uniform" => self.uniform(call, span, scope),
            "size" => self.size(call, span, scope),
            "labels" => self.labels(call, span, scope),
            "stored" => self.stored(call, span, scope),
            "linspace" => self.linspace(call, span, scope),
            "cosine" => self.cosine(call, span, scope),
            "Mixture" => self.mixture(call, span, scope),
            "clamp" => self.clamp(call, span, scope),
            "select" => self.select(call, span, scope),
            "stop" => match self.one(call, span, scope) {
                Some(x) => {
                    let t = self.ty(x).clone();
                    Value::Expr(self.push(ExprKind::Stop(x), t, span))
                }
                None => Value::Error,
            },
            "ramp" => self.ramp(call, span),
            "fill" => self.fill(call, span, scope),
            "onehot" => self.one_hot(call, span, scope),
            "observed" => self.observed_call(call, span, scope),
            "E" => match self.one(call, span, scope) {
                Some(x) if matches!(scope.block, Block::Output | Block::Objective) => {
                    let t = self.ty(x).clone();
                    Value::Expr(self.push(ExprKind::Average(x), t, span))
                }
                Some(_) => self.report(Code::E0201, "`E` stands only in `output` and `objective`", span, ""),
                None => Value::Error,
            },
            _ => self.unknown_callee(callee, scope),
        }
    }

    /// A call of `name[axis](…)`, which only layers take, or of what is no name at all.
    fn indexed_call(&mut self, call: &Call, span: Span, scope: &mut Scope) -> Value {
        if let ast::ExprKind::Field { base, name } = &call.callee.kind {
            let shown = is_name(base).map_or("…", |n| n.text.as_str());
            let what = format!("`{shown}.{}(…)` is written otherwise here", name.text);
            let help = match REDUCTIONS.iter().any(|r| r.0 == name.text) {
                true => format!(
                    "functions stand before what they take, and axes have names: `{}({shown} over gene)`",
                    name.text
                ),
                false => format!("functions stand before what they take: `{}({shown})`", name.text),
            };
            self.diags.push(Diagnostic::new(Code::E0105, what).at(call.callee.span, "").help(help));
            return Value::Error;
        }
        if let ast::ExprKind::Index { base, indices } = &call.callee.kind
            && let Some(name) = is_name(base)
        {
            if KINDS.contains(&name.text.as_str()) {
                return self.layer(name, indices, call, span, scope);
            }
            if self.callable(&name.text) {
                let what = format!("`{}` takes no axis in brackets", name.text);
                let d = Diagnostic::new(Code::E0405, what).at(call.callee.span, "");
                self.diags.push(d.help("output axes are given to the layers inside a net"));
                return Value::Error;
            }
            if !self.somewhere(&name.text) {
                return self.unknown_callee(name, scope);
            }
        }
        if let Value::Error = self.eval(&call.callee, scope) {
            return Value::Error;
        }
        self.report(Code::E0201, "this cannot be called", call.callee.span, "not a function, net or family")
    }

    pub(super) fn unknown_callee(&mut self, callee: &ast::Name, scope: &mut Scope) -> Value {
        if self.is_switched_off(&callee.text, scope) {
            return self.unknown_name(callee, scope);
        }
        if self.is_silent(&callee.text) {
            return Value::Error;
        }
        if let Some((_, what, help)) = ELSEWHERE.iter().find(|w| w.0 == callee.text) {
            self.diags.push(Diagnostic::new(Code::E0405, *what).at(callee.span, "").help(*help));
            return Value::Error;
        }
        let mut known: Vec<&str> = distributions::FAMILIES.iter().map(|f| f.name()).collect();
        known.extend(self.program.nets.iter().map(|n| n.name.text.as_str()));
        known.extend(self.program.fns.iter().map(|n| n.name.text.as_str()));
        known.extend(KINDS.iter().chain(&OTHERS).copied());
        known.extend(self.program.primitives.names());
        known.extend(Activation::ALL.iter().map(|a| a.0));
        known.extend(REDUCTIONS.iter().map(|r| r.0).chain(FUNCTIONS.iter().map(|f| f.0)));
        let d = Diagnostic::new(
            Code::E0201,
            format!("no function, net or distribution called `{}`", callee.text),
        );
        let d = d.at(callee.span, "");
        if let Some(here) = synonyms::called(&callee.text) {
            self.diags.push(d.help(format!("it is called `{here}` here")).suggest(callee.span, here));
            return Value::Error;
        }
        if callee.text == "average" {
            self.diags.push(d.help(AVERAGE));
            return Value::Error;
        }
        let mut d = d.did_you_mean(&callee.text, known);
        if scope.locals.iter().any(|l| l.0 == callee.text) || self.visible_names().contains(&callee.text) {
            d = d.help(format!(
                "`{}` is a value and cannot be called; an index stands in brackets",
                callee.text
            ));
        }
        self.diags.push(d);
        Value::Error
    }

    /// The only argument, by position.
    pub(super) fn one(&mut self, call: &Call, span: Span, scope: &mut Scope) -> Option<ExprId> {
        match self.exactly(call, 1, span, scope)?.as_slice() {
            [x] => Some(*x),
            _ => None,
        }
    }

    /// `n` numbers by position and nothing else.
    pub(super) fn exactly(
        &mut self,
        call: &Call,
        n: usize,
        span: Span,
        scope: &mut Scope,
    ) -> Option<Vec<ExprId>> {
        if let Some(arg) = call.args.iter().chain(&call.conditions).find(|a| a.name.is_some()) {
            let name = arg.name.as_ref().map_or("", |n| n.text.as_str());
            self.report(Code::E0405, format!("this function has no argument called `{name}`"), arg.span, "");
            return None;
        }
        if let Some(over) = call.over.first() {
            self.report(Code::E0405, "this function takes no `over`", over.span, "works on each element");
            return None;
        }
        if call.args.len() != n || !call.conditions.is_empty() {
            let plural = if n == 1 { "" } else { "s" };
            self.report(
                Code::E0405,
                format!("this function takes {n} argument{plural}"),
                span,
                format!("{} given", call.args.len()),
            );
            return None;
        }
        let args: Vec<Option<ExprId>> = call.args.iter().map(|a| self.eval_number(&a.value, scope)).collect();
        args.into_iter().collect()
    }

    fn elementwise(&mut self, elem: Elem, rule: Rule, call: &Call, span: Span, scope: &mut Scope) -> Value {
        let Some(x) = self.one(call, span, scope) else { return Value::Error };
        if let ExprKind::Const(c) = self.model.expr(x).kind {
            return Value::Expr(self.constant(elem.eval(&[c]), span));
        }
        let s = self.sign(x);
        let support = match rule {
            Rule::Fixed(support) => support,
            Rule::KeepsNonneg => {
                ty::of_sign(Sign { nonneg: s.nonneg, positive: s.positive && elem != Elem::Floor })
            }
            Rule::NonnegKeepsPositive => ty::of_sign(Sign { nonneg: true, positive: s.positive }),
        };
        let t = Ty::new(self.ty(x).axes.clone(), support);
        Value::Expr(self.push(ExprKind::Elem(elem, vec![x]), t, span))
    }

    fn softmax(&mut self, call: &Call, span: Span, scope: &mut Scope) -> Value {
        let over = self.over(call, scope);
        let bare = Call { over: vec![], ..call.clone() };
        let Some(x) = self.one(&bare, span, scope) else { return Value::Error };
        let Some(axes) = self.reduced_axes(x, over, call, span, scope) else { return Value::Error };
        let [axis] = axes[..] else {
            return self.report(
                Code::E0409,
                "a simplex runs along one axis",
                span,
                format!("{} axes", axes.len()),
            );
        };
        let t = Ty { of: Some(axis), ..Ty::new(self.ty(x).axes.clone(), Support::Simplex) };
        Value::Expr(self.push(ExprKind::Softmax(x, axis), t, span))
    }

    /// `onehot(c)`: 1 at the label of a category along its axis, 0 elsewhere.
    fn one_hot(&mut self, call: &Call, span: Span, scope: &mut Scope) -> Value {
        let [arg] = &call.args[..] else {
            let label = format!("{} given", call.args.len());
            return self.report(Code::E0405, "`onehot` takes one category", span, label);
        };
        let Some(x) = self.eval_expr(&arg.value, scope) else { return Value::Error };
        let t = self.ty(x).clone();
        match t.of {
            Some(axis) if t.support == Support::Category && !t.may_miss && !t.axes.contains(&axis) => {
                let axes = t.axes.iter().copied().chain([axis]).collect();
                Value::Expr(self.push(ExprKind::OneHot(x, axis), Ty::new(axes, Support::Bool), span))
            }
            _ => {
                let shown = self.show_ty(&t);
                self.report(Code::E0401, "`onehot` takes a category or an index", arg.span, shown)
            }
        }
    }

    fn clamp(&mut self, call: &Call, span: Span, scope: &mut Scope) -> Value {
        let Some(a) = self.exactly(call, 3, span, scope) else { return Value::Error };
        let low = self.binary_elem(Elem::Max, a[0], a[1], span);
        Value::Expr(self.binary_elem(Elem::Min, low, a[2], span))
    }

    /// Minimum or maximum of two values.
    pub(super) fn binary_elem(&mut self, elem: Elem, a: ExprId, b: ExprId, span: Span) -> ExprId {
        let (x, y) = (self.sign(a), self.sign(b));
        let sign = match elem {
            Elem::Max => Sign { nonneg: x.nonneg || y.nonneg, positive: x.positive || y.positive },
            _ => Sign { nonneg: x.nonneg && y.nonneg, positive: x.positive && y.positive },
        };
        let axes = self.ty(a).axes.union(&self.ty(b).axes).copied().collect();
        self.push(ExprKind::Elem(elem, vec![a, b]), Ty::new(axes, ty::of_sign(sign)), span)
    }

    fn select(&mut self, call: &Call, span: Span, scope: &mut Scope) -> Value {
        let Some(a) = self.exactly(call, 3, span, scope) else { return Value::Error };
        if self.ty(a[0]).support != Support::Bool {
            let t = self.ty(a[0]).clone();
            return self.report(
                Code::E0411,
                "`select` needs a truth value first",
                call.args[0].span,
                self.show_ty(&t),
            );
        }
        let (x, y) = (numeric(self.ty(a[1]).support), numeric(self.ty(a[2]).support));
        let axes = a.iter().flat_map(|i| self.ty(*i).axes.iter().copied()).collect();
        Value::Expr(self.push(ExprKind::Elem(Elem::Select, a), Ty::new(axes, ty::join(x, y)), span))
    }

    fn ramp(&mut self, call: &Call, span: Span) -> Value {
        let mut values = vec![];
        let mut epochs = None;
        for arg in &call.args {
            let Some(x) = self.static_number(&arg.value) else { return Value::Error };
            match &arg.name {
                None => values.push(x),
                Some(n) if n.text == "epochs" => epochs = Some(x),
                Some(n) => {
                    let what = format!("`ramp` has no argument called `{}`", n.text);
                    return self.report(Code::E0405, what, arg.span, "it takes `ramp(from, to, epochs = n)`");
                }
            }
        }
        let ([from, to], Some(epochs)) = (&values[..], epochs) else {
            return self.report(Code::E0403, "`ramp` takes `ramp(from, to, epochs = n)`", span, "");
        };
        if epochs < 0.0 {
            return self.report(Code::E0401, "a ramp cannot last a negative number of epochs", span, "");
        }
        let support = ty::join(ty::of_number(*from), ty::of_number(*to));
        Value::Expr(self.push(ExprKind::Ramp { from: *from, to: *to, epochs }, Ty::scalar(support), span))
    }
}
