//! Minibatches: which cells, in which order, and their rows of every field.
//!
//! Orders are functions of (seed, epoch) by the counter-based generator. A minibatch never holds one cell alone as long
//! as there are two: a remainder of one joins the minibatch before it.

mod gather;
mod prefetch;
mod split;

pub use gather::{Buffer, Gatherer, Minibatch};
pub use prefetch::for_each_minibatch;
pub use split::{Split, blocked_order, cycled_order, epoch_order, labelled_order, split, stratified_order};

use std::ops::Range;

/// Cuts `n` cells into minibatches of `size`, in order; a last one of a single cell joins the one before.
pub fn cut(n: usize, size: usize) -> Vec<Range<usize>> {
    let size = size.max(1);
    let mut ranges: Vec<Range<usize>> = (0..n).step_by(size).map(|from| from..(from + size).min(n)).collect();
    if size > 1 && ranges.len() > 1 && n % size == 1 {
        ranges.pop();
        if let Some(last) = ranges.last_mut() {
            last.end = n;
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minibatch_of_one_cell() {
        for n in 2..400 {
            for size in [2, 3, 7, 128] {
                let ranges = cut(n, size);
                assert!(ranges.iter().all(|r| r.len() > 1), "{n} {size}");
                assert_eq!(ranges.iter().map(ExactSizeIterator::len).sum::<usize>(), n);
                assert!(ranges.windows(2).all(|w| w[0].end == w[1].start));
            }
        }
        assert_eq!(cut(1, 128), vec![Range { start: 0, end: 1 }]);
        assert_eq!(cut(0, 128), []);
        assert_eq!(cut(257, 128), [0..128, 128..257]);
    }
}
