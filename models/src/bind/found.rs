//! A field as it was found: its values and the labels along each of its axes, before fields are brought together.

use crate::anndata::{Dense, Matrix};
use crate::registry::{Codes, SlotData};
use std::path::PathBuf;
use std::sync::Arc;

/// One slot's data with labels.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The slot.
    pub slot: String,
    /// Where it was found, as it would be bound.
    pub place: String,
    /// The file, where `place` is a field of one.
    pub file: Option<PathBuf>,
    /// Names of the model's axes along rows and, if there are any, columns.
    pub axes: Vec<String>,
    /// Labels along each; numbers from 0 where there are no names.
    pub labels: Vec<Arc<Vec<String>>>,
    /// The values.
    pub data: SlotData,
}

impl Found {
    /// Where it was found, for messages.
    pub fn described(&self) -> String {
        match &self.file {
            Some(file) => format!("`{}` of {}", self.place, file.display()),
            None => format!("`{}`", self.place),
        }
    }

    /// Whether the labels of an axis are only the numbers 0, 1, 2, …
    pub fn is_numbered(&self, axis: usize) -> bool {
        self.labels[axis].iter().enumerate().all(|(i, l)| *l == i.to_string())
    }

    /// Takes the given places along an axis, in that order.
    pub fn take(&mut self, axis: usize, places: &[usize]) {
        self.labels[axis] = Arc::new(places.iter().map(|p| self.labels[axis][*p].clone()).collect());
        match (axis, &mut self.data) {
            (1, SlotData::Matrix { values }) => {
                let sources: Vec<Option<usize>> = places.iter().map(|p| Some(*p)).collect();
                *values = values.with_columns(&sources);
            }
            (1, SlotData::Rows(rows)) => {
                let sources: Vec<Option<usize>> = places.iter().map(|p| Some(*p)).collect();
                *rows = rows.with_columns(&sources);
            }
            (_, SlotData::Rows(rows)) => *rows = rows.pick_rows(places),
            (_, SlotData::Matrix { values }) => *values = rows_of(values, places),
            (_, SlotData::Vector(values)) => *values = places.iter().map(|p| values[*p]).collect(),
            (_, SlotData::Codes(codes)) => *codes = codes_at(codes, places),
            (_, SlotData::Covariates { categorical, continuous, .. }) => {
                categorical.iter_mut().for_each(|(_, codes)| *codes = codes_at(codes, places));
                let taken = rows_of(&Matrix::Dense(continuous.clone()), places);
                *continuous = taken.to_dense();
            }
            (_, SlotData::Array { shape, values }) => {
                *values = taken(values, shape, axis, places);
                shape[axis] = places.len();
            }
            (_, SlotData::Absent) => {}
        }
    }

    /// Brings the axes into another order: the new one at `k` is the old one at `order[k]`.
    pub fn reorder(&mut self, order: &[usize]) {
        self.axes = order.iter().map(|k| self.axes[*k].clone()).collect();
        self.labels = order.iter().map(|k| Arc::clone(&self.labels[*k])).collect();
        match &mut self.data {
            SlotData::Matrix { values } if *order == [1, 0] => {
                let old = values.to_dense();
                let turned = reordered(&old.values, &[old.n_rows, old.n_cols], order);
                *values = Matrix::Dense(Dense { n_rows: old.n_cols, n_cols: old.n_rows, values: turned });
            }
            SlotData::Array { shape, values } => {
                *values = reordered(values, shape, order);
                *shape = order.iter().map(|k| shape[*k]).collect();
            }
            _ => {}
        }
    }
}

/// An array's elements at the given places along an axis.
pub(super) fn taken(values: &[f32], shape: &[usize], axis: usize, places: &[usize]) -> Vec<f32> {
    let (n, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
    let block = |k: usize, p: usize| &values[(k * n + p) * inner..][..inner];
    let n_outer: usize = shape[..axis].iter().product();
    (0..n_outer).flat_map(|k| places.iter().flat_map(move |p| block(k, *p)).copied()).collect()
}

/// An array with its axes in another order: the new one at `k` is the old one at `order[k]`.
pub(super) fn reordered(values: &[f32], shape: &[usize], order: &[usize]) -> Vec<f32> {
    let stride = |k: usize| shape[k + 1..].iter().product::<usize>();
    let place = |flat: usize| {
        let (mut rest, mut at) = (flat, 0);
        for k in order.iter().rev() {
            at += rest % shape[*k] * stride(*k);
            rest /= shape[*k];
        }
        at
    };
    (0..values.len()).map(|i| values[place(i)]).collect()
}

fn codes_at(codes: &Codes, places: &[usize]) -> Codes {
    let taken: Vec<i32> = places.iter().map(|p| codes.codes[*p]).collect();
    let mut sizes = vec![0; codes.labels.len()];
    taken.iter().filter_map(|c| usize::try_from(*c).ok()).for_each(|c| sizes[c] += 1);
    Codes { codes: taken, labels: codes.labels.clone(), sizes }
}

fn rows_of(values: &Matrix, places: &[usize]) -> Matrix {
    match values {
        Matrix::Dense(m) => {
            let taken = places.iter().flat_map(|p| m.row(*p).iter().copied()).collect();
            Matrix::Dense(Dense { n_rows: places.len(), n_cols: m.n_cols, values: taken })
        }
        Matrix::Csr(m) => {
            let mut out = crate::anndata::Csr { n_cols: m.n_cols, indptr: vec![0], ..Default::default() };
            for p in places {
                let (columns, values) = m.row(*p);
                out.indices.extend_from_slice(columns);
                out.values.extend_from_slice(values);
                out.indptr.push(out.values.len() as u64);
            }
            out.n_rows = places.len();
            Matrix::Csr(out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_cut_and_turned() {
        let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let turned = reordered(&values, &[2, 3, 4], &[2, 0, 1]);
        // Element [c, a, b] of the turned is [a, b, c] of the old.
        assert_eq!(turned[(3 * 2 + 1) * 3 + 2], values[(3 + 2) * 4 + 3]);
        assert_eq!(reordered(&turned, &[4, 2, 3], &[1, 2, 0]), values);
        assert_eq!(
            taken(&values, &[2, 3, 4], 1, &[2, 0]),
            [8, 9, 10, 11, 0, 1, 2, 3, 20, 21, 22, 23, 12, 13, 14, 15].map(|i| i as f32)
        );
    }
}
