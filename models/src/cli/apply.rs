//! `svic apply`: a trained model on new cells.

use super::run::OutputArgs;
use super::{EngineArgs, MemoryArgs, OK, Outcome, out, warn};
use crate::anndata::AnnData;
use crate::bind::{self, Binds};
use crate::engine::Engine;
use crate::error::Error;
use crate::output::{self, Evaluation};
use crate::saved;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `svic apply`.
#[derive(Args, Debug)]
pub struct ApplyArgs {
    /// The trained model.
    #[arg(value_name = "RUN.svim")]
    saved: PathBuf,
    /// The data file; genes are matched by name, labels by the vocabularies of training.
    #[arg(value_name = "DATA.h5ad")]
    data: PathBuf,
    /// Where fields of the model are found; by default where training found them.
    #[arg(long, value_name = "FIELD=PATH", num_args = 1..)]
    bind: Vec<String>,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    outputs: OutputArgs,
}

/// Runs `svic apply`.
pub fn run(args: &ApplyArgs) -> Outcome {
    let trained = saved::load(&args.saved)?;
    let engine = Engine::new(args.engine.kind()?, args.engine.threads)?;
    args.engine.say_chosen(&engine, args.outputs.quiet());
    let adata = AnnData::open(&args.data)?;
    let target = args.outputs.target(&args.data, &trained.model.texts().name)?;
    let plans = args.outputs.plan(&trained.model)?;
    let given = args.outputs.given()?;
    let held: Vec<String> = given.iter().map(|(name, _)| name.clone()).collect();
    let mut binds = trained.binds().with_memory(args.memory.for_counts());
    for (field, paths) in Binds::parse(&args.bind)?.iter() {
        binds = binds.with(field, &paths.join(","));
    }
    // A field that is held need not be in the new data, wherever training found it.
    for name in held.iter().filter(|name| !args.bind.iter().any(|b| b.starts_with(&format!("{name}=")))) {
        binds = binds.without(name);
    }
    let known = trained.known(&held);
    let data = bind::bind(trained.model.compiled(), &adata, &binds, Some(known))
        .map_err(|d| Error::new(trained.model.sources(), d))?;
    trained.same_rows(&data)?;
    warn(trained.model.sources(), &data.warnings, args.outputs.quiet());
    let evaluation = Evaluation { trained: &trained, data: &data, engine: &engine };
    let score = output::write_back(
        &evaluation,
        &plans,
        &given,
        args.outputs.samples(),
        &target,
        args.outputs.in_place(),
    )?;
    if !args.outputs.quiet() {
        out(&format!("negative ELBO per cell, all cells: {:.4}", score.elbo));
        for file in output::files(&data, &target) {
            out(&format!("outputs: {}", file.display()));
        }
    }
    Ok(OK)
}
