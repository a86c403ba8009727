//! AnnData files (`.h5ad`, and the modalities of `.h5mu`): read lazily, written so that no half file can remain.
//!
//! Invariant: reading never panics, whatever the file holds; every failure is a [`DataError`] that names the file,
//! the field, what was found and what to do. Invariant: sparse matrices stay sparse, categories keep their labels.
//! Nothing here knows of models or devices.

mod column;
mod counts;
mod error;
mod frame;
mod inflate;
mod matrix;
mod open;
mod path;
mod records;
mod sparse;
mod storage;
#[cfg(test)]
pub(crate) mod tests;
mod uns;
mod write;

use std::path::{Path, PathBuf};

use hdf5::Group;

pub use column::{Categories, Column, Values};
pub use counts::{CountReport, NonCount, check_counts, first_non_counts};
pub use error::{DataError, DataErrorKind};
pub use matrix::{Csr, Dense, Matrix};
pub use open::modalities;
pub use path::{FieldPath, PathError};
pub use uns::UnsValue;
pub use write::{Additions, NewAnnData, WriteOptions, write_copy, write_new};

use frame::{Frame, FrameHeader};
use storage::{Node, Place};

/// A matrix with one row per cell or gene, from `obsm` or `varm`.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The names of its columns, where the file has them (data frames).
    pub labels: Option<Vec<String>>,
    /// The values, row-major.
    pub values: Dense,
}

/// An AnnData file opened for reading: names and lists at hand, matrices and columns read when asked for.
#[derive(Clone, Debug)]
pub struct AnnData {
    file: PathBuf,
    root: Group,
    obs: Frame,
    var: Frame,
    obs_header: FrameHeader,
    var_header: FrameHeader,
}

impl AnnData {
    /// Opens the `.h5ad` file at `path` and reads the names of its cells, genes and columns.
    ///
    /// # Errors
    /// E0712 when there is no such file, it is a directory, not HDF5, cut short, or HDF5 but not AnnData; E0713 when
    /// `obs` or `var` are damaged.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        Self::at_root(path, open::open_root(path)?)
    }

    /// Opens modality `name` of the `.h5mu` file at `path`. See [`modalities`] for the names.
    ///
    /// # Errors
    /// As [`AnnData::open`], and E0702 when there is no such modality.
    pub fn open_modality(path: &Path, name: &str) -> Result<Self, DataError> {
        Self::at_root(path, open::open_modality_root(path, name)?)
    }

    fn at_root(path: &Path, root: Group) -> Result<Self, DataError> {
        let obs = open::frame(&root, "obs", path)?;
        let var = open::frame(&root, "var", path)?;
        let obs_header = obs.header(&Place::new(path, "obs"))?;
        let var_header = var.header(&Place::new(path, "var"))?;
        Ok(Self { file: path.to_path_buf(), root, obs, var, obs_header, var_header })
    }

    /// The file it was opened from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Number of cells.
    pub fn n_obs(&self) -> usize {
        self.obs_header.index.len()
    }

    /// Number of genes.
    pub fn n_vars(&self) -> usize {
        self.var_header.index.len()
    }

    /// The labels of the cells, in order; they need not be unique.
    pub fn obs_names(&self) -> &[String] {
        &self.obs_header.index
    }

    /// The labels of the genes, in order; they need not be unique.
    pub fn var_names(&self) -> &[String] {
        &self.var_header.index
    }

    /// The columns of `obs`, in order.
    pub fn obs_columns(&self) -> &[String] {
        &self.obs_header.columns
    }

    /// The columns of `var`, in order.
    pub fn var_columns(&self) -> &[String] {
        &self.var_header.columns
    }

    /// The names in `layers`, sorted.
    pub fn layers(&self) -> Vec<String> {
        self.names_in("layers")
    }

    /// The names in `obsm`, sorted.
    pub fn obsm_names(&self) -> Vec<String> {
        self.names_in("obsm")
    }

    /// The names in `varm`, sorted.
    pub fn varm_names(&self) -> Vec<String> {
        self.names_in("varm")
    }

    /// The names at the top of `uns`, sorted.
    pub fn uns_names(&self) -> Vec<String> {
        self.names_in("uns")
    }

    /// Whether there is an `X`.
    pub fn has_x(&self) -> bool {
        matches!(self.node(&FieldPath::X), Ok(Some(_)))
    }

    /// Whether there is a `raw.X`.
    pub fn has_raw(&self) -> bool {
        matches!(self.node(&FieldPath::RawX), Ok(Some(_)))
    }

    /// The labels of the genes of `raw`.
    ///
    /// # Errors
    /// E0702 when there is no `raw`.
    pub fn raw_var_names(&self) -> Result<Vec<String>, DataError> {
        let place = Place::new(&self.file, "raw.var");
        match self.raw_member("var")? {
            Some(node) => Ok(Frame::new(node, None).header(&place)?.index),
            None => Err(place.absent("this file has no `raw`")),
        }
    }

    /// The fields that could be given where `like` was asked for, as paths: for messages.
    pub fn candidates(&self, like: &FieldPath) -> Vec<String> {
        let paths = |root: fn(String) -> FieldPath, names: Vec<String>| {
            names.into_iter().map(|n| root(n).to_string()).collect::<Vec<_>>()
        };
        match like {
            FieldPath::Obs(_) => paths(FieldPath::Obs, self.obs_columns().to_vec()),
            FieldPath::Var(_) => paths(FieldPath::Var, self.var_columns().to_vec()),
            FieldPath::Obsm(_) => paths(FieldPath::Obsm, self.obsm_names()),
            FieldPath::Varm(_) => paths(FieldPath::Varm, self.varm_names()),
            FieldPath::Obsp(_) => paths(FieldPath::Obsp, self.names_in("obsp")),
            FieldPath::Varp(_) => paths(FieldPath::Varp, self.names_in("varp")),
            FieldPath::Uns(_) => {
                self.uns_names().into_iter().map(|n| FieldPath::Uns(vec![n]).to_string()).collect()
            }
            FieldPath::X | FieldPath::RawX | FieldPath::Layer(_) => {
                self.matrix_paths().iter().map(FieldPath::to_string).collect()
            }
            FieldPath::RawVar(_) | FieldPath::ObsNames | FieldPath::VarNames => Vec::new(),
        }
    }

    /// Every matrix of expression there is: `X`, the layers, `raw.X`.
    pub fn matrix_paths(&self) -> Vec<FieldPath> {
        let mut paths = Vec::new();
        if self.has_x() {
            paths.push(FieldPath::X);
        }
        paths.extend(self.layers().into_iter().map(FieldPath::Layer));
        if self.has_raw() {
            paths.push(FieldPath::RawX);
        }
        paths
    }

    /// Reads `X`, `raw.X`, a layer, or a table of `obsm`, `varm`, `obsp` or `varp`, as the file holds it: sparse or
    /// dense. f64 is rounded to f32.
    ///
    /// # Errors
    /// E0702 when there is none, naming what there is; E0713 when it is damaged, of the wrong shape, has unsorted or
    /// wild indices, or integers that f32 cannot hold.
    pub fn matrix(&self, path: &FieldPath) -> Result<Matrix, DataError> {
        let place = self.place(path);
        let node = self.node(path)?.ok_or_else(|| self.missing(path))?;
        self.check_shape(path, sparse::matrix_shape(&node, &place)?)?;
        sparse::read_matrix(&node, &place)
    }

    /// The shape of the matrix at `path` without reading it: rows, columns.
    ///
    /// # Errors
    /// As [`AnnData::matrix`].
    pub fn matrix_shape(&self, path: &FieldPath) -> Result<(usize, usize), DataError> {
        let node = self.node(path)?.ok_or_else(|| self.missing(path))?;
        sparse::matrix_shape(&node, &self.place(path))
    }

    /// Reads a column of `obs`, `var` or `raw.var`, or the names of cells or genes as texts.
    ///
    /// # Errors
    /// E0702 when there is none, naming the columns there are; E0713 when it is damaged.
    pub fn column(&self, path: &FieldPath) -> Result<Column, DataError> {
        let place = self.place(path);
        let (found, n) = match path {
            FieldPath::ObsNames => return Ok(Column::new(Values::Strings(self.obs_names().to_vec()))),
            FieldPath::VarNames => return Ok(Column::new(Values::Strings(self.var_names().to_vec()))),
            FieldPath::Obs(name) => (self.obs.column(name, &place)?, self.n_obs()),
            FieldPath::Var(name) => (self.var.column(name, &place)?, self.n_vars()),
            FieldPath::RawVar(name) => {
                let node = self.raw_member("var")?.ok_or_else(|| self.missing(path))?;
                (Frame::new(node, None).column(name, &place)?, self.raw_var_names()?.len())
            }
            _ => return Err(place.absent("a column of `obs` or `var` is wanted here")),
        };
        let column = found.ok_or_else(|| self.missing(path))?;
        if column.len() == n {
            return Ok(column);
        }
        Err(place.malformed(format!("it has {} rows, but the index has {n}", column.len())))
    }

    /// Reads a table of `obsm` or `varm` densely, with the names of its columns where it is a data frame.
    ///
    /// # Errors
    /// E0702 when there is none; E0713 when it is damaged, or a column of the frame is not numeric.
    pub fn table(&self, path: &FieldPath) -> Result<Table, DataError> {
        let place = self.place(path);
        if let Some(Node::Group(group)) = self.node(path)? {
            if storage::attribute_text(&group, "encoding-type", &place).as_deref() == Some("dataframe") {
                let table = frame_table(&Frame::Group(group), &place)?;
                self.check_shape(path, (table.values.n_rows, table.values.n_cols))?;
                return Ok(table);
            }
        } else if let Some(values) = self.old_table(path)? {
            self.check_shape(path, (values.n_rows, values.n_cols))?;
            return Ok(Table { labels: None, values });
        }
        Ok(Table { labels: None, values: self.matrix(path)?.to_dense() })
    }

    /// Reads something from `uns`: numbers, texts, arrays of them, or a dictionary.
    ///
    /// # Errors
    /// E0702 when there is none; E0713 for a kind that is not supported.
    pub fn uns(&self, path: &FieldPath) -> Result<UnsValue, DataError> {
        let place = self.place(path);
        let node = self.node(path)?.ok_or_else(|| self.missing(path))?;
        uns::read(&node, &place)
    }

    /// Whether there is a field at `path`.
    pub fn contains(&self, path: &FieldPath) -> bool {
        match path {
            FieldPath::ObsNames | FieldPath::VarNames => true,
            FieldPath::Obs(name) => self.obs_columns().contains(name),
            FieldPath::Var(name) => self.var_columns().contains(name),
            FieldPath::RawVar(_) => self.column(path).is_ok(),
            FieldPath::Obsm(name) => self.obsm_names().contains(name),
            FieldPath::Varm(name) => self.varm_names().contains(name),
            _ => matches!(self.node(path), Ok(Some(_))),
        }
    }

    fn place(&self, path: &FieldPath) -> Place<'_> {
        Place::new(&self.file, path.to_string())
    }

    /// The error that `path` is absent, with what there is instead.
    fn missing(&self, path: &FieldPath) -> DataError {
        let (root, name) = path.root_and_name();
        let what = match path {
            FieldPath::X => "this file has no `X`".to_owned(),
            FieldPath::RawX => "this file has no `raw`".to_owned(),
            _ => format!("`{root}` has no `{name}`"),
        };
        let candidates = self.candidates(path);
        let error = self.place(path).absent(what);
        if candidates.is_empty() {
            return error.with_help(format!("this file has nothing in `{root}`"));
        }
        error.with_help(format!("there are: {}", open::shorten(&candidates)))
    }

    fn check_shape(&self, path: &FieldPath, (rows, columns): (usize, usize)) -> Result<(), DataError> {
        let (n, m) = (self.n_obs(), self.n_vars());
        let fits = match path {
            FieldPath::X | FieldPath::Layer(_) => rows == n && columns == m,
            FieldPath::RawX => rows == n && columns == self.raw_var_names()?.len(),
            FieldPath::Obsm(_) => rows == n,
            FieldPath::Varm(_) => rows == m,
            FieldPath::Obsp(_) => rows == n && columns == n,
            FieldPath::Varp(_) => rows == m && columns == m,
            _ => true,
        };
        if fits {
            return Ok(());
        }
        Err(self
            .place(path)
            .malformed(format!("its shape is {rows} x {columns}, but the file has {n} cells and {m} genes")))
    }
}

/// All columns of a frame as one matrix.
fn frame_table(frame: &Frame, place: &Place<'_>) -> Result<Table, DataError> {
    let header = frame.header(place)?;
    let (n_rows, n_cols) = (header.index.len(), header.columns.len());
    let mut values = Dense { n_rows, n_cols, values: storage::room(n_rows.saturating_mul(n_cols), place)? };
    values.values.resize(n_rows * n_cols, 0.0);
    for (number, name) in header.columns.iter().enumerate() {
        let place = place.child(name);
        let column = frame.column(name, &place)?.ok_or_else(|| place.malformed("it is missing"))?;
        let numbers = column.to_reals().filter(|v| v.len() == n_rows).ok_or_else(|| {
            place.malformed(format!(
                "{n_rows} numbers are expected, found {} {}",
                column.len(),
                column.values.describe()
            ))
        })?;
        for (row, number_value) in numbers.into_iter().enumerate() {
            values.values[row * n_cols + number] = number_value as f32;
        }
    }
    Ok(Table { labels: Some(header.columns), values })
}
