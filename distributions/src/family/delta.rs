//! Delta: a point mass.

use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Elem, Graph, NodeId};

/// All mass on the value `at`. Its density is taken with respect to that point: log p is 0 there and −∞ elsewhere.
///
/// Declared on the reals; a checker may narrow the support to that of the expression `at`.
#[derive(Debug)]
pub struct Delta;

impl Family for Delta {
    fn name(&self) -> &'static str {
        "Delta"
    }

    fn parameter_sets(&self) -> &'static [&'static [Parameter]] {
        const AT: Parameter = Parameter::scalar("at", Support::Real);
        &[&[AT]]
    }

    fn support(&self) -> Support {
        Support::Real
    }

    fn reparameterised(&self) -> bool {
        true
    }

    /// To any family: minus its log density at the point.
    fn has_kl_to(&self, _other: &str) -> bool {
        true
    }

    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        let same = g.binary(Elem::Eq, at.value, d.params[0]);
        let (zero, never) = (g.constant(0.0), g.constant(f64::NEG_INFINITY));
        g.select(same, zero, never)
    }

    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        g.broadcast(d.params[0], &draw.axes).into()
    }

    fn mean(&self, _g: &mut Graph, d: &Dist) -> Option<NodeId> {
        Some(d.params[0])
    }

    fn variance(&self, g: &mut Graph, _d: &Dist) -> Option<NodeId> {
        Some(g.constant(0.0))
    }

    /// −log p(at).
    fn kl(&self, g: &mut Graph, q: &Dist, p: &Dist) -> Option<NodeId> {
        let log_p = p.log_prob(g, q.params[0].into());
        Some(g.neg(log_p))
    }
}
