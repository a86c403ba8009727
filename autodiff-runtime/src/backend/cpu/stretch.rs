//! Runs the compiled stretches of a kernel on a tile: row by row, in pieces short enough for sums in single precision.

use super::jit::{Array, Frame, Number, Stretch, Target};
use super::lanes::Lanes;
use super::tiles::{Block, Tile};
use crate::plan::Reg;
use std::ops::Range;

/// Elements that are summed in single precision, sixteen at a time, before the sum goes on in double.
const PIECE: usize = 1024;

impl<E: Lanes> Block<'_, E> {
    /// One stretch on one tile.
    pub(super) fn stretch(&self, s: &Stretch, tile: &Tile<'_>, frame: &mut Frame) {
        for r in 0..if s.flat { 1 } else { tile.rows } {
            let run = match (s.sparse, s.flat) {
                (true, _) => tile.row_range(r),
                (_, true) => 0..tile.len(),
                _ => r * tile.cols..(r + 1) * tile.cols,
            };
            for (to, n) in frame.splats.iter_mut().zip(&s.numbers) {
                *to = self.number(*n, r, tile);
            }
            let piece = if s.targets.is_empty() { run.len() } else { PIECE };
            let mut totals = [0.0_f64; super::jit::N_SUMS];
            for (t, target) in totals.iter_mut().zip(&s.targets) {
                *t = if matches!(target, Target::RowMax(_)) { f64::NEG_INFINITY } else { 0.0 };
            }
            for (to, a) in frame.pointers.iter_mut().zip(&s.arrays) {
                *to = self.array(*a, r, &run, tile);
            }
            let mut done = 0;
            while done < run.len() {
                let len = piece.min(run.len() - done);
                self.stages.call(s, frame, len);
                done += len;
                if done < run.len() {
                    let arrays = frame.pointers.iter_mut().take(s.arrays.len());
                    arrays.for_each(|p| *p = p.wrapping_add(len));
                }
                for ((total, target), lanes) in totals.iter_mut().zip(&s.targets).zip(&frame.sums) {
                    match target {
                        Target::RowMax(_) => lanes.iter().for_each(|v| *total = larger(*total, *v)),
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
    }

    fn number(&self, n: Number, r: usize, tile: &Tile<'_>) -> f32 {
        let x = match n {
            Number::Row(i) => self.reg(Reg::Row(i), tile)[r],
            Number::Mem(m) => {
                let m = &self.kernel.mems[m as usize];
                self.mem.read(m.slot, self.offset(&m.outer, tile.row + r), 1)[0]
            }
        };
        x.to_f64() as f32
    }

    /// The first element of an array's part for a run of elements, all of which it holds.
    fn array(&self, a: Array, r: usize, run: &Range<usize>, tile: &Tile<'_>) -> *mut f32 {
        let len = run.len();
        let k = self.kernel;
        let at: *mut E = match a {
            Array::Reg(reg) => self.reg(reg, tile)[run.clone()].as_mut_ptr(),
            Array::Read(m) | Array::Write(m) => {
                let write = matches!(a, Array::Write(_));
                let m = &k.mems[m as usize];
                let from = match (m.sparse, write) {
                    (true, _) => tile.range.start + run.start,
                    (_, true) => tile.row * k.cols + tile.col + run.start,
                    _ => self.offset(&m.outer, tile.row + r) + tile.col,
                };
                self.mem.address(m.slot, from, len)
            }
            Array::Part(acc) => {
                let a = &k.accumulators[acc as usize];
                let part = self.partials.numbers.part(self.index * k.n_partial[0] + a.offset, a.len);
                let from = self.offset(&a.outer, tile.row + r) + tile.col;
                part[from..from + len].as_mut_ptr()
            }
        };
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

/// The larger of two; what is not a number, if either is none.
fn larger(a: f64, b: f32) -> f64 {
    let b = f64::from(b);
    if b > a || b.is_nan() { b } else { a }
}
