//! A matrix that stays on the disk: blocks of consecutive rows, of which those used last are kept in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::DataError;
use super::matrix::{Csr, Dense, Matrix};
use super::rows::RowReader;

/// The number of blocks that the memory given is divided into.
const N_BLOCKS: usize = 64;
/// The fewest and the most rows of a block.
const ROWS: (usize, usize) = (64, 1 << 14);

/// Rows of a matrix on the disk, read block by block. Clones share what is in memory.
#[derive(Clone, Debug)]
pub struct DiskRows {
    reader: Arc<RowReader>,
    block_rows: usize,
    /// For each row its row in the file; all rows in order where there is none.
    rows: Option<Arc<Vec<u32>>>,
    /// For each column its column in the file.
    columns: Option<Arc<Vec<Option<usize>>>>,
    cache: Arc<Mutex<Cache>>,
}

/// Blocks by number, each with the time of its last use.
#[derive(Debug, Default)]
struct Cache {
    blocks: BTreeMap<usize, (u64, Arc<Matrix>)>,
    clock: u64,
    bytes: usize,
    budget: usize,
}

impl PartialEq for DiskRows {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.cache, &other.cache) && self.rows == other.rows && self.columns == other.columns
    }
}

/// Bytes that the values of a matrix take in memory.
fn bytes_of(matrix: &Matrix) -> usize {
    match matrix {
        Matrix::Csr(m) => m.values.len() * 8 + m.indptr.len() * 8,
        Matrix::Dense(m) => m.values.len() * 4,
    }
}

impl DiskRows {
    /// The rows that `reader` reads, with `budget` bytes for blocks in memory; one block is there even if it is larger.
    pub fn new(reader: RowReader, budget: usize) -> Self {
        let n = reader.n_rows().max(1);
        let row = if reader.is_sparse() { 8 * (reader.n_stored(0..n) / n + 1) } else { 4 * reader.n_cols() };
        let block_rows = (budget / N_BLOCKS / row.max(1)).clamp(ROWS.0, ROWS.1);
        let cache = Cache { budget, ..Cache::default() };
        Self {
            reader: Arc::new(reader),
            block_rows,
            rows: None,
            columns: None,
            cache: Arc::new(Mutex::new(cache)),
        }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.rows.as_ref().map_or(self.reader.n_rows(), |rows| rows.len())
    }

    /// Number of columns.
    pub fn n_cols(&self) -> usize {
        self.columns.as_ref().map_or(self.reader.n_cols(), |columns| columns.len())
    }

    /// Whether rows come sparse.
    pub fn is_sparse(&self) -> bool {
        self.reader.is_sparse()
    }

    /// Rows of a block in the file.
    pub fn block_rows(&self) -> usize {
        self.block_rows
    }

    /// Blocks that are drawn from at once: half of those that fit, so that the next can be read meanwhile.
    pub fn n_together(&self) -> usize {
        N_BLOCKS / 2 - 1
    }

    /// These rows of it, in this order.
    #[must_use]
    pub fn pick_rows(&self, places: &[usize]) -> Self {
        let row = |p: &usize| self.rows.as_ref().map_or(*p as u32, |rows| rows[*p]);
        Self { rows: Some(Arc::new(places.iter().map(row).collect())), ..self.clone() }
    }

    /// These columns of it, in this order; zero where there is none.
    #[must_use]
    pub fn with_columns(&self, sources: &[Option<usize>]) -> Self {
        let column = |s: &Option<usize>| s.and_then(|s| self.columns.as_ref().map_or(Some(s), |c| c[s]));
        let budget = self.cache().budget;
        Self {
            columns: Some(Arc::new(sources.iter().map(column).collect())),
            cache: Arc::new(Mutex::new(Cache { budget, ..Cache::default() })),
            ..self.clone()
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        // A thread that panicked left blocks that are whole.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The block that row `row` lies in, and its place there.
    pub fn locate(&self, row: usize) -> (usize, usize) {
        let at = self.rows.as_ref().map_or(row, |rows| rows[row] as usize);
        (at / self.block_rows, at % self.block_rows)
    }

    /// Block `number`, from memory or from the file.
    ///
    /// # Errors
    /// E0713 when it cannot be read.
    pub fn block(&self, number: usize) -> Result<Arc<Matrix>, DataError> {
        let mut cache = self.cache();
        cache.clock += 1;
        let now = cache.clock;
        if let Some((used, block)) = cache.blocks.get_mut(&number) {
            *used = now;
            return Ok(Arc::clone(block));
        }
        let block = Arc::new(self.read(number)?);
        cache.keep(number, Arc::clone(&block));
        Ok(block)
    }

    /// Whether block `number` is in memory.
    pub fn is_here(&self, number: usize) -> bool {
        self.cache().blocks.contains_key(&number)
    }

    fn read(&self, number: usize) -> Result<Matrix, DataError> {
        let from = number.saturating_mul(self.block_rows).min(self.reader.n_rows());
        let to = from.saturating_add(self.block_rows).min(self.reader.n_rows());
        let block = self.reader.read(from..to)?;
        Ok(match &self.columns {
            Some(columns) => block.with_columns(columns),
            None => block,
        })
    }

    /// Visits all of the file once, block by block: the number of the first row, and the rows. Nothing is kept.
    ///
    /// # Errors
    /// E0713 when it cannot be read, or what `visit` says.
    pub fn each_block<E: From<DataError>>(
        &self,
        mut visit: impl FnMut(usize, &Matrix) -> Result<(), E>,
    ) -> Result<(), E> {
        (0..self.reader.n_rows().div_ceil(self.block_rows))
            .try_for_each(|number| visit(number * self.block_rows, &self.read(number)?))
    }

    /// All rows, in memory.
    ///
    /// # Errors
    /// E0713 when they cannot be read.
    pub fn to_matrix(&self) -> Result<Matrix, DataError> {
        let mut dense = Dense { n_cols: self.n_cols(), ..Dense::default() };
        let mut csr = Csr { n_cols: self.n_cols(), indptr: vec![0], ..Csr::default() };
        for row in 0..self.n_rows() {
            let (number, at) = self.locate(row);
            match &*self.block(number)? {
                Matrix::Dense(m) => dense.values.extend_from_slice(m.row(at)),
                Matrix::Csr(m) => {
                    let (columns, values) = m.row(at);
                    csr.indices.extend_from_slice(columns);
                    csr.values.extend_from_slice(values);
                    csr.indptr.push(csr.values.len() as u64);
                }
            }
        }
        (dense.n_rows, csr.n_rows) = (self.n_rows(), self.n_rows());
        Ok(if self.is_sparse() { Matrix::Csr(csr) } else { Matrix::Dense(dense) })
    }
}

impl Cache {
    /// Takes up a block; those used longest ago make room.
    fn keep(&mut self, number: usize, block: Arc<Matrix>) {
        let size = bytes_of(&block);
        while self.bytes + size > self.budget {
            let Some(oldest) = self.blocks.iter().min_by_key(|(_, (used, _))| *used).map(|(n, _)| *n) else {
                break;
            };
            if let Some((_, gone)) = self.blocks.remove(&oldest) {
                self.bytes -= bytes_of(&gone);
            }
        }
        self.bytes += size;
        self.blocks.insert(number, (self.clock, block));
    }
}
