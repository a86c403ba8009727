//! `svic list`: the models of the library.

use super::{OK, Outcome, out};
use crate::catalogue::{self, Head};

/// Runs `svic list`.
pub fn run() -> Outcome {
    let all = catalogue::summaries();
    let modality =
        |head: &Head| head.paragraphs.get("Modality").map_or("", |m| m.trim_end_matches('.')).to_owned();
    let width = all.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let wide = all.iter().map(|(_, head)| modality(head).len()).max().unwrap_or(0);
    for (name, head) in &all {
        out(&format!("{name:width$}  {:wide$}  {}", modality(head), catalogue::sentence(head)));
    }
    Ok(OK)
}
