//! Bernoulli.

use crate::special::{floored_log, floored_log_one_minus, one_minus, softplus_neg};
use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Elem, Graph, NodeId, RandomKind};

/// 1 with probability `probs` (in [0, 1]) or σ(`logits`), else 0.
///
/// With `probs`, the logarithm of an impossible outcome is −100 and passes no gradient, as the reference's floored
/// cross-entropy (`spec/models-core.md` §1.10).
#[derive(Debug)]
pub struct Bernoulli;

/// p, log p and log(1 − p).
fn logs(g: &mut Graph, d: &Dist) -> [NodeId; 3] {
    let p = d.params[0];
    if d.set == 0 {
        return [p, floored_log(g, p), floored_log_one_minus(g, p)];
    }
    let (yes, no) = (softplus_neg(g, p), g.softplus(p));
    [g.sigmoid(p), g.neg(yes), g.neg(no)]
}

fn probability(g: &mut Graph, d: &Dist) -> NodeId {
    if d.set == 0 { d.params[0] } else { g.sigmoid(d.params[0]) }
}

impl Family for Bernoulli {
    fn name(&self) -> &'static str {
        "Bernoulli"
    }

    fn parameter_sets(&self) -> &'static [&'static [Parameter]] {
        const PROBS: Parameter = Parameter::scalar("probs", Support::Unit);
        const LOGITS: Parameter = Parameter::scalar("logits", Support::Real);
        &[&[PROBS], &[LOGITS]]
    }

    fn positional(&self) -> Option<&'static [&'static str]> {
        Some(&["probs"])
    }

    fn support(&self) -> Support {
        Support::Bool
    }

    fn is_enumerable(&self) -> bool {
        true
    }

    fn has_kl_to(&self, other: &str) -> bool {
        other == "Bernoulli"
    }

    /// log(1 − p), plus x (log p − log(1 − p)), a structural zero at x = 0; with logits l the second is x l.
    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        let (dense, logit) = if d.set == 0 {
            let [_, yes, no] = logs(g, d);
            (no, g.sub(yes, no))
        } else {
            let no = g.softplus(d.params[0]);
            (g.neg(no), d.params[0])
        };
        let sparse = g.mul(at.value, logit);
        g.add(dense, sparse)
    }

    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        let u = g.random(RandomKind::Uniform, &[], draw.stream, draw.axes.clone(), draw.rows);
        let p = probability(g, d);
        g.binary(Elem::Lt, u, p).into()
    }

    fn mean(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        Some(probability(g, d))
    }

    fn variance(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        let p = probability(g, d);
        let rest = one_minus(g, p);
        Some(g.mul(p, rest))
    }

    /// p_q (log p_q − log p_p) + (1 − p_q) (log(1 − p_q) − log(1 − p_p)), with the floor of the log mass.
    fn kl(&self, g: &mut Graph, q: &Dist, p: &Dist) -> Option<NodeId> {
        if !self.has_kl_to(p.family.name()) {
            return None;
        }
        let [pq, yes_q, no_q] = logs(g, q);
        let [_, yes_p, no_p] = logs(g, p);
        let (yes, no) = (g.sub(yes_q, yes_p), g.sub(no_q, no_p));
        let rest = one_minus(g, pq);
        let yes = g.mul(pq, yes);
        let no = g.mul(rest, no);
        Some(g.add(yes, no))
    }
}
