//! Tangram: a free objective over all cells and spots.

use super::{Configuration, Family};
use crate::parity::case::Case;

pub const FAMILY: Family = Family {
    class: "Tangram",
    configure,
    fields: &[("X", "sc"), ("Y", "sp"), ("DENSITY", "density")],
    prepare: super::AS_THEY_ARE,
    compared: |_, _, _| vec![],
    warmup: 0.0,
};

fn configure(case: &Case) -> Configuration {
    let init = &case.entry["init"];
    let mut c = Configuration::of("tangram");
    c.set("constrained", &init["constrained"]);
    for (theirs, ours) in
        [("target_count", "target_count"), ("lambda_g2", "spot_weight"), ("lambda_r", "regularise")]
    {
        if init[theirs].is_number() {
            c.set(ours, &init[theirs]);
        }
    }
    c
}
