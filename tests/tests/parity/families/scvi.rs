//! SCVI: likelihoods, dispersions, covariates, three regimes of the library size, norms, batch embedding.

use super::{Compared, Configuration, Family, negative, same};
use crate::parity::case::Case;
use serde_json::Value;
use std::collections::BTreeMap;
use svi::import::Tensor;

pub const FAMILY: Family = Family {
    class: "SCVI",
    configure,
    fields: &[("X", "x"), ("batch", "batch"), ("labels", "label"), ("size_factor", "size_factor")],
    prepare: super::AS_THEY_ARE,
    compared,
    warmup: 400.0,
};

pub fn configure(case: &Case) -> Configuration {
    let init = &case.entry["init"];
    let text = |key: &str, default: &'static str| init[key].as_str().unwrap_or(default).to_owned();
    let mut c = Configuration::of(model(case));
    for (theirs, ours) in
        [("n_latent", "latent"), ("n_hidden", "hidden"), ("n_layers", "layers"), ("dropout_rate", "dropout")]
    {
        if init[theirs].is_number() {
            c.set(ours, &init[theirs]);
        }
    }
    c.set("likelihood", text("gene_likelihood", "zinb"));
    c.set("dispersion", text("dispersion", "gene").replace('-', "_"));
    c.set("encode_covariates", init["encode_covariates"] == true);
    if init["deeply_inject_covariates"] == Value::Bool(false) {
        c.set("inject", "first");
    }
    if text("latent_distribution", "normal") == "ln" {
        c.set("latent_distribution", "logistic_normal");
    }
    for side in ["encoder", "decoder"] {
        let on = |v: String| v == "both" || v == side;
        let word = match (on(text("use_batch_norm", "both")), on(text("use_layer_norm", "none"))) {
            (true, true) => "both",
            (true, false) => "batchnorm",
            (false, true) => "layernorm",
            (false, false) => "none",
        };
        c.set(&format!("{side}_norm"), word);
    }
    if c.model == "scvi_batch_embedding" {
        c.set("batch_embedding", &init["batch_embedding_kwargs"]["embedding_dim"]);
    }
    c
}

fn model(case: &Case) -> &'static str {
    let init = &case.entry["init"];
    if init["batch_representation"] == "embedding" {
        "scvi_batch_embedding"
    } else if init["use_observed_lib_size"] == Value::Bool(false) {
        "scvi_latent_library"
    } else if case.entry["setup"]["size_factor_key"].is_string() {
        "scvi_size_factor"
    } else {
        "scvi"
    }
}

fn compared(case: &Case, _: &Configuration, tensors: &BTreeMap<String, Tensor>) -> Vec<Compared> {
    // Of a normal likelihood the reference reports the standard deviation under this name.
    let normal_likelihood = case.entry["init"]["gene_likelihood"] == "normal";
    let mut all = vec![
        negative("rec.reconstruction_loss", "row:lik(x)"),
        same("kl.kl_divergence_z", "row:kl(z)"),
        same("z", "z"),
        same("px_scale", if normal_likelihood { "r" } else { "d.rho" }),
        same("px_rate", "mu"),
    ];
    // Of a logistic normal, the base's moments have no expression of their own: z at zero noise is the softmax of qz_m,
    // and the divergence of each cell pins qz_v.
    if case.entry["init"]["latent_distribution"] != "ln" {
        all.extend([same("qz_m", "mean(z)"), same("qz_v", "var(z)")]);
    }
    if tensors.contains_key("out.ql_m") {
        all.extend([same("kl.kl_divergence_l", "row:kl(library)"), same("ql_m", "log(library)")]);
        all.push(same("library", "log(library)"));
    } else {
        all.push(same("library", "log(sum(x over gene))"));
    }
    for (theirs, ours) in [("px_r", "r"), ("px_dropout", "d.dropout")] {
        if tensors.contains_key(&format!("out.{theirs}")) {
            all.push(same(theirs, ours));
        }
    }
    all
}
