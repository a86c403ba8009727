//! Exponential.

use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Graph, NodeId, RandomKind};

/// Exponential with `rate` r > 0: density r e^(−r x) on x ≥ 0.
#[derive(Debug)]
pub struct Exponential;

impl Family for Exponential {
    fn name(&self) -> &'static str {
        "Exponential"
    }

    fn parameter_sets(&self) -> &'static [&'static [Parameter]] {
        const RATE: Parameter = Parameter::scalar("rate", Support::Positive);
        &[&[RATE]]
    }

    fn positional(&self) -> Option<&'static [&'static str]> {
        Some(&["rate"])
    }

    fn support(&self) -> Support {
        Support::Nonneg
    }

    fn reparameterised(&self) -> bool {
        true
    }

    fn has_kl_to(&self, other: &str) -> bool {
        other == "Exponential"
    }

    /// log r − r x.
    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        let log_rate = g.log(d.params[0]);
        let decay = g.mul(d.params[0], at.value);
        g.sub(log_rate, decay)
    }

    /// −log u / r.
    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        let u = g.random(RandomKind::Uniform, &[], draw.stream, draw.axes.clone(), draw.rows);
        let log = g.log(u);
        let unit = g.neg(log);
        g.div(unit, d.params[0]).into()
    }

    /// 1/r.
    fn mean(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        Some(g.recip(d.params[0]))
    }

    /// 1/r².
    fn variance(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        let mean = g.recip(d.params[0]);
        Some(g.square(mean))
    }

    /// r_p/r_q − 1 − log(r_p/r_q).
    fn kl(&self, g: &mut Graph, q: &Dist, p: &Dist) -> Option<NodeId> {
        if !self.has_kl_to(p.family.name()) {
            return None;
        }
        let ratio = g.div(p.params[0], q.params[0]);
        let log = g.log(ratio);
        let excess = g.add_const(ratio, -1.0);
        Some(g.sub(excess, log))
    }
}
