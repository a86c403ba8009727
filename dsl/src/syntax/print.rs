//! Tree to canonical text: two blanks per level, one statement per line, no more parentheses than needed. The text
//! parses to the same tree. Comments are no part of the tree; the formatter keeps them, not this printer.

mod expr;

use super::ast::*;
use super::token::{is_word, quote};
use std::fmt::Write as _;

/// The canonical text of a tree. An error node becomes `<error>`, which does not parse.
pub fn print(ast: &Ast) -> String {
    let mut printer = Printer::default();
    printer.items(&ast.items);
    printer.out
}

/// The canonical text of one expression.
pub fn print_expr(expr: &Expr) -> String {
    let mut printer = Printer::default();
    printer.expr(expr);
    printer.out
}

#[derive(Default)]
struct Printer {
    out: String,
    indent: usize,
}

/// Prints into the text; writing to a string cannot fail.
macro_rules! put {
    ($printer:expr, $($arg:tt)*) => { let _ = write!($printer.out, $($arg)*); };
}

impl Printer {
    fn line(&mut self) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n("  ", self.indent));
    }

    /// ` { … }` with one part per line; ` {}` if there is none.
    fn block<T>(&mut self, parts: &[T], mut one: impl FnMut(&mut Self, &T)) {
        self.out.push_str(" {");
        self.indent += 1;
        for part in parts {
            self.line();
            one(self, part);
        }
        self.indent -= 1;
        if !parts.is_empty() {
            self.line();
        }
        self.out.push('}');
    }

    fn list<T>(&mut self, parts: &[T], between: &str, mut one: impl FnMut(&mut Self, &T)) {
        for (n, part) in parts.iter().enumerate() {
            if n > 0 {
                self.out.push_str(between);
            }
            one(self, part);
        }
    }

    fn name(&mut self, name: &Name) {
        self.out.push_str(&name.text);
    }

    fn names(&mut self, names: &[Name], between: &str) {
        self.list(names, between, Self::name);
    }

    fn axes(&mut self, axes: &[Name]) {
        if !axes.is_empty() {
            self.out.push('[');
            self.names(axes, ", ");
            self.out.push(']');
        }
    }

    fn declared(&mut self, name: &Name, axes: &[Name]) {
        self.name(name);
        self.axes(axes);
    }

    fn word_if(&mut self, present: bool, word: &str) {
        if present {
            self.out.push_str(word);
        }
    }

    fn path(&mut self, path: &Path) {
        for (n, part) in path.parts.iter().enumerate() {
            match part.text.as_str() {
                text if n == 0 => self.out.push_str(text),
                text if is_word(text) => {
                    put!(self, ".{text}");
                }
                text => {
                    put!(self, "[{}]", quote(text));
                }
            }
        }
    }

    fn ty(&mut self, ty: &Type) {
        self.name(&ty.name);
        self.word_if(ty.may_miss, "?");
        self.axes(&ty.axes);
        if let Some(over) = &ty.over {
            put!(self, " over {}", over.text);
        }
    }

    /// Items, one per line; blocks stand apart by a blank line.
    fn items(&mut self, items: &[Item]) {
        let mut apart = false;
        for (n, item) in items.iter().enumerate() {
            let block = is_block(&item.kind);
            if n > 0 && (block || apart) {
                self.out.push('\n');
            }
            self.item(item);
            self.out.push('\n');
            apart = block;
        }
    }

    fn item(&mut self, item: &Item) {
        match &item.kind {
            ItemKind::Extends(paths) => {
                self.out.push_str("extends ");
                self.list(paths, ", ", Self::path);
            }
            ItemKind::Needs(needs) => {
                self.out.push_str("needs ");
                self.list(needs, ", ", |p, need| {
                    put!(p, "{} ", need.sort.word());
                    p.declared(&need.name, &need.axes);
                });
            }
            ItemKind::Load(load) => {
                put!(self, "load {} : ", load.name.text);
                self.path(&load.model);
            }
            ItemKind::Dim(dims) => {
                self.out.push_str("dim ");
                self.list(dims, ", ", Self::dim);
            }
            ItemKind::Option(options) => {
                self.out.push_str("option ");
                self.list(options, ", ", Self::option);
            }
            ItemKind::Const(constant) => self.constant(constant),
            ItemKind::Stat(stat) => {
                self.out.push_str("stat ");
                self.declared(&stat.name, &stat.axes);
                self.equals(&stat.value);
            }
            ItemKind::Param(param) => self.param(param),
            ItemKind::Fn(function) => {
                put!(self, "fn {}", function.name.text);
                self.formals(&function.formals);
                self.equals(&function.value);
            }
            _ => self.block_item(item),
        }
    }

    fn block_item(&mut self, item: &Item) {
        match &item.kind {
            ItemKind::Data(fields) => {
                self.out.push_str("data");
                self.block(fields, Self::field);
            }
            ItemKind::Net(net) => self.net(net),
            ItemKind::Model(body) => {
                self.out.push_str("model");
                self.block(body, Self::model_stmt);
            }
            ItemKind::Guide(body) => {
                self.out.push_str("guide");
                self.block(body, Self::guide_stmt);
            }
            ItemKind::Objective(body) => {
                self.out.push_str("objective");
                self.block(body, Self::objective_stmt);
            }
            ItemKind::Adversary(adversary) => self.adversary(adversary),
            ItemKind::Output(outputs) => {
                self.out.push_str("output");
                self.block(outputs, Self::output);
            }
            ItemKind::Train(settings) => {
                self.out.push_str("train");
                self.block(settings, Self::setting);
            }
            ItemKind::When(when) => self.when(when, Self::item),
            _ => self.out.push_str("<error>"),
        }
    }

    fn equals(&mut self, value: &Expr) {
        self.out.push_str(" = ");
        self.expr(value);
    }

    fn dim(&mut self, dim: &Dim) {
        self.name(&dim.name);
        match &dim.kind {
            DimKind::Data => {}
            // A brace after `=` begins labels.
            DimKind::Size(size) if expr::begins_with_brace(size) => {
                self.out.push_str(" = (");
                self.expr(size);
                self.out.push(')');
            }
            DimKind::Size(size) => self.equals(size),
            DimKind::Labels(labels) => {
                self.out.push_str(" = { ");
                self.names(labels, ", ");
                self.out.push_str(" }");
            }
            DimKind::Within(outer) => {
                put!(self, " within {}", outer.text);
            }
        }
    }

    fn option(&mut self, option: &OptionDecl) {
        self.name(&option.name);
        if !option.choices.is_empty() {
            self.out.push_str(" : ");
            self.names(&option.choices, " | ");
        }
        self.equals(&option.default);
    }

    fn field(&mut self, field: &Field) {
        put!(self, "{} : ", field.name.text);
        self.ty(&field.ty);
        if let Some(from) = &field.from {
            self.out.push_str(" from ");
            self.path(from);
        }
        if let Some(missing) = &field.missing {
            self.out.push_str(" missing ");
            match &missing.kind {
                MissingKind::Literal(literal) => self.expr(literal),
                MissingKind::Named { name, by } => {
                    self.name(name);
                    if let Some(by) = by {
                        put!(self, " by {}", by.text);
                    }
                }
            }
        }
        self.word_if(field.optional, " optional");
    }

    fn constant(&mut self, constant: &Const) {
        self.out.push_str("const ");
        self.declared(&constant.name, &constant.axes);
        self.out.push_str(" : ");
        self.ty(&constant.ty);
        self.out.push_str(" from ");
        self.path(&constant.from);
    }

    fn param(&mut self, param: &Param) {
        self.word_if(param.is_override, "override ");
        self.word_if(param.frozen, "frozen ");
        self.out.push_str("param ");
        self.declared(&param.name, &param.axes);
        if let Some(ty) = &param.ty {
            self.out.push_str(" : ");
            self.ty(ty);
        }
        if let Some(init) = &param.init {
            self.out.push_str(" init ");
            self.expr(init);
        }
    }

    fn formals(&mut self, formals: &Formals) {
        self.out.push('(');
        self.list(&formals.inputs, ", ", |p, input| p.declared(&input.name, &input.axes));
        if let Some(conditions) = &formals.conditions {
            self.word_if(!formals.inputs.is_empty(), " ");
            put!(self, "| {}", conditions.text);
        }
        self.out.push(')');
    }

    fn net(&mut self, net: &Net) {
        self.word_if(net.is_override, "override ");
        put!(self, "net {}", net.name.text);
        self.formals(&net.formals);
        if let Some(from) = &net.from {
            self.out.push_str(" from ");
            self.path(from);
        }
        self.out.push_str(" {");
        self.indent += 1;
        for define in &net.body {
            self.line();
            self.define(define);
        }
        self.line();
        self.out.push_str("return ");
        self.expr(&net.returns);
        self.indent -= 1;
        self.line();
        self.out.push('}');
    }

    fn adversary(&mut self, adversary: &Adversary) {
        put!(self, "adversary {} {{ predict ", adversary.name.text);
        self.expr(&adversary.predict);
        self.out.push_str(" from ");
        self.expr(&adversary.from);
        put!(self, " with {}", adversary.net.text);
        if let Some(strength) = &adversary.strength {
            self.out.push_str(" strength ");
            self.expr(strength);
        }
        self.out.push_str(" }");
    }

    fn output(&mut self, output: &Output) {
        self.declared(&output.name, &output.axes);
        self.equals(&output.value);
        if let Some(to) = &output.to {
            self.out.push_str(" to ");
            self.path(to);
        }
    }

    fn setting(&mut self, setting: &Setting) {
        self.name(&setting.key);
        if let Some(target) = &setting.target {
            self.out.push(' ');
            self.path(target);
        }
        self.equals(&setting.value);
    }

    fn when<S>(&mut self, when: &When<S>, one: impl FnMut(&mut Self, &S)) {
        self.out.push_str("when ");
        self.expr(&when.condition);
        self.block(&when.body, one);
    }

    fn plate<S>(&mut self, plate: &Plate<S>, one: impl FnMut(&mut Self, &S)) {
        put!(self, "plate {}", plate.axis.text);
        if let Some(weight) = &plate.weight {
            self.out.push_str(" weight ");
            self.expr(weight);
        }
        self.block(&plate.body, one);
    }

    fn define(&mut self, define: &Define) {
        self.word_if(define.is_override, "override ");
        self.declared(&define.name, &define.axes);
        self.equals(&define.value);
    }

    fn draw(&mut self, draw: &Draw) {
        self.out.push_str("draw ");
        self.declared(&draw.name, &draw.axes);
        self.out.push_str(" ~ ");
        self.expr(&draw.dist);
    }

    fn cond(&mut self, cond: &Option<Cond>) {
        let Some(cond) = cond else { return };
        self.out.push_str(" where ");
        self.expr(&cond.condition);
        if let Some(otherwise) = &cond.otherwise {
            self.out.push_str(" else ");
            self.expr(otherwise);
        }
    }

    fn model_stmt(&mut self, stmt: &ModelStmt) {
        match &stmt.kind {
            ModelStmtKind::Plate(plate) => self.plate(plate, Self::model_stmt),
            ModelStmtKind::Site(site) => {
                self.word_if(site.is_override, "override ");
                self.declared(&site.name, &site.axes);
                self.out.push_str(" ~ ");
                self.expr(&site.dist);
                self.cond(&site.cond);
            }
            ModelStmtKind::Observe(observe) => {
                self.word_if(observe.is_override, "override ");
                self.out.push_str("observe ");
                self.postfix(&observe.target);
                self.out.push_str(" ~ ");
                self.expr(&observe.dist);
                self.cond(&observe.cond);
            }
            ModelStmtKind::Draw(draw) => self.draw(draw),
            ModelStmtKind::Define(define) => self.define(define),
            ModelStmtKind::When(when) => self.when(when, Self::model_stmt),
            ModelStmtKind::Error => self.out.push_str("<error>"),
        }
    }

    fn guide_stmt(&mut self, stmt: &GuideStmt) {
        match &stmt.kind {
            GuideStmtKind::Plate(plate) => self.plate(plate, Self::guide_stmt),
            GuideStmtKind::Treat(treat) => {
                self.word_if(treat.is_override, "override ");
                put!(self, "{} ~ ", treat.name.text);
                match &treat.how {
                    Treatment::Dist(dist) => self.expr(dist),
                    Treatment::Strategy { strategy, args, .. } => {
                        self.out.push_str(strategy.word());
                        if !args.is_empty() {
                            self.out.push('(');
                            self.list(args, ", ", Self::arg);
                            self.out.push(')');
                        }
                    }
                }
                self.cond(&treat.cond);
            }
            GuideStmtKind::Draw(draw) => self.draw(draw),
            GuideStmtKind::Define(define) => self.define(define),
            GuideStmtKind::When(when) => self.when(when, Self::guide_stmt),
            GuideStmtKind::Error => self.out.push_str("<error>"),
        }
    }

    fn objective_stmt(&mut self, stmt: &ObjectiveStmt) {
        let term = |p: &mut Self, term: &Term| {
            put!(p, "{}({})", term.sort.word(), term.site.text);
        };
        match &stmt.kind {
            ObjectiveStmtKind::Define(define) => self.define(define),
            ObjectiveStmtKind::Weight { is_override, terms, by } => {
                self.word_if(*is_override, "override ");
                self.out.push_str("weight ");
                self.list(terms, ", ", term);
                self.out.push_str(" by ");
                self.expr(by);
            }
            ObjectiveStmtKind::Estimate { term: which, by } => {
                self.out.push_str("estimate ");
                term(self, which);
                self.out.push_str(" by ");
                self.expr(by);
            }
            ObjectiveStmtKind::Ignore(name) => {
                put!(self, "ignore {}", name.text);
            }
            ObjectiveStmtKind::Minimize(value) => {
                self.out.push_str("minimize ");
                self.expr(value);
            }
            ObjectiveStmtKind::Maximize(value) => {
                self.out.push_str("maximize ");
                self.expr(value);
            }
            ObjectiveStmtKind::Draw(draw) => self.draw(draw),
            ObjectiveStmtKind::When(when) => self.when(when, Self::objective_stmt),
            ObjectiveStmtKind::Error => self.out.push_str("<error>"),
        }
    }
}

fn is_block(kind: &ItemKind) -> bool {
    matches!(
        kind,
        ItemKind::Data(_)
            | ItemKind::Net(_)
            | ItemKind::Model(_)
            | ItemKind::Guide(_)
            | ItemKind::Objective(_)
            | ItemKind::Adversary(_)
            | ItemKind::Output(_)
            | ItemKind::Train(_)
            | ItemKind::When(_)
    )
}
