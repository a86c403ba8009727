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
            (_, SlotData::Absent) => {}
        }
    }

    /// Exchanges rows and columns.
    pub fn transpose(&mut self) {
        self.axes.reverse();
        self.labels.reverse();
        if let SlotData::Matrix { values } = &mut self.data {
            let old = values.to_dense();
            let mut new = Dense::zeros(old.n_cols, old.n_rows);
            for row in 0..old.n_rows {
                for (column, value) in old.row(row).iter().enumerate() {
                    new.values[column * old.n_rows + row] = *value;
                }
            }
            *values = Matrix::Dense(new);
        }
    }
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
