//! Gamma.

use super::beta::shape_term;
use crate::special::{TINY, at_least};
use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Graph, NodeId, RandomKind};

/// Gamma with `concentration` a > 0 and `rate` r > 0: density ∝ x^(a−1) e^(−r x). A draw's base is its logarithm, which
/// has no lower limit; the draw itself is at least 1.2e-38.
#[derive(Debug)]
pub struct Gamma;

impl Family for Gamma {
    fn name(&self) -> &'static str {
        "Gamma"
    }

    fn parameter_sets(&self) -> &'static [&'static [Parameter]] {
        const CONCENTRATION: Parameter = Parameter::scalar("concentration", Support::Positive);
        const RATE: Parameter = Parameter::scalar("rate", Support::Positive);
        &[&[CONCENTRATION, RATE]]
    }

    fn positional(&self) -> Option<&'static [&'static str]> {
        Some(&["concentration", "rate"])
    }

    fn support(&self) -> Support {
        Support::Positive
    }

    fn reparameterised(&self) -> bool {
        true
    }

    fn has_kl_to(&self, other: &str) -> bool {
        other == "Gamma"
    }

    /// a log r − log Γ(a) + (a−1) log x − r x; log x is the base where the sample has it.
    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        let (a, rate) = (d.params[0], d.params[1]);
        let log_rate = g.log(rate);
        let norm = g.mul(a, log_rate);
        let lgamma = g.lgamma(a);
        let norm = g.sub(norm, lgamma);
        let am = g.add_const(a, -1.0);
        let power = match at.base {
            Some(log) => g.mul(am, log),
            None => g.xlogy(am, at.value),
        };
        let decay = g.mul(rate, at.value);
        let kernel = g.sub(power, decay);
        g.add(norm, kernel)
    }

    /// A standard Gamma draw over the rate; gradient in the concentration by implicit reparameterisation.
    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        let unit = g.random(RandomKind::LogGamma, &[d.params[0]], draw.stream, draw.axes.clone(), draw.rows);
        let log_rate = g.log(d.params[1]);
        let log = g.sub(unit, log_rate);
        let x = g.exp(log);
        Sample { value: at_least(g, x, TINY), base: Some(log) }
    }

    /// a/r.
    fn mean(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        Some(g.div(d.params[0], d.params[1]))
    }

    /// a/r².
    fn variance(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        let mean = g.div(d.params[0], d.params[1]);
        Some(g.div(mean, d.params[1]))
    }

    /// (a_q−a_p) ψ(a_q) − log Γ(a_q) + log Γ(a_p) + a_p log(r_q/r_p) + a_q (r_p/r_q − 1).
    fn kl(&self, g: &mut Graph, q: &Dist, p: &Dist) -> Option<NodeId> {
        if !self.has_kl_to(p.family.name()) {
            return None;
        }
        let shape = shape_term(g, q.params[0], p.params[0]);
        let ratio = g.div(p.params[1], q.params[1]);
        let log_ratio = g.log(ratio);
        let change = g.mul(p.params[0], log_ratio);
        let excess = g.add_const(ratio, -1.0);
        let excess = g.mul(q.params[0], excess);
        let rate = g.sub(excess, change);
        Some(g.add(shape, rate))
    }
}
