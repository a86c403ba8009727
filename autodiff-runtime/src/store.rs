//! What a run is given and what it keeps: feeds, variables, the key of its randomness, its errors.

use crate::element::Element;
use crate::graph::Origin;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names the randomness of one run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StepKey {
    /// The user's seed.
    pub seed: u64,
    /// Number of the training step (or of the pass over the data, for evaluation).
    pub step: u64,
}

/// Borrowed compressed sparse rows. Columns are strictly increasing within a row.
#[derive(Clone, Copy, Debug)]
pub struct CsrView<'a, E> {
    /// `n_rows + 1` offsets into the two other arrays; the first need not be 0.
    pub offsets: &'a [usize],
    /// Column of each stored element.
    pub columns: &'a [u32],
    /// Value of each stored element.
    pub values: &'a [E],
}

/// The data of one declared input.
#[derive(Clone, Copy, Debug)]
pub enum Feed<'a, E> {
    /// All elements, row-major in axis order (one element for a scalar).
    Dense(&'a [E]),
    /// Sparse rows, for an input declared [`Csr`](crate::graph::Storage::Csr).
    Csr(CsrView<'a, E>),
    /// Indices, for an input of that dtype.
    Index(&'a [u32]),
}

/// Values kept from run to run, by name: parameters, running statistics, optimiser moments.
#[derive(Clone, Debug, Default)]
pub struct Variables<E> {
    names: BTreeMap<String, usize>,
    values: Vec<Vec<E>>,
    layout: u64,
}

impl<E: PartialEq> PartialEq for Variables<E> {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names && self.values == other.values
    }
}

/// Layouts that were given out.
static LAYOUTS: AtomicU64 = AtomicU64::new(1);

impl<E: Element> Variables<E> {
    /// No variables.
    pub fn new() -> Self {
        Self { names: BTreeMap::new(), values: vec![], layout: 0 }
    }

    /// Sets a variable (row-major in its axis order), adding it if new.
    pub fn set(&mut self, name: &str, value: Vec<E>) {
        match self.names.get(name) {
            Some(&slot) => self.values[slot] = value,
            None => {
                self.names.insert(name.to_owned(), self.values.len());
                self.values.push(value);
                self.layout = LAYOUTS.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The variable's elements.
    pub fn get(&self, name: &str) -> Option<&[E]> {
        self.names.get(name).map(|&s| self.values[s].as_slice())
    }

    /// Names and values, in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[E])> {
        self.names.iter().map(|(n, &s)| (n.as_str(), self.values[s].as_slice()))
    }

    /// A number of the names and their slots: stores with the same number have the same. It is no measure of equality.
    pub fn layout(&self) -> u64 {
        self.layout
    }

    /// A number that stays valid for [`Variables::slot`] as long as no variable is added before it (they never are).
    pub fn slot_of(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// The elements in a slot.
    pub fn slot(&self, slot: usize) -> &[E] {
        &self.values[slot]
    }

    /// The elements in a slot, to be overwritten in place.
    pub fn slot_mut(&mut self, slot: usize) -> &mut Vec<E> {
        &mut self.values[slot]
    }
}

/// Why a run could not be done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RunError {
    /// A feed does not fit its declaration.
    #[error("input `{name}`: expected {expected}, got {found}")]
    Feed {
        /// The declared input.
        name: String,
        /// What was declared.
        expected: String,
        /// What came.
        found: String,
    },
    /// A variable is missing or has another number of elements.
    #[error("variable `{name}`: expected {expected} elements, found {found}")]
    Variable {
        /// The variable.
        name: String,
        /// Elements expected.
        expected: usize,
        /// Elements found; 0 when it is missing.
        found: usize,
    },
    /// An index reaches beyond its axis.
    #[error("input `{name}`: index {index} is out of range (size {size})")]
    Index {
        /// The input that holds it.
        name: String,
        /// The value.
        index: u32,
        /// Size of the axis looked up.
        size: usize,
    },
    /// A value is not finite.
    #[error("a non-finite value appears: {what}")]
    NonFinite {
        /// The first node that is not finite, in words.
        what: String,
        /// Its source.
        origin: Origin,
    },
    /// The back end has no way to compute this graph.
    #[error("this back end cannot run the graph: {0}")]
    Unsupported(String),
}
