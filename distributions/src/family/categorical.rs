//! Categorical.

use crate::special::{along, clamp_prob, gumbel, sum_along};
use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Graph, NodeId, RandomKind, ReduceKind};

/// A label of the event axis with probabilities `probs` (a simplex) or softmax(`logits`). Values are index nodes.
///
/// `probs` are clamped ([`PROB_EPS`](crate::special::PROB_EPS)) inside logarithms, as the reference does, and not
/// renormalised.
#[derive(Debug)]
pub struct Categorical;

/// Log probabilities along the event axis.
pub(super) fn log_probs(g: &mut Graph, d: &Dist, param: NodeId) -> NodeId {
    let event = d.event_axis();
    let param = along(g, param, event);
    if is_logits(d) {
        g.log_softmax(param, event)
    } else {
        let p = clamp_prob(g, param);
        g.log(p)
    }
}

/// Probabilities along the event axis.
pub(super) fn probs(g: &mut Graph, d: &Dist, param: NodeId) -> NodeId {
    let event = d.event_axis();
    let param = along(g, param, event);
    if is_logits(d) { g.softmax(param, event) } else { param }
}

fn is_logits(d: &Dist) -> bool {
    d.set == 1
}

impl Family for Categorical {
    fn name(&self) -> &'static str {
        "Categorical"
    }

    fn parameter_sets(&self) -> &'static [&'static [Parameter]] {
        const PROBS: Parameter = Parameter::vector("probs", Support::Simplex);
        const LOGITS: Parameter = Parameter::vector("logits", Support::Real);
        &[&[PROBS], &[LOGITS]]
    }

    fn support(&self) -> Support {
        Support::Category
    }

    fn is_vector(&self) -> bool {
        true
    }

    fn is_enumerable(&self) -> bool {
        true
    }

    fn has_kl_to(&self, other: &str) -> bool {
        other == "Categorical"
    }

    /// The log probability of the label; `at.value` is an index without the event axis.
    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        let table = log_probs(g, d, d.params[0]);
        g.gather(table, at.value, d.event_axis())
    }

    /// The label with the largest log probability plus Gumbel noise; `draw.axes` lacks the event axis.
    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        let event = d.event_axis();
        let u = g.random(RandomKind::Uniform, &[], draw.stream, draw.axes.with(event), draw.rows);
        let noise = gumbel(g, u);
        let scores = if is_logits(d) { d.params[0] } else { g.log(d.params[0]) };
        let perturbed = g.add(scores, noise);
        g.reduce(ReduceKind::ArgMax, perturbed, event).into()
    }

    /// The probabilities, along the event axis.
    fn mean(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        Some(probs(g, d, d.params[0]))
    }

    /// Σ q (log q − log p).
    fn kl(&self, g: &mut Graph, q: &Dist, p: &Dist) -> Option<NodeId> {
        if !self.has_kl_to(p.family.name()) {
            return None;
        }
        let weight = probs(g, q, q.params[0]);
        let (log_q, log_p) = (log_probs(g, q, q.params[0]), log_probs(g, p, p.params[0]));
        let gap = g.sub(log_q, log_p);
        let term = g.mul(weight, gap);
        Some(sum_along(g, term, q.event_axis()))
    }
}
