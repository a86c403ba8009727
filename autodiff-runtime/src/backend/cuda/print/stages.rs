//! A kernel's instructions as passes over a row: each a loop over its elements or over its non-zeros, with what is computed
//! once for the row before it; and where values wait that one pass leaves for another.

use crate::plan::{Instr, Kernel, Reg};
use std::collections::{BTreeMap, BTreeSet};

/// What a pass runs over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Over {
    /// The columns of the row.
    Columns,
    /// Its non-zeros.
    NonZeros,
}

/// One pass.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    /// What it runs over; `None` for numbers of the row alone.
    pub over: Option<Over>,
    /// Instructions on numbers of the row, done first.
    pub before: Vec<usize>,
    /// Instructions of the loop.
    pub inside: Vec<usize>,
}

/// Where a value waits between passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Waits {
    /// In the thread that made it: it alone asks for it again.
    Thread,
    /// Where all threads of the team can reach it.
    Team,
}

/// The passes of a kernel.
pub(super) struct Stages {
    pub list: Vec<Stage>,
    /// Registers (dense or sparse) that wait.
    pub waits: BTreeMap<Reg, Waits>,
    /// Instructions whose result is kept, and those that begin with a kept operand, by the operand.
    pub keeps: BTreeSet<usize>,
    pub fetches: BTreeSet<(usize, Reg)>,
}

fn over(i: &Instr) -> Option<Over> {
    let class = |r: &Reg| match r {
        Reg::Dense(_) => Some(Over::Columns),
        Reg::Sparse(_) => Some(Over::NonZeros),
        Reg::Row(_) => None,
    };
    match i {
        Instr::Elem { to, .. }
        | Instr::Load { to, .. }
        | Instr::Copy { to, .. }
        | Instr::Repeat { to, .. } => class(to),
        Instr::RowReduce { sparse, .. } => Some(if *sparse { Over::NonZeros } else { Over::Columns }),
        Instr::Accumulate { class: c, .. } | Instr::Store { class: c, .. } => class(c),
        Instr::Pick { .. } | Instr::Spread { .. } | Instr::AddSparse { .. } => Some(Over::NonZeros),
    }
}

fn row(r: &Reg) -> bool {
    matches!(r, Reg::Row(_))
}

/// Whether the instruction's dense operand or result is reached at the columns of the non-zeros.
fn crosses(i: &Instr) -> Option<Reg> {
    match i {
        Instr::Pick { from: crate::plan::Arg::Reg(r @ Reg::Dense(_)), .. } => Some(*r),
        Instr::Spread { to, .. } | Instr::AddSparse { to, .. } => Some(*to),
        _ => None,
    }
}

impl Stages {
    pub fn of(k: &Kernel) -> Self {
        let list = partition(&k.instrs);
        let (waits, keeps, fetches) = waiting(&k.instrs, &list);
        Self { list, waits, keeps, fetches }
    }
}

fn partition(instrs: &[Instr]) -> Vec<Stage> {
    let mut list = vec![Stage { over: None, before: vec![], inside: vec![] }];
    // Row registers that the present pass uses, and those that it gives at its end.
    let (mut used, mut given): (BTreeSet<Reg>, BTreeSet<Reg>) = Default::default();
    for (at, i) in instrs.iter().enumerate() {
        let kind = over(i);
        let reads_given = i.reads().iter().any(|r| given.contains(r));
        let writes_used = i.writes().is_some_and(|r| row(&r) && (used.contains(&r) || given.contains(&r)));
        let now = list.last().and_then(|s| s.over);
        let fits = kind.is_none() || now.is_none() || kind == now;
        if reads_given || writes_used || !fits {
            list.push(Stage { over: None, before: vec![], inside: vec![] });
            used.clear();
            given.clear();
        }
        let Some(stage) = list.last_mut() else { continue };
        match kind {
            None => stage.before.push(at),
            Some(_) => {
                stage.over = kind;
                stage.inside.push(at);
                used.extend(i.reads().into_iter().filter(row));
                given.extend(i.writes().filter(row));
            }
        }
    }
    list
}

type Waiting = (BTreeMap<Reg, Waits>, BTreeSet<usize>, BTreeSet<(usize, Reg)>);

fn waiting(instrs: &[Instr], list: &[Stage]) -> Waiting {
    let mut stage_of = vec![0; instrs.len()];
    for (s, stage) in list.iter().enumerate() {
        stage.before.iter().chain(&stage.inside).for_each(|i| stage_of[*i] = s);
    }
    let mut waits: BTreeMap<Reg, Waits> = BTreeMap::new();
    let (mut keeps, mut fetches) = (BTreeSet::new(), BTreeSet::new());
    let mut writer: BTreeMap<Reg, usize> = BTreeMap::new();
    for (at, i) in instrs.iter().enumerate() {
        let crossing = crosses(i);
        for r in i.reads().into_iter().filter(|r| !row(r)) {
            let Some(&w) = writer.get(&r) else { continue };
            if stage_of[w] == stage_of[at] && crossing != Some(r) && crosses(&instrs[w]) != Some(r) {
                continue;
            }
            waits.entry(r).or_insert(Waits::Thread);
            keeps.insert(w);
            if crossing != Some(r) {
                fetches.insert((at, r));
            }
        }
        if let Some(r) = crossing {
            waits.insert(r, Waits::Team);
        }
        if let Some(r) = i.writes().filter(|r| !row(r)) {
            writer.insert(r, at);
        }
    }
    (waits, keeps, fetches)
}
