//! LogNormal: the exponential of a Normal.

use super::normal::{PUSHED, divergence, draw_normal, log_density, spread};
use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Elem, Graph, NodeId};

/// eᵘ with u Normal of mean `loc` (real) and standard deviation `scale` (> 0) or variance `var` (> 0).
#[derive(Debug)]
pub struct LogNormal;

impl Family for LogNormal {
    fn name(&self) -> &'static str {
        "LogNormal"
    }

    fn parameter_sets(&self) -> &'static [&'static [Parameter]] {
        PUSHED
    }

    fn positional(&self) -> Option<&'static [&'static str]> {
        Some(&["loc", "scale"])
    }

    fn support(&self) -> Support {
        Support::Positive
    }

    fn reparameterised(&self) -> bool {
        true
    }

    fn pushes_normal(&self) -> bool {
        true
    }

    fn has_kl_to(&self, other: &str) -> bool {
        other == "LogNormal"
    }

    /// Normal density of log x, minus log x, for x > 0; log x is the base where the sample has it.
    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        let log = at.base.unwrap_or_else(|| g.log(at.value));
        let density = log_density(g, d, log);
        g.sub(density, log)
    }

    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        let base = draw_normal(g, d, draw);
        Sample { value: g.exp(base), base: Some(base) }
    }

    /// exp(m + v/2).
    fn mean(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        let (var, _) = spread(g, d);
        let half = g.mul_const(var, 0.5);
        let log = g.add(d.params[0], half);
        Some(g.exp(log))
    }

    /// (eᵛ − 1) exp(2m + v).
    fn variance(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        let (var, _) = spread(g, d);
        let growth = g.unary(Elem::Expm1, var);
        let twice = g.mul_const(d.params[0], 2.0);
        let log = g.add(twice, var);
        let square = g.exp(log);
        Some(g.mul(growth, square))
    }

    /// That of the bases: both are pushed forward by the same bijection.
    fn kl(&self, g: &mut Graph, q: &Dist, p: &Dist) -> Option<NodeId> {
        self.has_kl_to(p.family.name()).then(|| divergence(g, q, p))
    }
}
