//! The order of a kernel's instructions: what runs over the same elements stands together, so that it can become one
//! loop.

use super::kernel::{Arg, Instr, Mem, Reg};
use std::collections::BTreeMap;

/// What an instruction runs over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// The elements of a tile.
    Dense,
    /// Its non-zeros.
    Sparse,
    /// Rows, or more than one of these.
    Other,
}

fn kind(i: &Instr) -> Kind {
    let class = |r: &Reg| match r {
        Reg::Dense(_) => Kind::Dense,
        Reg::Sparse(_) => Kind::Sparse,
        Reg::Row(_) => Kind::Other,
    };
    match i {
        Instr::Elem { to, .. }
        | Instr::Load { to, .. }
        | Instr::Copy { to, .. }
        | Instr::Repeat { to, .. } => class(to),
        Instr::RowReduce { sparse, .. } => {
            if *sparse {
                Kind::Sparse
            } else {
                Kind::Dense
            }
        }
        Instr::Accumulate { class: c, .. } | Instr::Store { class: c, .. } => class(c),
        Instr::Pick { .. } | Instr::Spread { .. } | Instr::AddSparse { .. } => Kind::Other,
    }
}

/// Memory that an instruction reads.
fn reads_memory(i: &Instr) -> Vec<u16> {
    let of = |a: &Arg| if let Arg::Mem(m) = a { Some(*m) } else { None };
    match i {
        Instr::Load { mem, .. } => vec![*mem],
        Instr::Elem { args, .. } => args.iter().filter_map(of).collect(),
        Instr::Copy { from, .. }
        | Instr::Pick { from, .. }
        | Instr::Repeat { from, .. }
        | Instr::RowReduce { from, .. }
        | Instr::Accumulate { from, .. }
        | Instr::Store { from, .. } => of(from).into_iter().collect(),
        Instr::Spread { .. } | Instr::AddSparse { .. } => vec![],
    }
}

/// Reorders instructions whose registers are written once (or changed in place). A value is written before it is read,
/// and memory is read before it is overwritten.
pub(super) fn group(instrs: &mut Vec<Instr>, mems: &[Mem]) {
    let n = instrs.len();
    let mut after: Vec<Vec<usize>> = vec![vec![]; n];
    let mut waits = vec![0_usize; n];
    let mut writer: BTreeMap<Reg, usize> = BTreeMap::new();
    let mut readers: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut add = |from: usize, to: usize, after: &mut Vec<Vec<usize>>| {
        after[from].push(to);
        waits[to] += 1;
    };
    for (at, i) in instrs.iter().enumerate() {
        for r in i.reads() {
            if let Some(w) = writer.get(&r) {
                add(*w, at, &mut after);
            }
        }
        if let Some(r) = i.writes() {
            writer.insert(r, at);
        }
        for m in reads_memory(i) {
            readers.entry(mems[m as usize].slot.index()).or_default().push(at);
        }
    }
    for (at, i) in instrs.iter().enumerate() {
        if let Instr::Store { mem, .. } = i {
            let slot = mems[*mem as usize].slot.index();
            for r in readers.get(&slot).into_iter().flatten().filter(|r| **r != at) {
                add(*r, at, &mut after);
            }
        }
    }
    let order = take_in_turns(instrs, &after, waits);
    *instrs = order.into_iter().map(|i| instrs[i].clone()).collect();
}

/// As long as instructions of the present kind are ready they come; rows and non-zeros before elements.
fn take_in_turns(instrs: &[Instr], after: &[Vec<usize>], mut waits: Vec<usize>) -> Vec<usize> {
    let mut ready: Vec<usize> = (0..instrs.len()).filter(|i| waits[*i] == 0).collect();
    let mut order = vec![];
    let mut now = Kind::Dense;
    while !ready.is_empty() {
        let first_of = |k: Kind| ready.iter().copied().filter(|i| kind(&instrs[*i]) == k).min();
        let found = [now, Kind::Other, Kind::Sparse, Kind::Dense].into_iter().find_map(first_of);
        let Some(next) = found else { break };
        now = kind(&instrs[next]);
        ready.retain(|i| *i != next);
        order.push(next);
        for u in &after[next] {
            waits[*u] -= 1;
            if waits[*u] == 0 {
                ready.push(*u);
            }
        }
    }
    order
}
