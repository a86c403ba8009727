//! Expressions: names, operators, indexing, records, static choices.

use super::{Block, Checker, MAX_DEPTH, Open, Scope, Space, State, Value, numeric};
use crate::compiled::SlotKind;
use crate::diagnostic::{Code, Diagnostic, synonyms};
use crate::model::ty::{self, AxisNo, Sign, Ty};
use crate::model::{ExprId, ExprKind};
use crate::resolve::{Static, StaticEnv, presence};
use crate::source::Span;
use crate::syntax::ast::{self, BinaryOp, UnaryOp};
use autodiff_runtime::Elem;
use distributions::Support;
use std::collections::BTreeMap;

impl Checker<'_> {
    /// Evaluates any expression.
    pub(super) fn eval(&mut self, e: &ast::Expr, scope: &mut Scope) -> Value {
        if self.budget.depth >= MAX_DEPTH {
            self.too_large(e.span);
        }
        if self.budget.spent {
            return Value::Error;
        }
        self.budget.depth += 1;
        let value = self.eval_kind(e, scope);
        self.budget.depth -= 1;
        value
    }

    fn eval_kind(&mut self, e: &ast::Expr, scope: &mut Scope) -> Value {
        match &e.kind {
            ast::ExprKind::Number(text) => {
                Value::Expr(self.constant(text.parse().unwrap_or(f64::NAN), e.span))
            }
            ast::ExprKind::Bool(b) => Value::Expr(self.push_bool(*b, e.span)),
            ast::ExprKind::Text(_) => {
                self.report(Code::E0410, "a text is not a number", e.span, "only labels and paths are texts")
            }
            ast::ExprKind::Name(n) => self.name(n, scope),
            ast::ExprKind::Field { base, name } => self.part(base, name, scope),
            ast::ExprKind::Index { base, indices } => self.index(base, indices, e.span, scope),
            ast::ExprKind::Call(call) if presence(call).is_some() => self.present(call, e.span, scope),
            ast::ExprKind::Call(call) => self.call(call, e.span, scope),
            ast::ExprKind::Unary { op, operand } => self.unary(*op, operand, e.span, scope),
            ast::ExprKind::Binary { op, left, right } => self.binary(*op, left, right, e.span, scope),
            ast::ExprKind::Record(bindings) => self.record(bindings, scope),
            ast::ExprKind::Match { subject, arms } => self.choose(subject, arms, e.span, scope),
            ast::ExprKind::Error => Value::Error,
        }
    }

    /// Evaluates an expression that must be a number or array.
    pub(super) fn eval_expr(&mut self, e: &ast::Expr, scope: &mut Scope) -> Option<ExprId> {
        let what = match self.eval(e, scope) {
            Value::Expr(id) => return Some(id),
            Value::Error => return None,
            Value::Record(parts) => match self.stacked(&parts, e.span) {
                Some(id) => return Some(id),
                None => {
                    self.no_number(&parts, e.span);
                    return None;
                }
            },
            Value::Dist(_) => "a distribution",
            Value::Conditions(_) => "a list of conditions",
        };
        self.report(
            Code::E0402,
            format!("a number is needed here, not {what}"),
            e.span,
            format!("this is {what}"),
        );
        None
    }

    /// Evaluates an expression that takes part in arithmetic: not a category, not missing.
    pub(super) fn eval_number(&mut self, e: &ast::Expr, scope: &mut Scope) -> Option<ExprId> {
        let id = self.eval_expr(e, scope)?;
        self.number(id, e.span)
    }

    /// A value that takes part in arithmetic: not a category, not missing.
    pub(super) fn number(&mut self, id: ExprId, span: Span) -> Option<ExprId> {
        let t = self.ty(id).clone();
        if t.covariates || t.support == Support::Category {
            let what = if t.covariates { "covariates only condition" } else { "a category is not a number" };
            let d = Diagnostic::new(Code::E0410, what).at(span, format!("this is {}", self.show_ty(&t)));
            self.diags.push(
                d.help("use it as an index (`theta[batch]`), or after the bar of a net (`f(z | batch)`)"),
            );
            return None;
        }
        if t.may_miss {
            let d = Diagnostic::new(Code::E0406, "values may be missing here").at(span, self.show_ty(&t));
            self.diags.push(d.help("say what a missing value counts as: `fill(y, 0)`"));
            return None;
        }
        Some(id)
    }

    fn push_bool(&mut self, b: bool, span: Span) -> ExprId {
        self.push(ExprKind::Const(f64::from(u8::from(b))), Ty::scalar(Support::Bool), span)
    }

    fn name(&mut self, n: &ast::Name, scope: &mut Scope) -> Value {
        if let Some((_, v)) = scope.locals.iter().rev().find(|(name, _)| *name == n.text) {
            return v.clone();
        }
        if let Some(v) = StaticEnv(self.program).name(&n.text) {
            return match v {
                Static::Number(x) => Value::Expr(self.constant(x, n.span)),
                Static::Bool(b) => Value::Expr(self.push_bool(b, n.span)),
                Static::Word(_) | Static::Text(_) => {
                    let d =
                        Diagnostic::new(Code::E0410, format!("option `{}` is a word, not a number", n.text));
                    self.diags
                        .push(d.at(n.span, "").help(format!("decide by it: `match {} {{ … }}`", n.text)));
                    Value::Error
                }
            };
        }
        if !scope.in_net {
            if scope.block == Block::Guide && self.guide_has(&n.text) {
                return self.guide_name(n, scope);
            }
            if self.model_has(&n.text) {
                return self.model_name(n, scope);
            }
            if matches!(scope.block, Block::Objective | Block::Output) && self.objective_has(&n.text) {
                return self.objective_name(n, scope);
            }
            if scope.block != Block::Stat && self.is_partly(&n.text) {
                return self.partly_observed(n, scope);
            }
            if let Some(&f) = self.fields.get(&n.text) {
                return self.field(n, f, scope);
            }
            if let Some(stat) = self.program.stats.iter().find(|s| s.name.text == n.text) {
                return self.stat(stat, n);
            }
        }
        if let Some(v) = self.param(&n.text, n.span) {
            let table = |id: ExprId| self.model.plate.filter(|p| self.ty(id).axes.contains(p));
            if let Value::Expr(id) = v
                && let Some(p) = table(id).filter(|p| !scope.plates.contains(p))
            {
                return self.outside_plate(n, p);
            }
            return v;
        }
        if n.text == "training" {
            return Value::Expr(self.push(ExprKind::Training, Ty::scalar(Support::Bool), n.span));
        }
        self.unknown_name(n, scope)
    }

    /// `present(y)` as a value, and what is wrong with it.
    fn present(&mut self, call: &ast::Call, span: Span, scope: &Scope) -> Value {
        let e = ast::Expr { kind: ast::ExprKind::Call(Box::new(call.clone())), span };
        match (StaticEnv(self.program).eval(&e), presence(call)) {
            (Some(Static::Bool(b)), _) => Value::Expr(self.push_bool(b, span)),
            (_, Some(n)) => self.unknown_name(n, scope),
            _ => Value::Error,
        }
    }

    pub(super) fn unknown_name(&mut self, n: &ast::Name, scope: &Scope) -> Value {
        if self.is_switched_off(&n.text, scope) {
            let d = Diagnostic::new(Code::E0201, format!("`{}` is switched off", n.text));
            let d = d.at(n.span, "declared only in a `when` that does not hold");
            self.diags.push(d.help("read it in a `when` of the same condition"));
            self.poisoned.insert(n.text.clone());
            return Value::Error;
        }
        if self.is_silent(&n.text) {
            return Value::Error;
        }
        let mut known: Vec<String> = scope.locals.iter().map(|l| l.0.clone()).collect();
        known.extend(self.visible_names());
        let outside = scope.in_net && known.contains(&n.text) && !scope.locals.iter().any(|l| l.0 == n.text);
        let mut d = Diagnostic::new(Code::E0201, format!("no value called `{}`", n.text))
            .at(n.span, "not found here");
        if outside {
            d = d
                .help(format!("a net sees only its inputs and parameters: pass `{}` as an argument", n.text));
        } else if self.model.find_axis(&n.text).is_some() {
            d = d.help(format!("`{}` is an axis; axes stand in brackets and after `over`", n.text));
        } else {
            let near = crate::diagnostic::nearest(&n.text, known.iter().map(String::as_str));
            if let [only] = near[..] {
                d = d.suggest(n.span, only);
            }
            d = match (synonyms::truth(&n.text), near.is_empty()) {
                (Some(here), _) => d.help(format!("write `{here}`")).suggest(n.span, here),
                (None, false) => d.did_you_mean(&n.text, known.iter().map(String::as_str)),
                (None, true) if scope.in_net => d,
                (None, true) => d.help(self.declare_it(&n.text, scope)),
            };
            // One misspelling gives one message, however often it is read.
            self.poisoned.insert(n.text.clone());
        }
        self.diags.push(d);
        Value::Error
    }

    /// How a name that is like no other could be declared.
    fn declare_it(&self, name: &str, scope: &Scope) -> String {
        let fields: Vec<&str> = self.model.fields.iter().map(|f| f.slot.name.as_str()).collect();
        let fields = match fields[..] {
            [] => String::new(),
            _ => format!("; the fields are `{}`", fields.join("`, `")),
        };
        match scope.block {
            Block::Model | Block::Guide => {
                format!(
                    "a parameter is declared at the top level, `param {name}`, data in `data {{ … }}`{fields}"
                )
            }
            _ => format!("data are declared in `data {{ … }}`{fields}"),
        }
    }

    pub(super) fn field(&mut self, n: &ast::Name, f: usize, scope: &Scope) -> Value {
        let t = self.model.fields[f].ty.clone();
        if scope.block != Block::Stat {
            let mut plates = self.program_plates();
            plates.retain(|p| t.axes.contains(p));
            // With one of its plates open, the axes of the others are its own.
            if let (Some(p), false) = (plates.first(), plates.iter().any(|p| scope.plates.contains(p))) {
                return self.outside_plate(n, *p);
            }
        }
        let slot = &self.model.fields[f].slot;
        let sure = self.guards.contains(&n.text);
        if slot.optional && !sure && !matches!(slot.kind, SlotKind::Category | SlotKind::Covariates) {
            let d = Diagnostic::new(Code::E0407, format!("`{}` is optional and may be absent", n.text))
                .at(n.span, "");
            let d = d.also(slot.span, "declared `optional`");
            self.diags.push(d.help(format!("read it where it is there: `when present({}) {{ … }}`", n.text)));
            return Value::Error;
        }
        let t = Ty { may_miss: t.may_miss && !self.known_here.contains(&n.text), ..t };
        Value::Expr(self.push(ExprKind::Field(f), t, n.span))
    }

    /// E0311.
    pub(super) fn outside_plate(&mut self, n: &ast::Name, p: AxisNo) -> Value {
        let p = self.model.axis_name(p).to_owned();
        let d = Diagnostic::new(Code::E0311, format!("`{}` is used outside its plate", n.text));
        let d = d.at(n.span, format!("has one value for each {p}"));
        self.diags.push(d.help(format!(
            "move this into `plate {p} {{ … }}`; for one number over every {p} declare a `stat`"
        )));
        Value::Error
    }

    fn part(&mut self, base: &ast::Expr, name: &ast::Name, scope: &mut Scope) -> Value {
        match self.eval(base, scope) {
            Value::Record(parts) => match parts.get(&name.text) {
                Some(v) => v.clone(),
                // Its record may be another's arm too.
                None if scope.dead => Value::Error,
                None => {
                    let d = Diagnostic::new(Code::E0201, format!("no part called `{}`", name.text))
                        .at(name.span, "");
                    let d = d.did_you_mean(&name.text, parts.keys().map(String::as_str));
                    let all: Vec<&str> = parts.keys().map(String::as_str).collect();
                    let all = format!("its parts are {}", all.join(", "));
                    self.diags.push(d.also(base.span, all));
                    Value::Error
                }
            },
            Value::Error => Value::Error,
            Value::Expr(id) if self.labelled_part(id, name, base.span, scope).is_some() => {
                Value::Expr(ExprId(self.model.exprs.len() as u32 - 1))
            }
            _ => self.report(
                Code::E0201,
                format!("no part `{}` here: this is not a record", name.text),
                name.span,
                "",
            ),
        }
    }

    fn record(&mut self, bindings: &[ast::Binding], scope: &mut Scope) -> Value {
        let mut parts = BTreeMap::new();
        for b in bindings {
            let value = self.with_path(&b.name.text, &b.value, scope);
            if parts.insert(b.name.text.clone(), value).is_some() {
                self.report(
                    Code::E0202,
                    format!("`{}` stands twice in this record", b.name.text),
                    b.name.span,
                    "again here",
                );
            }
        }
        Value::Record(parts)
    }

    /// Evaluates under a longer parameter path; layers are counted anew.
    pub(super) fn with_path(&mut self, part: &str, e: &ast::Expr, scope: &mut Scope) -> Value {
        let Some(path) = scope.path.clone() else { return self.eval(e, scope) };
        scope.path = Some(format!("{path}.{part}"));
        let outer = std::mem::take(&mut scope.repeats);
        super::layer::count_layers(e, &mut scope.repeats);
        let value = self.eval(e, scope);
        scope.repeats = outer;
        scope.path = Some(path);
        value
    }

    /// Every arm is evaluated, so that mistakes in it are found; one is the value.
    fn choose(&mut self, subject: &ast::Name, arms: &[ast::Arm], span: Span, scope: &mut Scope) -> Value {
        let Some(option) = self.program.options.get(&subject.text) else {
            let known: Vec<&str> = self.program.option_order.iter().map(String::as_str).collect();
            let d = Diagnostic::new(
                Code::E0201,
                format!("`match` decides by an option, and `{}` is none", subject.text),
            );
            self.diags.push(d.at(subject.span, "").did_you_mean(&subject.text, known));
            return Value::Error;
        };
        option.used.set(true);
        let (value, choices) = (option.value.to_string(), option.decl.choices.clone());
        let declared = option.decl.span;
        let mut chosen = None;
        let (outer, repeats) = (scope.dead, scope.repeats.clone());
        for (i, arm) in arms.iter().enumerate() {
            if let Some(first) = arms[..i].iter().find(|a| a.label.text == arm.label.text) {
                let d = Diagnostic::new(Code::E0202, format!("`{}` has two arms", arm.label.text));
                self.diags.push(d.at(arm.label.span, "again here").also(first.label.span, "first here"));
            }
            if !choices.is_empty() && !choices.iter().any(|c| c.text == arm.label.text) {
                let names = choices.iter().map(|c| c.text.as_str());
                let d = Diagnostic::new(
                    Code::E0201,
                    format!("`{}` is not a choice of `{}`", arm.label.text, subject.text),
                );
                self.diags.push(
                    d.at(arm.label.span, "")
                        .also(declared, "declared here")
                        .did_you_mean(&arm.label.text, names),
                );
            }
            // Arms share the numbers of their layers.
            scope.repeats.clone_from(&repeats);
            scope.dead = outer || arm.label.text != value;
            let v = self.eval_arm(&arm.value, scope);
            if arm.label.text == value {
                chosen.get_or_insert(v);
            }
        }
        scope.dead = outer;
        for arm in arms {
            let mut used = BTreeMap::new();
            super::layer::count_layers(&arm.value, &mut used);
            for (kind, (n, _)) in used {
                let before = repeats.get(&kind).map_or(0, |r| r.1);
                let now = scope.repeats.entry(kind).or_insert((1, 0));
                now.1 = now.1.max(before + n);
            }
        }
        chosen.unwrap_or_else(|| {
            let d = Diagnostic::new(
                Code::E0201,
                format!("no arm for `{value}`, the value of `{}`", subject.text),
            );
            self.diags
                .push(d.at(span, "").also(declared, "declared here").help(format!("add `{value} => …`")));
            Value::Error
        })
    }

    /// An arm; one that is not chosen does not count as a use of options.
    fn eval_arm(&mut self, e: &ast::Expr, scope: &mut Scope) -> Value {
        if !scope.dead {
            return self.eval(e, scope);
        }
        let used: Vec<bool> = self.program.options.values().map(|o| o.used.get()).collect();
        let value = self.eval(e, scope);
        self.program.options.values().zip(used).for_each(|(o, u)| o.used.set(u));
        value
    }

    fn unary(&mut self, op: UnaryOp, operand: &ast::Expr, span: Span, scope: &mut Scope) -> Value {
        let Some(x) = self.eval_number(operand, scope) else { return Value::Error };
        let t = self.ty(x).clone();
        match (op, &self.model.expr(x).kind) {
            (UnaryOp::Neg, ExprKind::Const(c)) => {
                let c = -*c;
                Value::Expr(self.constant(c, span))
            }
            (UnaryOp::Neg, _) => Value::Expr(self.push(
                ExprKind::Elem(Elem::Neg, vec![x]),
                Ty::new(t.axes, Support::Real),
                span,
            )),
            (UnaryOp::Not, _) if t.support == Support::Bool => {
                Value::Expr(self.push(ExprKind::Elem(Elem::Not, vec![x]), t, span))
            }
            (UnaryOp::Not, _) => {
                self.report(Code::E0411, "`not` needs a truth value", operand.span, self.show_ty(&t))
            }
        }
    }

    fn binary(
        &mut self,
        op: BinaryOp,
        left: &ast::Expr,
        right: &ast::Expr,
        span: Span,
        scope: &mut Scope,
    ) -> Value {
        if let Some(Static::Bool(b)) = StaticEnv(self.program).eval(&ast::Expr {
            kind: ast::ExprKind::Binary { op, left: Box::new(left.clone()), right: Box::new(right.clone()) },
            span,
        }) {
            return Value::Expr(self.push_bool(b, span));
        }
        if let Some(v) = self.label_comparison(op, left, right, span, scope) {
            return v;
        }
        let (l, r) = (self.eval_number(left, scope), self.eval_number(right, scope));
        let (Some(l), Some(r)) = (l, r) else { return Value::Error };
        if let (ExprKind::Const(a), ExprKind::Const(b)) = (&self.model.expr(l).kind, &self.model.expr(r).kind)
            && let Some(x) = fold(op, *a, *b)
        {
            return Value::Expr(self.constant(x, span));
        }
        if matches!(op, BinaryOp::And | BinaryOp::Or) {
            for (id, e) in [(l, left), (r, right)] {
                if self.ty(id).support != Support::Bool {
                    let t = self.ty(id).clone();
                    return self.report(
                        Code::E0411,
                        format!("`{}` needs truth values", op.symbol()),
                        e.span,
                        self.show_ty(&t),
                    );
                }
            }
        }
        Value::Expr(self.operator(op, l, r, span))
    }

    /// An operator on two typed values.
    pub(super) fn operator(&mut self, op: BinaryOp, l: ExprId, r: ExprId, span: Span) -> ExprId {
        let axes = self.ty(l).axes.union(&self.ty(r).axes).copied().collect();
        let ty = Ty::new(axes, self.operator_support(op, l, r));
        let elem = |c: &mut Self, e, a, b| c.push(ExprKind::Elem(e, vec![a, b]), ty.clone(), span);
        match op {
            BinaryOp::Add => elem(self, Elem::Add, l, r),
            BinaryOp::Sub => elem(self, Elem::Sub, l, r),
            BinaryOp::Mul => elem(self, Elem::Mul, l, r),
            BinaryOp::Div => elem(self, Elem::Div, l, r),
            BinaryOp::Pow => elem(self, Elem::Pow, l, r),
            BinaryOp::And => elem(self, Elem::And, l, r),
            BinaryOp::Or => elem(self, Elem::Or, l, r),
            BinaryOp::Eq => elem(self, Elem::Eq, l, r),
            BinaryOp::Lt => elem(self, Elem::Lt, l, r),
            BinaryOp::Le => elem(self, Elem::Le, l, r),
            BinaryOp::Gt => elem(self, Elem::Lt, r, l),
            BinaryOp::Ge => elem(self, Elem::Le, r, l),
            BinaryOp::Ne => {
                let eq = elem(self, Elem::Eq, l, r);
                self.push(ExprKind::Elem(Elem::Not, vec![eq]), ty.clone(), span)
            }
        }
    }

    /// The sign of a value: of a literal by its value, else by its support.
    pub(super) fn sign(&self, id: ExprId) -> Sign {
        match self.model.expr(id).kind {
            ExprKind::Const(c) => Sign { nonneg: c >= 0.0, positive: c > 0.0 },
            _ => ty::sign_of(numeric(self.ty(id).support)),
        }
    }

    fn operator_support(&self, op: BinaryOp, l: ExprId, r: ExprId) -> Support {
        let (a, b) = (self.sign(l), self.sign(r));
        let (sa, sb) = (numeric(self.ty(l).support), numeric(self.ty(r).support));
        let counts = sa.is_within(Support::Count) && sb.is_within(Support::Count);
        match op {
            BinaryOp::Add if counts && !(a.positive || b.positive) => Support::Count,
            BinaryOp::Add => ty::of_sign(Sign {
                nonneg: a.nonneg && b.nonneg,
                positive: (a.positive && b.nonneg) || (a.nonneg && b.positive),
            }),
            BinaryOp::Mul if counts => Support::Count,
            BinaryOp::Mul if sa.is_within(Support::Unit) && sb.is_within(Support::Unit) => Support::Unit,
            BinaryOp::Mul if l == r => ty::of_sign(Sign { nonneg: true, positive: a.positive }),
            BinaryOp::Mul | BinaryOp::Div => {
                ty::of_sign(Sign { nonneg: a.nonneg && b.nonneg, positive: a.positive && b.positive })
            }
            BinaryOp::Pow => match self.model.expr(r).kind {
                ExprKind::Const(c) if c.fract() == 0.0 && c % 2.0 == 0.0 => {
                    ty::of_sign(Sign { nonneg: true, positive: a.positive })
                }
                _ => ty::of_sign(a),
            },
            BinaryOp::Sub => match self.model.expr(l).kind {
                // 1 − p of a probability is a probability.
                ExprKind::Const(1.0) if sb.is_within(Support::Unit) => Support::Unit,
                _ => Support::Real,
            },
            _ => Support::Bool,
        }
    }

    /// The value of a statement, evaluated on first use; a circle is reported once.
    pub(super) fn lazily(
        &mut self,
        space: Space,
        n: &ast::Name,
        eval: impl FnOnce(&mut Self) -> Value,
    ) -> Value {
        let key = (space, n.text.clone());
        match self.states.get(&key) {
            Some(State::Done(v)) => return v.clone(),
            Some(State::Open) => return self.circle(space, n),
            None => {}
        }
        self.states.insert(key.clone(), State::Open);
        self.open.push(Open { space, name: n.text.clone(), span: n.span });
        // A definition is one value for all who read it.
        let known_here = std::mem::take(&mut self.known_here);
        let v = eval(self);
        self.known_here = known_here;
        self.open.pop();
        self.states.insert(key, State::Done(v.clone()));
        v
    }

    /// E0208, with the circle, if `n` is being evaluated.
    pub(super) fn circle(&mut self, space: Space, n: &ast::Name) -> Value {
        let from = self.open.iter().position(|o| o.space == space && o.name == n.text).unwrap_or(0);
        let steps: Vec<(String, Span)> = self.open[from..].iter().map(|o| (o.name.clone(), o.span)).collect();
        let mut names: Vec<&str> = steps.iter().map(|s| s.0.as_str()).collect();
        names.push(&n.text);
        let mut d = Diagnostic::new(Code::E0208, format!("`{}` is defined by itself", n.text))
            .at(n.span, format!("needs `{}` again", n.text));
        for pair in steps.windows(2) {
            d = d.also(pair[1].1, format!("`{}` needs `{}`", pair[0].0, pair[1].0));
        }
        if steps.len() > 1 {
            d = d.note(format!("the circle: {}", names.join(" → ")));
        }
        self.diags.push(d);
        Value::Error
    }
}

fn fold(op: BinaryOp, a: f64, b: f64) -> Option<f64> {
    let x = match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Pow => a.powf(b),
        _ => return None,
    };
    x.is_finite().then_some(x)
}
