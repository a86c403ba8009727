//! LogisticNormal: the softmax of independent Normals.

use super::normal::{divergence, draw_normal, log_density};
use crate::special::sum_along;
use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Graph, NodeId};

/// softmax u along the event axis, u Normal elementwise with `mean` (real) and `scale` (> 0) or `var` (> 0).
///
/// The softmax of K reals forgets a common shift, so it has no exact inverse: the density is that of the base u. A
/// draw remembers its base; for a value that came from elsewhere the base is taken to be log(value), the one with
/// Σ eᵘ = 1. Ratios of two such densities at one draw are those of the bases.
#[derive(Debug)]
pub struct LogisticNormal;

impl Family for LogisticNormal {
    fn name(&self) -> &'static str {
        "LogisticNormal"
    }

    fn parameter_sets(&self) -> &'static [&'static [Parameter]] {
        const MEAN: Parameter = Parameter::vector("mean", Support::Real);
        const SCALE: Parameter = Parameter::vector("scale", Support::Positive);
        const VAR: Parameter = Parameter::vector("var", Support::Positive);
        &[&[MEAN, SCALE], &[MEAN, VAR]]
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

    fn pushes_normal(&self) -> bool {
        true
    }

    fn density_of_base(&self) -> bool {
        true
    }

    fn has_kl_to(&self, other: &str) -> bool {
        other == "LogisticNormal"
    }

    /// Σ over the event axis of the Normal density of the base.
    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        let base = at.base.unwrap_or_else(|| g.log(at.value));
        let density = log_density(g, d, base);
        sum_along(g, density, d.event_axis())
    }

    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        let base = draw_normal(g, d, draw);
        Sample { value: g.softmax(base, d.event_axis()), base: Some(base) }
    }

    /// That of the bases, summed over the event axis.
    fn kl(&self, g: &mut Graph, q: &Dist, p: &Dist) -> Option<NodeId> {
        if !self.has_kl_to(p.family.name()) {
            return None;
        }
        let each = divergence(g, q, p);
        Some(sum_along(g, each, q.event_axis()))
    }
}
