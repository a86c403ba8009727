//! `svic compile`: a form of a program, for people and for goldens.

use super::{OK, Outcome, SetArgs, compile_model, out};
use crate::engine::{BackendKind, Engine, lower};
use crate::error::{Error, request};
use crate::library;
use crate::model::Model;
use clap::Args;
use dsl::{AxisSource, Bound, Mode, Purpose, Request, SlotKind};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Every form, in the order in which the compiler makes them.
const FORMS: &str = "tokens, ast, model, objective, graph, grad, plan";

/// Arguments of `svic compile`.
#[derive(Args, Debug)]
pub struct CompileArgs {
    /// The model: a file, else a model of the library.
    model: String,
    /// The form: tokens, ast, model, objective; graph, grad (the graph with its gradients) and plan of a training step,
    /// for sizes given by --size.
    #[arg(long, value_name = "FORM", default_value = "objective")]
    emit: String,
    /// Sizes of data axes for graph, grad and plan.
    #[arg(long, value_name = "AXIS=N", num_args = 1..)]
    size: Vec<String>,
    /// Cells of a minibatch for graph, grad and plan.
    #[arg(long, value_name = "N", default_value_t = 128)]
    batch: usize,
    /// Where the form goes; the standard output if not given.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    sets: SetArgs,
}

/// Runs `svic compile`.
pub fn run(args: &CompileArgs) -> Outcome {
    let text = match args.emit.as_str() {
        "tokens" => dsl::inspect::tokens(&library::open(&args.model)?.text),
        form => {
            let (_, model) = compile_model(&args.model, &args.sets, true)?;
            match form {
                "graph" | "grad" | "plan" => sized(args, &model)?,
                _ => model.compiled().emit(form).ok_or_else(|| {
                    let d = request(format!("there is no form `{form}`"));
                    Error::plain(d.help(format!("the forms are {FORMS}")))
                })?,
            }
        }
    };
    match &args.out {
        Some(path) => crate::saved::write_aside(path, text.as_bytes())?,
        None => out(&text),
    }
    Ok(OK)
}

fn sized(args: &CompileArgs, model: &Model) -> Result<String, Error> {
    let bound = nominal(model, &super::sim::sizes(&args.size)?);
    let request = Request { purpose: Purpose::Objective, mode: Mode::Train, n_batch: args.batch };
    if args.emit != "plan" {
        let lowered = lower(model, &bound, &request)?;
        if args.emit == "graph" {
            return Ok(lowered.graph.to_string());
        }
        let graph = lowered.with_gradients();
        return graph.map(|g| g.to_string()).map_err(|e| Error::plain(request_of(&e)));
    }
    let engine = Engine::new(BackendKind::Cpu, None)?;
    let settings = model.compiled().train().clone();
    Ok(engine.prepare(model, &bound, &request, Some(&settings))?.exe.describe())
}

fn request_of(error: &dyn std::fmt::Display) -> dsl::diagnostic::Diagnostic {
    request(format!("the objective cannot be differentiated: {error}"))
}

/// Sizes where nothing is known of the data: 10,000 cells, 2,000 of every other axis unless given.
pub(super) fn nominal(model: &Model, sizes: &BTreeMap<String, usize>) -> Bound {
    let compiled = model.compiled();
    let mut bound = Bound { n_rows: 10_000, ..Bound::default() };
    for axis in compiled.axes().iter().filter(|a| a.source == AxisSource::Data) {
        if Some(axis.name.as_str()) != compiled.plate() {
            bound.sizes.insert(axis.name.clone(), 2000);
        }
    }
    bound.sizes.extend(sizes.clone());
    for slot in compiled.slots() {
        if !slot.optional || sizes.contains_key(&slot.name) {
            bound.present.insert(slot.name.clone());
        }
        if slot.kind == SlotKind::Count && slot.axes.len() == 2 {
            bound.sparse.insert(slot.name.clone());
        }
    }
    bound
}
