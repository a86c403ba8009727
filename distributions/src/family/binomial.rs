//! Binomial.

use crate::special::{clamp_prob, count_log, log_choose, log_one_minus, one_minus};
use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Graph, NodeId, RandomKind};

/// Successes in `total` trials (a count) of probability `probs` (in [0, 1], clamped inside logarithms:
/// [`PROB_EPS`](crate::special::PROB_EPS)) or σ(`logits`). The log mass needs x ≤ total; beyond, it is not finite.
#[derive(Debug)]
pub struct Binomial;

fn probability(g: &mut Graph, d: &Dist) -> NodeId {
    if d.set == 0 { d.params[1] } else { g.sigmoid(d.params[1]) }
}

impl Family for Binomial {
    fn name(&self) -> &'static str {
        "Binomial"
    }

    fn parameter_sets(&self) -> &'static [&'static [Parameter]] {
        const TOTAL: Parameter = Parameter::scalar("total", Support::Count);
        const PROBS: Parameter = Parameter::scalar("probs", Support::Unit);
        const LOGITS: Parameter = Parameter::scalar("logits", Support::Real);
        &[&[TOTAL, PROBS], &[TOTAL, LOGITS]]
    }

    fn support(&self) -> Support {
        Support::Count
    }

    fn at_most(&self) -> Option<&'static str> {
        Some("total")
    }

    /// n log(1 − p), plus x logit p + log C(n, x), a structural zero at x = 0.
    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        let (n, x) = (d.params[0], at.value);
        let (fail, power) = if d.set == 0 {
            let p = clamp_prob(g, d.params[1]);
            let fail = log_one_minus(g, p);
            let (yes, no) = (count_log(g, x, p), g.mul(x, fail));
            (fail, g.sub(yes, no))
        } else {
            let no = g.softplus(d.params[1]);
            (g.neg(no), g.mul(x, d.params[1]))
        };
        let dense = g.mul(n, fail);
        let choose = log_choose(g, n, x);
        let sparse = g.add(power, choose);
        g.add(dense, sparse)
    }

    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        let p = probability(g, d);
        g.random(RandomKind::Binomial, &[d.params[0], p], draw.stream, draw.axes.clone(), draw.rows).into()
    }

    fn mean(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        let p = probability(g, d);
        Some(g.mul(d.params[0], p))
    }

    fn variance(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        let p = probability(g, d);
        let rest = one_minus(g, p);
        let each = g.mul(p, rest);
        Some(g.mul(d.params[0], each))
    }
}
