//! `svic show`: the page of a model, its text, or what a trained model holds.

use super::{OK, Outcome, out};
use crate::catalogue;
use crate::init::options_in_force;
use crate::library;
use crate::saved;
use crate::trained::Trained;
use clap::Args;
use std::fmt::Write as _;

/// Arguments of `svic show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    /// A model, or a `.svim` file.
    what: String,
    /// The program itself.
    #[arg(long)]
    source: bool,
}

/// Runs `svic show`.
pub fn run(args: &ShowArgs) -> Outcome {
    if args.what.ends_with(".svim") {
        out(&describe(&saved::load(&args.what)?));
    } else {
        let found = library::open(&args.what)?;
        out(&if args.source { found.text } else { catalogue::page(&found, None)? });
    }
    Ok(OK)
}

fn describe(trained: &Trained) -> String {
    let state = &trained.state;
    let mut text = format!(
        "model     {}\ndata      {} ({} cells)\nseed      {}\nepochs    {} of {}, {} steps\n",
        trained.model.texts().name,
        trained.data_file,
        trained.n_cells,
        trained.seed,
        state.epoch,
        trained.epochs,
        state.step
    );
    let mut line = |lead: &str, rest: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{lead:<9} {rest}");
    };
    for (name, value) in options_in_force(trained.model.compiled()) {
        line("option", format!("{name} = {value}"));
    }
    for (field, path) in &trained.bindings {
        line("field", format!("{field} = {path}"));
    }
    for (axis, n) in &trained.bound.sizes {
        line("axis", format!("{axis}: {n}"));
    }
    if let Some(last) = state.history.last() {
        line("last", format!("negative ELBO per cell, training: {:.4}", last.train.elbo));
        for (name, value) in &last.train.terms {
            line("", format!("{name} = {value:.4}"));
        }
    }
    for (name, values) in state.variables.iter().filter(|(name, _)| !name.contains(':')) {
        let axes = trained.dims.get(name).cloned().unwrap_or_default();
        line("parameter", format!("{name}[{}] {}", axes.join(", "), values.len()));
    }
    text
}
