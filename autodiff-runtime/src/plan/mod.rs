//! From a graph to what is executed: steps in order, each with the memory that it reads and writes.
//!
//! What is true of a [`Plan`]:
//! - each value that crosses steps has one [`Slot`]; slots of the arena may share memory only if their lives are apart;
//! - a step reads only slots that earlier steps (or the feeds, the variables) have filled;
//! - a variable is overwritten by the last step that reads its old value, or after all steps; and, in a program with a
//!   loss, only by steps after the one that gives the loss. So a run that fails leaves the variables as they were.

mod buffers;
mod build;
mod emit;
mod facts;
mod follow;
mod kernel;
mod layout;
mod legal;
mod operand;
mod order;
mod product;
mod registers;
mod separate;
mod sparsity;
mod step;
mod units;
mod walk;

pub use build::plan;
pub use facts::Facts;
pub use kernel::{Accumulator, Arg, Instr, Kernel, Mem, Reg};
pub use product::{Product, SparseProduct};
pub use step::{StepGraph, step_graph};
pub use walk::{Draw, Lookup, StridedCopy, StridedReduce, WalkDims};

use crate::graph::{Dtype, Graph, InputId, VariableId};

/// Handle of a slot of one plan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SlotId(pub(crate) u32);

impl SlotId {
    /// Position in [`Plan::slots`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What fills a slot.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Home {
    /// A feed of the run.
    Input(InputId),
    /// A variable.
    Variable(VariableId),
    /// The arena, from this element on.
    Arena(usize),
    /// The arena, filled once with a number.
    Const(usize, f64),
    /// The arena of indices, filled once with 0, 1, 2, ….
    Iota(usize),
    /// An array of its own, one number per non-zero of a CSR input.
    NonZeros(InputId),
}

/// Memory of one value.
#[derive(Clone, PartialEq, Debug)]
pub struct Slot {
    /// Where it is.
    pub home: Home,
    /// Elements; for a value per non-zero, the most there can be.
    pub len: usize,
    /// Kind of number.
    pub dtype: Dtype,
}

/// One step. All threads finish it before the next begins.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// A fused kernel.
    Kernel(Kernel),
    /// A product of dense matrices.
    Product(Product),
    /// A product of a sparse and a dense matrix.
    SparseProduct(SparseProduct),
    /// A reduction that no kernel does.
    Reduce(StridedReduce),
    /// The same values in another layout.
    Copy(StridedCopy),
    /// Look-up or addition at indices.
    Lookup(Lookup),
    /// Draws.
    Draw(Draw),
}

/// An executable schedule.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The graph that is executed, after rewriting and legalising.
    pub graph: Graph,
    /// Memory.
    pub slots: Vec<Slot>,
    /// Work, in order.
    pub steps: Vec<Step>,
    /// Named results.
    pub outputs: Vec<(String, SlotId)>,
    /// Variables to be copied from a slot after all steps.
    pub commits: Vec<(VariableId, SlotId)>,
    /// For each product, the later kernel that may take its result block by block.
    pub followers: Vec<Option<usize>>,
    /// The scalar to be checked, and after how many steps.
    pub loss: Option<(SlotId, usize)>,
    /// Elements of the arena of reals and of the arena of indices.
    pub arena: [usize; 2],
    /// What each step computes, in words, for print-outs.
    pub notes: Vec<String>,
    pub(crate) facts: Facts,
}

impl Plan {
    /// What was planned, in numbers.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }
}
