//! The checker: merged declarations to a typed [`Model`].
//!
//! It evaluates every expression once, abstractly: names become ids, net calls are expanded, static choices are
//! decided, and each result gets its axes and support. Poisoned values ([`Value::Error`]) have been reported and
//! silence what follows from them.

mod adversary;
mod axes;
mod call;
mod dist;
mod expand;
mod expr;
mod finish;
mod host;
mod init;
pub mod layer;
mod mask;
mod mixture;
mod names;
mod objective;
mod reduce;
mod replace;
mod stmt;
mod stored;
mod subset;
pub mod train;
mod treat;
mod words;

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::model::ty::{self, AxisNo, Ty};
use crate::model::{DistExpr, Expr, ExprId, ExprKind, Model};
use crate::resolve::Program;
use crate::source::Span;
use crate::syntax::ast::{self, Name};
use distributions::Support;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) use call::{is_builtin, number_function};
pub(crate) use names::names_in;
pub(crate) use treat::rank_too_large;

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
        poisoned: program.broken.iter().cloned().collect(),
        called: BTreeSet::new(),
        open: vec![],
        budget: Budget::default(),
        guards: vec![],
        known_here: vec![],
        guessing: false,
    };
    c.declare_axes();
    c.plate();
    c.declare_fields();
    c.loaded_nets();
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
    /// In an arm that is not chosen: what depends on other choices is not reported.
    dead: bool,
    /// Path of parameters made here; none outside nets.
    path: Option<String>,
    /// Axis variables of the net or function being expanded.
    axis_vars: BTreeMap<String, AxisNo>,
    /// The axis that a definition declares on its left, for functions that make an array along it.
    wanted: Option<AxisNo>,
    /// How often each layer kind stands in the expression at hand, and how many were seen.
    repeats: BTreeMap<String, (usize, usize)>,
}

impl Scope {
    fn new(block: Block, plates: Vec<AxisNo>) -> Self {
        let (locals, axis_vars, repeats) = (vec![], BTreeMap::new(), BTreeMap::new());
        let (in_net, dead, path, wanted) = (false, false, None, None);
        Self { block, plates, locals, in_net, dead, path, axis_vars, wanted, repeats }
    }
}

/// Name spaces of what is evaluated once, or cannot be inside itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Space {
    Model,
    Guide,
    Stat,
    Objective,
    Call,
}

/// What is being evaluated, outermost first.
#[derive(Clone, Debug)]
struct Open {
    space: Space,
    name: String,
    span: Span,
}

/// What keeps a program that doubles itself from filling the machine.
#[derive(Clone, Copy, Debug, Default)]
struct Budget {
    /// Nets and functions written out so far.
    calls: usize,
    /// Expressions around the one at hand.
    depth: usize,
    /// Whether a limit was met and reported.
    spent: bool,
}

/// Most calls of nets and functions in a model.
const MAX_CALLS: usize = 10_000;
/// Most typed expressions in a model.
const MAX_EXPRS: usize = 100_000;
/// Most expressions inside one another, through nets and definitions.
const MAX_DEPTH: usize = 400;

/// Progress of a lazily evaluated statement.
#[derive(Clone, Debug)]
enum State {
    Open,
    Done(Value),
}

pub(crate) struct Checker<'a> {
    program: &'a Program,
    diags: &'a mut Diagnostics,
    model: Model,
    /// Evaluated statements.
    states: BTreeMap<(Space, String), State>,
    fields: BTreeMap<String, usize>,
    params: BTreeMap<String, usize>,
    stats: BTreeMap<String, usize>,
    /// Names whose declarations were reported: uses of them are not.
    poisoned: BTreeSet<String>,
    /// Nets and functions that something calls.
    called: BTreeSet<String>,
    open: Vec<Open>,
    budget: Budget,
    /// Fields that a `when present(…)` around the statement at hand makes sure of.
    guards: Vec<String>,
    /// Fields that the `where observed(…)` of the reduction at hand makes sure of.
    known_here: Vec<String>,
    /// Evaluating what an override replaced, only to compare.
    guessing: bool,
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

    /// Whether uses of a name are not to be reported as unknown.
    fn is_silent(&self, name: &str) -> bool {
        self.poisoned.contains(name) || self.program.dead.iter().any(|d| d == name)
    }

    /// Whether a name is declared, but only by statements that are switched off, and read by one that is not.
    fn is_switched_off(&self, name: &str, scope: &Scope) -> bool {
        let reported = self.poisoned.contains(name) || self.program.broken.iter().any(|b| b == name);
        !scope.dead && !self.guessing && !reported && self.program.dead.iter().any(|d| d == name)
    }

    /// E0210, once.
    fn too_large(&mut self, span: Span) {
        if !std::mem::replace(&mut self.budget.spent, true) {
            let span = self.open.first().map_or(span, |o| o.span);
            let d = Diagnostic::new(Code::E0210, "this model is too large once its nets are written out");
            let d = d.at(span, format!("more than {MAX_CALLS} calls, or {MAX_DEPTH} inside one another"));
            self.diags.push(d.help("look for a net or function that calls another several times, and so on"));
        }
    }

    /// Evaluates a statement under what the `when` around it make sure of.
    fn guarded<T>(&mut self, statement: Span, eval: impl FnOnce(&mut Self) -> T) -> T {
        let inner = self.program.guards.get(&statement).cloned().unwrap_or_default();
        let outer = std::mem::replace(&mut self.guards, inner);
        let value = eval(self);
        self.guards = outer;
        value
    }

    fn push(&mut self, kind: ExprKind, ty: Ty, span: Span) -> ExprId {
        if self.model.exprs.len() >= MAX_EXPRS {
            self.too_large(span);
        }
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

    /// `has [gene]`, or that there is nothing to list.
    fn has_axes(&self, axes: &[AxisNo]) -> String {
        if axes.is_empty() {
            "has no axis of its own".into()
        } else {
            format!("has {}", self.show_axes(axes))
        }
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
        if self.is_silent(&name.text) {
            return None;
        }
        let known: Vec<&str> = self.model.axes.iter().map(|a| a.name.as_str()).collect();
        // The nearest axis stands in, so that one misspelling gives one message.
        let near = crate::diagnostic::nearest(&name.text, known.iter().copied());
        let stand_in = near.first().and_then(|n| self.model.find_axis(n));
        let d = Diagnostic::new(Code::E0301, format!("no axis called `{}`", name.text)).at(name.span, "");
        let d = d.did_you_mean(&name.text, known.iter().copied());
        self.diags.push(match near[..] {
            [only] => d.suggest(name.span, only),
            [] if known.is_empty() => d.help(format!("declare it: `dim {}`", name.text)),
            [] => d.help(format!("declare it, `dim {}`, or use one of {}", name.text, known.join(", "))),
            _ => d,
        });
        stand_in
    }

    /// All axes of a bracketed list, or none if one is unknown.
    fn all_axes(&mut self, names: &[Name], scope: &Scope) -> Option<Vec<AxisNo>> {
        let unknown = |c: &Self, n: &Name| {
            !scope.axis_vars.contains_key(&n.text) && c.model.find_axis(&n.text).is_none()
        };
        let lost = names.iter().any(|n| unknown(self, n) && self.stand_in(n).is_none());
        let axes = self.resolve_axes(names, scope);
        (!lost).then_some(axes)
    }

    /// The nearest declared axis.
    fn stand_in(&self, name: &Name) -> Option<AxisNo> {
        let known = self.model.axes.iter().map(|a| a.name.as_str());
        crate::diagnostic::nearest(&name.text, known).first().and_then(|n| self.model.find_axis(n))
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
pub(crate) fn is_name(e: &ast::Expr) -> Option<&Name> {
    match &e.kind {
        ast::ExprKind::Name(n) => Some(n),
        _ => None,
    }
}
