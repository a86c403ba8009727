//! LinearSCVI: scVI's own options, a linear decoder, a latent or observed library size.

use super::{Compared, Configuration, Family, same};
use crate::parity::case::Case;
use std::collections::BTreeMap;
use svi::import::Tensor;

pub const FAMILY: Family = Family { class: "LinearSCVI", configure, compared, ..super::scvi::FAMILY };

fn configure(case: &Case) -> Configuration {
    let mut c = super::scvi::configure(case);
    c.model = "linear_scvi";
    if case.entry["init"]["use_observed_lib_size"] == true {
        c.set("depth", "observed");
    }
    c
}

fn compared(case: &Case, c: &Configuration, tensors: &BTreeMap<String, Tensor>) -> Vec<Compared> {
    let mut all = (super::scvi::FAMILY.compared)(case, c, tensors);
    all.push(same("loadings", "loadings"));
    all
}

/// The loadings, γ/√(v + 1e-3) · W without the columns of batches, which the fixtures do not hold.
pub fn with_loadings(tensors: &mut BTreeMap<String, Tensor>) {
    let at = |name: &str| &tensors[&format!("param.decoder.factor_regressor.fc_layers.Layer 0.{name}")];
    let (weight, scale, var) = (at("0.weight"), at("1.weight"), at("1.running_var"));
    let n_latent = tensors["out.qz_m"].shape[1];
    let width = weight.shape[1];
    let row = |g: usize| {
        let factor = scale.values[g] / (var.values[g] + 1e-3).sqrt();
        weight.values[g * width..][..n_latent].iter().map(move |w| w * factor).collect::<Vec<_>>()
    };
    let values: Vec<f64> = (0..weight.shape[0]).flat_map(row).collect();
    let loadings = Tensor { shape: vec![weight.shape[0], n_latent], values };
    tensors.insert("out.loadings".into(), loadings);
}
