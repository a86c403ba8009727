//! Evaluation cases: batch norm by running values, no dropout, KL weight 1, latents at the mean of the guide.

use super::case::{Case, Outcome, error, under};
use super::configuration::{Data, Fed, configuration};
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
    let configuration = match configuration(case) {
        Ok(c) => c,
        Err(why) => return Outcome::Skipped(why),
    };
    let compiled = crate::library_model(configuration.model, &configuration.sets);
    let tensors = case.tensors();
    let likelihood = case.entry["init"]["gene_likelihood"].as_str().unwrap_or("zinb");
    let data = Data::new(&tensors);
    let request = |purpose| Request { purpose, mode: Mode::Evaluate, n_batch: data.n_cells };
    let lowered = crate::lowered(&compiled, &data.bound, &request(Purpose::Objective));
    let names: BTreeSet<String> =
        probes((configuration.model, likelihood), &tensors).into_iter().map(|p| p.1).collect();
    let names = names.into_iter().collect();
    let probing = crate::lowered(&compiled, &data.bound, &request(Purpose::Outputs { names, given: vec![] }));
    let mut found = match route {
        Route::Cpu32 => {
            Run::new::<f32>(&CpuBackend { threads: 2, level: 1 }, &tensors, &data, &lowered, &probing)
        }
        Route::Cpu64 => {
            Run::new::<f64>(&CpuBackend { threads: 2, level: 1 }, &tensors, &data, &lowered, &probing)
        }
        Route::Dfdx64 => Run::new::<f64>(&DfdxBackend, &tensors, &data, &lowered, &probing),
    };
    compare(case, configuration.model, &tensors, &mut found)
}

/// Reference outputs and the expressions of ours that they are.
fn probes(
    (model, likelihood): (&str, &str),
    tensors: &BTreeMap<String, Tensor>,
) -> Vec<(&'static str, String)> {
    // Of a normal likelihood the reference reports the standard deviation under this name.
    let scale = if likelihood == "normal" { "r" } else { "d.rho" };
    let mut all = vec![("z", "z"), ("px_scale", scale), ("px_rate", "mu")];
    let normal = !tensors["out.z"]
        .values
        .chunks(tensors["out.z"].shape[1])
        .all(|r| (r.iter().sum::<f64>() - 1.0).abs() < 1e-5);
    // Of a logistic normal, the base's moments have no expression of their own: z at zero noise is the softmax of qz_m,
    // and the divergence of each cell pins qz_v.
    if normal {
        all.extend([("qz_m", "mean(z)"), ("qz_v", "var(z)")]);
    }
    if tensors.contains_key("out.ql_m") {
        all.push(("ql_m", "log(library)"));
    }
    all.push(match model {
        "scvi_latent_library" => ("library", "log(library)"),
        _ => ("library", "log(sum(x over gene))"),
    });
    if tensors.contains_key("out.px_r") {
        all.push(("px_r", "r"));
    }
    if tensors.contains_key("out.px_dropout") {
        all.push(("px_dropout", "d.dropout"));
    }
    all.into_iter().map(|(a, b)| (a, b.to_owned())).collect()
}

/// Our results, in double precision.
struct Run {
    outputs: BTreeMap<String, Vec<f64>>,
    gradients: BTreeMap<String, Tensor>,
}

impl Run {
    fn new<E: Element>(
        backend: &dyn Backend<E>,
        tensors: &BTreeMap<String, Tensor>,
        data: &Data,
        lowered: &Lowered,
        probing: &Lowered,
    ) -> Self {
        let map = NameMap::scvi();
        let converter = Converter::new(&map, &lowered.variables, &data.bound);
        let imported =
            converter.import::<E>(&under(tensors, "param.")).expect("every variable has its counterpart");
        let mut variables = imported.variables;
        let mut outputs = BTreeMap::new();
        let mut gradients = BTreeMap::new();
        for (l, training) in [(lowered, true), (probing, false)] {
            let (graph, noise) = feed_noise(&l.graph);
            let trained = graph
                .variables()
                .iter()
                .enumerate()
                .filter(|(i, _)| l.variables[*i].kind == dsl::VariableKind::Trained);
            let trained = trained.filter_map(|(_, v)| graph.find_variable(&v.name)).collect();
            let loss = graph.find_output("loss").unwrap_or_else(|| NodeId::clone(&graph.outputs()[0].1));
            let training =
                training.then_some(Training { loss, trained, optimiser: None, expose_gradients: true });
            let names: Vec<String> = graph.outputs().iter().map(|o| o.0.clone()).collect();
            let program = Program { graph: graph.verify().expect("a valid graph"), training };
            let mut executable = backend.prepare(&program).expect("the back end takes the graph");
            let fed = data.feeds(l, 0..data.n_cells, LATE, &imported.stats);
            let held = to_elements::<E>(fed, noise.iter().map(Noise::zeros).collect());
            let feeds: Vec<Feed<'_, E>> = held.iter().map(Held::feed).collect();
            executable.run(&mut variables, &feeds, StepKey::default()).expect("the case runs");
            let read = |name: &str| {
                executable.output(name).map(|v| v.iter().map(|x| x.to_f64()).collect::<Vec<f64>>())
            };
            for name in names {
                outputs.insert(name.clone(), read(&name).expect("a declared output"));
            }
            if program.training.is_some() {
                for (name, theirs) in under(tensors, "grad.") {
                    let ours = converter.export(&name, &theirs.shape, &|v| read(&format!("grad.{v}")));
                    if let Some(t) = ours.expect("the name is known") {
                        gradients.insert(name, t);
                    }
                }
            }
        }
        Self { outputs, gradients }
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

fn compare(case: &Case, model: &str, tensors: &BTreeMap<String, Tensor>, run: &mut Run) -> Outcome {
    let likelihood = case.entry["init"]["gene_likelihood"].as_str().unwrap_or("zinb");
    let mut wrong = vec![];
    let mut outputs: Vec<(&str, String, f64)> = vec![
        ("loss", "loss".into(), 1.0),
        ("rec.reconstruction_loss", "row:lik(x)".into(), -1.0),
        ("kl.kl_divergence_z", "row:kl(z)".into(), 1.0),
    ];
    if model == "scvi_latent_library" {
        outputs.push(("kl.kl_divergence_l", "row:kl(library)".into(), 1.0));
    }
    outputs.extend(probes((model, likelihood), tensors).into_iter().map(|(a, b)| (a, b, 1.0)));
    for (theirs, ours, sign) in outputs {
        let expected = &tensors[&format!("out.{theirs}")].values;
        let mut got: Vec<f64> = run
            .outputs
            .get(&ours)
            .unwrap_or_else(|| panic!("no output {ours}"))
            .iter()
            .map(|v| v * sign)
            .collect();
        if got.len() != expected.len()
            && expected.len().is_multiple_of(got.len().max(1))
            && matches!(theirs, "px_r" | "px_scale")
        {
            // The reference repeats a gene's dispersion for every cell.
            got = got.iter().copied().cycle().take(expected.len()).collect();
        }
        let (e, allowed) = (error(&got, expected), case.tolerance(theirs));
        if e > allowed || e.is_nan() {
            wrong.push(format!("{theirs}: error {e:.2e}, allowed {allowed:.1e}"));
        }
    }
    let no_grad = case.no_grad();
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
    if let Some(name) = no_grad.iter().find(|n| run.gradients.contains_key(*n)) {
        wrong.push(format!("the loss should not reach {name}"));
    }
    if wrong.is_empty() { Outcome::Agrees } else { Outcome::Differs(wrong) }
}
