//! What a simulation makes up: sizes of axes, the fields that the model conditions on, and stand-ins for the fields that
//! its own story reads before they are drawn.

use super::{SIM_STEP, SimOptions};
use crate::anndata::{Csr, Dense, Matrix};
use crate::bind;
use crate::dataset::{Dataset, FieldData};
use crate::error::{Error, request};
use crate::model::Model;
use autodiff_runtime::StepKey;
use autodiff_runtime::random::{SiteKey, normal_from};
use dsl::{AxisSource, Bound, Slot, SlotKind};
use std::collections::BTreeMap;

/// Stream of library sizes.
const LIBRARY_STREAM: u32 = 0xFFFF_0004;
/// Streams of made-up fields, by number of the field downwards.
const FIELD_STREAM: u32 = 0xFFF0_0000;
/// Labels of a category that the model needs, unless its size is given.
const LABELS: usize = 3;
/// Size of an axis of the data that is not the genes, unless it is given.
const SIZE: usize = 20;
/// Chance that an element of a table of truth values is true; each row has one that is.
const TRUE: f64 = 0.2;

/// Data that the model conditions on.
#[derive(Clone)]
pub struct Given {
    /// Sizes, and which fields are present.
    pub bound: Bound,
    /// The fields.
    pub data: Dataset,
    /// Labels of axes that loaded models name.
    pub labels: BTreeMap<String, Vec<String>>,
    /// The loaded models.
    pub loaded: BTreeMap<String, bind::LoadedModel>,
}

impl Given {
    /// Makes up what `model` conditions on.
    ///
    /// # Errors
    /// E0716 for fields that cannot be made up, E0702 for loaded models that are missing.
    pub fn new(model: &Model, options: &SimOptions) -> Result<Self, Error> {
        let compiled = model.compiled();
        let n = options.cells;
        let loaded = bind::loaded(compiled, &options.binds).map_err(|d| Error::new(model.sources(), d))?;
        let mut given = Given {
            bound: Bound { n_rows: n, ..Bound::default() },
            data: Dataset { n_rows: n, ..Dataset::default() },
            labels: loaded.labels,
            loaded: loaded.models,
        };
        given.sizes(model, options);
        for (slot, values) in loaded.values {
            given.data.fields.insert(slot.clone(), FieldData::Whole(values));
            given.bound.present.insert(slot);
        }
        let observed = compiled.observed();
        for slot in compiled.slots().iter().filter(|s| s.load.is_none()) {
            let levels = levels(slot, options);
            let wanted = match slot.kind {
                SlotKind::Category => levels > 1,
                kind => options.everything && kind != SlotKind::Covariates,
            };
            if slot.optional && !wanted {
                continue;
            }
            given.bound.present.insert(slot.name.clone());
            if slot.kind == SlotKind::Category {
                given.bound.sizes.insert(slot.name.clone(), levels);
            }
            if !observed.contains(&slot.name) {
                given.add(slot, model, options)?;
            }
        }
        Ok(given)
    }

    fn sizes(&mut self, model: &Model, options: &SimOptions) {
        let compiled = model.compiled();
        for axis in compiled.axes() {
            let size = match &axis.source {
                _ if Some(axis.name.as_str()) == row_axis(model) => options.cells,
                AxisSource::Data | AxisSource::Within(_) => match options.sizes.get(&axis.name) {
                    Some(size) => *size,
                    None if self.labels.contains_key(&axis.name) => self.labels[&axis.name].len(),
                    None if gene_axis(compiled.slots()) == Some(&axis.name) => options.genes,
                    None => SIZE,
                },
                _ => continue,
            };
            self.bound.sizes.insert(axis.name.clone(), size);
        }
        for axis in compiled.axes() {
            let AxisSource::Within(whole) = &axis.source else { continue };
            let all = self.bound.size(compiled.axes(), whole).unwrap_or(1);
            let size = self.bound.sizes.get_mut(&axis.name);
            let n = size.map_or(0, |size| {
                // Half of the labels unless a number is given.
                *size = options.sizes.get(&axis.name).map_or(all.div_ceil(2), |n| (*n).min(all));
                *size
            });
            self.data.within.insert(axis.name.clone(), (0..n as u32).collect());
        }
    }

    /// Sizes of the axes of a field, as written.
    pub fn shape(&self, slot: &Slot, model: &Model) -> Vec<usize> {
        let axes = model.compiled().axes();
        let size = |name: &String| self.bound.size(axes, name).unwrap_or(1);
        slot.axes.iter().map(size).collect()
    }

    /// Makes up a field.
    ///
    /// # Errors
    /// E0716 if it cannot be.
    pub fn add(&mut self, slot: &Slot, model: &Model, options: &SimOptions) -> Result<(), Error> {
        let shape = self.shape(slot, model);
        let compiled = model.compiled();
        let number = compiled.slots().iter().position(|s| s.name == slot.name).unwrap_or(0) as u32;
        let site = SiteKey::new(StepKey { seed: options.seed, step: SIM_STEP }, FIELD_STREAM - number);
        let made = Field { slot, shape: &shape, site, options };
        let by_row = slot.axes.first().map(String::as_str) == compiled.plate();
        let field = match slot.kind {
            SlotKind::Covariates => {
                let text = format!("`{}`: covariates cannot be made up", slot.name);
                return Err(Error::plain(request(text)));
            }
            SlotKind::Category => {
                let levels = levels(slot, options);
                let rows = shape.first().copied().unwrap_or(1);
                FieldData::Codes((0..rows).map(|i| (i % levels) as u32).collect())
            }
            SlotKind::Count if by_row && shape.len() == 2 => FieldData::Matrix(Matrix::Csr(made.counts())),
            _ => {
                let over = slot.over.as_deref().and_then(|a| compiled.axes().iter().find(|i| i.name == a));
                let values =
                    made.values(over.and_then(|a| self.bound.size(compiled.axes(), &a.name)).unwrap_or(1));
                match (by_row, shape.len()) {
                    (false, _) if is_turned(slot, model) => {
                        FieldData::Whole(transposed(&values, shape[0], shape[1]))
                    }
                    (false, _) => FieldData::Whole(values),
                    (true, 1) => FieldData::Reals(values),
                    (true, _) => {
                        let n_cols = shape[1..].iter().product();
                        FieldData::Matrix(Matrix::Dense(Dense { n_rows: shape[0], n_cols, values }))
                    }
                }
            }
        };
        if matches!(field, FieldData::Matrix(Matrix::Csr(_))) {
            self.bound.sparse.insert(slot.name.clone());
        }
        self.data.fields.insert(slot.name.clone(), field);
        Ok(())
    }
}

/// Whether a graph stores a field without the plate with its two axes, as written, exchanged: it keeps the model's order.
pub fn is_turned(slot: &Slot, model: &Model) -> bool {
    let place = |name: &String| model.compiled().axes().iter().position(|a| a.name == *name);
    let [first, second] = slot.axes.as_slice() else { return false };
    model.compiled().plate() != Some(first.as_str()) && place(first) > place(second)
}

/// The matrix with rows and columns exchanged.
pub fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|j| (0..rows).map(move |i| values[i * columns + j])).collect()
}

/// A field to be made up.
struct Field<'a> {
    slot: &'a Slot,
    shape: &'a [usize],
    site: SiteKey,
    options: &'a SimOptions,
}

impl Field<'_> {
    fn normal(&self, row: usize, column: usize) -> f64 {
        let [a, b, ..] = self.site.words(row as u32, column as u64);
        normal_from(a, b)
    }

    /// Library sizes spread over the columns by a profile that all rows share, with noise of their own.
    fn counts(&self) -> Csr {
        let (n_rows, n_cols) = (self.shape[0], self.shape[1]);
        let profile: Vec<f64> = (0..n_cols).map(|c| self.normal(u32::MAX as usize, c).exp()).collect();
        let whole: f64 = profile.iter().sum::<f64>() * 0.125_f64.exp();
        let mut out = Csr { n_rows, n_cols, indptr: vec![0], ..Csr::default() };
        for (row, library) in libraries(n_rows, self.options).into_iter().enumerate() {
            for (column, share) in profile.iter().enumerate() {
                let mean = f64::from(library) * share / whole;
                let value = (mean * (0.5 * self.normal(row, column)).exp()).round() as f32;
                if value > 0.0 {
                    out.indices.push(column as u32);
                    out.values.push(value);
                }
            }
            out.indptr.push(out.values.len() as u64);
        }
        out
    }

    /// Values in the support of the field, row by row; `over` is the size of the axis of a simplex or index.
    fn values(&self, over: usize) -> Vec<f32> {
        let total = self.shape.iter().product::<usize>();
        let width = self.shape.iter().skip(1).product::<usize>().max(1);
        let mut values: Vec<f32> =
            (0..total).map(|i| self.value(i / width, i % width, width, over)).collect();
        if self.slot.kind == SlotKind::Simplex {
            let place = self.slot.axes.iter().position(|a| Some(a) == self.slot.over.as_ref());
            normalise(&mut values, self.shape, place.unwrap_or(self.shape.len().saturating_sub(1)));
        }
        values
    }

    fn value(&self, row: usize, column: usize, width: usize, over: usize) -> f32 {
        let z = self.normal(row, column);
        (match self.slot.kind {
            SlotKind::Index => ((row + column + 1) % over.max(1)) as f64,
            SlotKind::Bool if width == 1 => f64::from(u8::from(z > 0.0)),
            SlotKind::Bool => {
                let [a, ..] = self.site.words(row as u32, column as u64);
                let hit = f64::from(a) < TRUE * f64::from(u32::MAX);
                f64::from(u8::from(hit || column == row % width))
            }
            SlotKind::Count => (2.0 + z).exp().round(),
            SlotKind::Nonneg => z.abs(),
            SlotKind::Positive => (0.3 * z).exp(),
            SlotKind::Unit => 1.0 / (1.0 + (-z).exp()),
            SlotKind::Simplex => z.exp(),
            _ => z,
        }) as f32
    }
}

/// Divides by the sums along one axis.
fn normalise(values: &mut [f32], shape: &[usize], axis: usize) {
    let n = shape.get(axis).copied().unwrap_or(1);
    let inner: usize = shape.iter().skip(axis + 1).product();
    for block in values.chunks_mut((n * inner).max(1)) {
        for i in 0..inner {
            let sum: f32 = block.iter().skip(i).step_by(inner).sum();
            block.iter_mut().skip(i).step_by(inner).for_each(|v| *v /= sum);
        }
    }
}

/// Rounded log-normal library sizes, at least 1.
pub fn libraries(n: usize, options: &SimOptions) -> Vec<f32> {
    let site = SiteKey::new(StepKey { seed: options.seed, step: SIM_STEP }, LIBRARY_STREAM);
    let (mean, sd) = options.library;
    let draw = |row: u32| {
        let [a, b, ..] = site.words(row, 0);
        (mean + sd * normal_from(a, b)).exp().round().clamp(1.0, 1e7) as f32
    };
    (0..n as u32).map(draw).collect()
}

/// Number of labels of a category: those of an optional one are the batches.
fn levels(slot: &Slot, options: &SimOptions) -> usize {
    let default = if slot.optional { options.batches } else { options.batches.max(LABELS) };
    options.sizes.get(&slot.name).copied().unwrap_or(default)
}

/// The axis of the cells: the minibatched plate, or that of the rows of the first table of a program without one.
pub fn row_axis(model: &Model) -> Option<&str> {
    let rows = || model.compiled().slots().iter().find(|s| s.axes.len() == 2).map(|s| s.axes[0].as_str());
    model.compiled().plate().or_else(rows)
}

/// The axis of a field that comes from `X` or a layer: the genes.
pub fn gene_axis(slots: &[Slot]) -> Option<&str> {
    let from_x = |s: &&Slot| {
        let path = s.path.as_deref().unwrap_or_default();
        let inner = path.strip_prefix("mod.").and_then(|p| p.split_once('.')).map_or(path, |p| p.1);
        inner == "X" || inner.starts_with("layers.")
    };
    slots.iter().find(from_x).and_then(|s| s.axes.get(1)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_sizes_are_log_normal() {
        let options = SimOptions::default();
        let logs: Vec<f64> = libraries(5000, &options).iter().map(|v| f64::from(*v).ln()).collect();
        let mean = logs.iter().sum::<f64>() / 5000.0;
        let sd = (logs.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 5000.0).sqrt();
        assert!((mean - 8.0).abs() < 0.05 && (sd - 0.5).abs() < 0.03, "{mean} {sd}");
        assert_eq!(libraries(50, &options), libraries(50, &options));
    }

    #[test]
    fn simplexes_sum_to_one_along_their_axis() {
        let mut values = vec![1.0, 3.0, 2.0, 1.0, 1.0, 6.0];
        normalise(&mut values, &[3, 2], 0);
        assert_eq!(values, [0.25, 0.3, 0.5, 0.1, 0.25, 0.6]);
        let mut values = vec![1.0, 3.0, 2.0, 2.0];
        normalise(&mut values, &[2, 2], 1);
        assert_eq!(values, [0.25, 0.75, 0.5, 0.5]);
    }
}
