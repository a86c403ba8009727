//! `svic info`: what a data file holds.

use super::{OK, Outcome, out};
use crate::anndata::AnnData;
use crate::prepare::{PartSurvey, survey};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `svic info`.
#[derive(Args, Debug)]
pub struct InfoArgs {
    /// The data file, of any format that is read.
    data: PathBuf,
}

/// Runs `svic info`.
pub fn run(args: &InfoArgs) -> Outcome {
    let data = AnnData::open(&args.data)?;
    for part in survey(&data)? {
        print(&part);
    }
    Ok(OK)
}

fn print(part: &PartSurvey) {
    let (n, m) = part.shape;
    match part.name.as_str() {
        "" => out(&format!("{n} cells x {m} genes")),
        name => out(&format!("\nmod.{name}: {n} cells x {m} genes")),
    }
    for s in &part.matrices {
        let stored = if s.sparse { "sparse" } else { "dense" };
        let all = s.shape.0 as f64 * s.shape.1 as f64;
        let share = if all > 0.0 { s.n_nonzero as f64 / all } else { 0.0 };
        let kind = if s.counts { "counts" } else { "not counts" };
        let range = match s.range {
            (low, high) if low <= high => format!("{low} to {high}, {kind}"),
            _ => "no values".to_owned(),
        };
        out(&format!(
            "  {:<22} {} x {}, {stored}, {:.1} % non-zero, {range}",
            s.path.to_string(),
            s.shape.0,
            s.shape.1,
            100.0 * share
        ));
    }
    for c in &part.columns {
        let labels = match c.n_labels {
            0 => String::new(),
            n => {
                let more = if n > c.labels.len() { ", …" } else { "" };
                format!(": {n} different ({}{more})", c.labels.join(", "))
            }
        };
        let missing = if c.n_missing > 0 { format!(", {} missing", c.n_missing) } else { String::new() };
        out(&format!("  {:<22} {}{labels}{missing}", format!("obs.{}", c.name), c.kind));
    }
    if !part.others.is_empty() {
        out(&format!("  also: {}", part.others.join(", ")));
    }
    for (role, found) in &part.candidates {
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        out(&format!("  candidates for {}: {}", role.describe(), found.join(", ")));
    }
    for problem in &part.problems {
        out(&format!("  note: {problem}"));
    }
}
