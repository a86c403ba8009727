//! SCANVI: scVI with types that are known for some cells.

use super::{Compared, Configuration, Family, same};
use crate::parity::case::Case;
use std::collections::BTreeMap;
use svi::import::Tensor;

pub const FAMILY: Family = Family {
    class: "SCANVI",
    configure,
    fields: &[("X", "x"), ("batch", "batch"), ("labels", "type")],
    prepare: super::AS_THEY_ARE,
    compared,
    ..super::scvi::FAMILY
};

fn configure(case: &Case) -> Configuration {
    let mut c = super::scvi::configure(case);
    c.model = "scanvi";
    if case.entry["init"]["linear_classifier"] == true {
        c.set("classifier", "linear");
    }
    // Without a labelled stream the reference has no classification loss.
    let ratio = &case.entry["loss_kwargs"]["classification_ratio"];
    c.set("classifier_weight", ratio.as_f64().unwrap_or(0.0));
    c
}

fn compared(_: &Case, _: &Configuration, _: &BTreeMap<String, Tensor>) -> Vec<Compared> {
    vec![
        same("rec.reconstruction_loss", "row:kl(z)").less("row:lik(x)"),
        same("kl.kl_local", "row:kl(u) + row:kl(type)"),
        same("z", "z"),
        same("qz_m", "mean(z)"),
        same("qz_v", "var(z)"),
        same("px_scale", "d.rho"),
        same("px_rate", "mu"),
        same("px_r", "r"),
        same("library", "log(sum(x over gene))"),
    ]
}
