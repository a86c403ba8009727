//! Normal.

use crate::special::HALF_LOG_TAU;
use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Graph, NodeId, RandomKind};

/// Normal with `mean` and `scale` (standard deviation) or `var`.
#[derive(Debug)]
pub struct Normal;

/// Variance and standard deviation of a location-scale distribution whose second parameter is `scale` in set 0 and
/// `var` in set 1.
pub(super) fn spread(g: &mut Graph, d: &Dist) -> (NodeId, NodeId) {
    let p = d.params[1];
    if d.set == 0 { (g.square(p), p) } else { (p, g.sqrt(p)) }
}

impl Family for Normal {
    fn name(&self) -> &'static str {
        "Normal"
    }

    fn parameter_sets(&self) -> &'static [&'static [Parameter]] {
        const MEAN: Parameter = Parameter::scalar("mean", Support::Real);
        const SCALE: Parameter = Parameter::scalar("scale", Support::Positive);
        const VAR: Parameter = Parameter::scalar("var", Support::Positive);
        &[&[MEAN, SCALE], &[MEAN, VAR]]
    }

    fn positional(&self) -> Option<&'static [&'static str]> {
        Some(&["mean", "scale"])
    }

    fn support(&self) -> Support {
        Support::Real
    }

    fn reparameterised(&self) -> bool {
        true
    }

    fn has_kl_to(&self, other: &str) -> bool {
        other == "Normal"
    }

    /// −½ (x − m)² / v − ½ log v − ½ log 2π.
    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        let (var, _) = spread(g, d);
        let gap = g.sub(at.value, d.params[0]);
        let square = g.square(gap);
        let ratio = g.div(square, var);
        let log_var = g.log(var);
        let sum = g.add(ratio, log_var);
        let half = g.mul_const(sum, -0.5);
        g.add_const(half, -HALF_LOG_TAU)
    }

    /// m + s ε.
    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        let (_, scale) = spread(g, d);
        let noise = g.random(RandomKind::Normal, &[], draw.stream, draw.axes.clone(), draw.rows);
        let step = g.mul(scale, noise);
        g.add(d.params[0], step).into()
    }

    fn mean(&self, _g: &mut Graph, d: &Dist) -> Option<NodeId> {
        Some(d.params[0])
    }

    fn variance(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        Some(spread(g, d).0)
    }

    /// ½ (v_q/v_p + (m_q − m_p)²/v_p − 1 − log(v_q/v_p)).
    fn kl(&self, g: &mut Graph, q: &Dist, p: &Dist) -> Option<NodeId> {
        if p.family.name() != "Normal" {
            return None;
        }
        let (vq, vp) = (spread(g, q).0, spread(g, p).0);
        let ratio = g.div(vq, vp);
        let gap = g.sub(q.params[0], p.params[0]);
        let gap = g.square(gap);
        let gap = g.div(gap, vp);
        let log_ratio = g.log(ratio);
        let sum = g.add(ratio, gap);
        let sum = g.sub(sum, log_ratio);
        let sum = g.add_const(sum, -1.0);
        Some(g.mul_const(sum, 0.5))
    }
}
