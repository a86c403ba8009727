//! Normal.

use crate::special::HALF_LOG_TAU;
use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Graph, NodeId, RandomKind};

/// Normal with `mean` (real) and `scale` (standard deviation, > 0) or `var` (> 0).
#[derive(Debug)]
pub struct Normal;

/// Variance and standard deviation of a location-scale distribution whose second parameter is `scale` in set 0 and
/// `var` in set 1.
pub(super) fn spread(g: &mut Graph, d: &Dist) -> (NodeId, NodeId) {
    let p = d.params[1];
    if d.set == 0 { (g.square(p), p) } else { (p, g.sqrt(p)) }
}

/// Elementwise log density at x of a Normal with the parameters of `d`:
/// −½ (x − m)² / v − ½ log v − ½ log 2π, without squaring a small scale.
pub(super) fn log_density(g: &mut Graph, d: &Dist, x: NodeId) -> NodeId {
    let gap = g.sub(x, d.params[0]);
    let (square, log_scale) = if d.set == 0 {
        let z = g.div(gap, d.params[1]);
        (g.square(z), g.log(d.params[1]))
    } else {
        let square = g.square(gap);
        let log_var = g.log(d.params[1]);
        (g.div(square, d.params[1]), g.mul_const(log_var, 0.5))
    };
    let half = g.mul_const(square, -0.5);
    let half = g.sub(half, log_scale);
    g.add_const(half, -HALF_LOG_TAU)
}

/// m + s ε, elementwise.
pub(super) fn draw_normal(g: &mut Graph, d: &Dist, draw: &Draw) -> NodeId {
    let (_, scale) = spread(g, d);
    let noise = g.random(RandomKind::Normal, &[], draw.stream, draw.axes.clone(), draw.rows);
    let step = g.mul(scale, noise);
    g.add(d.params[0], step)
}

/// Elementwise ½ (v_q/v_p + (m_q − m_p)²/v_p − 1 − log(v_q/v_p)), the divergence of two Normals.
pub(super) fn divergence(g: &mut Graph, q: &Dist, p: &Dist) -> NodeId {
    let (vq, vp) = (spread(g, q).0, spread(g, p).0);
    let ratio = g.div(vq, vp);
    let gap = g.sub(q.params[0], p.params[0]);
    let gap = g.square(gap);
    let gap = g.div(gap, vp);
    let log_ratio = g.log(ratio);
    let sum = g.add_const(ratio, -1.0);
    let sum = g.sub(sum, log_ratio);
    let sum = g.add(sum, gap);
    g.mul_const(sum, 0.5)
}

/// Parameter sets of families that push a Normal forward.
pub(super) const PUSHED: &[&[Parameter]] = {
    const LOC: Parameter = Parameter::scalar("loc", Support::Real);
    const SCALE: Parameter = Parameter::scalar("scale", Support::Positive);
    const VAR: Parameter = Parameter::scalar("var", Support::Positive);
    &[&[LOC, SCALE], &[LOC, VAR]]
};

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

    fn pushes_normal(&self) -> bool {
        true
    }

    fn has_kl_to(&self, other: &str) -> bool {
        other == "Normal"
    }

    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        log_density(g, d, at.value)
    }

    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        draw_normal(g, d, draw).into()
    }

    fn mean(&self, _g: &mut Graph, d: &Dist) -> Option<NodeId> {
        Some(d.params[0])
    }

    fn variance(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        Some(spread(g, d).0)
    }

    fn kl(&self, g: &mut Graph, q: &Dist, p: &Dist) -> Option<NodeId> {
        self.has_kl_to(p.family.name()).then(|| divergence(g, q, p))
    }
}
