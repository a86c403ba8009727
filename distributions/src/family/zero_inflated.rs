//! Zero-inflated negative binomial.

use super::negative_binomial::{
    INV_DISPERSION, LOGITS, MEAN, PROBS, TOTAL, draw_counts, mean_and_theta, parts, variance_of,
};
use crate::special::softplus_neg;
use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Elem, Graph, NodeId, RandomKind};

/// NB counts, replaced by 0 with probability σ(ψ), ψ = `zero_logits` (real); the other parameters are those of
/// [`Nb`](super::Nb).
#[derive(Debug)]
pub struct Zinb;

impl Family for Zinb {
    fn name(&self) -> &'static str {
        "ZINB"
    }

    fn parameter_sets(&self) -> &'static [&'static [Parameter]] {
        const ZERO: Parameter = Parameter::scalar("zero_logits", Support::Real);
        &[&[MEAN, INV_DISPERSION, ZERO], &[TOTAL, LOGITS, ZERO], &[TOTAL, PROBS, ZERO]]
    }

    fn support(&self) -> Support {
        Support::Count
    }

    /// With A = −ψ + log NB(0), sp = softplus: sp(A) − sp(−ψ) at x = 0, else A − sp(−ψ) + the x-dependent part of NB
    /// (`spec/models-core.md` §1.10). As A = sp(A) − sp(−A), the second is the first plus a rest that vanishes at
    /// x = 0: −sign(x) sp(−A) + the x-dependent part.
    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        let nb = parts(g, d.set, &d.params, at.value);
        let psi = d.params[2];
        let a = g.sub(nb.dense, psi);
        let any = g.softplus(a);
        let norm = softplus_neg(g, psi);
        let dense = g.sub(any, norm);
        let not_inflated = softplus_neg(g, a);
        let counted = g.unary(Elem::Sign, at.value);
        let rest = g.mul(counted, not_inflated);
        let sparse = g.sub(nb.sparse, rest);
        g.add(dense, sparse)
    }

    /// An NB count, zeroed where a uniform falls below σ(ψ). Uses three streams.
    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        let x = draw_counts(g, d.set, &d.params, draw);
        let u = g.random(RandomKind::Uniform, &[], draw.stream + 2, draw.axes.clone(), draw.rows);
        let pi = g.sigmoid(d.params[2]);
        let zeroed = g.binary(Elem::Lt, u, pi);
        let zero = g.constant(0.0);
        g.select(zeroed, zero, x).into()
    }

    /// (1 − π) μ.
    fn mean(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        let (mean, _) = mean_and_theta(g, d.set, &d.params);
        let psi = g.neg(d.params[2]);
        let keep = g.sigmoid(psi);
        Some(g.mul(keep, mean))
    }

    /// (1 − π) (v + π μ²) with v the variance of the NB.
    fn variance(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        let (mean, _) = mean_and_theta(g, d.set, &d.params);
        let inner = variance_of(g, d.set, &d.params);
        let pi = g.sigmoid(d.params[2]);
        let square = g.square(mean);
        let between = g.mul(pi, square);
        let sum = g.add(inner, between);
        let psi = g.neg(d.params[2]);
        let keep = g.sigmoid(psi);
        Some(g.mul(keep, sum))
    }
}
