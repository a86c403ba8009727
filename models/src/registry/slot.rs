//! Slots: what a model asks of the data, and what it gets.

use crate::anndata::{Dense, DiskRows, FieldPath, Matrix};

/// The values that a slot accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// Non-negative integers.
    Count,
    /// Any number.
    Real,
    /// Numbers that are not negative.
    NonNeg,
    /// Numbers above zero.
    Positive,
    /// Numbers from 0 to 1.
    Unit,
    /// 0 or 1.
    Bool,
    /// Labels; the slot owns an axis.
    Category,
    /// Any number of columns, labels or numbers.
    Covariates,
    /// Positions on the axis of this name, from 0.
    Index(String),
    /// Rows that sum to 1.
    Simplex,
}

/// The axes of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotDims {
    /// One value per cell.
    Cells,
    /// One value per gene.
    Genes,
    /// Cells by genes.
    CellsByGenes,
    /// Cells by an axis of its own, labelled by the columns of the table.
    CellsBy(String),
    /// Genes by an axis of its own, labelled by the columns of the table.
    GenesBy(String),
}

/// How a slot tells that a value is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// No value may be missing.
    #[default]
    Never,
    /// This label means missing, as do values that the file marks missing.
    Label(String),
    /// NaN, or what the file marks missing.
    Nan,
    /// A column of the matrix is missing in a category of that slot when its sum there is zero.
    ZerosBy(String),
}

/// What a model asks of the data under one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotSpec {
    /// The name of the slot.
    pub name: String,
    /// The values it accepts.
    pub kind: SlotKind,
    /// The axes it has.
    pub dims: SlotDims,
    /// Where it is read from: one field, any number for covariates, none for an optional slot left out.
    pub source: Vec<FieldPath>,
    /// Whether the user named the source, so that its absence is an error even where the slot is optional.
    pub explicit: bool,
    /// Whether the field may be absent: a category then has one label, covariates have no columns.
    pub optional: bool,
    /// How values may be missing.
    pub missing: Missing,
    /// Fields that usually hold what the source was to hold, as addressed in the whole file, the likeliest first.
    pub usual: Vec<String>,
    /// Bytes of memory for its values: a matrix of cells by genes that needs more stays on the disk.
    pub memory: Option<usize>,
}

impl SlotSpec {
    /// A slot that must be there, with nothing missing, read from `source`.
    pub fn new(name: &str, kind: SlotKind, dims: SlotDims, source: Vec<FieldPath>) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            dims,
            source,
            explicit: false,
            optional: false,
            missing: Missing::Never,
            usual: Vec::new(),
            memory: None,
        }
    }
}

/// A column of labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codes {
    /// For each row the position in `labels`, −1 where missing.
    pub codes: Vec<i32>,
    /// The labels by code.
    pub labels: Vec<String>,
    /// The number of rows of each label.
    pub sizes: Vec<usize>,
}

/// What a slot got.
#[derive(Clone, Debug, PartialEq)]
pub enum SlotData {
    /// A matrix; its rows and columns follow the axes of the slot.
    Matrix {
        /// The values; NaN where missing and the slot says so.
        values: Matrix,
    },
    /// A matrix of cells by genes that stays on the disk.
    Rows(DiskRows),
    /// Numbers along three or more axes, row-major; never with a row for each cell.
    Array {
        /// Sizes along the axes of the slot.
        shape: Vec<usize>,
        /// The values.
        values: Vec<f32>,
    },
    /// Labels.
    Codes(Codes),
    /// One number per row; NaN where missing and the slot says so.
    Vector(Vec<f32>),
    /// Covariates.
    Covariates {
        /// Columns of labels, by the name of their field.
        categorical: Vec<(String, Codes)>,
        /// The fields of the numeric columns.
        continuous_names: Vec<String>,
        /// Rows by numeric columns.
        continuous: Dense,
    },
    /// An optional slot without data.
    Absent,
}
