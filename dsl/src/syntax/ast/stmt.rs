//! Statements of the model, guide and objective blocks.

use super::{Arg, Expr, Name};
use crate::source::Span;

/// A static switch around items or statements.
#[derive(Debug, Clone, PartialEq)]
pub struct When<S> {
    /// Decided before anything is derived.
    pub condition: Expr,
    /// What holds if the condition does.
    pub body: Vec<S>,
}

/// A plate around statements.
#[derive(Debug, Clone, PartialEq)]
pub struct Plate<S> {
    /// The axis whose elements are independent.
    pub axis: Name,
    /// The weight of each element (model only).
    pub weight: Option<Expr>,
    /// The statements for one element.
    pub body: Vec<S>,
}

/// `name[axes] = value`.
#[derive(Debug, Clone, PartialEq)]
pub struct Define {
    /// Replaces an inherited definition.
    pub is_override: bool,
    /// The defined name.
    pub name: Name,
    /// Its axes; empty without brackets.
    pub axes: Vec<Name>,
    /// Its value.
    pub value: Expr,
    /// The whole statement.
    pub span: Span,
}

/// `draw name[axes] ~ dist`: noise that is not inferred.
#[derive(Debug, Clone, PartialEq)]
pub struct Draw {
    /// The drawn name.
    pub name: Name,
    /// Its axes; empty without brackets.
    pub axes: Vec<Name>,
    /// What it is drawn from.
    pub dist: Expr,
}

/// `where c else v`: the site exists where the condition holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Cond {
    /// Where the site exists.
    pub condition: Expr,
    /// Its value elsewhere.
    pub otherwise: Option<Expr>,
    /// `where …`.
    pub span: Span,
}

/// A statement of `model`.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelStmt {
    /// Which statement.
    pub kind: ModelStmtKind,
    /// The whole statement.
    pub span: Span,
}

/// The statements of `model`.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelStmtKind {
    /// `plate axis [weight e] { … }`.
    Plate(Plate<ModelStmt>),
    /// `name[axes] ~ dist`: a latent site.
    Site(Site),
    /// `observe target ~ dist`: a likelihood.
    Observe(Observe),
    /// `draw name ~ dist`.
    Draw(Draw),
    /// `name = value`.
    Define(Define),
    /// `when c { … }`.
    When(When<ModelStmt>),
    /// A statement that could not be parsed.
    Error,
}

/// A latent site of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Replaces an inherited site.
    pub is_override: bool,
    /// The site.
    pub name: Name,
    /// Its own axes, beside its plates; empty without brackets.
    pub axes: Vec<Name>,
    /// Its prior.
    pub dist: Expr,
    /// Where it exists.
    pub cond: Option<Cond>,
}

/// A likelihood.
#[derive(Debug, Clone, PartialEq)]
pub struct Observe {
    /// Replaces an inherited likelihood.
    pub is_override: bool,
    /// What is observed: a data field, perhaps indexed.
    pub target: Expr,
    /// Its distribution.
    pub dist: Expr,
    /// Where it counts.
    pub cond: Option<Cond>,
}

/// A statement of `guide`.
#[derive(Debug, Clone, PartialEq)]
pub struct GuideStmt {
    /// Which statement.
    pub kind: GuideStmtKind,
    /// The whole statement.
    pub span: Span,
}

/// The statements of `guide`.
#[derive(Debug, Clone, PartialEq)]
pub enum GuideStmtKind {
    /// `plate axis { … }`; the weight is always `None`.
    Plate(Plate<GuideStmt>),
    /// `name ~ …`: how a latent is treated.
    Treat(Treat),
    /// `draw name ~ dist`.
    Draw(Draw),
    /// `name = value`.
    Define(Define),
    /// `when c { … }`.
    When(When<GuideStmt>),
    /// A statement that could not be parsed.
    Error,
}

/// How the guide treats one latent.
#[derive(Debug, Clone, PartialEq)]
pub struct Treat {
    /// Replaces an inherited treatment.
    pub is_override: bool,
    /// The latent.
    pub name: Name,
    /// Its treatment.
    pub how: Treatment,
    /// Where it exists.
    pub cond: Option<Cond>,
}

/// A strategy by name, or an explicit distribution.
#[derive(Debug, Clone, PartialEq)]
pub enum Treatment {
    /// `point`, `auto(rank = 8)`, `score(D(…))`, …
    Strategy {
        /// Which strategy.
        strategy: Strategy,
        /// Its arguments; empty without parentheses.
        args: Vec<Arg>,
        /// Name and arguments.
        span: Span,
    },
    /// `z ~ D(…)`.
    Dist(Expr),
}

/// The named treatments of a latent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strategy {
    /// A point estimate.
    Point,
    /// Summed exactly.
    Marginal,
    /// Drawn from its prior.
    Prior,
    /// Mean field or low rank, with parameters of its own.
    Auto,
    /// A score-function gradient.
    Score,
    /// A continuous relaxation.
    Relaxed,
}

/// A statement of `objective`.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectiveStmt {
    /// Which statement.
    pub kind: ObjectiveStmtKind,
    /// The whole statement.
    pub span: Span,
}

/// The statements of `objective`.
#[derive(Debug, Clone, PartialEq)]
pub enum ObjectiveStmtKind {
    /// `name = value`.
    Define(Define),
    /// `weight kl(z), lik(x) by e`.
    Weight {
        /// Replaces an inherited weight.
        is_override: bool,
        /// The weighted terms, at least one.
        terms: Vec<Term>,
        /// Their weight.
        by: Expr,
    },
    /// `estimate kl(z) by mc(30)`.
    Estimate {
        /// The term.
        term: Term,
        /// The estimator.
        by: Expr,
    },
    /// `ignore name`: as if unobserved.
    Ignore(Name),
    /// `minimize e`.
    Minimize(Expr),
    /// `maximize e`.
    Maximize(Expr),
    /// `draw name ~ dist`.
    Draw(Draw),
    /// `when c { … }`.
    When(When<ObjectiveStmt>),
    /// A statement that could not be parsed.
    Error,
}

/// A term of the objective by name: `kl(z)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// Which term of the site.
    pub sort: TermSort,
    /// The site.
    pub site: Name,
    /// The whole term.
    pub span: Span,
}

/// The terms that a site can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TermSort {
    /// The divergence of its guide from its prior.
    Kl,
    /// Its likelihood.
    Lik,
    /// Its log prior at a point estimate.
    Prior,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Strategy; 6] = [
        Strategy::Point,
        Strategy::Marginal,
        Strategy::Prior,
        Strategy::Auto,
        Strategy::Score,
        Strategy::Relaxed,
    ];

    /// The reserved word.
    pub fn word(self) -> &'static str {
        match self {
            Strategy::Point => "point",
            Strategy::Marginal => "marginal",
            Strategy::Prior => "prior",
            Strategy::Auto => "auto",
            Strategy::Score => "score",
            Strategy::Relaxed => "relaxed",
        }
    }
}

impl TermSort {
    /// The word before the parenthesis.
    pub fn word(self) -> &'static str {
        match self {
            TermSort::Kl => "kl",
            TermSort::Lik => "lik",
            TermSort::Prior => "prior",
        }
    }
}
