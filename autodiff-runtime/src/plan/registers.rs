//! Registers: few, by liveness, so that a tile's working set stays in the first-level cache.

use super::kernel::{Arg, Instr, Reg};

impl Instr {
    /// The registers that are read.
    pub fn reads(&self) -> Vec<Reg> {
        let of = |a: &Arg| if let Arg::Reg(r) = a { Some(*r) } else { None };
        match self {
            Instr::Load { .. } => vec![],
            Instr::Elem { args, .. } => args.iter().filter_map(of).collect(),
            Instr::Copy { from, .. }
            | Instr::Pick { from, .. }
            | Instr::Repeat { from, .. }
            | Instr::RowReduce { from, .. }
            | Instr::Accumulate { from, .. }
            | Instr::Store { from, .. } => of(from).into_iter().collect(),
            Instr::Spread { from, .. } => vec![*from],
            Instr::AddSparse { to, from, .. } => vec![*to, *from],
        }
    }

    /// The register that is written.
    pub fn writes(&self) -> Option<Reg> {
        match self {
            Instr::Load { to, .. }
            | Instr::Elem { to, .. }
            | Instr::Copy { to, .. }
            | Instr::Pick { to, .. }
            | Instr::Spread { to, .. }
            | Instr::AddSparse { to, .. }
            | Instr::Repeat { to, .. }
            | Instr::RowReduce { to, .. } => Some(*to),
            Instr::Accumulate { .. } | Instr::Store { .. } => None,
        }
    }

    fn rename(&mut self, f: &mut impl FnMut(Reg) -> Reg) {
        let mut arg = |a: &mut Arg| {
            if let Arg::Reg(r) = a {
                *r = f(*r);
            }
        };
        match self {
            Instr::Load { to, .. } => *to = f(*to),
            Instr::Elem { to, args, .. } => {
                args.iter_mut().for_each(&mut arg);
                *to = f(*to);
            }
            Instr::Copy { to, from }
            | Instr::Pick { to, from }
            | Instr::Repeat { to, from }
            | Instr::RowReduce { to, from, .. } => {
                arg(from);
                *to = f(*to);
            }
            Instr::Spread { to, from } | Instr::AddSparse { to, from, .. } => {
                *from = f(*from);
                *to = f(*to);
            }
            Instr::Accumulate { from, .. } | Instr::Store { from, .. } => arg(from),
        }
    }
}

fn class(r: Reg) -> (usize, usize) {
    match r {
        Reg::Dense(i) => (0, i as usize),
        Reg::Row(i) => (1, i as usize),
        Reg::Sparse(i) => (2, i as usize),
    }
}

fn of_class(class: usize, i: usize) -> Reg {
    match class {
        0 => Reg::Dense(i as u16),
        1 => Reg::Row(i as u16),
        _ => Reg::Sparse(i as u16),
    }
}

/// Gives each of a program's endless registers one of few; returns how many of each class there are.
pub(super) fn allocate(instrs: &mut [Instr]) -> [usize; 3] {
    let size = |c: usize| {
        let all = instrs.iter().filter_map(Instr::writes).map(class);
        all.filter(|r| r.0 == c).map(|r| r.1 + 1).max().unwrap_or(0)
    };
    let mut last: [Vec<usize>; 3] = [0, 1, 2].map(|c| vec![0; size(c)]);
    for (at, i) in instrs.iter().enumerate() {
        for r in i.reads().into_iter().chain(i.writes()) {
            let (c, k) = class(r);
            last[c][k] = at;
        }
    }
    let mut given: [Vec<Option<usize>>; 3] = [0, 1, 2].map(|c| vec![None; last[c].len()]);
    let mut free: [Vec<usize>; 3] = Default::default();
    let mut n = [0; 3];
    for (at, instr) in instrs.iter_mut().enumerate() {
        let mut ending: Vec<Reg> = instr.reads();
        ending.extend(instr.writes());
        ending.sort_unstable();
        ending.dedup();
        instr.rename(&mut |r| {
            let (c, k) = class(r);
            let place = *given[c][k].get_or_insert_with(|| {
                free[c].pop().unwrap_or_else(|| {
                    n[c] += 1;
                    n[c] - 1
                })
            });
            of_class(c, place)
        });
        for (c, k) in ending.into_iter().map(class) {
            if last[c][k] == at {
                free[c].extend(given[c][k]);
            }
        }
    }
    n
}
