//! Nets and functions: written out where they are called.

use super::{Checker, Open, Scope, Space, Value};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::ExprId;
use crate::source::Span;
use crate::syntax::ast::{self, Call};
use distributions::Support;

impl Checker<'_> {
    /// Expands a net: its inputs are bound, its definitions evaluated, its parameters keep the net's path.
    pub(super) fn net(
        &mut self,
        net: &ast::Net,
        callee: &ast::Name,
        call: &Call,
        span: Span,
        scope: &mut Scope,
    ) -> Value {
        let mut inner = self.callee_scope(scope);
        inner.path = Some(net.name.text.clone());
        if !self.bind_formals(&net.formals, &net.name, call, span, scope, &mut inner) {
            return Value::Error;
        }
        self.inside(callee, |c| c.net_body(net, &mut inner))
    }

    /// A net's definitions and value, its inputs being bound.
    pub(super) fn net_body(&mut self, net: &ast::Net, inner: &mut Scope) -> Value {
        for (i, define) in net.body.iter().enumerate() {
            let value = self.with_path(&define.name.text, &define.value, inner);
            let name = &define.name;
            let formals = net.formals.inputs.iter().map(|f| &f.name).chain(&net.formals.conditions);
            let mut before = formals.chain(net.body[..i].iter().map(|d| &d.name));
            if let Some(first) = before.find(|n| n.text == name.text) {
                let d = Diagnostic::new(Code::E0202, format!("`{}` is defined twice in this net", name.text));
                let d = d.at(name.span, "again here").also(first.span, "first here");
                self.diags
                    .push(d.help("give the new value a name of its own: its parameters are named after it"));
            }
            inner.locals.push((name.text.clone(), value));
        }
        super::layer::count_layers(&net.returns, &mut inner.repeats);
        self.eval(&net.returns, inner)
    }

    pub(super) fn function(
        &mut self,
        f: &ast::Function,
        callee: &ast::Name,
        call: &Call,
        span: Span,
        scope: &mut Scope,
    ) -> Value {
        let mut inner = self.callee_scope(scope);
        if !self.bind_formals(&f.formals, &f.name, call, span, scope, &mut inner) {
            return Value::Error;
        }
        self.inside(callee, |c| c.eval(&f.value, &mut inner))
    }

    /// Evaluates a body, unless it is inside itself or there are too many.
    fn inside(&mut self, callee: &ast::Name, eval: impl FnOnce(&mut Self) -> Value) -> Value {
        self.called.insert(callee.text.clone());
        if self.open.iter().any(|o| o.space == Space::Call && o.name == callee.text) {
            return self.circle(Space::Call, callee);
        }
        self.budget.calls += 1;
        if self.budget.calls > super::MAX_CALLS {
            self.too_large(callee.span);
        }
        if self.poisoned.contains(&callee.text) {
            return Value::Error;
        }
        self.open.push(Open { space: Space::Call, name: callee.text.clone(), span: callee.span });
        let value = eval(self);
        self.open.pop();
        value
    }

    fn callee_scope(&self, scope: &Scope) -> Scope {
        let mut inner = Scope::new(scope.block, scope.plates.clone());
        inner.dead = scope.dead;
        inner.in_net = true;
        inner
    }

    fn bind_formals(
        &mut self,
        formals: &ast::Formals,
        callee: &ast::Name,
        call: &Call,
        span: Span,
        scope: &mut Scope,
        inner: &mut Scope,
    ) -> bool {
        if let Some(over) = call.over.first() {
            let d = Diagnostic::new(Code::E0405, format!("`{}` takes no `over`", callee.text));
            self.diags.push(d.at(over.span, "").also(callee.span, "declared here"));
            return false;
        }
        let Some(order) = self.order_of_args(formals, callee, call, span) else { return false };
        let mut fine = true;
        for (arg, i) in call.args.iter().zip(order) {
            let formal = &formals.inputs[i];
            match self.eval_number(&arg.value, scope) {
                Some(id) => {
                    fine &= self.fits_formal(id, formal, arg.value.span, scope, inner);
                    inner.locals.push((formal.name.text.clone(), Value::Expr(id)));
                }
                None => fine = false,
            }
        }
        fine & self.bind_conditions(formals, callee, call, scope, inner)
    }

    /// Which input each argument is for.
    fn order_of_args(
        &mut self,
        formals: &ast::Formals,
        callee: &ast::Name,
        call: &Call,
        span: Span,
    ) -> Option<Vec<usize>> {
        let names: Vec<&str> = formals.inputs.iter().map(|f| f.name.text.as_str()).collect();
        let takes = match names[..] {
            [] => format!("`{}` takes no inputs", callee.text),
            _ => format!("`{}` takes {}", callee.text, names.join(", ")),
        };
        let mut order: Vec<usize> = vec![];
        for (i, arg) in call.args.iter().enumerate() {
            let named = call.args[..i].iter().any(|a| a.name.is_some());
            let (code, what, at) = match &arg.name {
                None if named => {
                    (Code::E0404, "an argument by position follows one by name".to_owned(), arg.span)
                }
                None if i < names.len() => {
                    order.push(i);
                    continue;
                }
                None => {
                    let n = call.args.len();
                    let what = format!(
                        "`{}` takes {} input{}, {n} given",
                        callee.text,
                        names.len(),
                        plural(names.len())
                    );
                    (Code::E0405, what, arg.span)
                }
                Some(n) => match names.iter().position(|m| *m == n.text) {
                    Some(at) if !order.contains(&at) => {
                        order.push(at);
                        continue;
                    }
                    Some(_) => (Code::E0405, format!("input `{}` is given twice", n.text), n.span),
                    None => {
                        let what = format!("`{}` has no input called `{}`", callee.text, n.text);
                        let d = Diagnostic::new(Code::E0405, what).at(n.span, "");
                        let d = d.also(callee.span, takes).did_you_mean(&n.text, names.iter().copied());
                        self.diags.push(d);
                        return None;
                    }
                },
            };
            let d = Diagnostic::new(code, what).at(at, "").also(callee.span, takes);
            // A net that takes conditions, called without the bar.
            let bar = arg.name.is_none() && call.conditions.is_empty() && formals.conditions.is_some();
            self.diags.push(match formals.inputs.len() {
                n if bar && n > 0 => {
                    let inputs = names.join(", ");
                    d.help(format!("what conditions it stands after a bar: `{}({inputs} | …)`", callee.text))
                }
                _ => d,
            });
            return None;
        }
        if let Some(missing) = (0..names.len()).find(|i| !order.contains(i)) {
            let what = format!("input `{}` of `{}` is not given", names[missing], callee.text);
            self.diags.push(Diagnostic::new(Code::E0405, what).at(span, "").also(callee.span, takes));
            return None;
        }
        Some(order)
    }

    fn bind_conditions(
        &mut self,
        formals: &ast::Formals,
        callee: &ast::Name,
        call: &Call,
        scope: &mut Scope,
        inner: &mut Scope,
    ) -> bool {
        if let Some(n) = call.conditions.iter().find_map(|a| a.name.as_ref()) {
            let what = format!("`{}` has no condition called `{}`", callee.text, n.text);
            self.report(Code::E0405, what, n.span, "conditions have no names");
            return false;
        }
        let conditions = self.conditions(&call.conditions, scope);
        for id in &conditions {
            // Of all labels of an axis each is a condition of its own.
            let t = self.ty(*id);
            inner.plates.extend(t.of.filter(|a| t.support == Support::Category && t.axes.contains(a)));
        }
        match (&formals.conditions, call.conditions.first()) {
            (Some(name), _) => inner.locals.push((name.text.clone(), Value::Conditions(conditions))),
            (None, Some(first)) => {
                let what = format!("`{}` takes no conditions after the bar", callee.text);
                let d =
                    Diagnostic::new(Code::E0405, what).at(first.span, "").also(callee.span, "declared here");
                self.diags.push(d.help(format!("declare it with a bar: `net {}(… | s)`", callee.text)));
                return false;
            }
            (None, None) => {}
        }
        true
    }

    /// Evaluates what stands after a bar: categories, covariates, arrays, or a net's own list of conditions.
    pub(super) fn conditions(&mut self, args: &[ast::Arg], scope: &mut Scope) -> Vec<ExprId> {
        let mut out = vec![];
        for arg in args.iter().filter(|a| a.name.is_none()) {
            match self.eval(&arg.value, scope) {
                Value::Expr(id) => out.push(id),
                Value::Conditions(list) => out.extend(list),
                Value::Error => {}
                Value::Record(_) | Value::Dist(_) => {
                    self.report(
                        Code::E0410,
                        "only categories, covariates and arrays can condition",
                        arg.span,
                        "",
                    );
                }
            }
        }
        out
    }

    /// Checks an argument's own axes against the declared ones; an undeclared axis is a variable. Along further axes
    /// nets and functions are applied to each element.
    fn fits_formal(
        &mut self,
        id: ExprId,
        formal: &ast::Formal,
        at: Span,
        scope: &Scope,
        inner: &mut Scope,
    ) -> bool {
        let local = self.ty(id).local(&scope.plates);
        let mut expected = vec![];
        for name in &formal.axes {
            match inner.axis_vars.get(&name.text).copied().or_else(|| self.model.find_axis(&name.text)) {
                Some(a) => expected.push(a),
                None => match local[..] {
                    [a] => {
                        inner.axis_vars.insert(name.text.clone(), a);
                        expected.push(a);
                    }
                    [] => {
                        let what = format!("input `{}` needs an axis of its own", formal.name.text);
                        let d = Diagnostic::new(Code::E0303, what).at(at, "a single number");
                        self.diags.push(d.also(formal.span, "declared here"));
                        return false;
                    }
                    _ => {
                        let what = format!(
                            "axis `{}` of `{}` could be any of {}",
                            name.text,
                            formal.name.text,
                            self.show_axes(&local)
                        );
                        self.report(Code::E0305, what, at, "needs exactly one axis of its own");
                        return false;
                    }
                },
            }
        }
        let shown = self.has_axes(&local);
        if let Some(a) = expected.iter().find(|a| !local.contains(a)) {
            let a = self.model.axis_name(*a).to_owned();
            let d = Diagnostic::new(Code::E0303, format!("input `{}` needs axis `{a}`", formal.name.text));
            self.diags.push(d.at(at, shown).also(formal.span, "declared here"));
            return false;
        }
        // Along further axes each element is an input of its own, as along those of a plate.
        inner.plates.extend(local.iter().filter(|a| !expected.contains(a)));
        true
    }
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}
