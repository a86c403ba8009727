//! Text of instructions for the elements that a thread handles at once.

use super::super::form::Place;
use super::entry::{Entry, number};
use crate::plan::{Arg, Instr, Kernel, Mem, Reg};
use std::collections::BTreeSet;

/// Prints instructions over elements: `V` neighbours along the columns, as arrays with that many lanes.
pub(super) struct Lanes<'a> {
    pub kernel: &'a Kernel,
    /// Neighbours of a thread.
    pub v: usize,
    /// Text of the position of each value's first element, for this thread.
    pub at: Vec<String>,
    /// Values that were loaded.
    loaded: BTreeSet<u16>,
}

impl<'a> Lanes<'a> {
    pub fn new(kernel: &'a Kernel, v: usize, at: Vec<String>) -> Self {
        Self { kernel, v, at, loaded: BTreeSet::new() }
    }

    /// The place of a value in memory.
    pub fn place(m: &Mem) -> Place {
        if m.index { Place::Index(m.slot) } else { Place::Real(m.slot) }
    }

    /// Loads a value at its first use; the text of its lane j.
    fn load(&mut self, e: &mut Entry, m: u16) -> String {
        let mem = &self.kernel.mems[m as usize];
        let varies = mem.col != 0 && self.v > 1;
        if self.loaded.insert(m) {
            let from = e.read(Self::place(mem));
            let at = &self.at[m as usize];
            let cast = if mem.index { "(real)" } else { "" };
            match (varies, mem.col, mem.index) {
                (false, ..) => e.line(format!("const real m{m} = {cast}{from}[{at}];")),
                (true, 1, false) if self.v == 4 => {
                    e.line(format!("real m{m}[V]; load4(m{m}, {from} + ({at}));"))
                }
                (true, col, _) => {
                    e.line(format!("real m{m}[V]; EACH m{m}[j] = {cast}{from}[{at} + (idx)j * {col}];"));
                }
            }
        }
        if varies { format!("m{m}[j]") } else { format!("m{m}") }
    }

    /// Text of lane j of an operand.
    pub fn arg(&mut self, e: &mut Entry, arg: Arg) -> String {
        match arg {
            Arg::Const(c) => number(c),
            Arg::Reg(Reg::Dense(i)) => format!("d{i}[j]"),
            Arg::Reg(Reg::Row(i)) => format!("w{i}"),
            Arg::Reg(Reg::Sparse(i)) => format!("z{i}"),
            Arg::Mem(m) => self.load(e, m),
        }
    }

    /// An instruction that fills a dense register; whether it was one.
    pub fn fill(&mut self, e: &mut Entry, i: &Instr) -> bool {
        let (to, text) = match i {
            Instr::Elem { f, to, args } => {
                let args: Vec<String> = args.iter().map(|a| self.arg(e, *a)).collect();
                (to, format!("op_{}({})", f.name(), args.join(", ")))
            }
            Instr::Load { to, mem } => (to, self.load(e, *mem)),
            Instr::Copy { to, from } | Instr::Repeat { to, from } => (to, self.arg(e, *from)),
            _ => return false,
        };
        let Reg::Dense(n) = to else { return false };
        e.line(format!("EACH d{n}[j] = {text};"));
        true
    }

    /// Writes an operand to consecutive elements.
    pub fn store(&mut self, e: &mut Entry, to: &str, at: &str, from: Arg) {
        let text = self.arg(e, from);
        match from {
            Arg::Reg(Reg::Dense(n)) if self.v == 4 => e.line(format!("store4({to} + ({at}), d{n});")),
            _ => e.line(format!("EACH {to}[{at} + j] = {text};")),
        }
    }
}

/// Declares the dense registers that some instructions use.
pub(super) fn declare_dense<'a>(e: &mut Entry, instrs: impl Iterator<Item = &'a Instr>) {
    let used: BTreeSet<u16> = instrs
        .flat_map(|i| i.reads().into_iter().chain(i.writes()))
        .filter_map(|r| if let Reg::Dense(n) = r { Some(n) } else { None })
        .collect();
    if !used.is_empty() {
        let list: Vec<String> = used.iter().map(|n| format!("d{n}[V]")).collect();
        e.line(format!("real {};", list.join(", ")));
    }
}

/// Whether four neighbouring columns may be moved at once: whole groups of four, and every value at a multiple of four.
pub(super) fn by_four(k: &Kernel) -> bool {
    let fits = |outer: &[usize], col: usize| col == 0 || (col == 1 && outer.iter().all(|s| s % 4 == 0));
    k.cols.is_multiple_of(4)
        && k.mems.iter().all(|m| m.index || m.sparse || fits(&m.outer, m.col))
        && k.accumulators.iter().all(|a| a.len == 1 || fits(&a.outer, a.col))
}
