//! The data of a bound model, field by field, ready to be cut into minibatches.

use crate::anndata::{DiskRows, Matrix};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One bound field.
#[derive(Clone, Debug, PartialEq)]
pub enum FieldData {
    /// One row per cell: a count matrix, or a table.
    Matrix(Matrix),
    /// One row per cell, on the disk.
    Disk(DiskRows),
    /// One code per cell.
    Codes(Vec<u32>),
    /// One number per cell.
    Reals(Vec<f32>),
    /// Covariates.
    Covariates(CovariateData),
    /// A field without the plate: all of it goes with every minibatch.
    Whole(Vec<f32>),
}

impl FieldData {
    /// Number of values of a row.
    pub fn row_len(&self) -> usize {
        match self {
            FieldData::Matrix(m) => m.n_cols(),
            FieldData::Disk(rows) => rows.n_cols(),
            FieldData::Codes(_) | FieldData::Reals(_) => 1,
            FieldData::Covariates(c) => c.categorical.len() + c.n_continuous,
            FieldData::Whole(values) => values.len(),
        }
    }
}

/// The columns of a covariates field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CovariateData {
    /// Name and one code per cell, for each categorical column.
    pub categorical: Vec<(String, Vec<u32>)>,
    /// Number of continuous columns.
    pub n_continuous: usize,
    /// The continuous columns, row-major.
    pub continuous: Vec<f32>,
}

/// Which values of a field that may miss are known, in the order of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// `width` values for each row.
    Rows {
        /// Values of a row.
        width: usize,
        /// True where the value is known.
        mask: Vec<bool>,
    },
    /// Of a field without the plate.
    Whole(Vec<bool>),
}

/// A second plate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paired {
    /// Its axis.
    pub axis: String,
    /// Number of its rows.
    pub n_rows: usize,
    /// Names of the fields that have a row for each.
    pub fields: BTreeSet<String>,
}

/// Rows are drawn from some blocks of consecutive rows at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// Rows of a block.
    pub n_rows: usize,
    /// Blocks drawn from at once.
    pub n_together: usize,
}

/// All fields of a bound model, and the labels of their rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    /// Number of cells.
    pub n_rows: usize,
    /// The fields of a second plate whose rows are taken in minibatches too.
    pub paired: Option<Paired>,
    /// Names of the cells.
    pub row_names: Arc<Vec<String>>,
    /// The present fields by name.
    pub fields: BTreeMap<String, FieldData>,
    /// Which values are known, for the fields that may miss some.
    pub known: BTreeMap<String, Known>,
    /// Labels of the category fields, by code.
    pub labels: BTreeMap<String, Vec<String>>,
    /// For each subset axis where its labels stand on the axis that it lies within.
    pub within: BTreeMap<String, Vec<u32>>,
    /// How an epoch goes through rows that lie on the disk; else it draws from all of them.
    pub blocks: Option<Blocks>,
    /// Totals that stand for the statistic of a field that is being simulated: one per row of the field.
    pub totals: BTreeMap<String, FieldData>,
}

impl Dataset {
    /// Holds a field at one value for all cells; `false` if the field is of another kind.
    pub fn hold(&mut self, field: &str, value: f32) -> bool {
        match self.fields.get_mut(field) {
            Some(FieldData::Codes(codes)) => codes.fill(value as u32),
            Some(FieldData::Reals(values)) => values.fill(value),
            _ => return false,
        }
        true
    }
}
