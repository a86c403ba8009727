//! Types: a set of axes and a support.

use distributions::Support;
use std::collections::BTreeSet;

/// Position of an axis in the model.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AxisNo(pub u32);

/// A set of axes.
pub type AxisSet = BTreeSet<AxisNo>;

/// What is known of a value before any data are seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ty {
    /// Its axes, plates included.
    pub axes: AxisSet,
    /// Where its elements lie.
    pub support: Support,
    /// The axis of a simplex, or the axis that a category indexes.
    pub of: Option<AxisNo>,
    /// Whether elements may be missing.
    pub may_miss: bool,
    /// Whether it is a `covariates` field, which only conditions.
    pub covariates: bool,
}

impl Ty {
    /// A real-valued type over axes.
    pub fn new(axes: AxisSet, support: Support) -> Self {
        Self { axes, support, of: None, may_miss: false, covariates: false }
    }

    /// A scalar.
    pub fn scalar(support: Support) -> Self {
        Self::new(AxisSet::new(), support)
    }

    /// The axes that are not in `plates`.
    pub fn local(&self, plates: &[AxisNo]) -> Vec<AxisNo> {
        self.axes.iter().copied().filter(|a| !plates.contains(a)).collect()
    }
}

/// The support of a number.
pub fn of_number(x: f64) -> Support {
    match x {
        x if x == 0.0 || x == 1.0 => Support::Bool,
        x if x > 0.0 && x.fract() == 0.0 => Support::Count,
        x if x > 0.0 && x < 1.0 => Support::Unit,
        x if x > 0.0 => Support::Positive,
        _ => Support::Real,
    }
}

/// The smallest named support that holds both.
pub fn join(a: Support, b: Support) -> Support {
    use Support::*;
    if a.is_within(b) {
        b
    } else if b.is_within(a) {
        a
    } else if a.is_within(Unit) && b.is_within(Unit) {
        Unit
    } else if a.is_within(Nonneg) && b.is_within(Nonneg) {
        Nonneg
    } else {
        Real
    }
}

/// A number known to be above zero: the positive support, or a literal whose value says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sign {
    /// Never negative.
    pub nonneg: bool,
    /// Never zero nor negative.
    pub positive: bool,
}

/// What a support says of the sign.
pub fn sign_of(s: Support) -> Sign {
    Sign { nonneg: s.is_within(Support::Nonneg), positive: s == Support::Positive }
}

/// The support with that sign.
pub fn of_sign(s: Sign) -> Support {
    if s.positive {
        Support::Positive
    } else if s.nonneg {
        Support::Nonneg
    } else {
        Support::Real
    }
}
