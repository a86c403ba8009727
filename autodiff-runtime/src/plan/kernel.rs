//! What a fused kernel is: a short program over registers, run once for each tile of (outer rows × inner columns).
//!
//! What is true of a [`Kernel`]:
//! - a dense register holds one number per element of the tile, a row register one per row, a sparse register one per
//!   non-zero of the tile's rows;
//! - a tile is some whole rows, or a range of columns of one row (only in kernels without row or sparse registers);
//! - registers are written before they are read, and an instruction's result is none of its operands;
//! - each element of a stored value is written by exactly one tile; sums over rows go to one partial result per block.

use super::SlotId;
use crate::graph::InputId;
use crate::op::{Elem, ReduceKind};

/// A register, by class and number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reg {
    /// One number per element of the tile.
    Dense(u16),
    /// One number per row of the tile.
    Row(u16),
    /// One number per non-zero in the tile.
    Sparse(u16),
}

/// An operand of an instruction.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Arg {
    /// A register of the instruction's own class (or a row register where tiles have one row).
    Reg(Reg),
    /// Memory that has the layout of the instruction's class, or is one number for the whole tile.
    Mem(u16),
    /// A number.
    Const(f64),
}

/// A value in memory, seen from the kernel's iteration space.
#[derive(Clone, PartialEq, Debug)]
pub struct Mem {
    /// Where.
    pub slot: SlotId,
    /// Elements to step per unit of each outer dimension.
    pub outer: Vec<usize>,
    /// Elements to step per column; 0 for a value that does not vary along the columns.
    pub col: usize,
    /// Whether it holds indices, to be converted when loaded.
    pub index: bool,
    /// Whether it holds one number per non-zero of the kernel's pattern.
    pub sparse: bool,
}

/// One instruction. Operands come before results in execution order.
#[derive(Clone, PartialEq, Debug)]
pub enum Instr {
    /// Fills a register from memory (repeating, striding, converting, or picking at the non-zeros as its class needs).
    Load {
        /// Result.
        to: Reg,
        /// Source.
        mem: u16,
    },
    /// An elementwise function.
    Elem {
        /// Which.
        f: Elem,
        /// Result.
        to: Reg,
        /// Operands.
        args: Vec<Arg>,
    },
    /// Copies an operand to a register.
    Copy {
        /// Result.
        to: Reg,
        /// Operand.
        from: Arg,
    },
    /// A dense register at the non-zeros.
    Pick {
        /// Result, sparse.
        to: Reg,
        /// Operand, dense.
        from: Arg,
    },
    /// A sparse register as a dense one.
    Spread {
        /// Result, dense.
        to: Reg,
        /// Operand, sparse.
        from: Reg,
    },
    /// Adds a sparse register times `scale` to a dense one, in place.
    AddSparse {
        /// Changed, dense.
        to: Reg,
        /// Operand, sparse.
        from: Reg,
        /// 1 or −1.
        scale: f64,
    },
    /// A row register repeated to the elements of a dense or sparse one.
    Repeat {
        /// Result.
        to: Reg,
        /// Operand, row.
        from: Arg,
    },
    /// Reduction of each row.
    RowReduce {
        /// How.
        kind: ReduceKind,
        /// Result, row.
        to: Reg,
        /// Operand, dense or (sums only) sparse.
        from: Arg,
        /// Whether the operand is sparse.
        sparse: bool,
    },
    /// Adds to a partial sum of this block.
    Accumulate {
        /// Which accumulator of the kernel.
        acc: u16,
        /// Operand.
        from: Arg,
        /// Class of the operand, as a register of that class.
        class: Reg,
    },
    /// Writes to memory.
    Store {
        /// Where.
        mem: u16,
        /// Operand.
        from: Arg,
        /// Class of the operand, as a register of that class.
        class: Reg,
    },
}

/// A sum over rows (or over everything), kept per block and then combined in block order.
#[derive(Clone, PartialEq, Debug)]
pub struct Accumulator {
    /// The result.
    pub slot: SlotId,
    /// Elements of the result.
    pub len: usize,
    /// Steps of the result per unit of each outer dimension.
    pub outer: Vec<usize>,
    /// Step of the result per column.
    pub col: usize,
    /// Whether everything is summed to one number, in double precision.
    pub scalar: bool,
    /// Where this accumulator's partial sums begin, in the block's partial array (scalars: in its array of doubles).
    pub offset: usize,
}

/// A fused kernel.
#[derive(Clone, PartialEq, Debug)]
pub struct Kernel {
    /// Sizes of the outer dimensions, slowest first.
    pub outer: Vec<usize>,
    /// Size of the inner dimension.
    pub cols: usize,
    /// Rows of a tile.
    pub tile_rows: usize,
    /// Columns of a tile.
    pub tile_cols: usize,
    /// Number of blocks of tiles, the unit of work of a thread.
    pub n_blocks: usize,
    /// The CSR input whose non-zeros the sparse registers follow.
    pub pattern: Option<InputId>,
    /// Values in memory.
    pub mems: Vec<Mem>,
    /// The program.
    pub instrs: Vec<Instr>,
    /// Sums over rows.
    pub accumulators: Vec<Accumulator>,
    /// Numbers in one block's partial sums, and doubles beside them.
    pub n_partial: [usize; 2],
    /// Numbers of registers: dense, row, sparse.
    pub n_regs: [usize; 3],
}

impl Kernel {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.outer.iter().product()
    }

    /// Number of tiles: row ranges × column ranges.
    pub fn n_tiles(&self) -> usize {
        self.rows().div_ceil(self.tile_rows) * self.cols.div_ceil(self.tile_cols)
    }
}
