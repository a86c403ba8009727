//! Where an element lies: arrays are row-major over an ordered list of axes, and are read in the order of another list.

use crate::graph::{AxisId, Graph};

/// Number of elements of an array over `order`.
pub(super) fn n_elements(g: &Graph, order: &[AxisId]) -> usize {
    order.iter().map(|a| g.size(*a)).product()
}

/// How far one step along `axis` moves in an array over `order`; 0 if it lacks the axis.
pub(super) fn stride(g: &Graph, order: &[AxisId], axis: AxisId) -> usize {
    match order.iter().position(|a| *a == axis) {
        Some(k) => n_elements(g, &order[k + 1..]),
        None => 0,
    }
}

/// For each position over `to`, in order, where the element lies in an array over `from`. Axes of `from` that `to`
/// lacks stay at their first position; axes of `to` that `from` lacks repeat.
pub(super) fn offsets(g: &Graph, from: &[AxisId], to: &[AxisId]) -> Vec<usize> {
    let mut out = vec![0];
    for axis in to {
        let step = stride(g, from, *axis);
        out = out.iter().flat_map(|base| (0..g.size(*axis)).map(move |i| base + i * step)).collect();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_permute_repeat_and_fix() {
        let mut g = Graph::new();
        let (a, b, c) = (g.add_axis("a", 2), g.add_axis("b", 3), g.add_axis("c", 2));
        assert_eq!(offsets(&g, &[a, b], &[a, b]), [0, 1, 2, 3, 4, 5]);
        assert_eq!(offsets(&g, &[a, b], &[b, a]), [0, 3, 1, 4, 2, 5]);
        assert_eq!(offsets(&g, &[a], &[c, a]), [0, 1, 0, 1]);
        assert_eq!(offsets(&g, &[a, b], &[a]), [0, 3]);
        assert_eq!(offsets(&g, &[], &[]), [0]);
    }
}
