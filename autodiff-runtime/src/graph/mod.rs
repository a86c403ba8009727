//! The graph: an arena of nodes, each an operation on earlier nodes, over named axes.
//!
//! What is true of a [`Verified`] graph:
//! - operands come before the node that uses them, so the arena order is an evaluation order;
//! - a node's axes follow from its operation (see [`Op`]) and every axis has a positive size;
//! - indices have dtype [`Dtype::Index`], everything else is [`Dtype::Real`];
//! - each variable is assigned at most once, by a value of its own axes; reads always see the value before the step;
//! - outputs have distinct names.
//!
//! Nodes carry an opaque [`Origin`], which the front end maps to a source span: a run-time NaN can name its line.

mod axes;
mod build;
mod print;
mod verify;

pub use axes::{Axes, Axis, AxisId};
pub use verify::{Verified, VerifyError};

use crate::op::Op;

/// Handle of a node of one graph.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// Position in the arena.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Handle of a declared input: data handed in at every run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InputId(pub(crate) u32);

impl InputId {
    /// Position in [`Graph::inputs`], and in the feeds of a run.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Handle of a declared variable: a value kept from run to run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VariableId(pub(crate) u32);

impl VariableId {
    /// Position in [`Graph::variables`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// An opaque number that the builder of the graph understands (an index into its table of source spans).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Origin(pub u32);

/// What kind of number a value holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Dtype {
    /// Floating point, in the element type of the run. Booleans are 0 and 1.
    Real,
    /// Row numbers or category codes, stored as `u32`.
    Index,
}

/// How an input arrives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Storage {
    /// Every element, row-major in axis order.
    Dense,
    /// Compressed sparse rows: exactly two axes, the first is the row; absent elements are zero.
    Csr,
}

/// A declared input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputDecl {
    /// Unique name, by which the host finds what to feed.
    pub name: String,
    /// Its axes.
    pub axes: Axes,
    /// Its kind of number.
    pub dtype: Dtype,
    /// How it arrives.
    pub storage: Storage,
}

/// A declared variable: a parameter, a running statistic, an optimiser moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableDecl {
    /// Unique name: the source path of a parameter (`decoder.rho.linear.weight`), which is also its name on disk.
    pub name: String,
    /// Its axes.
    pub axes: Axes,
}

/// One operation of the graph with what was inferred about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What is computed, from earlier nodes.
    pub op: Op,
    /// Over which axes.
    pub axes: Axes,
    /// Which kind of number.
    pub dtype: Dtype,
    /// Where it comes from in the source.
    pub origin: Origin,
}

/// The graph under construction. See the module page for what [`Graph::verify`] establishes.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    axes: Vec<Axis>,
    inputs: Vec<InputDecl>,
    variables: Vec<VariableDecl>,
    nodes: Vec<Node>,
    outputs: Vec<(String, NodeId)>,
    updates: Vec<(VariableId, NodeId)>,
    origin: Origin,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// All axes; an [`AxisId`] is a position here.
    pub fn axes(&self) -> &[Axis] {
        &self.axes
    }

    /// One axis.
    pub fn axis(&self, id: AxisId) -> &Axis {
        &self.axes[id.index()]
    }

    /// Number of elements of an axis.
    pub fn size(&self, id: AxisId) -> usize {
        self.axes[id.index()].size
    }

    /// Number of elements of a value over `axes` (1 for a scalar).
    pub fn n_elements(&self, axes: &Axes) -> usize {
        axes.iter().map(|a| self.size(a)).product()
    }

    /// Declared inputs, in the order in which they are fed.
    pub fn inputs(&self) -> &[InputDecl] {
        &self.inputs
    }

    /// Declared variables.
    pub fn variables(&self) -> &[VariableDecl] {
        &self.variables
    }

    /// The variable of that name.
    pub fn find_variable(&self, name: &str) -> Option<VariableId> {
        self.variables.iter().position(|v| v.name == name).map(|i| VariableId(i as u32))
    }

    /// All nodes in evaluation order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Handles of all nodes in evaluation order.
    pub fn node_ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + ExactSizeIterator + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// The node's axes.
    pub fn axes_of(&self, id: NodeId) -> &Axes {
        &self.nodes[id.index()].axes
    }

    /// Named results, in the order in which they were declared.
    pub fn outputs(&self) -> &[(String, NodeId)] {
        &self.outputs
    }

    /// The result of that name.
    pub fn find_output(&self, name: &str) -> Option<NodeId> {
        self.outputs.iter().find(|(n, _)| n == name).map(|&(_, id)| id)
    }

    /// What each assigned variable becomes after the run.
    pub fn updates(&self) -> &[(VariableId, NodeId)] {
        &self.updates
    }
}
