//! Training cases: six optimiser steps with batch statistics and stored noise.

use super::case::{Case, Outcome, error, under};
use super::evaluate::{Held, to_elements};
use super::families;
use super::inputs::Data;
use crate::noise::feed_noise;
use autodiff_runtime::backend::Backend;
use autodiff_runtime::backend::cpu::CpuBackend;
use autodiff_runtime::optim::{Adam, Optimiser};
use autodiff_runtime::{Feed, Program, StepKey, Training};
use dsl::{Mode, Purpose, Request};
use svi::import::{Converter, NameMap};

/// Follows one case step by step; losses before each update, the state after the first and the last.
pub fn check(case: &Case) -> Outcome {
    let family = match families::find(case) {
        Ok(f) => f,
        Err(why) => return Outcome::Skipped(why),
    };
    let configuration = (family.configure)(case);
    let settings = &case.entry["train"];
    let number = |key: &str| settings[key].as_f64().unwrap_or_else(|| panic!("{}: no {key}", case.name));
    let (n_steps, n_batch) = (number("steps") as usize, number("rows") as usize);
    let (compiled, files) = crate::library_model_and_files(configuration.model, &configuration.sets);
    let tensors = case.tensors();
    let data = Data::new(case, &tensors, family, &compiled);
    let request = Request { purpose: Purpose::Objective, mode: Mode::Train, n_batch };
    let lowered = crate::lowered(&compiled, &data.bound, &request);
    let map = NameMap::of(files.iter().map(String::as_str));
    let converter = Converter::new(&map, &lowered.variables, &data.bound);
    let mut variables = converter.import::<f32>(&under(&tensors, "param.")).expect("counterparts").variables;
    let (graph, noise) = feed_noise(&lowered.graph);
    let loss = graph.find_output("loss").expect("an objective has a loss");
    let is_trained =
        |name: &str| lowered.variables.iter().any(|v| v.name == name && v.kind == dsl::VariableKind::Trained);
    let names: Vec<String> =
        graph.variables().iter().map(|v| v.name.clone()).filter(|n| is_trained(n)).collect();
    let trained = names.iter().filter_map(|n| graph.find_variable(n)).collect();
    let adam = Adam { eps: number("eps"), weight_decay: number("weight_decay"), ..Adam::default() };
    let training =
        Training { loss, trained, optimiser: Some(Optimiser::Adam(adam)), expose_gradients: false };
    let program = Program { graph: graph.verify().expect("valid"), training: Some(training) };
    let backend: &dyn Backend<f32> = &CpuBackend { threads: 2, level: 1 };
    let mut executable = backend.prepare(&program).expect("the back end takes the graph");
    // The ramp is at the case's weight at this epoch.
    let epoch = family.warmup * number("kl_weight");
    let mut wrong = vec![];
    for step in 0..n_steps {
        let rows = &tensors[&format!("step{step}.rows")].values;
        let fed = data.feeds(&lowered, rows[0] as usize..rows[1] as usize, epoch, &Default::default());
        let eps = (0..noise.len()).map(|j| tensors[&format!("step{step}.eps{j}")].values.clone()).collect();
        let mut held = to_elements::<f32>(fed, eps);
        held.push(Held::Real(vec![number("lr") as f32]));
        held.push(Held::Real(vec![step as f32 + 1.0]));
        let feeds: Vec<Feed<'_, f32>> = held.iter().map(Held::feed).collect();
        executable.run(&mut variables, &feeds, StepKey { seed: 0, step: step as u64 }).expect("a step runs");
        let ours = f64::from(executable.output("loss").expect("a loss")[0]);
        let theirs = tensors[&format!("step{step}.loss")].values[0];
        if (ours - theirs).abs() / theirs.abs() > 1e-5 {
            wrong.push(format!("loss of step {step}: {ours} instead of {theirs}"));
        }
        let after = if step == 0 {
            "after1."
        } else if step + 1 == n_steps {
            "final."
        } else {
            continue;
        };
        for (name, theirs) in under(&tensors, after) {
            let own = |v: &str| variables.get(v).map(|x| x.iter().map(|y| f64::from(*y)).collect());
            let Ok(Some(ours)) = converter.export(&name, &theirs.shape, &own) else { continue };
            let e = error(&ours.values, &theirs.values);
            if e > 1e-5 {
                wrong.push(format!("{after}{name}: error {e:.2e}"));
            }
        }
    }
    if wrong.is_empty() { Outcome::Agrees } else { Outcome::Differs(wrong) }
}
