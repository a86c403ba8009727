//! RNAStereoscope: no options.

use super::{Compared, Configuration, Family, negative, same};

pub const FAMILY: Family = Family {
    class: "RNAStereoscope",
    configure: |_| Configuration::of("stereoscope_rna"),
    fields: &[("X", "x"), ("labels", "type")],
    prepare: super::AS_THEY_ARE,
    compared: |_, _, _| compared(),
    warmup: 0.0,
};

fn compared() -> Vec<Compared> {
    vec![
        negative("rec.reconstruction_loss", "row:lik(x)"),
        same("px_scale", "softplus(signature[type])"),
        same("px_rate", "sum(x over gene) * softplus(signature[type])"),
        same("px_o", "logit"),
    ]
}
