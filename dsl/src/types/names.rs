//! Names in expressions: which a text mentions, and whether those of statements that are switched off exist.

use super::{Block, Checker, Scope};
use crate::syntax::ast::{self, ExprKind, Name};

/// Words that stand as values of settings.
const WORDS: [&str; 14] = [
    "training",
    "batchnorm",
    "layernorm",
    "both",
    "none",
    "relu",
    "tanh",
    "sigmoid",
    "softplus",
    "all",
    "first",
    "analytic",
    "axis",
    "label",
];

/// Calls `f` with every name that an expression reads, and whether it is called. Axes in brackets count as read.
pub(crate) fn names_in<'e>(e: &'e ast::Expr, f: &mut dyn FnMut(&'e Name, bool)) {
    match &e.kind {
        ExprKind::Name(n) => f(n, false),
        ExprKind::Field { base: x, .. } | ExprKind::Unary { operand: x, .. } => names_in(x, f),
        ExprKind::Index { base, indices } => {
            names_in(base, f);
            indices.iter().for_each(|i| names_in(i, f));
        }
        ExprKind::Binary { left, right, .. } => {
            names_in(left, f);
            names_in(right, f);
        }
        ExprKind::Call(call) => {
            match &call.callee.kind {
                ExprKind::Name(n) => f(n, true),
                ExprKind::Index { base, indices } => {
                    if let ExprKind::Name(n) = &base.kind {
                        f(n, true);
                    }
                    indices.iter().for_each(|i| names_in(i, f));
                }
                _ => names_in(&call.callee, f),
            }
            let args = call.args.iter().chain(&call.conditions).map(|a| &a.value);
            let given = call.given.iter().map(|b| &b.value);
            args.chain(&call.filter).chain(given).for_each(|e| names_in(e, f));
        }
        ExprKind::Record(bindings) => bindings.iter().for_each(|b| names_in(&b.value, f)),
        ExprKind::Match { subject, arms } => {
            f(subject, false);
            arms.iter().for_each(|a| names_in(&a.value, f));
        }
        ExprKind::Number(_) | ExprKind::Bool(_) | ExprKind::Text(_) | ExprKind::Error => {}
    }
}

impl Checker<'_> {
    /// E0201 for names in statements that are switched off, and in functions that nothing calls.
    pub(super) fn asleep(&mut self) {
        for a in &self.program.asleep {
            self.names_exist(&a.locals, &a.value);
        }
        for f in self.program.fns.iter().filter(|f| !self.called.contains(&f.name.text)).collect::<Vec<_>>() {
            let inputs = f.formals.inputs.iter().map(|i| &i.name).chain(&f.formals.conditions);
            let locals: Vec<String> = inputs.map(|n| n.text.clone()).collect();
            self.names_exist(&locals, &f.value);
        }
    }

    fn names_exist(&mut self, locals: &[String], e: &ast::Expr) {
        let mut unknown: Vec<(&Name, bool)> = vec![];
        names_in(e, &mut |n, called| {
            let known = locals.contains(&n.text)
                || if called {
                    super::is_builtin(&n.text) || self.callable(&n.text)
                } else {
                    self.somewhere(&n.text)
                };
            if !known {
                unknown.push((n, called));
            }
        });
        let mut scope = Scope::new(Block::Model, vec![]);
        for (n, called) in unknown {
            if called {
                self.unknown_callee(n, &mut scope);
            } else {
                self.unknown_name(n, &scope);
            }
        }
    }

    pub(super) fn callable(&self, name: &str) -> bool {
        self.program.nets.iter().any(|n| n.name.text == name)
            || self.program.fns.iter().any(|f| f.name.text == name)
            || self.program.primitives.find(name).is_some()
            || self.is_silent(name)
    }

    /// Whether a name means anything to any expression.
    pub(super) fn somewhere(&self, name: &str) -> bool {
        WORDS.contains(&name)
            || crate::model::Activation::find(name).is_some()
            || self.model_has(name)
            || self.fields.contains_key(name)
            || self.model.find_axis(name).is_some()
            || self.program.options.values().any(|o| o.decl.name.text == name)
            || self.program.options.values().any(|o| o.decl.choices.iter().any(|c| c.text == name))
            || self.program.params.iter().any(|p| p.name.text == name)
            || self.program.stats.iter().any(|s| s.name.text == name)
            || self.guide_has(name)
            || self.objective_has(name)
            || self.is_silent(name)
    }

    /// Every name that some expression of the program reads, switched off or not.
    pub(super) fn mentioned(&self) -> std::collections::BTreeSet<&str> {
        let mut out = std::collections::BTreeSet::new();
        let p = self.program;
        let mut exprs: Vec<&ast::Expr> = p.asleep.iter().map(|a| &a.value).collect();
        exprs.extend(p.model.iter().map(|s| value_of(&s.stmt)));
        for s in &p.guide {
            match &s.stmt {
                crate::resolve::GuideDef::Define(d) => exprs.push(&d.value),
                crate::resolve::GuideDef::Draw(d) => exprs.push(&d.dist),
                crate::resolve::GuideDef::Treat(t) => match &t.how {
                    ast::Treatment::Dist(e) => exprs.push(e),
                    ast::Treatment::Strategy { args, .. } => exprs.extend(args.iter().map(|a| &a.value)),
                },
            }
        }
        for s in &p.objective {
            match &s.kind {
                ast::ObjectiveStmtKind::Weight { by: e, .. }
                | ast::ObjectiveStmtKind::Minimize(e)
                | ast::ObjectiveStmtKind::Maximize(e)
                | ast::ObjectiveStmtKind::Define(ast::Define { value: e, .. })
                | ast::ObjectiveStmtKind::Draw(ast::Draw { dist: e, .. }) => exprs.push(e),
                _ => {}
            }
        }
        let sites = p.model.iter().filter_map(|s| match &s.stmt {
            crate::resolve::ModelDef::Site(s) => s.cond.as_ref(),
            crate::resolve::ModelDef::Observe(o) => o.cond.as_ref(),
            crate::resolve::ModelDef::Define(_) | crate::resolve::ModelDef::Draw(_) => None,
        });
        let guides = p.guide.iter().filter_map(|s| match &s.stmt {
            crate::resolve::GuideDef::Treat(t) => t.cond.as_ref(),
            crate::resolve::GuideDef::Define(_) | crate::resolve::GuideDef::Draw(_) => None,
        });
        exprs.extend(sites.chain(guides).flat_map(|c| std::iter::once(&c.condition).chain(&c.otherwise)));
        exprs.extend(p.plate_weights.values().flatten());
        for a in &p.adversaries {
            out.insert(a.net.text.as_str());
            exprs.extend([&a.predict, &a.from].into_iter().chain(&a.strength));
        }
        exprs.extend(p.nets.iter().flat_map(|n| n.body.iter().map(|d| &d.value).chain([&n.returns])));
        exprs.extend(p.fns.iter().map(|f| &f.value));
        exprs.extend(p.stats.iter().map(|s| &s.value));
        exprs.extend(p.outputs.iter().map(|o| &o.value));
        // What an override took out still shows what its file meant.
        exprs.extend(p.replaced.iter().flat_map(|r| match &r.1 {
            crate::resolve::Replaced::Model(s) => vec![value_of(&s.stmt)],
            crate::resolve::Replaced::Net(n) => n.body.iter().map(|d| &d.value).chain([&n.returns]).collect(),
            crate::resolve::Replaced::Param(_) => vec![],
        }));
        for e in exprs {
            names_in(e, &mut |n, _| {
                out.insert(n.text.as_str());
            });
        }
        out
    }
}

fn value_of(def: &crate::resolve::ModelDef) -> &ast::Expr {
    match def {
        crate::resolve::ModelDef::Site(s) => &s.dist,
        crate::resolve::ModelDef::Observe(o) => &o.dist,
        crate::resolve::ModelDef::Define(d) => &d.value,
        crate::resolve::ModelDef::Draw(d) => &d.dist,
    }
}
