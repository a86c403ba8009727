//! `svic check`: does a model compile, and do data fit it?

use super::{ERROR, OK, Outcome, SetArgs, compile_model, out, warn};
use crate::anndata::AnnData;
use crate::bind::Binds;
use crate::gradcheck::{check_gradients, small_simulation};
use crate::model::Model;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `svic check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The model: a file, else a model of the library.
    model: String,
    /// A data file to bind it to.
    data: Option<PathBuf>,
    /// Where fields of the model are found.
    #[arg(long, value_name = "FIELD=PATH", num_args = 1..)]
    bind: Vec<String>,
    /// Print the table of axes: of every axis its source, of every value its plates, axes and support.
    #[arg(long)]
    shapes: bool,
    /// Compare the gradient of every table of parameters with central differences, in double precision, on a few cells
    /// drawn from the program.
    #[arg(long)]
    grad: bool,
    /// Sizes of data axes for --grad.
    #[arg(long, value_name = "AXIS=N", num_args = 1..)]
    size: Vec<String>,
    /// Seed of the parameters and draws for --grad.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    sets: SetArgs,
}

/// Runs `svic check`.
pub fn run(args: &CheckArgs) -> Outcome {
    let (_, model) = compile_model(&args.model, &args.sets, false)?;
    warn(model.sources(), model.warnings(), false);
    let binds = Binds::parse(&args.bind)?;
    if let Some(data) = &args.data {
        let adata = AnnData::open(data)?;
        let bound = model.clone().bind(&adata, &binds)?;
        warn(bound.model().sources(), &bound.data().warnings, false);
        for (field, path) in &bound.data().bindings {
            out(&format!("{field} = {path}"));
        }
    }
    if args.shapes {
        out(&model.compiled().shapes());
        return Ok(OK);
    }
    if args.grad {
        return gradients(args, &model);
    }
    out("no errors");
    Ok(OK)
}

fn gradients(args: &CheckArgs, model: &Model) -> Outcome {
    let options = small_simulation(args.seed, super::sim::sizes(&args.size)?);
    let rows = check_gradients(model, &options)?;
    let width = rows.iter().map(|r| r.name.len()).max().unwrap_or(0).max(9);
    out(&format!(
        "{:<width$}  {:<12}  {:>8}  {:>12}  {:>12}",
        "parameter", "shape", "compared", "largest", "difference"
    ));
    for r in &rows {
        let shape = format!("{:?}", r.shape);
        let (name, n) = (&r.name, r.compared);
        if n == 0 && !r.shape.contains(&0) {
            let why = "of a law drawn by rejection: not compared";
            out(&format!("{name:<width$}  {shape:<12}  {n:>8}  {:>12.3e}  {why}", r.largest));
            continue;
        }
        let verdict = if r.agrees() { "" } else { "  DIFFERS" };
        out(&format!(
            "{name:<width$}  {shape:<12}  {n:>8}  {:>12.3e}  {:>12.1e}{verdict}",
            r.largest, r.worst
        ));
    }
    let wrong = rows.iter().filter(|r| !r.agrees()).count();
    out(&match wrong {
        0 => "all gradients agree with central differences".to_owned(),
        n => format!("{n} of {} tables differ: a mistake of the compiler, please report it", rows.len()),
    });
    Ok(if wrong == 0 { OK } else { ERROR })
}
