//! Evaluation cases: batch norm by running values, no dropout, latents at the mean of the guide.

use super::case::{Case, Outcome, error, under};
use super::families::{self, Compared, same};
use super::inputs::{Data, Fed};
use crate::noise::{Noise, feed_noise};
use autodiff_runtime::backend::Backend;
use autodiff_runtime::backend::cpu::CpuBackend;
use autodiff_runtime::backend::dfdx::DfdxBackend;
use autodiff_runtime::{Element, Feed, NodeId, Program, StepKey, Training};
use dsl::{Lowered, Mode, Purpose, Request};
use std::collections::{BTreeMap, BTreeSet};
use svi::import::{Converter, NameMap, Tensor};

/// Which back end, in which precision.
#[derive(Clone, Copy, PartialEq)]
pub enum Route {
    /// The compiled CPU back end.
    Cpu32,
    /// The same in double precision.
    Cpu64,
    /// dfdx's tape.
    Dfdx64,
}

/// Late enough for every ramp to have ended.
const LATE: f64 = 1e9;

/// Compares one case.
pub fn check(case: &Case, route: Route) -> Outcome {
    let family = match families::find(case) {
        Ok(f) => f,
        Err(why) => return Outcome::Skipped(why),
    };
    let configuration = (family.configure)(case);
    let (compiled, files) = crate::library_model_and_files(configuration.model, &configuration.sets);
    let tensors = case.tensors();
    let data = Data::new(&tensors, family, &compiled);
    let mut compared = (family.compared)(case, &configuration, &tensors);
    compared.push(same("loss", "loss"));
    let request = |purpose| Request { purpose, mode: Mode::Evaluate, n_batch: data.n_cells };
    let lowered = crate::lowered(&compiled, &data.bound, &request(Purpose::Objective));
    let is_probe = |name: &&str| *name != "loss" && !name.starts_with("row:");
    let names = compared.iter().flat_map(|c| c.ours.split(" + ")).filter(is_probe);
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    let names = names.into_iter().collect();
    let probing = crate::lowered(&compiled, &data.bound, &request(Purpose::Outputs { names, given: vec![] }));
    let setup = Setup {
        map: NameMap::of(files.iter().map(String::as_str)),
        tensors: &tensors,
        data: &data,
        epoch: case.kl_weight().map_or(LATE, |w| w * family.warmup),
        lowered: &lowered,
        probing: &probing,
    };
    let cpu = CpuBackend { threads: 2, level: 1 };
    let found = match route {
        Route::Cpu32 => setup.run::<f32>(&cpu),
        Route::Cpu64 => setup.run::<f64>(&cpu),
        Route::Dfdx64 => setup.run::<f64>(&DfdxBackend),
    };
    let wrong = disagreements(case, &tensors, &compared, &found);
    if wrong.is_empty() { Outcome::Agrees } else { Outcome::Differs(wrong) }
}

/// What a case is run with.
struct Setup<'a> {
    map: NameMap,
    tensors: &'a BTreeMap<String, Tensor>,
    data: &'a Data,
    epoch: f64,
    lowered: &'a Lowered,
    probing: &'a Lowered,
}

/// Our results, in double precision.
struct Run {
    outputs: BTreeMap<String, Vec<f64>>,
    gradients: BTreeMap<String, Tensor>,
}

impl Setup<'_> {
    /// The stored draws in the order in which they were made, else zeros.
    fn noise(&self, wanted: &[Noise]) -> Vec<Vec<f64>> {
        let stored = under(self.tensors, "noise.");
        let number = |name: &str| name.split('.').next().and_then(|n| n.parse::<usize>().ok());
        let mut normals: Vec<_> = stored.iter().filter(|(n, _)| n.ends_with(".normal")).collect();
        normals.sort_by_key(|(n, _)| number(n));
        if normals.is_empty() {
            return wanted.iter().map(Noise::zeros).collect();
        }
        let sizes = |n: Vec<usize>| format!("{n:?}");
        let ours: Vec<usize> = wanted.iter().map(|n| n.n).collect();
        let theirs: Vec<usize> = normals.iter().map(|(_, t)| t.values.len()).collect();
        assert_eq!(sizes(ours), sizes(theirs), "the draws of both programs");
        normals.into_iter().map(|(_, t)| t.values.clone()).collect()
    }

    fn run<E: Element>(&self, backend: &dyn Backend<E>) -> Run {
        let converter = Converter::new(&self.map, &self.lowered.variables, &self.data.bound);
        let imported = converter
            .import::<E>(&under(self.tensors, "param."))
            .unwrap_or_else(|e| panic!("every variable has its counterpart: {e}"));
        let mut variables = imported.variables;
        let mut found = Run { outputs: BTreeMap::new(), gradients: BTreeMap::new() };
        for (l, training) in [(self.lowered, true), (self.probing, false)] {
            let (graph, noise) = feed_noise(&l.graph);
            let is_trained = |name: &str| {
                l.variables.iter().any(|v| v.name == name && v.kind == dsl::VariableKind::Trained)
            };
            let trained = graph.variables().iter().filter(|v| is_trained(&v.name));
            let trained = trained.filter_map(|v| graph.find_variable(&v.name)).collect();
            let loss = graph.find_output("loss").unwrap_or_else(|| NodeId::clone(&graph.outputs()[0].1));
            let training =
                training.then_some(Training { loss, trained, optimiser: None, expose_gradients: true });
            let names: Vec<String> = graph.outputs().iter().map(|o| o.0.clone()).collect();
            let program = Program { graph: graph.verify().expect("a valid graph"), training };
            let mut executable = backend.prepare(&program).expect("the back end takes the graph");
            let fed = self.data.feeds(l, 0..self.data.n_cells, self.epoch, &imported.stats);
            let held = to_elements::<E>(fed, self.noise(&noise));
            let feeds: Vec<Feed<'_, E>> = held.iter().map(Held::feed).collect();
            executable.run(&mut variables, &feeds, StepKey::default()).expect("the case runs");
            let read = |name: &str| {
                executable.output(name).map(|v| v.iter().map(|x| x.to_f64()).collect::<Vec<f64>>())
            };
            for name in names {
                found.outputs.insert(name.clone(), read(&name).expect("a declared output"));
            }
            if program.training.is_some() {
                for (name, theirs) in under(self.tensors, "grad.") {
                    let ours = converter.export(&name, &theirs.shape, &|v| read(&format!("grad.{v}")));
                    if let Some(t) = ours.expect("the name is known") {
                        found.gradients.insert(name, t);
                    }
                }
            }
        }
        found
    }
}

/// A fed array in the run's precision.
pub enum Held<E> {
    /// Real numbers.
    Real(Vec<E>),
    /// Indices.
    Index(Vec<u32>),
}

impl<E: Element> Held<E> {
    /// Lends it to a run.
    pub fn feed(&self) -> Feed<'_, E> {
        match self {
            Held::Real(v) => Feed::Dense(v),
            Held::Index(v) => Feed::Index(v),
        }
    }
}

/// Rounds feeds, and appends the noise.
pub fn to_elements<E: Element>(fed: Vec<Fed>, noise: Vec<Vec<f64>>) -> Vec<Held<E>> {
    let real = |v: Vec<f64>| Held::Real(v.into_iter().map(E::from_f64).collect());
    let fed = fed.into_iter().map(|f| match f {
        Fed::Real(v) => real(v),
        Fed::Index(v) => Held::Index(v),
    });
    fed.chain(noise.into_iter().map(real)).collect()
}

fn disagreements(
    case: &Case,
    tensors: &BTreeMap<String, Tensor>,
    compared: &[Compared],
    run: &Run,
) -> Vec<String> {
    let mut wrong = vec![];
    for Compared { theirs, ours, sign } in compared {
        let expected = &tensors[&format!("out.{theirs}")].values;
        let mut got: Vec<f64> = vec![];
        for name in ours.split(" + ") {
            let values = run.outputs.get(name).unwrap_or_else(|| panic!("no output {name}"));
            got.resize(values.len(), 0.0);
            got.iter_mut().zip(values).for_each(|(sum, v)| *sum += v * sign);
        }
        if !got.is_empty() && got.len() != expected.len() && expected.len().is_multiple_of(got.len()) {
            // The reference repeats for every cell what does not depend on the cell.
            got = got.iter().copied().cycle().take(expected.len()).collect();
        }
        let (e, allowed) = (error(&got, expected), case.tolerance(theirs));
        if e > allowed || e.is_nan() {
            wrong.push(format!("{theirs}: error {e:.2e}, allowed {allowed:.1e}"));
        }
    }
    for (name, theirs) in under(tensors, "grad.") {
        let Some(ours) = run.gradients.get(&name) else {
            wrong.push(format!("grad {name}: none of ours corresponds"));
            continue;
        };
        let (e, allowed) = (error(&ours.values, &theirs.values), case.tolerance("grad"));
        let largest = theirs.values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        let gap = ours.values.iter().zip(&theirs.values).fold(0.0_f64, |m, (a, b)| m.max((a - b).abs()));
        // A gradient that matters must also agree relative to its own size, so that zeros never pass.
        if e > allowed || (largest > 1e-5 && gap > 0.01 * largest) {
            wrong.push(format!(
                "grad {name}: error {e:.2e}, allowed {allowed:.1e}, gap {gap:.2e} of {largest:.2e}"
            ));
        }
    }
    if let Some(name) = case.no_grad().iter().find(|n| run.gradients.contains_key(*n)) {
        wrong.push(format!("the loss should not reach {name}"));
    }
    wrong
}
