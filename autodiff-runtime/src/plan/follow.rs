//! Which kernels can take a product's result block by block, while it is in cache: an optimiser's update takes its
//! gradient so, and the gradient is not read back from memory.

use super::kernel::{Arg, Instr, Kernel};
use super::{Home, Slot, SlotId, Step};

/// For each step that is a product, the later kernel that may run on a block of its result as soon as that is there.
///
/// The kernel is elementwise over the result's elements in their order, is the only reader of the result, and changes
/// variables alone, after the loss (which is there after `loss` steps); no step in between touches what it writes or
/// writes what it reads.
pub(super) fn followers(
    steps: &[Step],
    slots: &[Slot],
    kept: &[SlotId],
    loss: Option<usize>,
) -> Vec<Option<usize>> {
    let follower = |i: usize| {
        let result = row_by_row(&steps[i])?;
        if kept.contains(&result) || loss.is_some_and(|after| i < after) {
            return None;
        }
        let mut readers = (i + 1..steps.len()).filter(|j| reads(&steps[*j]).contains(&result));
        let (j, None) = (readers.next()?, readers.next()) else { return None };
        let Step::Kernel(k) = &steps[j] else { return None };
        let (read, written) = (reads(&steps[j]), writes(&steps[j]));
        let fits = is_plain(k)
            && k.cols == slots[result.index()].len
            && written.iter().all(|s| matches!(slots[s.index()].home, Home::Variable(_)));
        let apart = steps[i + 1..j].iter().all(|t| {
            let (r, w) = (reads(t), writes(t));
            !w.iter().any(|s| read.contains(s) || written.contains(s))
                && !r.iter().any(|s| written.contains(s))
        });
        (fits && apart).then_some(j)
    };
    (0..steps.len()).map(follower).collect()
}

/// The result of a product that is written row after row, without gaps.
fn row_by_row(step: &Step) -> Option<SlotId> {
    match step {
        Step::Product(p) => {
            let plain = p.batch.is_empty() && p.again.is_empty();
            (plain && p.c_step == [p.size[1], 1]).then_some(p.c)
        }
        Step::SparseProduct(p) => {
            (p.transposed && p.to_step == [p.size[1], 1] && p.dense_step[1] == 1).then_some(p.to)
        }
        _ => None,
    }
}

/// Whether a kernel is one row of elements, each by itself.
fn is_plain(k: &Kernel) -> bool {
    k.rows() == 1
        && k.pattern.is_none()
        && k.accumulators.is_empty()
        && k.mems.iter().all(|m| !m.index && !m.sparse && m.col <= 1)
        && !k.instrs.iter().any(|i| matches!(i, Instr::RowReduce { .. }))
}

fn stored(k: &Kernel) -> Vec<u16> {
    let store = |i: &Instr| if let Instr::Store { mem, .. } = i { Some(*mem) } else { None };
    k.instrs.iter().filter_map(store).collect()
}

fn loaded(k: &Kernel) -> Vec<u16> {
    let arg = |a: &Arg| if let Arg::Mem(m) = a { Some(*m) } else { None };
    let of = |i: &Instr| match i {
        Instr::Load { mem, .. } => vec![*mem],
        Instr::Elem { args, .. } => args.iter().filter_map(arg).collect(),
        Instr::Copy { from, .. }
        | Instr::Pick { from, .. }
        | Instr::Repeat { from, .. }
        | Instr::RowReduce { from, .. }
        | Instr::Accumulate { from, .. }
        | Instr::Store { from, .. } => arg(from).into_iter().collect(),
        Instr::Spread { .. } | Instr::AddSparse { .. } => vec![],
    };
    k.instrs.iter().flat_map(of).collect()
}

/// Slots that a step reads.
fn reads(step: &Step) -> Vec<SlotId> {
    match step {
        Step::Kernel(k) => loaded(k).into_iter().map(|m| k.mems[m as usize].slot).collect(),
        Step::Product(p) => vec![p.a, p.b],
        Step::SparseProduct(p) => vec![p.values, p.dense],
        Step::Reduce(r) => vec![r.from],
        Step::Copy(c) => vec![c.from],
        Step::Lookup(l) => vec![l.data, l.index],
        Step::Draw(d) => d.params.iter().copied().chain(d.rows).collect(),
    }
}

/// Slots that a step writes.
fn writes(step: &Step) -> Vec<SlotId> {
    match step {
        Step::Kernel(k) => {
            let stores = stored(k).into_iter().map(|m| k.mems[m as usize].slot);
            stores.chain(k.accumulators.iter().map(|a| a.slot)).collect()
        }
        Step::Product(p) => vec![p.c],
        Step::SparseProduct(p) => vec![p.to],
        Step::Reduce(r) => vec![r.to],
        Step::Copy(c) => vec![c.to],
        Step::Lookup(l) => vec![l.to],
        Step::Draw(d) => vec![d.to],
    }
}
