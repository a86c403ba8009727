//! A case as a library model: which file, which options, what is bound.

use super::case::Case;
use dsl::{Bound, CovariateShape, FeedSpec, Lowered};
use serde_json::Value;
use std::collections::BTreeMap;
use svi::import::Tensor;

/// A library model and its options.
pub struct Configuration {
    /// Library file, without `.svi`.
    pub model: &'static str,
    /// `--set` values.
    pub sets: Vec<(String, String)>,
}

/// The configuration of a case, if the library has the model.
pub fn configuration(case: &Case) -> Result<Configuration, String> {
    if case.model != "SCVI" {
        return Err(format!("the library has no {}", case.model));
    }
    let init = &case.entry["init"];
    let text = |key: &str, default: &'static str| init[key].as_str().unwrap_or(default).to_owned();
    let mut sets: Vec<(String, String)> = vec![];
    for (theirs, ours) in
        [("n_latent", "latent"), ("n_hidden", "hidden"), ("n_layers", "layers"), ("dropout_rate", "dropout")]
    {
        sets.extend(init[theirs].is_number().then(|| (ours.to_owned(), init[theirs].to_string())));
    }
    sets.push(("likelihood".into(), text("gene_likelihood", "zinb")));
    sets.push(("dispersion".into(), text("dispersion", "gene").replace('-', "_")));
    sets.push(("encode_covariates".into(), (init["encode_covariates"] == Value::Bool(true)).to_string()));
    if init["deeply_inject_covariates"] == Value::Bool(false) {
        sets.push(("inject".into(), "first".into()));
    }
    if text("latent_distribution", "normal") == "ln" {
        sets.push(("latent_distribution".into(), "logistic_normal".into()));
    }
    for side in ["encoder", "decoder"] {
        let on = |v: String| v == "both" || v == side;
        let word = match (on(text("use_batch_norm", "both")), on(text("use_layer_norm", "none"))) {
            (true, true) => "both",
            (true, false) => "batchnorm",
            (false, true) => "layernorm",
            (false, false) => "none",
        };
        sets.push((format!("{side}_norm"), word.into()));
    }
    let model = if text("batch_representation", "one-hot") == "embedding" {
        sets.push(("batch_embedding".into(), init["batch_embedding_kwargs"]["embedding_dim"].to_string()));
        "scvi_batch_embedding"
    } else if init["use_observed_lib_size"] == Value::Bool(false) {
        "scvi_latent_library"
    } else if case.entry["setup"]["size_factor_key"].is_string() {
        "scvi_size_factor"
    } else {
        "scvi"
    };
    Ok(Configuration { model, sets })
}

/// The case's minibatch in our terms.
pub struct Data {
    inputs: BTreeMap<String, Tensor>,
    /// What is bound.
    pub bound: Bound,
    /// Number of cells.
    pub n_cells: usize,
}

/// One fed array.
pub enum Fed {
    /// Real numbers.
    Real(Vec<f64>),
    /// Codes or row numbers.
    Index(Vec<u32>),
}

impl Data {
    /// Reads the inputs of a case.
    pub fn new(tensors: &BTreeMap<String, Tensor>) -> Self {
        let inputs = super::case::under(tensors, "input.");
        let n_cells = inputs["X"].shape[0];
        let mut bound = Bound { n_rows: n_cells, ..Bound::default() };
        bound.sizes.insert("gene".into(), inputs["X"].shape[1]);
        bound.present.insert("x".into());
        let n_labels = |t: &Tensor, column: usize, width: usize| {
            t.values.iter().skip(column).step_by(width).fold(0.0_f64, |m, v| m.max(*v)) as usize + 1
        };
        for (theirs, ours) in [("batch", "batch"), ("labels", "label")] {
            if let Some(t) = inputs.get(theirs) {
                bound.sizes.insert(ours.into(), n_labels(t, 0, 1));
                bound.present.insert(ours.into());
            }
        }
        if inputs.contains_key("size_factor") {
            bound.present.insert("size_factor".into());
        }
        let mut shape = CovariateShape::default();
        if let Some(t) = inputs.get("cat_covs") {
            let width = t.shape[1];
            shape.categorical = (0..width).map(|c| (format!("cat{c}"), n_labels(t, c, width))).collect();
        }
        if let Some(t) = inputs.get("cont_covs") {
            shape.continuous = (0..t.shape[1]).map(|c| format!("cont{c}")).collect();
        }
        if shape != CovariateShape::default() {
            bound.present.insert("covs".into());
            bound.covariates.insert("covs".into(), shape);
        }
        Self { inputs, bound, n_cells }
    }

    /// The feeds of a lowered graph for rows `from..to`, at an epoch; statistics by name.
    pub fn feeds(
        &self,
        lowered: &Lowered,
        rows: std::ops::Range<usize>,
        epoch: f64,
        stats: &BTreeMap<String, Vec<f64>>,
    ) -> Vec<Fed> {
        lowered.feeds.iter().map(|f| self.feed(f, &rows, epoch, stats)).collect()
    }

    fn feed(
        &self,
        spec: &FeedSpec,
        rows: &std::ops::Range<usize>,
        epoch: f64,
        stats: &BTreeMap<String, Vec<f64>>,
    ) -> Fed {
        let slice = |key: &str| {
            let t = &self.inputs[key];
            let width = t.values.len() / t.shape[0];
            t.values[rows.start * width..rows.end * width].to_vec()
        };
        let codes = |v: Vec<f64>| Fed::Index(v.into_iter().map(|x| x as u32).collect());
        match spec {
            FeedSpec::Field(name) => match name.as_str() {
                "x" => Fed::Real(slice("X")),
                "batch" => codes(slice("batch")),
                "label" => codes(slice("labels")),
                other => Fed::Real(slice(other)),
            },
            FeedSpec::CovariateReals(_) => Fed::Real(slice("cont_covs")),
            FeedSpec::CovariateCategory { column, .. } => {
                let width = self.inputs["cat_covs"].shape[1];
                let c: usize =
                    column.trim_start_matches("cat").parse().expect("a column is named cat<number>");
                codes(slice("cat_covs").into_iter().skip(c).step_by(width).collect())
            }
            FeedSpec::Rows => Fed::Index(rows.clone().map(|r| r as u32).collect()),
            FeedSpec::Stat(name) => Fed::Real(stats[name].clone()),
            FeedSpec::Epoch => Fed::Real(vec![epoch]),
            FeedSpec::Known(_) | FeedSpec::FieldAt { .. } | FeedSpec::Within(_) | FeedSpec::Label { .. } => {
                unreachable!("no case has such a field")
            }
            FeedSpec::Total(_) => unreachable!("no case simulates"),
        }
    }
}
