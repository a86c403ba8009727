//! Normals whose covariance is a diagonal plus a matrix of low rank, pushed forward as the four families of independent
//! Normals are: with as many columns as the posterior has strong directions it follows them at a cost linear in the
//! number of elements.

use super::normal::{divergence, spread};
use crate::special::HALF_LOG_TAU;
use crate::transform::Bijection;
use crate::{Dist, Draw, Sample};
use autodiff_runtime::{Axes, AxisId, Elem, Graph, NodeId, RandomKind};

/// f(u) with u = m + s ε + W η; ε (one number an element) and η (one a column of W) are standard normal, so that
/// Cov u = diag(s²) + W Wᵀ. With B = diag(1/s) W and the capacitance C = I + Bᵀ B, the determinant is |C| Π s² (matrix
/// determinant lemma) and the inverse that of Woodbury; Rezende, Mohamed and Wierstra (2014), appendix B.
#[derive(Clone, Debug)]
pub struct LowRank {
    /// The family of f, with m and s; one of which [`crate::Family::pushes_normal`] holds.
    pub diagonal: Dist,
    /// W: over the axes of m and `rank`; real.
    pub factor: NodeId,
    /// The axis of the columns of W.
    pub rank: AxisId,
    /// The axes of the vector u; on others vectors are apart. They hold the event axis of `diagonal`, if it has one.
    pub elements: Axes,
}

/// C = L diag(p) Lᵀ, L of unit diagonal: column j of L over the rank (what stands above the diagonal is rounding), and pⱼ ≥ 1.
struct Factored(Vec<(NodeId, NodeId)>);

impl LowRank {
    /// log density of f(u) at a value (of u, where the family's is that of the base), over all axes but `elements`.
    /// Only elements where `exists` is not 0 count, if it is given: the density is that of their joint marginal.
    pub fn log_prob(&self, g: &mut Graph, at: Sample, exists: Option<NodeId>) -> NodeId {
        let event = self.diagonal.event;
        let map = Bijection::onto(self.diagonal.family.support(), event).unwrap_or(Bijection::Identity);
        let u = at.base.unwrap_or_else(|| map.inverse(g, at.value));
        let (_, scale) = spread(g, &self.diagonal);
        let gap = g.sub(u, self.diagonal.params[0]);
        let gap = g.div(gap, scale);
        let gap = only(g, gap, exists);
        let b = self.columns(g, scale, exists);
        let factored = self.factored(g, b);
        // The mean of η given u minimises |gap − B η|² + |η|², and the least value is the square of the precision's norm.
        let toward = g.contract(b, gap, self.elements.clone());
        let eta = factored.solve(g, toward, self.rank);
        let fit = g.contract(b, eta, self.rank);
        let rest = g.sub(gap, fit);
        let (rest, eta) = (g.square(rest), g.square(eta));
        let half = g.mul_const(rest, -0.5);
        let log_scale = g.log(scale);
        let each = g.sub(half, log_scale);
        let each = g.add_const(each, -HALF_LOG_TAU);
        let each = if self.diagonal.family.density_of_base() {
            each
        } else {
            let jacobian = map.log_jacobian(g, u);
            g.sub(each, jacobian)
        };
        let sum = self.over_elements(g, each, exists);
        let eta = g.sum(eta, self.rank);
        let log_det = factored.log_determinant(g);
        let shared = g.add(eta, log_det);
        let shared = g.mul_const(shared, -0.5);
        g.add(sum, shared)
    }

    /// f(u); gradients flow to m, s and W.
    pub fn sample(&self, g: &mut Graph, draw: &Draw) -> Sample {
        let (_, scale) = spread(g, &self.diagonal);
        let own = g.random(RandomKind::Normal, &[], draw.stream, draw.axes.clone(), draw.rows);
        let axes = draw.axes.minus(&self.elements).with(self.rank);
        let shared = g.random(RandomKind::Normal, &[], draw.stream + 1, axes, draw.rows);
        let (own, shared) = (g.mul(scale, own), g.contract(self.factor, shared, self.rank));
        let base = g.add(self.diagonal.params[0], own);
        let base = g.add(base, shared);
        match Bijection::onto(self.diagonal.family.support(), self.diagonal.event) {
            None | Some(Bijection::Identity) => base.into(),
            Some(map) => Sample { value: map.forward(g, base), base: Some(base) },
        }
    }

    /// The law of each element alone. (Of a simplex the parts are not elements: its mean depends on the joint law.)
    pub fn marginal(&self, g: &mut Graph) -> Dist {
        let (var, _) = spread(g, &self.diagonal);
        let shared = self.shared_variance(g);
        let var = g.add(var, shared);
        Dist { set: 1, params: vec![self.diagonal.params[0], var], ..self.diagonal.clone() }
    }

    /// KL(self ‖ other) for the same f and independent Normals, over all axes but `elements`; None for another family.
    /// `exists` as in [`LowRank::log_prob`].
    pub fn kl(&self, g: &mut Graph, other: &Dist, exists: Option<NodeId>) -> Option<NodeId> {
        if other.family.name() != self.diagonal.family.name() {
            return None;
        }
        let (_, scale) = spread(g, &self.diagonal);
        let (prior_var, _) = spread(g, other);
        let shared = self.shared_variance(g);
        let shared = g.div(shared, prior_var);
        let shared = g.mul_const(shared, 0.5);
        let each = divergence(g, &self.diagonal, other);
        let each = g.add(each, shared);
        let sum = self.over_elements(g, each, exists);
        let b = self.columns(g, scale, exists);
        let factored = self.factored(g, b);
        let log_det = factored.log_determinant(g);
        let half = g.mul_const(log_det, 0.5);
        Some(g.sub(sum, half))
    }

    /// B, with rows of zeros for elements that do not exist.
    fn columns(&self, g: &mut Graph, scale: NodeId, exists: Option<NodeId>) -> NodeId {
        let b = g.div(self.factor, scale);
        only(g, b, exists)
    }

    /// Σ over the columns of W².
    fn shared_variance(&self, g: &mut Graph) -> NodeId {
        let square = g.square(self.factor);
        g.sum(square, self.rank)
    }

    fn over_elements(&self, g: &mut Graph, each: NodeId, exists: Option<NodeId>) -> NodeId {
        let each = only(g, each, exists);
        let axes = g.axes_of(each).union(&self.elements);
        let each = g.broadcast(each, &axes);
        g.sum(each, self.elements.clone())
    }

    /// The capacitance by Gaussian elimination: symmetric and no less than I, so it needs no pivoting. The loop is
    /// written out; a rank is small.
    fn factored(&self, g: &mut Graph, b: NodeId) -> Factored {
        let k = self.rank;
        let twin = g.add_axis(format!("{}'", g.axis(k).name), g.size(k));
        let other = g.rename(b, k, twin);
        let gram = g.contract(b, other, self.elements.clone());
        let (i, j) = (g.iota(k), g.iota(twin));
        let identity = g.binary(Elem::Eq, i, j);
        let mut c = g.add(gram, identity);
        let mut out = vec![];
        for at in 0..g.size(k) {
            let here = one_hot(g, at, twin);
            let column = g.contract(c, here, twin);
            let pivot = part(g, column, at, k);
            let unit = g.div(column, pivot);
            out.push((unit, pivot));
            let row = g.rename(column, k, twin);
            let outer = g.mul(unit, row);
            c = g.sub(c, outer);
        }
        Factored(out)
    }
}

impl Factored {
    /// log |C|.
    fn log_determinant(&self, g: &mut Graph) -> NodeId {
        let mut sum = g.constant(0.0);
        for (_, pivot) in &self.0 {
            let log = g.log(*pivot);
            sum = g.add(sum, log);
        }
        sum
    }

    /// C⁻¹ v for v over the rank.
    fn solve(&self, g: &mut Graph, v: NodeId, k: AxisId) -> NodeId {
        let mut left = v;
        let mut forward = vec![];
        for (at, (unit, _)) in self.0.iter().enumerate() {
            let y = part(g, left, at, k);
            let taken = g.mul(*unit, y);
            left = g.sub(left, taken);
            forward.push(y);
        }
        let mut x: Option<NodeId> = None;
        for (at, (unit, pivot)) in self.0.iter().enumerate().rev() {
            let mut y = g.div(forward[at], *pivot);
            if let Some(x) = x {
                let below = g.contract(*unit, x, k);
                y = g.sub(y, below);
            }
            let here = one_hot(g, at, k);
            let y = g.mul(y, here);
            x = Some(match x {
                Some(x) => g.add(x, y),
                None => y,
            });
        }
        x.unwrap_or(v)
    }
}

/// The element of a value at one place of an axis.
fn part(g: &mut Graph, x: NodeId, at: usize, axis: AxisId) -> NodeId {
    let here = one_hot(g, at, axis);
    g.contract(x, here, axis)
}

/// 1 at one place of an axis, else 0.
fn one_hot(g: &mut Graph, at: usize, axis: AxisId) -> NodeId {
    let places = g.iota(axis);
    let places = g.to_real(places);
    let at = g.constant(at as f64);
    g.binary(Elem::Eq, places, at)
}

/// The value where `exists` holds, else 0.
fn only(g: &mut Graph, x: NodeId, exists: Option<NodeId>) -> NodeId {
    match exists {
        Some(exists) => {
            let zero = g.constant(0.0);
            g.select(exists, x, zero)
        }
        None => x,
    }
}
