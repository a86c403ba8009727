//! CondSCVI: both priors, weights of rare types, finer types.

use super::{Compared, Configuration, Family, same};
use crate::parity::case::Case;
use std::collections::BTreeMap;
use svi::import::Tensor;

pub const FAMILY: Family = Family {
    class: "CondSCVI",
    configure,
    fields: &[("X", "x"), ("batch", "batch"), ("labels", "type"), ("fine_labels", "fine")],
    prepare: super::AS_THEY_ARE,
    compared,
    warmup: 400.0,
};

fn configure(case: &Case) -> Configuration {
    let init = &case.entry["init"];
    let mut c = Configuration::of("condscvi");
    for (theirs, ours) in [
        ("n_latent", "latent"),
        ("n_hidden", "hidden"),
        ("n_layers", "layers"),
        ("num_classes_mog", "component"),
    ] {
        if init[theirs].is_number() {
            c.set(ours, &init[theirs]);
        }
    }
    c.set("encode_covariates", init["encode_covariates"] == true);
    c.set("weights", if init["weight_obs"] == true { "rare" } else { "equal" });
    c.set("prior_of_z", init["prior"].as_str().unwrap_or("normal"));
    c
}

fn compared(_: &Case, _: &Configuration, tensors: &BTreeMap<String, Tensor>) -> Vec<Compared> {
    let mut all = vec![
        same("qz_m", "mean(z)"),
        same("qz_v", "var(z)"),
        same("z", "z"),
        same("px_scale", "rho"),
        same("px_rate", "mu"),
        same("px_r", "theta"),
    ];
    if tensors.contains_key("out.class_logits") {
        all.push(same("class_logits", "classify(mean(z) | type)"));
    }
    all
}
