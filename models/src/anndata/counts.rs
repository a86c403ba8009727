//! Is a matrix a matrix of counts? If not: where does it fail, and which other matrix of the file is?

use std::path::Path;

use super::AnnData;
use super::blocks::DiskRows;
use super::error::{DataError, DataErrorKind};
use super::matrix::Matrix;
use super::path::FieldPath;

/// How many values that are not counts an error shows.
const SHOWN: usize = 3;
/// How many values are probed before a matrix is read whole.
const PROBE: usize = 4096;
/// Up to here f32 holds every integer.
const EXACT: f32 = 16_777_216.0;

/// What is known of a matrix of counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CountReport {
    /// The sum of all counts.
    pub total: f64,
    /// The largest count.
    pub max: f32,
    /// Cells whose total is zero: how many.
    pub n_empty_cells: usize,
    /// The rows of the first few of them.
    pub empty_cells: Vec<usize>,
    /// Genes that are zero in all cells: how many.
    pub n_empty_genes: usize,
    /// Whether counts reach 2^24, where f32 no longer holds every integer, so that f64 data may have been rounded.
    pub may_be_rounded: bool,
}

/// One value that is not a count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NonCount {
    /// Its row.
    pub row: usize,
    /// Its column.
    pub column: usize,
    /// The value: negative, fractional, NaN or infinite.
    pub value: f32,
}

fn is_count(value: f32) -> bool {
    value >= 0.0 && value.fract() == 0.0
}

/// The first `limit` values of `matrix` that are not non-negative integers, by row and column.
pub fn first_non_counts(matrix: &Matrix, limit: usize) -> Vec<NonCount> {
    let mut found = Vec::new();
    for row in 0..matrix.n_rows() {
        if found.len() >= limit {
            break;
        }
        matrix.for_each_in_row(row, |column, value| {
            if !is_count(value) && found.len() < limit {
                found.push(NonCount { row, column, value });
            }
        });
    }
    found
}

/// Checks that `matrix`, read from `field` of `file`, holds counts, and sums it up.
///
/// `cells` and `genes` are the labels of its rows and columns, for the message.
///
/// # Errors
/// E0703 with up to three values that are not non-negative integers, and where they stand.
pub fn check_counts(
    matrix: &Matrix,
    cells: &[String],
    genes: &[String],
    file: &Path,
    field: &FieldPath,
) -> Result<CountReport, DataError> {
    let wrong = first_non_counts(matrix, SHOWN);
    if !wrong.is_empty() {
        return Err(not_counts(&wrong, cells, genes, file, field));
    }
    let mut sums = Sums::new(matrix.n_cols());
    sums.add(0, matrix);
    Ok(sums.report())
}

/// As [`check_counts`] for a matrix that stays on the disk, which is read once.
///
/// # Errors
/// As [`check_counts`]; E0713 when it cannot be read.
pub fn check_counts_on_disk(
    rows: &DiskRows,
    cells: &[String],
    genes: &[String],
    file: &Path,
    field: &FieldPath,
) -> Result<CountReport, DataError> {
    let mut sums = Sums::new(rows.n_cols());
    rows.each_block(|first, block| {
        let mut wrong = first_non_counts(block, SHOWN);
        if !wrong.is_empty() {
            wrong.iter_mut().for_each(|w| w.row += first);
            return Err(not_counts(&wrong, cells, genes, file, field));
        }
        sums.add(first, block);
        Ok(())
    })?;
    Ok(sums.report())
}

fn not_counts(
    wrong: &[NonCount],
    cells: &[String],
    genes: &[String],
    file: &Path,
    field: &FieldPath,
) -> DataError {
    let label = |names: &[String], at: usize| names.get(at).cloned().unwrap_or_else(|| format!("#{at}"));
    let shown: Vec<String> = wrong
        .iter()
        .map(|w| format!("{} (cell `{}`, gene `{}`)", w.value, label(cells, w.row), label(genes, w.column)))
        .collect();
    let message = format!("counts are non-negative integers, but it holds {}", shown.join(", "));
    DataError::new(DataErrorKind::NotCounts, file, field.to_string(), message)
}

/// What is summed up of counts while they pass.
struct Sums {
    out: CountReport,
    gene_seen: Vec<bool>,
}

impl Sums {
    fn new(n_genes: usize) -> Self {
        Self { out: CountReport::default(), gene_seen: vec![false; n_genes] }
    }

    /// Takes in rows, the first of which has the number `first`.
    fn add(&mut self, first: usize, matrix: &Matrix) {
        let (out, gene_seen) = (&mut self.out, &mut self.gene_seen);
        for row in 0..matrix.n_rows() {
            let mut total = 0.0f64;
            matrix.for_each_in_row(row, |column, value| {
                total += f64::from(value);
                out.max = out.max.max(value);
                gene_seen[column] |= value > 0.0;
            });
            out.total += total;
            if total == 0.0 {
                out.n_empty_cells += 1;
                if out.empty_cells.len() < SHOWN {
                    out.empty_cells.push(first + row);
                }
            }
        }
    }

    fn report(mut self) -> CountReport {
        self.out.n_empty_genes = self.gene_seen.iter().filter(|seen| !**seen).count();
        self.out.may_be_rounded = self.out.max >= EXACT;
        self.out
    }
}

impl AnnData {
    /// The matrices of the file that hold counts: of `X`, the layers and `raw.X` those that are non-negative
    /// integers throughout. A matrix whose first values are not is passed over without being read whole; one that
    /// cannot be read is left out.
    pub fn layers_holding_counts(&self) -> Vec<FieldPath> {
        self.matrix_paths().into_iter().filter(|path| self.holds_counts(path)).collect()
    }

    fn holds_counts(&self, path: &FieldPath) -> bool {
        let passes = self.probe(path, PROBE).is_some_and(|values| values.into_iter().all(is_count));
        passes && self.matrix(path).is_ok_and(|matrix| first_non_counts(&matrix, 1).is_empty())
    }
}
