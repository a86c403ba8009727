//! Which cells train and which validate, and the order of an epoch.

use crate::dataset::Blocks;
use autodiff_runtime::StepKey;
use autodiff_runtime::random::{ElementStream, SiteKey};

/// Streams of the orders; those of a graph's own sites count from 0.
const SPLIT_STREAM: u32 = 0xFFFF_0001;
const ORDER_STREAM: u32 = 0xFFFF_0002;
const PAIRED_STREAM: u32 = 0xFFFF_0005;
/// Of blocks; that of the rows of some of them is one less.
const BLOCK_STREAM: u32 = 0xFFFF_0007;
const LABELLED_STREAM: u32 = 0xFFFF_0008;
/// Of the first stratum; the others count down from it.
const STRATUM_STREAM: u32 = 0xFFFE_FFFF;

/// The two parts of the cells, each in the order of the permutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Cells that train.
    pub train: Vec<u32>,
    /// Cells that validate.
    pub validation: Vec<u32>,
    /// How many cells were moved to validation so that no minibatch of one or two is left over.
    pub moved: usize,
}

/// Splits `n` cells by a permutation of the seed: the first of each stratum validate, the others train.
///
/// `train_size` is the fraction of each stratum that trains, rounded up; without it, it is 0.9, and when the last
/// minibatch would hold one or two cells, those validate instead, from the strata with most. `stratum` numbers the strata
/// from 0.
pub fn split(
    n: usize,
    stratum: impl Fn(u32) -> usize,
    train_size: Option<f64>,
    batch_size: usize,
    seed: u64,
) -> Split {
    let fraction = train_size.unwrap_or(0.9).clamp(0.0, 1.0);
    let mut sizes = vec![];
    for row in 0..n as u32 {
        let k = stratum(row);
        sizes.resize(sizes.len().max(k + 1), 0_usize);
        sizes[k] += 1;
    }
    // The small slack keeps 0.9 · 10 at 9, whatever its binary rounding.
    let mut n_train: Vec<usize> =
        sizes.iter().map(|n| ((*n as f64 * fraction - 1e-9).ceil() as usize).min(*n)).collect();
    let all: usize = n_train.iter().sum();
    let left_over = all % batch_size.max(1);
    let mut moved = 0;
    if train_size.is_none() && (left_over == 1 || left_over == 2) && all > left_over {
        moved = left_over;
        for _ in 0..left_over {
            if let Some(most) = n_train.iter_mut().max() {
                *most -= 1;
            }
        }
    }
    let mut order: Vec<u32> = (0..n as u32).collect();
    shuffle(&mut order, StepKey { seed, step: 0 }, SPLIT_STREAM);
    let mut left: Vec<usize> = sizes.iter().zip(&n_train).map(|(n, t)| n - t).collect();
    let (mut train, mut validation) = (vec![], vec![]);
    for row in order {
        let left = &mut left[stratum(row)];
        if *left > 0 {
            *left -= 1;
            validation.push(row);
        } else {
            train.push(row);
        }
    }
    Split { train, validation, moved }
}

/// The training cells in the order of an epoch, counted from 0.
pub fn epoch_order(train: &[u32], seed: u64, epoch: u64) -> Vec<u32> {
    let mut order = train.to_vec();
    shuffle(&mut order, StepKey { seed, step: epoch }, ORDER_STREAM);
    order
}

/// The training cells in the order of an epoch, for rows that lie on the disk: the blocks of rows are shuffled, and of
/// some of them at a time the rows are.
pub fn blocked_order(train: &[u32], blocks: Blocks, seed: u64, epoch: u64) -> Vec<u32> {
    let mut sorted = train.to_vec();
    sorted.sort_unstable();
    let size = blocks.n_rows.max(1);
    let mut groups: Vec<&[u32]> = sorted.chunk_by(|a, b| *a as usize / size == *b as usize / size).collect();
    shuffle(&mut groups, StepKey { seed, step: epoch }, BLOCK_STREAM);
    let mut out = Vec::with_capacity(train.len());
    for (number, together) in groups.chunks(blocks.n_together.max(1)).enumerate() {
        let mut rows = together.concat();
        // Epochs and windows are numbered together.
        let key = StepKey { seed, step: epoch << 32 | number as u64 };
        shuffle(&mut rows, key, BLOCK_STREAM.wrapping_sub(1));
        out.extend(rows);
    }
    out
}

/// The rows of an epoch with equal shares of every stratum in each minibatch, and the size of a minibatch: the largest
/// multiple of the number of strata that is at most `size`. The longest stratum passes once; the others come up again.
pub fn stratified_order(strata: &[Vec<u32>], size: usize, seed: u64, epoch: u64) -> (Vec<u32>, usize) {
    let strata: Vec<&Vec<u32>> = strata.iter().filter(|s| !s.is_empty()).collect();
    let share = (size / strata.len().max(1)).max(1);
    let longest = strata.iter().map(|s| s.len()).max().unwrap_or(0);
    let orders: Vec<Vec<u32>> = (0u32..)
        .zip(&strata)
        .map(|(k, rows)| {
            let mut order = (*rows).clone();
            shuffle(&mut order, StepKey { seed, step: epoch }, STRATUM_STREAM.wrapping_sub(k));
            order
        })
        .collect();
    let mut out = vec![];
    for start in (0..longest).step_by(share) {
        for order in &orders {
            out.extend((start..start + share).map(|i| order[i % order.len()]));
        }
    }
    (out, share * strata.len())
}

/// The rows of a second plate in the order of an epoch, `n` of them: passes one after the other.
pub fn cycled_order(n_rows: usize, n: usize, seed: u64, epoch: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n_rows as u32).collect();
    shuffle(&mut order, StepKey { seed, step: epoch }, PAIRED_STREAM);
    (0..n).map(|i| order[i % n_rows.max(1)]).collect()
}

/// Labelled rows in the order of an epoch, `n` of them: passes one after the other over all of them, or over at most
/// `per_label` of each label, drawn for this epoch. Empty if there are none.
pub fn labelled_order(
    by_label: &[Vec<u32>],
    per_label: Option<usize>,
    n: usize,
    seed: u64,
    epoch: u64,
) -> Vec<u32> {
    let key = StepKey { seed, step: epoch };
    let mut rows: Vec<u32> = vec![];
    for (k, of_label) in (0u32..).zip(by_label) {
        let mut of_label = of_label.clone();
        if let Some(most) = per_label.filter(|most| *most < of_label.len()) {
            shuffle(&mut of_label, key, STRATUM_STREAM.wrapping_sub(k));
            of_label.truncate(most);
        }
        rows.extend(of_label);
    }
    shuffle(&mut rows, key, LABELLED_STREAM);
    if rows.is_empty() { rows } else { (0..n).map(|i| rows[i % rows.len()]).collect() }
}

/// Fisher and Yates, with draws from the counter-based generator.
fn shuffle<T>(items: &mut [T], key: StepKey, stream: u32) {
    let mut words = SiteKey::new(key, stream).element(0, 0);
    for i in (1..items.len()).rev() {
        items.swap(i, below(&mut words, i as u64 + 1) as usize);
    }
}

/// Uniform on 0..n (n below 2³²): the high half of a 64-bit product; its bias is below 2⁻³².
fn below(words: &mut ElementStream, n: u64) -> u64 {
    let word = (u64::from(words.next_u32()) << 32) | u64::from(words.next_u32());
    ((u128::from(word) * u128::from(n)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(n: usize, train_size: Option<f64>, batch_size: usize, seed: u64) -> Split {
        super::split(n, |_| 0, train_size, batch_size, seed)
    }

    #[test]
    fn both_parts_keep_the_shares_of_strata() {
        // 37 labelled cells of 1,000, spread through the file.
        let labelled = |row: u32| usize::from(row % 27 == 3);
        for seed in 0..20 {
            let s = super::split(1000, labelled, None, 128, seed);
            let count = |rows: &[u32]| rows.iter().filter(|r| labelled(**r) == 1).count();
            // ⌈0.9 · 37⌉ and ⌈0.9 · 963⌉.
            assert_eq!((count(&s.train), s.train.len()), (34, 34 + 867), "seed {seed}");
            assert_eq!((count(&s.validation), s.validation.len()), (3, 3 + 96), "seed {seed}");
            let mut all = [s.train.clone(), s.validation].concat();
            all.sort_unstable();
            assert!(all.into_iter().eq(0..1000));
            assert_ne!(s.train, super::split(1000, labelled, None, 128, seed + 1).train);
        }
        // ⌈0.9 · 3⌉ + ⌈0.9 · 140⌉ = 129 = 128 + 1: the one moves from the larger.
        let rare = |row: u32| usize::from(row < 3);
        let s = super::split(143, rare, None, 128, 0);
        assert_eq!((s.train.len(), s.moved, s.train.iter().filter(|r| **r < 3).count()), (128, 1, 3));
    }

    #[test]
    fn sizes_follow_the_rule() {
        let s = split(1000, None, 128, 0);
        assert_eq!((s.train.len(), s.validation.len(), s.moved), (900, 100, 0));
        // ⌈0.9 · 143⌉ = 129 = 128 + 1: the one moves.
        let s = split(143, None, 128, 0);
        assert_eq!((s.train.len(), s.validation.len(), s.moved), (128, 15, 1));
        // With train_size set, nothing moves.
        assert_eq!(split(143, Some(0.9), 128, 0).train.len(), 129);
        assert_eq!(split(10, None, 128, 0).train.len(), 9);
        assert_eq!(split(5, Some(1.0), 128, 0).validation.len(), 0);
    }

    #[test]
    fn blocks_are_drawn_from_some_at_a_time() {
        let train: Vec<u32> = (0..1000).filter(|r| r % 7 != 3).rev().collect();
        let blocks = Blocks { n_rows: 16, n_together: 4 };
        let order = blocked_order(&train, blocks, 5, 2);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().eq(train.iter().rev()));
        // A stretch of the order touches few blocks, and not in the order of the file.
        let touched: std::collections::BTreeSet<u32> = order[..40].iter().map(|r| r / 16).collect();
        assert!(touched.len() <= 4 && !order[..40].is_sorted(), "{order:?}");
        assert_eq!(order, blocked_order(&train, blocks, 5, 2));
        assert_ne!(order, blocked_order(&train, blocks, 5, 3));
        assert_ne!(order, blocked_order(&train, blocks, 6, 2));
    }

    #[test]
    fn strata_have_equal_shares_and_the_rare_come_up_again() {
        let strata = [(0..10).collect::<Vec<u32>>(), (10..13).collect(), vec![]];
        let (order, size) = stratified_order(&strata, 5, 1, 0);
        assert_eq!((order.len(), size), (20, 4));
        for batch in order.chunks(size) {
            assert_eq!(batch.iter().filter(|r| **r < 10).count(), 2, "{order:?}");
        }
        let mut frequent: Vec<u32> = order.iter().copied().filter(|r| *r < 10).collect();
        frequent.sort_unstable();
        assert!(frequent.into_iter().eq(0..10), "the longest passes once");
        let times = |r: u32| order.iter().filter(|o| **o == r).count();
        assert!((10..13).all(|r| (3..=4).contains(&times(r))), "{order:?}");
        assert_ne!(order, stratified_order(&strata, 5, 1, 1).0);
        let again = cycled_order(3, 7, 0, 0);
        assert!(again.len() == 7 && again[..3] == again[3..6]);
    }

    #[test]
    fn so_many_of_each_label_and_all_of_a_rare_one() {
        let by_label = [(0..50).collect::<Vec<u32>>(), (50..53).collect(), vec![]];
        let order = labelled_order(&by_label, Some(5), 20, 1, 0);
        let mut first: Vec<u32> = order[..8].to_vec();
        assert!(order[8..16] == first[..] && order[16..] == first[..4], "{order:?}");
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), 8, "without replacement");
        assert_eq!(first.iter().filter(|r| **r < 50).count(), 5);
        assert!(first.ends_with(&[50, 51, 52]));
        // Drawn anew in the next epoch; in the long run every row comes up.
        let mut seen: Vec<u32> = (0..60).flat_map(|e| labelled_order(&by_label, Some(5), 8, 1, e)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.into_iter().eq(0..53));
        let mut all = labelled_order(&by_label, None, 53, 1, 0);
        all.sort_unstable();
        assert!(all.into_iter().eq(0..53));
        assert!(labelled_order(&[], None, 4, 1, 0).is_empty());
    }

    #[test]
    fn a_permutation_by_seed() {
        let s = split(500, None, 128, 3);
        let mut all: Vec<u32> = s.train.iter().chain(&s.validation).copied().collect();
        all.sort_unstable();
        assert!(all.iter().copied().eq(0..500));
        assert_eq!(s, split(500, None, 128, 3));
        assert_ne!(s, split(500, None, 128, 4));
        let (a, b) = (epoch_order(&s.train, 3, 0), epoch_order(&s.train, 3, 1));
        assert_ne!(a, b);
        assert_eq!(a, epoch_order(&s.train, 3, 0));
    }
}
