//! Means over the nearest cells, as models of RNA velocity take them.

use crate::anndata::{Dense, Matrix};

/// Passes of the subspace iteration for principal components.
const PASSES: usize = 30;

/// How neighbours are found and what is averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moments {
    /// The number of neighbours, the cell itself among them.
    pub n_neighbours: usize,
}

/// The mean of each row of `values` over the cells nearest to it in `space` by Euclidean distance, itself included;
/// of cells equally near the first count.
pub fn moments(values: &Matrix, space: &Dense, how: Moments) -> Dense {
    let n = values.n_rows();
    let k = how.n_neighbours.clamp(1, n.max(1));
    let mut out = Dense::zeros(n, values.n_cols());
    let mut distances: Vec<(f64, usize)> = Vec::new();
    for row in 0..n {
        distances.clear();
        distances.extend((0..n).map(|other| {
            let difference = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
            // The cell itself is nearest even where another one lies on it.
            let d: f64 = space.row(row).iter().zip(space.row(other)).map(difference).sum();
            (if other == row { -1.0 } else { d }, other)
        }));
        if k < n {
            distances.select_nth_unstable_by(k - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        }
        let target = row * out.n_cols;
        let mut sums = vec![0.0f64; out.n_cols];
        for &(_, other) in &distances[..k.min(n)] {
            values.for_each_in_row(other, |column, value| sums[column] += f64::from(value));
        }
        for (column, sum) in sums.into_iter().enumerate() {
            out.values[target + column] = (sum / k as f64) as f32;
        }
    }
    out
}

/// The first `n_components` principal components of `counts`, cells by components: totals of cells brought to their
/// median, logarithm of one plus that, columns centred.
pub fn principal_components(counts: &Matrix, n_components: usize) -> Dense {
    let (n, m) = (counts.n_rows(), counts.n_cols());
    let k = n_components.min(n).min(m);
    let totals = counts.row_totals();
    let mut positive: Vec<f64> = totals.iter().copied().filter(|t| *t > 0.0).collect();
    positive.sort_by(f64::total_cmp);
    let median = positive.get(positive.len() / 2).copied().unwrap_or(1.0);
    // A cell without counts stays without; its zeros may be stored.
    let scaled = |row: usize, value: f32| match totals[row] {
        0.0 => 0.0,
        total => (f64::from(value) * median / total).ln_1p(),
    };
    let mut means = vec![0.0f64; m];
    for row in 0..n {
        counts.for_each_in_row(row, |gene, value| means[gene] += scaled(row, value) / n as f64);
    }
    // Rows times the loadings, the mean taken off.
    let project = |loadings: &[f64]| -> Vec<f64> {
        let offset: Vec<f64> = (0..k).map(|c| (0..m).map(|g| means[g] * loadings[g * k + c]).sum()).collect();
        let mut out = vec![0.0f64; n * k];
        for row in 0..n {
            let scores = &mut out[row * k..(row + 1) * k];
            counts.for_each_in_row(row, |gene, value| {
                let value = scaled(row, value);
                scores.iter_mut().zip(&loadings[gene * k..]).for_each(|(s, l)| *s += value * l);
            });
            scores.iter_mut().zip(&offset).for_each(|(s, o)| *s -= o);
        }
        out
    };
    // A start that no gene is orthogonal to.
    let mut loadings: Vec<f64> =
        (0..m * k).map(|at| ((at * 7919 + 13) % 1009) as f64 / 1009.0 - 0.5).collect();
    orthonormalise(&mut loadings, m, k);
    for _ in 0..PASSES {
        let scores = project(&loadings);
        let sums: Vec<f64> = (0..k).map(|c| (0..n).map(|row| scores[row * k + c]).sum()).collect();
        loadings.fill(0.0);
        for row in 0..n {
            counts.for_each_in_row(row, |gene, value| {
                let value = scaled(row, value);
                let target = &mut loadings[gene * k..(gene + 1) * k];
                target.iter_mut().zip(&scores[row * k..]).for_each(|(l, s)| *l += value * s);
            });
        }
        for gene in 0..m {
            (0..k).for_each(|c| loadings[gene * k + c] -= means[gene] * sums[c]);
        }
        orthonormalise(&mut loadings, m, k);
    }
    let values = project(&loadings).into_iter().map(|v| v as f32).collect();
    Dense { n_rows: n, n_cols: k, values }
}

/// Makes the `k` columns of `a`, `m` rows, orthogonal and of length one, by Gram and Schmidt, twice.
fn orthonormalise(a: &mut [f64], m: usize, k: usize) {
    for column in 0..k {
        for _ in 0..2 {
            for earlier in 0..column {
                let dot: f64 = (0..m).map(|row| a[row * k + column] * a[row * k + earlier]).sum();
                (0..m).for_each(|row| a[row * k + column] -= dot * a[row * k + earlier]);
            }
        }
        let length = (0..m).map(|row| a[row * k + column].powi(2)).sum::<f64>().sqrt().max(1e-300);
        (0..m).for_each(|row| a[row * k + column] /= length);
    }
}
