//! From a program to the one graph of a step: forward pass, gradients, optimiser and updates together.

use crate::autodiff::gradients;
use crate::graph::{Graph, NodeId, VariableId, Verified};
use crate::op::Op;
use crate::program::Program;
use crate::store::RunError;

/// The graph of one run of a program: everything to compute and to assign.
#[derive(Clone, Debug)]
pub struct StepGraph {
    /// Forward pass, gradients and updates.
    pub graph: Verified,
    /// Name of the output that is minimised, if the program trains.
    pub loss: Option<String>,
    /// Names of the optimiser's moments: variables that begin as zeros.
    pub moments: Vec<String>,
}

/// Differentiates the program and adds its optimiser's updates. The numbers of the program's own nodes do not change.
pub fn step_graph(program: &Program) -> Result<StepGraph, RunError> {
    let mut g: Graph = program.graph.clone().into_graph();
    let mut moments = vec![];
    let mut loss = None;
    if let Some(training) = &program.training {
        if !g.axes_of(training.loss).is_empty() {
            return Err(RunError::Unsupported("the loss is not a scalar".into()));
        }
        loss = Some(loss_output(&mut g, training.loss));
        let reads: Vec<Vec<NodeId>> = training.trained.iter().map(|v| reads_of(&mut g, *v)).collect();
        let all: Vec<NodeId> = reads.iter().flatten().copied().collect();
        let mut parts = gradients(&mut g, training.loss, &all)
            .map_err(|e| RunError::Unsupported(e.to_string()))?
            .into_iter();
        let mut grads = vec![];
        for r in &reads {
            let own: Vec<NodeId> = parts.by_ref().take(r.len()).collect();
            grads.extend(own.into_iter().reduce(|a, b| g.add(a, b)));
        }
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
    Ok(StepGraph { graph, loss, moments })
}

/// The name of the output that gives the loss; added if there is none.
fn loss_output(g: &mut Graph, loss: NodeId) -> String {
    if let Some((name, _)) = g.outputs().iter().find(|o| o.1 == loss) {
        return name.clone();
    }
    let name = "(loss)".to_owned();
    g.output(name.clone(), loss);
    name
}

/// The nodes that read a variable: a gradient is summed over all of them.
fn reads_of(g: &mut Graph, v: VariableId) -> Vec<NodeId> {
    let found: Vec<NodeId> = g.node_ids().filter(|id| g.node(*id).op == Op::Variable(v)).collect();
    if found.is_empty() { vec![g.read_variable(v)] } else { found }
}
