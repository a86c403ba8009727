//! `svic check`: does a model compile, and do data fit it?

use super::{OK, Outcome, SetArgs, compile_model, out, warn};
use crate::anndata::AnnData;
use crate::bind::Binds;
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
        let bound = model.bind(&adata, &binds)?;
        warn(bound.model().sources(), &bound.data().warnings, false);
        for (field, path) in &bound.data().bindings {
            out(&format!("{field} = {path}"));
        }
    }
    out("no errors");
    Ok(OK)
}
