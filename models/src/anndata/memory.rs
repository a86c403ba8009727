//! Data in memory under the same questions as a file: what the readers of other formats give.

use super::Table;
use super::column::Column;
use super::error::DataError;
use super::frame::FrameHeader;
use super::matrix::{Dense, Matrix};
use super::path::FieldPath;
use super::rows::RowReader;
use super::storage::Place;
use super::uns::UnsValue;
use super::write::{Additions, NewAnnData};

/// The element called `name`.
fn find<'a, T>(list: &'a [(String, T)], name: &str) -> Option<&'a T> {
    list.iter().find(|(other, _)| other == name).map(|(_, value)| value)
}

impl NewAnnData {
    /// The same genes with cells `rows`, in that order, none twice; columns of `obs`, tables and graphs follow. `raw` is
    /// left out.
    ///
    /// # Panics
    /// When a row is beyond the cells.
    pub fn of_cells(&self, rows: &[usize]) -> NewAnnData {
        let sources: Vec<Option<usize>> = rows.iter().copied().map(Some).collect();
        let old = &self.parts;
        let of_rows = |list: &[(String, Matrix)]| -> Vec<(String, Matrix)> {
            list.iter().map(|(name, m)| (name.clone(), m.pick(rows))).collect()
        };
        let parts = Additions {
            obs: old.obs.iter().map(|(name, column)| (name.clone(), column.rows(rows))).collect(),
            var: old.var.clone(),
            obsm: old.obsm.iter().map(|(name, table)| (name.clone(), table.pick(rows))).collect(),
            varm: old.varm.clone(),
            layers: of_rows(&old.layers),
            obsp: of_rows(&old.obsp).into_iter().map(|(name, m)| (name, m.with_columns(&sources))).collect(),
            varp: old.varp.clone(),
            labels: old.labels.clone(),
            uns: old.uns.clone(),
            ..Additions::default()
        };
        NewAnnData {
            obs_names: rows.iter().map(|&at| self.obs_names[at].clone()).collect(),
            var_names: self.var_names.clone(),
            x: self.x.as_ref().map(|x| x.pick(rows)),
            parts,
        }
    }

    /// The same cells with genes `columns`, in that order, none twice; columns of `var`, tables and graphs
    /// of genes follow; `raw` stays.
    ///
    /// # Panics
    /// When a column is beyond the genes.
    pub fn of_genes(&self, columns: &[usize]) -> NewAnnData {
        let sources: Vec<Option<usize>> = columns.iter().copied().map(Some).collect();
        let old = &self.parts;
        let parts = Additions {
            obs: old.obs.clone(),
            var: old.var.iter().map(|(name, column)| (name.clone(), column.rows(columns))).collect(),
            obsm: old.obsm.clone(),
            varm: old.varm.iter().map(|(name, table)| (name.clone(), table.pick(columns))).collect(),
            layers: old.layers.iter().map(|(name, m)| (name.clone(), m.with_columns(&sources))).collect(),
            obsp: old.obsp.clone(),
            varp: old
                .varp
                .iter()
                .map(|(name, m)| (name.clone(), m.pick(columns).with_columns(&sources)))
                .collect(),
            labels: old.labels.clone(),
            raw: old.raw.clone(),
            uns: old.uns.clone(),
            modalities: Vec::new(),
        };
        NewAnnData {
            obs_names: self.obs_names.clone(),
            var_names: columns.iter().map(|&at| self.var_names[at].clone()).collect(),
            x: self.x.as_ref().map(|x| x.with_columns(&sources)),
            parts,
        }
    }

    pub(super) fn names_in(&self, part: &str) -> Vec<String> {
        fn names<T>(list: &[(String, T)]) -> Vec<String> {
            let mut names: Vec<String> = list.iter().map(|(name, _)| name.clone()).collect();
            names.sort();
            names
        }
        match part {
            "layers" => names(&self.parts.layers),
            "obsm" => names(&self.parts.obsm),
            "varm" => names(&self.parts.varm),
            "obsp" => names(&self.parts.obsp),
            "varp" => names(&self.parts.varp),
            "uns" => names(&self.parts.uns),
            _ => Vec::new(),
        }
    }

    fn matrix_at(&self, path: &FieldPath) -> Option<&Matrix> {
        match path {
            FieldPath::X => self.x.as_ref(),
            FieldPath::Layer(name) => find(&self.parts.layers, name),
            FieldPath::Obsp(name) => find(&self.parts.obsp, name),
            FieldPath::Varp(name) => find(&self.parts.varp, name),
            FieldPath::RawX => self.parts.raw.as_ref()?.x.as_ref(),
            _ => None,
        }
    }

    fn table_at(&self, path: &FieldPath) -> Option<&Dense> {
        match path {
            FieldPath::Obsm(name) => find(&self.parts.obsm, name),
            FieldPath::Varm(name) => find(&self.parts.varm, name),
            _ => None,
        }
    }

    fn uns_at(&self, path: &FieldPath) -> Option<&UnsValue> {
        let FieldPath::Uns(names) = path else { return None };
        let mut value = find(&self.parts.uns, names.first()?)?;
        for name in &names[1..] {
            let UnsValue::Map(map) = value else { return None };
            value = map.get(name)?;
        }
        Some(value)
    }

    pub(super) fn contains(&self, path: &FieldPath, _: &Place<'_>) -> bool {
        self.matrix_at(path).is_some() || self.table_at(path).is_some() || self.uns_at(path).is_some()
    }

    pub(super) fn raw_var(&self, _: &Place<'_>) -> Result<Option<FrameHeader>, DataError> {
        Ok(self.parts.raw.as_ref().map(|raw| FrameHeader {
            index: std::sync::Arc::new(raw.var_names.clone()),
            columns: raw.parts.var.iter().map(|(name, _)| name.clone()).collect(),
        }))
    }

    pub(super) fn matrix(&self, path: &FieldPath, _: &Place<'_>) -> Result<Option<Matrix>, DataError> {
        let table = || self.table_at(path).cloned().map(Matrix::Dense);
        Ok(self.matrix_at(path).cloned().or_else(table))
    }

    pub(super) fn matrix_shape(
        &self,
        path: &FieldPath,
        _: &Place<'_>,
    ) -> Result<Option<(usize, usize)>, DataError> {
        let table = || self.table_at(path).map(|t| (t.n_rows, t.n_cols));
        Ok(self.matrix_at(path).map(|m| (m.n_rows(), m.n_cols())).or_else(table))
    }

    pub(super) fn row_reader(
        &self,
        path: &FieldPath,
        _: usize,
        place: &Place<'_>,
    ) -> Result<Option<RowReader>, DataError> {
        Ok(self.matrix(path, place)?.map(|matrix| RowReader::of_matrix(matrix, place)))
    }

    pub(super) fn probe(&self, path: &FieldPath, n: usize, _: &Place<'_>) -> Option<Vec<f32>> {
        self.matrix_at(path).map(|m| m.values().iter().take(n).copied().collect())
    }

    pub(super) fn column(&self, path: &FieldPath, _: &Place<'_>) -> Result<Option<Column>, DataError> {
        Ok(match path {
            FieldPath::Obs(name) => find(&self.parts.obs, name).cloned(),
            FieldPath::Var(name) => find(&self.parts.var, name).cloned(),
            FieldPath::RawVar(name) => {
                self.parts.raw.as_ref().and_then(|raw| find(&raw.parts.var, name)).cloned()
            }
            _ => None,
        })
    }

    pub(super) fn table(&self, path: &FieldPath, _: &Place<'_>) -> Result<Option<Table>, DataError> {
        Ok(self.table_at(path).map(|values| Table {
            labels: match path {
                FieldPath::Obsm(name) => self.parts.labels.get(name).cloned(),
                _ => None,
            },
            values: values.clone(),
        }))
    }

    pub(super) fn uns(&self, path: &FieldPath, _: &Place<'_>) -> Result<Option<UnsValue>, DataError> {
        Ok(self.uns_at(path).cloned())
    }
}
