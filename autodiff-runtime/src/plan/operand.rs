//! How the operands of a kernel lie in memory, and the shape of its tiles.

use super::layout::{merge, stride};
use crate::graph::{Axes, Graph};

/// Elements of a tile, about: a dozen registers of this size stay in the first-level cache.
const TILE: usize = 512;

/// The iteration space of a kernel: merged dimensions, and the strides of each value along them.
pub(super) struct Space {
    pub outer: Vec<usize>,
    pub cols: usize,
    pub tile_rows: usize,
    pub tile_cols: usize,
    /// Per value: strides along the outer dimensions, and along the columns.
    pub strides: Vec<(Vec<usize>, usize)>,
}

impl Space {
    /// Lays out values with the given axes over `domain`. With `rows` the last axis stays the inner dimension and a
    /// tile holds whole rows.
    pub fn new(g: &Graph, domain: &Axes, values: &[Axes], rows: bool) -> Self {
        let dims = domain.iter().map(|x| (g.size(x), values.iter().map(|v| stride(g, v, x)).collect()));
        let mut dims = merge(dims.collect(), usize::from(rows));
        let (cols, inner) = dims.pop().unwrap_or((1, vec![0; values.len()]));
        let outer: Vec<usize> = dims.iter().map(|d| d.0).collect();
        let strides = (0..values.len()).map(|v| (dims.iter().map(|d| d.1[v]).collect(), inner[v])).collect();
        let n_rows: usize = outer.iter().product();
        let (tile_rows, tile_cols) = if !rows && cols >= TILE / 2 {
            (1, cols.div_ceil(cols.div_ceil(TILE)).next_multiple_of(16))
        } else {
            ((TILE / cols.max(1)).clamp(1, n_rows), cols)
        };
        Self { outer, cols, tile_rows, tile_cols, strides }
    }

    /// Whether a value has the layout of the whole space.
    pub fn is_contiguous(&self, value: usize) -> bool {
        let (outer, col) = &self.strides[value];
        let mut wanted = self.cols;
        let rows_ok = outer.iter().zip(&self.outer).rev().all(|(s, n)| {
            let ok = *s == wanted;
            wanted *= n;
            ok
        });
        (*col == 1 || self.cols == 1) && (rows_ok || self.tile_rows == 1)
    }

    /// Whether a value that lacks the inner axis has one number after the other for consecutive rows.
    pub fn is_row_contiguous(&self, value: usize) -> bool {
        let mut wanted = 1;
        let rows_ok = self.strides[value].0.iter().zip(&self.outer).rev().all(|(s, n)| {
            let ok = *s == wanted;
            wanted *= n;
            ok
        });
        rows_ok || self.tile_rows == 1
    }

    /// Whether a value is one number.
    pub fn is_scalar(&self, value: usize) -> bool {
        self.strides[value].1 == 0 && self.strides[value].0.iter().all(|s| *s == 0)
    }

    /// Blocks of tiles: a fixed partition, so that results do not depend on the number of threads. Each has `n_partial`
    /// partial sums of its own; where these are many, blocks are few.
    pub fn n_blocks(&self, n_instrs: usize, n_partial: usize) -> usize {
        let n_rows: usize = self.outer.iter().product();
        let tiles = n_rows.div_ceil(self.tile_rows) * self.cols.div_ceil(self.tile_cols);
        let work = n_rows * self.cols * n_instrs.max(1);
        let most = if n_partial > 1 << 12 { 8 } else { 16 };
        work.div_ceil(1 << 18).min(most).min(tiles).max(1)
    }
}
