//! Missing values: what stands for them, and the record of which are known.

use crate::anndata::{Csr, Dense, Matrix};
use crate::dataset::Known;
use crate::registry::Codes;
use dsl::SlotKind;

/// A value inside the support of a field, which stands where one is missing.
fn stand_in(kind: SlotKind, width: usize) -> f32 {
    match kind {
        SlotKind::Positive => 1.0,
        SlotKind::Unit => 0.5,
        SlotKind::Simplex => 1.0 / width.max(1) as f32,
        _ => 0.0,
    }
}

/// Puts stand-ins for NaN; true where a value is known.
pub(super) fn fill(values: &mut [f32], kind: SlotKind, width: usize) -> Vec<bool> {
    let other = stand_in(kind, width);
    let known = values.iter().map(|v| !v.is_nan()).collect();
    values.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = other);
    known
}

/// The same of a matrix, whose zeros of sparse rows are known.
pub(super) fn fill_matrix(values: &Matrix, kind: SlotKind) -> (Matrix, Known) {
    let width = values.n_cols();
    match values {
        Matrix::Dense(d) => {
            let mut d = d.clone();
            let mask = fill(&mut d.values, kind, width);
            (Matrix::Dense(d), Known::Rows { width, mask })
        }
        Matrix::Csr(m) => {
            let mut mask = vec![true; m.n_rows * width];
            for row in 0..m.n_rows {
                let (columns, values) = m.row(row);
                for (column, _) in columns.iter().zip(values).filter(|(_, v)| v.is_nan()) {
                    mask[row * width + *column as usize] = false;
                }
            }
            let stored = m.values.iter().map(|v| if v.is_nan() { 0.0 } else { *v }).collect();
            let filled = Matrix::Csr(Csr { values: stored, ..m.clone() });
            // Zero is outside the support: only a dense matrix can hold another stand-in.
            match stand_in(kind, width) {
                0.0 => (filled, Known::Rows { width, mask }),
                other => (Matrix::Dense(with(&filled.to_dense(), &mask, other)), Known::Rows { width, mask }),
            }
        }
    }
}

fn with(values: &Dense, known: &[bool], other: f32) -> Dense {
    let filled = values.values.iter().zip(known).map(|(v, k)| if *k { *v } else { other }).collect();
    Dense { values: filled, ..values.clone() }
}

/// Codes with 0 for a missing label.
pub(super) fn fill_codes(codes: &Codes) -> (Vec<u32>, Known) {
    let mask = codes.codes.iter().map(|c| *c >= 0).collect();
    let plain = codes.codes.iter().map(|c| u32::try_from(*c).unwrap_or(0)).collect();
    (plain, Known::Rows { width: 1, mask })
}

/// Where columns are missing for whole labels of a category: `blocks` is label by column.
pub(super) fn in_blocks(known: &mut Known, blocks: &[bool], codes: &[u32]) {
    let Known::Rows { width, mask } = known else { return };
    for (row, &code) in codes.iter().enumerate() {
        for column in 0..*width {
            if blocks.get(code as usize * *width + column) == Some(&true) {
                mask[row * *width + column] = false;
            }
        }
    }
}

/// For each label and column whether the column sums to zero over the rows of the label, row-major.
pub(super) fn zero_blocks(values: &Matrix, codes: &[u32]) -> Vec<bool> {
    let n_cols = values.n_cols();
    let n_labels = codes.iter().max().map_or(0, |c| *c as usize + 1);
    let mut sums = vec![0.0f64; n_labels * n_cols];
    for (row, &code) in codes.iter().enumerate() {
        values
            .for_each_in_row(row, |column, value| sums[code as usize * n_cols + column] += f64::from(value));
    }
    sums.into_iter().map(|sum| sum == 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stand_ins_lie_in_the_support_and_the_mask_tells() {
        let dense = Matrix::Dense(Dense { n_rows: 2, n_cols: 2, values: vec![f32::NAN, 3.0, 0.5, f32::NAN] });
        let (filled, known) = fill_matrix(&dense, SlotKind::Positive);
        assert_eq!(filled.to_dense().values, [1.0, 3.0, 0.5, 1.0]);
        assert_eq!(known, Known::Rows { width: 2, mask: vec![false, true, true, false] });
        let sparse = Matrix::Csr(Csr {
            n_rows: 2,
            n_cols: 2,
            indptr: vec![0, 1, 2],
            indices: vec![1, 0],
            values: vec![f32::NAN, 2.0],
        });
        let (filled, mut known) = fill_matrix(&sparse, SlotKind::Count);
        assert_eq!(filled.to_dense().values, [0.0, 0.0, 2.0, 0.0]);
        // The second column sums to zero for the second label, that of row 1; so does what nothing is known of.
        let blocks = zero_blocks(&filled, &[0, 1]);
        assert_eq!(blocks, [true, true, false, true]);
        in_blocks(&mut known, &blocks[..], &[0, 1]);
        assert_eq!(known, Known::Rows { width: 2, mask: vec![false, false, true, false] });
    }
}
