//! The tile interpreter: runs a kernel's program on each tile of a block, in registers that fit the cache.

use super::jit::{Frame, Stage, Stages};
use super::lanes::{Isa, Lanes, Src};
use super::memory::{Aligned, Memory, Pattern};
use crate::element::Element;
use crate::op::Elem;
use crate::plan::{Arg, Instr, Kernel, Mem, Reg};
use std::ops::Range;

/// One worker's registers.
pub(super) struct Scratch<E> {
    numbers: Aligned<E>,
    places: Aligned<u32>,
}

impl Element for u32 {
    const NAME: &'static str = "u32";
    fn from_f64(x: f64) -> Self {
        x as u32
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

/// Elements of a kernel's dense register, of its row register, and of all registers.
pub(super) fn sizes(k: &Kernel) -> [usize; 3] {
    let tile = (k.tile_rows * k.tile_cols).next_multiple_of(16) + 16;
    let row = k.tile_rows.next_multiple_of(16);
    [tile, row, (k.n_regs[0] + k.n_regs[2]) * tile + k.n_regs[1] * row]
}

impl<E: Element> Scratch<E> {
    /// Registers for the largest of some kernels.
    pub fn for_kernels<'a>(kernels: impl Iterator<Item = &'a Kernel>) -> Self {
        let (mut numbers, mut places) = (0, 0);
        for k in kernels {
            let [tile, _, all] = sizes(k);
            numbers = numbers.max(all);
            places = places.max(if k.pattern.is_some() { tile } else { 0 });
        }
        Self { numbers: Aligned::new(numbers), places: Aligned::new(places) }
    }
}

/// Partial sums of all blocks of a kernel.
pub(super) struct Partials<E> {
    pub numbers: Aligned<E>,
    pub doubles: Aligned<f64>,
}

/// A kernel at work on one block.
pub(super) struct Block<'a, E> {
    pub isa: Isa,
    pub kernel: &'a Kernel,
    pub stages: &'a Stages,
    /// What [`sizes`] says.
    pub sizes: [usize; 3],
    pub mem: &'a Memory<E>,
    pub scratch: &'a Scratch<E>,
    pub partials: &'a Partials<E>,
    pub index: usize,
}

/// One tile: its rows and columns, and its non-zeros.
pub(super) struct Tile<'a> {
    pub row: usize,
    pub rows: usize,
    pub col: usize,
    pub cols: usize,
    /// Positions of the non-zeros in row order of the whole pattern.
    pub range: Range<usize>,
    /// Position in the tile of each non-zero.
    at: &'a [u32],
    pattern: Option<Pattern<'a>>,
}

impl Tile<'_> {
    pub fn len(&self) -> usize {
        self.rows * self.cols
    }

    /// The non-zeros of one of the tile's rows, counted from the tile's first.
    pub fn row_range(&self, r: usize) -> Range<usize> {
        self.pattern.map_or(0..0, |p| {
            let all = p.range(self.row + r, self.row + r + 1);
            all.start - self.range.start..all.end - self.range.start
        })
    }
}

impl<'a, E: Lanes> Block<'a, E> {
    /// Runs all tiles of the block.
    pub fn run(&self) {
        let k = self.kernel;
        let [numbers, doubles] = k.n_partial;
        self.partials.numbers.part(self.index * numbers, numbers).fill(E::default());
        self.partials.doubles.part(self.index * doubles, doubles).fill(0.0);
        let n = k.n_tiles();
        let per_row = k.cols.div_ceil(k.tile_cols);
        let rows = k.rows();
        let tiles = self.index * n / k.n_blocks..(self.index + 1) * n / k.n_blocks;
        if tiles.is_empty() {
            return;
        }
        let mut frame = Frame::new();
        let first = tiles.start / per_row * k.tile_rows;
        let end = (tiles.end.div_ceil(per_row) * k.tile_rows).min(rows);
        let found = self.find_places(first..end, &mut frame).then_some(first);
        // Without values that wait in registers a block can be one tile.
        if self.stages.is_one_pass() && (per_row == 1 || rows == 1) {
            let cols = if per_row == 1 {
                0..k.cols
            } else {
                tiles.start * k.tile_cols..(tiles.end * k.tile_cols).min(k.cols)
            };
            return self.one_tile(first, end - first, cols, found, &mut frame);
        }
        for t in tiles {
            let (row, col) = (t / per_row * k.tile_rows, t % per_row * k.tile_cols);
            let cols = col..(col + k.tile_cols).min(k.cols);
            self.one_tile(row, k.tile_rows.min(rows - row), cols, found, &mut frame);
        }
    }

    /// Some columns of a kernel with one row that is one pass.
    pub fn columns(&self, cols: Range<usize>) {
        let mut frame = Frame::new();
        let found = self.find_places(0..1, &mut frame).then_some(0);
        self.one_tile(0, 1, cols, found, &mut frame);
    }

    /// All stages on one tile; `found` is the row from which the places in the frame are seen.
    fn one_tile(&self, row: usize, rows: usize, cols: Range<usize>, found: Option<usize>, frame: &mut Frame) {
        let tile = self.tile(row, rows, cols.start, cols.len());
        let mut at = 0;
        for stage in &self.stages.list {
            match stage {
                Stage::Instr(i) => self.instruction(&self.kernel.instrs[*i], &tile),
                Stage::Stretch(s) => {
                    self.stretch(s, &tile, found.map(|first| (at, first)), frame);
                    at += s.arrays.len() + s.numbers.len();
                }
            }
        }
    }

    fn tile(&self, row: usize, rows: usize, col: usize, cols: usize) -> Tile<'a> {
        let mut tile = Tile { row, rows, col, cols, range: 0..0, at: &[], pattern: None };
        if let Some(input) = self.kernel.pattern {
            let p = self.mem.pattern(input.index());
            tile.range = p.range(row, row + rows);
            tile.pattern = Some(p);
            if self.stages.is_one_pass() {
                // No instruction asks for places.
            } else if rows == 1 {
                tile.at = &p.columns[tile.range.clone()];
            } else {
                let at = self.scratch.places.part(0, tile.range.len());
                for r in 0..rows {
                    let range = tile.row_range(r);
                    let columns = &p.columns[p.range(row + r, row + r + 1)];
                    let base = (r * cols) as u32;
                    at[range].iter_mut().zip(columns).for_each(|(a, c)| *a = base + c);
                }
                tile.at = at;
            }
        }
        tile
    }

    /// A register, as far as it reaches.
    #[allow(
        clippy::mut_from_ref,
        reason = "registers do not overlap, and no instruction reads what it writes"
    )]
    pub(super) fn register(&self, r: Reg) -> &'a mut [E] {
        let [size, row_size, _] = self.sizes;
        let n = &self.kernel.n_regs;
        let (from, len) = match r {
            Reg::Dense(i) => (i as usize * size, size),
            Reg::Sparse(i) => ((n[0] + i as usize) * size, size),
            Reg::Row(i) => ((n[0] + n[2]) * size + i as usize * row_size, row_size),
        };
        self.scratch.numbers.part(from, len)
    }

    /// A register's part for this tile.
    #[allow(
        clippy::mut_from_ref,
        reason = "registers do not overlap, and no instruction reads what it writes"
    )]
    pub(super) fn reg(&self, r: Reg, tile: &Tile<'_>) -> &'a mut [E] {
        let len = match r {
            Reg::Dense(_) => tile.len(),
            Reg::Sparse(_) => tile.range.len(),
            Reg::Row(_) => tile.rows,
        };
        &mut self.register(r)[..len]
    }

    /// Offset of a value's element at a row of the kernel, first column.
    pub(super) fn offset(&self, outer: &[usize], row: usize) -> usize {
        match outer {
            [] => 0,
            [s] => s * row,
            _ => {
                let mut rest = row;
                outer.iter().zip(&self.kernel.outer).rev().fold(0, |at, (s, n)| {
                    let i = rest % n;
                    rest /= n;
                    at + s * i
                })
            }
        }
    }

    /// An operand of an instruction whose result is of the class of `class`.
    fn src(&self, arg: Arg, class: Reg, tile: &Tile<'_>) -> Src<'a, E> {
        match arg {
            Arg::Const(c) => Src::Splat(E::from_f64(c)),
            Arg::Reg(r @ Reg::Row(_)) if !matches!(class, Reg::Row(_)) => Src::Splat(self.reg(r, tile)[0]),
            Arg::Reg(r) => Src::Slice(self.reg(r, tile)),
            Arg::Mem(m) => self.memory(&self.kernel.mems[m as usize], class, tile),
        }
    }

    fn memory(&self, m: &Mem, class: Reg, tile: &Tile<'_>) -> Src<'a, E> {
        if m.sparse {
            return Src::Slice(self.mem.read(m.slot, tile.range.start, tile.range.len()));
        }
        let at = self.offset(&m.outer, tile.row);
        let one = m.col == 0 && (self.kernel.tile_rows == 1 || m.outer.iter().all(|s| *s == 0));
        match class {
            _ if one => Src::Splat(self.mem.read(m.slot, at, 1)[0]),
            Reg::Row(_) => Src::Slice(self.mem.read(m.slot, at, tile.rows)),
            _ => Src::Slice(self.mem.read(m.slot, at + tile.col, tile.len())),
        }
    }

    fn instruction(&self, i: &Instr, tile: &Tile<'_>) {
        match i {
            Instr::Elem { f, to, args } => self.elem(*f, *to, args, tile),
            Instr::Load { to, mem } => self.load(*to, &self.kernel.mems[*mem as usize], tile),
            Instr::Copy { to, from } => {
                let dst = self.reg(*to, tile);
                match self.src(*from, *to, tile) {
                    Src::Slice(a) => dst.copy_from_slice(a),
                    Src::Splat(a) => dst.fill(a),
                }
            }
            Instr::Pick { to, from } => {
                let dst = self.reg(*to, tile);
                match self.src(*from, Reg::Dense(0), tile) {
                    Src::Slice(a) => E::pick(self.isa, dst, a, tile.at),
                    Src::Splat(a) => dst.fill(a),
                }
            }
            Instr::Spread { to, from } => {
                let dst = self.reg(*to, tile);
                dst.fill(E::default());
                tile.at.iter().zip(&*self.reg(*from, tile)).for_each(|(at, v)| dst[*at as usize] = *v);
            }
            Instr::AddSparse { to, from, scale } => {
                let (dst, from) = (self.reg(*to, tile), self.reg(*from, tile));
                E::add_at(self.isa, dst, E::from_f64(*scale), from, tile.at);
            }
            Instr::Repeat { to, from } => self.repeat(*to, *from, tile),
            Instr::RowReduce { kind, to, from, sparse } => {
                let dst = self.reg(*to, tile);
                let class = if *sparse { Reg::Sparse(0) } else { Reg::Dense(0) };
                let src = self.src(*from, class, tile);
                for (r, d) in dst.iter_mut().enumerate() {
                    let range = if *sparse { tile.row_range(r) } else { r * tile.cols..(r + 1) * tile.cols };
                    *d = match src {
                        Src::Slice(a) => E::reduce(self.isa, *kind, &a[range]),
                        Src::Splat(a) => reduce_repeated(*kind, a, range.len()),
                    };
                }
            }
            Instr::Accumulate { acc, from, class } => self.accumulate(*acc as usize, *from, *class, tile),
            Instr::Store { mem, from, class } => self.store(*mem as usize, *from, *class, tile),
        }
    }

    fn elem(&self, f: Elem, to: Reg, args: &[Arg], tile: &Tile<'_>) {
        let dst = self.reg(to, tile);
        let src = |k: usize| self.src(args[k], to, tile);
        match args.len() {
            1 => match src(0) {
                Src::Slice(a) => E::unary(self.isa, f, dst, a),
                Src::Splat(a) => dst.fill(E::from_f64(f.eval(&[a.to_f64()]))),
            },
            2 => E::binary(self.isa, f, dst, src(0), src(1)),
            _ => E::select(self.isa, dst, src(0), src(1), src(2)),
        }
    }

    fn load(&self, to: Reg, m: &Mem, tile: &Tile<'_>) {
        let dst = self.reg(to, tile);
        if m.sparse {
            return dst.copy_from_slice(self.mem.read(m.slot, tile.range.start, tile.range.len()));
        }
        if m.index {
            let from = self.mem.read_index(m.slot);
            return self.fill(to, m, tile, dst, |at| E::from_f64(f64::from(from[at])));
        }
        let from = self.mem.read(m.slot, 0, self.mem.len(m.slot));
        if m.col == 1 && matches!(to, Reg::Dense(_)) {
            for (r, row) in dst.chunks_exact_mut(tile.cols).enumerate() {
                let at = self.offset(&m.outer, tile.row + r) + tile.col;
                row.copy_from_slice(&from[at..at + tile.cols]);
            }
            return;
        }
        if let (1, Reg::Sparse(_), Some(p)) = (m.col, to, tile.pattern) {
            for r in 0..tile.rows {
                let columns = &p.columns[p.range(tile.row + r, tile.row + r + 1)];
                let row = &from[self.offset(&m.outer, tile.row + r)..];
                E::pick(self.isa, &mut dst[tile.row_range(r)], row, columns);
            }
            return;
        }
        self.fill(to, m, tile, dst, |at| from[at]);
    }

    /// Fills a register element by element.
    fn fill(&self, to: Reg, m: &Mem, tile: &Tile<'_>, dst: &mut [E], get: impl Fn(usize) -> E) {
        for r in 0..tile.rows {
            let base = self.offset(&m.outer, tile.row + r);
            match to {
                Reg::Row(_) => dst[r] = get(base),
                Reg::Dense(_) => {
                    let row = &mut dst[r * tile.cols..(r + 1) * tile.cols];
                    let base = base + tile.col * m.col;
                    row.iter_mut().enumerate().for_each(|(c, d)| *d = get(base + c * m.col));
                }
                Reg::Sparse(_) => {
                    let Some(p) = tile.pattern else { continue };
                    let columns = &p.columns[p.range(tile.row + r, tile.row + r + 1)];
                    let row = &mut dst[tile.row_range(r)];
                    row.iter_mut().zip(columns).for_each(|(d, c)| *d = get(base + *c as usize * m.col));
                }
            }
        }
    }

    fn repeat(&self, to: Reg, from: Arg, tile: &Tile<'_>) {
        let dst = self.reg(to, tile);
        match self.src(from, Reg::Row(0), tile) {
            Src::Splat(a) => dst.fill(a),
            Src::Slice(a) => {
                for (r, v) in a.iter().enumerate() {
                    let range = match to {
                        Reg::Sparse(_) => tile.row_range(r),
                        _ => r * tile.cols..(r + 1) * tile.cols,
                    };
                    dst[range].fill(*v);
                }
            }
        }
    }

    fn accumulate(&self, acc: usize, from: Arg, class: Reg, tile: &Tile<'_>) {
        let a = &self.kernel.accumulators[acc];
        let src = self.src(from, class, tile);
        let sparse = matches!(class, Reg::Sparse(_));
        let [numbers, doubles] = self.kernel.n_partial;
        if a.scalar {
            let total = &mut self.partials.doubles.part(self.index * doubles + a.offset, 1)[0];
            *total += match src {
                Src::Slice(x) => E::sum(self.isa, x),
                Src::Splat(x) if sparse => x.to_f64() * tile.range.len() as f64,
                Src::Splat(x) => x.to_f64() * tile.len() as f64,
            };
            return;
        }
        let part = self.partials.numbers.part(self.index * numbers + a.offset, a.len);
        for r in 0..tile.rows {
            let base = self.offset(&a.outer, tile.row + r) + tile.col * a.col;
            if sparse {
                let Some(p) = tile.pattern else { continue };
                let columns = &p.columns[p.range(tile.row + r, tile.row + r + 1)];
                let range = tile.row_range(r);
                match src {
                    Src::Slice(x) if a.col == 1 => {
                        E::add_at(self.isa, &mut part[base..], E::from_f64(1.0), &x[range], columns);
                    }
                    _ => {
                        for (k, c) in range.zip(columns) {
                            let v = match src {
                                Src::Slice(x) => x[k],
                                Src::Splat(x) => x,
                            };
                            let t = &mut part[base + *c as usize * a.col];
                            *t = E::plus(*t, v);
                        }
                    }
                }
            } else {
                self.accumulate_row(&mut part[base..], a.col, src, r, tile);
            }
        }
    }

    fn accumulate_row(&self, part: &mut [E], step: usize, src: Src<'_, E>, r: usize, tile: &Tile<'_>) {
        match (src, step) {
            (Src::Slice(x), 1) => {
                E::add_to(self.isa, &mut part[..tile.cols], &x[r * tile.cols..(r + 1) * tile.cols]);
            }
            (Src::Slice(x), _) => {
                let row = &x[r * tile.cols..(r + 1) * tile.cols];
                for (c, v) in row.iter().enumerate() {
                    part[c * step] = E::plus(part[c * step], *v);
                }
            }
            (Src::Splat(x), _) => {
                for c in 0..tile.cols {
                    part[c * step] = E::plus(part[c * step], x);
                }
            }
        }
    }

    fn store(&self, mem: usize, from: Arg, class: Reg, tile: &Tile<'_>) {
        let m = &self.kernel.mems[mem];
        let (at, len) = match class {
            Reg::Sparse(_) => (tile.range.start, tile.range.len()),
            Reg::Row(_) => (tile.row, tile.rows),
            Reg::Dense(_) => (tile.row * self.kernel.cols + tile.col, tile.len()),
        };
        let to = self.mem.write(m.slot, at, len);
        match self.src(from, class, tile) {
            Src::Slice(x) => to.copy_from_slice(x),
            Src::Splat(x) => to.fill(x),
        }
    }
}

/// The reduction of `n` equal numbers.
fn reduce_repeated<E: Element>(kind: crate::op::ReduceKind, x: E, n: usize) -> E {
    use crate::op::ReduceKind::*;
    let v = x.to_f64();
    E::from_f64(match kind {
        Sum => v * n as f64,
        Prod => v.powi(n as i32),
        Max | Min | ArgMax => v,
        LogSumExp => v + (n as f64).ln(),
    })
}

/// Elements that one block of [`combine`] adds up.
const COMBINED: usize = 1 << 11;

/// Adds the partial sums of a kernel's blocks, in the order of the blocks, into the results.
pub(super) fn combine<E: Lanes>(
    isa: Isa,
    k: &Kernel,
    mem: &Memory<E>,
    partials: &Partials<E>,
    pool: &super::pool::Pool,
) {
    let [numbers, doubles] = k.n_partial;
    for a in &k.accumulators {
        if a.scalar {
            let total: f64 =
                (0..k.n_blocks).map(|b| partials.doubles.part(b * doubles + a.offset, 1)[0]).sum();
            mem.write(a.slot, 0, 1)[0] = E::from_f64(total);
        }
    }
    let parts = || k.accumulators.iter().filter(|a| !a.scalar);
    let pieces = |len: usize| len.div_ceil(COMBINED);
    let n: usize = parts().map(|a| pieces(a.len)).sum();
    pool.run(n, &|mut piece, _| {
        for a in parts() {
            if piece < pieces(a.len) {
                let from = piece * COMBINED;
                let len = COMBINED.min(a.len - from);
                let part = |b: usize| &*partials.numbers.part(b * numbers + a.offset + from, len);
                let to = mem.write(a.slot, from, len);
                to.copy_from_slice(part(0));
                (1..k.n_blocks).for_each(|b| E::add_to(isa, to, part(b)));
                return;
            }
            piece -= pieces(a.len);
        }
    });
}
