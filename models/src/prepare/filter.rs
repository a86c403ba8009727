//! Leaving out cells and genes by what they hold.

use crate::anndata::{Matrix, NewAnnData};

/// What cells and genes must reach or may not exceed, counted in one matrix of counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// The least number of genes seen in a cell.
    pub min_genes: Option<usize>,
    /// The least total of a cell.
    pub min_counts: Option<f64>,
    /// The greatest total of a cell.
    pub max_counts: Option<f64>,
    /// The least number of cells that a gene is seen in, among the cells kept.
    pub min_cells: Option<usize>,
}

/// The positions of the cells and of the genes that `counts`, cells by genes, lets pass: first the cells, then the
/// genes by the cells that are left, as `scanpy.pp.filter_cells` and `filter_genes` do one after the other.
pub fn filter(counts: &Matrix, limits: &Limits) -> (Vec<usize>, Vec<usize>) {
    let keep = |row: &usize| {
        let (mut n_genes, mut total) = (0usize, 0.0f64);
        counts.for_each_in_row(*row, |_, value| {
            n_genes += usize::from(value > 0.0);
            total += f64::from(value);
        });
        limits.min_genes.is_none_or(|least| n_genes >= least)
            && limits.min_counts.is_none_or(|least| total >= least)
            && limits.max_counts.is_none_or(|most| total <= most)
    };
    let cells: Vec<usize> = (0..counts.n_rows()).filter(keep).collect();
    let mut seen = vec![0usize; counts.n_cols()];
    for &row in &cells {
        counts.for_each_in_row(row, |column, value| seen[column] += usize::from(value > 0.0));
    }
    let enough = |gene: &usize| limits.min_cells.is_none_or(|least| seen[*gene] >= least);
    (cells, (0..counts.n_cols()).filter(enough).collect())
}

impl Limits {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Applies them to all of `data` by its matrix `counts`; gives how many cells and genes were left out.
    pub fn apply(&self, data: &mut NewAnnData, counts: &Matrix) -> (usize, usize) {
        let (cells, genes) = filter(counts, self);
        let out = (counts.n_rows() - cells.len(), counts.n_cols() - genes.len());
        if out.0 > 0 {
            *data = data.of_cells(&cells);
        }
        if out.1 > 0 {
            *data = data.of_genes(&genes);
        }
        out
    }
}
