//! MULTIVI: two or three modalities, some absent in some cells.

use super::{Compared, Configuration, Family, negative, same};
use crate::parity::case::Case;
use std::collections::BTreeMap;
use svi::import::Tensor;

pub const FAMILY: Family = Family {
    class: "MULTIVI",
    configure,
    fields: &[("X", "x"), ("atac", "y"), ("proteins", "p"), ("batch", "batch")],
    prepare: |inputs| drop(inputs.remove("ind_x")),
    compared,
    warmup: 50.0,
};

fn configure(case: &Case) -> Configuration {
    let init = &case.entry["init"];
    let mut c = Configuration::of("multivi");
    for (theirs, ours) in [("n_hidden", "hidden"), ("n_latent", "latent"), ("n_layers_encoder", "layers")] {
        c.set(ours, &init[theirs]);
    }
    for (theirs, ours) in [("modality_weights", "modality_weights"), ("modality_penalty", "penalty")] {
        c.set(ours, init[theirs].as_str().unwrap_or_default().to_lowercase());
    }
    c.set("likelihood", init["gene_likelihood"].as_str().unwrap_or_default());
    c.set("encode_covariates", init["encode_covariates"] == true);
    c.set("adversarial", case.name.contains("adversarial"));
    c
}

fn compared(_: &Case, _: &Configuration, tensors: &BTreeMap<String, Tensor>) -> Vec<Compared> {
    let mut all = vec![
        negative("rec.reconstruction_loss_expression", "row:lik(x)"),
        negative("rec.reconstruction_loss_accessibility", "row:lik(y)"),
        same("kl.kl_divergence_z", "row:kl(z)"),
        same("z", "z"),
        same("qz_m", "mean(z)"),
        same("qz_v", "var(z)"),
        same("qzm_expr", "a.mean"),
        same("qzv_expr", "a.var"),
        same("qzm_acc", "b.mean"),
        same("px_scale", "d.rho"),
        same("px_rate", "mu"),
        same("p", "open"),
        same("libsize_acc", "d_atac"),
        same("libsize_expr", "log(depth)"),
    ];
    if tensors.contains_key("input.proteins") {
        all.push(negative("rec.reconstruction_loss_protein", "row:lik(p)"));
        all.push(same("py_.mixing", "m"));
        all.push(same("py_.fore_scale", "fold"));
    }
    all
}
