//! POISSONVI: scVI with Poisson counts and a factor for each region.

use super::{Configuration, Family};
use crate::parity::case::Case;

pub const FAMILY: Family = Family { class: "POISSONVI", configure, warmup: 50.0, ..super::scvi::FAMILY };

fn configure(case: &Case) -> Configuration {
    let mut c = Configuration::of("poissonvi");
    for (theirs, ours) in [("n_latent", "latent"), ("n_hidden", "hidden"), ("n_layers", "layers")] {
        c.set(ours, &case.entry["init"][theirs]);
    }
    c
}
