//! The objective: a list of terms, each with how it is estimated and why.
//!
//! The loss is −Σ scale · weight · term for the terms of the bound, and the free terms as written. What is true of an
//! [`Objective`]: each factor of the model gives exactly one term or stands in exactly one sum; a term is analytic only
//! where the rule of the derivation allows it; no sum mixes elements or scales.

mod print;

pub use print::explain;

use crate::diagnostic::{Code, Diagnostic};
use crate::model::{AxisNo, ExprId, Model, SiteNo, TermKind};
use crate::source::Span;

/// Most combinations of values that one term is summed over.
const MOST_COMBINATIONS: f64 = 4096.0;

/// How a term is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Estimator {
    /// The log density of data or of a point estimate.
    LogDensity,
    /// A closed form.
    Analytic,
    /// log q − log p at the draw.
    MonteCarlo,
    /// log q − log p, summed over all values.
    Exact,
    /// The log of a sum over sites of the model: see [`Sum`].
    Sum,
}

/// One term of the bound.
#[derive(Clone, Debug)]
pub struct Term {
    /// `lik(x)`, `prior(eta)` or `kl(z)`.
    pub name: String,
    /// Likelihood, prior or divergence.
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
    /// Sites enumerated in the guide over whose values it is averaged, in the order in which they are drawn.
    pub over: Vec<SiteNo>,
    /// The sum that takes the place of the site's factor, or that this term carries.
    pub sum: Option<usize>,
    /// Draws that it is averaged over.
    pub draws: usize,
    /// The site's statement.
    pub span: Span,
}

/// One log-sum-exp of the model: over the values of `sites`, of the product of `factors`.
#[derive(Clone, Debug)]
pub struct Sum {
    /// Sites that are summed.
    pub sites: Vec<SiteNo>,
    /// Sites whose densities stand inside, the summed ones included.
    pub factors: Vec<SiteNo>,
    /// The term under whose name it counts; none if nothing but summed sites stand in it: then it is 0.
    pub carrier: Option<(TermKind, SiteNo)>,
}

/// A site whose draw passes no gradient, so that the terms that depend on it teach its guide.
#[derive(Clone, Debug)]
pub struct Score {
    /// The site.
    pub site: SiteNo,
    /// Positions of those terms.
    pub terms: Vec<usize>,
}

/// What is maximised, beside the free terms of the model.
#[derive(Clone, Debug, Default)]
pub struct Objective {
    /// Terms: likelihoods first, then priors, then divergences, in source order.
    pub terms: Vec<Term>,
    /// Sites enumerated in the guide, in the order in which they are drawn.
    pub enumerated: Vec<SiteNo>,
    /// Sums of the model.
    pub sums: Vec<Sum>,
    /// Score-function gradients.
    pub scores: Vec<Score>,
}

impl Objective {
    /// Every site over whose values a term is summed.
    pub fn sites_of(&self, t: &Term) -> Vec<SiteNo> {
        let inside = t.sum.filter(|_| t.estimator == Estimator::Sum).map_or(&[][..], |k| &self.sums[k].sites);
        t.over.iter().chain(inside).copied().collect()
    }

    /// E0506 for the first term that is summed over too many combinations, at given sizes of axes.
    pub fn too_many(&self, m: &Model, size: impl Fn(AxisNo) -> usize) -> Option<Diagnostic> {
        let values = |s: &SiteNo| m.sites[*s].prior.event.map_or(2, &size) as f64;
        self.terms.iter().find_map(|t| {
            let sites = self.sites_of(t);
            let n: f64 = sites.iter().map(values).product();
            (n > MOST_COMBINATIONS).then(|| too_many(m, t, &sites, n))
        })
    }
}

fn too_many(m: &Model, t: &Term, sites: &[SiteNo], size: f64) -> Diagnostic {
    let what = format!("`{}` is summed over {size} combinations of values", t.name);
    let mut d = Diagnostic::new(Code::E0506, what).at(t.span, "this term");
    for s in sites {
        let s = &m.sites[*s];
        d = d.also(s.guide_span.unwrap_or(s.span), format!("over the values of `{}`", s.name));
    }
    let most = MOST_COMBINATIONS;
    d.note(format!("at most {most} are"))
        .help("let fewer sites be summed, or ask for draws: `score(…)`, `relaxed(…)`")
}
