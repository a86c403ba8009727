//! Multinomial.

use super::categorical::{log_probs, probs};
use crate::special::{log_factorial, one_minus, sum_along};
use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Graph, NodeId, RandomKind};

/// Counts along the event axis that sum to `total` (a count, without that axis), with probabilities `probs` (a simplex,
/// clamped inside logarithms: [`PROB_EPS`](crate::special::PROB_EPS)) or softmax(`logits`). That the counts sum to
/// `total` is the caller's to see to; the log mass does not test it.
#[derive(Debug)]
pub struct Multinomial;

impl Family for Multinomial {
    fn name(&self) -> &'static str {
        "Multinomial"
    }

    fn parameter_sets(&self) -> &'static [&'static [Parameter]] {
        const TOTAL: Parameter = Parameter::scalar("total", Support::Count);
        const PROBS: Parameter = Parameter::vector("probs", Support::Simplex);
        const LOGITS: Parameter = Parameter::vector("logits", Support::Real);
        &[&[TOTAL, PROBS], &[TOTAL, LOGITS]]
    }

    fn support(&self) -> Support {
        Support::Count
    }

    fn is_vector(&self) -> bool {
        true
    }

    /// log n! + Σ (x log p − log x!); each addend of the sum is a structural zero at x = 0.
    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        let log_p = log_probs(g, d, d.params[1]);
        let power = g.mul(at.value, log_p);
        let factorial = log_factorial(g, at.value);
        let each = g.sub(power, factorial);
        let sum = sum_along(g, each, d.event_axis());
        let norm = log_factorial(g, d.params[0]);
        g.add(norm, sum)
    }

    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        let p = probs(g, d, d.params[1]);
        let kind = RandomKind::Multinomial(d.event_axis());
        g.random(kind, &[d.params[0], p], draw.stream, draw.axes.clone(), draw.rows).into()
    }

    /// n p.
    fn mean(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        let p = probs(g, d, d.params[1]);
        Some(g.mul(d.params[0], p))
    }

    /// n p (1 − p), of each count.
    fn variance(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        let p = probs(g, d, d.params[1]);
        let rest = one_minus(g, p);
        let each = g.mul(p, rest);
        Some(g.mul(d.params[0], each))
    }
}
