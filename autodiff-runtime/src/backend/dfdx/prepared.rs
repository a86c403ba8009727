//! A program made ready: which nodes to compute, which to record, and the update rule as a graph of its own.

use super::elementwise::derivative_missing;
use super::pass::{Pass, Source};
use super::recorder::{Picks, Scalar};
use crate::backend::Executable;
use crate::graph::{Dtype, Graph, NodeId, VariableId, Verified};
use crate::op::Op;
use crate::program::{Program, Training};
use crate::store::{Feed, RunError, StepKey, Variables};
use dfdx::tensor::Cpu;
use dfdx::tensor_ops::Device;
use std::collections::BTreeMap;

/// A program for dfdx.
pub(super) struct Prepared<E: Scalar> {
    graph: Verified,
    live: Vec<bool>,
    taped: Vec<bool>,
    training: Option<Training>,
    rule: Option<Rule>,
    picks: Picks,
    outputs: BTreeMap<String, Vec<E>>,
}

/// The update rule: the program's axes, inputs and variables, then gradients and the schedule as further inputs.
struct Rule {
    graph: Verified,
    live: Vec<bool>,
}

impl<E: Scalar> Prepared<E> {
    /// Decides what can be decided before the run.
    pub(super) fn new(program: &Program) -> Result<Self, RunError> {
        let g: &Graph = &program.graph;
        let mut roots: Vec<NodeId> = g.outputs().iter().map(|(_, id)| *id).collect();
        roots.extend(g.updates().iter().map(|(_, id)| *id));
        let mut taped = vec![false; g.nodes().len()];
        let mut rule = None;
        if let Some(t) = &program.training {
            check_training(g, t)?;
            roots.push(t.loss);
            taped = nodes_between(g, &t.trained, t.loss);
            check_derivatives(g, &taped)?;
            rule = update_rule(g, t)?;
        }
        Ok(Self {
            live: live_nodes(g, &roots),
            graph: program.graph.clone(),
            taped,
            training: program.training.clone(),
            rule,
            picks: Picks::new(),
            outputs: BTreeMap::new(),
        })
    }
}

fn check_training(g: &Graph, t: &Training) -> Result<(), RunError> {
    let unsupported = |what: &str| Err(RunError::Unsupported(what.to_owned()));
    if t.loss.index() >= g.nodes().len() || !g.axes_of(t.loss).is_empty() {
        return unsupported("the loss is not a scalar of the graph");
    }
    if g.node(t.loss).dtype != Dtype::Real {
        return unsupported("the loss is an index");
    }
    if t.trained.iter().any(|v| v.index() >= g.variables().len()) {
        return unsupported("a trained variable is not declared");
    }
    Ok(())
}

/// The roots and everything they read.
fn live_nodes(g: &Graph, roots: &[NodeId]) -> Vec<bool> {
    let mut live = vec![false; g.nodes().len()];
    roots.iter().for_each(|r| live[r.index()] = true);
    for id in g.node_ids().rev() {
        if live[id.index()] {
            g.node(id).op.operands().iter().for_each(|o| live[o.index()] = true);
        }
    }
    live
}

/// Nodes on a path from a trained variable to the loss along which a gradient can flow. Only these are recorded: the
/// tape plays back every operation on it, and 0 · ∞ from one off the path would spoil a gradient.
fn nodes_between(g: &Graph, trained: &[VariableId], loss: NodeId) -> Vec<bool> {
    let mut reached = vec![false; g.nodes().len()];
    for id in g.node_ids() {
        let node = g.node(id);
        reached[id.index()] = match &node.op {
            Op::Variable(v) => trained.contains(v),
            Op::Stop(_) => false,
            op => node.dtype == Dtype::Real && op.operands().iter().any(|o| reached[o.index()]),
        };
    }
    let read = live_nodes(g, &[loss]);
    reached.iter().zip(read).map(|(a, b)| *a && b).collect()
}

fn check_derivatives(g: &Graph, taped: &[bool]) -> Result<(), RunError> {
    for id in g.node_ids().filter(|id| taped[id.index()]) {
        if let Op::Elem(e, _) = &g.node(id).op
            && derivative_missing(*e)
        {
            return Err(RunError::Unsupported(format!("no derivative of `{}`", e.name())));
        }
    }
    Ok(())
}

fn update_rule(g: &Graph, t: &Training) -> Result<Option<Rule>, RunError> {
    let Some(optimiser) = &t.optimiser else { return Ok(None) };
    let mut rule = g.empty_like();
    let pairs: Vec<(VariableId, NodeId)> = t
        .trained
        .iter()
        .map(|&v| {
            let decl = g.variables()[v.index()].clone();
            (v, rule.input(gradient_name(&decl.name), decl.axes))
        })
        .collect();
    optimiser.apply(&mut rule, &pairs);
    let roots: Vec<NodeId> = rule.updates().iter().map(|(_, id)| *id).collect();
    let live = live_nodes(&rule, &roots);
    let invalid = |errors: Vec<_>| RunError::Unsupported(format!("the update rule is invalid: {errors:?}"));
    Ok(Some(Rule { graph: rule.verify().map_err(invalid)?, live }))
}

fn gradient_name(variable: &str) -> String {
    format!("grad.{variable}")
}

/// New values of the assigned variables, by name.
type Updates<E> = Vec<(String, Vec<E>)>;

fn updates<E: Scalar>(g: &Graph, pass: &Pass<'_, E>) -> Result<Updates<E>, RunError>
where
    Cpu: Device<E>,
{
    let one =
        |&(v, id): &(VariableId, NodeId)| Ok((g.variables()[v.index()].name.clone(), pass.elements(id)?));
    g.updates().iter().map(one).collect()
}

impl Rule {
    /// One step from the gradients. Moments that are missing start at zero.
    fn step<E: Scalar>(
        &self,
        n_inputs: usize,
        variables: &mut Variables<E>,
        gradients: &[Vec<E>],
        schedule: &[Feed<'_, E>],
        picks: &mut Picks,
    ) -> Result<Updates<E>, RunError>
    where
        Cpu: Device<E>,
    {
        let g: &Graph = &self.graph;
        let assigned: Vec<VariableId> = g.updates().iter().map(|(v, _)| *v).collect();
        for decl in assigned.iter().map(|v| &g.variables()[v.index()]) {
            if variables.get(&decl.name).is_none() {
                variables.set(&decl.name, vec![E::default(); g.n_elements(&decl.axes)]);
            }
        }
        // The rule reads none of the program's own inputs.
        let mut feeds = vec![Feed::Dense(&[][..]); n_inputs];
        feeds.extend(gradients.iter().map(|x| Feed::Dense(x)));
        feeds.extend(schedule.iter().copied());
        let source = Source { graph: g, variables, feeds: &feeds, key: StepKey::default() };
        let nothing_taped = vec![false; g.nodes().len()];
        let pass = Pass::forward(source, &self.live, &nothing_taped, picks)?;
        updates(g, &pass)
    }
}

impl<E: Scalar> Executable<E> for Prepared<E>
where
    Cpu: Device<E>,
{
    fn run(
        &mut self,
        variables: &mut Variables<E>,
        feeds: &[Feed<'_, E>],
        key: StepKey,
    ) -> Result<(), RunError> {
        let g: &Graph = &self.graph;
        self.outputs.clear();
        let source = Source { graph: g, variables, feeds, key };
        let pass = Pass::forward(source, &self.live, &self.taped, &mut self.picks)?;
        let mut outputs = BTreeMap::new();
        for (name, id) in g.outputs() {
            outputs.insert(name.clone(), pass.elements(*id)?);
        }
        let mut new = updates(g, &pass)?;
        if let Some(t) = &self.training {
            let gradients = pass.gradients(t.loss, &t.trained)?;
            if let Some(rule) = &self.rule {
                let n = g.inputs().len();
                let schedule = feeds.get(n..).unwrap_or(&[]);
                new.extend(rule.step(n, variables, &gradients, schedule, &mut self.picks)?);
            }
            if t.expose_gradients {
                let names = t.trained.iter().map(|v| gradient_name(&g.variables()[v.index()].name));
                outputs.extend(names.zip(gradients));
            }
        }
        new.into_iter().for_each(|(name, value)| variables.set(&name, value));
        self.outputs = outputs;
        Ok(())
    }

    fn output(&self, name: &str) -> Option<&[E]> {
        self.outputs.get(name).map(Vec::as_slice)
    }

    fn describe(&self) -> String {
        let count = |flags: &[bool]| flags.iter().filter(|f| **f).count();
        let (n_live, n_taped) = (count(&self.live), count(&self.taped));
        format!("dfdx, {}: {n_live} nodes, {n_taped} of them on the tape", E::NAME)
    }
}
