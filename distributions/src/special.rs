//! Stable building blocks as graph.

use autodiff_runtime::{Graph, NodeId};

/// ½ log 2π.
pub const HALF_LOG_TAU: f64 = 0.918_938_533_204_672_8;

/// log(1 + e⁻ˣ) = softplus(−x).
pub fn softplus_neg(g: &mut Graph, x: NodeId) -> NodeId {
    let n = g.neg(x);
    g.softplus(n)
}
