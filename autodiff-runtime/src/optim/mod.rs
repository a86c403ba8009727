//! Update rules, written as graph so that a back end fuses them with the step.

mod adam;

pub use adam::Adam;

use crate::graph::{Graph, NodeId, VariableId};

/// An update rule with its constants.
#[derive(Clone, Debug, PartialEq)]
pub enum Optimiser {
    /// Adam (Kingma and Ba, 2015).
    Adam(Adam),
}

/// Names of the scalar inputs that a program with an optimiser adds to its graph's own, after them and in this order:
/// the learning rate, and the number of this step counted from 1.
pub const SCHEDULE_INPUTS: [&str; 2] = ["optimiser.lr", "optimiser.step"];

impl Optimiser {
    /// Adds the update of each variable from its gradient; declares the moments it needs (named
    /// `<rule>.<moment>:<variable>`, zero at first) and the [`SCHEDULE_INPUTS`].
    pub fn apply(&self, g: &mut Graph, trained: &[(VariableId, NodeId)]) {
        match self {
            Optimiser::Adam(adam) => adam.apply(g, trained),
        }
    }

    /// Names of the moments kept for a trained variable.
    pub fn moments(&self, variable: &str) -> Vec<String> {
        match self {
            Optimiser::Adam(_) => vec![format!("adam.m:{variable}"), format!("adam.v:{variable}")],
        }
    }
}
