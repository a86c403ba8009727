//! SOLO's classifier: the last of its inputs is the log of the depth.

use super::{Configuration, Family, same};
use crate::parity::case::Case;
use std::collections::BTreeMap;
use svi::import::Tensor;

pub const FAMILY: Family = Family {
    class: "Classifier (SOLO)",
    configure,
    fields: &[("x", "x"), ("z", "z"), ("labels", "kind")],
    prepare,
    compared: |_, _, _| vec![same("logits", "scores"), same("probs", "softmax(scores)")],
    warmup: 0.0,
};

fn configure(case: &Case) -> Configuration {
    let init = &case.entry["init"];
    let mut c = Configuration::of("solo");
    c.set("hidden", &init["n_hidden"]);
    c.set("layers", &init["n_layers"]);
    c.set("dropout", 0);
    c
}

/// One gene with all counts, and the latent.
fn prepare(inputs: &mut BTreeMap<String, Tensor>) {
    let Some(both) = inputs.remove("X") else { return };
    let (n, width) = (both.shape[0], both.shape[1]);
    let x = both.values.chunks(width).map(|r| r[width - 1].exp()).collect();
    let z = both.values.chunks(width).flat_map(|r| r[..width - 1].to_vec()).collect();
    inputs.insert("x".into(), Tensor { shape: vec![n, 1], values: x });
    inputs.insert("z".into(), Tensor { shape: vec![n, width - 1], values: z });
}
