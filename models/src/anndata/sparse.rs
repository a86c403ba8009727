//! Reading matrices: dense datasets, compressed rows, compressed columns.

use std::ops::Range;

use super::error::DataError;
use super::matrix::{Csr, Dense, Matrix};
use super::rows::RowReader;
use super::storage::{self, Array, Group, Node, Place};
use super::turn::Columns;

/// Which axis is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Rows,
    Columns,
}

/// Reads the matrix at `node`, whatever its layout.
///
/// # Errors
/// See [`read_sparse`] for sparse groups; other elements are refused by name.
pub(super) fn read_matrix(node: &Node, place: &Place<'_>) -> Result<Matrix, DataError> {
    match node {
        Node::Dataset(data) => read_dense(data, place).map(Matrix::Dense),
        Node::Group(group) => read_sparse(group, place).map(Matrix::Csr),
    }
}

/// The shape of the matrix at `node`, without reading its values.
pub(super) fn matrix_shape(node: &Node, place: &Place<'_>) -> Result<(usize, usize), DataError> {
    match node {
        Node::Dataset(data) => two_axes(&data.shape(), place),
        Node::Group(group) => sparse_header(group, place).map(|(_, rows, columns)| (rows, columns)),
    }
}

/// The dataset that holds the values of the matrix at `node`.
pub(super) fn values_of(node: &Node, place: &Place<'_>) -> Result<Array, DataError> {
    match node {
        Node::Dataset(data) => Ok(data.clone()),
        Node::Group(group) => storage::dataset(group, "data", place),
    }
}

fn two_axes(shape: &[usize], place: &Place<'_>) -> Result<(usize, usize), DataError> {
    match *shape {
        [rows, columns] => Ok((rows, columns)),
        [rows] => Ok((rows, 1)),
        _ => Err(place.malformed(format!("a matrix is expected, found an array of shape {shape:?}"))),
    }
}

/// Reads a dense matrix; a vector becomes one column.
pub(super) fn read_dense(data: &Array, place: &Place<'_>) -> Result<Dense, DataError> {
    two_axes(&data.shape(), place)?;
    let (values, shape) = storage::read_f32(data, place)?;
    let (n_rows, n_cols) =
        if values.is_empty() { two_axes(&data.shape(), place)? } else { two_axes(&shape, place)? };
    if n_rows.checked_mul(n_cols) != Some(values.len()) {
        return Err(place.malformed("its shape does not match the number of its values"));
    }
    Ok(Dense { n_rows, n_cols, values })
}

/// Places of a sparse table for each of its values; more are a claim that nothing backs.
const MAX_PLACES: usize = 1000;

/// Reads a sparse matrix as a dense table.
///
/// # Errors
/// As [`read_sparse`]; a table that would be mostly emptiness.
pub(super) fn read_table(group: &Group, place: &Place<'_>) -> Result<Dense, DataError> {
    let (_, n_rows, n_cols) = sparse_header(group, place)?;
    let data = storage::dataset(group, "data", place)?;
    let n_values: usize = storage::check_claim(&data, &place.child("data"))?.iter().product();
    let most = n_values.saturating_add(n_rows).saturating_add(MAX_PLACES).saturating_mul(MAX_PLACES);
    if n_rows.saturating_mul(n_cols) > most {
        return Err(place.malformed(format!(
            "it claims a shape of {n_rows} x {n_cols} for {n_values} values, too wide for a table"
        )));
    }
    Ok(read_sparse(group, place)?.to_dense())
}

/// Format and shape of a sparse group, from the attributes of any version of anndata.
fn sparse_header(group: &Group, place: &Place<'_>) -> Result<(Format, usize, usize), DataError> {
    let encoding = storage::attribute_text(group, "encoding-type", place)
        .or_else(|| storage::attribute_text(group, "h5sparse_format", place));
    let format = match encoding.as_deref() {
        Some("csr_matrix" | "csr") => Format::Rows,
        Some("csc_matrix" | "csc") => Format::Columns,
        Some(other) => {
            return Err(place.malformed(format!(
                "a dense, csr or csc matrix is expected, found an element of type `{other}`"
            )));
        }
        None => {
            return Err(place.malformed("a matrix is expected, found a group that is not marked as sparse"));
        }
    };
    let shape = match storage::attribute_integers(group, "shape", place)? {
        Some(shape) => Some(shape),
        None => storage::attribute_integers(group, "h5sparse_shape", place)?,
    };
    let shape = shape.unwrap_or_default();
    match shape.as_slice() {
        &[rows, columns]
            if (0..=i64::from(u32::MAX)).contains(&rows.max(columns)) && rows.min(columns) >= 0 =>
        {
            Ok((format, rows as usize, columns as usize))
        }
        other => Err(place.malformed(format!("its `shape` should be two sizes, found {other:?}"))),
    }
}

/// Reads a sparse matrix; compressed columns are turned into compressed rows.
///
/// # Errors
/// A pointer array that does not start at 0, falls, or does not end at the number of values; an index out of range.
pub(super) fn read_sparse(group: &Group, place: &Place<'_>) -> Result<Csr, DataError> {
    let (format, n_rows, n_cols) = sparse_header(group, place)?;
    read_compressed(group, format, n_rows, n_cols, place)
}

/// Reads `data`, `indices` and `indptr` of `group` as a matrix of `n_rows` by `n_cols`, compressed along `format`.
pub(super) fn read_compressed(
    group: &Group,
    format: Format,
    n_rows: usize,
    n_cols: usize,
    place: &Place<'_>,
) -> Result<Csr, DataError> {
    let (major, minor) = if format == Format::Rows { (n_rows, n_cols) } else { (n_cols, n_rows) };
    let (values, _) = storage::read_f32(&storage::dataset(group, "data", place)?, &place.child("data"))?;
    let indptr = read_pointers(group, major, values.len(), place)?;
    let indices = read_all_indices(group, minor, values.len(), place)?;
    let mut csr = Csr { n_rows: major, n_cols: minor, indptr, indices, values };
    put_in_order(&mut csr);
    Ok(if format == Format::Rows { csr } else { csr.transposed() })
}

fn read_pointers(
    group: &Group,
    major: usize,
    n_values: usize,
    place: &Place<'_>,
) -> Result<Vec<u64>, DataError> {
    let inner = place.child("indptr");
    let (pointers, _) = storage::read_i64(&storage::dataset(group, "indptr", place)?, &inner)?;
    if pointers.len() != major + 1 {
        return Err(inner.malformed(format!(
            "{} row pointers are expected for its shape, found {}",
            major + 1,
            pointers.len()
        )));
    }
    if pointers[0] != 0 || pointers[major] != n_values as i64 {
        return Err(inner.malformed(format!(
            "row pointers should run from 0 to {n_values}, the number of values; found {} to {}",
            pointers[0], pointers[major]
        )));
    }
    if let Some(at) = (0..major).find(|&i| pointers[i] > pointers[i + 1]) {
        return Err(inner.malformed(format!(
            "row pointers fall at position {at}: {} is followed by {}",
            pointers[at],
            pointers[at + 1]
        )));
    }
    Ok(pointers.into_iter().map(|p| p as u64).collect())
}

fn read_all_indices(
    group: &Group,
    minor: usize,
    n_values: usize,
    place: &Place<'_>,
) -> Result<Vec<u32>, DataError> {
    let inner = place.child("indices");
    let data = storage::dataset(group, "indices", place)?;
    let n: usize = data.shape().iter().product();
    if n != n_values {
        return Err(inner.malformed(format!("there are {n_values} values but {n} indices")));
    }
    read_indices(&data, minor, 0..n, &inner)
}

/// The indices at positions `span`, checked against the length of their axis.
pub(super) fn read_indices(
    data: &Array,
    minor: usize,
    span: Range<usize>,
    place: &Place<'_>,
) -> Result<Vec<u32>, DataError> {
    if let Some(found) = storage::read_i32_rows(data, span.clone(), place)? {
        // All are compared before any is reported: many at once. Below zero is beyond 2^31.
        let most = u32::try_from(minor).unwrap_or(u32::MAX);
        if found.iter().fold(true, |fine, &index| fine & ((index as u32) < most)) {
            return Ok(found.into_iter().map(|index| index as u32).collect());
        }
    }
    let (found, _) = storage::read_i64_rows(data, Some(span.clone()), place)?;
    let mut indices = storage::room(found.len(), place)?;
    for (position, index) in found.into_iter().enumerate() {
        if index < 0 || index as u64 >= minor as u64 {
            return Err(place.malformed(format!(
                "index out of range: {index} at position {}, but the axis has {minor} entries",
                span.start + position
            )));
        }
        indices.push(index as u32);
    }
    Ok(indices)
}

/// A reader of rows; compressed columns are read whole, or turned into rows on the disk if they take more than `memory`
/// bytes.
pub(super) fn row_reader(node: &Node, memory: usize, place: &Place<'_>) -> Result<RowReader, DataError> {
    let group = match node {
        Node::Dataset(data) => {
            let shape = two_axes(&storage::check_claim(data, place)?, place)?;
            return Ok(RowReader::of_dense(data.clone(), shape, place));
        }
        Node::Group(group) => group,
    };
    let (format, n_rows, n_cols) = sparse_header(group, place)?;
    let (data, indices) =
        (storage::dataset(group, "data", place)?, storage::dataset(group, "indices", place)?);
    let n_values: usize = storage::check_claim(&data, &place.child("data"))?.iter().product();
    let n_indices: usize = storage::check_claim(&indices, &place.child("indices"))?.iter().product();
    if n_values != n_indices {
        let message = format!("there are {n_values} values but {n_indices} indices");
        return Err(place.child("indices").malformed(message));
    }
    if format == Format::Columns && n_values.saturating_mul(8) <= memory {
        return Ok(RowReader::of_matrix(Matrix::Csr(read_sparse(group, place)?), place));
    }
    let major = if format == Format::Rows { n_rows } else { n_cols };
    let indptr = read_pointers(group, major, n_values, place)?;
    match format {
        Format::Rows => Ok(RowReader::of_sparse(data, indices, indptr, n_cols, place)),
        Format::Columns => Columns { data, indices, indptr, n_rows }.to_rows(memory, place),
    }
}

/// Brings the indices of each line, with their values, into rising order. Values of one place are added up, as scipy
/// does with them.
pub(super) fn put_in_order(csr: &mut Csr) {
    let rises = |bounds: &[u64]| {
        let line = &csr.indices[bounds[0] as usize..bounds[1] as usize];
        // All are compared before any is looked at: many at once.
        line.windows(2).fold(true, |rises, pair| rises & (pair[0] < pair[1]))
    };
    let Some(first) = csr.indptr.windows(2).position(|bounds| !rises(bounds)) else { return };
    let mut sorted: Vec<(u32, f32)> = Vec::new();
    let (mut from, mut kept) = (csr.indptr[first] as usize, csr.indptr[first] as usize);
    for line in first..csr.indptr.len() - 1 {
        let to = csr.indptr[line + 1] as usize;
        sorted.clear();
        sorted.extend(csr.indices[from..to].iter().copied().zip(csr.values[from..to].iter().copied()));
        sorted.sort_by_key(|&(index, _)| index);
        let start = kept;
        for &(index, value) in &sorted {
            if kept > start && csr.indices[kept - 1] == index {
                csr.values[kept - 1] += value;
            } else {
                (csr.indices[kept], csr.values[kept]) = (index, value);
                kept += 1;
            }
        }
        csr.indptr[line + 1] = kept as u64;
        from = to;
    }
    csr.indices.truncate(kept);
    csr.values.truncate(kept);
}
