//! What an `override` must keep, and nets that nothing calls.

use super::{Checker, Scope, Space, Value, numeric};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Severity};
use crate::model::ty::{self, Ty};
use crate::model::{DistExpr, ExprKind};
use crate::resolve::{InPlates, ModelDef, Replaced};
use crate::source::Span;
use crate::syntax::ast;
use distributions::Support;

impl Checker<'_> {
    /// Evaluates without lasting effect: no expressions, names or messages stay.
    fn guess<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        let model = self.model.clone();
        let (states, params, stats) = (self.states.clone(), self.params.clone(), self.stats.clone());
        let (diags, poisoned, called) = (self.diags.clone(), self.poisoned.clone(), self.called.clone());
        let used: Vec<bool> = self.program.options.values().map(|o| o.used.get()).collect();
        let outer = std::mem::replace(&mut self.guessing, true);
        let found = f(self);
        self.guessing = outer;
        self.model = model;
        (self.states, self.params, self.stats) = (states, params, stats);
        (*self.diags, self.poisoned, self.called) = (diags, poisoned, called);
        self.program.options.values().zip(used).for_each(|(o, u)| o.used.set(u));
        found
    }

    /// E0408 for a site or definition that took the place of another; otherwise its value.
    pub(super) fn keeps_promise(&mut self, new: &InPlates<ModelDef>, value: Value) -> Value {
        let Some(name) = super::stmt::defined(&new.stmt).filter(|_| !self.guessing) else { return value };
        let replaced = self.program.replaced.iter().find_map(|(n, r)| match r {
            Replaced::Model(old) if *n == name.text => Some(old),
            _ => None,
        });
        let (Some(old), Value::Expr(_) | Value::Dist(_) | Value::Record(_)) = (replaced, &value) else {
            return value;
        };
        let now = self.promise(&value);
        let plates = match self.plates_of(old) {
            Some(plates) => plates,
            None => return value,
        };
        let exact = matches!(new.stmt, ModelDef::Site(_));
        let before = self.guess(|c| {
            c.states.remove(&(Space::Model, name.text.clone()));
            let value = c.model_stmt(old, plates);
            c.promise(&value)
        });
        match self.broken(&before, &now, exact) {
            None => value,
            Some((was, is)) => {
                let d = Diagnostic::new(Code::E0408, format!("`override` changes what `{}` is", name.text));
                let at = super::stmt::defined(&old.stmt).map_or(old.span, |n| n.span);
                let d = d.at(name.span, format!("now {is}")).also(at, format!("was {was}"));
                if exact && self.model.sites.last().is_some_and(|s| s.name == name.text) {
                    self.model.sites.pop();
                }
                self.diags.push(
                    d.help("keep axes and support, because other statements rely on them; or use a new name"),
                );
                Value::Error
            }
        }
    }

    /// E0408 for nets and parameters.
    pub(super) fn replaced_nets(&mut self) {
        for (name, old) in &self.program.replaced {
            match old {
                Replaced::Model(_) => {}
                Replaced::Param(old) => {
                    if let Some(new) = self.program.params.iter().find(|p| p.name.text == *name) {
                        self.param_promise(old, new);
                    }
                }
                Replaced::Net(old) => {
                    let Some(new) = self.program.nets.iter().find(|n| n.name.text == *name) else { continue };
                    let of = |c: &mut Self, net| {
                        c.guess(|c| {
                            let value = c.net_alone(net, Support::Real);
                            c.promise(&value)
                        })
                    };
                    let (before, now) = (of(self, old), of(self, new));
                    if let Some((was, is)) = self.broken(&before, &now, false) {
                        let d = Diagnostic::new(
                            Code::E0408,
                            format!("`override` changes what net `{name}` returns"),
                        );
                        let d = d
                            .at(new.returns.span, format!("now {is}"))
                            .also(old.returns.span, format!("was {was}"));
                        self.diags.push(
                            d.help("keep parts, axes and support, because other statements rely on them"),
                        );
                        self.poisoned.insert(name.clone());
                    }
                }
            }
        }
    }

    fn param_promise(&mut self, old: &ast::Param, new: &ast::Param) {
        let axes = |p: &ast::Param| {
            let mut names: Vec<String> = p.axes.iter().map(|a| a.text.clone()).collect();
            names.sort();
            names
        };
        let ty = |p: &ast::Param| match p.ty.as_ref().map_or("real", |t| t.name.text.as_str()) {
            "nonneg" => "positive".to_owned(),
            other => other.to_owned(),
        };
        let over = |p: &ast::Param| p.ty.as_ref().and_then(|t| t.over.as_ref()).map(|n| n.text.clone());
        if axes(old) != axes(new) || ty(old) != ty(new) || over(old) != over(new) {
            let shown = |p: &ast::Param| {
                let names: Vec<&str> = p.axes.iter().map(|a| a.text.as_str()).collect();
                let brackets =
                    if names.is_empty() { String::new() } else { format!("[{}]", names.join(", ")) };
                format!("{}{brackets}", ty(p))
            };
            let d = Diagnostic::new(Code::E0408, format!("`override` changes what `{}` is", new.name.text));
            let at = new.ty.as_ref().map_or(new.name.span, |t| new.name.span.to(t.span));
            let d =
                d.at(at, format!("now {}", shown(new))).also(old.name.span, format!("was {}", shown(old)));
            self.diags
                .push(d.help("keep axes and type, because other statements rely on them; or use a new name"));
            self.poisoned.insert(new.name.text.clone());
        }
    }

    /// What others may rely on.
    fn promise(&self, value: &Value) -> Promise {
        match value {
            Value::Expr(id) => Promise::Number(self.ty(*id).clone()),
            Value::Dist(d) => Promise::Dist(self.dist_axes(d), d.family.support()),
            Value::Record(parts) => {
                Promise::Record(parts.iter().map(|(n, v)| (n.clone(), self.promise(v))).collect())
            }
            Value::Conditions(_) | Value::Error => Promise::Unknown,
        }
    }

    fn dist_axes(&self, d: &DistExpr) -> Vec<crate::model::AxisNo> {
        let mut axes: Vec<_> = d.params.iter().flat_map(|p| self.ty(*p).axes.iter().copied()).collect();
        axes.sort_unstable();
        axes.dedup();
        axes
    }

    /// Old and new in words, if the new breaks a promise of the old.
    fn broken(&self, old: &Promise, new: &Promise, exact: bool) -> Option<(String, String)> {
        match (old, new) {
            (Promise::Unknown, _) | (_, Promise::Unknown) => None,
            (Promise::Number(a), Promise::Number(b)) => {
                (a.axes != b.axes || !keeps_support(a, b, exact)).then(|| (self.show_ty(a), self.show_ty(b)))
            }
            (Promise::Dist(a, s), Promise::Dist(b, t)) => (a != b || s != t)
                .then(|| (format!("{s}{}", self.show_axes(a)), format!("{t}{}", self.show_axes(b)))),
            (Promise::Record(a), Promise::Record(b)) => {
                a.iter().find_map(|(name, p)| match b.iter().find(|(n, _)| n == name) {
                    None => Some((format!("a record with `{name}`"), format!("a record without `{name}`"))),
                    Some((_, q)) => {
                        let (was, is) = self.broken(p, q, exact)?;
                        Some((format!("`{name}`: {was}"), format!("`{name}`: {is}")))
                    }
                })
            }
            (a, b) => Some((a.words(), b.words())),
        }
    }

    /// Nets that nothing calls are still checked, on inputs of the declared axes. What they need of their inputs'
    /// supports is unknown: a message about supports counts if it stands for inputs of every kind.
    pub(super) fn uncalled_nets(&mut self) {
        for net in
            self.program.nets.iter().filter(|n| !self.called.contains(&n.name.text)).collect::<Vec<_>>()
        {
            let mut found = self.errors_alone(net, Support::Real);
            for support in [Support::Positive, Support::Bool] {
                if found.iter().any(about_supports) {
                    let other = self.errors_alone(net, support);
                    found.retain(|d| !about_supports(d) || other.iter().any(|o| o == d));
                }
            }
            self.diags.extend(found);
        }
    }

    fn errors_alone(&mut self, net: &ast::Net, inputs: Support) -> Diagnostics {
        self.guess(|c| {
            let before = c.diags.clone();
            c.net_alone(net, inputs);
            let mut found = c.diags.clone();
            found.retain(|d| d.severity == Severity::Error && !before.iter().any(|b| b == d));
            found
        })
    }

    /// The value of a net on inputs of its declared axes; axis variables have no axis to stand for and give an error
    /// value.
    fn net_alone(&mut self, net: &ast::Net, inputs: Support) -> Value {
        let mut scope = Scope {
            in_net: true,
            path: Some(net.name.text.clone()),
            ..Scope::new(super::Block::Model, vec![])
        };
        let known = |c: &Self, f: &ast::Formal| f.axes.iter().all(|a| c.model.find_axis(&a.text).is_some());
        if net.formals.inputs.iter().any(|f| !known(self, f)) {
            return Value::Error;
        }
        for formal in &net.formals.inputs {
            let axes = self.resolve_axes(&formal.axes, &scope);
            let input = self.stand_in_value(Ty::new(axes.into_iter().collect(), inputs), formal.span);
            scope.locals.push((formal.name.text.clone(), input));
        }
        if let Some(c) = &net.formals.conditions {
            // With nothing before the bar, a condition is all there is to read.
            let alone =
                net.formals.inputs.is_empty().then(|| self.stand_in_value(Ty::scalar(inputs), c.span));
            let list =
                alone.into_iter().filter_map(|v| if let Value::Expr(id) = v { Some(id) } else { None });
            let list = list.collect();
            scope.locals.push((c.text.clone(), Value::Conditions(list)));
        }
        self.net_body(net, &mut scope)
    }

    /// A value of which only the type is known; not a literal, so that nothing folds it.
    fn stand_in_value(&mut self, ty: Ty, span: Span) -> Value {
        let zero = self.constant(0.0, span);
        Value::Expr(self.push(ExprKind::Stop(zero), ty, span))
    }
}

/// What an override must keep.
#[derive(Clone, Debug)]
enum Promise {
    Number(Ty),
    Dist(Vec<crate::model::AxisNo>, Support),
    Record(Vec<(String, Promise)>),
    Unknown,
}

impl Promise {
    fn words(&self) -> String {
        match self {
            Promise::Number(_) => "a number or array",
            Promise::Dist(..) => "a distribution",
            Promise::Record(_) => "a record",
            Promise::Unknown => "unknown",
        }
        .to_owned()
    }
}

/// Whether values of `new` may stand where values of `old` did. A site must keep its support; of a definition, others
/// rely on its sign and on whether it is a truth value or a category.
fn keeps_support(old: &Ty, new: &Ty, exact: bool) -> bool {
    if exact || [old.support, new.support].contains(&Support::Category) {
        return old.support == new.support && old.of == new.of;
    }
    let (a, b) = (ty::sign_of(numeric(old.support)), ty::sign_of(numeric(new.support)));
    (old.support != Support::Bool || new.support == Support::Bool)
        && (!a.nonneg || b.nonneg)
        && (!a.positive || b.positive)
}

fn about_supports(d: &Diagnostic) -> bool {
    d.code.as_str().starts_with("E04") && d.code != Code::E0405
}
