//! Writing `.h5ad`: a copy of a file with additions, or a new file. The target is whole or untouched, never half.
//!
//! Everything is written to a temporary file beside the target, flushed to the disk, and renamed over it. When any
//! step fails the temporary file is removed and the target is as it was.

mod encode;
mod modern;
mod target;
mod whole;

use std::collections::BTreeMap;
use std::path::Path;

use hdf5::Group;

use super::column::Column;
use super::error::{DataError, DataErrorKind};
use super::matrix::{Dense, Matrix};
use super::uns::UnsValue;
use super::{AnnData, Content};

use modern::Modern;
pub(super) use target::Gate;
use target::Target;
pub use whole::gather;

/// What to add to a copy of a file. An element of the same name is replaced.
#[derive(Clone, Debug, Default)]
pub struct Additions {
    /// Columns of `obs`, one value per cell.
    pub obs: Vec<(String, Column)>,
    /// Columns of `var`, one value per gene.
    pub var: Vec<(String, Column)>,
    /// Tables of `obsm`, one row per cell.
    pub obsm: Vec<(String, Dense)>,
    /// Tables of `varm`, one row per gene.
    pub varm: Vec<(String, Dense)>,
    /// Layers, cells by genes.
    pub layers: Vec<(String, Matrix)>,
    /// Matrices of `obsp`, cells by cells.
    pub obsp: Vec<(String, Matrix)>,
    /// Matrices of `varp`, genes by genes.
    pub varp: Vec<(String, Matrix)>,
    /// The names of the columns of tables of `obsm`, by table: such a table is a data frame.
    pub labels: BTreeMap<String, Vec<String>>,
    /// What `raw` holds: `X`, the labels of its genes and columns about them; of new files alone.
    pub raw: Option<Box<NewAnnData>>,
    /// Entries of `uns`; an entry replaces the whole entry of the same name.
    pub uns: Vec<(String, UnsValue)>,
    /// Additions to modalities of the file, by name.
    pub modalities: Vec<(String, Additions)>,
}

/// What an output may do to files that exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Whether a file at the target may be replaced.
    pub overwrite: bool,
    /// Whether the target may be the input itself.
    pub in_place: bool,
}

/// A whole AnnData to be written.
#[derive(Clone, Debug, Default)]
pub struct NewAnnData {
    /// The labels of the cells.
    pub obs_names: Vec<String>,
    /// The labels of the genes.
    pub var_names: Vec<String>,
    /// `X`, cells by genes.
    pub x: Option<Matrix>,
    /// Columns, tables, layers and `uns`.
    pub parts: Additions,
}

/// Why a step of writing failed, before the file is named.
#[derive(Debug)]
pub(super) enum Failure {
    /// HDF5 reports it.
    Hdf5(hdf5::Error),
    /// The system reports it.
    Io(std::io::Error),
    /// What is to be written cannot be.
    Data(String),
}

impl From<hdf5::Error> for Failure {
    fn from(error: hdf5::Error) -> Self {
        Self::Hdf5(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// Copies `input` to `output` with `additions`: an HDF5 file byte by byte, so that all that is not added to stays as it
/// is; of a file of another format what could be read, as `.h5ad`, or `.h5mu` where there are several modalities.
///
/// `obs`, `var`, `obsm` and `varm` of the layout before anndata 0.7, to which nothing can be added, take that of today.
///
/// # Errors
/// E0712, E0713 when `input` cannot be read. E0714 when an addition does not fit the file, or when the target exists, is
/// the input, is being written by another process, lies in no directory, is not writable, or the disk is full. The target is then as it was.
pub fn write_copy(
    input: &Path,
    output: &Path,
    additions: &Additions,
    options: WriteOptions,
) -> Result<(), DataError> {
    write_copy_gated(input, output, additions, options, &mut |_| Ok(()))
}

/// [`write_copy`] with a gate that is asked before each step and may refuse it; for tests of failures.
pub(super) fn write_copy_gated(
    input: &Path,
    output: &Path,
    additions: &Additions,
    options: WriteOptions,
    gate: Gate<'_>,
) -> Result<(), DataError> {
    // First the lock: what is read then is what is copied.
    let target = Target::begin(output, Some(input), options, gate)?;
    let data = AnnData::open(input)?;
    check(&data, additions, output)?;
    let copied = matches!(&data.content, Content::Tree(tree) if tree.is_hdf5());
    if copied { copy(&data, target, additions) } else { rewrite(&data, target, additions) }
}

/// Copies the bytes of the file of `data` and adds to them.
fn copy(data: &AnnData, mut target: Target<'_>, additions: &Additions) -> Result<(), DataError> {
    target.copy_from(data.file())?;
    let modern = match &data.content {
        Content::Tree(tree) => Modern::of(data, tree, additions)?,
        Content::Memory(_) => Modern::default(),
    };
    target.edit(|root, gate| {
        modern.put(root)?;
        add(root, additions, &mut columns_of(data), gate)?;
        for (name, more) in &additions.modalities {
            let Some((_, modality)) = data.modalities.iter().find(|(other, _)| other == name) else {
                continue;
            };
            let group = own_group(&own_group(root, "mod")?, name)?;
            add(&group, more, &mut columns_of(modality), gate)?;
        }
        Ok(())
    })?;
    target.commit()
}

/// The columns of `obs` and of `var`.
fn columns_of(data: &AnnData) -> (Vec<String>, Vec<String>) {
    (data.obs_columns().to_vec(), data.var_columns().to_vec())
}

/// Checks that the additions fit `data` and its modalities.
fn check(data: &AnnData, additions: &Additions, output: &Path) -> Result<(), DataError> {
    let unfit = |message: String| DataError::new(DataErrorKind::Unwritable, output, "", message);
    additions.check(data.n_obs(), data.n_vars()).map_err(unfit)?;
    additions.modalities.iter().try_for_each(|(name, more)| check(data.modality(name)?, more, output))
}

/// Writes data that cannot be copied as they are, all of them read, with `additions` as a new file.
fn rewrite(data: &AnnData, mut target: Target<'_>, additions: &Additions) -> Result<(), DataError> {
    let (mut shared, mut modalities) = whole::gather_modalities(data)?;
    shared.parts.merge(additions);
    for (name, more) in &additions.modalities {
        if let Some((_, part, _)) = modalities.iter_mut().find(|(other, _, _)| other == name) {
            part.parts.merge(more);
        }
    }
    let several = !modalities.is_empty();
    target.create(if several { whole::USER_BLOCK } else { 0 })?;
    target.edit(|root, gate| match several {
        true => whole::put_mudata(root, &shared, &modalities, gate),
        false => whole::put_anndata(root, &shared, gate),
    })?;
    if several {
        target.touch(whole::mark_mudata)?;
    }
    target.commit()
}

/// Writes `data` with `additions` to `output`: a copy of its file, or what is in memory.
///
/// # Errors
/// As [`write_copy`].
pub fn write_with(
    data: &AnnData,
    output: &Path,
    additions: &Additions,
    options: WriteOptions,
) -> Result<(), DataError> {
    if matches!(data.content, Content::Tree(_)) {
        return write_copy(data.file(), output, additions, options);
    }
    check(data, additions, output)?;
    let mut open_gate = |_: &str| Ok(());
    let target = Target::begin(output, None, options, &mut open_gate)?;
    rewrite(data, target, additions)
}

/// Writes a new file at `output`.
///
/// # Errors
/// E0714 as for [`write_copy`].
pub fn write_new(output: &Path, data: &NewAnnData, options: WriteOptions) -> Result<(), DataError> {
    let unfit = |message: String| DataError::new(DataErrorKind::Unwritable, output, "", message);
    data.check().map_err(unfit)?;
    let mut open_gate = |_: &str| Ok(());
    let mut target = Target::begin(output, None, options, &mut open_gate)?;
    target.create(0)?;
    target.edit(|root, gate| whole::put_anndata(root, data, gate))?;
    target.commit()
}

/// Writes modalities that have the same cells as a new `.h5mu`; `whole` is what they share.
///
/// # Errors
/// E0714 as for [`write_copy`].
pub fn write_new_mudata(
    output: &Path,
    whole: &NewAnnData,
    modalities: &[(String, NewAnnData)],
    options: WriteOptions,
) -> Result<(), DataError> {
    let unfit = |message: String| DataError::new(DataErrorKind::Unwritable, output, "", message);
    for data in std::iter::once(whole).chain(modalities.iter().map(|m| &m.1)) {
        data.check().map_err(unfit)?;
    }
    let rows: Vec<Option<usize>> = (0..whole.obs_names.len()).map(Some).collect();
    let parts: Vec<_> = modalities.iter().map(|(name, d)| (name.clone(), d.clone(), rows.clone())).collect();
    let mut open_gate = |_: &str| Ok(());
    let mut target = Target::begin(output, None, options, &mut open_gate)?;
    target.create(whole::USER_BLOCK)?;
    target.edit(|root, gate| whole::put_mudata(root, whole, &parts, gate))?;
    target.touch(whole::mark_mudata)?;
    target.commit()
}

impl NewAnnData {
    /// Checks that all parts have the sizes of the two axes; gives what does not.
    pub(super) fn check(&self) -> Result<(), String> {
        let (n, m) = (self.obs_names.len(), self.var_names.len());
        if let Some(x) = self.x.as_ref().filter(|x| (x.n_rows(), x.n_cols()) != (n, m)) {
            let (rows, columns) = (x.n_rows(), x.n_cols());
            return Err(format!("`X` is {rows} x {columns}, but there are {n} cells and {m} genes"));
        }
        self.parts.check(n, m)
    }
}

/// A name that HDF5 and anndata accept.
fn check_name(name: &str) -> Result<(), Failure> {
    if name.is_empty() || name == "." || name.contains(['/', '\0']) {
        return Err(Failure::Data(format!("`{}` cannot be a name in the file", name.escape_debug())));
    }
    Ok(())
}

impl Additions {
    /// Adds copies of all of `other`, which replace elements of the same name.
    fn merge(&mut self, other: &Additions) {
        fn put<T: Clone>(list: &mut Vec<(String, T)>, new: &[(String, T)]) {
            list.retain(|(name, _)| !new.iter().any(|(other, _)| other == name));
            list.extend_from_slice(new);
        }
        put(&mut self.obs, &other.obs);
        put(&mut self.var, &other.var);
        put(&mut self.obsm, &other.obsm);
        put(&mut self.varm, &other.varm);
        put(&mut self.layers, &other.layers);
        put(&mut self.obsp, &other.obsp);
        put(&mut self.varp, &other.varp);
        for (name, _) in &other.obsm {
            self.labels.remove(name);
        }
        self.labels.extend(other.labels.clone());
        put(&mut self.uns, &other.uns);
    }

    /// Checks names and sizes for a file of `n` cells and `m` genes; gives what is wrong.
    fn check(&self, n: usize, m: usize) -> Result<(), String> {
        let columns = [("obs", &self.obs, n), ("var", &self.var, m)];
        for (part, columns, wanted) in columns {
            for (name, column) in columns {
                size(&format!("{part}.{name}"), column.len(), wanted)?;
                if column.missing.as_ref().is_some_and(|mask| mask.len() != wanted) {
                    return Err(format!("the mask of `{part}.{name}` should have {wanted} entries"));
                }
                if matches!(name.as_str(), "_index" | "__categories") {
                    return Err(format!("`{name}` is reserved and cannot be a column of `{part}`"));
                }
            }
        }
        for (part, tables, wanted) in [("obsm", &self.obsm, n), ("varm", &self.varm, m)] {
            for (name, table) in tables {
                size(&format!("{part}.{name}"), table.n_rows, wanted)?;
                size(
                    &format!("the values of {part}.{name}"),
                    table.values.len(),
                    table.n_rows * table.n_cols,
                )?;
            }
        }
        for (name, layer) in &self.layers {
            size(&format!("layers.{name}"), layer.n_rows(), n)?;
            size(&format!("the columns of layers.{name}"), layer.n_cols(), m)?;
        }
        for (name, matrix) in &self.obsp {
            size(&format!("obsp.{name}"), matrix.n_rows(), n)?;
            size(&format!("the columns of obsp.{name}"), matrix.n_cols(), n)?;
        }
        for (name, matrix) in &self.varp {
            size(&format!("varp.{name}"), matrix.n_rows(), m)?;
            size(&format!("the columns of varp.{name}"), matrix.n_cols(), m)?;
        }
        for (name, labels) in &self.labels {
            if let Some((_, table)) = self.obsm.iter().find(|(other, _)| other == name) {
                size(&format!("the names of the columns of obsm.{name}"), labels.len(), table.n_cols)?;
            }
        }
        for (name, value) in &self.uns {
            check_uns(name, value)?;
        }
        Ok(())
    }
}

fn size(what: &str, found: usize, wanted: usize) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("`{what}` has {found} entries, {wanted} are expected")) }
}

fn check_uns(name: &str, value: &UnsValue) -> Result<(), String> {
    let product = |shape: &[usize]| shape.iter().product::<usize>();
    match value {
        UnsValue::Integers(shape, values) => size(&format!("uns.{name}"), values.len(), product(shape)),
        UnsValue::Reals(shape, values) => size(&format!("uns.{name}"), values.len(), product(shape)),
        UnsValue::Map(map) => map.iter().try_for_each(|(name, value)| check_uns(name, value)),
        _ => Ok(()),
    }
}

/// Writes every addition under `root`; `columns` are the columns of `obs` and of `var` so far.
fn add(
    root: &Group,
    additions: &Additions,
    columns: &mut (Vec<String>, Vec<String>),
    gate: Gate<'_>,
) -> Result<(), Failure> {
    for (part, new, columns) in
        [("obs", &additions.obs, &mut columns.0), ("var", &additions.var, &mut columns.1)]
    {
        for (name, column) in new {
            check_name(name)?;
            gate(&format!("{part}.{name}"))?;
            encode::put_in_frame(&own_group(root, part)?, columns, name, column)?;
        }
    }
    for (part, tables) in [("obsm", &additions.obsm), ("varm", &additions.varm)] {
        for (name, table) in tables {
            let group = slot(root, part, name, gate)?;
            encode::put_dense(&group, name, table)?;
        }
    }
    for (part, matrices) in
        [("layers", &additions.layers), ("obsp", &additions.obsp), ("varp", &additions.varp)]
    {
        for (name, matrix) in matrices {
            let group = slot(root, part, name, gate)?;
            encode::put_matrix(&group, name, matrix)?;
        }
    }
    for (name, value) in &additions.uns {
        let group = slot(root, "uns", name, gate)?;
        encode::put_uns(&group, name, value)?;
    }
    Ok(())
}

/// The group `part` of this very file: a link to another file would be written through.
fn own_group(root: &Group, part: &str) -> Result<Group, Failure> {
    let group = root.group(part)?;
    if group.filename() == root.filename() {
        return Ok(group);
    }
    Err(Failure::Data(format!("`{part}` is a link to another file, which is left alone")))
}

/// The group `part`, made if need be, with nothing at `name`.
fn slot(root: &Group, part: &str, name: &str, gate: Gate<'_>) -> Result<Group, Failure> {
    check_name(name)?;
    gate(&format!("{part}.{name}"))?;
    let group = match root.link_exists(part) {
        true => own_group(root, part)?,
        false => encode::put_group(root, part, "dict", "0.1.0")?,
    };
    encode::clear(&group, name)?;
    Ok(group)
}
