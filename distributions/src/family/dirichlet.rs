//! Dirichlet.

use super::beta::shape_term;
use crate::special::{BELOW_ONE, TINY, along, clamp, gumbel, sum_along};
use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Elem, Graph, NodeId, RandomKind, ReduceKind};

/// Dirichlet with `concentration` c > 0 along the event axis: density ∝ Π x^(c−1) on the simplex. Parts of draws lie
/// in [1.2e-38, 1 − 2⁻²⁴].
#[derive(Debug)]
pub struct Dirichlet;

/// The concentration along the event axis and its sum.
fn concentration(g: &mut Graph, d: &Dist) -> (NodeId, NodeId) {
    let event = d.event_axis();
    let c = along(g, d.params[0], event);
    (c, g.sum(c, event))
}

impl Family for Dirichlet {
    fn name(&self) -> &'static str {
        "Dirichlet"
    }

    fn parameter_sets(&self) -> &'static [&'static [Parameter]] {
        const CONCENTRATION: Parameter = Parameter::vector("concentration", Support::Positive);
        &[&[CONCENTRATION]]
    }

    fn support(&self) -> Support {
        Support::Simplex
    }

    fn is_vector(&self) -> bool {
        true
    }

    fn reparameterised(&self) -> bool {
        true
    }

    fn has_kl_to(&self, other: &str) -> bool {
        other == "Dirichlet"
    }

    /// log Γ(Σ c) − Σ log Γ(c) + Σ (c−1) log x.
    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        let (c, total) = concentration(g, d);
        let cm = g.add_const(c, -1.0);
        let power = g.xlogy(cm, at.value);
        let lgamma = g.lgamma(c);
        let each = g.sub(power, lgamma);
        let sum = sum_along(g, each, d.event_axis());
        let norm = g.lgamma(total);
        g.add(norm, sum)
    }

    /// Gamma draws over their sum; gradients by implicit reparameterisation of these. Where that is below
    /// 1.2e-38 (tiny concentrations), the limit: one part is 1, part k with probability cₖ/Σc, without gradient. Uses two streams.
    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        let event = d.event_axis();
        let (c, _) = concentration(g, d);
        let x = g.random(RandomKind::Gamma, &[c], draw.stream, draw.axes.clone(), draw.rows);
        let sum = g.sum(x, event);
        let (tiny, one) = (g.constant(TINY), g.constant(1.0));
        let positive = g.binary(Elem::Le, tiny, sum);
        let divisor = g.select(positive, sum, one);
        let ratio = g.div(x, divisor);
        let u = g.random(RandomKind::Uniform, &[], draw.stream + 1, draw.axes.clone(), draw.rows);
        let noise = gumbel(g, u);
        let log_c = g.log(c);
        let score = g.add(log_c, noise);
        let which = g.reduce(ReduceKind::ArgMax, score, event);
        let labels = g.iota(event);
        let limit = g.binary(Elem::Eq, labels, which);
        let value = g.select(positive, ratio, limit);
        clamp(g, value, TINY, BELOW_ONE).into()
    }

    /// c/Σc.
    fn mean(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        let (c, total) = concentration(g, d);
        Some(g.div(c, total))
    }

    /// m (1−m)/(Σc + 1), of each part.
    fn variance(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        let (c, total) = concentration(g, d);
        let mean = g.div(c, total);
        let square = g.square(mean);
        let spread = g.sub(mean, square);
        let size = g.add_const(total, 1.0);
        Some(g.div(spread, size))
    }

    /// Σ [log Γ(p) − log Γ(q) + (q−p) ψ(q)] − the same of the sums.
    fn kl(&self, g: &mut Graph, q: &Dist, p: &Dist) -> Option<NodeId> {
        if !self.has_kl_to(p.family.name()) {
            return None;
        }
        let ((cq, total_q), (cp, total_p)) = (concentration(g, q), concentration(g, p));
        let each = shape_term(g, cq, cp);
        let parts = sum_along(g, each, q.event_axis());
        let whole = shape_term(g, total_q, total_p);
        Some(g.sub(parts, whole))
    }
}
