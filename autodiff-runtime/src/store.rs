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
///
/// A back end with memory of its own may keep the present values there: the store is then *behind*, until
/// [`Executable::settle`](crate::backend::Executable::settle) brings it up to date, and must not be read.
#[derive(Clone, Debug, Default)]
pub struct Variables<E> {
    names: BTreeMap<String, usize>,
    values: Vec<Vec<E>>,
    layout: u64,
    version: u64,
    behind: bool,
}

impl<E: PartialEq> PartialEq for Variables<E> {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names && self.values == other.values
    }
}

/// Layouts and versions that were given out.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

fn fresh() -> u64 {
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

impl<E: Element> Variables<E> {
    /// No variables.
    pub fn new() -> Self {
        Self { names: BTreeMap::new(), values: vec![], layout: 0, version: 0, behind: false }
    }

    /// Sets a variable (row-major in its axis order), adding it if new.
    pub fn set(&mut self, name: &str, value: Vec<E>) {
        self.version = fresh();
        match self.names.get(name) {
            Some(&slot) => self.values[slot] = value,
            None => {
                self.names.insert(name.to_owned(), self.values.len());
                self.values.push(value);
                self.layout = fresh();
            }
        }
    }

    /// The variable's elements.
    pub fn get(&self, name: &str) -> Option<&[E]> {
        debug_assert!(!self.behind, "`{name}` is read before the store was brought up to date");
        self.names.get(name).map(|&s| self.values[s].as_slice())
    }

    /// How many elements the variable has.
    pub fn len_of(&self, name: &str) -> Option<usize> {
        self.names.get(name).map(|&s| self.values[s].len())
    }

    /// Names and values, in name order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[E])> {
        debug_assert!(!self.behind, "variables are read before the store was brought up to date");
        self.names.iter().map(|(n, &s)| (n.as_str(), self.values[s].as_slice()))
    }

    /// A number of the names and their slots: stores with the same number have the same. It is no measure of equality.
    pub fn layout(&self) -> u64 {
        self.layout
    }

    /// A number of the values: stores with the same number hold the same, and a store whose number is unchanged was not
    /// changed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether a back end holds newer values.
    pub fn is_behind(&self) -> bool {
        self.behind
    }

    /// Notes that a back end now holds newer values; their version.
    pub fn fall_behind(&mut self) -> u64 {
        self.behind = true;
        self.version = fresh();
        self.version
    }

    /// Overwrites every value by what `get` writes over it, after which the store is no longer behind.
    ///
    /// # Errors
    /// The first of `get`'s; the store is then still behind.
    pub fn catch_up(
        &mut self,
        mut get: impl FnMut(&str, &mut [E]) -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        for (name, slot) in &self.names {
            get(name, &mut self.values[*slot])?;
        }
        self.behind = false;
        Ok(())
    }

    /// A number that stays valid for [`Variables::slot`] as long as no variable is added before it (they never are).
    pub fn slot_of(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// The elements in a slot.
    pub fn slot(&self, slot: usize) -> &[E] {
        debug_assert!(!self.behind, "a variable is read before the store was brought up to date");
        &self.values[slot]
    }

    /// The elements in a slot, to be overwritten in place.
    pub fn slot_mut(&mut self, slot: usize) -> &mut Vec<E> {
        debug_assert!(!self.behind, "a variable is overwritten before the store was brought up to date");
        self.version = fresh();
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
    #[error("a value is not finite: {0}")]
    NonFinite(Box<NonFinite>),
    /// The back end has no way to compute this graph.
    #[error("this back end cannot run the graph: {0}")]
    Unsupported(String),
    /// A device has too little memory.
    #[error("{needed} more bytes are needed in the memory of {device}, which has {free} free")]
    DeviceMemory {
        /// Which device.
        device: String,
        /// Bytes asked for.
        needed: usize,
        /// Bytes that are free.
        free: usize,
    },
    /// A device or its driver failed.
    #[error("{device}: {what}")]
    Device {
        /// Which device.
        device: String,
        /// What it says.
        what: String,
    },
}

/// Where a loss that is not finite comes from: the value that is not, though everything it is computed from is.
#[derive(Clone, Debug, PartialEq)]
pub struct NonFinite {
    /// NaN or an infinity.
    pub value: f64,
    /// What has that value.
    pub made: Made,
    /// Its place: the name of each of its axes and the position along it.
    pub place: Vec<(String, usize)>,
    /// The least and the largest number among the values of each operand.
    pub operands: Vec<(f64, f64)>,
    /// Named results of the graph that are not finite, in their order.
    pub results: Vec<String>,
    /// Where the graph's builder says it comes from.
    pub origin: Origin,
}

/// What has a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// The input of that name.
    Input(String),
    /// The variable of that name.
    Variable(String),
    /// An operation, in words: `` `log` ``, `a sum over gene`.
    Computed(String),
    /// An operation, in words, that divides by or takes the logarithm of a value that the element type has as 0: place and
    /// value are those of what vanishes.
    Vanished(String),
    /// Nothing alone: every value is finite in double precision, but the loss overflows the element type.
    Rounded,
}

impl std::fmt::Display for NonFinite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.made {
            Made::Input(name) => write!(f, "input `{name}` holds {}", self.value),
            Made::Variable(name) => write!(f, "variable `{name}` holds {}", self.value),
            Made::Computed(words) => write!(f, "{words} gives {}", self.value),
            Made::Vanished(words) => write!(f, "{words} of {:e}, which is rounded to 0", self.value),
            Made::Rounded => {
                write!(f, "the loss is {}, though every value is finite in double precision", self.value)
            }
        }?;
        self.place.iter().try_for_each(|(axis, at)| write!(f, ", {axis} {at}"))
    }
}
