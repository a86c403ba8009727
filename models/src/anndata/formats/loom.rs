//! Loom files (version 1 to 3): genes by cells, with attributes of rows and columns.

use std::path::Path;

use super::super::column::{Column, Values};
use super::super::error::DataError;
use super::super::frame::read_array;
use super::super::matrix::{Csr, Dense, Matrix};
use super::super::storage::{self, Array, Group, Node, Place};
use super::super::write::{Additions, NewAnnData};
use super::numbered;

/// Attributes that hold the labels of cells, the first that is there.
const CELLS: [&str; 5] = ["CellID", "obs_names", "cell_id", "barcode", "Barcode"];
/// Attributes that hold the labels of genes, the first that is there.
const GENES: [&str; 5] = ["Gene", "var_names", "gene", "GeneName", "Accession"];

/// Whether `root` is a loom file.
pub(in super::super) fn is_loom(root: &Group) -> bool {
    root.has("matrix") && root.has("row_attrs") && root.has("col_attrs")
}

/// What one axis has: labels, columns, tables.
struct Axis {
    labels: Vec<String>,
    columns: Vec<(String, Column)>,
    tables: Vec<(String, Dense)>,
}

/// Reads the file; the matrix is `X`, turned to cells by genes, sparse when most of it is zero.
///
/// # Errors
/// E0713 when parts are damaged or do not fit each other.
pub(in super::super) fn read(root: &Group, path: &Path) -> Result<NewAnnData, DataError> {
    let place = Place::new(path, "matrix");
    let data = storage::dataset(root, "matrix", &Place::new(path, ""))?;
    let (x, n, m) = transposed(&data, &place)?;
    let cells = axis(root, "col_attrs", &CELLS, n, path)?;
    let genes = axis(root, "row_attrs", &GENES, m, path)?;
    let mut layers = Vec::new();
    let place = Place::new(path, "layers");
    if let Some(Node::Group(group)) = storage::member(root, "layers", &place)? {
        for name in storage::member_names(&group, &place)? {
            let inner = place.child(&name);
            let (layer, rows, columns) = transposed(&storage::dataset(&group, &name, &place)?, &inner)?;
            if (rows, columns) != (n, m) {
                return Err(inner.malformed(format!("it is {columns} x {rows}, the matrix is {m} x {n}")));
            }
            layers.push((name, layer));
        }
    }
    let parts = Additions {
        obs: cells.columns,
        var: genes.columns,
        obsm: cells.tables,
        varm: genes.tables,
        layers,
        ..Additions::default()
    };
    Ok(NewAnnData { obs_names: cells.labels, var_names: genes.labels, x: Some(x), parts })
}

/// A matrix of genes by cells as cells by genes, and its two sizes.
fn transposed(data: &Array, place: &Place<'_>) -> Result<(Matrix, usize, usize), DataError> {
    let (values, shape) = storage::read_f32(data, place)?;
    let &[m, n] = shape.as_slice() else {
        return Err(place.malformed(format!("two axes are expected, found shape {shape:?}")));
    };
    let mut csr = Csr { n_rows: m, n_cols: n, indptr: vec![0], indices: Vec::new(), values: Vec::new() };
    let n_stored = values.iter().filter(|v| **v != 0.0).count();
    if n_stored < values.len() / 2 {
        for row in values.chunks_exact(n.max(1)) {
            let stored = row.iter().enumerate().filter(|(_, v)| **v != 0.0);
            stored.for_each(|(column, &value)| {
                csr.indices.push(column as u32);
                csr.values.push(value);
            });
            csr.indptr.push(csr.values.len() as u64);
        }
        csr.indptr.resize(m + 1, csr.values.len() as u64);
        return Ok((Matrix::Csr(csr.transposed()), n, m));
    }
    let mut dense = Dense { n_rows: n, n_cols: m, values: storage::room(values.len(), place)? };
    dense
        .values
        .extend((0..n).flat_map(|cell| (0..m).map(move |gene| (cell, gene))).map(|(c, g)| values[g * n + c]));
    Ok((Matrix::Dense(dense), n, m))
}

fn axis(root: &Group, part: &str, labels: &[&str], n: usize, path: &Path) -> Result<Axis, DataError> {
    let place = Place::new(path, part);
    let Some(Node::Group(group)) = storage::member(root, part, &place)? else {
        return Err(place.malformed("a group of attributes is expected"));
    };
    let mut out = Axis { labels: Vec::new(), columns: Vec::new(), tables: Vec::new() };
    let named = labels.iter().copied().find(|name| group.has(name));
    for name in storage::member_names(&group, &place)? {
        let inner = place.child(&name);
        let data = storage::dataset(&group, &name, &place)?;
        let shape = storage::check_claim(&data, &inner)?;
        if shape.first() != Some(&n) {
            return Err(inner.malformed(format!("its shape is {shape:?}, but the axis has {n} entries")));
        }
        match shape.len() {
            1 => {
                let column = read_array(&data, &inner)?;
                match column.values {
                    Values::Strings(texts) if Some(name.as_str()) == named => out.labels = texts,
                    values => out.columns.push((name, Column::new(values))),
                }
            }
            2 if storage::element_type(&data, &inner)? != storage::Element::Other => {
                let (values, _) = storage::read_f32(&data, &inner)?;
                out.tables.push((name, Dense { n_rows: n, n_cols: shape[1], values }));
            }
            _ => {}
        }
    }
    if out.labels.is_empty() {
        out.labels = numbered(n);
    }
    Ok(out)
}
