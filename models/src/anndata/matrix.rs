//! Matrices in memory: compressed sparse rows, or dense rows. Values are f32.

use std::ops::Range;
use std::sync::Mutex;

/// A sparse matrix by rows.
///
/// `indptr` has `n_rows + 1` entries, starts at 0, never falls, and ends at the number of stored values. Within a
/// row `indices` rise strictly and are below `n_cols`. Values may be explicit zeros.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Csr {
    /// Rows: cells, where it holds expression.
    pub n_rows: usize,
    /// Columns: genes, where it holds expression.
    pub n_cols: usize,
    /// Where each row starts in `indices` and `values`.
    pub indptr: Vec<u64>,
    /// The column of each stored value.
    pub indices: Vec<u32>,
    /// The stored values.
    pub values: Vec<f32>,
}

/// A dense matrix, row-major: the value of row `i`, column `j` is `values[i * n_cols + j]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dense {
    /// Rows.
    pub n_rows: usize,
    /// Columns.
    pub n_cols: usize,
    /// `n_rows * n_cols` values.
    pub values: Vec<f32>,
}

/// A matrix as a file holds it: sparse stays sparse (columns-first files are turned into rows), dense stays dense.
#[derive(Clone, Debug, PartialEq)]
pub enum Matrix {
    /// Compressed sparse rows.
    Csr(Csr),
    /// Dense rows.
    Dense(Dense),
}

impl Csr {
    /// The columns and values stored in row `row`.
    ///
    /// # Panics
    /// When `row >= n_rows`.
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let (from, to) = (self.indptr[row] as usize, self.indptr[row + 1] as usize);
        (&self.indices[from..to], &self.values[from..to])
    }

    /// The same matrix, dense.
    pub fn to_dense(&self) -> Dense {
        let mut dense = Dense::zeros(self.n_rows, self.n_cols);
        for row in 0..self.n_rows {
            let (columns, values) = self.row(row);
            for (&column, &value) in columns.iter().zip(values) {
                dense.values[row * self.n_cols + column as usize] = value;
            }
        }
        dense
    }

    /// The same matrix with rows and columns exchanged: shape `n_cols` by `n_rows`. Large ones are shared among threads.
    ///
    /// # Panics
    /// When the columns of a row do not rise, as they must.
    pub fn transposed(&self) -> Csr {
        let mut indptr = vec![0u64; self.n_cols + 1];
        for &column in &self.indices {
            indptr[column as usize + 1] += 1;
        }
        for column in 0..self.n_cols {
            indptr[column + 1] += indptr[column];
        }
        let mut indices = vec![0u32; self.indices.len()];
        let mut values = vec![0f32; self.values.len()];
        let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = (indptr[self.n_cols] / n_threads as u64).max(TILE);
        let (mut free_indices, mut free_values) = (indices.as_mut_slice(), values.as_mut_slice());
        let mut parts = Vec::new();
        let mut from = 0;
        while from < self.n_cols {
            let to = run(&indptr, from, share);
            let n = (indptr[to] - indptr[from]) as usize;
            let (own_indices, rest) = std::mem::take(&mut free_indices).split_at_mut(n);
            free_indices = rest;
            let (own_values, rest) = std::mem::take(&mut free_values).split_at_mut(n);
            free_values = rest;
            parts.push((from..to, own_indices, own_values));
            from = to;
        }
        let n_more = parts.len().saturating_sub(1);
        let parts = Mutex::new(parts);
        let work = || {
            while let Some((rows, indices, values)) = parts.lock().ok().and_then(|mut parts| parts.pop()) {
                self.fill_transpose(rows, &indptr, indices, values);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..n_more {
                // Where no thread can be had, this one does all.
                let _ = std::thread::Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
        Csr { n_rows: self.n_cols, n_cols: self.n_rows, indptr, indices, values }
    }

    /// Fills rows `rows` of the transpose, whose row pointers are `indptr`: some at a time, so few that what is written
    /// in the order of the columns stays in the cache.
    fn fill_transpose(&self, rows: Range<usize>, indptr: &[u64], indices: &mut [u32], values: &mut [f32]) {
        let first = indptr[rows.start];
        let mut next: Vec<usize> = indptr[rows.clone()].iter().map(|&p| (p - first) as usize).collect();
        let before = |row: usize| self.row(row).0.partition_point(|&c| (c as usize) < rows.start);
        let mut done: Vec<usize> = (0..self.n_rows).map(before).collect();
        let mut from = rows.start;
        while from < rows.end {
            let to = run(indptr, from, TILE).min(rows.end);
            for (row, done) in done.iter_mut().enumerate() {
                let (columns, row_values) = self.row(row);
                let left = columns[*done..].iter().zip(&row_values[*done..]);
                for (&column, &value) in left.take_while(|(c, _)| (**c as usize) < to) {
                    let at = &mut next[column as usize - rows.start];
                    indices[*at] = row as u32;
                    values[*at] = value;
                    *at += 1;
                    *done += 1;
                }
            }
            from = to;
        }
    }
}

/// Values of a transpose that are written before the next are looked at: half a megabyte of indices and values.
const TILE: u64 = 1 << 16;

/// The end of a run of rows from `from` that store `most` values, or of one row that stores more.
fn run(indptr: &[u64], from: usize, most: u64) -> usize {
    let end = indptr.partition_point(|&p| p <= indptr[from].saturating_add(most)) - 1;
    end.max(from + 1)
}

impl Dense {
    /// All zeros, `n_rows` by `n_cols`.
    pub fn zeros(n_rows: usize, n_cols: usize) -> Self {
        Self { n_rows, n_cols, values: vec![0.0; n_rows * n_cols] }
    }

    /// Row `row`, `n_cols` values.
    ///
    /// # Panics
    /// When `row >= n_rows`.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.n_cols..(row + 1) * self.n_cols]
    }
}

impl Dense {
    /// Rows `rows`, in that order; a row may be used more than once.
    ///
    /// # Panics
    /// When a row is beyond the matrix.
    pub fn pick(&self, rows: &[usize]) -> Dense {
        let values = rows.iter().flat_map(|&row| self.row(row)).copied().collect();
        Dense { n_rows: rows.len(), n_cols: self.n_cols, values }
    }
}

impl Matrix {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        match self {
            Self::Csr(m) => m.n_rows,
            Self::Dense(m) => m.n_rows,
        }
    }

    /// Number of columns.
    pub fn n_cols(&self) -> usize {
        match self {
            Self::Csr(m) => m.n_cols,
            Self::Dense(m) => m.n_cols,
        }
    }

    /// The stored values: all of them if dense, without the implied zeros if sparse.
    pub fn values(&self) -> &[f32] {
        match self {
            Self::Csr(m) => &m.values,
            Self::Dense(m) => &m.values,
        }
    }

    /// Writes row `row` densely into `out`, which has `n_cols` elements.
    ///
    /// # Panics
    /// When `row` or the length of `out` does not fit.
    pub fn copy_row(&self, row: usize, out: &mut [f32]) {
        match self {
            Self::Dense(m) => out.copy_from_slice(m.row(row)),
            Self::Csr(m) => {
                assert_eq!(out.len(), m.n_cols, "a row has as many values as there are columns");
                out.fill(0.0);
                let (columns, values) = m.row(row);
                for (&column, &value) in columns.iter().zip(values) {
                    out[column as usize] = value;
                }
            }
        }
    }

    /// Calls `visit(column, value)` for each stored value of row `row` in rising order of column.
    pub fn for_each_in_row(&self, row: usize, mut visit: impl FnMut(usize, f32)) {
        match self {
            Self::Dense(m) => m.row(row).iter().enumerate().for_each(|(column, &v)| visit(column, v)),
            Self::Csr(m) => {
                let (columns, values) = m.row(row);
                columns.iter().zip(values).for_each(|(&column, &v)| visit(column as usize, v));
            }
        }
    }

    /// Rows `rows` as a matrix of that many rows.
    ///
    /// # Panics
    /// When they are beyond the matrix.
    pub fn rows(&self, rows: Range<usize>) -> Matrix {
        match self {
            Self::Dense(m) => {
                let values = m.values[rows.start * m.n_cols..rows.end * m.n_cols].to_vec();
                Self::Dense(Dense { n_rows: rows.len(), n_cols: m.n_cols, values })
            }
            Self::Csr(m) => {
                let (from, to) = (m.indptr[rows.start], m.indptr[rows.end]);
                let span = from as usize..to as usize;
                Self::Csr(Csr {
                    n_rows: rows.len(),
                    n_cols: m.n_cols,
                    indptr: m.indptr[rows.start..=rows.end].iter().map(|p| p - from).collect(),
                    indices: m.indices[span.clone()].to_vec(),
                    values: m.values[span].to_vec(),
                })
            }
        }
    }

    /// Rows `rows`, in that order; a row may be used more than once.
    ///
    /// # Panics
    /// When a row is beyond the matrix.
    pub fn pick(&self, rows: &[usize]) -> Matrix {
        match self {
            Self::Dense(m) => Self::Dense(m.pick(rows)),
            Self::Csr(m) => {
                let mut out = Csr { n_rows: rows.len(), n_cols: m.n_cols, indptr: vec![0], ..Csr::default() };
                for &row in rows {
                    let (columns, values) = m.row(row);
                    out.indices.extend_from_slice(columns);
                    out.values.extend_from_slice(values);
                    out.indptr.push(out.values.len() as u64);
                }
                Self::Csr(out)
            }
        }
    }

    /// The rows of all `parts` under each other, sparse if any is; `None` where their columns differ in number or there
    /// is no part.
    pub fn stacked(parts: &[Matrix]) -> Option<Matrix> {
        let n_cols = parts.first()?.n_cols();
        if parts.iter().any(|m| m.n_cols() != n_cols) {
            return None;
        }
        let n_rows = parts.iter().map(Matrix::n_rows).sum();
        if parts.iter().all(|m| matches!(m, Self::Dense(_))) {
            let values = parts.iter().flat_map(|m| m.values()).copied().collect();
            return Some(Self::Dense(Dense { n_rows, n_cols, values }));
        }
        let mut out = Csr { n_rows, n_cols, indptr: vec![0], ..Csr::default() };
        for part in parts {
            for row in 0..part.n_rows() {
                part.for_each_in_row(row, |column, value| {
                    if value != 0.0 {
                        out.indices.push(column as u32);
                        out.values.push(value);
                    }
                });
                out.indptr.push(out.values.len() as u64);
            }
        }
        Some(Self::Csr(out))
    }

    /// The sum of each row, in f64.
    pub fn row_totals(&self) -> Vec<f64> {
        (0..self.n_rows())
            .map(|row| {
                let mut total = 0.0;
                self.for_each_in_row(row, |_, value| total += f64::from(value));
                total
            })
            .collect()
    }

    /// The same matrix, dense.
    pub fn to_dense(&self) -> Dense {
        match self {
            Self::Csr(m) => m.to_dense(),
            Self::Dense(m) => m.clone(),
        }
    }

    /// New columns `0..sources.len()`, each taken from the old column `sources[new]`, or zero where that is `None`.
    /// An old column may be used once at most. Sparse stays sparse.
    pub fn with_columns(&self, sources: &[Option<usize>]) -> Matrix {
        match self {
            Self::Dense(m) => {
                let mut out = Dense::zeros(m.n_rows, sources.len());
                for row in 0..m.n_rows {
                    let from = m.row(row);
                    let to = &mut out.values[row * sources.len()..(row + 1) * sources.len()];
                    for (value, source) in to.iter_mut().zip(sources) {
                        *value = source.map_or(0.0, |s| from[s]);
                    }
                }
                Self::Dense(out)
            }
            Self::Csr(m) => Self::Csr(csr_with_columns(m, sources)),
        }
    }
}

fn csr_with_columns(m: &Csr, sources: &[Option<usize>]) -> Csr {
    let mut target = vec![None; m.n_cols];
    for (new, source) in sources.iter().enumerate() {
        if let Some(old) = *source {
            target[old] = Some(new as u32);
        }
    }
    let mut out = Csr { n_rows: m.n_rows, n_cols: sources.len(), indptr: vec![0], ..Csr::default() };
    let mut row_values: Vec<(u32, f32)> = Vec::new();
    for row in 0..m.n_rows {
        let (columns, values) = m.row(row);
        row_values.clear();
        row_values
            .extend(columns.iter().zip(values).filter_map(|(&c, &v)| target[c as usize].map(|new| (new, v))));
        row_values.sort_unstable_by_key(|&(column, _)| column);
        out.indices.extend(row_values.iter().map(|&(column, _)| column));
        out.values.extend(row_values.iter().map(|&(_, value)| value));
        out.indptr.push(out.indices.len() as u64);
    }
    out
}
