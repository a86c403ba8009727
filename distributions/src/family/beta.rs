//! Beta.

use crate::special::{BELOW_ONE, TINY, clamp, lgamma_change, softplus_neg, times_log_one_minus};
use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Graph, NodeId, RandomKind};

/// Beta with shapes `a`, `b` > 0, on the unit interval: density ∝ x^(a−1) (1−x)^(b−1).
///
/// A draw's base is its logit, which has no limits; the draw itself lies in [1.2e-38, 1 − 2⁻²⁴], so that log densities of
/// other families at it are finite in single precision.
#[derive(Debug)]
pub struct Beta;

/// Mean a/(a+b) and variance m (1−m)/(a+b+1).
pub(super) fn moments(g: &mut Graph, a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    let both = g.add(a, b);
    let (mean, fail) = (g.div(a, both), g.div(b, both));
    let product = g.mul(mean, fail);
    let size = g.add_const(both, 1.0);
    (mean, g.div(product, size))
}

/// The logit log(X/Y) of X/(X+Y) with X ~ Gamma(a), Y ~ Gamma(b). Uses two streams.
pub(super) fn draw_logit(g: &mut Graph, a: NodeId, b: NodeId, draw: &Draw) -> NodeId {
    let log_gamma = |g: &mut Graph, shape: NodeId, k: u32| {
        g.random(RandomKind::LogGamma, &[shape], draw.stream + k, draw.axes.clone(), draw.rows)
    };
    let (x, y) = (log_gamma(g, a, 0), log_gamma(g, b, 1));
    g.sub(x, y)
}

impl Family for Beta {
    fn name(&self) -> &'static str {
        "Beta"
    }

    fn parameter_sets(&self) -> &'static [&'static [Parameter]] {
        const A: Parameter = Parameter::scalar("a", Support::Positive);
        const B: Parameter = Parameter::scalar("b", Support::Positive);
        &[&[A, B]]
    }

    fn positional(&self) -> Option<&'static [&'static str]> {
        Some(&["a", "b"])
    }

    fn support(&self) -> Support {
        Support::Unit
    }

    fn reparameterised(&self) -> bool {
        true
    }

    fn has_kl_to(&self, other: &str) -> bool {
        other == "Beta"
    }

    /// (a−1) log x + (b−1) log(1−x) − log B(a, b); with the logit l of a sample that has it, log x = −log(1 + e⁻ˡ) and
    /// log(1−x) = −log(1 + eˡ).
    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        let (a, b) = (d.params[0], d.params[1]);
        let (am, bm) = (g.add_const(a, -1.0), g.add_const(b, -1.0));
        let kernel = match at.base {
            Some(logit) => {
                let (less, more) = (softplus_neg(g, logit), g.softplus(logit));
                let (yes, no) = (g.mul(am, less), g.mul(bm, more));
                let sum = g.add(yes, no);
                g.neg(sum)
            }
            None => {
                let (yes, no) = (g.xlogy(am, at.value), times_log_one_minus(g, bm, at.value));
                g.add(yes, no)
            }
        };
        // −log B(a, b) = [log Γ(a+b) − log Γ(b)] − log Γ(a).
        let (rise, fall) = (g.lgamma_delta(a, b), g.lgamma(a));
        let norm = g.sub(rise, fall);
        g.add(kernel, norm)
    }

    /// A ratio of Gamma draws; gradients by implicit reparameterisation of these.
    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        let logit = draw_logit(g, d.params[0], d.params[1], draw);
        let x = g.sigmoid(logit);
        Sample { value: clamp(g, x, TINY, BELOW_ONE), base: Some(logit) }
    }

    fn mean(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        Some(moments(g, d.params[0], d.params[1]).0)
    }

    fn variance(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        Some(moments(g, d.params[0], d.params[1]).1)
    }

    /// log B(a_p, b_p) − log B(a_q, b_q) + (a_q−a_p) ψ(a_q) + (b_q−b_p) ψ(b_q) − (a_q−a_p+b_q−b_p) ψ(a_q+b_q).
    fn kl(&self, g: &mut Graph, q: &Dist, p: &Dist) -> Option<NodeId> {
        if !self.has_kl_to(p.family.name()) {
            return None;
        }
        let (sum_q, sum_p) = (g.add(q.params[0], q.params[1]), g.add(p.params[0], p.params[1]));
        let one = shape_term(g, q.params[0], p.params[0]);
        let two = shape_term(g, q.params[1], p.params[1]);
        let both = shape_term(g, sum_q, sum_p);
        let parts = g.add(one, two);
        Some(g.sub(parts, both))
    }
}

/// log Γ(p) − log Γ(q) + (q − p) ψ(q): the part of a divergence of Gammas, Betas and Dirichlets that one shape gives.
pub(super) fn shape_term(g: &mut Graph, q: NodeId, p: NodeId) -> NodeId {
    let change = lgamma_change(g, p, q);
    let gap = g.sub(q, p);
    let psi = g.digamma(q);
    let slope = g.mul(gap, psi);
    g.add(change, slope)
}
