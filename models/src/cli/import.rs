//! `svic import`: a model that another program trained becomes a `.svim`.

use super::{OK, Outcome, SetArgs, compile_model, out};
use crate::anndata::AnnData;
use crate::bind::Binds;
use crate::error::{Error, request};
use crate::import::{imported_model, read_state};
use crate::saved;
use clap::Args;
use std::path::PathBuf;

/// Arguments of `svic import`.
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// The program it comes from: `scvi-tools`.
    program: String,
    /// The saved state: a `.safetensors` file, or a `model.pt` (parsed, never executed).
    state: PathBuf,
    /// The model of ours that it is.
    #[arg(long, default_value = "scvi")]
    model: String,
    /// The data it was trained on: gives the names of genes and labels.
    #[arg(long, value_name = "DATA.h5ad")]
    data: Option<PathBuf>,
    /// Where fields of the model are found in the data.
    #[arg(long, value_name = "FIELD=PATH", num_args = 1..)]
    bind: Vec<String>,
    /// Without data: sizes of categories, such as `batch=2`; the number of genes comes from the state.
    #[arg(long, value_name = "AXIS=N", num_args = 1..)]
    size: Vec<String>,
    /// Where the model goes.
    #[arg(short, long, value_name = "OUT.svim")]
    out: PathBuf,
    #[command(flatten)]
    sets: SetArgs,
}

/// Runs `svic import`.
pub fn run(args: &ImportArgs) -> Outcome {
    if args.program != "scvi-tools" {
        let text = format!("models of `{}` cannot be imported", args.program);
        return Err(Error::plain(request(text).help("svic import scvi-tools STATE -o OUT.svim")));
    }
    let state = read_state(&args.state)?;
    let (_, model) = compile_model(&args.model, &args.sets, true)?;
    let data = match &args.data {
        Some(path) => {
            let adata = AnnData::open(path)?;
            Some(model.clone().bind(&adata, &Binds::parse(&args.bind)?)?.into_parts().1)
        }
        None => None,
    };
    let sizes = super::sim::sizes(&args.size)?;
    let (trained, unused) = imported_model(model, &state, data, &sizes, &args.state)?;
    saved::save(&trained, &args.out)?;
    if !unused.is_empty() {
        out(&format!("not used by this model: {}", unused.join(", ")));
    }
    out(&format!("imported model: {}", args.out.display()));
    Ok(OK)
}
