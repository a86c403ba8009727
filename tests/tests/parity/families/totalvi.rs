//! TOTALVI: genes and proteins.

use super::{Compared, Configuration, Family, negative, same};
use crate::parity::case::Case;
use std::collections::BTreeMap;
use svi::import::Tensor;

pub const FAMILY: Family = Family {
    class: "TOTALVI",
    configure,
    fields: &[("X", "x"), ("proteins", "y"), ("batch", "batch")],
    prepare: super::AS_THEY_ARE,
    compared,
    warmup: 213.0,
};

fn configure(case: &Case) -> Configuration {
    let init = &case.entry["init"];
    let mut c = Configuration::of("totalvi");
    for (theirs, ours) in [("n_latent", "latent"), ("n_hidden", "hidden")] {
        c.set(ours, &init[theirs]);
    }
    for (theirs, ours) in [
        ("gene_likelihood", "likelihood"),
        ("gene_dispersion", "dispersion"),
        ("protein_dispersion", "protein_dispersion"),
    ] {
        c.set(ours, init[theirs].as_str().unwrap_or_default().replace('-', "_"));
    }
    c
}

fn compared(case: &Case, _: &Configuration, _: &BTreeMap<String, Tensor>) -> Vec<Compared> {
    let mut all = vec![
        negative("rec.reconst_loss_gene", "row:lik(x)"),
        negative("rec.reconst_loss_protein", "row:lik(y)"),
        same("kl.kl_div_z", "row:kl(z)"),
        same("z", "z"),
        same("qz_m", "mean(z)"),
        same("qz_v", "var(z)"),
        same("library_gene", "sum(x over gene)"),
        same("px_scale", "rho"),
        same("px_rate", "mu"),
        same("px_r", "r"),
        same("per_batch_efficiency", "eta"),
        same("py_back_alpha", "b.loc"),
        same("py_back_beta", "b.scale"),
        same("py_fore_scale", "fold"),
        same("py_mixing", "m.ambient"),
        same("py_r", "s"),
        same("py_rate_back", "beta"),
        same("py_rate_fore", "beta * fold"),
    ];
    if case.entry["init"]["gene_likelihood"] == "zinb" {
        all.push(same("px_dropout", "m.dropout"));
    }
    all
}
