//! CellAssign: the marker table is a field of ours. Compared in double precision.

use super::{Compared, Configuration, Family, same};
use crate::parity::case::Case;

pub const FAMILY: Family = Family {
    class: "CellAssign",
    configure: |_: &Case| Configuration::of("cellassign"),
    fields: &[("X", "x"), ("size_factor", "factor"), ("batch", "batch"), ("param.rho", "marker")],
    prepare: super::AS_THEY_ARE,
    compared: |_, _, _| compared(),
    warmup: 0.0,
};

fn compared() -> Vec<Compared> {
    vec![same("gamma", "prob(c)")]
}
