//! AUTOZI: zero inflation decided by gene, by gene and batch, or by gene and label.

use super::{Compared, Configuration, Family, same};
use crate::parity::case::Case;
use std::collections::BTreeMap;
use svi::import::Tensor;

pub const FAMILY: Family = Family { class: "AUTOZI", configure, compared, ..super::scvi::FAMILY };

fn configure(case: &Case) -> Configuration {
    let init = &case.entry["init"];
    let mut c = super::scvi::configure(case);
    c.model = "autozi";
    c.sets.retain(|(name, _)| name != "likelihood");
    c.set("depth", if init["use_observed_lib_size"] == true { "observed" } else { "latent" });
    c.set("zero_inflation", init["zero_inflation"].as_str().unwrap_or_default().replace('-', "_"));
    c.set("shapes", if init["alpha_prior"].is_null() { "learned" } else { "fixed" });
    c.set("minimal_dropout", &init["minimal_dropout"]);
    c
}

fn compared(case: &Case, c: &Configuration, tensors: &BTreeMap<String, Tensor>) -> Vec<Compared> {
    let mut all = (super::scvi::FAMILY.compared)(case, c, tensors);
    // Of the library size a draw is stored, not the mean.
    all.retain(|c| !["px_dropout", "ql_m"].contains(&c.theirs.as_str()));
    all.push(same("px_dropout", "psi"));
    all.push(same("kl_global.kl_global", "term:kl(delta)"));
    let at = match case.entry["init"]["zero_inflation"].as_str() {
        Some("gene-batch") => "delta[batch]",
        Some("gene-label") => "delta[label]",
        _ => "delta",
    };
    all.push(same("bernoulli_params", &format!("1e-7 + (1 - 2e-7) * {at}")));
    all
}
