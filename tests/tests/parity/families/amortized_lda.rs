//! AmortizedLDA: a total over the cells, divergences by single draws.

use super::{Compared, Configuration, Family, same};
use crate::parity::case::Case;

pub const FAMILY: Family = Family {
    class: "AmortizedLDA",
    configure,
    fields: &[("X", "x")],
    prepare: super::AS_THEY_ARE,
    compared: |_, _, _| compared(),
    warmup: 400.0,
};

fn configure(case: &Case) -> Configuration {
    let init = &case.entry["init"];
    let mut c = Configuration::of("amortized_lda");
    c.set("topic", &init["n_topics"]);
    c.set("hidden", &init["n_hidden"]);
    c
}

fn compared() -> Vec<Compared> {
    vec![same("guide.log_cell_topic_dist_m", "mean(theta)"), same("site.log_cell_topic_dist", "theta")]
}
