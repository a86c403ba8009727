//! Every gradient three ways in double precision: the compiled CPU back end (optimised and not), dfdx's tape, and central
//! differences of the plain evaluator. The three share no derivative. In the differences what stands under `stop` keeps its value, as its
//! derivative says; draws made by rejection have a derivative on average alone, so what their laws read is compared between
//! the first two only (the conformance suite of the families compares gradients of expectations with closed forms).

mod families;
pub mod library;
pub mod made;

use autodiff_runtime::backend::Backend;
use autodiff_runtime::backend::cpu::CpuBackend;
use autodiff_runtime::backend::dfdx::DfdxBackend;
use autodiff_runtime::backend::reference::evaluate;
use autodiff_runtime::graph::{Dtype, VariableId};
use autodiff_runtime::rewrite::{hold, of_rejected_draws};
use autodiff_runtime::{Feed, Graph, NodeId, Op, Program, StepKey, Training, Variables};
use std::collections::BTreeMap;

const KEY: StepKey = StepKey { seed: 5, step: 2 };

/// Two compiled gradients may differ by this much, relative to the largest entry of the variable's gradient or to the
/// loss's own rounding, whichever is larger.
const BETWEEN_BACK_ENDS: f64 = 1e-9;
/// The same for central differences, whose own error is of order h² = 1e-10 times a third derivative, and 1e-16/h.
const TO_DIFFERENCES: f64 = 2e-6;

/// A scalar of a graph, what it depends on, and where.
pub struct Differentiated<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// The scalar.
    pub loss: NodeId,
    /// With respect to what.
    pub trained: Vec<VariableId>,
    /// Data of the inputs.
    pub feeds: &'a [Feed<'a, f64>],
    /// All variables.
    pub variables: &'a Variables<f64>,
    /// Entries of each variable that are compared with differences, evenly spread: these cost two evaluations each.
    pub most: usize,
}

/// Gradients by variable name.
type Gradients = BTreeMap<String, Vec<f64>>;

impl Differentiated<'_> {
    /// What disagrees, one line each; empty when all three agree. Also the number of entries compared.
    pub fn disagreements(&self) -> (Vec<String>, usize) {
        let cpu = self.compiled(&CpuBackend { threads: 2, level: 1 });
        let plain = self.compiled(&CpuBackend { threads: 1, level: 0 });
        let tape = self.compiled(&DfdxBackend);
        let differences = self.differences();
        let floor = 1e-3 * self.loss_at(self.variables).abs().max(1.0);
        let mut wrong = vec![];
        let mut n = 0;
        for (name, a) in &cpu {
            for (other, what, allowed) in [
                (&tape, "dfdx", BETWEEN_BACK_ENDS),
                (&plain, "its level 0", BETWEEN_BACK_ENDS),
                (&differences, "differences", TO_DIFFERENCES),
            ] {
                let Some(b) = other.get(name) else { continue };
                let a: Vec<f64> = if what == "differences" {
                    self.chosen(a.len()).map(|i| a[i]).collect()
                } else {
                    a.clone()
                };
                assert_eq!(a.len(), b.len(), "{name}");
                let scale = a.iter().chain(b).fold(floor, |m, v| m.max(v.abs()));
                let gap = a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
                if gap > allowed * scale || gap.is_nan() {
                    wrong.push(format!("{name}: the CPU and {what} differ by {gap:.2e} of {scale:.2e}"));
                }
            }
            n += a.len();
        }
        (wrong, n)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.trained.iter().map(|v| self.graph.variables()[v.index()].name.as_str())
    }

    fn compiled(&self, backend: &dyn Backend<f64>) -> Gradients {
        let graph = self.graph.clone().verify().unwrap_or_else(|e| panic!("{e:?}"));
        let training = Training {
            loss: self.loss,
            trained: self.trained.clone(),
            optimiser: None,
            expose_gradients: true,
        };
        let program = Program { graph, training: Some(training) };
        let mut executable = backend.prepare(&program).expect("the back end takes the graph");
        // A copy: a run overwrites running statistics.
        executable.run(&mut self.variables.clone(), self.feeds, KEY).expect("the graph runs");
        let read = |n: &str| executable.output(&format!("grad.{n}")).expect("exposed").to_vec();
        self.names().map(|n| (n.to_owned(), read(n))).collect()
    }

    fn loss_at(&self, variables: &Variables<f64>) -> f64 {
        evaluate(self.graph, &[self.loss], variables, self.feeds, KEY).expect("the graph runs")[0][0]
    }

    fn chosen(&self, n: usize) -> impl Iterator<Item = usize> + use<> {
        (0..n).step_by(n.div_ceil(self.most).max(1))
    }

    /// The loss as a function of the variables, what stands under `stop` held at its value here.
    fn held(&self) -> (Graph, NodeId, Vec<Vec<f64>>) {
        let mut graph = self.graph.clone();
        graph.output("minimised", self.loss);
        let is_stop =
            |id: &NodeId| matches!(graph.node(*id).op, Op::Stop(_)) && graph.node(*id).dtype == Dtype::Real;
        let stopped: Vec<NodeId> = graph.node_ids().filter(is_stop).collect();
        let values = evaluate(&graph, &stopped, self.variables, self.feeds, KEY).expect("the graph runs");
        let held = hold(&graph, &stopped);
        let loss = held.find_output("minimised").expect("just made");
        (held, loss, values)
    }

    fn differences(&self) -> Gradients {
        let mut out = Gradients::new();
        let (graph, loss, values) = self.held();
        let mut feeds = self.feeds.to_vec();
        feeds.extend(values.iter().map(|v| Feed::Dense(v)));
        let rejected = of_rejected_draws(self.graph);
        for name in self.names().filter(|n| !rejected.contains(*n)) {
            let at = self.variables.get(name).expect("a variable").to_vec();
            let moved = |i: usize, by: f64| {
                let mut all = self.variables.clone();
                let mut value = at.clone();
                value[i] += by;
                all.set(name, value);
                evaluate(&graph, &[loss], &all, &feeds, KEY).expect("the graph runs")[0][0]
            };
            let slope = |i: usize| {
                let h = 1e-5 * at[i].abs().max(1.0);
                (moved(i, h) - moved(i, -h)) / (2.0 * h)
            };
            out.insert(name.to_owned(), self.chosen(at.len()).map(slope).collect());
        }
        out
    }
}
