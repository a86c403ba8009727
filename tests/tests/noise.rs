//! Feeding the noise of a graph: every standard normal draw becomes an input.

use autodiff_runtime::{Graph, NodeId, Op, RandomKind};

/// One draw that became an input.
pub struct Noise {
    /// Number of elements.
    pub n: usize,
}

impl Noise {
    /// Zeros for it: the latent is at its mean.
    pub fn zeros(&self) -> Vec<f64> {
        vec![0.0; self.n]
    }
}

/// The same graph with its normal draws as further inputs, in order of appearance.
pub fn feed_noise(g: &Graph) -> (Graph, Vec<Noise>) {
    let mut out = g.empty_like();
    let mut noise = vec![];
    let mut map: Vec<NodeId> = vec![];
    for id in g.node_ids() {
        let node = g.node(id);
        out.set_origin(node.origin);
        let new = match &node.op {
            Op::Random { kind: RandomKind::Normal, axes, stream, .. } => {
                noise.push(Noise { n: g.n_elements(axes) });
                out.input(format!("noise {stream} {}", noise.len()), axes.clone())
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
