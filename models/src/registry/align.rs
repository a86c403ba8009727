//! Bringing the labels of a file into the order of a trained model.

use std::collections::{BTreeMap, BTreeSet};

use super::problem::{Problem, Severity};
use super::{Alignment, Vocabulary};
use crate::anndata::Categories;

use super::slot::Codes;

/// How many labels a message shows.
const SHOWN: usize = 10;

/// Names in quotes, cut after ten.
pub(super) fn listed(names: &[String]) -> String {
    let mut text = names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// Finds each label of `wanted` in `found`; `what` names them in messages.
///
/// A wanted label that the file has twice is an error, as is a file that has none of them.
pub(super) fn align(
    wanted: &[String],
    found: &[String],
    what: &str,
    slot: &str,
    problems: &mut Vec<Problem>,
) -> Alignment {
    if wanted == found {
        return Alignment { sources: (0..found.len()).map(Some).collect(), ..Alignment::default() };
    }
    let mut position: BTreeMap<&str, usize> = BTreeMap::new();
    let mut repeated: Vec<String> = Vec::new();
    for (at, label) in found.iter().enumerate() {
        if position.insert(label, at).is_some() {
            repeated.push(label.clone());
        }
    }
    let sources: Vec<Option<usize>> =
        wanted.iter().map(|label| position.get(label.as_str()).copied()).collect();
    let missing: Vec<String> =
        wanted.iter().zip(&sources).filter(|(_, s)| s.is_none()).map(|(label, _)| label.clone()).collect();
    let n_kept = wanted.len() - missing.len();
    let asked: BTreeSet<&String> = wanted.iter().collect();
    repeated.retain(|label| asked.contains(label));
    repeated.dedup();
    let n_extra = position.len() - n_kept;
    let mut push =
        |severity, code, message: String| problems.push(Problem::new(severity, code, slot, "", message));
    if !repeated.is_empty() {
        push(
            Severity::Error,
            "E0706",
            format!("the file has these {what} more than once: {}", listed(&repeated)),
        );
    }
    if n_kept == 0 && !wanted.is_empty() {
        let message = format!(
            "the file has none of the {} {what} that the model was trained with, such as {}; it has {}",
            wanted.len(),
            listed(&wanted[..wanted.len().min(3)]),
            listed(&found[..found.len().min(3)])
        );
        push(Severity::Error, "E0706", message);
    } else if !missing.is_empty() {
        let message = format!(
            "{} of {} {what} of the model are not in the file and are filled with zeros: {}",
            missing.len(),
            wanted.len(),
            listed(&missing)
        );
        push(Severity::Warning, "W0706", message);
    }
    if n_extra > 0 && n_kept > 0 {
        push(
            Severity::Note,
            "",
            format!("{n_extra} {what} of the file are unknown to the model and are dropped"),
        );
    }
    Alignment { sources, missing, n_extra }
}

/// Codes of `found` in the labels that the model knows under `key`; unknown labels are an error.
pub(super) fn recode(
    found: &Categories,
    key: &str,
    field: &str,
    vocabulary: &Vocabulary,
    slot: &str,
    problems: &mut Vec<Problem>,
) -> Codes {
    let known = vocabulary.categories.get(key).cloned().unwrap_or_default();
    let position: BTreeMap<&str, i32> =
        known.iter().enumerate().map(|(at, l)| (l.as_str(), at as i32)).collect();
    let new: Vec<Option<i32>> =
        found.labels.iter().map(|label| position.get(label.as_str()).copied()).collect();
    let unseen: Vec<String> = (0..found.labels.len())
        .filter(|&at| new[at].is_none())
        .map(|at| format!("{} ({} cells)", found.labels[at], found.sizes[at]))
        .collect();
    if !unseen.is_empty() {
        let message =
            format!("the model was not trained with {}; it knows {}", listed(&unseen), listed(&known));
        problems.push(
            Problem::new(Severity::Error, "E0707", slot, field, message)
                .with_help("rename or remove these cells, hold the field at a label it knows (--given FIELD=LABEL), or train again"),
        );
    }
    let mut sizes = vec![0; known.len()];
    let codes = found.codes.iter().map(|&c| usize::try_from(c).ok().and_then(|c| new[c]).unwrap_or(-1));
    let codes: Vec<i32> = codes.collect();
    codes.iter().filter(|c| **c >= 0).for_each(|&c| sizes[c as usize] += 1);
    Codes { codes, labels: known, sizes }
}
