//! Genes that vary more than chance explains.
//!
//! By variance: Stuart et al., Comprehensive integration of single-cell data, Cell 177:1888–1902 (2019), as
//! `scanpy.pp.highly_variable_genes(flavor="seurat_v3")` computes it. By deviance: Townes et al., Feature selection and
//! dimension reduction for single-cell RNA-seq based on a multinomial model, Genome Biology 20:295 (2019).

use super::loess;
use crate::anndata::{Categories, Matrix};

/// Points in each neighbourhood of the fit of variance by mean.
const SPAN: f64 = 0.3;

/// What was found of each gene.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variable {
    /// Mean of the counts.
    pub means: Vec<f64>,
    /// Variance of the counts, with one degree of freedom less than cells.
    pub variances: Vec<f64>,
    /// What genes are ordered by: variance of the counts standardised and clipped, on average over batches; or the
    /// Poisson deviance from a constant rate.
    pub scores: Vec<f64>,
    /// The median rank over batches, from 0, NaN where the gene is chosen in none; empty for deviance.
    pub ranks: Vec<f64>,
    /// The number of batches in which the gene is among the first; empty for deviance.
    pub n_batches: Vec<usize>,
    /// Whether the gene is chosen.
    pub chosen: Vec<bool>,
}

impl Variable {
    /// The positions of the genes chosen, in order.
    pub fn positions(&self) -> Vec<usize> {
        (0..self.chosen.len()).filter(|&gene| self.chosen[gene]).collect()
    }
}

/// Mean and variance of each column over `rows`.
fn moments(counts: &Matrix, rows: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let (n, m) = (rows.len() as f64, counts.n_cols());
    let (mut sums, mut squares) = (vec![0.0f64; m], vec![0.0f64; m]);
    for &row in rows {
        counts.for_each_in_row(row, |gene, value| {
            sums[gene] += f64::from(value);
            squares[gene] += f64::from(value) * f64::from(value);
        });
    }
    let means: Vec<f64> = sums.iter().map(|s| s / n).collect();
    let variance = |gene: usize| (squares[gene] / n - means[gene] * means[gene]).max(0.0) * n / (n - 1.0);
    let variances = (0..m).map(variance).collect();
    (means, variances)
}

/// The variances of the counts in `rows`, each gene standardised by the deviation that its mean lets expect and clipped
/// at the square root of the number of cells.
fn standardised(counts: &Matrix, rows: &[usize]) -> Vec<f64> {
    let n = rows.len() as f64;
    let (means, variances) = moments(counts, rows);
    let varying: Vec<usize> = (0..means.len()).filter(|&gene| variances[gene] > 0.0).collect();
    let x: Vec<f64> = varying.iter().map(|&gene| means[gene].log10()).collect();
    let y: Vec<f64> = varying.iter().map(|&gene| variances[gene].log10()).collect();
    let mut deviations = vec![1.0f64; means.len()];
    for (&gene, fitted) in varying.iter().zip(loess(&x, &y, SPAN)) {
        deviations[gene] = 10f64.powf(fitted).sqrt();
    }
    let most: Vec<f64> = (0..means.len()).map(|gene| deviations[gene] * n.sqrt() + means[gene]).collect();
    let (mut sums, mut squares) = (vec![0.0f64; means.len()], vec![0.0f64; means.len()]);
    for &row in rows {
        counts.for_each_in_row(row, |gene, value| {
            let value = f64::from(value).min(most[gene]);
            sums[gene] += value;
            squares[gene] += value * value;
        });
    }
    let score = |gene: usize| {
        let mean = means[gene];
        (n * mean * mean + squares[gene] - 2.0 * sums[gene] * mean) / ((n - 1.0) * deviations[gene].powi(2))
    };
    (0..means.len()).map(score).collect()
}

/// Chooses the `n` genes whose counts vary most beyond what their mean lets expect, in each batch on its own: those
/// with the least median rank over the batches in which they are among the first `n`, those in more batches first.
///
/// `counts` is cells by genes; without `batches` all cells are one.
pub fn by_variance(counts: &Matrix, batches: Option<&Categories>, n: usize) -> Variable {
    let all: Vec<usize> = (0..counts.n_rows()).collect();
    let groups: Vec<Vec<usize>> = match batches {
        None => vec![all.clone()],
        Some(found) => {
            let rows =
                |code: usize| all.iter().copied().filter(|&row| found.codes[row] == code as i32).collect();
            (0..found.labels.len()).map(rows).collect()
        }
    };
    let m = counts.n_cols();
    let (means, variances) = moments(counts, &all);
    let mut out = Variable { means, variances, scores: vec![0.0; m], ..Variable::default() };
    let mut ranks: Vec<Vec<f64>> = vec![Vec::new(); m];
    for rows in &groups {
        let scores = standardised(counts, rows);
        let mut order: Vec<usize> = (0..m).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        for (rank, &gene) in order.iter().enumerate().take(n) {
            ranks[gene].push(rank as f64);
        }
        for (total, score) in out.scores.iter_mut().zip(scores) {
            *total += score / groups.len() as f64;
        }
    }
    out.n_batches = ranks.iter().map(Vec::len).collect();
    out.ranks = ranks.into_iter().map(median).collect();
    let mut order: Vec<usize> = (0..m).collect();
    // NaN, chosen nowhere, comes last.
    order.sort_by(|&a, &b| {
        out.ranks[a].total_cmp(&out.ranks[b]).then(out.n_batches[b].cmp(&out.n_batches[a]))
    });
    out.chosen = vec![false; m];
    order.into_iter().take(n).for_each(|gene| out.chosen[gene] = true);
    out
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

/// Chooses the `n` genes with the greatest Poisson deviance from a rate that is the same in all cells:
/// 2 Σ x log(x / (s p)), with s the total of the cell and p the share of the gene in all counts.
pub fn by_deviance(counts: &Matrix, n: usize) -> Variable {
    let rows: Vec<usize> = (0..counts.n_rows()).collect();
    let (means, variances) = moments(counts, &rows);
    let totals = counts.row_totals();
    let total: f64 = totals.iter().sum();
    let shares: Vec<f64> = means.iter().map(|mean| mean * rows.len() as f64 / total).collect();
    let mut scores = vec![0.0f64; counts.n_cols()];
    for (row, cell) in totals.iter().enumerate() {
        counts.for_each_in_row(row, |gene, value| {
            let value = f64::from(value);
            if value > 0.0 {
                scores[gene] += 2.0 * value * (value / (cell * shares[gene])).ln();
            }
        });
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut chosen = vec![false; scores.len()];
    order.into_iter().take(n).for_each(|gene| chosen[gene] = true);
    Variable { means, variances, scores, chosen, ..Variable::default() }
}
