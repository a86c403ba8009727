//! Values held still while others move.

use super::Copier;
use crate::graph::{Dtype, Graph, NodeId, Storage};

/// The live part of a graph with new inputs in the place of some of its nodes: dense, named `held`, after the inputs that
/// there are, in the order of the nodes. Fed with the values that the nodes had, the result is the same; under other values
/// of the variables these stay as they were.
pub fn hold(g: &Graph, nodes: &[NodeId]) -> Graph {
    let mut copier = Copier::new(g);
    let declare = |n: &NodeId| {
        let (axes, dtype) = (g.axes_of(*n).clone(), g.node(*n).dtype);
        debug_assert!(matches!(dtype, Dtype::Real | Dtype::Index));
        copier.new.declare_input("held", axes, dtype, Storage::Dense)
    };
    let inputs: Vec<_> = nodes.iter().map(declare).collect();
    copier.run(|c, id| match nodes.iter().position(|n| *n == id) {
        Some(at) => c.new.read_input(inputs[at]),
        None => {
            let op = c.moved(id);
            c.new.push(op)
        }
    })
}
