//! The labels along the axes of a field, so that fields of several modalities can be brought together.

use super::AnnData;
use super::error::DataError;
use super::path::FieldPath;
use super::storage::Place;
use std::collections::BTreeMap;

/// Which axis of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AxisKind {
    /// Cells.
    Obs,
    /// Genes.
    Var,
    /// The genes of `raw`.
    RawVar,
    /// The columns of a table, its own.
    Columns,
}

/// One axis of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldAxis {
    /// Which axis.
    pub kind: AxisKind,
    /// The modality whose axis it is; `None` for the file itself.
    pub modality: Option<String>,
    /// The labels along it, in order; numbers from 0 where the columns of a table have no names.
    pub labels: Vec<String>,
}

impl AnnData {
    /// The axes of the field at `path`, rows first, with their labels: two for matrices and tables, one for columns,
    /// none for `uns`.
    ///
    /// # Errors
    /// E0702 when there is no such field; E0713 when its labels are damaged.
    pub fn axes(&self, path: &FieldPath) -> Result<Vec<FieldAxis>, DataError> {
        if let FieldPath::Mod(name, inner) = path {
            let mut axes = self.modality(name)?.axes(inner)?;
            axes.iter_mut().for_each(|axis| axis.modality = Some(name.clone()));
            return Ok(axes);
        }
        if !self.contains(path) {
            return Err(self.missing(path));
        }
        let axis = |kind, labels: &[String]| FieldAxis { kind, modality: None, labels: labels.to_vec() };
        let obs = || axis(AxisKind::Obs, self.obs_names());
        let var = || axis(AxisKind::Var, self.var_names());
        let raw = || self.raw_var_names().map(|labels| axis(AxisKind::RawVar, &labels));
        let columns = || self.column_labels(path).map(|labels| axis(AxisKind::Columns, &labels));
        Ok(match path {
            FieldPath::X | FieldPath::Layer(_) => vec![obs(), var()],
            FieldPath::RawX => vec![obs(), raw()?],
            FieldPath::Obs(_) | FieldPath::ObsNames => vec![obs()],
            FieldPath::Var(_) | FieldPath::VarNames => vec![var()],
            FieldPath::RawVar(_) => vec![raw()?],
            FieldPath::Obsm(_) => vec![obs(), columns()?],
            FieldPath::Varm(_) => vec![var(), columns()?],
            FieldPath::Obsp(_) => vec![obs(), obs()],
            FieldPath::Varp(_) => vec![var(), var()],
            FieldPath::Uns(_) | FieldPath::Mod(..) => Vec::new(),
        })
    }

    fn column_labels(&self, path: &FieldPath) -> Result<Vec<String>, DataError> {
        let table = self.table(path)?;
        let n = table.values.n_cols;
        Ok(table.labels.unwrap_or_else(|| (0..n).map(|column| column.to_string()).collect()))
    }
}

/// The row in `modality` of each cell of `whole`: by `stored`, rows counted from 1 with 0 for none, else by label.
pub(super) fn rows_of(
    whole: &AnnData,
    modality: &AnnData,
    name: &str,
    stored: Option<Vec<i64>>,
) -> Result<Vec<Option<usize>>, DataError> {
    let Some(stored) = stored else {
        let mut position: BTreeMap<&str, usize> = BTreeMap::new();
        for (row, label) in modality.obs_names().iter().enumerate() {
            position.entry(label).or_insert(row);
        }
        return Ok(whole.obs_names().iter().map(|label| position.get(label.as_str()).copied()).collect());
    };
    let place = Place::new(whole.file(), format!("obsmap.{name}"));
    let (n, n_rows) = (whole.n_obs(), modality.n_obs());
    if stored.len() != n {
        return Err(place.malformed(format!("it has {} entries, but there are {n} cells", stored.len())));
    }
    let row = |(cell, &row): (usize, &i64)| match usize::try_from(row) {
        Ok(row) if row <= n_rows => Ok(row.checked_sub(1)),
        _ => Err(place.malformed(format!("cell {cell} is said to be row {row} of {n_rows}"))),
    };
    stored.iter().enumerate().map(row).collect()
}
