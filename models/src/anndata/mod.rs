//! Data files as AnnData: one table of cells and one of genes, matrices between them, and, in `.h5mu` files, such a
//! whole per modality. Read lazily, written so that no half file can remain.
//!
//! [`AnnData`] answers for every format, so that callers never ask which one a file is.
//! Invariant: reading never panics, whatever the file holds; every failure is a [`DataError`] that names the file,
//! the field, what was found and what to do. Invariant: sparse matrices stay sparse, categories keep their labels.
//! Nothing here knows of models or devices.

mod axes;
mod blocks;
mod column;
mod concat;
mod counts;
mod error;
mod formats;
mod frame;
mod inflate;
mod matrix;
mod memory;
mod open;
mod path;
mod records;
mod rows;
mod sparse;
mod storage;
#[cfg(test)]
pub(crate) mod tests;
mod tree;
mod turn;
mod uns;
mod write;
mod zip;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use axes::{AxisKind, FieldAxis};
pub use blocks::DiskRows;
pub use column::{Categories, Column, Values};
pub(crate) use concat::positions;
pub use concat::{Concat, Join};
pub use counts::{CountReport, NonCount, check_counts, check_counts_on_disk, first_non_counts};
pub use error::{DataError, DataErrorKind};
pub use matrix::{Csr, Dense, Matrix};
pub use path::{FieldPath, PathError};
pub use rows::RowReader;
pub use uns::UnsValue;
pub use write::{
    Additions, NewAnnData, WriteOptions, gather, write_copy, write_new, write_new_mudata, write_with,
};

use frame::FrameHeader;
use storage::Place;
use tree::Tree;

/// A matrix with one row per cell or gene, from `obsm` or `varm`.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The names of its columns, where the file has them (data frames).
    pub labels: Option<Vec<String>>,
    /// The values, row-major.
    pub values: Dense,
}

/// A data file opened for reading: names and lists at hand, matrices and columns read when asked for.
///
/// A file of several modalities has the cells and genes of all of them as its own, and the fields of each under
/// `mod.NAME.`, which every method that takes a path understands.
#[derive(Clone, Debug)]
pub struct AnnData {
    file: PathBuf,
    /// The path of this part in messages, `mod.rna.` for a modality, empty for the file itself.
    prefix: String,
    content: Content,
    obs: FrameHeader,
    var: FrameHeader,
    modalities: Vec<(String, AnnData)>,
}

/// Where the values are.
#[derive(Clone, Debug)]
enum Content {
    /// In a file of groups and arrays as anndata lays them out.
    Tree(Box<Tree>),
    /// In memory: read from another format.
    Memory(Arc<NewAnnData>),
}

/// Asks whichever content there is.
macro_rules! ask {
    ($data:expr, $content:ident => $question:expr) => {
        match &$data.content {
            Content::Tree($content) => $question,
            Content::Memory($content) => $question,
        }
    };
}

impl AnnData {
    /// Opens the file at `path` and reads the names of its cells, genes, columns and modalities.
    ///
    /// Read are `.h5ad`, `.h5mu`, zarr stores of either (a folder or a `.zip`), 10x `.h5` and folders with
    /// `matrix.mtx`, `.loom`, tables as `.csv` or `.tsv`, and `.fcs`, each told by what it holds. Formats other than
    /// AnnData's own are read whole.
    ///
    /// # Errors
    /// E0712 when there is no such file, it is of no known format, or cut short; E0713 when `obs` or `var` are
    /// damaged, or parts of the file do not fit each other.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let root = match open::open(path)? {
            open::Opened::Tree(root) => root,
            open::Opened::Found(formats::Found::One(data)) => return Self::from_memory(path, *data),
            open::Opened::Found(formats::Found::Several(parts)) => {
                let modality =
                    |(name, data): (String, NewAnnData)| Ok((name, Self::from_memory(path, data)?));
                return Self::from_modalities(parts.into_iter().map(modality).collect::<Result<_, _>>()?);
            }
        };
        let mut data = Self::of_tree(path, String::new(), root.clone())?;
        for (name, group) in open::modality_groups(&root, path)? {
            let modality = Self::of_tree(path, format!("mod.{name}."), group)?;
            data.modalities.push((name, modality));
        }
        Ok(data)
    }

    fn of_tree(path: &Path, prefix: String, root: storage::Group) -> Result<Self, DataError> {
        let tree = Tree::new(path, &prefix, root)?;
        let (obs, var) = tree.headers(path, &prefix)?;
        Ok(Self {
            file: path.to_path_buf(),
            prefix,
            content: Content::Tree(Box::new(tree)),
            obs,
            var,
            modalities: Vec::new(),
        })
    }

    /// Data in memory, as if read from `file`.
    ///
    /// # Errors
    /// E0713 when its parts do not fit each other.
    pub fn from_memory(file: &Path, data: NewAnnData) -> Result<Self, DataError> {
        Self::in_memory(file, String::new(), data)
    }

    fn in_memory(file: &Path, prefix: String, data: NewAnnData) -> Result<Self, DataError> {
        data.check().map_err(|message| Place::new(file, prefix.trim_end_matches('.')).malformed(message))?;
        let columns = |list: &[(String, Column)]| list.iter().map(|(name, _)| name.clone()).collect();
        let obs = FrameHeader { index: Arc::new(data.obs_names.clone()), columns: columns(&data.parts.obs) };
        let var = FrameHeader { index: Arc::new(data.var_names.clone()), columns: columns(&data.parts.var) };
        let content = Content::Memory(Arc::new(data));
        Ok(Self { file: file.to_path_buf(), prefix, content, obs, var, modalities: Vec::new() })
    }

    /// Several files as the modalities of one: its cells are those of the first, then those only the second has, and
    /// so on; its genes are those of all, one after the other.
    ///
    /// # Errors
    /// E0713 when a name is given twice or is empty, or a file has modalities of its own.
    pub fn from_modalities(parts: Vec<(String, AnnData)>) -> Result<Self, DataError> {
        let file = parts.first().map(|(_, data)| data.file.clone()).unwrap_or_default();
        let place = Place::new(&file, "mod");
        let mut whole = NewAnnData::default();
        let mut modalities: Vec<(String, AnnData)> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for (name, mut data) in parts {
            if name.is_empty() || modalities.iter().any(|(other, _)| *other == name) {
                return Err(
                    place.malformed(format!("the name `{name}` of a modality is empty or given twice"))
                );
            }
            if !data.modalities.is_empty() {
                return Err(place.malformed(format!("`{}` has modalities of its own", data.file.display())));
            }
            whole
                .obs_names
                .extend(data.obs_names().iter().filter(|label| seen.insert((*label).clone())).cloned());
            whole.var_names.extend_from_slice(data.var_names());
            data.prefix = format!("mod.{name}.");
            modalities.push((name, data));
        }
        let mut out = Self::from_memory(&file, whole)?;
        out.modalities = modalities;
        Ok(out)
    }

    /// The file it was opened from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Whether its modalities are files of their own.
    pub fn is_gathered(&self) -> bool {
        !self.modalities.is_empty() && matches!(self.content, Content::Memory(_))
    }

    /// Number of cells; of all modalities together where there are several.
    pub fn n_obs(&self) -> usize {
        self.obs.index.len()
    }

    /// Number of genes.
    pub fn n_vars(&self) -> usize {
        self.var.index.len()
    }

    /// The labels of the cells, in order; they need not be unique.
    pub fn obs_names(&self) -> &[String] {
        &self.obs.index
    }

    /// The labels of the cells, shared.
    pub fn shared_obs_names(&self) -> Arc<Vec<String>> {
        Arc::clone(&self.obs.index)
    }

    /// The labels of the genes, in order; they need not be unique.
    pub fn var_names(&self) -> &[String] {
        &self.var.index
    }

    /// The columns of `obs`, in order.
    pub fn obs_columns(&self) -> &[String] {
        &self.obs.columns
    }

    /// The columns of `var`, in order.
    pub fn var_columns(&self) -> &[String] {
        &self.var.columns
    }

    /// The names of the modalities in the order of the file; none for a file of one.
    pub fn modality_names(&self) -> Vec<&str> {
        self.modalities.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Modality `name`.
    ///
    /// # Errors
    /// E0702 when there is none, naming those there are.
    pub fn modality(&self, name: &str) -> Result<&AnnData, DataError> {
        self.modalities.iter().find(|(other, _)| other == name).map(|(_, data)| data).ok_or_else(|| {
            let names: Vec<String> = self.modalities.iter().map(|(name, _)| name.clone()).collect();
            let help = match names.is_empty() {
                true => "this file has one modality: write the path without `mod.`".to_owned(),
                false => format!("there are: {}", open::shorten(&names)),
            };
            Place::new(&self.file, format!("mod.{name}")).absent("there is no such modality").with_help(help)
        })
    }

    /// For each cell of the file its row in modality `name`, `None` where the modality lacks it.
    ///
    /// # Errors
    /// E0702 when there is no such modality; E0713 when the file's own map of its rows is damaged.
    pub fn modality_rows(&self, name: &str) -> Result<Vec<Option<usize>>, DataError> {
        let modality = self.modality(name)?;
        let stored = match &self.content {
            Content::Tree(tree) => tree.row_map(name, &Place::new(&self.file, format!("obsmap.{name}")))?,
            Content::Memory(_) => None,
        };
        axes::rows_of(self, modality, name, stored)
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

    /// The names in group `part` of the file (`layers`, `obsm`, `varm`, `obsp`, `varp`, `uns`), sorted.
    pub fn names_in(&self, part: &str) -> Vec<String> {
        ask!(self, content => content.names_in(part))
    }

    /// Whether there is an `X`.
    pub fn has_x(&self) -> bool {
        self.contains(&FieldPath::X)
    }

    /// Whether there is a `raw.X`.
    pub fn has_raw(&self) -> bool {
        self.contains(&FieldPath::RawX)
    }

    /// The labels of the genes of `raw`.
    ///
    /// # Errors
    /// E0702 when there is no `raw`.
    pub fn raw_var_names(&self) -> Result<Vec<String>, DataError> {
        self.raw_var().map(|header| Arc::unwrap_or_clone(header.index))
    }

    /// The columns of `raw.var`.
    ///
    /// # Errors
    /// E0702 when there is no `raw`.
    pub fn raw_var_columns(&self) -> Result<Vec<String>, DataError> {
        self.raw_var().map(|header| header.columns)
    }

    fn raw_var(&self) -> Result<FrameHeader, DataError> {
        let place = Place::new(&self.file, format!("{}raw.var", self.prefix));
        match ask!(self, content => content.raw_var(&place))? {
            Some(header) => Ok(header),
            None => Err(place.absent("this file has no `raw`")),
        }
    }

    /// The fields that could be given where `like` was asked for, as paths: for messages.
    pub fn candidates(&self, like: &FieldPath) -> Vec<String> {
        if let FieldPath::Mod(name, inner) = like {
            return match self.modality(name) {
                Ok(data) => data.candidates(inner),
                Err(_) => self.modalities.iter().flat_map(|(_, data)| data.candidates(inner)).collect(),
            };
        }
        let paths = |root: fn(String) -> FieldPath, names: Vec<String>| {
            names.into_iter().map(|n| format!("{}{}", self.prefix, root(n))).collect::<Vec<_>>()
        };
        let mut found = match like {
            FieldPath::Obs(_) => paths(FieldPath::Obs, self.obs_columns().to_vec()),
            FieldPath::Var(_) => paths(FieldPath::Var, self.var_columns().to_vec()),
            FieldPath::Obsm(_) => paths(FieldPath::Obsm, self.tables(self.obsm_names())),
            FieldPath::Varm(_) => paths(FieldPath::Varm, self.tables(self.varm_names())),
            FieldPath::Obsp(_) => paths(FieldPath::Obsp, self.names_in("obsp")),
            FieldPath::Varp(_) => paths(FieldPath::Varp, self.names_in("varp")),
            FieldPath::Uns(_) => paths(|n| FieldPath::Uns(vec![n]), self.uns_names()),
            FieldPath::RawVar(_) => paths(FieldPath::RawVar, self.raw_var_columns().unwrap_or_default()),
            FieldPath::X | FieldPath::RawX | FieldPath::Layer(_) => {
                let own = self.own_matrix_paths();
                own.iter().map(|path| format!("{}{path}", self.prefix)).collect()
            }
            FieldPath::ObsNames | FieldPath::VarNames | FieldPath::Mod(..) => Vec::new(),
        };
        found.extend(self.modalities.iter().flat_map(|(_, data)| data.candidates(like)));
        found
    }

    /// Without the columns that say which cells or genes a modality has.
    fn tables(&self, names: Vec<String>) -> Vec<String> {
        names.into_iter().filter(|name| !self.modality_names().contains(&name.as_str())).collect()
    }

    /// Every matrix of expression there is: `X`, the layers, `raw.X`, those of each modality.
    pub fn matrix_paths(&self) -> Vec<FieldPath> {
        let mut paths = self.own_matrix_paths();
        for (name, data) in &self.modalities {
            paths.extend(data.own_matrix_paths().into_iter().map(|path| path.in_modality(name)));
        }
        paths
    }

    fn own_matrix_paths(&self) -> Vec<FieldPath> {
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
    /// E0702 when there is none, naming what there is; E0713 when it is damaged, of the wrong shape, has
    /// wild indices, or integers that f32 cannot hold.
    pub fn matrix(&self, path: &FieldPath) -> Result<Matrix, DataError> {
        if let FieldPath::Mod(name, inner) = path {
            return self.modality(name)?.matrix(inner);
        }
        self.check_shape(path, self.matrix_shape(path)?)?;
        let place = self.place(path);
        ask!(self, content => content.matrix(path, &place))?.ok_or_else(|| self.missing(path))
    }

    /// The shape of the matrix at `path` without reading it: rows, columns.
    ///
    /// # Errors
    /// As [`AnnData::matrix`].
    pub fn matrix_shape(&self, path: &FieldPath) -> Result<(usize, usize), DataError> {
        if let FieldPath::Mod(name, inner) = path {
            return self.modality(name)?.matrix_shape(inner);
        }
        let place = self.place(path);
        ask!(self, content => content.matrix_shape(path, &place))?.ok_or_else(|| self.missing(path))
    }

    /// A reader of runs of rows of the matrix at `path`, for data larger than memory.
    ///
    /// Where the file keeps compressed columns, the matrix is read whole on opening.
    ///
    /// # Errors
    /// As [`AnnData::matrix`].
    pub fn row_reader(&self, path: &FieldPath) -> Result<RowReader, DataError> {
        self.row_reader_within(path, usize::MAX)
    }

    /// As [`AnnData::row_reader`], but compressed columns that take more than `memory` bytes are turned into rows in a
    /// temporary file.
    ///
    /// # Errors
    /// As [`AnnData::matrix`]; E0713 when the temporary file cannot be written.
    pub fn row_reader_within(&self, path: &FieldPath, memory: usize) -> Result<RowReader, DataError> {
        if let FieldPath::Mod(name, inner) = path {
            return self.modality(name)?.row_reader_within(inner, memory);
        }
        self.check_shape(path, self.matrix_shape(path)?)?;
        let place = self.place(path);
        ask!(self, content => content.row_reader(path, memory, &place))?.ok_or_else(|| self.missing(path))
    }

    /// Reads a column of `obs`, `var` or `raw.var`, or the names of cells or genes as texts.
    ///
    /// # Errors
    /// E0702 when there is none, naming the columns there are; E0713 when it is damaged.
    pub fn column(&self, path: &FieldPath) -> Result<Column, DataError> {
        let n = match path {
            FieldPath::Mod(name, inner) => return self.modality(name)?.column(inner),
            FieldPath::ObsNames => return Ok(Column::new(Values::Strings(self.obs_names().to_vec()))),
            FieldPath::VarNames => return Ok(Column::new(Values::Strings(self.var_names().to_vec()))),
            FieldPath::Obs(_) => self.n_obs(),
            FieldPath::Var(_) => self.n_vars(),
            FieldPath::RawVar(_) => self.raw_var_names()?.len(),
            _ => return Err(self.place(path).absent("a column of `obs` or `var` is wanted here")),
        };
        let place = self.place(path);
        let column =
            ask!(self, content => content.column(path, &place))?.ok_or_else(|| self.missing(path))?;
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
        if let FieldPath::Mod(name, inner) = path {
            return self.modality(name)?.table(inner);
        }
        // What has a shape is compared before it is read; data frames have none.
        if let Ok(shape) = self.matrix_shape(path) {
            self.check_shape(path, shape)?;
        }
        let place = self.place(path);
        let table = ask!(self, content => content.table(path, &place))?.ok_or_else(|| self.missing(path))?;
        self.check_shape(path, (table.values.n_rows, table.values.n_cols))?;
        Ok(table)
    }

    /// Reads something from `uns`: numbers, texts, arrays of them, or a dictionary.
    ///
    /// # Errors
    /// E0702 when there is none; E0713 for a kind that is not supported.
    pub fn uns(&self, path: &FieldPath) -> Result<UnsValue, DataError> {
        if let FieldPath::Mod(name, inner) = path {
            return self.modality(name)?.uns(inner);
        }
        let place = self.place(path);
        ask!(self, content => content.uns(path, &place))?.ok_or_else(|| self.missing(path))
    }

    /// Whether there is a field at `path`.
    pub fn contains(&self, path: &FieldPath) -> bool {
        match path {
            FieldPath::Mod(name, inner) => self.modality(name).is_ok_and(|data| data.contains(inner)),
            FieldPath::ObsNames | FieldPath::VarNames => true,
            FieldPath::Obs(name) => self.obs_columns().contains(name),
            FieldPath::Var(name) => self.var_columns().contains(name),
            FieldPath::RawVar(name) => self.raw_var_columns().is_ok_and(|names| names.contains(name)),
            FieldPath::Obsm(name) => self.obsm_names().contains(name),
            FieldPath::Varm(name) => self.varm_names().contains(name),
            _ => ask!(self, content => content.contains(path, &self.place(path))),
        }
    }

    /// Some of the first stored values of a matrix, `n` or about that; `None` if they cannot be read.
    fn probe(&self, path: &FieldPath, n: usize) -> Option<Vec<f32>> {
        if let FieldPath::Mod(name, inner) = path {
            return self.modality(name).ok()?.probe(inner, n);
        }
        ask!(self, content => content.probe(path, n, &self.place(path)))
    }

    /// The path by which a field of this part is found in the whole file: with `mod.NAME.` before it in a modality.
    pub fn address(&self, path: &FieldPath) -> String {
        format!("{}{path}", self.prefix)
    }

    fn place(&self, path: &FieldPath) -> Place<'_> {
        Place::new(&self.file, format!("{}{path}", self.prefix))
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
