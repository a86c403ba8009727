//! Evaluation cases: batch norm by running values, no dropout, latents at the mean of the guide.

use super::case::{Case, Outcome, error, under};
use super::families::{self, Compared, Configuration, Family, same};
use super::implicit::log_gamma_slopes;
use super::inputs::{Data, Fed};
use crate::noise::{Noise, feed_noise_and_slopes};
use autodiff_runtime::backend::Backend;
use autodiff_runtime::backend::cpu::CpuBackend;
use autodiff_runtime::backend::dfdx::DfdxBackend;
use autodiff_runtime::{Element, Feed, NodeId, Program, RandomKind, StepKey, Training, Variables};
use dsl::{Compiled, Lowered, Mode, Purpose, Request};
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
    if let Some(why) = configuration.skip {
        return Outcome::Skipped(why.to_owned());
    }
    let mut tensors = case.tensors();
    families::complete(case, &mut tensors);
    let (compiled, files, data) = compiled_for(case, &tensors, family, &configuration);
    let mut compared = (family.compared)(case, &configuration, &tensors);
    if !compared.iter().any(|c| c.theirs.starts_with("loss")) {
        compared.push(same("loss", "loss"));
    }
    let mode = if case.entry["mode"] == "train" { Mode::Train } else { Mode::Evaluate };
    let request = |purpose| Request { purpose, mode, n_batch: data.n_cells };
    let lowered = crate::lowered(&compiled, &data.bound, &request(Purpose::Objective));
    let is_probe = |name: &&str| *name != "loss" && !name.starts_with("row:") && !name.starts_with("term:");
    let names = compared.iter().flat_map(|c| &c.ours).map(|p| p.1.as_str()).filter(is_probe);
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    let names = names.into_iter().collect();
    let probing = crate::lowered(&compiled, &data.bound, &request(Purpose::Outputs { names, given: vec![] }));
    let setup = Setup {
        map: NameMap::of(files.iter().map(String::as_str)),
        stats: statistics(&compiled, &data),
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
    let wrong = disagreements(case, route != Route::Cpu32, &tensors, &compared, &found);
    if wrong.is_empty() { Outcome::Agrees } else { Outcome::Differs(wrong) }
}

/// The model as the case's data have it, the files it is made of, and the data.
fn compiled_for(
    case: &Case,
    tensors: &BTreeMap<String, Tensor>,
    family: &Family,
    configuration: &Configuration,
) -> (Compiled, Vec<String>, Data) {
    let (name, sets) = (configuration.model, &configuration.sets);
    let (compiled, files) = crate::library_model_and_files(name, sets);
    let data = Data::new(case, tensors, family, &compiled);
    let absent: BTreeSet<String> = compiled.deciding().difference(&data.bound.present).cloned().collect();
    if absent.is_empty() {
        return (compiled, files, data);
    }
    let (compiled, files) = crate::library_model_without(name, sets, absent);
    let data = Data::new(case, tensors, family, &compiled);
    (compiled, files, data)
}

/// The statistics of the model over the rows of the case.
fn statistics(compiled: &Compiled, data: &Data) -> BTreeMap<String, Vec<f64>> {
    let request = Request { purpose: Purpose::Statistics, mode: Mode::Evaluate, n_batch: data.n_cells };
    let l = crate::lowered(compiled, &data.bound, &request);
    let names: Vec<String> = l.graph.outputs().iter().map(|o| o.0.clone()).collect();
    if names.is_empty() {
        return BTreeMap::new();
    }
    let program = Program { graph: l.graph.clone().verify().expect("a valid graph"), training: None };
    let cpu: &dyn Backend<f64> = &CpuBackend { threads: 1, level: 0 };
    let mut executable = cpu.prepare(&program).expect("the back end takes the graph");
    let held = to_elements::<f64>(data.feeds(&l, 0..data.n_cells, 0.0, &BTreeMap::new()), vec![]);
    let feeds: Vec<Feed<'_, f64>> = held.iter().map(Held::feed).collect();
    executable.run(&mut Variables::new(), &feeds, StepKey::default()).expect("statistics run");
    let read = |name: &String| executable.output(name).expect("a declared output").to_vec();
    names.iter().map(|n| (n.clone(), read(n))).collect()
}

/// What a case is run with.
struct Setup<'a> {
    map: NameMap,
    /// Statistics of the minibatch, which those that the reference keeps replace.
    stats: BTreeMap<String, Vec<f64>>,
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
    /// Running statistics after the pass, where the reference keeps its own.
    after: BTreeMap<String, Tensor>,
}

impl Setup<'_> {
    /// The stored draws, those of a kind and size in the order in which they were made; zeros for normals where none
    /// are stored. A pass that makes `all` of the draws leaves none.
    fn noise(&self, wanted: &[Noise], all: bool) -> Vec<Vec<f64>> {
        let stored = under(self.tensors, "noise.");
        let number = |name: &str| name.split('.').next().and_then(|n| n.parse::<usize>().ok());
        let mut stored: Vec<(&String, &Tensor)> = stored.iter().collect();
        stored.sort_by_key(|(n, _)| number(n));
        let at_mean = !stored.iter().any(|(n, _)| n.ends_with(".normal"));
        let mut take = |noise: &Noise| {
            if noise.slope {
                return self.slopes();
            }
            let kind = match noise.kind {
                RandomKind::Normal => ".normal",
                _ => ".gamma",
            };
            // A Dirichlet's draw is its Gammas' up to their sum.
            let of_kind = |n: &str| n.ends_with(kind) || kind == ".gamma" && n.ends_with(".dirichlet");
            let fits = |(n, t): &(&String, &Tensor)| of_kind(n) && t.values.len() == noise.n;
            let Some(at) = stored.iter().position(fits) else {
                assert!(at_mean && noise.kind == RandomKind::Normal, "no stored draw of {} {kind}", noise.n);
                return noise.zeros();
            };
            let values = in_order_of(&noise.shape, stored.remove(at).1);
            let log = |x: f64| (x + 1e-30).ln();
            if kind == ".gamma" { values.into_iter().map(log).collect() } else { values }
        };
        let fed = wanted.iter().map(&mut take).collect();
        let left: Vec<&String> = stored.iter().map(|(n, _)| *n).collect();
        assert!(!all || left.is_empty(), "draws that our program does not make: {left:?}");
        fed
    }

    /// How the case's Dirichlet draw moves with its concentration, which is the output ending in `alpha`.
    fn slopes(&self) -> Vec<f64> {
        let draw = self.tensors.iter().find(|(n, _)| n.ends_with(".dirichlet")).expect("a draw").1;
        let fits = |(n, t): &(&String, &Tensor)| n.ends_with("_alpha") && t.shape == draw.shape;
        let concentration = self.tensors.iter().find(fits).expect("the concentration").1;
        let n = *draw.shape.last().expect("an axis");
        log_gamma_slopes(&draw.values, &concentration.values, n)
    }

    fn run<E: Element>(&self, backend: &dyn Backend<E>) -> Run {
        let converter = Converter::new(&self.map, &self.lowered.variables, &self.data.bound);
        let imported = converter
            .import::<E>(&under(self.tensors, "param."))
            .unwrap_or_else(|e| panic!("every variable has its counterpart: {e}"));
        let mut variables = imported.variables;
        let mut stats = self.stats.clone();
        stats.extend(imported.stats);
        let mut found = Run { outputs: BTreeMap::new(), gradients: BTreeMap::new(), after: BTreeMap::new() };
        let passes = [(self.lowered, true), (self.probing, false)];
        for (l, training) in passes.into_iter().filter(|p| !p.0.graph.outputs().is_empty()) {
            let dirichlet = self.tensors.keys().any(|n| n.ends_with(".dirichlet"));
            let (graph, noise) = feed_noise_and_slopes(&l.graph, dirichlet);
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
            let fed = self.data.feeds(l, 0..self.data.n_cells, self.epoch, &stats);
            let held = to_elements::<E>(fed, self.noise(&noise, program.training.is_some()));
            let feeds: Vec<Feed<'_, E>> = held.iter().map(Held::feed).collect();
            executable.run(&mut variables, &feeds, StepKey::default()).expect("the case runs");
            let read = |name: &str| {
                executable.output(name).map(|v| v.iter().map(|x| x.to_f64()).collect::<Vec<f64>>())
            };
            for name in names {
                found.outputs.insert(name.clone(), read(&name).expect("a declared output"));
            }
            if program.training.is_some() {
                for (name, theirs) in gradients(self.tensors) {
                    let ours = converter.export(&name, &theirs.shape, &|v| read(&format!("grad.{v}")));
                    if let Some(t) = ours.expect("the name is known") {
                        found.gradients.insert(name, t);
                    }
                }
                let now =
                    |v: &str| variables.get(v).map(|x| x.iter().map(|y| y.to_f64()).collect::<Vec<f64>>());
                for (name, theirs) in under(self.tensors, "after.") {
                    let ours = converter.export(&name, &theirs.shape, &now);
                    found.after.extend(ours.expect("the name is known").map(|t| (name, t)));
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

/// A tensor's values, row-major in axes of these sizes; its own axes may stand in another order, which is told by their
/// sizes where these differ.
fn in_order_of(sizes: &[usize], t: &Tensor) -> Vec<f64> {
    let place = |n: &usize| t.shape.iter().position(|m| m == n);
    let order: Option<Vec<usize>> = sizes.iter().map(place).collect();
    let distinct = sizes.iter().collect::<BTreeSet<_>>().len() == sizes.len();
    let Some(order) = order.filter(|_| distinct && sizes.len() == t.shape.len() && *sizes != t.shape[..])
    else {
        return t.values.clone();
    };
    let stride = |k: usize| t.shape[k + 1..].iter().product::<usize>();
    let at = |flat: usize| {
        let (mut rest, mut at) = (flat, 0);
        for (n, k) in sizes.iter().zip(&order).rev() {
            at += rest % n * stride(*k);
            rest /= n;
        }
        t.values[at]
    };
    (0..t.values.len()).map(at).collect()
}

/// The reference's gradients: those in double precision where it keeps them; without those of an adversary in the
/// model's loss, which it computes and discards.
fn gradients(tensors: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let double = under(tensors, "grad64.");
    let mut all = if double.is_empty() { under(tensors, "grad.") } else { double };
    all.retain(|name, _| !name.starts_with("adversarial_classifier."));
    all
}

fn disagreements(
    case: &Case,
    in_double: bool,
    tensors: &BTreeMap<String, Tensor>,
    compared: &[Compared],
    run: &Run,
) -> Vec<String> {
    let mut wrong = vec![];
    for c in compared {
        let theirs = &c.theirs;
        let one = |name: &str| {
            let double = tensors.get(&format!("out64.{name}")).filter(|_| in_double);
            &double.unwrap_or_else(|| &tensors[&format!("out.{name}")]).values
        };
        let mut expected = vec![];
        for name in theirs.split(" + ") {
            expected.resize(one(name).len(), 0.0);
            expected.iter_mut().zip(one(name)).for_each(|(sum, v)| *sum += v);
        }
        let expected = &expected;
        let mut got: Vec<f64> = vec![];
        for (factor, name) in &c.ours {
            let values = run.outputs.get(name).unwrap_or_else(|| panic!("no output {name}"));
            got.resize(values.len(), 0.0);
            got.iter_mut().zip(values).for_each(|(sum, v)| *sum += v * factor);
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
    for (name, theirs) in gradients(tensors) {
        // What our program has no part of has no gradient.
        let zeros = || Tensor { shape: theirs.shape.clone(), values: vec![0.0; theirs.values.len()] };
        let ours = run.gradients.get(&name).cloned().unwrap_or_else(zeros);
        let (e, allowed) = (error(&ours.values, &theirs.values), case.tolerance("grad"));
        let largest = theirs.values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        let gap = ours.values.iter().zip(&theirs.values).fold(0.0_f64, |m, (a, b)| m.max((a - b).abs()));
        // A gradient that matters must also agree relative to its own size, so that zeros never pass.
        let near = e <= allowed || case.has_implicit_draws() && gap <= 2e-3 * largest;
        if !near || (largest > 1e-5 && gap > 0.01 * largest) {
            wrong.push(format!(
                "grad {name}: error {e:.2e}, allowed {allowed:.1e}, gap {gap:.2e} of {largest:.2e}"
            ));
        }
    }
    for (name, ours) in &run.after {
        let e = error(&ours.values, &tensors[&format!("after.{name}")].values);
        if e > 1e-5 || e.is_nan() {
            wrong.push(format!("after {name}: error {e:.2e}"));
        }
    }
    if let Some(name) = case.no_grad().iter().find(|n| run.gradients.contains_key(*n)) {
        wrong.push(format!("the loss should not reach {name}"));
    }
    wrong
}
