//! Values held still while others move, and what moves others only on average: what differences of a loss must know.

use super::Copier;
use crate::graph::{Dtype, Graph, NodeId, Storage};
use crate::op::{Op, RandomKind};
use std::collections::BTreeSet;

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

/// Names of the variables that the laws of draws by rejection read. Such a draw (a Gamma, and what is made of Gammas) jumps as
/// its parameter moves: its derivative holds on average alone, and differences at a fixed draw do not show it.
pub fn of_rejected_draws(g: &Graph) -> BTreeSet<String> {
    let mut reaches = vec![false; g.nodes().len()];
    for id in g.node_ids().rev() {
        let op = &g.node(id).op;
        if reaches[id.index()] || matches!(op, Op::Random { kind: RandomKind::LogGamma, .. }) {
            op.operands().iter().for_each(|o| reaches[o.index()] = true);
        }
    }
    let name = |id: NodeId| match g.node(id).op {
        Op::Variable(v) if reaches[id.index()] => Some(g.variables()[v.index()].name.clone()),
        _ => None,
    };
    g.node_ids().filter_map(name).collect()
}
