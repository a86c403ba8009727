//! Outputs over all cells, in minibatches, in evaluation mode.

use super::NamedArray;
use crate::anndata::AnnData;
use crate::batch::{Gatherer, cut, for_each_minibatch};
use crate::bind::{self, Binds, BoundData};
use crate::engine::{BackendKind, Engine, Prepared, run_error};
use crate::error::{Error, request};
use crate::init::add_missing;
use crate::train::{Fit, Measures, ObjectivePass};
use crate::trained::Trained;
use autodiff_runtime::backend::cpu::zeros;
use autodiff_runtime::{StepKey, Variables};
use dsl::AxisSource;
use dsl::diagnostic::{Code, Diagnostic};
use dsl::{Mode, Purpose, Request};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::{ControlFlow, Range};

/// Cells evaluated at a time.
const CHUNK: usize = 256;
/// Step numbers of the passes that average outputs start here.
const OUTPUT_STEPS: u64 = 2 << 40;
/// Step number of the pass that scores all cells.
const SCORE_STEP: u64 = 3 << 40;

/// Interventions: field or site, and the value it is held at.
pub type Given = Vec<(String, String)>;

/// A trained model, data in its terms, and what computes.
pub struct Evaluation<'a> {
    /// The model.
    pub trained: &'a Trained,
    /// The data.
    pub data: &'a BoundData,
    /// What computes.
    pub engine: &'a Engine,
}

impl Evaluation<'_> {
    /// Outputs by name (or expressions in the language), averaged over `samples` draws where they contain one.
    ///
    /// # Errors
    /// E0201 for an output that does not exist, E0707 for a label that training did not have, E0710.
    pub fn outputs(&self, names: &[String], given: &Given, samples: usize) -> Result<Vec<NamedArray>, Error> {
        if names.is_empty() {
            return Ok(vec![]);
        }
        let mut dataset = Cow::Borrowed(&self.data.data);
        let mut sites = Given::new();
        for (name, value) in given {
            match self.value_of(name, value)? {
                Some(number) if dataset.to_mut().hold(name, number) => {}
                _ => sites.push((name.clone(), value.clone())),
            }
        }
        let n = dataset.n_rows;
        let ranges = cut(n, CHUNK);
        let mut variables = Variables::new();
        let mut programs: BTreeMap<usize, Prepared> = BTreeMap::new();
        for range in &ranges {
            if let Entry::Vacant(free) = programs.entry(range.len()) {
                let purpose = Purpose::Outputs { names: names.to_vec(), given: sites.clone() };
                free.insert(self.prepare(purpose, range.len(), &mut variables)?);
            }
        }
        let Some(first) = programs.values().next() else { return Ok(vec![]) };
        let lowered = first.lowered.clone();
        let passes = if lowered.random_outputs.is_empty() { 1 } else { samples.max(1) };
        let mut collected: Vec<Collected> = names
            .iter()
            .map(|name| {
                let labels = lowered.output_labels.get(name).map(|axis| self.labels_of(axis));
                Collected::new(name, &lowered, self.trained.model.compiled().plate(), labels, [n, passes])
            })
            .collect();
        let order: Vec<u32> = (0..n as u32).collect();
        let gatherer = Gatherer::new(&dataset, &self.trained.stats, &lowered);
        let epoch = self.trained.state.epoch;
        for pass in 0..passes {
            let key = StepKey { seed: self.trained.seed, step: OUTPUT_STEPS + pass as u64 };
            let flow = for_each_minibatch(&gatherer, &order, &ranges, epoch, |batch| {
                let Some(prepared) = programs.get_mut(&batch.rows.len()) else {
                    return ControlFlow::Continue(());
                };
                if let Err(e) = batch.check() {
                    return ControlFlow::Break(e);
                }
                let (first, rows) = (batch.rows[0] as usize, batch.rows.len());
                let mut direct: Vec<(&str, &mut [f32])> =
                    collected.iter_mut().filter_map(|c| c.place(first, rows, pass)).collect();
                if let Err(e) = prepared.exe.run_into(&mut variables, &batch.feeds(), key, &mut direct) {
                    return ControlFlow::Break(run_error(&self.trained.model, &prepared.lowered, &e));
                }
                for c in collected.iter_mut() {
                    c.add(prepared, first, rows);
                }
                ControlFlow::Continue(())
            });
            if let ControlFlow::Break(error) = flow {
                return Err(error);
            }
        }
        Ok(collected.into_iter().map(|c| c.finish(passes)).collect())
    }

    /// The objective over all cells in evaluation mode, one draw, unweighted: its `elbo` is the negative bound per cell.
    ///
    /// # Errors
    /// E0710.
    pub fn score(&self) -> Result<Measures, Error> {
        let n = self.data.data.n_rows;
        let ranges = cut(n, CHUNK);
        let mut trained = self.trained.clone();
        let mut programs: BTreeMap<usize, Prepared> = BTreeMap::new();
        for range in &ranges {
            if let Entry::Vacant(free) = programs.entry(range.len()) {
                free.insert(self.prepare(Purpose::Objective, range.len(), &mut trained.state.variables)?);
            }
        }
        let order: Vec<u32> = (0..n as u32).collect();
        let key = StepKey { seed: trained.seed, step: SCORE_STEP };
        let epoch = trained.state.epoch;
        ObjectivePass { programs: &mut programs, data: &self.data.data, epoch, key }.run(
            &mut trained,
            &order,
            &ranges,
        )
    }

    fn prepare(
        &self,
        purpose: Purpose,
        n_batch: usize,
        variables: &mut Variables<f32>,
    ) -> Result<Prepared, Error> {
        let request = Request { purpose, mode: Mode::Evaluate, n_batch };
        let mut bound = self.trained.bound.clone();
        // Other data have other rows, on every axis of rows.
        for (axis, labels) in &self.data.row_labels {
            bound.sizes.insert(axis.clone(), labels.len());
        }
        let prepared = self.engine.prepare(&self.trained.model, &bound, &request, None)?;
        for spec in &prepared.lowered.variables {
            if let (None, Some(value)) =
                (variables.get(&spec.name), self.trained.state.variables.get(&spec.name))
            {
                variables.set(&spec.name, value.to_vec());
            }
        }
        add_missing(&prepared.lowered, self.trained.seed, variables);
        Ok(prepared)
    }

    /// The labels of an axis in order; none that are known give none.
    fn labels_of(&self, axis: &str) -> Vec<String> {
        let known = &self.trained.vocabularies;
        let source = self.trained.model.compiled().axes().iter().find(|a| a.name == axis).map(|a| &a.source);
        match source {
            Some(AxisSource::Labels(labels)) => labels.clone(),
            Some(AxisSource::Category(field)) => known.categories.get(field).cloned().unwrap_or_default(),
            _ => known.axes.get(axis).cloned().unwrap_or_default(),
        }
    }

    /// The number that a held field takes: the code of a label, or a number. `None` for a name that is no field.
    fn value_of(&self, name: &str, value: &str) -> Result<Option<f32>, Error> {
        if let Some(labels) = self.trained.vocabularies.categories.get(name) {
            return match labels.iter().position(|l| l == value) {
                Some(code) => Ok(Some(code as f32)),
                None => {
                    let text =
                        format!("`--given {name}={value}`: training had no label `{value}` of `{name}`");
                    let known = labels.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ");
                    Err(Error::plain(
                        Diagnostic::new(Code::E0707, text)
                            .did_you_mean(value, labels.iter().map(String::as_str))
                            .note(format!("training had {known}")),
                    ))
                }
            };
        }
        if !self.data.data.fields.contains_key(name) {
            return Ok(None);
        }
        let number = value.parse().map_err(|_| {
            Error::plain(request(format!("`--given {name}={value}`: `{name}` is a field of numbers")))
        })?;
        Ok(Some(number))
    }
}

/// One output on its way: its values, or sums over passes, placed by row.
struct Collected {
    name: String,
    axes: Vec<String>,
    by_row: bool,
    shape: Vec<usize>,
    values: Vec<f32>,
    /// Empty where there is one pass, and for labels, which are not averaged: those of the first pass stand.
    sums: Vec<f64>,
    labels: Option<Vec<String>>,
}

impl Collected {
    fn new(
        name: &str,
        lowered: &dsl::Lowered,
        plate: Option<&str>,
        labels: Option<Vec<String>>,
        [rows, passes]: [usize; 2],
    ) -> Self {
        let axes = lowered.output_axes.get(name).cloned().unwrap_or_default();
        let by_row = axes.first().is_some_and(|a| Some(a.as_str()) == plate);
        let mut shape: Vec<usize> = match lowered.graph.find_output(name) {
            Some(id) => lowered.graph.axes_of(id).iter().map(|a| lowered.graph.size(a)).collect(),
            None => vec![],
        };
        if let (true, Some(first)) = (by_row, shape.first_mut()) {
            *first = rows;
        }
        let len = shape.iter().product();
        let averaged = passes > 1 && labels.is_none();
        let (values, sums) = if averaged { (vec![], vec![0.0; len]) } else { (zeros(len), vec![]) };
        Self { name: name.to_owned(), axes, by_row, shape, values, sums, labels }
    }

    /// Where some rows belong; all of it for an output without rows. None after the first minibatch for such an output.
    fn range(&self, first: usize, rows: usize) -> Option<Range<usize>> {
        let len = self.values.len().max(self.sums.len());
        if !self.by_row {
            return (first == 0).then_some(0..len);
        }
        let width = self.shape.iter().skip(1).product::<usize>();
        Some(first * width..(first + rows) * width)
    }

    /// Where a run can leave the output for some rows, if its values need no further work.
    fn place(&mut self, first: usize, rows: usize, pass: usize) -> Option<(&str, &mut [f32])> {
        let range = self.range(first, rows).filter(|_| pass == 0 && self.sums.is_empty())?;
        Some((self.name.as_str(), &mut self.values[range]))
    }

    /// Adds up what is averaged.
    fn add(&mut self, prepared: &Prepared, first: usize, rows: usize) {
        let range = self.range(first, rows).filter(|_| !self.sums.is_empty());
        if let (Some(range), Some(values)) = (range, prepared.exe.output(&self.name)) {
            self.sums[range].iter_mut().zip(values).for_each(|(sum, v)| *sum += f64::from(*v));
        }
    }

    fn finish(self, passes: usize) -> NamedArray {
        let mean = |s: &f64| (s / passes as f64) as f32;
        let values = if self.sums.is_empty() { self.values } else { self.sums.iter().map(mean).collect() };
        NamedArray { name: self.name, axes: self.axes, shape: self.shape, values, labels: self.labels }
    }
}

impl Fit {
    /// The model with its data, ready to be asked.
    pub fn evaluation(&self) -> Evaluation<'_> {
        Evaluation { trained: &self.trained, data: &self.data, engine: &self.engine }
    }

    /// An output by name, over all cells, one draw where it contains one.
    ///
    /// # Errors
    /// As [`Evaluation::outputs`].
    pub fn output(&self, name: &str) -> Result<NamedArray, Error> {
        one_output(&self.evaluation(), name)
    }

    /// The negative bound per cell over all cells, in evaluation mode, unweighted, one draw.
    ///
    /// # Errors
    /// E0710.
    pub fn elbo(&self) -> Result<f64, Error> {
        Ok(self.evaluation().score()?.elbo)
    }
}

/// A trained model on data of its own terms, without training.
pub struct Applied {
    trained: Trained,
    data: BoundData,
    engine: Engine,
}

impl Trained {
    /// Binds new data to the labels of training: genes by name, categories by label. Fields are found where training
    /// found them unless `binds` says otherwise.
    ///
    /// # Errors
    /// As [`bind`](crate::bind::bind).
    pub fn apply(&self, adata: &AnnData, binds: &Binds) -> Result<Applied, Error> {
        let mut all = self.binds();
        for (field, paths) in binds.iter() {
            all = all.with(field, &paths.join(","));
        }
        let known = self.known(&[]);
        let data = bind::bind(self.model.compiled(), adata, &all, Some(known))
            .map_err(|d| Error::new(self.model.sources(), d))?;
        self.same_rows(&data)?;
        Ok(Applied { trained: self.clone(), data, engine: Engine::new(BackendKind::Cpu, None)? })
    }

    /// What is known of the fields before new data are looked at; `held` are given a value.
    pub fn known<'a>(&'a self, held: &'a [String]) -> bind::Trained<'a> {
        let (present, constants) = (&self.bound.present, &self.constants);
        bind::Trained { vocabularies: &self.vocabularies, present, held, constants }
    }

    /// Parameters with a row for each row of training say nothing of other rows.
    ///
    /// # Errors
    /// E0706 when the data have another number of rows.
    pub fn same_rows(&self, data: &BoundData) -> Result<(), Error> {
        let tables = self.model.compiled().tables();
        if tables.is_empty() || data.data.n_rows == self.n_cells {
            return Ok(());
        }
        let plate = self.model.compiled().plate().unwrap_or("row");
        let text = format!(
            "{}: {} {plate}s, but `{}` has a value for each of the {} of training",
            data.file.display(),
            data.data.n_rows,
            tables.join("`, `"),
            self.n_cells
        );
        let d = Diagnostic::new(Code::E0706, text);
        Err(Error::plain(
            d.help(format!("train the model on these {plate}s, or let a net compute the value")),
        ))
    }

    /// The bindings of training, to be used again.
    pub fn binds(&self) -> Binds {
        let loaded = |field: &str| self.constants.contains_key(field);
        let bindings = self.bindings.iter().filter(|(field, path)| *path != "given" && !loaded(field));
        bindings.fold(Binds::new(), |binds, (field, paths)| binds.with(field, paths))
    }
}

impl Applied {
    /// The model with its data, ready to be asked.
    pub fn evaluation(&self) -> Evaluation<'_> {
        Evaluation { trained: &self.trained, data: &self.data, engine: &self.engine }
    }

    /// An output by name, over all cells, one draw where it contains one.
    ///
    /// # Errors
    /// As [`Evaluation::outputs`].
    pub fn output(&self, name: &str) -> Result<NamedArray, Error> {
        one_output(&self.evaluation(), name)
    }
}

fn one_output(evaluation: &Evaluation<'_>, name: &str) -> Result<NamedArray, Error> {
    let mut all = evaluation.outputs(&[name.to_owned()], &Given::new(), 1)?;
    all.pop().ok_or_else(|| Error::plain(request(format!("there is no output `{name}`"))))
}
