//! Rows of a matrix straight from the disk.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::error::DataError;
use super::matrix::{Csr, Dense, Matrix};
use super::sparse;
use super::storage::{self, Array, Place};
use super::turn::Temporary;

/// Reads runs of rows of one matrix. Of a sparse matrix it holds the row pointers, 8 bytes per row.
#[derive(Clone, Debug)]
pub struct RowReader {
    file: PathBuf,
    field: String,
    n_rows: usize,
    n_cols: usize,
    source: Source,
    /// A file that it reads and no one else needs.
    _temporary: Option<Arc<Temporary>>,
}

#[derive(Clone, Debug)]
enum Source {
    Whole(Arc<Matrix>),
    Dense(Array),
    Sparse { data: Array, indices: Array, indptr: Arc<Vec<u64>> },
}

impl RowReader {
    pub(super) fn of_matrix(matrix: Matrix, place: &Place<'_>) -> Self {
        let (n_rows, n_cols) = (matrix.n_rows(), matrix.n_cols());
        Self::new(place, n_rows, n_cols, Source::Whole(Arc::new(matrix)))
    }

    pub(super) fn of_dense(data: Array, (n_rows, n_cols): (usize, usize), place: &Place<'_>) -> Self {
        Self::new(place, n_rows, n_cols, Source::Dense(data))
    }

    /// `indptr` is checked by the caller against the length of `data`.
    pub(super) fn of_sparse(
        data: Array,
        indices: Array,
        indptr: Vec<u64>,
        n_cols: usize,
        place: &Place<'_>,
    ) -> Self {
        let n_rows = indptr.len().saturating_sub(1);
        Self::new(place, n_rows, n_cols, Source::Sparse { data, indices, indptr: Arc::new(indptr) })
    }

    fn new(place: &Place<'_>, n_rows: usize, n_cols: usize, source: Source) -> Self {
        Self {
            file: place.file.to_path_buf(),
            field: place.field.clone(),
            n_rows,
            n_cols,
            source,
            _temporary: None,
        }
    }

    /// The same, which keeps a temporary file for as long as it reads it.
    pub(super) fn keeping(self, file: Arc<Temporary>) -> Self {
        Self { _temporary: Some(file), ..self }
    }

    /// Number of rows of the matrix.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of columns of the matrix.
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// Whether rows come sparse.
    pub fn is_sparse(&self) -> bool {
        match &self.source {
            Source::Whole(matrix) => matches!(**matrix, Matrix::Csr(_)),
            Source::Dense(_) => false,
            Source::Sparse { .. } => true,
        }
    }

    /// Whether all of it is in memory: the file does not keep it row by row.
    pub fn is_whole(&self) -> bool {
        matches!(self.source, Source::Whole(_))
    }

    /// The number of values stored in `rows`; the bytes that they take in memory are 8 times it if sparse, 4 if not.
    pub fn n_stored(&self, rows: Range<usize>) -> usize {
        let rows = rows.start.min(self.n_rows)..rows.end.min(self.n_rows);
        match &self.source {
            Source::Sparse { indptr, .. } => (indptr[rows.end] - indptr[rows.start]) as usize,
            Source::Whole(matrix) => match &**matrix {
                Matrix::Csr(m) => (m.indptr[rows.end] - m.indptr[rows.start]) as usize,
                Matrix::Dense(m) => rows.len() * m.n_cols,
            },
            Source::Dense(_) => rows.len() * self.n_cols,
        }
    }

    /// Rows `rows`, as a matrix of that many rows.
    ///
    /// # Errors
    /// E0713 when they are beyond the matrix, damaged or out of range.
    pub fn read(&self, rows: Range<usize>) -> Result<Matrix, DataError> {
        let place = Place::new(&self.file, self.field.clone());
        if rows.start > rows.end || rows.end > self.n_rows {
            return Err(place.malformed(format!("rows {rows:?} of {} are asked for", self.n_rows)));
        }
        match &self.source {
            Source::Whole(matrix) => Ok(matrix.rows(rows)),
            Source::Dense(data) => {
                let (values, _) = storage::read_f32_rows(data, Some(rows.clone()), &place)?;
                Ok(Matrix::Dense(Dense { n_rows: rows.len(), n_cols: self.n_cols, values }))
            }
            Source::Sparse { data, indices, indptr } => {
                let span = indptr[rows.start] as usize..indptr[rows.end] as usize;
                let values = storage::read_f32_rows(data, Some(span.clone()), &place.child("data"))?.0;
                let indices = sparse::read_indices(indices, self.n_cols, span, &place.child("indices"))?;
                let first = indptr[rows.start];
                let indptr: Vec<u64> = indptr[rows.start..=rows.end].iter().map(|p| p - first).collect();
                let mut csr = Csr { n_rows: rows.len(), n_cols: self.n_cols, indptr, indices, values };
                sparse::put_in_order(&mut csr);
                Ok(Matrix::Csr(csr))
            }
        }
    }
}
