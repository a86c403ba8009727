//! Steps that walk arrays by strides: reductions along inner axes, copies, look-ups, draws.

use super::draws;
use super::lanes::{Isa, Lanes};
use super::memory::Memory;
use super::pool::Pool;
use crate::element::Element;
use crate::op::{RandomKind, ReduceKind};
use crate::plan::{Draw, Lookup, StridedCopy, StridedReduce, WalkDims};
use crate::random::{SiteKey, draw, multinomial};
use crate::store::StepKey;

/// Offsets of position number `i` of nested loops, one per value.
pub(super) fn offsets<const N: usize>(dims: &WalkDims, i: usize) -> [usize; N] {
    let mut at = [0; N];
    let mut rest = i;
    for (size, steps) in dims.iter().rev() {
        let k = rest % size;
        rest /= size;
        for (a, s) in at.iter_mut().zip(steps) {
            *a += k * s;
        }
    }
    at
}

pub(super) fn count(dims: &WalkDims) -> usize {
    dims.iter().map(|d| d.0).product()
}

/// Blocks of work, fixed by its size.
pub(super) fn n_blocks(work: usize, n: usize) -> usize {
    work.div_ceil(1 << 13).min(16).min(n).max(1)
}

/// Runs a reduction.
pub(super) fn reduce<E: Element>(s: &StridedReduce, mem: &Memory<E>, pool: &Pool) {
    let (n_out, n_over) = (count(&s.outer), count(&s.over));
    let from = mem.read(s.from, 0, mem.len(s.from));
    if s.kind == ReduceKind::ArgMax {
        let to = mem.write_index(s.to);
        for (i, t) in to.iter_mut().enumerate() {
            let [base] = offsets(&s.outer, i);
            let at = |k: usize| from[base + offsets::<1>(&s.over, k)[0]].to_f64();
            *t = argmax(n_over, at) as u32;
        }
        return;
    }
    let blocks = n_blocks(n_out * n_over, n_out);
    pool.run(blocks, &|b, _| {
        let (first, end) = (b * n_out / blocks, (b + 1) * n_out / blocks);
        let to = mem.write(s.to, first, end - first);
        for (i, t) in (first..end).zip(to) {
            let [base] = offsets(&s.outer, i);
            let at = |k: usize| from[base + offsets::<1>(&s.over, k)[0]].to_f64();
            *t = E::from_f64(reduce_one(s.kind, n_over, at));
        }
    });
}

fn largest(n: usize, at: impl Fn(usize) -> f64) -> f64 {
    (0..n).map(at).fold(f64::NEG_INFINITY, |m, v| if v > m || v.is_nan() { v } else { m })
}

fn argmax(n: usize, at: impl Fn(usize) -> f64) -> usize {
    let max = largest(n, &at);
    (0..n).position(|k| at(k) == max).unwrap_or(0)
}

fn reduce_one(kind: ReduceKind, n: usize, at: impl Fn(usize) -> f64) -> f64 {
    match kind {
        ReduceKind::Sum => (0..n).map(at).sum(),
        ReduceKind::Prod => (0..n).map(at).product(),
        ReduceKind::Max | ReduceKind::ArgMax => largest(n, at),
        ReduceKind::Min => -largest(n, |k| -at(k)),
        ReduceKind::LogSumExp => {
            let max = largest(n, &at);
            if max.is_infinite() { max } else { max + (0..n).map(|k| (at(k) - max).exp()).sum::<f64>().ln() }
        }
    }
}

/// Runs a copy, of reals or of indices.
pub(super) fn copy<E: Element>(s: &StridedCopy, index: bool, mem: &Memory<E>, pool: &Pool) {
    let n = count(&s.dims);
    if index {
        let (from, to) = (mem.read_index(s.from), mem.write_index(s.to));
        to.iter_mut().enumerate().for_each(|(i, t)| *t = from[offsets::<1>(&s.dims, i)[0]]);
        return;
    }
    let from = mem.read(s.from, 0, mem.len(s.from));
    let blocks = n_blocks(n, n);
    pool.run(blocks, &|b, _| {
        let (first, end) = (b * n / blocks, (b + 1) * n / blocks);
        let to = mem.write(s.to, first, end - first);
        (first..end).zip(to).for_each(|(i, t)| *t = from[offsets::<1>(&s.dims, i)[0]]);
    });
}

/// Runs a look-up or a scattered addition (which keeps the order of additions: one block).
pub(super) fn lookup<E: Lanes>(s: &Lookup, index_data: bool, mem: &Memory<E>, pool: &Pool, isa: Isa) {
    let n = count(&s.dims);
    let index = mem.read_index(s.index);
    // Indices come from checked feeds or from the graph itself; computed ones are held to the axis here.
    let held = |i: u32| (i as usize).min(s.axis_size - 1) * s.axis_step;
    if index_data {
        let (data, to) = (mem.read_index(s.data), mem.write_index(s.to));
        for (i, t) in to.iter_mut().enumerate() {
            let [d, x, _] = offsets::<3>(&s.dims, i);
            *t = data[d + held(index[x])];
        }
        return;
    }
    let data = mem.read(s.data, 0, mem.len(s.data));
    if let Some((run, [1, 0, step])) = s.dims.last().map(|d| (d.0, [d.1[0], d.1[1], d.1[2]]))
        && (step == 1 || !s.add)
    {
        return lookup_runs(s, run, mem, pool, isa);
    }
    // A run along the last dimension at a time, so that positions are worked out once for each.
    let (run, step) = s.dims.last().map_or((1, [0; 3]), |d| (d.0, [d.1[0], d.1[1], d.1[2]]));
    let n_runs = n / run;
    if s.add {
        let to = mem.write(s.to, 0, mem.len(s.to));
        to.fill(E::default());
        for r in 0..n_runs {
            let [d, x, o] = offsets::<3>(&s.dims, r * run);
            for k in 0..run {
                let t = &mut to[o + k * step[2] + held(index[x + k * step[1]])];
                *t = E::plus(*t, data[d + k * step[0]]);
            }
        }
        return;
    }
    let blocks = n_blocks(n, n_runs);
    pool.run(blocks, &|b, _| {
        for r in b * n_runs / blocks..(b + 1) * n_runs / blocks {
            let [d, x, _] = offsets::<3>(&s.dims, r * run);
            let to = mem.write(s.to, r * run, run);
            for (k, t) in to.iter_mut().enumerate() {
                *t = data[d + k * step[0] + held(index[x + k * step[1]])];
            }
        }
    });
}

/// The same where whole runs along the last dimension are moved; a result that is read is walked in order anyway.
fn lookup_runs<E: Lanes>(s: &Lookup, run: usize, mem: &Memory<E>, pool: &Pool, isa: Isa) {
    let (n, index) = (count(&s.dims) / run, mem.read_index(s.index));
    let held = |i: u32| (i as usize).min(s.axis_size - 1) * s.axis_step;
    if s.add {
        mem.write(s.to, 0, mem.len(s.to)).fill(E::default());
        for i in 0..n {
            let [d, x, o] = offsets::<3>(&s.dims, i * run);
            E::add_to(isa, mem.write(s.to, o + held(index[x]), run), mem.read(s.data, d, run));
        }
        return;
    }
    let blocks = n_blocks(n * run, n);
    pool.run(blocks, &|b, _| {
        for i in b * n / blocks..(b + 1) * n / blocks {
            let [d, x, _] = offsets::<3>(&s.dims, i * run);
            mem.write(s.to, i * run, run).copy_from_slice(mem.read(s.data, d + held(index[x]), run));
        }
    });
}

/// Runs draws: each element from its own words, so blocks do not matter.
pub(super) fn random<E: Element>(s: &Draw, key: StepKey, mem: &Memory<E>, pool: &Pool, isa: Isa) {
    let n = count(&s.dims);
    let site = SiteKey::new(key, s.stream);
    let rows: &[u32] = s.rows.map_or(&[], |r| mem.read_index(r));
    let params: [&[E]; 2] =
        [0, 1].map(|p| s.params.get(p).map_or(&[][..], |slot| mem.read(*slot, 0, mem.len(*slot))));
    let blocks = n_blocks(n * 8, n);
    if draws::in_runs(s) {
        return draws::runs(s, &site, rows, mem, pool, isa);
    }
    pool.run(blocks, &|b, _| {
        for i in b * n / blocks..(b + 1) * n / blocks {
            let [o, own, row, p0, p1] = offsets::<5>(&s.dims, i);
            let mut words = site.element(rows.get(row).copied().unwrap_or(0), own as u64);
            let param = |p: usize, at: usize| params[p].get(at).map_or(0.0, |v| v.to_f64());
            if let (RandomKind::Multinomial(_), Some([size, step, p_step])) = (s.kind, s.event) {
                let to = mem.write(s.to, o, (size - 1) * step + 1);
                let weight = |k: usize| param(1, p1 + k * p_step);
                let weights: Vec<f64> = (0..size).map(weight).collect();
                let counts = multinomial(&mut words, param(0, p0), &weights);
                counts.into_iter().enumerate().for_each(|(k, x)| to[k * step] = E::from_f64(x));
            } else {
                let values = [param(0, p0), param(1, p1)];
                mem.write(s.to, o, 1)[0] = E::from_f64(draw(s.kind, &values, &mut words));
            }
        }
    });
}
