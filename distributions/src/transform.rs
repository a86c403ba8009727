//! Bijections from the real numbers to a support, with their log-Jacobians as graph: for guides that work in an
//! unconstrained space.

use crate::special::{HALF_LOG_TAU, along, softplus_neg, sum_along};
use crate::{Support, special};
use autodiff_runtime::{AxisId, Graph, NodeId};

/// A smooth map y = f(x) from unconstrained x.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bijection {
    /// y = x.
    Identity,
    /// y = eˣ, onto the positive numbers.
    Exp,
    /// y = 1/(1 + e⁻ˣ), onto the open unit interval.
    Sigmoid,
    /// y = softmax x along the axis. K reals have one coordinate more than a simplex of K parts: the map to
    /// (y, log Σ exp x) is the bijection, and [`Bijection::free_log_prob`] gives its last coordinate a density.
    Softmax(AxisId),
}

impl Bijection {
    /// The map onto (the interior of) a support; `None` for discrete supports, and for a simplex without its axis.
    pub fn onto(support: Support, event: Option<AxisId>) -> Option<Self> {
        match support {
            Support::Real => Some(Self::Identity),
            Support::Positive | Support::Nonneg => Some(Self::Exp),
            Support::Unit => Some(Self::Sigmoid),
            Support::Simplex => event.map(Self::Softmax),
            Support::Bool | Support::Count | Support::Category => None,
        }
    }

    /// f(x).
    pub fn forward(self, g: &mut Graph, x: NodeId) -> NodeId {
        match self {
            Self::Identity => x,
            Self::Exp => g.exp(x),
            Self::Sigmoid => g.sigmoid(x),
            Self::Softmax(axis) => g.softmax(x, axis),
        }
    }

    /// An x with f(x) = y; for the softmax the one with log Σ exp x = 0.
    pub fn inverse(self, g: &mut Graph, y: NodeId) -> NodeId {
        match self {
            Self::Identity => y,
            Self::Exp | Self::Softmax(_) => g.log(y),
            Self::Sigmoid => {
                let (yes, no) = (g.log(y), special::log_one_minus(g, y));
                g.sub(yes, no)
            }
        }
    }

    /// log |df/dx| at x, elementwise; for the softmax Σ log yₖ, over the axes without its own: the log-determinant of
    /// x ↦ (y₁ … y₍K−1₎, log Σ exp x).
    pub fn log_jacobian(self, g: &mut Graph, x: NodeId) -> NodeId {
        match self {
            Self::Identity => g.constant(0.0),
            Self::Exp => x,
            Self::Sigmoid => {
                let (up, down) = (g.softplus(x), softplus_neg(g, x));
                let both = g.add(up, down);
                g.neg(both)
            }
            Self::Softmax(axis) => {
                let x = along(g, x, axis);
                let log_y = g.log_softmax(x, axis);
                sum_along(g, log_y, axis)
            }
        }
    }

    /// Log density of the coordinate that f forgets, standard normal in log Σ exp x; `None` where f forgets nothing.
    /// A model's density over x is its density over f(x) plus [`Bijection::log_jacobian`] plus this.
    pub fn free_log_prob(self, g: &mut Graph, x: NodeId) -> Option<NodeId> {
        let Self::Softmax(axis) = self else { return None };
        let x = along(g, x, axis);
        let s = g.logsumexp(x, axis);
        let square = g.square(s);
        let half = g.mul_const(square, -0.5);
        Some(g.add_const(half, -HALF_LOG_TAU))
    }
}
