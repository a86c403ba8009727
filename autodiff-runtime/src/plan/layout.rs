//! Strides of values, and dimensions merged where all values allow it.

use crate::graph::{Axes, AxisId, Graph};

/// Elements to step in a row-major array over `axes` per step along `axis`; 0 if it lacks it.
pub(super) fn stride(g: &Graph, axes: &Axes, axis: AxisId) -> usize {
    if axes.contains(axis) { axes.iter().filter(|x| *x > axis).map(|x| g.size(x)).product() } else { 0 }
}

/// Merges neighbouring dimensions (size, strides of every value; slowest first) that every value walks as one. The last
/// `keep` dimensions stay as they are; dimensions of size 1 disappear elsewhere.
pub(super) fn merge(dims: Vec<(usize, Vec<usize>)>, keep: usize) -> Vec<(usize, Vec<usize>)> {
    let split = dims.len().saturating_sub(keep);
    let mut out: Vec<(usize, Vec<usize>)> = vec![];
    for (i, (size, strides)) in dims.into_iter().enumerate() {
        if i >= split {
            out.push((size, strides));
            continue;
        }
        if size == 1 {
            continue;
        }
        match out.last_mut() {
            Some((s, t)) if t.iter().zip(&strides).all(|(o, n)| *o == n * size) => {
                *s *= size;
                *t = strides;
            }
            _ => out.push((size, strides)),
        }
    }
    out
}
