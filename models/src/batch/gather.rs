//! The rows of a minibatch, gathered into buffers that are used again.

use crate::anndata::{DataError, DiskRows, Matrix};
use crate::dataset::{Dataset, FieldData, Known};
use crate::error::Error;
use autodiff_runtime::graph::{Dtype, InputDecl, Storage};
use autodiff_runtime::{CsrView, Feed};
use dsl::{FeedSpec, Lowered};
use std::collections::BTreeMap;

/// The data of one input.
#[derive(Clone, Debug, PartialEq)]
pub enum Buffer {
    /// All elements, row-major.
    Dense(Vec<f32>),
    /// Compressed sparse rows.
    Csr {
        /// Where each row starts.
        offsets: Vec<usize>,
        /// Column of each stored value.
        columns: Vec<u32>,
        /// Stored values.
        values: Vec<f32>,
    },
    /// Codes or row numbers.
    Index(Vec<u32>),
}

impl Buffer {
    /// The buffer as a back end takes it.
    pub fn feed(&self) -> Feed<'_, f32> {
        match self {
            Buffer::Dense(values) => Feed::Dense(values),
            Buffer::Csr { offsets, columns, values } => Feed::Csr(CsrView { offsets, columns, values }),
            Buffer::Index(codes) => Feed::Index(codes),
        }
    }

    fn empty(decl: &InputDecl) -> Buffer {
        match (decl.dtype, decl.storage) {
            (Dtype::Index, _) => Buffer::Index(vec![]),
            (Dtype::Real, Storage::Dense) => Buffer::Dense(vec![]),
            (Dtype::Real, Storage::Csr) => Buffer::Csr { offsets: vec![0], columns: vec![], values: vec![] },
        }
    }

    fn clear(&mut self) {
        match self {
            Buffer::Dense(values) => values.clear(),
            Buffer::Index(codes) => codes.clear(),
            Buffer::Csr { offsets, columns, values } => {
                offsets.clear();
                offsets.push(0);
                columns.clear();
                values.clear();
            }
        }
    }

    /// Appends a row of a matrix.
    fn push_row(&mut self, matrix: &Matrix, row: usize) {
        match self {
            Buffer::Dense(out) => {
                let start = out.len();
                out.resize(start + matrix.n_cols(), 0.0);
                matrix.copy_row(row, &mut out[start..]);
            }
            Buffer::Csr { offsets, columns, values } => {
                match matrix {
                    Matrix::Csr(m) => {
                        let (c, v) = m.row(row);
                        columns.extend_from_slice(c);
                        values.extend_from_slice(v);
                    }
                    Matrix::Dense(_) => matrix.for_each_in_row(row, |column, value| {
                        if value != 0.0 {
                            columns.push(column as u32);
                            values.push(value);
                        }
                    }),
                }
                offsets.push(values.len());
            }
            Buffer::Index(out) => matrix.for_each_in_row(row, |_, value| out.push(value as u32)),
        }
    }

    /// An empty buffer of the same kind, but dense.
    fn like(other: &Buffer) -> Buffer {
        match other {
            Buffer::Index(_) => Buffer::Index(vec![]),
            _ => Buffer::Dense(vec![]),
        }
    }

    fn len(&self) -> usize {
        match self {
            Buffer::Dense(values) | Buffer::Csr { values, .. } => values.len(),
            Buffer::Index(codes) => codes.len(),
        }
    }

    fn push_from(&mut self, other: &Buffer, at: usize) {
        match other {
            Buffer::Dense(values) | Buffer::Csr { values, .. } => self.push_number(values[at]),
            Buffer::Index(codes) => self.push_code(codes[at]),
        }
    }

    fn push_number(&mut self, value: f32) {
        match self {
            Buffer::Dense(out) => out.push(value),
            Buffer::Index(out) => out.push(value as u32),
            Buffer::Csr { .. } => {}
        }
    }

    fn push_code(&mut self, code: u32) {
        match self {
            Buffer::Dense(out) => out.push(code as f32),
            Buffer::Index(out) => out.push(code),
            Buffer::Csr { .. } => {}
        }
    }
}

/// The rows of a minibatch, one buffer per input of the graph.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Minibatch {
    /// The cells.
    pub rows: Vec<u32>,
    /// One per input, in order.
    pub buffers: Vec<Buffer>,
    /// Why rows could not be read from the disk; the buffers are then of no use.
    pub failure: Option<DataError>,
}

impl Minibatch {
    /// Whether it was read.
    ///
    /// # Errors
    /// E0713 when rows could not be read from the disk.
    pub fn check(&self) -> Result<(), Error> {
        self.failure.clone().map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// What to hand to a run.
    pub fn feeds(&self) -> Vec<Feed<'_, f32>> {
        self.buffers.iter().map(Buffer::feed).collect()
    }
}

/// Knows what each input of a graph is fed from.
#[derive(Clone, Debug)]
pub struct Gatherer<'d> {
    data: &'d Dataset,
    /// The order of the second plate, parallel to that of the first; empty where all of it goes with every minibatch.
    paired: Vec<u32>,
    /// Likewise of the labelled rows; empty where the minibatch itself stands for them.
    labelled: Vec<u32>,
    stats: &'d BTreeMap<String, Vec<f32>>,
    inputs: Vec<(FeedSpec, InputDecl)>,
}

impl<'d> Gatherer<'d> {
    /// For the inputs of a graph, whatever its number of rows.
    pub fn new(data: &'d Dataset, stats: &'d BTreeMap<String, Vec<f32>>, lowered: &Lowered) -> Self {
        let inputs = lowered.feeds.iter().cloned().zip(lowered.graph.inputs().iter().cloned()).collect();
        Self { data, paired: vec![], labelled: vec![], stats, inputs }
    }

    /// Takes minibatches of the second plate too, in this order.
    #[must_use]
    pub fn pairing(self, order: Vec<u32>) -> Self {
        Self { paired: order, ..self }
    }

    /// Takes minibatches of labelled rows beside those of all rows, in this order.
    #[must_use]
    pub fn labelling(self, order: Vec<u32>) -> Self {
        Self { labelled: order, ..self }
    }

    /// Gathers the rows at these places of an order.
    pub fn fill_at(&self, order: &[u32], range: std::ops::Range<usize>, epoch: u64, out: &mut Minibatch) {
        let paired = self.paired.get(range.clone()).unwrap_or_default();
        let labelled = self.labelled.get(range.clone()).unwrap_or(&order[range.clone()]);
        self.fill_all([&order[range], paired, labelled], epoch, out);
    }

    /// Gathers the given cells in the given epoch.
    pub fn fill(&self, rows: &[u32], epoch: u64, out: &mut Minibatch) {
        self.fill_all([rows, &[], rows], epoch, out);
    }

    fn fill_all(&self, [rows, paired, labelled]: [&[u32]; 3], epoch: u64, out: &mut Minibatch) {
        let all: Vec<u32> = match &self.data.paired {
            Some(p) if paired.is_empty() => (0..p.n_rows as u32).collect(),
            _ => paired.to_vec(),
        };
        out.failure = None;
        out.rows.clear();
        out.rows.extend_from_slice(rows);
        if out.buffers.len() != self.inputs.len() {
            out.buffers = self.inputs.iter().map(|(_, decl)| Buffer::empty(decl)).collect();
        }
        for ((spec, _), buffer) in self.inputs.iter().zip(&mut out.buffers) {
            buffer.clear();
            let second = match (spec, &self.data.paired) {
                (FeedSpec::PairedRows, _) => true,
                (FeedSpec::Field(name) | FeedSpec::Known(name), Some(p)) => p.fields.contains(name),
                _ => false,
            };
            let filled = match spec {
                FeedSpec::OfLabelled(spec) => self.fill_one(spec, labelled, epoch, buffer),
                _ => self.fill_one(spec, if second { &all } else { rows }, epoch, buffer),
            };
            out.failure = out.failure.take().or(filled.err());
        }
    }

    fn fill_one(&self, spec: &FeedSpec, rows: &[u32], epoch: u64, out: &mut Buffer) -> Result<(), DataError> {
        match spec {
            FeedSpec::Field(name) => return self.field(name, rows, out),
            FeedSpec::Known(name) => self.known(name, rows, out),
            FeedSpec::FieldAt { field, index, known, own_first } => {
                return rows
                    .iter()
                    .try_for_each(|&r| self.field_at((field, *known), index, r, *own_first, out));
            }
            FeedSpec::Within(axis) => {
                self.data.within.get(axis).into_iter().flatten().for_each(|&p| out.push_code(p));
            }
            FeedSpec::Label { field, label } => {
                let labels = self.data.labels.get(field);
                let code = labels.and_then(|all| all.iter().position(|l| l == label));
                out.push_number(code.map_or(f32::NAN, |c| c as f32));
            }
            FeedSpec::CovariateCategory { field, column } => {
                if let Some(FieldData::Covariates(c)) = self.data.fields.get(field)
                    && let Some((_, codes)) = c.categorical.iter().find(|(name, _)| name == column)
                {
                    rows.iter().for_each(|&r| out.push_code(codes[r as usize]));
                }
            }
            FeedSpec::CovariateReals(field) => {
                if let Some(FieldData::Covariates(c)) = self.data.fields.get(field) {
                    for &r in rows {
                        let start = r as usize * c.n_continuous;
                        let row = &c.continuous[start..start + c.n_continuous];
                        row.iter().for_each(|&v| out.push_number(v));
                    }
                }
            }
            FeedSpec::OfLabelled(spec) => return self.fill_one(spec, rows, epoch, out),
            FeedSpec::Rows | FeedSpec::PairedRows => rows.iter().for_each(|&r| out.push_code(r)),
            FeedSpec::Stat(name) => {
                self.stats.get(name).into_iter().flatten().for_each(|&v| out.push_number(v));
            }
            FeedSpec::Numbers(all) => all.iter().for_each(|&i| out.push_code(i)),
            FeedSpec::Epoch => out.push_number(epoch as f32),
            FeedSpec::Total(field) => match self.data.totals.get(field) {
                Some(FieldData::Reals(totals)) => {
                    rows.iter().for_each(|&r| out.push_number(totals[r as usize]));
                }
                Some(FieldData::Whole(totals)) => totals.iter().for_each(|&v| out.push_number(v)),
                _ => {}
            },
        }
        Ok(())
    }

    /// 1 where a value is known; a field without such a record has them all.
    fn known(&self, name: &str, rows: &[u32], out: &mut Buffer) {
        let mut push = |k: &bool| out.push_number(f32::from(u8::from(*k)));
        match self.data.known.get(name) {
            Some(Known::Whole(mask)) => mask.iter().for_each(push),
            Some(Known::Rows { width, mask }) => {
                rows.iter().for_each(|&r| mask[r as usize * width..][..*width].iter().for_each(&mut push));
            }
            None => {
                let n = self.data.fields.get(name).map_or(0, |f| f.row_len());
                (0..rows.len() * n).for_each(|_| push(&true));
            }
        }
    }

    /// A field at the rows that the index names for one row.
    fn field_at(
        &self,
        (field, known): (&str, bool),
        index: &str,
        row: u32,
        own_first: bool,
        out: &mut Buffer,
    ) -> Result<(), DataError> {
        let Some(FieldData::Matrix(places)) = self.data.fields.get(index) else { return Ok(()) };
        let mut rows = vec![];
        places.for_each_in_row(row as usize, |_, place| rows.push(place as u32));
        let mut taken = Buffer::like(out);
        match known {
            true => self.known(field, &rows, &mut taken),
            false => self.field(field, &rows, &mut taken)?,
        }
        let (n, len) = (rows.len(), taken.len());
        let own = len / n.max(1);
        for i in 0..len {
            // Row-major [index, own] as it was taken, or [own, index].
            out.push_from(&taken, if own_first { (i % n) * own + i / n } else { i });
        }
        Ok(())
    }

    /// The fields of inputs that lie on the disk, each once.
    pub(super) fn on_disk(&self) -> Vec<&'d DiskRows> {
        let mut names: Vec<&str> = self
            .inputs
            .iter()
            .filter_map(|(spec, _)| match spec {
                FeedSpec::Field(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        let disk = |name: &str| match self.data.fields.get(name) {
            Some(FieldData::Disk(rows)) => Some(rows),
            _ => None,
        };
        names.into_iter().filter_map(disk).collect()
    }

    fn field(&self, name: &str, rows: &[u32], out: &mut Buffer) -> Result<(), DataError> {
        match self.data.fields.get(name) {
            Some(FieldData::Matrix(matrix)) => rows.iter().for_each(|&r| out.push_row(matrix, r as usize)),
            Some(FieldData::Disk(disk)) => {
                for &r in rows {
                    let (block, at) = disk.locate(r as usize);
                    out.push_row(&*disk.block(block)?, at);
                }
            }
            Some(FieldData::Codes(codes)) => rows.iter().for_each(|&r| out.push_code(codes[r as usize])),
            Some(FieldData::Reals(values)) => rows.iter().for_each(|&r| out.push_number(values[r as usize])),
            Some(FieldData::Whole(values)) => values.iter().for_each(|&v| out.push_number(v)),
            // An absent category has one label.
            None => rows.iter().for_each(|_| out.push_code(0)),
            Some(FieldData::Covariates(_)) => {}
        }
        Ok(())
    }
}
