//! The checker: merged declarations to a typed [`Model`].
//!
//! It evaluates every expression once, abstractly: names become ids, net calls are expanded, static choices are
//! decided, and each result gets its axes and support. Poisoned values ([`Value::Error`]) have been reported and
//! silence what follows from them.

mod axes;
mod call;
mod dist;
mod expr;
mod finish;
mod init;
mod layer;
mod reduce;
mod stmt;
pub mod train;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::ty::{self, AxisNo, Ty};
use crate::model::{DistExpr, Expr, ExprId, ExprKind, Model};
use crate::resolve::Program;
use crate::source::Span;
use crate::syntax::ast::{self, Name};
use distributions::Support;
use std::collections::BTreeMap;

/// Checks a program; the model is meaningful only if no error was reported.
pub fn check(program: &Program, sets: &[(String, String)], diags: &mut Diagnostics) -> Model {
    let mut c = Checker {
        program,
        diags,
        model: Model { title: program.title.clone(), ..Model::default() },
        states: BTreeMap::new(),
        fields: BTreeMap::new(),
        params: BTreeMap::new(),
        stats: BTreeMap::new(),
    };
    c.declare_axes();
    c.declare_fields();
    c.statements();
    c.model.train = train::settings(program, sets, c.diags);
    c.finish();
    c.model
}

/// What an expression evaluates to.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A number, array, category or covariates.
    Expr(ExprId),
    /// Named parts.
    Record(BTreeMap<String, Value>),
    /// A distribution.
    Dist(DistExpr),
    /// What stands after the bar of a net call, under the net's own name for it.
    Conditions(Vec<ExprId>),
    /// Already reported.
    Error,
}

/// Which block an expression stands in; decides which names it sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Block {
    /// `model`, and nets called there.
    Model,
    /// `guide`.
    Guide,
    /// `stat`: plates are not open.
    Stat,
    /// `objective`.
    Objective,
    /// `output`.
    Output,
}

/// Where an expression stands.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    block: Block,
    /// Open plates: their axes are not counted as local.
    plates: Vec<AxisNo>,
    /// Formals and definitions of the net or function being expanded, innermost last.
    locals: Vec<(String, Value)>,
    /// Whether names outside `locals` are limited to options and other nets (inside a net).
    in_net: bool,
    /// Path of parameters made here; none outside nets.
    path: Option<String>,
    /// How many nets and functions are being expanded around this.
    depth: usize,
    /// Axis variables of the net or function being expanded.
    axis_vars: BTreeMap<String, AxisNo>,
    /// How often each layer kind stands in the expression at hand, and how many were seen.
    repeats: BTreeMap<String, (usize, usize)>,
}

impl Scope {
    fn new(block: Block, plates: Vec<AxisNo>) -> Self {
        let (locals, axis_vars, repeats) = (vec![], BTreeMap::new(), BTreeMap::new());
        Self { block, plates, locals, in_net: false, depth: 0, path: None, axis_vars, repeats }
    }
}

/// Progress of a lazily evaluated statement.
#[derive(Clone, Debug)]
enum State {
    Open(Span),
    Done(Value),
}

pub(crate) struct Checker<'a> {
    program: &'a Program,
    diags: &'a mut Diagnostics,
    model: Model,
    /// Evaluated statements: (whether of the guide, name).
    states: BTreeMap<(bool, String), State>,
    fields: BTreeMap<String, usize>,
    params: BTreeMap<String, usize>,
    stats: BTreeMap<String, usize>,
}

impl Checker<'_> {
    fn report(
        &mut self,
        code: Code,
        headline: impl Into<String>,
        span: Span,
        label: impl Into<String>,
    ) -> Value {
        self.diags.push(Diagnostic::new(code, headline).at(span, label));
        Value::Error
    }

    fn push(&mut self, kind: ExprKind, ty: Ty, span: Span) -> ExprId {
        self.model.exprs.push(Expr { kind, ty, span });
        ExprId(self.model.exprs.len() as u32 - 1)
    }

    fn constant(&mut self, x: f64, span: Span) -> ExprId {
        self.push(ExprKind::Const(x), Ty::scalar(ty::of_number(x)), span)
    }

    fn ty(&self, id: ExprId) -> &Ty {
        &self.model.expr(id).ty
    }

    /// `[cell, gene]`.
    fn show_axes<'b>(&self, axes: impl IntoIterator<Item = &'b AxisNo>) -> String {
        let names: Vec<&str> = axes.into_iter().map(|a| self.model.axis_name(*a)).collect();
        format!("[{}]", names.join(", "))
    }

    /// What is known of a value, in words.
    fn show_ty(&self, t: &Ty) -> String {
        let of = t.of.map_or(String::new(), |a| format!(" over {}", self.model.axis_name(a)));
        let axes = if t.axes.is_empty() { String::new() } else { self.show_axes(&t.axes) };
        let missing = if t.may_miss { "?" } else { "" };
        if t.covariates { "covariates".into() } else { format!("{}{of}{missing}{axes}", t.support) }
    }

    fn resolve_axis(&mut self, name: &Name, scope: &Scope) -> Option<AxisNo> {
        if let Some(a) = scope.axis_vars.get(&name.text).copied().or_else(|| self.model.find_axis(&name.text))
        {
            return Some(a);
        }
        let known: Vec<&str> = self.model.axes.iter().map(|a| a.name.as_str()).collect();
        let d = Diagnostic::new(Code::E0301, format!("no axis called `{}`", name.text)).at(name.span, "");
        self.diags.push(
            d.did_you_mean(&name.text, known)
                .note("axes are declared by `dim`, or owned by a category field"),
        );
        None
    }

    /// Resolves a bracketed list; repeats are reported.
    fn resolve_axes(&mut self, names: &[Name], scope: &Scope) -> Vec<AxisNo> {
        let mut axes: Vec<AxisNo> = vec![];
        for name in names {
            let Some(a) = self.resolve_axis(name, scope) else { continue };
            if axes.contains(&a) {
                self.report(
                    Code::E0302,
                    format!("axis `{}` is given twice", name.text),
                    name.span,
                    "again here",
                );
            } else {
                axes.push(a);
            }
        }
        axes
    }
}

/// The numbers' support of a type; a simplex counts as numbers between 0 and 1.
pub(crate) fn numeric(support: Support) -> Support {
    if support == Support::Simplex { Support::Unit } else { support }
}

/// Names an AST expression for messages: its source kind in few words.
pub(crate) fn is_name<'e>(e: &'e ast::Expr) -> Option<&'e Name> {
    match &e.kind {
        ast::ExprKind::Name(n) => Some(n),
        _ => None,
    }
}
