//! LinearSCVI: scVI's own options, a linear decoder, a latent or observed library size.

use super::{Configuration, Family};
use crate::parity::case::Case;

pub const FAMILY: Family = Family { class: "LinearSCVI", configure, ..super::scvi::FAMILY };

fn configure(case: &Case) -> Configuration {
    let mut c = super::scvi::configure(case);
    c.model = "linear_scvi";
    if case.entry["init"]["use_observed_lib_size"] == true {
        c.set("depth", "observed");
    }
    c
}
