//! `svic list`: the models of the library.

use super::{OK, Outcome, out};
use crate::library::STDLIB;

/// Runs `svic list`.
pub fn run() -> Outcome {
    let width = STDLIB.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, text) in STDLIB {
        let title = text.lines().next().and_then(|l| l.strip_prefix('#')).unwrap_or("").trim();
        out(&format!("{:width$}  {title}", name.trim_end_matches(".svi")));
    }
    Ok(OK)
}
