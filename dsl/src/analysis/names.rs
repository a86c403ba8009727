//! Every name in a tree: where it stands, what it means there, and how far it reaches.

use crate::source::Span;
use crate::syntax::ast::*;

/// What a name is at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A value, net, function or axis: all share one name space.
    Value,
    /// An output, which has a name space of its own.
    Output,
    /// One of an option's words.
    Word,
}

/// One place of a name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Occurrence {
    pub text: String,
    pub span: Span,
    pub role: Role,
    /// It declares the name.
    pub declares: bool,
    /// The net or function that it is local to.
    pub local: Option<Span>,
}

/// All names of a file, in no order.
pub(super) fn occurrences(tree: &Ast) -> Vec<Occurrence> {
    let mut walk = Walk { out: vec![], body: None, locals: vec![] };
    let dims = declared_axes(&tree.items);
    walk.items(&tree.items, &dims);
    walk.out
}

fn declared_axes(items: &[Item]) -> Vec<String> {
    let mut axes = vec![];
    for item in items {
        match &item.kind {
            ItemKind::Dim(dims) => axes.extend(dims.iter().map(|d| d.name.text.clone())),
            ItemKind::Data(fields) => axes.extend(fields.iter().map(|f| f.name.text.clone())),
            ItemKind::When(when) => axes.extend(declared_axes(&when.body)),
            _ => {}
        }
    }
    axes
}

struct Walk {
    out: Vec<Occurrence>,
    /// The net or function whose body is walked, and its names.
    body: Option<Span>,
    locals: Vec<String>,
}

impl Walk {
    fn note(&mut self, name: &Name, role: Role, declares: bool) {
        let local = self.body.filter(|_| role == Role::Value && self.locals.contains(&name.text));
        let text = name.text.clone();
        self.out.push(Occurrence { text, span: name.span, role, declares, local });
    }

    fn declare(&mut self, name: &Name) {
        self.note(name, Role::Value, true);
    }

    fn read(&mut self, name: &Name) {
        self.note(name, Role::Value, false);
    }

    fn reads<'n>(&mut self, names: impl IntoIterator<Item = &'n Name>) {
        names.into_iter().for_each(|n| self.read(n));
    }

    fn ty(&mut self, ty: &Type) {
        self.reads(ty.axes.iter().chain(&ty.over));
    }

    fn items(&mut self, items: &[Item], dims: &[String]) {
        for item in items {
            match &item.kind {
                ItemKind::Needs(needs) => needs.iter().for_each(|n| {
                    self.read(&n.name);
                    self.reads(&n.axes);
                }),
                ItemKind::Load(load) => self.declare(&load.name),
                ItemKind::Dim(dims) => dims.iter().for_each(|d| self.dim(d)),
                ItemKind::Option(options) => options.iter().for_each(|o| {
                    self.declare(&o.name);
                    o.choices.iter().for_each(|c| self.note(c, Role::Word, true));
                    self.expr(&o.default);
                }),
                ItemKind::Data(fields) => fields.iter().for_each(|f| {
                    self.declare(&f.name);
                    self.ty(&f.ty);
                    if let Some(Missing { kind: MissingKind::Named { by: Some(by), .. }, .. }) = &f.missing {
                        self.read(by);
                    }
                }),
                ItemKind::Const(c) => {
                    self.declare(&c.name);
                    self.reads(&c.axes);
                    self.ty(&c.ty);
                    self.read(&c.from.parts[0]);
                }
                ItemKind::Stat(s) => self.define(&s.name, &s.axes, &s.value),
                ItemKind::Param(p) => {
                    self.declare(&p.name);
                    self.reads(&p.axes);
                    p.ty.iter().for_each(|t| self.ty(t));
                    p.init.iter().for_each(|e| self.expr(e));
                }
                ItemKind::Net(net) => self.net(item.span, net, dims),
                ItemKind::Fn(f) => self.function(item.span, f, dims),
                ItemKind::Model(body) => self.model(body),
                ItemKind::Guide(body) => self.guide(body),
                ItemKind::Objective(body) => self.objective(body),
                ItemKind::Adversary(a) => {
                    self.declare(&a.name);
                    [&a.predict, &a.from].into_iter().chain(&a.strength).for_each(|e| self.expr(e));
                    self.read(&a.net);
                }
                ItemKind::Output(outputs) => outputs.iter().for_each(|o| {
                    self.note(&o.name, Role::Output, true);
                    self.reads(&o.axes);
                    self.expr(&o.value);
                }),
                ItemKind::Train(settings) => settings.iter().for_each(|s| {
                    self.reads(s.target.iter().filter_map(|t| t.parts.first()));
                    self.expr(&s.value);
                }),
                ItemKind::When(when) => {
                    self.expr(&when.condition);
                    self.items(&when.body, dims);
                }
                ItemKind::Extends(_) | ItemKind::Error => {}
            }
        }
    }

    fn dim(&mut self, dim: &Dim) {
        self.declare(&dim.name);
        match &dim.kind {
            DimKind::Size(e) => self.expr(e),
            DimKind::Labels(labels) => labels.iter().for_each(|l| self.note(l, Role::Word, true)),
            DimKind::Within(outer) => self.read(outer),
            DimKind::Data => {}
        }
    }

    fn define(&mut self, name: &Name, axes: &[Name], value: &Expr) {
        self.declare(name);
        self.reads(axes);
        self.expr(value);
    }

    /// Inputs are local; so are their axes unless they are declared, and what the body defines.
    fn inside(
        &mut self,
        span: Span,
        formals: &Formals,
        defines: &[Define],
        dims: &[String],
        body: impl FnOnce(&mut Self),
    ) {
        let mut locals: Vec<String> = formals.inputs.iter().map(|f| f.name.text.clone()).collect();
        let axes = formals.inputs.iter().flat_map(|f| &f.axes);
        locals.extend(axes.map(|a| a.text.clone()).filter(|a| !dims.contains(a)));
        locals.extend(formals.conditions.iter().map(|c| c.text.clone()));
        locals.extend(defines.iter().map(|d| d.name.text.clone()));
        (self.body, self.locals) = (Some(span), locals);
        let mut seen: Vec<&str> = vec![];
        for formal in &formals.inputs {
            self.declare(&formal.name);
            for axis in &formal.axes {
                let first = !dims.contains(&axis.text) && !seen.contains(&axis.text.as_str());
                self.note(axis, Role::Value, first);
                seen.push(&axis.text);
            }
        }
        formals.conditions.iter().for_each(|c| self.declare(c));
        body(self);
        (self.body, self.locals) = (None, vec![]);
    }

    fn net(&mut self, span: Span, net: &Net, dims: &[String]) {
        self.declare(&net.name);
        self.reads(net.from.iter().filter_map(|p| p.parts.first()));
        self.inside(span, &net.formals, &net.body, dims, |w| {
            net.body.iter().for_each(|d| w.define(&d.name, &d.axes, &d.value));
            w.expr(&net.returns);
        });
    }

    fn function(&mut self, span: Span, f: &Function, dims: &[String]) {
        self.declare(&f.name);
        self.inside(span, &f.formals, &[], dims, |w| w.expr(&f.value));
    }

    fn cond(&mut self, cond: &Option<Cond>) {
        cond.iter()
            .flat_map(|c| std::iter::once(&c.condition).chain(&c.otherwise))
            .for_each(|e| self.expr(e));
    }

    fn draw(&mut self, d: &Draw) {
        self.define(&d.name, &d.axes, &d.dist);
    }

    fn model(&mut self, body: &[ModelStmt]) {
        for stmt in body {
            match &stmt.kind {
                ModelStmtKind::Plate(p) => {
                    self.read(&p.axis);
                    p.weight.iter().for_each(|e| self.expr(e));
                    self.model(&p.body);
                }
                ModelStmtKind::Site(s) => {
                    self.define(&s.name, &s.axes, &s.dist);
                    self.cond(&s.cond);
                }
                ModelStmtKind::Observe(o) => {
                    self.expr(&o.target);
                    self.expr(&o.dist);
                    self.cond(&o.cond);
                }
                ModelStmtKind::Draw(d) => self.draw(d),
                ModelStmtKind::Define(d) => self.define(&d.name, &d.axes, &d.value),
                ModelStmtKind::When(w) => {
                    self.expr(&w.condition);
                    self.model(&w.body);
                }
                ModelStmtKind::Error => {}
            }
        }
    }

    fn guide(&mut self, body: &[GuideStmt]) {
        for stmt in body {
            match &stmt.kind {
                GuideStmtKind::Plate(p) => {
                    self.read(&p.axis);
                    self.guide(&p.body);
                }
                GuideStmtKind::Treat(t) => {
                    self.read(&t.name);
                    match &t.how {
                        Treatment::Dist(dist) => self.expr(dist),
                        Treatment::Strategy { args, .. } => args.iter().for_each(|a| self.expr(&a.value)),
                    }
                    self.cond(&t.cond);
                }
                GuideStmtKind::Draw(d) => self.draw(d),
                GuideStmtKind::Define(d) => self.define(&d.name, &d.axes, &d.value),
                GuideStmtKind::When(w) => {
                    self.expr(&w.condition);
                    self.guide(&w.body);
                }
                GuideStmtKind::Error => {}
            }
        }
    }

    fn objective(&mut self, body: &[ObjectiveStmt]) {
        for stmt in body {
            match &stmt.kind {
                ObjectiveStmtKind::Define(d) => self.define(&d.name, &d.axes, &d.value),
                ObjectiveStmtKind::Weight { terms, by, .. } => {
                    terms.iter().for_each(|t| self.read(&t.site));
                    self.expr(by);
                }
                ObjectiveStmtKind::Estimate { term, .. } => self.read(&term.site),
                ObjectiveStmtKind::Ignore(name) => self.read(name),
                ObjectiveStmtKind::Minimize(e) | ObjectiveStmtKind::Maximize(e) => self.expr(e),
                ObjectiveStmtKind::Draw(d) => self.draw(d),
                ObjectiveStmtKind::When(w) => {
                    self.expr(&w.condition);
                    self.objective(&w.body);
                }
                ObjectiveStmtKind::Error => {}
            }
        }
    }

    fn bindings(&mut self, entries: &[Binding], read: bool) {
        for entry in entries {
            if read {
                self.read(&entry.name);
            }
            self.expr(&entry.value);
        }
    }

    fn expr(&mut self, e: &Expr) {
        match &e.kind {
            ExprKind::Name(n) => self.read(n),
            ExprKind::Field { base, .. } => self.expr(base),
            ExprKind::Index { base, indices } => {
                self.expr(base);
                indices.iter().for_each(|i| self.expr(i));
            }
            ExprKind::Call(call) => {
                self.expr(&call.callee);
                call.args.iter().chain(&call.conditions).for_each(|a| self.expr(&a.value));
                self.reads(&call.over);
                call.filter.iter().for_each(|f| self.expr(f));
                self.bindings(&call.given, true);
            }
            ExprKind::Unary { operand, .. } => self.expr(operand),
            ExprKind::Binary { left, right, .. } => {
                self.expr(left);
                self.expr(right);
            }
            ExprKind::Record(entries) => self.bindings(entries, false),
            ExprKind::Match { subject, arms } => {
                self.read(subject);
                for arm in arms {
                    self.note(&arm.label, Role::Word, false);
                    self.expr(&arm.value);
                }
            }
            ExprKind::Number(_) | ExprKind::Text(_) | ExprKind::Bool(_) | ExprKind::Error => {}
        }
    }
}
