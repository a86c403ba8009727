//! What the printer hands to the executor: the module's text, and the calls of one run in order.

use crate::graph::InputId;
use crate::plan::{Product, SlotId};

/// What a kernel's parameter points at. All parameters are addresses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// A slot of reals; for a CSR input, its non-zeros.
    Real(SlotId),
    /// A slot of indices.
    Index(SlotId),
    /// Offsets of the rows of a CSR input, the first of which is 0.
    Offsets(InputId),
    /// Columns of the non-zeros of a CSR input.
    Columns(InputId),
    /// Partial sums of the kernel at hand.
    Partial,
    /// The same, of scalars, in double precision.
    Doubles,
    /// Room for values that wait between two passes over a row, from this element on.
    Room(usize),
    /// Such an array with one number for each non-zero of a CSR input.
    NonZeroRoom(InputId, usize),
    /// Seed and step, as four words.
    Key,
    /// One word: whether the loss of this run is not finite, after which nothing is overwritten.
    Failed,
}

/// One launch of a printed kernel.
#[derive(Clone, PartialEq, Debug)]
pub struct Launch {
    /// Name of the kernel in the module.
    pub entry: String,
    /// Blocks along x and y.
    pub grid: [u32; 2],
    /// Threads of a block.
    pub block: u32,
    /// Parameters.
    pub places: Vec<Place>,
}

/// One piece of work.
#[derive(Clone, PartialEq, Debug)]
pub enum Call {
    /// A printed kernel.
    Launch(Launch),
    /// A dense product for the vendor's library: operands whose steps are 1 along one dimension.
    Gemm(Product),
}

/// Room that a run needs beside the plan's slots.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rooms {
    /// Elements of [`Place::Partial`].
    pub partial: usize,
    /// Doubles of [`Place::Doubles`].
    pub doubles: usize,
    /// Elements behind all [`Place::Room`].
    pub reals: usize,
    /// For each input, arrays of [`Place::NonZeroRoom`].
    pub nonzeros: Vec<usize>,
}

/// A printed plan.
#[derive(Clone, PartialEq, Debug)]
pub struct Module {
    /// The kernels, in CUDA C without library headers.
    pub source: String,
    /// The work of one run, with the number of the plan's step that it belongs to.
    pub calls: Vec<(usize, Call)>,
    /// Room for it.
    pub rooms: Rooms,
}
