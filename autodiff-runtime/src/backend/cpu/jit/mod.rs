//! Machine code for the elementwise stretches of a kernel, where the processor has AVX-512.
//!
//! A kernel's program becomes stages: maximal runs of elementwise instructions are one function each, whose values live
//! in vector registers from load to store; the rest (picks, look-ups, row values) is interpreted as before. Elsewhere,
//! and in double precision, every instruction is interpreted: same results to rounding.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod assemble;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod elementary;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod encode;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod gamma;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod lower;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod pages;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod vops;

use super::stretch::Place;
use crate::plan::{Kernel, Reg};

/// Most arrays, repeated numbers and accumulators of one function.
const N_POINTERS: usize = 32;
const N_SPLATS: usize = 32;
pub(super) const N_SUMS: usize = 6;
/// Arrays and numbers of all stretches of a kernel that are found once for each block.
const N_PLACES: usize = 128;
/// Their offsets in the frame.
const POINTERS: i32 = 8;
const SPLATS: i32 = POINTERS + 8 * N_POINTERS as i32;
const ACCUMULATORS: i32 = SPLATS + 4 * N_SPLATS as i32;

/// What a function is called with.
#[repr(C)]
pub(super) struct Frame {
    pool: *const f32,
    /// First element of each array.
    pub pointers: [*mut f32; N_POINTERS],
    /// Numbers that are the same for all elements.
    pub splats: [f32; N_SPLATS],
    /// Lanes of the accumulators, after the call.
    pub sums: [[f32; 16]; N_SUMS],
    /// Where the arrays and numbers of all stretches lie. Not for the function: its caller's.
    pub places: [Place; N_PLACES],
}

impl Frame {
    /// Nothing in it.
    pub fn new() -> Self {
        Self {
            pool: std::ptr::null(),
            pointers: [std::ptr::null_mut(); N_POINTERS],
            splats: [0.0; N_SPLATS],
            sums: [[0.0; 16]; N_SUMS],
            places: [Place::NONE; N_PLACES],
        }
    }
}

/// An array that a function walks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Array {
    /// A register of the kernel.
    Reg(Reg),
    /// Memory that is read.
    Read(u16),
    /// Memory that is written.
    Write(u16),
    /// Partial column sums.
    Part(u16),
}

/// A number that is the same along a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Number {
    /// A row register's.
    Row(u16),
    /// Memory's, at the row.
    Mem(u16),
}

/// Where a sum or maximum goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// The sum of a row.
    RowSum(u16),
    /// The largest of a row.
    RowMax(u16),
    /// An accumulator of doubles.
    Total(u16),
}

/// What a stretch runs over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Over {
    /// The elements of a tile.
    Elements,
    /// Its non-zeros.
    NonZeros,
    /// Its rows.
    Rows,
}

/// One compiled stretch of a kernel.
#[derive(Debug)]
pub(super) struct Stretch {
    code: usize,
    pool: Vec<f32>,
    /// What it runs over.
    pub over: Over,
    /// Whether the rows of a tile are one run of elements.
    pub flat: bool,
    pub arrays: Vec<Array>,
    pub numbers: Vec<Number>,
    pub targets: Vec<Target>,
}

/// What is done for each tile, in order.
#[derive(Debug)]
pub(super) enum Stage {
    /// The instruction of that number, interpreted.
    Instr(usize),
    /// Compiled code.
    Stretch(Stretch),
}

/// A kernel as stages, with the code of its stretches.
#[derive(Debug)]
pub(super) struct Stages {
    pub list: Vec<Stage>,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pages: Option<pages::Pages>,
}

impl Stages {
    /// The compiled stretches, in order.
    pub fn stretches(&self) -> impl Iterator<Item = &Stretch> {
        self.list.iter().filter_map(|s| if let Stage::Stretch(s) = s { Some(s) } else { None })
    }

    /// Whether tiles leave nothing to each other's stages: everything is one stretch without registers of the kernel's.
    pub fn is_one_pass(&self) -> bool {
        let [Stage::Stretch(s)] = &self.list[..] else { return false };
        s.arrays.iter().all(|a| !matches!(a, Array::Reg(_)))
            && s.numbers.iter().all(|n| !matches!(n, Number::Row(_)))
            && s.targets.iter().all(|t| matches!(t, Target::Total(_)))
    }

    /// All instructions interpreted.
    pub fn interpreted(k: &Kernel) -> Self {
        Self {
            list: (0..k.instrs.len()).map(Stage::Instr).collect(),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            pages: None,
        }
    }

    /// Compiles what can be compiled. The processor must have AVX-512 (F, DQ, BW, VL).
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    pub fn compiled(k: &Kernel) -> Self {
        let (list, code) = lower::stages(k);
        match pages::Pages::new(&code) {
            Some(pages) => Self { list, pages: Some(pages) },
            None => Self::interpreted(k),
        }
    }

    /// Elsewhere nothing is compiled.
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    pub fn compiled(k: &Kernel) -> Self {
        Self::interpreted(k)
    }

    /// Runs a stretch over `len` elements of the frame's arrays, each of which holds that many.
    pub fn call(&self, s: &Stretch, frame: &mut Frame, len: usize) {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if let Some(pages) = &self.pages {
            frame.pool = s.pool.as_ptr();
            pages.call(s.code, frame, len & !15, (1 << (len & 15)) - 1);
        }
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        let _ = (s, frame, len);
    }
}
