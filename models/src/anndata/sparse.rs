//! Reading matrices: dense datasets, compressed rows, compressed columns.

use hdf5::{Dataset, Group};

use super::error::DataError;
use super::matrix::{Csr, Dense, Matrix};
use super::storage::{self, Node, Place};

/// Which axis is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
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
pub(super) fn values_of(node: &Node, place: &Place<'_>) -> Result<Dataset, DataError> {
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
pub(super) fn read_dense(data: &Dataset, place: &Place<'_>) -> Result<Dense, DataError> {
    two_axes(&data.shape(), place)?;
    let (values, shape) = storage::read_f32(data, place)?;
    let (n_rows, n_cols) =
        if values.is_empty() { two_axes(&data.shape(), place)? } else { two_axes(&shape, place)? };
    if n_rows.checked_mul(n_cols) != Some(values.len()) {
        return Err(place.malformed("its shape does not match the number of its values"));
    }
    Ok(Dense { n_rows, n_cols, values })
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
/// A pointer array that does not start at 0, falls, or does not end at the number of values; an index out of range,
/// out of order or given twice. The message names the first row (or column, where columns are compressed).
pub(super) fn read_sparse(group: &Group, place: &Place<'_>) -> Result<Csr, DataError> {
    let (format, n_rows, n_cols) = sparse_header(group, place)?;
    let (major, minor) = if format == Format::Rows { (n_rows, n_cols) } else { (n_cols, n_rows) };
    let (values, _) = storage::read_f32(&storage::dataset(group, "data", place)?, &place.child("data"))?;
    let indptr = read_pointers(group, major, values.len(), place)?;
    let indices = read_indices(group, minor, values.len(), place)?;
    check_order(&indptr, &indices, format, place)?;
    let csr = Csr { n_rows: major, n_cols: minor, indptr, indices, values };
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

fn read_indices(
    group: &Group,
    minor: usize,
    n_values: usize,
    place: &Place<'_>,
) -> Result<Vec<u32>, DataError> {
    let inner = place.child("indices");
    let (found, _) = storage::read_i64(&storage::dataset(group, "indices", place)?, &inner)?;
    if found.len() != n_values {
        return Err(inner.malformed(format!("there are {n_values} values but {} indices", found.len())));
    }
    let mut indices = storage::room(n_values, &inner)?;
    for (position, index) in found.into_iter().enumerate() {
        if index < 0 || index as u64 >= minor as u64 {
            return Err(inner.malformed(format!(
                "index out of range: {index} at position {position}, but the axis has {minor} entries"
            )));
        }
        indices.push(index as u32);
    }
    Ok(indices)
}

fn check_order(indptr: &[u64], indices: &[u32], format: Format, place: &Place<'_>) -> Result<(), DataError> {
    let (line, entry) = if format == Format::Rows { ("row", "column") } else { ("column", "row") };
    for (number, bounds) in indptr.windows(2).enumerate() {
        let within = &indices[bounds[0] as usize..bounds[1] as usize];
        let Some(at) = within.windows(2).position(|pair| pair[0] >= pair[1]) else { continue };
        let sorts = sort_command(&place.field);
        return Err(if within[at] == within[at + 1] {
            place.malformed(format!("{entry} {} is stored twice in {line} {number}", within[at])).with_help(
                format!("add such values up in Python: {}", sorts.replace("sort_indices", "sum_duplicates")),
            )
        } else {
            place
                .malformed(format!(
                    "the indices of {line} {number} are not sorted: {} is followed by {}",
                    within[at],
                    within[at + 1]
                ))
                .with_help(format!("sort them in Python and write the file again: {sorts}"))
        });
    }
    Ok(())
}

/// The Python call that sorts the indices of `field`.
fn sort_command(field: &str) -> String {
    match field.split_once('.') {
        Some(("raw", _)) => "adata.raw.X.sort_indices()".to_owned(),
        Some((root, name)) => format!("adata.{root}[\"{name}\"].sort_indices()"),
        None => format!("adata.{field}.sort_indices()"),
    }
}
