//! The command line: one file per subcommand. The only place that prints.
//!
//! Results and tables go to the standard output; progress, warnings and errors to the standard error.

mod apply;
mod check;
mod compile;
mod doctor;
mod explain;
mod fmt;
mod import;
mod info;
mod list;
mod lsp;
mod new;
mod prep;
mod progress;
mod run;
mod show;
mod sim;

use crate::anndata::{AnnData, Concat, Join};
use crate::bind::{self, Binds};
use crate::engine::{BackendKind, Engine};
use crate::error::Error;
use crate::library::{self, Found};
use crate::model::Model;
use clap::{Args, Parser, Subcommand};
use dsl::diagnostic::{Diagnostic, Diagnostics, render, render_json};
use dsl::source::Sources;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Everything went well.
pub const OK: i32 = 0;
/// An error in the program, the data or the run; nothing was written.
pub const ERROR: i32 = 1;
/// The command line itself is wrong.
pub const USAGE: i32 = 2;
/// Interrupted; what was trained up to the last finished epoch is kept.
pub const INTERRUPTED: i32 = 130;

const AFTER: &str = "\
Examples:
  svic run scvi.svi data.h5ad                          train scVI, write data.scvi.h5ad and data.scvi.svim
  svic run scvi data.h5ad --bind x=layers.counts batch=obs.donor --set latent=20 -o out.h5ad
  svic run --resume run.svim data.h5ad --epochs 800    continue a run, as if it had never stopped
  svic apply run.svim new.h5ad -o new_out.h5ad         the latent of new cells
  svic explain scvi                                    what is optimised, term by term, and why
  svic sim scvi -o sim.h5ad --cells 2000 --genes 500   data drawn from the model itself

A model is a file, else a model of the library (svic list), with or without `.svi`.

Exit codes:
  0    done
  1    an error in the model, the data or the run; nothing was written
  2    an error in the command line
  130  interrupted (Ctrl-C): the result of the last finished epoch is kept and can be resumed";

/// A compiler for probabilistic models of single-cell data: a model is a page of text, trained on an `.h5ad` file.
#[derive(Parser, Debug)]
#[command(name = "svic", version, about, after_help = AFTER, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// How messages are written: for people, or one JSON object a line, alone on the standard error.
    #[arg(long, global = true, value_enum, default_value = "text", value_name = "FORM")]
    format: Format,
}

/// How messages are written.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// With excerpts of the source.
    Text,
    /// One object a line: code, severity, message, places, notes, edits.
    Json,
}

/// Whether messages are written as JSON: set once from the command line, before anything is said.
static JSON: AtomicBool = AtomicBool::new(false);

#[derive(Subcommand, Debug)]
enum Command {
    /// Train a model on a data file; write the latent, the outputs and the trained model.
    Run(run::RunArgs),
    /// Check a model, and whether a data file fits it.
    Check(check::CheckArgs),
    /// Print what a model optimises and why, or what an error code means.
    Explain(explain::ExplainArgs),
    /// Print a form of the compiled model.
    Compile(compile::CompileArgs),
    /// Begin a model: write a commented program that compiles.
    New(new::NewArgs),
    /// Put sources into canonical layout.
    Fmt(fmt::FmtArgs),
    /// Serve an editor: diagnostics, hovers, definitions, renames, completions, formatting.
    Lsp,
    /// Evaluate a trained model on a data file.
    Apply(apply::ApplyArgs),
    /// Print what a data file holds: matrices, columns, and what a model may be bound to.
    Info(info::InfoArgs),
    /// Prepare data: filter, choose genes, put files together, take moments.
    Prep(prep::PrepArgs),
    /// List the models of the library.
    List,
    /// Print the page of a model (purpose, story, data, options, outputs, example), or what a trained model holds.
    Show(show::ShowArgs),
    /// Draw data from a model's own generative story.
    Sim(sim::SimArgs),
    /// Bring in a model that another program trained.
    Import(import::ImportArgs),
    /// Say what this machine has, and what each part would be used for.
    Doctor,
}

/// What most subcommands share: the model's settings.
#[derive(Args, Debug, Clone, Default)]
struct SetArgs {
    /// Options and axis sizes of the model, such as `latent=20 likelihood=nb`.
    #[arg(long = "set", value_name = "NAME=VALUE", num_args = 1..)]
    sets: Vec<String>,
}

/// Where computing happens.
#[derive(Args, Debug, Clone)]
struct EngineArgs {
    /// What computes: `cpu`; `cuda`, an NVIDIA card; `auto`, a card if one can be used; or `dfdx` (slow, independent).
    #[arg(long, value_name = "NAME", default_value = "cpu")]
    backend: String,
    /// Number of threads; the number of processors if not given. It does not change the result.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// What memory there is.
#[derive(Args, Debug, Clone)]
struct MemoryArgs {
    /// Memory that may be taken, such as 512MiB or 4G: counts that need more than a quarter of it stay on the disk and
    /// are read in blocks of rows.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<usize>,
}

/// Bytes: a number with a unit, of 1000 or (KiB, MiB, GiB, or a letter alone) of 1024.
fn size(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().map_err(|_| format!("`{text}` is no size; for example 512MiB"))?;
    let unit = match text[end..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1u64,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        other => return Err(format!("`{other}` is no unit; there are KiB, MiB, GiB, kB, MB and GB")),
    };
    Ok((number * unit as f64) as usize)
}

impl SetArgs {
    fn parse(&self) -> Result<Vec<(String, String)>, Error> {
        self.sets.iter().map(|item| bind::key_value(item, "--set", "latent=20")).collect()
    }
}

impl MemoryArgs {
    /// The share of the memory that goes to counts: the rest is for labels, the model and what it computes.
    fn for_counts(&self) -> Option<usize> {
        self.memory.map(|bytes| bytes / 4)
    }
}

impl EngineArgs {
    fn kind(&self) -> Result<BackendKind, Error> {
        self.backend.parse()
    }

    /// Says what computes, where the user left it open.
    fn say_chosen(&self, engine: &Engine, quiet: bool) {
        if !quiet && matches!(self.kind(), Ok(BackendKind::Auto | BackendKind::Cuda)) {
            say(&format!("computing on {}", engine.chosen()));
        }
    }
}

/// How a subcommand went wrong: already said, or still to be said.
type Outcome = Result<i32, Error>;

/// Runs the command line; gives the exit code. Errors are printed here.
pub fn main_with_args<I, T>(args: I) -> i32
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { OK };
            // A closed pipe is no reason to fail again.
            let _ = error.print();
            return code;
        }
    };
    JSON.store(cli.format == Format::Json, Ordering::Relaxed);
    let outcome = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Compile(args) => compile::run(&args),
        Command::New(args) => new::run(&args),
        Command::Lsp => lsp::run(),
        Command::Fmt(args) => fmt::run(&args),
        Command::Apply(args) => apply::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Prep(args) => prep::run(&args),
        Command::List => list::run(),
        Command::Show(args) => show::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Doctor => doctor::run(),
    };
    outcome.unwrap_or_else(|error| {
        report(error.sources(), error.diagnostics().iter());
        ERROR
    })
}

/// Whether messages are coloured.
fn colour() -> bool {
    std::io::stderr().is_terminal()
}

/// A line of result, on the standard output. A closed pipe ends it silently.
fn out(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// A remark, on the standard error; none where only diagnostics are wanted.
fn say(text: &str) {
    if !JSON.load(Ordering::Relaxed) {
        let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
    }
}

/// Diagnostics, on the standard error.
fn report<'a>(sources: &Sources, diagnostics: impl IntoIterator<Item = &'a Diagnostic>) {
    let text = if JSON.load(Ordering::Relaxed) {
        render_json(sources, diagnostics)
    } else {
        render(sources, diagnostics, colour())
    };
    if !text.is_empty() {
        let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
    }
}

/// Warnings and notes, rendered.
fn warn(sources: &Sources, diagnostics: &Diagnostics, quiet: bool) {
    use dsl::diagnostic::Severity;
    let shown: Vec<&Diagnostic> = diagnostics
        .iter()
        .filter(|d| d.severity == Severity::Warning || (!quiet && d.severity == Severity::Note))
        .collect();
    report(sources, shown);
}

/// Opens the data of a run: one file, modalities by name, or several files one under the other.
fn open_data(
    files: &[String],
    compiled: &dsl::Compiled,
    binds: &Binds,
    quiet: bool,
) -> Result<AnnData, Error> {
    let named = |f: &String| {
        let (name, file) = f.split_once('=')?;
        let word = name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.is_empty();
        (word && !Path::new(f).exists()).then(|| (name.to_owned(), file.to_owned()))
    };
    let names: Vec<Option<(String, String)>> = files.iter().map(named).collect();
    if names.iter().all(Option::is_some) {
        let parts = names.into_iter().flatten();
        let open = |(name, file): (String, String)| Ok((name, AnnData::open(Path::new(&file))?));
        let parts: Vec<(String, AnnData)> = parts.map(open).collect::<Result<_, Error>>()?;
        return Ok(AnnData::from_modalities(parts)?);
    }
    if names.iter().any(Option::is_some) {
        let text = "some data files have names and some have not";
        return Err(Error::plain(
            crate::error::request(text).help("name all of them, sc=a.h5ad sp=b.h5ad, or none"),
        ));
    }
    let mut parts: Vec<AnnData> =
        files.iter().map(|f| AnnData::open(Path::new(f))).collect::<Result<_, _>>()?;
    if parts.len() == 1 {
        return Ok(parts.remove(0));
    }
    let genes = if bind::may_lack_genes(compiled, binds) { Join::All } else { Join::Common };
    let (data, left) = AnnData::concat(&parts, Concat { genes, columns: Join::Common, absent: f32::NAN })?;
    if !left.is_empty() && !quiet {
        say(&format!("left out of what the files hold: {}", left.join(", ")));
    }
    Ok(AnnData::from_memory(Path::new(&files[0]), data)?)
}

/// Finds and compiles a model; says where it comes from if it is not a plain file.
fn compile_model(path: &str, sets: &SetArgs, quiet: bool) -> Result<(Found, Model), Error> {
    let found = library::open(path)?;
    if !quiet && found.embedded {
        say(&format!("model: {} (of the library in this program)", found.name));
    } else if !quiet {
        say(&format!("model: {}", found.name));
    }
    let model = Model::from_found(&found, &sets.parse()?)?;
    Ok((found, model))
}
