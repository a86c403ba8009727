//! Matrix Market files, alone or with the features and barcodes that 10x Genomics puts beside them.

use std::path::{Path, PathBuf};

use super::super::error::{DataError, DataErrorKind};
use super::super::matrix::{Csr, Matrix};
use super::super::write::{Additions, NewAnnData};
use super::lines::Lines;
use super::{Found, by_feature_type, numbered, texts};

/// Rows and columns that an axis may have beyond what its stored values can fill.
const FREE_LINES: usize = 1 << 20;

/// The matrix in folder `folder`; `None` if it has none.
pub(in super::super) fn in_folder(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let mut found: Vec<PathBuf> =
        entries.flatten().map(|e| e.path()).filter(|p| prefix(p).is_some()).collect();
    found.sort();
    (found.len() == 1).then(|| found.remove(0))
}

/// What stands before `matrix.mtx` in the name of a file.
fn prefix(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".gz").unwrap_or(name).strip_suffix("matrix.mtx")
}

/// The file beside `matrix` with its prefix and one of these names, gzipped or not.
fn beside(matrix: &Path, names: &[&str]) -> Option<PathBuf> {
    let prefix = prefix(matrix)?;
    let paths = names
        .iter()
        .flat_map(|name| ["", ".gz"].map(|end| matrix.with_file_name(format!("{prefix}{name}{end}"))));
    paths.into_iter().find(|path| path.is_file())
}

/// Reads the matrix at `path`: features by barcodes, which are read from beside it, become cells by genes; a matrix
/// alone is cells by genes as it stands.
///
/// # Errors
/// E0713 with the line that is wrong.
pub(in super::super) fn read(path: &Path) -> Result<Found, DataError> {
    let features = beside(path, &["features.tsv", "genes.tsv"]);
    let barcodes = beside(path, &["barcodes.tsv"]);
    let (features, barcodes) = match (features, barcodes) {
        (Some(features), Some(barcodes)) => (columns(&features)?, columns(&barcodes)?),
        (None, None) => {
            let x = coordinates(path, None)?;
            let (obs_names, var_names) = (numbered(x.n_rows), numbered(x.n_cols));
            let data =
                NewAnnData { obs_names, var_names, x: Some(Matrix::Csr(x)), parts: Additions::default() };
            return Ok(Found::one(data));
        }
        (features, _) => {
            let lacking = if features.is_some() { "barcodes.tsv" } else { "features.tsv (or genes.tsv)" };
            let message = format!("`{lacking}` is not beside it");
            return Err(DataError::new(DataErrorKind::Unreadable, path, "", message)
                .with_help("the three files of a 10x matrix belong in one folder"));
        }
    };
    let (n, m) = (barcodes.n, features.n);
    let x = coordinates(path, Some((m, n)))?.transposed();
    let mut features = features.columns.into_iter();
    let ids = features.next().unwrap_or_default();
    let names = features.next().unwrap_or_else(|| ids.clone());
    let mut var = vec![("gene_ids".to_owned(), texts(ids))];
    if let Some(types) = features.next() {
        var.push(("feature_types".to_owned(), texts(types)));
    }
    let obs_names = barcodes.columns.into_iter().next().unwrap_or_default();
    let parts = Additions { var, ..Additions::default() };
    Ok(by_feature_type(NewAnnData { obs_names, var_names: names, x: Some(Matrix::Csr(x)), parts }))
}

/// The columns of a file separated by tabs, cut to the fewest of any line.
struct Columns {
    columns: Vec<Vec<String>>,
    n: usize,
}

fn columns(path: &Path) -> Result<Columns, DataError> {
    let mut lines = Lines::open(path)?;
    let mut out = Columns { columns: Vec::new(), n: 0 };
    while let Some(line) = lines.next()? {
        let fields: Vec<&str> = line.split('\t').take(6).collect();
        if out.n == 0 {
            out.columns = vec![Vec::new(); fields.len()];
        }
        out.columns.truncate(fields.len());
        out.columns.iter_mut().zip(fields).for_each(|(column, field)| column.push(field.to_owned()));
        out.n += 1;
    }
    Ok(out)
}

/// The entries of a Matrix Market file as compressed rows; its shape must be `wanted` where that is known.
fn coordinates(path: &Path, wanted: Option<(usize, usize)>) -> Result<Csr, DataError> {
    let mut lines = Lines::open(path)?;
    let header = lines.next()?.unwrap_or_default().to_lowercase();
    let words: Vec<&str> = header.split_whitespace().collect();
    let (pattern, symmetric) = match words.as_slice() {
        ["%%matrixmarket", "matrix", "coordinate", kind @ ("integer" | "real" | "pattern"), shape] => {
            (*kind == "pattern", *shape == "symmetric")
        }
        _ => {
            return Err(lines.error(format!(
                "a header such as `%%MatrixMarket matrix coordinate integer general` is expected, found `{}`",
                header.chars().take(80).collect::<String>()
            )));
        }
    };
    if symmetric || words.last() != Some(&"general") {
        return Err(lines.error("symmetric matrices are not supported"));
    }
    let sizes = loop {
        match lines.next()? {
            Some(line) if line.starts_with('%') || line.trim().is_empty() => {}
            Some(line) => {
                break line.split_whitespace().map(str::parse).collect::<Result<Vec<usize>, _>>().ok();
            }
            None => break None,
        }
    };
    let Some(&[n_rows, n_cols, n_entries]) = sizes.as_deref() else {
        return Err(lines.error("rows, columns and number of entries are expected"));
    };
    if let Some(wanted) = wanted.filter(|w| *w != (n_rows, n_cols)) {
        let message = format!(
            "it is {n_rows} x {n_cols}, but there are {} features and {} barcodes",
            wanted.0, wanted.1
        );
        return Err(lines.error(message));
    }
    let mut entries: Vec<(u32, u32, f32)> = Vec::new();
    while let Some(line) = lines.next()? {
        let mut words = line.split_ascii_whitespace();
        let row = words.next().and_then(|w| w.parse::<usize>().ok());
        let column = words.next().and_then(|w| w.parse::<usize>().ok());
        let value = if pattern { Some(1.0) } else { words.next().and_then(|w| w.parse::<f32>().ok()) };
        match (row, column, value) {
            (Some(row), Some(column), Some(value))
                if (1..=n_rows).contains(&row)
                    && (1..=n_cols).contains(&column)
                    && row.max(column) < 1 << 32 =>
            {
                entries.push(((row - 1) as u32, (column - 1) as u32, value));
            }
            (None, None, _) => {}
            _ => {
                let shown: String = line.chars().take(40).collect();
                return Err(lines.error(format!(
                    "row, column and value of a {n_rows} x {n_cols} matrix are expected, found `{shown}`"
                )));
            }
        }
    }
    if entries.len() != n_entries {
        return Err(lines.error(format!(
            "{n_entries} entries are announced, found {}: it may be cut short",
            entries.len()
        )));
    }
    let room = FREE_LINES + 64 * entries.len();
    if wanted.is_none() && n_rows.max(n_cols) > room {
        return Err(lines.error(format!("a shape of {n_rows} x {n_cols} is claimed for {n_entries} entries")));
    }
    rows_of(entries, n_rows, n_cols).map_err(|message| lines.error(message))
}

fn rows_of(mut entries: Vec<(u32, u32, f32)>, n_rows: usize, n_cols: usize) -> Result<Csr, String> {
    entries.sort_by_key(|&(row, column, _)| (row, column));
    if let Some(pair) = entries.windows(2).find(|p| (p[0].0, p[0].1) == (p[1].0, p[1].1)) {
        return Err(format!("row {}, column {} is given twice", pair[0].0 + 1, pair[0].1 + 1));
    }
    let mut csr =
        Csr { n_rows, n_cols, indptr: vec![0; n_rows + 1], indices: Vec::new(), values: Vec::new() };
    for (row, column, value) in entries {
        csr.indptr[row as usize + 1] += 1;
        csr.indices.push(column);
        csr.values.push(value);
    }
    for row in 0..n_rows {
        csr.indptr[row + 1] += csr.indptr[row];
    }
    Ok(csr)
}
