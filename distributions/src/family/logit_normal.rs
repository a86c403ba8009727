//! LogitNormal: the logistic function of a Normal.

use super::normal::{PUSHED, divergence, draw_normal, log_density};
use crate::special::{BELOW_ONE, TINY, clamp, log_one_minus, softplus_neg};
use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Graph, NodeId};

/// 1/(1 + e⁻ᵘ) with u Normal of mean `loc` (real) and standard deviation `scale` (> 0) or variance `var` (> 0). Draws
/// lie in [1.2e-38, 1 − 2⁻²⁴].
#[derive(Debug)]
pub struct LogitNormal;

impl Family for LogitNormal {
    fn name(&self) -> &'static str {
        "LogitNormal"
    }

    fn parameter_sets(&self) -> &'static [&'static [Parameter]] {
        PUSHED
    }

    fn positional(&self) -> Option<&'static [&'static str]> {
        Some(&["loc", "scale"])
    }

    fn support(&self) -> Support {
        Support::Unit
    }

    fn reparameterised(&self) -> bool {
        true
    }

    fn pushes_normal(&self) -> bool {
        true
    }

    fn has_kl_to(&self, other: &str) -> bool {
        other == "LogitNormal"
    }

    /// Normal density of u = log x − log(1 − x), minus log x + log(1 − x), for 0 < x < 1; u is the base where the
    /// sample has it.
    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        let (base, steep) = match at.base {
            // −log x − log(1 − x) of the logistic function.
            Some(u) => {
                let (up, down) = (g.softplus(u), softplus_neg(g, u));
                (u, g.add(up, down))
            }
            None => {
                let (yes, no) = (g.log(at.value), log_one_minus(g, at.value));
                let both = g.add(yes, no);
                (g.sub(yes, no), g.neg(both))
            }
        };
        let density = log_density(g, d, base);
        g.add(density, steep)
    }

    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        let base = draw_normal(g, d, draw);
        let value = g.sigmoid(base);
        Sample { value: clamp(g, value, TINY, BELOW_ONE), base: Some(base) }
    }

    /// That of the bases: both are pushed forward by the same bijection.
    fn kl(&self, g: &mut Graph, q: &Dist, p: &Dist) -> Option<NodeId> {
        self.has_kl_to(p.family.name()).then(|| divergence(g, q, p))
    }
}
