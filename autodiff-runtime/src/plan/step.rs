//! From a program to the one graph of a step: forward pass, gradients, optimiser and updates together.

use crate::autodiff::gradients;
use crate::graph::{Graph, NodeId, VariableId, Verified};
use crate::program::Program;
use crate::store::RunError;

/// The graph of one run of a program: everything to compute and to assign.
#[derive(Clone, Debug)]
pub struct StepGraph {
    /// Forward pass, gradients and updates.
    pub graph: Verified,
    /// What is minimised, if the program trains.
    pub loss: Option<NodeId>,
    /// Names of the optimiser's moments: variables that begin as zeros.
    pub moments: Vec<String>,
}

/// Differentiates the program and adds its optimiser's updates. The numbers of the program's own nodes do not change.
pub fn step_graph(program: &Program) -> Result<StepGraph, RunError> {
    let mut g: Graph = program.graph.clone().into_graph();
    let mut moments = vec![];
    if let Some(training) = &program.training {
        if !g.axes_of(training.loss).is_empty() {
            return Err(RunError::Unsupported("the loss is not a scalar".into()));
        }
        let values: Vec<NodeId> = training.trained.iter().map(|v| variable_node(&mut g, *v)).collect();
        let grads =
            gradients(&mut g, training.loss, &values).map_err(|e| RunError::Unsupported(e.to_string()))?;
        let pairs: Vec<(VariableId, NodeId)> = training.trained.iter().copied().zip(grads).collect();
        if training.expose_gradients {
            for (v, grad) in &pairs {
                let name = format!("grad.{}", g.variables()[v.index()].name);
                g.output(name, *grad);
            }
        }
        if let Some(optimiser) = &training.optimiser {
            optimiser.apply(&mut g, &pairs);
            for v in &training.trained {
                moments.extend(optimiser.moments(&g.variables()[v.index()].name.clone()));
            }
        }
    }
    let graph = g.verify().map_err(|e| {
        RunError::Unsupported(e.first().map_or_else(|| "invalid graph".into(), ToString::to_string))
    })?;
    Ok(StepGraph { graph, loss: program.training.as_ref().map(|t| t.loss), moments })
}

/// The node that reads a variable. Every read of one variable has to count, so several reads become one.
fn variable_node(g: &mut Graph, v: VariableId) -> NodeId {
    let found = g.node_ids().find(|id| g.node(*id).op == crate::op::Op::Variable(v));
    found.unwrap_or_else(|| g.read_variable(v))
}
