//! What is handed to a back end: a verified graph and, for training, what to differentiate and how to step.

use crate::graph::{NodeId, VariableId, Verified};
use crate::optim::Optimiser;

/// A computation to prepare. Without `training` it gives its outputs and applies its updates; with it, it also changes
/// the trained variables by one optimiser step.
#[derive(Clone, Debug)]
pub struct Program {
    /// The forward computation: outputs, and updates of running statistics.
    pub graph: Verified,
    /// What a step trains.
    pub training: Option<Training>,
}

/// The training half of a program.
#[derive(Clone, Debug)]
pub struct Training {
    /// The scalar that is minimised; a node of the program's graph.
    pub loss: NodeId,
    /// The variables that are trained.
    pub trained: Vec<VariableId>,
    /// The update rule; `None` leaves the variables alone (gradients only).
    pub optimiser: Option<Optimiser>,
    /// Whether each gradient is also an output, named `grad.<variable>`.
    pub expose_gradients: bool,
}
