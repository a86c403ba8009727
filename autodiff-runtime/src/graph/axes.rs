//! Named axes and the sets of them that serve as shapes.

use std::fmt;

/// Handle of an axis of one [`Graph`](super::Graph). The order of creation is the order of storage: a value is kept
/// row-major with its lowest axis slowest. Make the minibatched plate first, data axes next, small knobs last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AxisId(pub(crate) u32);

impl AxisId {
    /// Position in the graph's axis table.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What is known of an axis: its name in the source and its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Name shown in print-outs and errors; need not be unique (`hidden` and its fresh twin share it).
    pub name: String,
    /// Number of elements; never zero in a verified graph.
    pub size: usize,
}

/// A set of axes, kept sorted: the shape of a value. The empty set is a scalar.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Axes(Vec<AxisId>);

impl Axes {
    /// The shape of a scalar.
    pub fn none() -> Self {
        Self::default()
    }

    /// A set from any list; repeats collapse.
    pub fn new(ids: impl IntoIterator<Item = AxisId>) -> Self {
        let mut v: Vec<AxisId> = ids.into_iter().collect();
        v.sort_unstable();
        v.dedup();
        Self(v)
    }

    /// The axes in storage order (slowest first).
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = AxisId> + ExactSizeIterator + '_ {
        self.0.iter().copied()
    }

    /// The axes in storage order, as a slice.
    pub fn as_slice(&self) -> &[AxisId] {
        &self.0
    }

    /// Number of axes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this is the shape of a scalar.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `axis` is in the set.
    pub fn contains(&self, axis: AxisId) -> bool {
        self.0.binary_search(&axis).is_ok()
    }

    /// Whether every axis of `self` is in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.iter().all(|a| other.contains(a))
    }

    /// Axes of either.
    pub fn union(&self, other: &Self) -> Self {
        Self::new(self.iter().chain(other.iter()))
    }

    /// Axes of `self` that are not in `other`.
    pub fn minus(&self, other: &Self) -> Self {
        Self(self.iter().filter(|&a| !other.contains(a)).collect())
    }

    /// Axes of both.
    pub fn intersect(&self, other: &Self) -> Self {
        Self(self.iter().filter(|&a| other.contains(a)).collect())
    }

    /// The set with one axis more.
    pub fn with(&self, axis: AxisId) -> Self {
        Self::new(self.iter().chain([axis]))
    }

    /// The set without one axis.
    pub fn without(&self, axis: AxisId) -> Self {
        Self(self.iter().filter(|&a| a != axis).collect())
    }
}

impl From<AxisId> for Axes {
    fn from(a: AxisId) -> Self {
        Self(vec![a])
    }
}

impl<const N: usize> From<[AxisId; N]> for Axes {
    fn from(a: [AxisId; N]) -> Self {
        Self::new(a)
    }
}

impl fmt::Display for AxisId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a{}", self.0)
    }
}
