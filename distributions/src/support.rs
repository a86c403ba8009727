//! Supports: where a value lies. The checker treats them as types, ordered by inclusion.

use std::fmt;

/// A set of values. `simplex` and `category` also need an axis, which the checker keeps beside them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Support {
    /// Any real number.
    Real,
    /// x ≥ 0.
    Nonneg,
    /// x > 0.
    Positive,
    /// 0 ≤ x ≤ 1.
    Unit,
    /// 0 or 1.
    Bool,
    /// 0, 1, 2, …
    Count,
    /// Non-negative along an axis, summing to 1.
    Simplex,
    /// A label of an axis, as its number.
    Category,
}

impl Support {
    /// Whether every value of `self` is a value of `other`. A count may stand for a real number, a bool for a count;
    /// a category for nothing but itself.
    pub fn is_within(self, other: Self) -> bool {
        use Support::*;
        self == other
            || match self {
                Real | Category => false,
                Nonneg => other == Real,
                Positive => matches!(other, Real | Nonneg),
                Unit | Simplex => matches!(other, Real | Nonneg) || (self == Simplex && other == Unit),
                Count => matches!(other, Real | Nonneg),
                Bool => matches!(other, Real | Nonneg | Unit | Count),
            }
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Support::Real => "real",
            Support::Nonneg => "nonneg",
            Support::Positive => "positive",
            Support::Unit => "unit",
            Support::Bool => "bool",
            Support::Count => "count",
            Support::Simplex => "simplex",
            Support::Category => "category",
        })
    }
}
