//! VELOVI: the stored Dirichlet draws are fed as logarithms of Gammas.

use super::{Compared, Configuration, Family, negative, same};
use crate::parity::case::Case;
use std::collections::BTreeMap;
use svi::import::Tensor;

pub const FAMILY: Family = Family {
    class: "VELOVI",
    configure,
    fields: &[("X", "s"), ("U", "u")],
    prepare: super::AS_THEY_ARE,
    compared,
    warmup: 400.0,
};

fn configure(case: &Case) -> Configuration {
    let init = &case.entry["init"];
    let mut c = Configuration::of("velovi");
    for (theirs, ours) in [("n_hidden", "hidden"), ("n_latent", "latent"), ("n_layers", "layers")] {
        c.set(ours, &init[theirs]);
    }
    c.set("decoder", if init["linear_decoder"] == true { "linear" } else { "deep" });
    let changing = init["time_dep_transcription_rate"] == true;
    c.set("transcription", if changing { "changing" } else { "constant" });
    c
}

fn compared(_: &Case, _: &Configuration, _: &BTreeMap<String, Tensor>) -> Vec<Compared> {
    vec![
        negative("rec.reconstruction_loss", "row:lik(s) + row:lik(u)"),
        same("qzm", "mean(z)"),
        same("qzv", "var(z)"),
        same("z", "z"),
        same("px_rho", "rho"),
        same("px_tau", "tau"),
        same("px_pi", "pi"),
        same("px_pi_alpha", "shares(z)"),
        same("alpha", "alpha"),
        same("beta", "beta"),
        same("gamma", "gamma"),
    ]
}
