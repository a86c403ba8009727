//! Feeding the noise of a graph: every standard normal draw and every logarithm of a Gamma becomes an input.

use autodiff_runtime::{Axes, Elem, Graph, NodeId, Op, RandomKind};

/// One draw that became an input.
pub struct Noise {
    /// Number of elements.
    pub n: usize,
    /// Sizes of its axes.
    pub shape: Vec<usize>,
    /// What is fed.
    pub kind: RandomKind,
    /// Fed is not a draw but how the one before it moves with its concentration.
    pub slope: bool,
}

impl Noise {
    /// Zeros for it: the latent is at its mean.
    pub fn zeros(&self) -> Vec<f64> {
        vec![0.0; self.n]
    }
}

/// The same graph with its normal and log-Gamma draws as further inputs, in order of appearance. The concentration of a
/// Gamma still has its gradient, by implicit reparameterisation at the value fed.
pub fn feed_noise(g: &Graph) -> (Graph, Vec<Noise>) {
    feed_noise_and_slopes(g, false)
}

/// The same, where how the logarithm of a Gamma moves with its concentration is fed too, after it, if asked for.
pub fn feed_noise_and_slopes(g: &Graph, slopes: bool) -> (Graph, Vec<Noise>) {
    let mut out = g.empty_like();
    let mut noise = vec![];
    let shape = |axes: &Axes| axes.as_slice().iter().map(|a| g.size(*a)).collect::<Vec<usize>>();
    let mut map: Vec<NodeId> = vec![];
    for id in g.node_ids() {
        let node = g.node(id);
        out.set_origin(node.origin);
        let new = match &node.op {
            Op::Random { kind: RandomKind::Normal, axes, stream, .. } => {
                noise.push(Noise {
                    n: g.n_elements(axes),
                    shape: shape(axes),
                    kind: RandomKind::Normal,
                    slope: false,
                });
                out.input(format!("noise {stream} {}", noise.len()), axes.clone())
            }
            Op::Random { kind: RandomKind::LogGamma, params, axes, stream, .. } => {
                noise.push(Noise {
                    n: g.n_elements(axes),
                    shape: shape(axes),
                    kind: RandomKind::LogGamma,
                    slope: false,
                });
                let value = out.input(format!("noise {stream} {}", noise.len()), axes.clone());
                let of = map[params[0].index()];
                let fixed = out.stop(of);
                let slope = if slopes {
                    let (n, shape, kind) = (g.n_elements(axes), shape(axes), RandomKind::LogGamma);
                    noise.push(Noise { n, shape, kind, slope: true });
                    out.input(format!("slope {stream} {}", noise.len()), axes.clone())
                } else {
                    out.binary(Elem::LogGammaSampleGrad, value, fixed)
                };
                let (slope, moving) = (out.stop(slope), out.sub(of, fixed));
                let moved = out.mul(slope, moving);
                out.add(value, moved)
            }
            op => out.push(op.map_operands(|o| map[o.index()])),
        };
        map.push(new);
    }
    let outputs = g.outputs().iter().map(|(n, id)| (n.clone(), map[id.index()])).collect();
    let updates = g.updates().iter().map(|(v, id)| (*v, map[id.index()])).collect();
    out.set_roots(outputs, updates);
    (out, noise)
}
