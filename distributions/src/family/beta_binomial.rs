//! Beta-binomial.

use super::beta::{draw_logit, moments};
use crate::special::{LOG_EPS, at_least, log_choose, one_minus};
use crate::{Dist, Draw, Family, Parameter, Sample, Support};
use autodiff_runtime::{Graph, NodeId, RandomKind};

/// Successes in `total` trials (a count) whose common probability is Beta: of shapes `a`, `b` > 0, or of `mean` m and
/// `dispersion` γ in (0, 1), for which a = m (1−γ)/γ and b = (1−m) (1−γ)/γ, both at least 1e-8
/// (`spec/models-core.md` §1.10). The log mass needs x ≤ total; beyond, it is not finite.
#[derive(Debug)]
pub struct BetaBinomial;

/// The two shapes.
fn shapes(g: &mut Graph, d: &Dist) -> (NodeId, NodeId) {
    if d.set == 0 {
        return (d.params[1], d.params[2]);
    }
    let (mean, dispersion) = (d.params[1], d.params[2]);
    let certain = one_minus(g, dispersion);
    let size = g.div(certain, dispersion);
    let fail = one_minus(g, mean);
    let (a, b) = (g.mul(mean, size), g.mul(fail, size));
    (at_least(g, a, LOG_EPS), at_least(g, b, LOG_EPS))
}

impl Family for BetaBinomial {
    fn name(&self) -> &'static str {
        "BetaBinomial"
    }

    fn parameter_sets(&self) -> &'static [&'static [Parameter]] {
        const TOTAL: Parameter = Parameter::scalar("total", Support::Count);
        const A: Parameter = Parameter::scalar("a", Support::Positive);
        const B: Parameter = Parameter::scalar("b", Support::Positive);
        const MEAN: Parameter = Parameter::scalar("mean", Support::Unit);
        const DISPERSION: Parameter = Parameter::scalar("dispersion", Support::Unit);
        &[&[TOTAL, A, B], &[TOTAL, MEAN, DISPERSION]]
    }

    fn support(&self) -> Support {
        Support::Count
    }

    fn at_most(&self) -> Option<&'static str> {
        Some("total")
    }

    /// log C(n, x) + log B(x+a, n−x+b) − log B(a, b), written as the value at x = 0,
    /// [log Γ(n+b) − log Γ(b)] − [log Γ(n+a+b) − log Γ(a+b)], plus a structural zero there,
    /// log C(n, x) + [log Γ(x+a) − log Γ(a)] − [log Γ(n+b) − log Γ(n−x+b)].
    fn log_prob(&self, g: &mut Graph, d: &Dist, at: Sample) -> NodeId {
        let (n, x) = (d.params[0], at.value);
        let (a, b) = shapes(g, d);
        let both = g.add(a, b);
        let (fail, norm) = (g.lgamma_delta(n, b), g.lgamma_delta(n, both));
        let dense = g.sub(fail, norm);
        let rest = g.sub(n, x);
        let rest = g.add(rest, b);
        let (yes, no) = (g.lgamma_delta(x, a), g.lgamma_delta(x, rest));
        let change = g.sub(yes, no);
        let choose = log_choose(g, n, x);
        let sparse = g.add(choose, change);
        g.add(dense, sparse)
    }

    /// A Beta draw (two streams), then a Binomial of it.
    fn sample(&self, g: &mut Graph, d: &Dist, draw: &Draw) -> Sample {
        let (a, b) = shapes(g, d);
        let logit = draw_logit(g, a, b, draw);
        let p = g.sigmoid(logit);
        g.random(RandomKind::Binomial, &[d.params[0], p], draw.stream + 2, draw.axes.clone(), draw.rows)
            .into()
    }

    /// n a/(a+b).
    fn mean(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        let (a, b) = shapes(g, d);
        let (p, _) = moments(g, a, b);
        Some(g.mul(d.params[0], p))
    }

    /// n (a+b+n) v, with v the variance of the Beta.
    fn variance(&self, g: &mut Graph, d: &Dist) -> Option<NodeId> {
        let (a, b) = shapes(g, d);
        let (_, v) = moments(g, a, b);
        let both = g.add(a, b);
        let size = g.add(both, d.params[0]);
        let size = g.mul(size, d.params[0]);
        Some(g.mul(size, v))
    }
}
