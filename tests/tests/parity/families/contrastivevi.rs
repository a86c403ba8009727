//! ContrastiveVI: two streams of the reference are one minibatch of ours.

use super::{Configuration, Family};
use crate::parity::case::Case;
use std::collections::BTreeMap;
use svi::import::Tensor;

pub const FAMILY: Family = Family {
    class: "ContrastiveVI",
    configure,
    fields: &[("X", "x"), ("batch", "batch"), ("group", "group")],
    prepare,
    compared: |_, _, _| vec![],
    warmup: 400.0,
};

fn configure(case: &Case) -> Configuration {
    let init = &case.entry["init"];
    let mut c = Configuration::of("contrastivevi");
    for (theirs, ours) in [
        ("n_hidden", "hidden"),
        ("n_background_latent", "latent"),
        ("n_salient_latent", "salient"),
        ("n_layers", "layers"),
        ("wasserstein_penalty", "wasserstein"),
    ] {
        c.set(ours, &init[theirs]);
    }
    c.set("depth", if init["use_observed_lib_size"] == true { "observed" } else { "latent" });
    c.set("background", 0);
    if case.entry["mode"] == "train" {
        c.set("dropout", 0);
    }
    c
}

/// The background's rows before the target's, as many of each, and which they are.
fn prepare(inputs: &mut BTreeMap<String, Tensor>) {
    let rows = |name: &str| inputs[name].shape[0];
    let n = rows("background.X").min(rows("target.X"));
    for key in ["X", "batch"] {
        let parts = ["background", "target"].map(|g| inputs[&format!("{g}.{key}")].clone());
        let width = parts[0].shape[1];
        let values = parts.iter().flat_map(|t| t.values[..n * width].to_vec()).collect();
        inputs.insert(key.into(), Tensor { shape: vec![2 * n, width], values });
    }
    let values = (0..2 * n).map(|r| f64::from(r >= n)).collect();
    inputs.insert("group".into(), Tensor { shape: vec![2 * n, 1], values });
}
