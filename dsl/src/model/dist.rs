//! Distributions with typed parameters.

use super::{AxisNo, ExprId};
use crate::source::Span;
use distributions::Family;

/// A distribution with typed parameters.
#[derive(Clone, Debug)]
pub struct DistExpr {
    /// Which family.
    pub family: &'static dyn Family,
    /// Which of its parameter sets.
    pub set: usize,
    /// Parameters in the order of that set.
    pub params: Vec<ExprId>,
    /// Event axis of a vector family.
    pub event: Option<AxisNo>,
    /// Weights, if this is one component of a mixture: the parameters then carry the mixture's axis.
    pub mixture: Option<Mixture>,
    /// What correlates its elements, for a guide `auto(rank = n)`.
    pub low_rank: Option<LowRank>,
    /// The call.
    pub span: Span,
}

impl DistExpr {
    /// Every expression that it reads directly.
    pub fn reads(&self) -> impl Iterator<Item = ExprId> + '_ {
        let weights = self.mixture.as_ref().map(|m| m.weights);
        self.params.iter().copied().chain(weights).chain(self.low_rank.as_ref().map(|l| l.factor))
    }

    /// `Normal`, `Mixture of Normal` or `rank-2 Normal`.
    pub fn name(&self) -> String {
        let family = self.family.name();
        match (&self.mixture, &self.low_rank) {
            (Some(_), _) => format!("Mixture of {family}"),
            (None, Some(l)) => format!("rank-{} {family}", l.rank),
            (None, None) => family.to_owned(),
        }
    }
}

/// The weights of a mixture.
#[derive(Clone, Copy, Debug)]
pub struct Mixture {
    /// The axis of the components.
    pub axis: AxisNo,
    /// One weight for each.
    pub weights: ExprId,
    /// Whether the weights are logits, or probabilities.
    pub logits: bool,
}

/// What correlates the elements of a law: [`distributions::LowRank`] over all the site's own axes.
#[derive(Clone, Copy, Debug)]
pub struct LowRank {
    /// A value on the axes of the other parameters and `axis`.
    pub factor: ExprId,
    /// The axis of its columns.
    pub axis: AxisNo,
    /// How many there are.
    pub rank: usize,
}
