//! Runs the compiled stretches of a kernel on a tile: row by row, in pieces short enough for sums in single precision.
#![allow(
    unsafe_code,
    reason = "numbers of a row are read through pointers whose range was checked for all rows"
)]

use super::jit::{Array, Frame, Number, Over, Stretch, Target};
use super::lanes::Lanes;
use super::tiles::{Block, Tile};
use crate::plan::Reg;
use std::ops::Range;

/// Elements that are summed in single precision, sixteen at a time, before the sum goes on in double.
const PIECE: usize = 1024;

/// Where an array or a number of a stretch lies, seen from the first row of a block.
#[derive(Clone, Copy)]
pub(super) struct Place {
    at: *mut f32,
    /// Elements to step per row.
    per_row: usize,
    lies: Lies,
}

/// How an array goes on along a row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lies {
    /// Like the tile: a register.
    InTile,
    /// Like the rows of the kernel.
    InRows,
    /// One number for each row of the kernel.
    ByRow,
    /// Like the non-zeros of the pattern.
    InPattern,
}

impl Place {
    /// Of no array.
    pub const NONE: Place = Place { at: std::ptr::null_mut(), per_row: 0, lies: Lies::InTile };
}

impl<E: Lanes> Block<'_, E> {
    /// Finds the arrays and numbers of all stretches for the rows of a block; `false` if they are not at equal distances
    /// from row to row, or too many: then each row's are found when it comes.
    pub(super) fn find_places(&self, rows: Range<usize>, frame: &mut Frame) -> bool {
        let all = || self.stages.stretches();
        let n: usize = all().map(|s| s.arrays.len() + s.numbers.len()).sum();
        if self.kernel.outer.len() > 1 || n > frame.places.len() {
            return false;
        }
        let mut free = &mut frame.places[..];
        for s in all() {
            let (here, rest) = free.split_at_mut(s.arrays.len() + s.numbers.len());
            self.places_of(s, rows.clone(), here);
            free = rest;
        }
        true
    }

    fn places_of(&self, s: &Stretch, rows: Range<usize>, to: &mut [Place]) {
        let (arrays, numbers) = to.split_at_mut(s.arrays.len());
        arrays.iter_mut().zip(&s.arrays).for_each(|(to, a)| *to = self.array(*a, s, rows.clone()));
        numbers.iter_mut().zip(&s.numbers).for_each(|(to, n)| *to = self.number(*n, rows.clone()));
    }

    /// One stretch on one tile, whose places begin at number `at` of the frame and are seen from row `first`.
    pub(super) fn stretch(
        &self,
        s: &Stretch,
        tile: &Tile<'_>,
        found: Option<(usize, usize)>,
        frame: &mut Frame,
    ) {
        let all_at_once = s.flat || s.over == Over::Rows;
        for r in 0..if all_at_once { 1 } else { tile.rows } {
            let run = match s.over {
                Over::NonZeros => tile.row_range(r),
                Over::Rows => 0..tile.rows,
                Over::Elements if s.flat => 0..tile.len(),
                Over::Elements => r * tile.cols..(r + 1) * tile.cols,
            };
            let row = tile.row + r;
            let (at, first) = found.unwrap_or_else(|| {
                let last = if all_at_once { tile.row + tile.rows } else { row + 1 };
                let n = s.arrays.len() + s.numbers.len();
                self.places_of(s, row..last, &mut frame.places[..n]);
                (0, row)
            });
            let (arrays, numbers) = frame.places[at..].split_at(s.arrays.len());
            for (to, p) in frame.pointers.iter_mut().zip(arrays) {
                let from = match p.lies {
                    Lies::InTile => run.start,
                    Lies::InRows => (row - first) * p.per_row + tile.col,
                    Lies::ByRow => row - first,
                    Lies::InPattern => tile.range.start + run.start,
                };
                *to = p.at.wrapping_add(from);
            }
            for (to, p) in frame.splats.iter_mut().zip(&numbers[..s.numbers.len()]) {
                let from = if p.lies == Lies::InTile { r } else { (row - first) * p.per_row };
                // SAFETY: `number` checked that there is one for every row.
                *to = unsafe { *p.at.wrapping_add(from) };
            }
            self.run_of(s, run.len(), r, tile, frame);
        }
    }

    /// One run of elements, in pieces.
    #[inline(always)]
    fn run_of(&self, s: &Stretch, len: usize, r: usize, tile: &Tile<'_>, frame: &mut Frame) {
        if s.targets.is_empty() {
            return self.stages.call(s, frame, len);
        }
        let mut totals = [0.0_f64; super::jit::N_SUMS];
        for (t, target) in totals.iter_mut().zip(&s.targets) {
            *t = if matches!(target, Target::RowMax(_)) { f64::NEG_INFINITY } else { 0.0 };
        }
        let mut done = 0;
        while done < len {
            let now = PIECE.min(len - done);
            self.stages.call(s, frame, now);
            done += now;
            if done < len {
                let arrays = frame.pointers.iter_mut().take(s.arrays.len());
                arrays.for_each(|p| *p = p.wrapping_add(now));
            }
            for ((total, target), lanes) in totals.iter_mut().zip(&s.targets).zip(&frame.sums) {
                match target {
                    Target::RowMax(_) => *total = larger(*total, largest(*lanes)),
                    _ => *total += f64::from(sum(*lanes)),
                }
            }
        }
        for (total, target) in totals.iter().zip(&s.targets) {
            match target {
                Target::RowSum(to) | Target::RowMax(to) => {
                    self.reg(Reg::Row(*to), tile)[r] = E::from_f64(*total);
                }
                Target::Total(acc) => *self.total(*acc) += *total,
            }
        }
    }

    /// Place of a number for some rows, all of which are there.
    fn number(&self, n: Number, rows: Range<usize>) -> Place {
        match n {
            Number::Row(i) => Place { at: self.whole(Reg::Row(i)), per_row: 1, lies: Lies::InTile },
            Number::Mem(m) => {
                let m = &self.kernel.mems[m as usize];
                let per_row = step(&m.outer);
                let from = self.offset(&m.outer, rows.start);
                let at: *mut E = self.mem.address(m.slot, from, (rows.len() - 1) * per_row + 1);
                Place { at: at.cast(), per_row, lies: Lies::InRows }
            }
        }
    }

    /// Place of an array for some rows, which it holds.
    fn array(&self, a: Array, s: &Stretch, rows: Range<usize>) -> Place {
        let k = self.kernel;
        let extent = |per_row: usize| (rows.len() - 1) * per_row + k.cols;
        let (at, per_row, lies): (*mut E, usize, Lies) = match a {
            Array::Reg(reg) => return Place { at: self.whole(reg), per_row: 0, lies: Lies::InTile },
            Array::Read(m) | Array::Write(m) => {
                let write = matches!(a, Array::Write(_));
                let m = &k.mems[m as usize];
                if m.sparse || (s.over == Over::NonZeros && write) {
                    let all =
                        k.pattern.map_or(0..0, |p| self.mem.pattern(p.index()).range(rows.start, rows.end));
                    let at = self.mem.address(m.slot, 0, all.end);
                    (at, 0, Lies::InPattern)
                } else if s.over == Over::Rows {
                    let from = if write { rows.start } else { self.offset(&m.outer, rows.start) };
                    (self.mem.address(m.slot, from, rows.len()), 1, Lies::ByRow)
                } else {
                    let per_row = if write || s.flat { k.cols } else { step(&m.outer) };
                    let from = if write { rows.start * k.cols } else { self.offset(&m.outer, rows.start) };
                    (self.mem.address(m.slot, from, extent(per_row)), per_row, Lies::InRows)
                }
            }
            Array::Part(acc) => {
                let a = &k.accumulators[acc as usize];
                let part = self.partials.numbers.part(self.index * k.n_partial[0] + a.offset, a.len);
                let from = self.offset(&a.outer, rows.start);
                let per_row = step(&a.outer);
                (part[from..from + extent(per_row)].as_mut_ptr(), per_row, Lies::InRows)
            }
        };
        Place { at: at.cast(), per_row, lies }
    }

    /// A register, as far as it reaches.
    fn whole(&self, r: Reg) -> *mut f32 {
        let at: *mut E = self.register(r).as_mut_ptr();
        at.cast()
    }

    fn total(&self, acc: u16) -> &mut f64 {
        let k = self.kernel;
        let at = self.index * k.n_partial[1] + k.accumulators[acc as usize].offset;
        &mut self.partials.doubles.part(at, 1)[0]
    }
}

/// Sum of sixteen lanes, in a fixed order.
fn sum(mut lanes: [f32; 16]) -> f32 {
    for width in [8, 4, 2, 1] {
        for k in 0..width {
            lanes[k] += lanes[k + width];
        }
    }
    lanes[0]
}

/// Elements to step per row, of a kernel with one dimension of rows at most.
fn step(outer: &[usize]) -> usize {
    if let [s] = outer { *s } else { 0 }
}

/// The largest of sixteen lanes; what is not a number, if any is none.
fn largest(lanes: [f32; 16]) -> f32 {
    let pick = |a: f32, b: f32| if b > a || b.is_nan() { b } else { a };
    lanes.into_iter().fold(f32::NEG_INFINITY, pick)
}

/// The larger of two; what is not a number, if either is none.
fn larger(a: f64, b: f32) -> f64 {
    let b = f64::from(b);
    if b > a || b.is_nan() { b } else { a }
}
