//! Products of dense matrices on the processor's matrix unit, with the accuracy of single precision.
//!
//! The unit multiplies bfloat16 alone; numbers are split in three parts and the products of parts that matter are
//! summed ([`pack`], [`amx`]): six products at sixteen times the speed of vector code. Work is cut into blocks that
//! depend on the sizes alone, so results do not depend on the number of threads.
#![allow(
    unsafe_code,
    reason = "instructions that the language does not know, after the processor was asked for them"
)]

mod amx;
mod pack;

use super::memory::{Aligned, Memory};
use super::pool::Pool;
use super::products::Then;
use crate::element::Element;
use crate::plan::Product;
use pack::{BLOCK, DEPTH, Part, pack, words};

/// Products with less work than this are not worth packing.
const LEAST_WORK: usize = 1 << 16;
/// Nor are those with a shorter side than this.
const LEAST_SIDE: usize = 8;
/// Blocks of a product.
const N_BLOCKS: usize = 16;
/// Blocks of a product whose summed axis is cut: each has a partial result of its own.
const N_PARTIAL: usize = 8;

/// Length along the summed axis of what is packed at once, where that is cut: it stays in the second-level cache.
const AT_ONCE: usize = 4 * DEPTH;

/// How a product is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Along n, with all of the left factor packed beforehand.
    Columns(usize),
    /// Along m, with all of the right factor packed beforehand.
    Rows(usize),
    /// Along the summed axis, with partial results added up afterwards.
    Depth(usize),
}

/// A product as the unit does it: with contiguous rows of C.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Whether the plan's factors change places.
    swapped: bool,
    size: [usize; 3],
    cut: Cut,
}

impl Shape {
    fn of(p: &Product) -> Option<Self> {
        let [m, n, k] = p.size;
        if !p.batch.is_empty()
            || !p.again.is_empty()
            || m * n * k < LEAST_WORK
            || m.min(n).min(k) < LEAST_SIDE
        {
            return None;
        }
        let swapped = p.c_step[1] != 1 && p.c_step[0] == 1;
        let size = if swapped { [n, m, k] } else { [m, n, k] };
        let step = |x: usize| x.div_ceil(N_BLOCKS).next_multiple_of(2 * BLOCK);
        let cut = if k >= 4 * m.max(n) {
            Cut::Depth(k.div_ceil(N_PARTIAL).next_multiple_of(DEPTH))
        } else if size[1] >= size[0] {
            Cut::Columns(step(size[1]))
        } else {
            Cut::Rows(step(size[0]))
        };
        Some(Self { swapped, size, cut })
    }

    /// Words for what all blocks share and for what each packs; numbers for partial results.
    fn needs(&self) -> [usize; 3] {
        let [m, n, k] = self.size;
        match self.cut {
            Cut::Columns(step) => [words(m, k), words(step, k), 0],
            Cut::Rows(step) => [words(n, k), words(step, k), 0],
            Cut::Depth(step) => [0, words(m, AT_ONCE) + words(n, AT_ONCE), k.div_ceil(step) * m * n],
        }
    }
}

/// The unit and its memory.
pub(super) struct Unit {
    shared: Aligned<u32>,
    own: Vec<Aligned<u32>>,
    partial: Aligned<f32>,
}

impl Unit {
    /// Memory for some products; `None` without the unit, or for another element type.
    pub fn new<'a, E: Element>(products: impl Iterator<Item = &'a Product>, threads: usize) -> Option<Self> {
        if E::NAME != f32::NAME || !amx::available() {
            return None;
        }
        let most = products
            .filter_map(Shape::of)
            .map(|s| s.needs())
            .fold([0; 3], |a, b| [0, 1, 2].map(|i| a[i].max(b[i])));
        Some(Self {
            shared: Aligned::new(most[0]),
            own: (0..threads).map(|_| Aligned::new(most[1])).collect(),
            partial: Aligned::new(most[2]),
        })
    }

    /// Runs a product, if it is one for the unit. If it is cut into rows, `then` is called with each range of elements when
    /// it is there; whether that was so is the result.
    pub fn multiply<E: Element>(
        &self,
        p: &Product,
        mem: &Memory<E>,
        pool: &Pool,
        then: Option<&Then<'_>>,
    ) -> Option<bool> {
        let shape = Shape::of(p)?;
        let [m, n, k] = shape.size;
        let (a, b) = (operand(mem, p, shape.swapped, m, k), operand(mem, p, !shape.swapped, n, k));
        let extent = (p.size[0] - 1) * p.c_step[0] + (p.size[1] - 1) * p.c_step[1] + 1;
        let c: *mut f32 = mem.address(p.c, 0, extent).cast();
        let c_step = if shape.swapped { [p.c_step[1], p.c_step[0]] } else { p.c_step };
        let c = Target { at: c.expose_provenance(), step: c_step };
        match shape.cut {
            Cut::Columns(step) => self.by_columns(a, b, c, step, pool),
            Cut::Rows(step) => {
                let then = then.filter(|_| !shape.swapped);
                self.by_rows(a, b, c, step, pool, then);
                return Some(then.is_some());
            }
            Cut::Depth(step) => self.by_depth(a, b, c, step, pool),
        }
        Some(false)
    }

    /// Packs a factor that every block needs.
    fn share(&self, part: Part<'_>, pairs_first: bool, pool: &Pool) -> &[u32] {
        let [x, k] = part.size;
        let packed = words(2 * BLOCK, k);
        pool.run(x.div_ceil(2 * BLOCK), &|i, _| {
            let to = self.shared.part(i * packed, packed);
            // SAFETY: the unit's processors have these instructions.
            unsafe { pack(part.rows(i * 2 * BLOCK, 2 * BLOCK), pairs_first, to) };
        });
        self.shared.part(0, words(x, k))
    }

    fn by_columns(&self, a: Part<'_>, b: Part<'_>, c: Target, step: usize, pool: &Pool) {
        let ([m, k], n) = (a.size, b.size[0]);
        let left = self.share(a, false, pool);
        pool.run(n.div_ceil(step), &|i, worker| {
            let b = b.rows(i * step, step);
            let own = self.own[worker].part(0, words(b.size[0], k));
            // SAFETY: as above.
            unsafe { pack(b, true, own) };
            block(left, own, [m, b.size[0], k], c.moved(0, i * step), false);
        });
    }

    fn by_rows(
        &self,
        a: Part<'_>,
        b: Part<'_>,
        c: Target,
        step: usize,
        pool: &Pool,
        then: Option<&Then<'_>>,
    ) {
        let ([m, k], n) = (a.size, b.size[0]);
        let right = self.share(b, true, pool);
        pool.run(m.div_ceil(step), &|i, worker| {
            let a = a.rows(i * step, step);
            let own = self.own[worker].part(0, words(a.size[0], k));
            // SAFETY: as above.
            unsafe { pack(a, false, own) };
            block(own, right, [a.size[0], n, k], c.moved(i * step, 0), false);
            if let Some(then) = then {
                then(i * step * n..(i * step + a.size[0]) * n, worker);
            }
        });
    }

    fn by_depth(&self, a: Part<'_>, b: Part<'_>, c: Target, step: usize, pool: &Pool) {
        let (m, n, k) = (a.size[0], b.size[0], a.size[1]);
        let n_parts = k.div_ceil(step);
        pool.run(n_parts, &|i, worker| {
            let (a, b) = (a.depth(i * step, step), b.depth(i * step, step));
            let to = self.partial.part(i * m * n, m * n);
            let to = Target { at: to.as_mut_ptr().expose_provenance(), step: [n, 1] };
            let own = self.own[worker].part(0, words(m, AT_ONCE) + words(n, AT_ONCE));
            for from in (0..a.size[1]).step_by(AT_ONCE) {
                let (a, b) = (a.depth(from, AT_ONCE), b.depth(from, AT_ONCE));
                let depth = a.size[1];
                let (left, right) = own.split_at_mut(words(m, depth));
                // SAFETY: as above.
                unsafe {
                    pack(a, false, left);
                    pack(b, true, right);
                }
                block(left, right, [m, n, depth], to, from > 0);
            }
        });
        let rows = m.div_ceil(N_PARTIAL);
        pool.run(m.div_ceil(rows), &|i, _| {
            for row in i * rows..m.min((i + 1) * rows) {
                let first = self.partial.part(row * n, n);
                for part in 1..n_parts {
                    let next = self.partial.part(part * m * n + row * n, n);
                    first.iter_mut().zip(next).for_each(|(x, y)| *x += *y);
                }
                first.iter().enumerate().for_each(|(j, x)| c.put(row, j, *x));
            }
        });
    }
}

/// Where a result goes.
#[derive(Clone, Copy)]
struct Target {
    at: usize,
    step: [usize; 2],
}

impl Target {
    fn moved(self, row: usize, col: usize) -> Self {
        let by = row * self.step[0] + col * self.step[1];
        Self { at: self.at + by * size_of::<f32>(), ..self }
    }

    fn address(self) -> *mut f32 {
        std::ptr::with_exposed_provenance_mut(self.at)
    }

    fn get(self, row: usize, col: usize) -> f32 {
        // SAFETY: as for `put`.
        unsafe { *self.moved(row, col).address() }
    }

    fn put(self, row: usize, col: usize, x: f32) {
        // SAFETY: the whole range of the result was checked, and each block writes its own rows and columns.
        unsafe { *self.moved(row, col).address() = x };
    }
}

impl<'a> Part<'a> {
    fn rows(self, from: usize, most: usize) -> Self {
        let n = most.min(self.size[0] - from);
        Self { data: &self.data[from * self.step[0]..], size: [n, self.size[1]], ..self }
    }

    fn depth(self, from: usize, most: usize) -> Self {
        let n = most.min(self.size[1] - from);
        Self { data: &self.data[from * self.step[1]..], size: [self.size[0], n], ..self }
    }
}

fn operand<'a, E: Element>(mem: &'a Memory<E>, p: &Product, right: bool, x: usize, k: usize) -> Part<'a> {
    let (slot, step) = if right { (p.b, [p.b_step[1], p.b_step[0]]) } else { (p.a, p.a_step) };
    let extent = (x - 1) * step[0] + (k - 1) * step[1] + 1;
    let data = mem.read(slot, 0, extent);
    // SAFETY: `Unit::new` made the unit for single precision alone.
    let data = unsafe { std::slice::from_raw_parts(data.as_ptr().cast::<f32>(), data.len()) };
    Part { data, step, size: [x, k] }
}

/// c = a · b from packed factors, added to what is there if `more`.
fn block(a: &[u32], b: &[u32], size: [usize; 3], c: Target, more: bool) {
    let [m, n, k] = size;
    let steps = k.div_ceil(DEPTH);
    // Bytes of 16 positions.
    let next = steps * 3 * amx::TILE;
    assert!(a.len() >= words(m, k) && b.len() >= words(n, k), "packed factors are there");
    // SAFETY: this code runs only where `available` said yes.
    let tiles = unsafe { amx::Tiles::new() };
    let mut edge = [0.0_f32; 4 * BLOCK * BLOCK];
    for j in (0..n).step_by(2 * BLOCK) {
        for i in (0..m).step_by(2 * BLOCK) {
            let from = |x: &[u32], at: usize| x.as_ptr().cast::<u8>().wrapping_add(at / BLOCK * next);
            let whole = i + 2 * BLOCK <= m && j + 2 * BLOCK <= n && c.step[1] == 1;
            let (to, stride) =
                if whole { (c.moved(i, j).address(), c.step[0]) } else { (edge.as_mut_ptr(), 2 * BLOCK) };
            let stride = stride * size_of::<f32>();
            // SAFETY: packed factors hold an even number of blocks; the target holds 32 rows and columns.
            unsafe { tiles.multiply(from(a, i), from(b, j), [next; 2], steps, to, stride, more && whole) };
            if !whole {
                for row in i..m.min(i + 2 * BLOCK) {
                    for col in j..n.min(j + 2 * BLOCK) {
                        let v = edge[(row - i) * 2 * BLOCK + col - j];
                        c.put(row, col, if more { c.get(row, col) + v } else { v });
                    }
                }
            }
        }
    }
}
