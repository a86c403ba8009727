//! `svic compile`: a form of the compiled model, for people and for goldens.

use super::{OK, Outcome, SetArgs, compile_model, out};
use crate::engine::{BackendKind, Engine, lower};
use crate::error::{Error, request};
use crate::model::Model;
use clap::Args;
use dsl::{AxisSource, Bound, Mode, Purpose, Request, SlotKind};
use std::path::PathBuf;

/// Forms that the compiler prints without sizes.
const WITHOUT_SIZES: &str = "ast, model, objective";

/// Arguments of `svic compile`.
#[derive(Args, Debug)]
pub struct CompileArgs {
    /// The model: a file, else a model of the library.
    model: String,
    /// The form: ast, model, objective; graph and plan of a training step, for sizes given by --size.
    #[arg(long, value_name = "FORM", default_value = "objective")]
    emit: String,
    /// Sizes of data axes for graph and plan.
    #[arg(long, value_name = "AXIS=N", num_args = 1..)]
    size: Vec<String>,
    /// Cells of a minibatch for graph and plan.
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
    let (_, model) = compile_model(&args.model, &args.sets, true)?;
    let text = match args.emit.as_str() {
        "graph" | "plan" => sized(args, &model)?,
        form => model.compiled().emit(form).ok_or_else(|| {
            let forms = format!("{WITHOUT_SIZES}, graph, plan");
            Error::plain(request(format!("there is no form `{form}`")).help(format!("the forms are {forms}")))
        })?,
    };
    match &args.out {
        Some(path) => crate::saved::write_aside(path, text.as_bytes())?,
        None => out(&text),
    }
    Ok(OK)
}

fn sized(args: &CompileArgs, model: &Model) -> Result<String, Error> {
    let sizes = super::sim::sizes(&args.size)?;
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
    let request = Request { purpose: Purpose::Objective, mode: Mode::Train, n_batch: args.batch };
    if args.emit == "graph" {
        return Ok(lower(model, &bound, &request)?.graph.to_string());
    }
    let engine = Engine::new(BackendKind::Cpu, None)?;
    let settings = compiled.train().clone();
    Ok(engine.prepare(model, &bound, &request, Some(&settings))?.exe.describe())
}
