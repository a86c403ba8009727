//! The objective: a list of terms, each with how it is estimated and why.
//!
//! The loss is −Σ scale · weight · term for the terms of the bound. What is true of an [`Objective`]: each site of the
//! model gives exactly one term; a term is analytic only where the rule of the derivation allows it.

mod print;

pub use print::explain;

use crate::model::{ExprId, SiteNo, TermKind};
use crate::source::Span;

/// How a term is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Estimator {
    /// The log density of data, at the drawn latents.
    LogDensity,
    /// A closed form.
    Analytic,
    /// log q − log p at the draw.
    MonteCarlo,
}

/// One term of the bound.
#[derive(Clone, Debug)]
pub struct Term {
    /// `lik(x)` or `kl(z)`.
    pub name: String,
    /// Likelihood or divergence.
    pub kind: TermKind,
    /// The site that gives it.
    pub site: SiteNo,
    /// How it is computed.
    pub estimator: Estimator,
    /// Why it is computed so.
    pub reason: String,
    /// Its weight; 1 if none.
    pub weight: Option<ExprId>,
    /// Whether it is summed over the minibatched plate.
    pub per_row: bool,
    /// The site's statement.
    pub span: Span,
}

/// What is maximised.
#[derive(Clone, Debug, Default)]
pub struct Objective {
    /// Terms: likelihoods first, then divergences, in source order.
    pub terms: Vec<Term>,
}
