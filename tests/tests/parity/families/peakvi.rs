//! PEAKVI: accessibility, with the reference's sum over the minibatch.

use super::{Compared, Configuration, Family, negative, same};
use crate::parity::case::Case;
use std::collections::BTreeMap;
use svi::import::Tensor;

pub const FAMILY: Family = Family {
    class: "PEAKVI",
    configure,
    fields: &[("X", "x"), ("batch", "batch")],
    prepare: super::AS_THEY_ARE,
    compared,
    warmup: 50.0,
};

fn configure(case: &Case) -> Configuration {
    let init = &case.entry["init"];
    let mut c = Configuration::of("peakvi");
    for (theirs, ours) in [("n_latent", "latent"), ("n_hidden", "hidden"), ("n_layers_encoder", "layers")] {
        c.set(ours, &init[theirs]);
    }
    c.set("encode_covariates", init["encode_covariates"] == true);
    c.set("inject", if init["deeply_inject_covariates"] == true { "all" } else { "first" });
    for (theirs, ours) in [("model_depth", "depth"), ("region_factors", "region_factors")] {
        c.set(ours, if init[theirs] == true { "learned" } else { "none" });
    }
    c
}

fn compared(_: &Case, _: &Configuration, _: &BTreeMap<String, Tensor>) -> Vec<Compared> {
    vec![
        negative("rec.reconstruction_loss", "row:lik(x)"),
        same("kl.kl_local", "row:kl(z)"),
        same("z", "z"),
        same("qz_m", "mean(z)"),
        same("qz_v", "var(z)"),
        same("px", "p"),
        same("d", "d"),
    ]
}
