//! Products of dense matrices in fixed blocks, and of sparse with dense ones.
#![allow(unsafe_code, reason = "the matrix product takes pointers")]

use super::lanes::{Entries, Isa, Lanes, below};
use super::memory::{Aligned, Memory, Pattern};
use super::pool::Pool;
use crate::plan::{Product, SparseProduct};
use std::ops::Range;

/// What follows on a range of a result's elements, by a worker.
pub(super) type Then<'a> = dyn Fn(Range<usize>, usize) + Sync + 'a;

/// Parts of one product: about this many in all, each with its own rows and columns of the result.
const N_PARTS: usize = 8;

/// Runs a dense product.
pub(super) fn dense<E: Lanes>(p: &Product, mem: &Memory<E>, pool: &Pool) {
    let n_batch: usize = p.batch.iter().map(|b| b[0]).product();
    let [m, n, k] = p.size;
    let work = m * n * k;
    let parts = if work < 1 << 15 { 1 } else { N_PARTS.div_ceil(n_batch) };
    // The longer side is cut, in multiples of what the kernel takes at once.
    let along_m = m >= n;
    let longer = m.max(n);
    let step = longer.div_ceil(parts).next_multiple_of(16);
    let parts = longer.div_ceil(step);
    pool.run(n_batch * parts, &|block, _| {
        let (batch, part) = (block / parts, block % parts);
        let mut at = [0; 3];
        let mut rest = batch;
        for b in p.batch.iter().rev() {
            let i = rest % b[0];
            rest /= b[0];
            (0..3).for_each(|x| at[x] += i * b[x + 1]);
        }
        let from = part * step;
        let len = step.min(longer - from);
        let size = if along_m { [len, n, k] } else { [m, len, k] };
        if along_m {
            at[0] += from * p.a_step[0];
            at[2] += from * p.c_step[0];
        } else {
            at[1] += from * p.b_step[1];
            at[2] += from * p.c_step[1];
        }
        again(p, mem, size, at);
    });
}

/// Adds up the products along further contracted dimensions.
fn again<E: Lanes>(p: &Product, mem: &Memory<E>, size: [usize; 3], at: [usize; 3]) {
    let n_again: usize = p.again.iter().map(|a| a[0]).product();
    for step in 0..n_again {
        let mut here = at;
        let mut rest = step;
        for a in p.again.iter().rev() {
            let i = rest % a[0];
            rest /= a[0];
            here[0] += i * a[1];
            here[1] += i * a[2];
        }
        multiply(p, mem, size, here, step > 0);
    }
}

fn multiply<E: Lanes>(p: &Product, mem: &Memory<E>, size: [usize; 3], at: [usize; 3], add: bool) {
    let [m, n, k] = size;
    let extent = |steps: [usize; 2], a: usize, b: usize| (a - 1) * steps[0] + (b - 1) * steps[1] + 1;
    let a = mem.read(p.a, at[0], extent(p.a_step, m, k));
    let b = mem.read(p.b, at[1], extent(p.b_step, k, n));
    // Blocks of one product interleave in memory when columns are cut: the range is checked, the elements are disjoint.
    let c = mem.address(p.c, at[2], extent(p.c_step, m, n));
    let [alpha, one] = [if add { 1.0 } else { 0.0 }, 1.0].map(E::from_f64);
    // SAFETY: the three ranges were checked against the sizes and steps; C overlaps neither A nor B, by the plan.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c,
            p.c_step[1] as isize,
            p.c_step[0] as isize,
            add,
            a.as_ptr(),
            p.a_step[1] as isize,
            p.a_step[0] as isize,
            b.as_ptr(),
            p.b_step[1] as isize,
            p.b_step[0] as isize,
            alpha,
            one,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Ranges of the summed axis that a product with a sparse factor is cut into, each with a partial result: so each thread
/// reads, from one step to the next, mostly the same rows of the dense factor, which it may also have written.
const N_RANGES: usize = 2;

/// Numbers that the partial results of a product with a sparse factor take.
pub(super) fn partial_len(p: &SparseProduct) -> usize {
    if cut_in_ranges(p) { N_RANGES * p.size[0] * p.size[1] } else { 0 }
}

/// Whether the summed axis is cut: for results whose rows are done at once and written one after the other.
fn cut_in_ranges(p: &SparseProduct) -> bool {
    !p.transposed && p.to_step == [p.size[1], 1] && at_once(p) == p.size[1] && p.size[1] >= 16
}

/// Runs a product with a sparse factor: each block does some rows of the result.
/// `then` is called with each range of a transposed product's elements when it is there.
pub(super) fn sparse<E: Lanes>(
    p: &SparseProduct,
    mem: &Memory<E>,
    pool: &Pool,
    isa: Isa,
    partial: &Aligned<E>,
    then: Option<&Then<'_>>,
) {
    let rows = p.size[0];
    let n_blocks = rows.div_ceil(8).min(16);
    if cut_in_ranges(p) {
        return sparse_ranges(p, mem, pool, isa, partial);
    }
    pool.run(n_blocks, &|block, worker| {
        let range = block * rows / n_blocks..(block + 1) * rows / n_blocks;
        if p.transposed {
            sparse_transposed(p, mem, isa, range.clone());
            if let Some(then) = then {
                then(range.start * p.size[1]..range.end * p.size[1], worker);
            }
        } else {
            sparse_rows(p, mem, isa, range);
        }
    });
}

/// A product whose summed axis is cut: partial results, then their sums in the order of the ranges.
fn sparse_ranges<E: Lanes>(p: &SparseProduct, mem: &Memory<E>, pool: &Pool, isa: Isa, partial: &Aligned<E>) {
    let [rows, cols] = p.size;
    let n_blocks = rows.div_ceil(8).min(16);
    let (pattern, values) = non_zeros(p, mem);
    let n_dense = mem.len(p.dense) / p.dense_step[0].max(1);
    let dense = mem.read(p.dense, 0, mem.len(p.dense));
    pool.run(N_RANGES * n_blocks, &|block, _| {
        let (range, block) = (block / n_blocks, block % n_blocks);
        let bound = |r: usize| if r == N_RANGES { u32::MAX } else { (r * n_dense / N_RANGES) as u32 };
        let bounds = [bound(range), bound(range + 1)];
        for r in block * rows / n_blocks..(block + 1) * rows / n_blocks {
            let all = pattern.range(r, r + 1);
            let [from, end] = below(isa, &pattern.columns[all.clone()], bounds);
            let entries = all.start + from..all.start + end;
            let entries = Entries { values: &values[entries.clone()], rows: &pattern.columns[entries] };
            let to = partial.part((range * rows + r) * cols, cols);
            E::sum_rows(isa, to, entries, dense, p.dense_step[0]);
        }
    });
    let n_blocks = n_blocks.min(4);
    pool.run(n_blocks, &|block, _| {
        let (from, end) = (block * rows / n_blocks * cols, (block + 1) * rows / n_blocks * cols);
        let to = mem.write(p.to, from, end - from);
        to.copy_from_slice(partial.part(from, end - from));
        for range in 1..N_RANGES {
            E::add_to(isa, to, partial.part(range * rows * cols + from, end - from));
        }
    });
}

/// Columns of the result that one pass can do: all of them if they are contiguous in both arrays, else one.
fn at_once(p: &SparseProduct) -> usize {
    let contiguous = p.to_step[1] == 1 && p.dense_step[1] == 1;
    if contiguous { p.size[1] } else { 1 }
}

fn non_zeros<'a, E: Lanes>(p: &SparseProduct, mem: &'a Memory<E>) -> (Pattern<'a>, &'a [E]) {
    let pattern = mem.pattern(p.pattern.index());
    let n = pattern.range(0, pattern.offsets.len() - 1).len();
    (pattern, mem.read(p.values, 0, n))
}

fn sparse_rows<E: Lanes>(p: &SparseProduct, mem: &Memory<E>, isa: Isa, range: Range<usize>) {
    let (pattern, values) = non_zeros(p, mem);
    let dense = mem.read(p.dense, 0, mem.len(p.dense));
    for r in range {
        let entries = pattern.range(r, r + 1);
        let entries = Entries { values: &values[entries.clone()], rows: &pattern.columns[entries] };
        for c in (0..p.size[1]).step_by(at_once(p)) {
            let to = mem.write(p.to, r * p.to_step[0] + c * p.to_step[1], at_once(p));
            E::sum_rows(isa, to, entries, &dense[c * p.dense_step[1]..], p.dense_step[0]);
        }
    }
}

/// A range of the pattern's columns: of each of its rows the non-zeros in that range, which are found by comparison. So
/// the pattern need not be sorted by columns.
fn sparse_transposed<E: Lanes>(p: &SparseProduct, mem: &Memory<E>, isa: Isa, range: Range<usize>) {
    let (pattern, values) = non_zeros(p, mem);
    let dense = mem.read(p.dense, 0, mem.len(p.dense));
    let width = at_once(p);
    for c in (0..p.size[1]).step_by(width) {
        let extent = (range.len() - 1) * p.to_step[0] + width;
        let to = mem.write(p.to, range.start * p.to_step[0] + c * p.to_step[1], extent);
        for row in to.chunks_mut(p.to_step[0]) {
            row[..width].fill(E::default());
        }
        for r in 0..pattern.offsets.len() - 1 {
            let all = pattern.range(r, r + 1);
            let columns = &pattern.columns[all.clone()];
            let [from, to_end] = below(isa, columns, [range.start as u32, range.end as u32]);
            let here = all.start + from..all.start + to_end;
            let entries = Entries { values: &values[here.clone()], rows: &pattern.columns[here] };
            let at = r * p.dense_step[0] + c * p.dense_step[1];
            E::add_to_rows(isa, to, p.to_step[0], range.start, entries, &dense[at..at + width]);
        }
    }
}
