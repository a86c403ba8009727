//! What a file holds, seen in one pass over each matrix in blocks of rows.

use std::collections::BTreeSet;

use super::names::{Role, candidates};
use crate::anndata::{AnnData, DataError, FieldPath, Matrix, Values};

/// Values held of a matrix at a time.
const BLOCK: usize = 1 << 22;
/// Bytes that compressed columns may take; larger ones are turned into rows on the disk.
const MEMORY: usize = 1 << 29;

/// One matrix of expression.
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSurvey {
    /// Where it is.
    pub path: FieldPath,
    /// Rows and columns.
    pub shape: (usize, usize),
    /// Whether it is stored sparse.
    pub sparse: bool,
    /// Values other than zero.
    pub n_nonzero: u64,
    /// The least and the greatest value; zeros count.
    pub range: (f32, f32),
    /// The sum of all values that are not NaN.
    pub sum: f64,
    /// Values that are NaN.
    pub n_nan: u64,
    /// Whether every value is a count: an integer not below zero.
    pub counts: bool,
    /// Rows, and columns, that are zero throughout.
    pub empty: (usize, usize),
}

/// One column of `obs`.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSurvey {
    /// Its name.
    pub name: String,
    /// What it holds: categories, numbers, integers, truth values, texts.
    pub kind: &'static str,
    /// Different labels; of numbers 0.
    pub n_labels: usize,
    /// The first labels.
    pub labels: Vec<String>,
    /// Values that are missing.
    pub n_missing: usize,
}

/// One AnnData: the file itself or a modality.
#[derive(Clone, Debug, PartialEq)]
pub struct PartSurvey {
    /// The name of the modality; empty for the file itself.
    pub name: String,
    /// Cells and genes.
    pub shape: (usize, usize),
    /// Its matrices.
    pub matrices: Vec<MatrixSurvey>,
    /// The columns of `obs`.
    pub columns: Vec<ColumnSurvey>,
    /// Columns of `var`, tables and graphs, as paths.
    pub others: Vec<String>,
    /// What may be in the way of a model.
    pub problems: Vec<String>,
    /// Fields by what they may be bound to, the likeliest first.
    pub candidates: Vec<(Role, Vec<FieldPath>)>,
}

/// Surveys the file and each of its modalities; matrices and columns that cannot be read are among the problems.
///
/// # Errors
/// A modality that cannot be found.
pub fn survey(data: &AnnData) -> Result<Vec<PartSurvey>, DataError> {
    let mut parts = vec![part(data, "")];
    for name in data.modality_names() {
        parts.push(part(data.modality(name)?, name));
    }
    Ok(parts)
}

fn part(data: &AnnData, name: &str) -> PartSurvey {
    let own = |path: &FieldPath| path.modality().is_none();
    let mut unread = Vec::new();
    // What cannot be read is told, and the rest shown.
    let mut read = |path: String, error: DataError| {
        let what = error.message;
        unread.push(format!("`{path}` cannot be read: {what}"));
    };
    let mut matrices = Vec::new();
    for path in data.matrix_paths().iter().filter(|path| own(path)) {
        match matrix(data, path) {
            Ok(found) => matrices.push(found),
            Err(error) => read(path.to_string(), error),
        }
    }
    let mut columns = Vec::new();
    for name in data.obs_columns() {
        match column(data, name) {
            Ok(found) => columns.push(found),
            Err(error) => read(FieldPath::Obs(name.clone()).to_string(), error),
        }
    }
    let mut others: Vec<String> =
        data.var_columns().iter().map(|n| FieldPath::Var(n.clone()).to_string()).collect();
    for (part, path) in [
        ("obsm", FieldPath::Obsm as fn(String) -> FieldPath),
        ("varm", FieldPath::Varm),
        ("obsp", FieldPath::Obsp),
    ] {
        for name in data.names_in(part) {
            let path = path(name);
            let size = match &path {
                FieldPath::Obsm(_) | FieldPath::Varm(_) => data.table(&path).map(|t| t.values.n_cols).ok(),
                _ => None,
            };
            others.push(size.map_or(path.to_string(), |n| format!("{path} ({n} columns)")));
        }
    }
    let candidates =
        Role::ALL.iter().map(|&role| (role, candidates(data, role))).filter(|(_, found)| !found.is_empty());
    let shape = (data.n_obs(), data.n_vars());
    let problems = unread.into_iter().chain(problems(data, &matrices, &columns)).collect();
    PartSurvey {
        name: name.to_owned(),
        shape,
        candidates: candidates.collect(),
        matrices,
        columns,
        others,
        problems,
    }
}

fn matrix(data: &AnnData, path: &FieldPath) -> Result<MatrixSurvey, DataError> {
    let reader = data.row_reader_within(path, MEMORY)?;
    let (n, m) = (reader.n_rows(), reader.n_cols());
    let mut out = MatrixSurvey {
        path: path.clone(),
        shape: (n, m),
        sparse: reader.is_sparse(),
        n_nonzero: 0,
        range: (f32::INFINITY, f32::NEG_INFINITY),
        sum: 0.0,
        n_nan: 0,
        counts: true,
        empty: (0, 0),
    };
    let mut seen = vec![false; m];
    let mut from = 0;
    while from < n {
        // Rows until a block is full; one at least.
        let mut to = from + 1;
        while to < n && reader.n_stored(from..to + 1) <= BLOCK {
            to = (to + (to - from)).min(n);
            if reader.n_stored(from..to) > BLOCK {
                to = from + (to - from).div_ceil(2);
                break;
            }
        }
        add_block(&reader.read(from..to)?, &mut out, &mut seen);
        from = to;
    }
    if out.n_nonzero < n as u64 * m as u64 {
        out.range = (out.range.0.min(0.0), out.range.1.max(0.0));
    }
    out.empty.1 = seen.iter().filter(|seen| !**seen).count();
    Ok(out)
}

fn add_block(block: &Matrix, out: &mut MatrixSurvey, seen: &mut [bool]) {
    for row in 0..block.n_rows() {
        let mut empty = true;
        block.for_each_in_row(row, |column, value| {
            if value == 0.0 {
                return;
            }
            (empty, seen[column]) = (false, true);
            out.n_nonzero += 1;
            if value.is_nan() {
                out.n_nan += 1;
            } else {
                out.sum += f64::from(value);
                out.range = (out.range.0.min(value), out.range.1.max(value));
            }
            out.counts &= value >= 0.0 && value.fract() == 0.0 && value.is_finite();
        });
        out.empty.0 += usize::from(empty);
    }
}

fn column(data: &AnnData, name: &str) -> Result<ColumnSurvey, DataError> {
    let column = data.column(&FieldPath::Obs(name.to_owned()))?;
    let numbers = matches!(column.values, Values::Real(_) | Values::Integer(_));
    let found = if numbers { Vec::new() } else { column.to_categories().labels };
    Ok(ColumnSurvey {
        name: name.to_owned(),
        kind: column.values.describe(),
        n_labels: found.len(),
        labels: found.into_iter().take(6).collect(),
        n_missing: column.n_missing(),
    })
}

fn problems(data: &AnnData, matrices: &[MatrixSurvey], columns: &[ColumnSurvey]) -> Vec<String> {
    let repeated = |names: &[String]| names.len() - names.iter().collect::<BTreeSet<_>>().len();
    let mut out = Vec::new();
    for (what, names) in [("cells", data.obs_names()), ("genes", data.var_names())] {
        match repeated(names) {
            0 => {}
            n => out.push(format!("{n} of the {} {what} have the name of another before them", names.len())),
        }
    }
    for m in matrices {
        let path = &m.path;
        if m.n_nan > 0 {
            out.push(format!("`{path}` holds NaN {} times", m.n_nan));
        }
        if m.empty.0 > 0 {
            out.push(format!("{} cells are zero throughout in `{path}`", m.empty.0));
        }
        if m.empty.1 > 0 {
            out.push(format!("{} genes are zero throughout in `{path}`", m.empty.1));
        }
    }
    if !matrices.is_empty() && !matrices.iter().any(|m| m.counts) {
        out.push("no matrix holds counts".to_owned());
    }
    for c in columns.iter().filter(|c| c.n_missing > 0) {
        out.push(format!("`obs.{}` has {} missing values", c.name, c.n_missing));
    }
    out
}
