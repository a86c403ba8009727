//! MethylVI: two contexts of methylation.

use super::{Compared, Configuration, Family, negative, same};
use crate::parity::case::Case;
use std::collections::BTreeMap;
use svi::import::Tensor;

pub const FAMILY: Family = Family {
    class: "METHYLVI",
    configure,
    fields: &[
        ("mCG_mc", "mc"),
        ("mCG_cov", "cov"),
        ("mCH_mc", "mc2"),
        ("mCH_cov", "cov2"),
        ("batch", "batch"),
    ],
    prepare: super::AS_THEY_ARE,
    compared,
    warmup: 400.0,
};

fn configure(case: &Case) -> Configuration {
    let init = &case.entry["init"];
    let mut c = Configuration::of("methylvi");
    for (theirs, ours) in [("n_latent", "latent"), ("n_hidden", "hidden"), ("n_layers", "layers")] {
        c.set(ours, &init[theirs]);
    }
    if init["dispersion"] == "region-cell" {
        c.set("dispersion", "region_cell");
    }
    if init["likelihood"] == "binomial" {
        c.set("likelihood", "binomial");
    }
    c
}

fn compared(_: &Case, _: &Configuration, tensors: &BTreeMap<String, Tensor>) -> Vec<Compared> {
    let mut all = vec![
        negative("rec.reconstruction_loss", "row:lik(mc) + row:lik(mc2)"),
        same("kl.kl_divergence_z", "row:kl(z)"),
        same("z", "z"),
        same("qz_m", "mean(z)"),
        same("qz_v", "var(z)"),
        same("px_mu.mCG", "d.mu"),
        same("px_mu.mCH", "d2.mu"),
    ];
    for (theirs, ours) in [("px_gamma.mCG", "d.gamma"), ("px_gamma.mCH", "d2.gamma")] {
        if tensors.contains_key(&format!("out.{theirs}")) {
            all.push(same(theirs, ours));
        }
    }
    all
}
