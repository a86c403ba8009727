//! Negative binomial.

use crate::special::{LOG_EPS, MAX_RATE, clamp_prob, count_log, log_factorial, log_one_minus, softplus_neg};
use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Elem, Graph, NodeId, RandomKind};

/// Negative binomial counts: a Poisson whose rate is Gamma. `mean` μ ≥ 0 with `inv_dispersion` θ > 0, or `total` θ ≥ 0
/// with `logits` (μ = θ eˡ) or `probs` (μ = θ p/(1−p)); a total of 0 (an empty cell) is the point mass at 0. Variance
/// μ + μ²/θ.
///
/// The first set keeps the 1e-8 terms of the reference (`spec/models-core.md` §1.10), by which the masses sum to 1 only
/// within about 1e-8 of the parameters; the two others have none, but clamp probabilities
/// ([`PROB_EPS`](crate::special::PROB_EPS)).
#[derive(Debug)]
pub struct Nb;

/// Log mass in two addends: its value at x = 0, and a rest that is a structural zero there.
pub(super) struct Parts {
    pub dense: NodeId,
    pub sparse: NodeId,
}

/// log Γ(x + θ) − log Γ(θ) − log x!, a structural zero at x = 0.
fn coefficient(g: &mut Graph, x: NodeId, theta: NodeId) -> NodeId {
    let rising = g.lgamma_delta(x, theta);
    let factorial = log_factorial(g, x);
    g.sub(rising, factorial)
}

/// θ [log(θ+ε) − log(θ+μ+ε)]  and  x [log(μ+ε) − log(θ+μ+ε)] + log Γ(x+θ) − log Γ(θ) − log x!. The first difference
/// of logarithms is −log(1 + μ/(θ+ε)), which does not cancel at large θ.
fn mean_parts(g: &mut Graph, mean: NodeId, theta: NodeId, x: NodeId) -> Parts {
    let theta_eps = g.add_const(theta, LOG_EPS);
    // Fewer axes than the mean has, as a rule: so one multiplication for each element.
    let inverse = g.recip(theta_eps);
    let ratio = g.mul(mean, inverse);
    let growth = g.log1p(ratio);
    let dense = g.mul(theta, growth);
    let dense = g.neg(dense);
    let mean_eps = g.add_const(mean, LOG_EPS);
    let log_mean = g.log(mean_eps);
    let sum = g.add(theta_eps, mean);
    let log_sum = g.log(sum);
    let log_odds = g.sub(log_mean, log_sum);
    let power = g.mul(x, log_odds);
    let binomial = coefficient(g, x, theta);
    Parts { dense, sparse: g.add(power, binomial) }
}

/// The addends for any of the three sets, of which `params` holds at least the two parameters.
pub(super) fn parts(g: &mut Graph, set: usize, params: &[NodeId], x: NodeId) -> Parts {
    let (a, b) = (params[0], params[1]);
    match set {
        0 => mean_parts(g, a, b, x),
        1 => {
            let fail = g.softplus(b);
            let dense = g.mul(a, fail);
            let log_p = softplus_neg(g, b);
            let power = g.mul(x, log_p);
            let binomial = coefficient(g, x, a);
            Parts { dense: g.neg(dense), sparse: g.sub(binomial, power) }
        }
        _ => {
            let p = clamp_prob(g, b);
            let fail = log_one_minus(g, p);
            let power = count_log(g, x, p);
            let binomial = coefficient(g, x, a);
            Parts { dense: g.mul(a, fail), sparse: g.add(power, binomial) }
        }
    }
}

/// μ/θ: the mean of the Poisson rate per unit of the Gamma draw.
fn odds(g: &mut Graph, set: usize, params: &[NodeId]) -> NodeId {
    match set {
        0 => g.div(params[0], params[1]),
        1 => g.exp(params[1]),
        _ => {
            let p = clamp_prob(g, params[1]);
            let rest = crate::special::one_minus(g, p);
            g.div(p, rest)
        }
    }
}

/// μ and θ.
pub(super) fn mean_and_theta(g: &mut Graph, set: usize, params: &[NodeId]) -> (NodeId, NodeId) {
    if set == 0 {
        return (params[0], params[1]);
    }
    let odds = odds(g, set, params);
    (g.mul(params[0], odds), params[0])
}

/// μ + μ²/θ, as μ + μ · μ/θ: the last factor is known where θ is 0.
pub(super) fn variance_of(g: &mut Graph, set: usize, params: &[NodeId]) -> NodeId {
    let (mean, _) = mean_and_theta(g, set, params);
    let odds = odds(g, set, params);
    let excess = g.mul(mean, odds);
    g.add(mean, excess)
}

/// λ ~ Gamma(θ, rate θ/μ), limited to 1e8, then x ~ Poisson(λ). Uses two streams.
pub(super) fn draw_counts(g: &mut Graph, set: usize, params: &[NodeId], draw: &Draw) -> NodeId {
    // A Gamma of concentration 1e-30 is 0 in any precision; one of concentration 0 is not defined.
    let theta = match set {
        0 => params[1],
        _ => {
            let least = g.constant(1e-30);
            g.binary(Elem::Max, params[0], least)
        }
    };
    let log_gamma = g.random(RandomKind::LogGamma, &[theta], draw.stream, draw.axes.clone(), draw.rows);
    let gamma = g.exp(log_gamma);
    let odds = odds(g, set, params);
    let rate = g.mul(gamma, odds);
    let limit = g.constant(MAX_RATE);
    let rate = g.binary(Elem::Min, rate, limit);
    g.random(RandomKind::Poisson, &[rate], draw.stream + 1, draw.axes.clone(), draw.rows)
}

pub(super) const MEAN: Parameter = Parameter::scalar("mean", Support::Nonneg);
pub(super) const INV_DISPERSION: Parameter = Parameter::scalar("inv_dispersion", Support::Positive);
pub(super) const TOTAL: Parameter = Parameter::scalar("total", Support::Nonneg);
pub(super) const LOGITS: Parameter = Parameter::scalar("logits", Support::Real);
pub(super) const PROBS: Parameter = Parameter::scalar("probs", Support::Unit);

impl Family for Nb {
    fn name(&self) -> &'static str {
        "NB"
    }

    fn parameter_sets(&self) -> &'static [&'static [Parameter]] {
        &[&[MEAN, INV_DISPERSION], &[TOTAL, LOGITS], &[TOTAL, PROBS]]
    }

    fn support(&self) -> Support {
        Support::Count
    }

    /// See [`Nb`]; a dense addend plus one that is a structural zero at x = 0.
    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        let p = parts(g, d.set, &d.params, at.value);
        g.add(p.dense, p.sparse)
    }

    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        draw_counts(g, d.set, &d.params, draw).into()
    }

    fn mean(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        Some(mean_and_theta(g, d.set, &d.params).0)
    }

    fn variance(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        Some(variance_of(g, d.set, &d.params))
    }
}
