//! `svic sim`: data from a model's own generative story.

use super::{EngineArgs, OK, Outcome, SetArgs, compile_model, out};
use crate::bind::{Binds, key_value};
use crate::engine::Engine;
use crate::error::{Error, request};
use crate::saved;
use crate::sim::{SimOptions, simulate};
use clap::Args;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Arguments of `svic sim`.
#[derive(Args, Debug)]
pub struct SimArgs {
    /// The model: a file, else a model of the library.
    model: String,
    /// Where the data go: an `.h5ad`, or an `.h5mu` for a program that reads several modalities.
    #[arg(short, long, value_name = "OUT")]
    out: PathBuf,
    /// Number of cells.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    cells: usize,
    /// Number of genes.
    #[arg(long, value_name = "N", default_value_t = 500)]
    genes: usize,
    /// Labels of every optional category, of equal size.
    #[arg(long, value_name = "N", default_value_t = 1)]
    batches: usize,
    /// Mean and standard deviation of the log library size, where the likelihood reads the total count itself.
    #[arg(long, value_name = "MEAN,SD", default_value = "8,0.5")]
    library: String,
    /// Sizes of other data axes, and numbers of labels of categories.
    #[arg(long, value_name = "AXIS=N", num_args = 1..)]
    size: Vec<String>,
    /// Chance that a value is missing, in fields that may miss some.
    #[arg(long, value_name = "CHANCE", default_value_t = 0.2, value_parser = chance)]
    missing: f64,
    /// Trained models that the model loads: `ref=reference.svim`.
    #[arg(long = "load", value_name = "NAME=RUN.svim", num_args = 1..)]
    loads: Vec<String>,
    /// Seed of the parameters and of every draw.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Print errors and warnings only.
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    sets: SetArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Runs `svic sim`.
pub fn run(args: &SimArgs) -> Outcome {
    let (_, model) = compile_model(&args.model, &args.sets, args.quiet)?;
    let options = SimOptions {
        cells: args.cells,
        genes: args.genes,
        batches: args.batches,
        library: library(&args.library)?,
        missing: args.missing,
        everything: false,
        seed: args.seed,
        sizes: sizes(&args.size)?,
        binds: Binds::new().with_loads(&args.loads)?,
    };
    saved::check_writable(&args.out)?;
    let engine = Engine::new(args.engine.kind()?, args.engine.threads)?;
    args.engine.say_chosen(&engine, args.quiet);
    let files = simulate(&model, &options, &engine, &args.out)?;
    if !args.quiet {
        let files: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
        out(&format!("{} cells, {} genes: {}", args.cells, args.genes, files.join(", ")));
    }
    Ok(OK)
}

fn chance(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|p: &f64| (0.0..1.0).contains(p));
    number.ok_or_else(|| "a number from 0 up to, but not, 1 is needed".to_owned())
}

fn library(text: &str) -> Result<(f64, f64), Error> {
    let parsed =
        text.split_once(',').and_then(|(m, s)| Some((m.trim().parse().ok()?, s.trim().parse().ok()?)));
    parsed.filter(|(m, s): &(f64, f64)| m.is_finite() && *s >= 0.0 && s.is_finite()).ok_or_else(|| {
        Error::plain(
            request(format!("`--library {text}`: two numbers are expected"))
                .help("for example: --library 8,0.5"),
        )
    })
}

/// Reads `AXIS=N` items.
pub fn sizes(items: &[String]) -> Result<BTreeMap<String, usize>, Error> {
    items
        .iter()
        .map(|item| {
            let (axis, n) = key_value(item, "--size", "protein=50")?;
            let size = n.parse().ok().filter(|n: &usize| *n > 0);
            let size = size.ok_or_else(|| {
                Error::plain(request(format!("`--size {item}`: a positive number is needed")))
            })?;
            Ok((axis, size))
        })
        .collect()
}
