//! DestVI: constants of the single-cell half come with the case.

use super::{Compared, Configuration, Family, negative, same};
use crate::parity::case::Case;
use std::collections::BTreeMap;
use svi::import::Tensor;

pub const FAMILY: Family = Family {
    class: "DestVI",
    configure,
    fields: &[
        ("X", "x"),
        ("batch", "batch"),
        ("param.per_ct_bias", "type_bias"),
        ("param.mean_vprior", "prior_mean"),
        ("prior_log_scale", "prior_log_scale"),
        ("prior_logit", "prior_logit"),
    ],
    prepare,
    compared,
    warmup: 200.0,
};

fn configure(case: &Case) -> Configuration {
    let init = &case.entry["init"];
    let mut c = Configuration::of("destvi");
    c.set("hidden", &init["n_hidden"]);
    c.set("layers", &init["n_layers"]);
    c.set("amortization", init["amortization"].as_str().unwrap_or_default());
    if let Some(n) = init["n_latent_amortization"].as_u64() {
        c.set("bottleneck", true);
        c.set("seen", n);
    }
    c
}

/// The prior of the single-cell half as its own parameters: it hands over variances and weights.
fn prepare(inputs: &mut BTreeMap<String, Tensor>) {
    let mapped = |t: &Tensor, f: fn(f64) -> f64| Tensor {
        shape: t.shape.clone(),
        values: t.values.iter().map(|v| f(*v)).collect(),
    };
    let (scale, logit) = (
        mapped(&inputs["param.var_vprior"], |v| (v.sqrt() - 1e-4).ln()),
        mapped(&inputs["param.mp_vprior"], f64::ln),
    );
    inputs.insert("prior_log_scale".into(), scale);
    inputs.insert("prior_logit".into(), logit);
}

fn compared(case: &Case, _: &Configuration, _: &BTreeMap<String, Tensor>) -> Vec<Compared> {
    let mut all = vec![
        negative("rec.reconstruction_loss", "row:lik(x)"),
        same("px_rate", "mu"),
        same("px_scale", "mix"),
        same("px_r", "theta"),
        same("z", "v"),
    ];
    if case.entry["init"]["n_latent_amortization"].is_null() {
        all.push(same("kl.kl_local", "stray"));
    } else {
        all.push(same("qz_m", "mean(z)"));
        all.push(same("qz_v", "var(z)"));
    }
    all
}
