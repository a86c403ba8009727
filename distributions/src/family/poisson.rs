//! Poisson.

use crate::special::{count_log, log_factorial};
use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Graph, NodeId, RandomKind};

/// Poisson counts of mean `rate` ≥ 0. Draws limit the rate to 1e8.
#[derive(Debug)]
pub struct Poisson;

impl Family for Poisson {
    fn name(&self) -> &'static str {
        "Poisson"
    }

    fn parameter_sets(&self) -> &'static [&'static [Parameter]] {
        const RATE: Parameter = Parameter::scalar("rate", Support::Nonneg);
        &[&[RATE]]
    }

    fn positional(&self) -> Option<&'static [&'static str]> {
        Some(&["rate"])
    }

    fn support(&self) -> Support {
        Support::Count
    }

    fn has_kl_to(&self, other: &str) -> bool {
        other == "Poisson"
    }

    /// −r, plus x log r − log x!, which is a structural zero at x = 0.
    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        let power = count_log(g, at.value, d.params[0]);
        let factorial = log_factorial(g, at.value);
        let sparse = g.sub(power, factorial);
        let dense = g.neg(d.params[0]);
        g.add(dense, sparse)
    }

    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        g.random(RandomKind::Poisson, &[d.params[0]], draw.stream, draw.axes.clone(), draw.rows).into()
    }

    fn mean(&self, _g: &mut Graph, d: &Dist) -> Option<NodeId> {
        Some(d.params[0])
    }

    fn variance(&self, _g: &mut Graph, d: &Dist) -> Option<NodeId> {
        Some(d.params[0])
    }

    /// r_q log(r_q/r_p) − r_q + r_p.
    fn kl(&self, g: &mut Graph, q: &Dist, p: &Dist) -> Option<NodeId> {
        if !self.has_kl_to(p.family.name()) {
            return None;
        }
        let (rq, rp) = (q.params[0], p.params[0]);
        let ratio = g.div(rq, rp);
        let term = count_log(g, rq, ratio);
        let gap = g.sub(rp, rq);
        Some(g.add(term, gap))
    }
}
