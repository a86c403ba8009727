//! Kernels whose rows do not interact: elementwise functions, with sums over any of the outer dimensions.
//!
//! Dimensions that a sum keeps run along x, those that it sums along y; a thread keeps its own sums in registers. Sums
//! that keep different dimensions take one kernel each, which compute again what they share.

use super::super::form::Place;
use super::entry::{BLOCK, Entry, decompose, offset, power};
use super::lanes::{Lanes, by_four, declare_dense};
use super::{Printer, sums};
use crate::plan::{Instr, Kernel};

/// Teams along y, at most: each has partial sums of its own.
const TEAMS: usize = 64;

/// Whether a kernel is of this form.
pub(super) fn is_flat(k: &Kernel) -> bool {
    k.pattern.is_none() && k.n_regs[1] == 0 && k.n_regs[2] == 0
}

/// A sum that is one number, in double precision.
pub(super) fn is_scalar(k: &Kernel, acc: usize) -> bool {
    k.accumulators[acc].scalar
}

/// Which dimensions (outer ones, then columns) a sum keeps.
fn kept(k: &Kernel, acc: usize) -> Vec<bool> {
    let a = &k.accumulators[acc];
    a.outer.iter().chain([&a.col]).map(|s| *s != 0).collect()
}

pub(super) fn print(p: &mut Printer<'_>, k: &Kernel, step: usize) {
    let mut groups: Vec<(Vec<bool>, Vec<usize>)> = vec![];
    for acc in (0..k.accumulators.len()).filter(|a| !is_scalar(k, *a)) {
        let mask = kept(k, acc);
        match groups.iter_mut().find(|g| g.0 == mask) {
            Some(g) => g.1.push(acc),
            None => groups.push((mask, vec![acc])),
        }
    }
    if groups.is_empty() {
        groups.push((vec![true; k.outer.len() + 1], vec![]));
    }
    let scalars = (0..k.accumulators.len()).filter(|a| is_scalar(k, *a));
    groups[0].1.extend(scalars);
    // What is stored may be read by the others, so it comes last.
    for (i, (mask, accs)) in groups.iter().enumerate().rev() {
        let n_teams = one(p, k, step, i, mask, accs);
        sums::combine(p, k, step, i, accs, n_teams);
    }
}

/// Prints one group's kernel; its numbers of teams and of blocks.
fn one(
    p: &mut Printer<'_>,
    k: &Kernel,
    step: usize,
    group: usize,
    mask: &[bool],
    accs: &[usize],
) -> [usize; 2] {
    let stores = group == 0;
    let sizes: Vec<usize> = k.outer.iter().copied().chain([k.cols]).collect();
    let split = |keep: bool| -> Vec<(usize, String)> {
        let dims = sizes.iter().enumerate().filter(|(i, _)| mask[*i] == keep);
        dims.map(|(i, s)| (*s, format!("i{i}"))).collect()
    };
    let (along_x, along_y) = (split(true), split(false));
    let count = |dims: &[(usize, String)]| dims.iter().map(|d| d.0).product::<usize>();
    let (n_x, n_y) = (count(&along_x), count(&along_y));
    let last = mask.len() - 1;
    let v = if mask[last] && by_four(k) { 4 } else { 1 };
    let width = power(n_x.div_ceil(v), 1, BLOCK);
    let high = BLOCK / width;
    let partial = accs.iter().any(|a| !is_scalar(k, *a));
    let n_teams = if partial { n_y.div_ceil(8).clamp(1, TEAMS) } else { n_y.min(1 << 16) };
    let grid = [n_x.div_ceil(v * width), n_teams.div_ceil(high)];
    let n_teams = grid[1] * high;

    let mut e = Entry::new(format!("k{step}_{group}"));
    e.line(format!("enum {{ V = {v} }};"));
    p.guard(&mut e, stores.then_some(k));
    e.line(format!(
        "const idx x = ((idx)blockIdx.x * {width} + threadIdx.x % {width}) * V, team = (idx)blockIdx.y * {high} + threadIdx.x / {width};"
    ));
    for a in accs {
        let kind = if is_scalar(k, *a) {
            format!("double sum{a} = 0;")
        } else {
            format!("real sum{a}[V]; EACH sum{a}[j] = 0;")
        };
        e.line(kind);
    }
    e.line(format!("if (x < {n_x}) {{"));
    decompose(&mut e, "x", &along_x);
    e.line(format!("for (idx y = team; y < {n_y}; y += {n_teams}) {{"));
    decompose(&mut e, "y", &along_y);
    body(k, &mut e, v, mask, accs, stores, &sizes);
    e.line("}");
    if partial {
        let part = e.write(Place::Partial);
        for a in accs.iter().filter(|a| !is_scalar(k, **a)) {
            let acc = &k.accumulators[*a];
            let at = offset(strides(&acc.outer, acc.col));
            let from = acc.offset;
            e.line(format!("EACH {part}[team * {} + {from} + {at} + j] = sum{a}[j];", k.n_partial[0]));
        }
    }
    e.line("}");
    sums::scalars(&mut e, k, accs);
    p.launch(step, e, grid);
    [n_teams, grid[0] * grid[1]]
}

fn strides(outer: &[usize], col: usize) -> impl Iterator<Item = (usize, String)> {
    outer
        .iter()
        .chain([&col])
        .copied()
        .enumerate()
        .map(|(i, s)| (s, format!("i{i}")))
        .collect::<Vec<_>>()
        .into_iter()
}

fn body(k: &Kernel, e: &mut Entry, v: usize, mask: &[bool], accs: &[usize], stores: bool, sizes: &[usize]) {
    let whole: Vec<usize> = (0..sizes.len()).map(|i| sizes[i + 1..].iter().product()).collect();
    let all = mask.iter().all(|m| *m);
    let place = |outer: &[usize], col: usize| {
        let own: Vec<usize> = outer.iter().copied().chain([col]).collect();
        let contiguous = own.iter().zip(&whole).zip(sizes).all(|((s, w), n)| s == w || *n == 1);
        if all && contiguous { "x".into() } else { offset(strides(outer, col)) }
    };
    let at = k.mems.iter().map(|m| place(&m.outer, m.col)).collect();
    let mut lanes = Lanes::new(k, v, at);
    declare_dense(e, k.instrs.iter());
    for i in &k.instrs {
        match i {
            Instr::Accumulate { acc, from, .. } => {
                let a = *acc as usize;
                if accs.contains(&a) {
                    let x = lanes.arg(e, *from);
                    let lane = if is_scalar(k, a) { "" } else { "[j]" };
                    e.line(format!("EACH sum{a}{lane} += {x};"));
                }
            }
            Instr::Store { mem, from, .. } if stores => {
                let to = e.write(Lanes::place(&k.mems[*mem as usize]));
                let at = place(&whole[..whole.len() - 1], whole[whole.len() - 1]);
                lanes.store(e, &to, &at, *from);
            }
            _ => {
                lanes.fill(e, i);
            }
        }
    }
}
