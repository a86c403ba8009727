//! Stable building blocks as graph, shared by the families.
//!
//! Terms that vanish at a count of zero are written with operations of which the result is a structural zero there
//! (`xlogy`, `lgamma_delta`, products with the count or its sign), so that a rewrite can evaluate them at the non-zero
//! elements of a sparse matrix only.

use autodiff_runtime::{AxisId, Elem, Graph, NodeId};

/// ½ log 2π.
pub const HALF_LOG_TAU: f64 = 0.918_938_533_204_672_8;

/// What the reference implementation adds inside logarithms of counts' parameters (`spec/models-core.md` §1.10).
pub const LOG_EPS: f64 = 1e-8;

/// Probabilities handed to a Binomial, NB, Categorical or Multinomial are clamped to [this, 1 − this] before their
/// logarithm: 2⁻²³, the spacing of single precision at 1, as the reference does in single precision.
pub const PROB_EPS: f64 = 1.192_092_895_507_812_5e-7;

/// Smallest normal number of single precision. Draws of positive families are not smaller, so that their logarithm is
/// finite.
pub const TINY: f64 = 1.175_494_350_822_287_5e-38;

/// Largest single-precision number below 1, 1 − 2⁻²⁴: draws on the unit interval are not larger.
pub const BELOW_ONE: f64 = 0.999_999_940_395_355_2;

/// Largest Poisson rate that is drawn from.
pub const MAX_RATE: f64 = 1e8;

/// Value of log 0 where a Bernoulli probability is exactly 0 or 1.
pub const LOG_FLOOR: f64 = -100.0;

/// log(1 + e⁻ˣ) = softplus(−x).
pub fn softplus_neg(g: &mut Graph, x: NodeId) -> NodeId {
    let n = g.neg(x);
    g.softplus(n)
}

/// 1 − x.
pub fn one_minus(g: &mut Graph, x: NodeId) -> NodeId {
    let one = g.constant(1.0);
    g.sub(one, x)
}

/// x limited to [low, high]; inside, bounds included, the gradient passes.
pub fn clamp(g: &mut Graph, x: NodeId, low: f64, high: f64) -> NodeId {
    let (low, high) = (g.constant(low), g.constant(high));
    let x = g.binary(Elem::Max, x, low);
    g.binary(Elem::Min, x, high)
}

/// max(x, low).
pub fn at_least(g: &mut Graph, x: NodeId, low: f64) -> NodeId {
    let low = g.constant(low);
    g.binary(Elem::Max, x, low)
}

/// A probability limited to [[`PROB_EPS`], 1 − [`PROB_EPS`]].
pub fn clamp_prob(g: &mut Graph, p: NodeId) -> NodeId {
    clamp(g, p, PROB_EPS, 1.0 - PROB_EPS)
}

/// log(1 − p), accurate for small p.
pub fn log_one_minus(g: &mut Graph, p: NodeId) -> NodeId {
    let n = g.neg(p);
    g.log1p(n)
}

/// log p, [`LOG_FLOOR`] (with gradient 0) where p is zero or below [`TINY`].
pub fn floored_log(g: &mut Graph, p: NodeId) -> NodeId {
    let (tiny, one, floor) = (g.constant(TINY), g.constant(1.0), g.constant(LOG_FLOOR));
    let positive = g.binary(Elem::Le, tiny, p);
    // The logarithm never sees a zero: its infinite slope would turn the zero adjoint of an unused branch into NaN.
    let inside = g.select(positive, p, one);
    let log = g.log(inside);
    g.select(positive, log, floor)
}

/// log(1 − p), [`LOG_FLOOR`] (with gradient 0) where p is 1.
pub fn floored_log_one_minus(g: &mut Graph, p: NodeId) -> NodeId {
    let (zero, one, floor) = (g.constant(0.0), g.constant(1.0), g.constant(LOG_FLOOR));
    let below = g.binary(Elem::Lt, p, one);
    let inside = g.select(below, p, zero);
    let log = log_one_minus(g, inside);
    g.select(below, log, floor)
}

/// x · log y for a count x, zero with gradient zero where x is 0, whatever y ≥ 0.
pub fn count_log(g: &mut Graph, x: NodeId, y: NodeId) -> NodeId {
    let one = g.constant(1.0);
    let inside = g.select(x, y, one);
    g.xlogy(x, inside)
}

/// c · log(1 − x) on 0 ≤ x ≤ 1, accurate for small x; 0 where c is 0 and x is 1.
pub fn times_log_one_minus(g: &mut Graph, c: NodeId, x: NodeId) -> NodeId {
    let (zero, one) = (g.constant(0.0), g.constant(1.0));
    let below = g.binary(Elem::Lt, x, one);
    let inside = g.select(below, x, zero);
    let log = log_one_minus(g, inside);
    let product = g.mul(c, log);
    let gap = g.sub(one, x);
    let edge = g.xlogy(c, gap);
    g.select(below, product, edge)
}

/// log x! = log Γ(x + 1), a structural zero at x = 0.
pub fn log_factorial(g: &mut Graph, x: NodeId) -> NodeId {
    let one = g.constant(1.0);
    g.lgamma_delta(x, one)
}

/// log C(n, x) = [log Γ(n + 1) − log Γ(n − x + 1)] − log x!, a structural zero at x = 0; for 0 ≤ x ≤ n.
pub fn log_choose(g: &mut Graph, n: NodeId, x: NodeId) -> NodeId {
    let rest = g.sub(n, x);
    let rest = g.add_const(rest, 1.0);
    let falling = g.lgamma_delta(x, rest);
    let factorial = log_factorial(g, x);
    g.sub(falling, factorial)
}

/// log Γ(to) − log Γ(from), exactly zero where they are equal.
pub fn lgamma_change(g: &mut Graph, to: NodeId, from: NodeId) -> NodeId {
    let step = g.sub(to, from);
    g.lgamma_delta(step, from)
}

/// The value with the axis, repeated along it if it lacks it.
pub fn along(g: &mut Graph, x: NodeId, axis: AxisId) -> NodeId {
    let axes = g.axes_of(x).with(axis);
    g.broadcast(x, &axes)
}

/// Σ over one axis; a value without that axis counts once per element of it.
pub fn sum_along(g: &mut Graph, x: NodeId, axis: AxisId) -> NodeId {
    let x = along(g, x, axis);
    g.sum(x, axis)
}

/// Standard Gumbel noise −log(−log(1 − u)) from uniform u. The roundings of u that matter (large noise) are near 0,
/// where floating-point numbers are dense.
pub fn gumbel(g: &mut Graph, uniform: NodeId) -> NodeId {
    let log = log_one_minus(g, uniform);
    let exponential = g.neg(log);
    let log = g.log(exponential);
    g.neg(log)
}
