//! Gradients of whole programs in double precision: reverse mode on the graph, dfdx's tape, and difference quotients.

mod common;

use autodiff_runtime::autodiff::gradients;
use autodiff_runtime::backend::Backend;
use autodiff_runtime::backend::dfdx::DfdxBackend;
use autodiff_runtime::backend::reference::evaluate;
use autodiff_runtime::{Feed, NodeId, Op, Program, RandomKind, StepKey, Training, Variables};
use common::{Input, World, bound, compiled, request, same, texts};
use dsl::{Lowered, Mode, Purpose, VariableKind};

const KEY: StepKey = StepKey { seed: 7, step: 3 };

struct Case {
    l: Lowered,
    loss: NodeId,
    variables: Variables<f64>,
    inputs: Vec<Input>,
    trained: Vec<String>,
}

impl Case {
    fn new(w: &World<'_>, mode: Mode) -> Self {
        let rows = [0, 3, 4, 5];
        let l = w.model.lower(&w.bound, &request(Purpose::Objective, mode, rows.len())).expect("it lowers");
        let of_kind = |k: VariableKind| move |v: &&dsl::VariableSpec| v.kind == k;
        let trained = l.variables.iter().filter(of_kind(VariableKind::Trained)).map(|v| v.name.clone());
        Self {
            loss: l.loss.expect("an objective"),
            variables: w.variables(&l),
            inputs: w.inputs(&l, &rows),
            trained: trained.collect(),
            l,
        }
    }

    fn feeds(&self) -> Vec<Feed<'_, f64>> {
        self.inputs.iter().map(Input::feed).collect()
    }

    fn loss_with(&self, variables: &Variables<f64>) -> f64 {
        evaluate(&self.l.graph, &[self.loss], variables, &self.feeds(), KEY).expect("the reference runs")[0]
            [0]
    }

    /// By reverse mode on the graph and the reference evaluator.
    fn by_graph(&self) -> Vec<Vec<f64>> {
        let mut g = self.l.graph.clone();
        // A variable may be read at several nodes: its gradient is the sum.
        let mut wanted = vec![];
        for name in &self.trained {
            let id = g.find_variable(name).expect("declared");
            let reads: Vec<NodeId> =
                self.l.graph.node_ids().filter(|n| g.node(*n).op == Op::Variable(id)).collect();
            let parts = gradients(&mut g, self.loss, &reads).expect("differentiable");
            wanted.push(parts.into_iter().reduce(|a, b| g.add(a, b)).expect("read somewhere"));
        }
        evaluate(&g, &wanted, &self.variables, &self.feeds(), KEY).expect("the reference runs")
    }

    fn by_dfdx(&self) -> Vec<Vec<f64>> {
        let trained = self.trained.iter().map(|n| self.l.graph.find_variable(n).expect("declared")).collect();
        let training = Some(Training { loss: self.loss, trained, optimiser: None, expose_gradients: true });
        let graph = self.l.graph.clone().verify().expect("a valid graph");
        let mut run = Backend::<f64>::prepare(&DfdxBackend, &Program { graph, training }).expect("prepared");
        run.run(&mut self.variables.clone(), &self.feeds(), KEY).expect("dfdx runs");
        let output = |n: &String| run.output(&format!("grad.{n}")).expect("an output").to_vec();
        self.trained.iter().map(output).collect()
    }

    /// Both derivations to 1e-10 of the largest slope, and quotients at a few places of each variable to 1e-6 of it
    /// (unless a draw follows its parameter only in distribution).
    fn check(&self, what: &str) {
        let (ours, theirs) = (self.by_graph(), self.by_dfdx());
        let jumps = self.l.graph.nodes().iter().any(|n| {
            let continuous = [RandomKind::Uniform, RandomKind::Normal];
            matches!(&n.op, Op::Random { kind, .. } if !continuous.contains(kind))
        });
        for ((name, ours), theirs) in self.trained.iter().zip(&ours).zip(&theirs) {
            let scale = ours.iter().fold(1e-3_f64, |m, x| m.max(x.abs()));
            for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
                assert!((a - b).abs() <= 1e-10 * scale, "{what}: {name}[{i}]: {a}, dfdx {b}");
            }
            for i in (0..ours.len()).step_by(ours.len().div_ceil(5)).filter(|_| !jumps) {
                let at = |h: f64| {
                    let mut moved = self.variables.clone();
                    let slot = moved.slot_of(name).expect("a variable");
                    moved.slot_mut(slot)[i] += h;
                    self.loss_with(&moved)
                };
                let h = 1e-5;
                let quotient = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
                let fine = (ours[i] - quotient).abs() <= 1e-6 * scale.max(1e-2);
                assert!(fine, "{what}: {name}[{i}]: {}, quotient {quotient}", ours[i]);
            }
        }
    }
}

#[test]
fn every_sound_program() {
    // Two players have no common objective: see players.rs.
    for (name, text) in texts("tests/cases/ok").into_iter().filter(|t| !t.1.contains("\nadversary")) {
        let c = compiled(&text, &[]);
        let w = World { model: &c, bound: bound(&c, 6, true), canonical: same, epoch: 5.0, step: 3 };
        for mode in [Mode::Train, Mode::Evaluate] {
            Case::new(&w, mode).check(&format!("{name}, {mode:?}"));
        }
    }
}
