//! Data drawn from a model's own generative story, with the truth beside them.

use crate::anndata::{
    Additions, Column, Csr, Dense, Matrix, NewAnnData, UnsValue, Values, WriteOptions, write_new,
};
use crate::batch::{Gatherer, cut, for_each_minibatch};
use crate::bind::{self, Binds};
use crate::dataset::{Dataset, FieldData};
use crate::engine::{Engine, Prepared, run_error};
use crate::error::{Error, request};
use crate::init::{add_missing, options_in_force};
use crate::model::Model;
use crate::output::NamedArray;
use crate::train::compute_stats;
use autodiff_runtime::random::{SiteKey, normal_from};
use autodiff_runtime::{StepKey, Variables};
use dsl::{AxisSource, Bound, FeedSpec, Lowered, Mode, Purpose, Request, Slot, SlotKind};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::ControlFlow;
use std::path::Path;

/// Cells drawn at a time.
const CHUNK: usize = 256;
/// Step number of simulation draws.
const SIM_STEP: u64 = 4 << 40;
/// Stream of library sizes.
const LIBRARY_STREAM: u32 = 0xFFFF_0004;
/// Larger parameters are written as a summary only.
const MAX_TRUTH: usize = 1 << 20;

/// What to draw.
#[derive(Clone, Debug, PartialEq)]
pub struct SimOptions {
    /// Number of cells.
    pub cells: usize,
    /// Number of genes.
    pub genes: usize,
    /// Levels of every category; the cells are shared out evenly.
    pub batches: usize,
    /// Mean and standard deviation of the log library size, for likelihoods that read their own field.
    pub library: (f64, f64),
    /// Seed of parameters and draws.
    pub seed: u64,
    /// Sizes of other data axes.
    pub sizes: BTreeMap<String, usize>,
    /// Trained models that the model loads; their labels name its axes.
    pub binds: Binds,
}

impl Default for SimOptions {
    /// 2000 cells, 500 genes, one batch, log library size 8 ± 0.5.
    fn default() -> Self {
        SimOptions {
            cells: 2000,
            genes: 500,
            batches: 1,
            library: (8.0, 0.5),
            seed: 0,
            sizes: BTreeMap::new(),
            binds: Binds::new(),
        }
    }
}

/// Draws a data set and writes it as `.h5ad`.
///
/// # Errors
/// E0716 when the model needs what cannot be made up, E0714 when the file cannot be written.
pub fn simulate(model: &Model, options: &SimOptions, engine: &Engine, output: &Path) -> Result<(), Error> {
    let drawn = draw(model, options, engine)?;
    let data = drawn.into_anndata(model, options);
    write_new(output, &data, WriteOptions { overwrite: true, in_place: false })?;
    Ok(())
}

/// Everything drawn: the values by site and field, the parameters.
pub struct Drawn {
    /// Observed fields and latents, by name.
    pub arrays: Vec<NamedArray>,
    /// The made-up fields that the model conditions on.
    pub given: Dataset,
    /// Labels of axes that loaded models name.
    pub labels: BTreeMap<String, Vec<String>>,
    /// Sizes, and which of these fields are present.
    pub bound: Bound,
    /// The parameters that the data were drawn with.
    pub variables: Variables<f32>,
    /// Their shapes.
    pub shapes: BTreeMap<String, Vec<usize>>,
}

/// Draws from the model.
///
/// # Errors
/// E0716 when the model needs what cannot be made up.
pub fn draw(model: &Model, options: &SimOptions, engine: &Engine) -> Result<Drawn, Error> {
    if options.cells < 1 || options.genes < 1 || options.batches < 1 {
        return Err(Error::plain(request("a simulation needs at least one cell, one gene and one batch")));
    }
    let MadeUp { bound, data: mut given, labels } = made_up(model, options)?;
    let ranges = cut(options.cells, CHUNK);
    let mut programs: BTreeMap<usize, Prepared> = BTreeMap::new();
    let mut variables = Variables::new();
    for range in &ranges {
        if let Entry::Vacant(free) = programs.entry(range.len()) {
            let request =
                Request { purpose: Purpose::Simulation, mode: Mode::Evaluate, n_batch: range.len() };
            let prepared = engine.prepare(model, &bound, &request, None)?;
            add_missing(&prepared.lowered, options.seed, &mut variables);
            free.insert(prepared);
        }
    }
    let Some(first) = programs.values().next() else {
        return Err(Error::plain(request("nothing to simulate")));
    };
    let lowered = first.lowered.clone();
    for feed in &lowered.feeds {
        if let FeedSpec::Total(field) = feed {
            given.totals.insert(field.clone(), libraries(options));
        }
    }
    let mut arrays: Vec<NamedArray> =
        lowered.graph.outputs().iter().map(|(name, _)| empty_array(&lowered, name, model)).collect();
    let stats = stand_in_stats(model, options, engine, &bound, &given)?;
    let gatherer = Gatherer::new(&given, &stats, &lowered);
    let order: Vec<u32> = (0..options.cells as u32).collect();
    let key = StepKey { seed: options.seed, step: SIM_STEP };
    let flow = for_each_minibatch(&gatherer, &order, &ranges, 0, |batch| {
        let Some(prepared) = programs.get_mut(&batch.rows.len()) else {
            return ControlFlow::Continue(());
        };
        if let Err(e) = prepared.exe.run(&mut variables, &batch.feeds(), key) {
            return ControlFlow::Break(run_error(model, &prepared.lowered, &e));
        }
        arrays.iter_mut().for_each(|a| take(a, prepared, batch.rows[0] as usize, batch.rows.len()));
        ControlFlow::Continue(())
    });
    if let ControlFlow::Break(error) = flow {
        return Err(error);
    }
    let shapes = lowered.variables.iter().map(|v| (v.name.clone(), v.dims.iter().map(|d| d.size).collect()));
    Ok(Drawn { arrays, given, bound, labels, shapes: shapes.collect(), variables })
}

fn empty_array(lowered: &Lowered, name: &str, model: &Model) -> NamedArray {
    let axes = lowered.output_axes.get(name).cloned().unwrap_or_default();
    let mut shape: Vec<usize> = match lowered.graph.find_output(name) {
        Some(id) => lowered.graph.axes_of(id).iter().map(|a| lowered.graph.size(a)).collect(),
        None => vec![],
    };
    if axes.first().map(String::as_str) == model.compiled().plate()
        && let Some(rows) = shape.first_mut()
    {
        *rows = 0;
    }
    NamedArray { name: name.to_owned(), axes, shape, ..NamedArray::default() }
}

/// Appends the rows of one run; an array without rows is taken once.
fn take(array: &mut NamedArray, prepared: &Prepared, first_row: usize, rows: usize) {
    let Some(values) = prepared.exe.output(&array.name) else { return };
    match array.shape.first_mut() {
        Some(n) if *n == first_row => {
            *n += rows;
            array.values.extend_from_slice(values);
        }
        _ if array.values.is_empty() => array.values.extend_from_slice(values),
        _ => {}
    }
}

/// Rounded log-normal library sizes, at least 1.
fn libraries(options: &SimOptions) -> Vec<f32> {
    let site = SiteKey::new(StepKey { seed: options.seed, step: SIM_STEP }, LIBRARY_STREAM);
    let (mean, sd) = options.library;
    let draw = |row: u32| {
        let [a, b, ..] = site.words(row, 0);
        (mean + sd * normal_from(a, b)).exp().round().clamp(1.0, 1e7) as f32
    };
    (0..options.cells as u32).map(draw).collect()
}

/// Statistics of data that are not there yet: those of counts with the drawn library sizes, each spread over one gene.
fn stand_in_stats(
    model: &Model,
    options: &SimOptions,
    engine: &Engine,
    bound: &Bound,
    given: &Dataset,
) -> Result<BTreeMap<String, Vec<f32>>, Error> {
    if model.compiled().stats().is_empty() {
        return Ok(BTreeMap::new());
    }
    let (mut bound, mut data) = (bound.clone(), given.clone());
    for slot in model.compiled().slots().iter().filter(|s| s.kind == SlotKind::Count && s.axes.len() == 2) {
        let n_cols = bound.sizes.get(&slot.axes[1]).copied().unwrap_or(1);
        let n = options.cells;
        let counts = Csr {
            n_rows: n,
            n_cols,
            indptr: (0..=n as u64).collect(),
            indices: (0..n).map(|row| (row % n_cols) as u32).collect(),
            values: libraries(options),
        };
        data.fields.insert(slot.name.clone(), FieldData::Matrix(Matrix::Csr(counts)));
        bound.sparse.insert(slot.name.clone());
    }
    compute_stats(engine, model, &bound, &data, options.seed)
}

/// The axis of a count field that comes from `X` or a layer: the genes.
fn gene_axis(slots: &[Slot]) -> Option<&str> {
    let from_x = |s: &&Slot| s.path.as_deref().is_some_and(|p| p == "X" || p.starts_with("layers."));
    slots.iter().find(from_x).and_then(|s| s.axes.get(1)).map(String::as_str)
}

/// Data that the model conditions on.
struct MadeUp {
    bound: Bound,
    data: Dataset,
    labels: BTreeMap<String, Vec<String>>,
}

/// Sizes, and the fields that the model conditions on: balanced categories, ones for numbers, the next rows for indices,
/// the constants of loaded models.
fn made_up(model: &Model, options: &SimOptions) -> Result<MadeUp, Error> {
    let compiled = model.compiled();
    let n = options.cells;
    let mut bound = Bound { n_rows: n, ..Bound::default() };
    let mut data = Dataset { n_rows: n, ..Dataset::default() };
    let loaded = bind::loaded(compiled, &options.binds).map_err(|d| Error::new(model.sources(), d))?;
    let labels = loaded.labels;
    for axis in compiled.axes() {
        let size = match &axis.source {
            _ if Some(axis.name.as_str()) == compiled.plate() => n,
            AxisSource::Data | AxisSource::Within(_) => match labels.get(&axis.name) {
                Some(labels) => labels.len(),
                None => size_of(compiled.slots(), &axis.name, options)?,
            },
            _ => continue,
        };
        bound.sizes.insert(axis.name.clone(), size);
    }
    for axis in compiled.axes().iter().filter(|a| matches!(a.source, AxisSource::Within(_))) {
        let places = (0..bound.sizes[&axis.name] as u32).collect();
        data.within.insert(axis.name.clone(), places);
    }
    for (slot, values) in loaded.values {
        data.fields.insert(slot.clone(), FieldData::Whole(values));
        bound.present.insert(slot);
    }
    let observed = compiled.observed();
    for slot in compiled.slots().iter().filter(|s| s.load.is_none()) {
        if slot.optional && (slot.kind != SlotKind::Category || options.batches == 1) {
            continue;
        }
        bound.present.insert(slot.name.clone());
        if slot.kind == SlotKind::Category {
            bound.sizes.insert(slot.name.clone(), options.batches);
        }
        if !observed.contains(&slot.name) || slot.axes.len() == 1 {
            let field = made_up_field(slot, &bound, options, compiled)?;
            data.fields.insert(slot.name.clone(), field);
        }
    }
    Ok(MadeUp { bound, data, labels })
}

fn size_of(slots: &[Slot], axis: &str, options: &SimOptions) -> Result<usize, Error> {
    match options.sizes.get(axis) {
        Some(size) => Ok(*size),
        None if gene_axis(slots) == Some(axis) => Ok(options.genes),
        None => {
            let text = format!("the size of axis `{axis}` is not known");
            Err(Error::plain(request(text).help(format!("give it: --size {axis}=50"))))
        }
    }
}

fn made_up_field(
    slot: &Slot,
    bound: &Bound,
    options: &SimOptions,
    compiled: &dsl::Compiled,
) -> Result<FieldData, Error> {
    let knob = |axis: &String| {
        let found = compiled.axes().iter().find(|a| a.name == *axis).map(|a| &a.source);
        match found {
            Some(AxisSource::Knob(n)) => *n,
            Some(AxisSource::Labels(labels)) => labels.len(),
            _ => bound.sizes.get(axis).copied().unwrap_or(1),
        }
    };
    let sizes: Vec<usize> = slot.axes.iter().map(knob).collect();
    let (total, width) = (sizes.iter().product::<usize>(), sizes.iter().skip(1).product::<usize>());
    let by_row = slot.axes.first().map(String::as_str) == compiled.plate();
    let over = slot.over.as_ref().map_or(1, knob);
    let value = |i: usize| match slot.kind {
        SlotKind::Simplex => 1.0 / over as f32,
        SlotKind::Index => ((i / width.max(1) + i % width.max(1) + 1) % over) as f32,
        _ => 1.0,
    };
    Ok(match slot.kind {
        SlotKind::Covariates => {
            let text = format!("`{}`: covariates cannot be made up", slot.name);
            return Err(Error::plain(request(text)));
        }
        SlotKind::Category => FieldData::Codes((0..total).map(|i| (i % options.batches) as u32).collect()),
        _ if !by_row => FieldData::Whole((0..total).map(value).collect()),
        _ if sizes.len() == 1 => FieldData::Reals((0..total).map(value).collect()),
        _ => {
            let values = (0..total).map(value).collect();
            FieldData::Matrix(Matrix::Dense(Dense { n_rows: sizes[0], n_cols: width, values }))
        }
    })
}

impl Drawn {
    fn into_anndata(self, model: &Model, options: &SimOptions) -> NewAnnData {
        let mut out = NewAnnData {
            obs_names: (0..options.cells).map(|i| format!("cell_{i}")).collect(),
            var_names: self.genes(model, options),
            ..NewAnnData::default()
        };
        let genes = out.var_names.len();
        out.parts.uns.push(("svic".to_owned(), self.truth(model, options)));
        let slots = model.compiled().slots();
        for slot in slots {
            let values = match self.given.fields.get(&slot.name) {
                Some(FieldData::Codes(codes)) => Values::Categorical {
                    codes: codes.iter().map(|c| *c as i32).collect(),
                    categories: (0..options.batches).map(|i| format!("{}_{i}", slot.name)).collect(),
                    ordered: false,
                },
                Some(FieldData::Reals(v)) => Values::Real(v.iter().map(|x| f64::from(*x)).collect()),
                _ => continue,
            };
            out.parts.obs.push((column_name(slot), Column::new(values)));
        }
        for (field, totals) in &self.given.totals {
            let values = totals.iter().map(|v| f64::from(*v)).collect();
            out.parts.obs.push((format!("library_{field}"), Column::new(Values::Real(values))));
        }
        let plate = model.compiled().plate();
        for array in self.arrays.into_iter().filter(|a| a.axes.first().map(String::as_str) == plate) {
            let slot = slots.iter().find(|s| s.name == array.name);
            place(&mut out.parts, &mut out.x, slot, array, genes);
        }
        out
    }

    fn genes(&self, model: &Model, options: &SimOptions) -> Vec<String> {
        let named = gene_axis(model.compiled().slots()).and_then(|axis| self.labels.get(axis));
        named.cloned().unwrap_or_else(|| (0..options.genes).map(|i| format!("gene_{i}")).collect())
    }

    fn truth(&self, model: &Model, options: &SimOptions) -> UnsValue {
        let parameters = self.variables.iter().map(|(name, values)| {
            let shape = self.shapes.get(name).cloned().unwrap_or_else(|| vec![values.len()]);
            let wide = values.iter().map(|v| f64::from(*v));
            let value = if values.len() <= MAX_TRUTH && !shape.is_empty() {
                UnsValue::Reals(shape, wide.collect())
            } else {
                UnsValue::Real(wide.sum::<f64>() / values.len().max(1) as f64)
            };
            (name.to_owned(), value)
        });
        let settings = options_in_force(model.compiled());
        let map = BTreeMap::from([
            ("parameters".to_owned(), UnsValue::Map(parameters.collect())),
            ("seed".to_owned(), UnsValue::Integer(options.seed as i64)),
            ("model".to_owned(), UnsValue::Text(model.texts().name.clone())),
            (
                "options".to_owned(),
                UnsValue::Map(settings.into_iter().map(|(k, v)| (k, UnsValue::Text(v))).collect()),
            ),
        ]);
        UnsValue::Map(BTreeMap::from([("truth".to_owned(), UnsValue::Map(map))]))
    }
}

fn column_name(slot: &Slot) -> String {
    let path = slot.path.as_deref().and_then(|p| p.strip_prefix("obs."));
    path.unwrap_or(&slot.name).to_owned()
}

/// Puts one drawn array where its field is read from; latents into `obsm`.
fn place(
    parts: &mut Additions,
    x: &mut Option<Matrix>,
    slot: Option<&Slot>,
    array: NamedArray,
    genes: usize,
) {
    let width = array.row_len();
    if array.shape.len() == 1 {
        let name = slot.map_or(array.name.clone(), column_name);
        if parts.obs.iter().all(|(n, _)| *n != name) {
            let values = array.values.iter().map(|v| f64::from(*v)).collect();
            parts.obs.push((name, Column::new(Values::Real(values))));
        }
        return;
    }
    let dense = Dense { n_rows: array.shape[0], n_cols: width, values: array.values };
    let Some(slot) = slot else {
        parts.obsm.push((array.name, dense));
        return;
    };
    let matrix =
        if slot.kind == SlotKind::Count { Matrix::Csr(sparse(&dense)) } else { Matrix::Dense(dense) };
    match slot.path.as_deref().and_then(|p| p.split_once('.')) {
        Some(("layers", name)) if width == genes => parts.layers.push((name.to_owned(), matrix)),
        Some(("obsm", name)) => parts.obsm.push((name.to_owned(), matrix.to_dense())),
        _ if width == genes && x.is_none() => *x = Some(matrix),
        _ => parts.obsm.push((slot.name.clone(), matrix.to_dense())),
    }
}

fn sparse(dense: &Dense) -> Csr {
    let mut out = Csr { n_rows: dense.n_rows, n_cols: dense.n_cols, indptr: vec![0], ..Csr::default() };
    for row in 0..dense.n_rows {
        for (column, value) in dense.row(row).iter().enumerate().filter(|(_, v)| **v != 0.0) {
            out.indices.push(column as u32);
            out.values.push(*value);
        }
        out.indptr.push(out.values.len() as u64);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn library_sizes_are_log_normal() {
        let options = SimOptions { cells: 5000, ..SimOptions::default() };
        let logs: Vec<f64> = libraries(&options).iter().map(|v| f64::from(*v).ln()).collect();
        let mean = logs.iter().sum::<f64>() / 5000.0;
        let sd = (logs.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 5000.0).sqrt();
        assert!((mean - 8.0).abs() < 0.05 && (sd - 0.5).abs() < 0.03, "{mean} {sd}");
        assert_eq!(libraries(&options), libraries(&options));
    }

    #[test]
    fn dense_rows_become_sparse() {
        let dense = Dense { n_rows: 2, n_cols: 3, values: vec![0.0, 2.0, 0.0, 1.0, 0.0, 3.0] };
        assert_eq!(sparse(&dense).to_dense(), dense);
    }
}
