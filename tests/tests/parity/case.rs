//! Fixtures: a manifest and one safetensors file a case.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use svi::import::Tensor;

/// What became of a case.
pub enum Outcome {
    /// Everything within tolerance.
    Agrees,
    /// Not checked, and why.
    Skipped(String),
    /// What is out of tolerance.
    Differs(Vec<String>),
}

/// One case.
pub struct Case {
    /// Its name.
    pub name: String,
    /// Class of the reference.
    pub model: String,
    /// Its manifest entry.
    pub entry: Value,
    file: PathBuf,
}

/// A folder's manifest.
pub fn manifest(folder: &Path) -> Option<Value> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).ok()?.flatten().map(|e| e.path()).collect();
    files.sort();
    let is_manifest =
        |p: &&PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("manifest"));
    let text = std::fs::read_to_string(files.iter().find(is_manifest)?).ok()?;
    serde_json::from_str(&text).ok()
}

/// The cases of a folder.
pub fn cases(folder: &Path) -> Vec<Case> {
    let Some(manifest) = manifest(folder) else { return vec![] };
    let Some(cases) = manifest.get("cases").and_then(Value::as_object).cloned() else { return vec![] };
    let case = |(name, entry): (String, Value)| {
        let file = entry
            .get("file")
            .and_then(Value::as_str)
            .map_or_else(|| format!("{name}.safetensors"), str::to_owned);
        let model = entry.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
        Case { file: folder.join(file), name, model, entry }
    };
    cases.into_iter().map(case).collect()
}

impl Case {
    /// Whether it holds optimiser steps instead of one evaluation.
    pub fn is_training(&self) -> bool {
        self.entry.get("train").is_some_and(|t| !t.is_null())
    }

    /// All tensors.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        svi::import::read_state(&self.file).unwrap_or_else(|e| panic!("{}: {e}", self.name)).tensors
    }

    /// What the manifest allows for a tensor of `out` or for the gradients: ten times the reference's own distance from
    /// double precision, at least 1e-5.
    pub fn tolerance(&self, key: &str) -> f64 {
        let gaps = &self.entry["f32_vs_f64"];
        let gap = if key == "grad" { gaps["grad_max"].as_f64() } else { gaps["out"][key].as_f64() };
        (10.0 * gap.unwrap_or(0.0)).max(1e-5)
    }

    /// The weight of the divergences, where it is below 1.
    pub fn kl_weight(&self) -> Option<f64> {
        let entry = &self.entry;
        let weight = entry["loss_kwargs"]["kl_weight"].as_f64().or(entry["kl_weight"].as_f64());
        weight.filter(|w| *w < 1.0)
    }

    /// Whether a gradient flows through stored draws of Gamma or Dirichlet. There torch's own derivative is an
    /// approximation, off by up to 2e-3 of its size.
    pub fn has_implicit_draws(&self) -> bool {
        let kinds = self.entry["noise"].as_array().cloned().unwrap_or_default();
        let name = |n: &Value| n["name"].as_str().unwrap_or_default().to_owned();
        kinds.iter().map(name).any(|n| n.ends_with(".gamma") || n.ends_with(".dirichlet"))
    }

    /// Whether the last code of labels stands for a missing one.
    pub fn has_unknown(&self) -> bool {
        self.entry["setup"]["unlabeled_category"].is_string()
    }

    /// The number of rows of the whole data set, where the case says it: `n_obs = 36`, `n_obs (30)`.
    pub fn n_obs(&self) -> Option<usize> {
        let texts = ["reduction", "notes"].into_iter().filter_map(|key| self.entry[key].as_str());
        texts.into_iter().find_map(|text| {
            let (_, rest) = text.rsplit_once("n_obs = ").or_else(|| text.split_once("n_obs ("))?;
            rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
        })
    }

    /// Parameters that the loss does not reach.
    pub fn no_grad(&self) -> Vec<String> {
        let list = self.entry["no_grad"].as_array().cloned().unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

/// Tensors under a prefix, by the rest of their names.
pub fn under(tensors: &BTreeMap<String, Tensor>, prefix: &str) -> BTreeMap<String, Tensor> {
    tensors
        .iter()
        .filter_map(|(n, t)| n.strip_prefix(prefix).map(|rest| (rest.to_owned(), t.clone())))
        .collect()
}

/// max |a − b| / max(1, |b|).
pub fn error(ours: &[f64], theirs: &[f64]) -> f64 {
    if ours.len() != theirs.len() {
        return f64::INFINITY;
    }
    let one = |(a, b): (&f64, &f64)| {
        if a.is_nan() || b.is_nan() { f64::INFINITY } else { (a - b).abs() / b.abs().max(1.0) }
    };
    ours.iter().zip(theirs).map(one).fold(0.0, f64::max)
}
