//! Copies the live part of a graph node by node, so that a pass only says what it changes.

use crate::graph::{Graph, NodeId};
use crate::op::Op;

/// A graph under construction from another one.
pub(crate) struct Copier<'a> {
    /// What is copied from.
    pub old: &'a Graph,
    /// What is built.
    pub new: Graph,
    map: Vec<Option<NodeId>>,
}

impl<'a> Copier<'a> {
    /// An empty copy of `old`.
    pub fn new(old: &'a Graph) -> Self {
        Self { old, new: old.empty_like(), map: vec![None; old.nodes().len()] }
    }

    /// The new node of an old one that was visited before.
    pub fn at(&self, old: NodeId) -> NodeId {
        self.map[old.index()].expect("operands are visited before their users")
    }

    /// The operation of an old node on the new operands.
    pub fn moved(&self, old: NodeId) -> Op {
        self.old.node(old).op.map_operands(|o| self.at(o))
    }

    /// Visits every live node in order: `f` gives its new node.
    pub fn run(mut self, mut f: impl FnMut(&mut Self, NodeId) -> NodeId) -> Graph {
        let live = live_nodes(self.old);
        for id in self.old.node_ids().filter(|id| live[id.index()]) {
            self.new.set_origin(self.old.node(id).origin);
            let new = f(&mut self, id);
            self.map[id.index()] = Some(new);
        }
        let outputs = self.old.outputs().iter().map(|(n, id)| (n.clone(), self.at(*id))).collect();
        let updates = self.old.updates().iter().map(|(v, id)| (*v, self.at(*id))).collect();
        self.new.set_roots(outputs, updates);
        self.new
    }
}

/// Whether each node reaches an output or an update.
pub(crate) fn live_nodes(g: &Graph) -> Vec<bool> {
    let mut live = vec![false; g.nodes().len()];
    let roots = g.outputs().iter().map(|o| o.1).chain(g.updates().iter().map(|u| u.1));
    roots.for_each(|r| live[r.index()] = true);
    for id in g.node_ids().rev() {
        if live[id.index()] {
            g.node(id).op.operands().iter().for_each(|o| live[o.index()] = true);
        }
    }
    live
}
