//! SpatialStereoscope: signatures of the single-cell half are constants.

use super::{Compared, Configuration, Family, negative, same};
use crate::parity::case::Case;

pub const FAMILY: Family = Family {
    class: "SpatialStereoscope",
    configure,
    fields: &[("X", "x"), ("param.W", "signature"), ("param.px_o", "logit")],
    prepare: super::AS_THEY_ARE,
    compared: |_, _, _| compared(),
    warmup: 0.0,
};

fn configure(case: &Case) -> Configuration {
    let mut c = Configuration::of("stereoscope_spatial");
    c.set("prior_weight", case.entry["init"]["prior_weight"].as_str().unwrap_or_default());
    c
}

fn compared() -> Vec<Compared> {
    vec![
        negative("rec.reconstruction_loss", "row:lik(x)"),
        same("px_rate", "rate"),
        same("px_o", "logit"),
        same("eta", "eta"),
    ]
}
