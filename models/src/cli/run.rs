//! `svic run`: train, write the outputs and the trained model.

use super::progress::Terminal;
use super::{
    EngineArgs, INTERRUPTED, MemoryArgs, OK, Outcome, SetArgs, compile_model, open_data, out, say, warn,
};
use crate::anndata::AnnData;
use crate::bind::{self, Binds, key_value};
use crate::changes;
use crate::error::{Error, request};
use crate::model::Model;
use crate::output::{self, Given, OutputPlan};
use crate::saved;
use crate::train::{Checkpoint, Ending, Fit, FitOptions};
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Arguments of `svic run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The model (a file, else a model of the library) and the data; with --resume both may be left out. NAME=FILE is a
    /// modality, read as mod.NAME; several files without names are one under the other, matched by gene.
    #[arg(value_name = "MODEL DATA", num_args = 0..)]
    inputs: Vec<String>,
    /// Trained models that the model loads: `ref=reference.svim`.
    #[arg(long = "load", value_name = "NAME=RUN.svim", num_args = 1..)]
    loads: Vec<String>,
    /// Where fields of the model are found: `x=layers.counts batch=obs.donor covs=obs.site,obs.pct_mito`.
    #[arg(long, value_name = "FIELD=PATH", num_args = 1..)]
    bind: Vec<String>,
    #[command(flatten)]
    sets: SetArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    outputs: OutputArgs,
    /// Seed of the split, the order, the initial values and every draw.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Passes over the training cells; by default the model's, else by the number of cells (at most 400).
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Write a line of JSON for every epoch: epoch, seconds, cells_per_s, and every term, training and validation.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Continue a saved run; it ends as an unbroken one would.
    #[arg(long, value_name = "RUN.svim")]
    resume: Option<PathBuf>,
    /// Save the trained model every N epochs while the run goes on.
    #[arg(long, value_name = "N")]
    checkpoint_every: Option<u64>,
}

/// What is asked of the trained model and where it goes.
#[derive(Args, Debug)]
pub struct OutputArgs {
    /// Outputs beyond the declared ones that go to no layer: `expression`, or an expression such as `mean(z)`.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    output: Vec<String>,
    /// Hold a field or a site at a value while outputs are computed: `batch=donor3`.
    #[arg(long, value_name = "NAME=VALUE", num_args = 1..)]
    given: Vec<String>,
    /// Draws that outputs with a draw in them are averaged over.
    #[arg(long, value_name = "N", default_value_t = 1)]
    samples: usize,
    /// Where the input plus the outputs goes; the trained model goes beside it as `.svim`.
    #[arg(short, long, value_name = "OUT.h5ad")]
    out: Option<PathBuf>,
    /// Write into the data file itself.
    #[arg(long, conflicts_with = "out")]
    in_place: bool,
    /// Print errors and warnings only.
    #[arg(short, long)]
    quiet: bool,
}

impl OutputArgs {
    /// Whether to be quiet.
    pub fn quiet(&self) -> bool {
        self.quiet
    }

    /// Number of draws.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Interventions.
    pub fn given(&self) -> Result<Given, Error> {
        self.given.iter().map(|item| key_value(item, "--given", "batch=donor3")).collect()
    }

    /// The outputs asked for.
    pub fn plan(&self, model: &Model) -> Result<Vec<OutputPlan>, Error> {
        output::plan_outputs(model.compiled(), &self.output)
    }

    /// The output file: as asked, or `<data>.<model>.h5ad` in the working directory. Refuses the input.
    pub fn target(&self, data: &Path, model: &str) -> Result<PathBuf, Error> {
        let stem = |p: &Path| p.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let target = match &self.out {
            Some(out) => out.clone(),
            None if self.in_place => data.to_path_buf(),
            None => PathBuf::from(format!("{}.{}.h5ad", stem(data), stem(Path::new(model)))),
        };
        output::refuse_input(data, &target, self.in_place)?;
        saved::check_writable(&target)?;
        Ok(target)
    }

    /// Whether the input may be changed.
    pub fn in_place(&self) -> bool {
        self.in_place
    }
}

/// Runs `svic run`.
pub fn run(args: &RunArgs) -> Outcome {
    let quiet = args.outputs.quiet();
    let options = options(args)?;
    let fit = match &args.resume {
        Some(saved) => resumed(args, saved, &options)?,
        None => fresh(args, &options)?,
    };
    let data = fit.data().file.clone();
    let target = args.outputs.target(&data, &fit.trained().model.texts().name)?;
    let svim = target.with_extension("svim");
    saved::check_writable(&svim)?;
    let plans = args.outputs.plan(&fit.trained().model)?;
    let given = args.outputs.given()?;
    warn(fit.trained().model.sources(), &fit.data().warnings, quiet);
    let checkpoint = args.checkpoint_every.map(|every| Checkpoint { path: svim.clone(), every });
    let options = FitOptions { checkpoint, ..options };
    args.engine.say_chosen(fit.engine(), quiet);
    catch_interrupts(&options.stop);
    let mut terminal = Terminal::new(quiet, args.history.as_deref(), args.resume.is_some())?;
    let fit = fit.run_with(&options, &mut terminal)?;
    if let Some(failure) = terminal.failure.take() {
        return Err(failure);
    }
    let interrupted = fit.ending() == Ending::Interrupted;
    if interrupted && fit.trained().state.epoch == 0 {
        say("interrupted in the first epoch: there is nothing to keep");
        return Ok(INTERRUPTED);
    }
    fit.save(&svim)?;
    let evaluation = fit.evaluation();
    let written = output::write_back(
        &evaluation,
        &plans,
        &given,
        args.outputs.samples(),
        &target,
        args.outputs.in_place(),
    );
    if !quiet {
        if let Ok(score) = &written {
            out(&format!("negative ELBO per cell, all cells: {:.4}", score.elbo));
            for file in output::files(evaluation.data, &target) {
                out(&format!("outputs: {}", file.display()));
            }
        }
        out(&format!("trained model: {}", svim.display()));
    }
    written?;
    Ok(if interrupted { INTERRUPTED } else { OK })
}

fn options(args: &RunArgs) -> Result<FitOptions, Error> {
    Ok(FitOptions {
        seed: args.seed,
        epochs: args.epochs,
        backend: args.engine.kind()?,
        threads: args.engine.threads,
        validate: args.history.is_some(),
        stop: Arc::new(AtomicBool::new(false)),
        checkpoint: None,
    })
}

fn fresh(args: &RunArgs, options: &FitOptions) -> Result<Fit, Error> {
    let Some((model, files)) = args.inputs.split_first().filter(|(_, files)| !files.is_empty()) else {
        return Err(Error::plain(
            request("a model and a data file are needed").help("svic run scvi.svi data.h5ad"),
        ));
    };
    let quiet = args.outputs.quiet();
    let (_, model) = compile_model(model, &args.sets, quiet)?;
    warn(model.sources(), model.warnings(), true);
    let binds = Binds::parse(&args.bind)?.with_loads(&args.loads)?.with_memory(args.memory.for_counts());
    let adata = open_data(files, model.compiled(), &binds, quiet)?;
    let (model, data) = model.bind(&adata, &binds)?.into_parts();
    if !quiet {
        say_bindings(&data);
    }
    Fit::new(model, data, options)
}

fn say_bindings(data: &bind::BoundData) {
    let bound: Vec<String> = data.bindings.iter().map(|(field, path)| format!("{field} = {path}")).collect();
    say(&format!("data: {} ({} cells; {})", data.file.display(), data.data.n_rows, bound.join(", ")));
    if let Some(blocks) = data.data.blocks {
        let (n, together) = (blocks.n_rows, blocks.n_together);
        say(&format!(
            "counts stay on the disk: blocks of {n} cells, minibatches from {together} of them at a time"
        ));
    }
}

/// Takes up a saved run: its own program and data unless others are named.
fn resumed(args: &RunArgs, saved: &Path, options: &FitOptions) -> Result<Fit, Error> {
    let quiet = args.outputs.quiet();
    let trained = saved::load(saved)?;
    let (model, data) = match args.inputs.as_slice() {
        [model, data] => (Some(model), data.clone()),
        [one] if one.ends_with(".svi") => (Some(one), trained.data_file.clone()),
        [one] => (None, one.clone()),
        _ => (None, trained.data_file.clone()),
    };
    if let Some(path) = model {
        let sets = SetArgs { sets: args.sets.sets.clone() };
        let (_, given) = compile_model(path, &sets, quiet)?;
        changes::same_program(&trained, &given, saved)?;
    } else if !args.sets.sets.is_empty() {
        let text = "`--set` cannot change a run that is resumed";
        return Err(Error::plain(request(text).help("begin a new run to train under other settings")));
    }
    let binds = if args.bind.is_empty() { trained.binds() } else { Binds::parse(&args.bind)? };
    let binds = binds.with_memory(args.memory.for_counts());
    let adata = AnnData::open(Path::new(&data))?;
    let known = trained.known(&[]);
    let bound = bind::bind(trained.model.compiled(), &adata, &binds, Some(known))
        .map_err(|d| Error::new(trained.model.sources(), d))?;
    if !quiet {
        say(&format!("resuming {} after epoch {}", saved.display(), trained.state.epoch));
        say_bindings(&bound);
    }
    Fit::resume(trained, bound, options)
}

/// Ctrl-C asks the run to stop after its step; a second one ends the process.
fn catch_interrupts(stop: &Arc<AtomicBool>) {
    let stop = Arc::clone(stop);
    // Set already when one process runs several commands (tests): then the first handler stays.
    let _ = ctrlc::set_handler(move || {
        if stop.swap(true, Ordering::Relaxed) {
            #[allow(clippy::exit, reason = "the user insists")]
            std::process::exit(INTERRUPTED);
        }
    });
}
