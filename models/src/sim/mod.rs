//! Data drawn from a model's own generative story, with the truth beside them.

mod files;
mod given;

use crate::batch::{Gatherer, cut, for_each_minibatch};
use crate::bind::{Binds, Vocabularies, start};
use crate::dataset::FieldData;
use crate::engine::{Engine, Prepared, lower, run_error};
use crate::error::{Error, request};
use crate::init::add_missing;
use crate::model::Model;
use crate::output::NamedArray;
use crate::train::compute_stats;
use autodiff_runtime::{StepKey, Variables};
use dsl::{FeedSpec, Lowered, Mode, Purpose, Request};
pub use given::Given;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Cells drawn at a time.
const CHUNK: usize = 256;
/// Step number of simulation draws.
const SIM_STEP: u64 = 4 << 40;

/// What to draw.
#[derive(Clone, Debug, PartialEq)]
pub struct SimOptions {
    /// Number of cells.
    pub cells: usize,
    /// Number of genes.
    pub genes: usize,
    /// Labels of every optional category; the cells are shared out evenly. One that must be bound has at least three.
    pub batches: usize,
    /// Mean and standard deviation of the log library size, for likelihoods that read their own field.
    pub library: (f64, f64),
    /// Chance that a value is missing, for fields that may miss some.
    pub missing: f64,
    /// Whether optional fields are there too, covariates excepted.
    pub everything: bool,
    /// Seed of parameters and draws.
    pub seed: u64,
    /// Sizes of other data axes, and numbers of labels of categories.
    pub sizes: BTreeMap<String, usize>,
    /// Trained models that the model loads; their labels name its axes.
    pub binds: Binds,
}

impl Default for SimOptions {
    /// 2000 cells, 500 genes, one batch, log library size 8 ± 0.5, a fifth missing where values may be.
    fn default() -> Self {
        SimOptions {
            cells: 2000,
            genes: 500,
            batches: 1,
            library: (8.0, 0.5),
            missing: 0.2,
            everything: false,
            seed: 0,
            sizes: BTreeMap::new(),
            binds: Binds::new(),
        }
    }
}

/// Draws a data set and writes it, each field where its declaration says that it is read from; gives the files: `output`,
/// or one beside it for each modality if these have different cells.
///
/// # Errors
/// E0716 when the model needs what cannot be made up, E0714 when a file cannot be written.
pub fn simulate(
    model: &Model,
    options: &SimOptions,
    engine: &Engine,
    output: &Path,
) -> Result<Vec<PathBuf>, Error> {
    files::write(draw(model, options, engine)?, model, options, output)
}

/// Everything drawn: the values by site and field, the parameters.
pub struct Drawn {
    /// Observed fields and latents, by name.
    pub arrays: Vec<NamedArray>,
    /// The made-up fields that the model conditions on, sizes, and labels that loaded models name.
    pub given: Given,
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
    let mut given = Given::new(model, options)?;
    let ranges = cut(options.cells, CHUNK);
    let wanted = |n_batch| Request { purpose: Purpose::Simulation, mode: Mode::Evaluate, n_batch };
    let Some(first) = ranges.first() else {
        return Err(Error::plain(request("nothing to simulate")));
    };
    let probe = lower(model, &given.bound, &wanted(first.len()))?;
    read_before_drawn(&probe, &mut given, model, options)?;
    let mut programs: BTreeMap<usize, Prepared> = BTreeMap::new();
    let mut variables = Variables::new();
    for range in &ranges {
        if let Entry::Vacant(free) = programs.entry(range.len()) {
            let prepared = engine.prepare(model, &given.bound, &wanted(range.len()), None)?;
            let here = Vocabularies { axes: given.labels.clone(), ..Vocabularies::default() };
            start(model.compiled(), &prepared.lowered, &given.loaded, &here, &mut variables)
                .map_err(|d| Error::new(model.sources(), d))?;
            add_missing(&prepared.lowered, options.seed, &mut variables);
            free.insert(prepared);
        }
    }
    let Some(first) = programs.values().next() else {
        return Err(Error::plain(request("nothing to simulate")));
    };
    let lowered = first.lowered.clone();
    let mut arrays: Vec<NamedArray> =
        lowered.graph.outputs().iter().map(|(name, _)| empty_array(&lowered, name, model)).collect();
    let stats = stand_in_stats(model, options, engine, &given)?;
    let gatherer = Gatherer::new(&given.data, &stats, &lowered);
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
    Ok(Drawn { arrays, given, shapes: shapes.collect(), variables })
}

/// Makes up what the story reads of fields that it draws: their totals, and what others read before they are there.
fn read_before_drawn(
    lowered: &Lowered,
    given: &mut Given,
    model: &Model,
    options: &SimOptions,
) -> Result<(), Error> {
    for feed in &lowered.feeds {
        let (field, total) = match feed {
            FeedSpec::Total(field) => (field, true),
            FeedSpec::Field(field) | FeedSpec::Known(field) | FeedSpec::FieldAt { field, .. } => {
                (field, false)
            }
            _ => continue,
        };
        let Some(slot) = model.compiled().slots().iter().find(|s| s.name == *field) else { continue };
        if total {
            let n = given.shape(slot, model).first().copied().unwrap_or(1);
            let totals = given::libraries(n, options);
            let by_row = slot.axes.first().map(String::as_str) == model.compiled().plate();
            let totals = if by_row { FieldData::Reals(totals) } else { FieldData::Whole(totals) };
            given.data.totals.insert(field.clone(), totals);
        } else if !given.data.fields.contains_key(field) {
            given.add(slot, model, options)?;
        }
    }
    Ok(())
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

/// Statistics of data that are not there yet: those of made-up ones.
fn stand_in_stats(
    model: &Model,
    options: &SimOptions,
    engine: &Engine,
    given: &Given,
) -> Result<BTreeMap<String, Vec<f32>>, Error> {
    if model.compiled().stats().is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut all = given.clone();
    for slot in model.compiled().slots().iter().filter(|s| s.load.is_none()) {
        if all.bound.present.contains(&slot.name) && !all.data.fields.contains_key(&slot.name) {
            all.add(slot, model, options)?;
        }
    }
    compute_stats(engine, model, &all.bound, &all.data, options.seed)
}
