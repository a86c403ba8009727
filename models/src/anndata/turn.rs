//! Compressed columns larger than memory, turned into rows in a temporary file.
//!
//! The rows are made in groups that fit into memory; for each group the columns are read through once. The file lies
//! where the system keeps such files (`TMPDIR`), as large as the matrix without compression, and has no name once it
//! is open where the system allows that.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hdf5::Dataset;

use super::error::DataError;
use super::matrix::Csr;
use super::rows::RowReader;
use super::sparse;
use super::storage::{self, Array, Place};

/// Bytes of an index with its value.
const WIDTH: usize = 8;
/// The fewest values read at once.
const FEWEST: usize = 1 << 10;

/// Columns of a matrix in a file.
pub(super) struct Columns {
    /// The values, column by column.
    pub data: Array,
    /// The row of each.
    pub indices: Array,
    /// Where each column starts: rises from 0 to the number of values.
    pub indptr: Vec<u64>,
    /// Rows of the matrix.
    pub n_rows: usize,
}

/// A file that is gone with its last reader.
#[derive(Debug)]
pub(super) struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // One that is gone already, or cannot be removed, does no harm.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Temporary {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("svic-rows-{}-{number}.h5", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Columns {
    /// The matrix as rows on the disk, made with about `memory` bytes.
    ///
    /// # Errors
    /// Damaged columns, as reading them whole; a temporary file that cannot be written.
    pub fn to_rows(&self, memory: usize, place: &Place<'_>) -> Result<RowReader, DataError> {
        let n_values = self.indptr.last().copied().unwrap_or(0) as usize;
        let step = (memory / 4 / WIDTH).max(FEWEST);
        let mut indptr = vec![0u64; self.n_rows + 1];
        self.each_run(step, n_values, |_, span| {
            for row in self.indices(span, place)? {
                indptr[row as usize + 1] += 1;
            }
            Ok(())
        })?;
        for row in 0..self.n_rows {
            indptr[row + 1] += indptr[row];
        }
        let file = Temporary::new();
        let failed = |e: hdf5::Error| {
            let text = storage::first_line(&e.to_string());
            place.malformed(format!("its rows cannot be written to {}: {text}", file.0.display())).with_help(
                "name a folder with room for them in TMPDIR, or store them cell by cell: svic prep FILE -o ROWS.h5ad",
            )
        };
        let made = hdf5::File::create(&file.0).map_err(failed)?;
        // Without a name no one else can change it, and it is gone however this process ends.
        #[cfg(unix)]
        let _ = std::fs::remove_file(&file.0);
        let data = made.new_dataset::<f32>().shape([n_values]).create("data").map_err(failed)?;
        let indices = made.new_dataset::<u32>().shape([n_values]).create("indices").map_err(failed)?;
        let most = (memory / 2 / WIDTH).max(FEWEST) as u64;
        // Where values of one place are added up there are fewer than the columns store.
        let mut own = vec![0u64];
        let mut from = 0;
        while from < self.n_rows {
            let end = indptr.partition_point(|&p| p <= indptr[from].saturating_add(most)) - 1;
            let to = end.max(from + 1);
            let rows = self.gather(from..to, &indptr, step, place)?;
            let before = own[from];
            let at = before as usize..before as usize + rows.values.len();
            write(&data, &rows.values, at.clone()).map_err(failed)?;
            write(&indices, &rows.indices, at).map_err(failed)?;
            own.extend(rows.indptr[1..].iter().map(|p| before + p));
            from = to;
        }
        made.flush().map_err(failed)?;
        let n_cols = self.indptr.len() - 1;
        // Of this file what it holds is believed, whatever the size of the other.
        let here = Place::new(&file.0, place.field.clone());
        let reader = RowReader::of_sparse(Array::H5(data), Array::H5(indices), own, n_cols, &here);
        Ok(reader.keeping(Arc::new(file)))
    }

    /// Some rows, gathered by going through all columns.
    fn gather(
        &self,
        rows: Range<usize>,
        indptr: &[u64],
        step: usize,
        place: &Place<'_>,
    ) -> Result<Csr, DataError> {
        let first = indptr[rows.start];
        let own: Vec<u64> = indptr[rows.start..=rows.end].iter().map(|p| p - first).collect();
        let n_values = own[rows.len()] as usize;
        let (mut indices, mut values) = (storage::room(n_values, place)?, storage::room(n_values, place)?);
        indices.resize(n_values, 0u32);
        values.resize(n_values, 0f32);
        let mut next: Vec<usize> = own[..rows.len()].iter().map(|&p| p as usize).collect();
        let all = self.indptr.last().copied().unwrap_or(0) as usize;
        self.each_run(step, all, |column, span| {
            let found = self.indices(span.clone(), place)?;
            let (read, _) = storage::read_f32_rows(&self.data, Some(span.clone()), &place.child("data"))?;
            let mut column = column;
            for (position, (row, value)) in span.zip(found.into_iter().zip(read)) {
                while self.indptr[column + 1] <= position as u64 {
                    column += 1;
                }
                if rows.contains(&(row as usize)) {
                    let next = &mut next[row as usize - rows.start];
                    (indices[*next], values[*next]) = (column as u32, value);
                    *next += 1;
                }
            }
            Ok(())
        })?;
        let n_cols = self.indptr.len() - 1;
        let mut csr = Csr { n_rows: rows.len(), n_cols, indptr: own, indices, values };
        sparse::put_in_order(&mut csr);
        Ok(csr)
    }

    fn indices(&self, span: Range<usize>, place: &Place<'_>) -> Result<Vec<u32>, DataError> {
        sparse::read_indices(&self.indices, self.n_rows, span, &place.child("indices"))
    }

    /// Calls `visit` with runs of `step` positions, and the column that each begins in.
    fn each_run(
        &self,
        step: usize,
        n: usize,
        mut visit: impl FnMut(usize, Range<usize>) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        (0..n).step_by(step).try_for_each(|from| {
            let column = self.indptr.partition_point(|&p| p <= from as u64) - 1;
            visit(column, from..(from + step).min(n))
        })
    }
}

fn write<T: hdf5::H5Type>(to: &Dataset, values: &[T], at: Range<usize>) -> hdf5::Result<()> {
    match values.is_empty() {
        true => Ok(()),
        false => to.write_slice(ndarray::ArrayView1::from(values), ndarray::s![at]),
    }
}
