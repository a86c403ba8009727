//! Dirichlet.

use super::beta::shape_term;
use crate::special::{BELOW_ONE, TINY, along, clamp, sum_along};
use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Graph, NodeId, RandomKind};

/// Dirichlet with `concentration` c > 0 along the event axis: density ∝ Π x^(c−1) on the simplex. A draw's base is the
/// logarithm of its parts, which has no lower limit; the parts themselves lie in [1.2e-38, 1 − 2⁻²⁴].
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

    /// log Γ(Σ c) − Σ log Γ(c) + Σ (c−1) log x; log x is the base of a sample that has it, less its log Σ exp (a
    /// LogisticNormal's base is not normalised).
    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        let (c, total) = concentration(g, d);
        let cm = g.add_const(c, -1.0);
        let power = match at.base {
            Some(base) => {
                let log = g.log_softmax(base, d.event_axis());
                g.mul(cm, log)
            }
            None => g.xlogy(cm, at.value),
        };
        let lgamma = g.lgamma(c);
        let each = g.sub(power, lgamma);
        let sum = sum_along(g, each, d.event_axis());
        let norm = g.lgamma(total);
        g.add(norm, sum)
    }

    /// Gamma draws over their sum; gradients by implicit reparameterisation of these.
    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        let event = d.event_axis();
        let (c, _) = concentration(g, d);
        let each = g.random(RandomKind::LogGamma, &[c], draw.stream, draw.axes.clone(), draw.rows);
        let log = g.log_softmax(each, event);
        let x = g.exp(log);
        Sample { value: clamp(g, x, TINY, BELOW_ONE), base: Some(log) }
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
