//! One run of the training loop over a data set.

use super::history::{Sums, Timing};
use super::progress::{Ending, Progress};
use super::schedule::{PLATEAU_FACTOR, PLATEAU_PATIENCE, STOPPING_PATIENCE};
use super::{EpochRecord, FitOptions, Measures};
use crate::batch::{
    Gatherer, Minibatch, Split, blocked_order, cut, cycled_order, epoch_order, for_each_minibatch,
    labelled_order, stratified_order,
};
use crate::dataset::{Dataset, FieldData, Known};
use crate::engine::{CAUSES, Engine, Prepared, optimiser, run_error, run_error_at};
use crate::error::Error;
use crate::init::{add_missing, add_moments};
use crate::trained::{TrainState, Trained};
use autodiff_runtime::{Feed, RunError, StepKey, Variables};
use dsl::diagnostic::{Code, Diagnostic};
use dsl::{Lowered, Mode, PathBound, Purpose, Request, VariableKind};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Step numbers of validation passes start here, so that their draws are not those of training.
const VALIDATION_STEPS: u64 = 1 << 40;

/// The prepared programs by minibatch size, and what they are run on.
pub(super) struct Session<'a> {
    pub engine: &'a Engine,
    pub data: &'a Dataset,
    pub split: Split,
    steps: BTreeMap<usize, Prepared>,
    checks: BTreeMap<usize, Prepared>,
}

impl<'a> Session<'a> {
    pub fn new(engine: &'a Engine, data: &'a Dataset, split: Split) -> Self {
        let mut split = split;
        if data.blocks.is_some() {
            // Validation goes through the file once.
            split.validation.sort_unstable();
        }
        Self { engine, data, split, steps: BTreeMap::new(), checks: BTreeMap::new() }
    }

    /// The rows of an epoch, those of a second plate beside them, and the size of a minibatch.
    fn order(&self, trained: &Trained, epoch: u64) -> (Vec<u32>, Vec<u32>, usize) {
        let (size, seed) = (self.batch_size(trained), trained.seed);
        let strata = trained.settings.stratify.as_ref().and_then(|f| self.strata(f));
        let (mut order, size) = match strata.filter(|s| s.len() > 1) {
            Some(strata) => stratified_order(&strata, size, seed, epoch),
            None => match self.data.blocks {
                Some(blocks) => (blocked_order(&self.split.train, blocks, seed, epoch), size),
                None => (epoch_order(&self.split.train, seed, epoch), size),
            },
        };
        let Some(paired) = &self.data.paired else { return (order, vec![], size) };
        let once = order.clone();
        while order.len() < paired.n_rows {
            let left = paired.n_rows - order.len();
            order.extend(once.iter().take(left));
        }
        let beside = cycled_order(paired.n_rows, order.len(), seed, epoch);
        (order, beside, size)
    }

    /// The labelled rows beside the `n` of an epoch; none if the model does not ask for them.
    fn labelled(&self, trained: &Trained, n: usize, epoch: u64) -> Vec<u32> {
        let Some(asked) = &trained.settings.labelled else { return vec![] };
        let Some(mut strata) = self.by_label(&asked.field) else { return vec![] };
        // Those without a label.
        strata.pop();
        labelled_order(&strata, asked.per_label, n, trained.seed, epoch)
    }

    /// The training cells by label of a category, as far as there are any.
    fn strata(&self, field: &str) -> Option<Vec<Vec<u32>>> {
        let mut strata = self.by_label(field)?;
        strata.retain(|s| !s.is_empty());
        Some(strata)
    }

    /// The training cells by label of a category, and then those without a label.
    fn by_label(&self, field: &str) -> Option<Vec<Vec<u32>>> {
        let FieldData::Codes(codes) = self.data.fields.get(field)? else { return None };
        let n = self.data.labels.get(field).map_or(0, Vec::len);
        let known = match self.data.known.get(field) {
            Some(Known::Rows { mask, .. }) => Some(mask),
            _ => None,
        };
        let mut strata = vec![vec![]; n + 1];
        for &row in &self.split.train {
            let labelled = known.is_none_or(|mask| mask[row as usize]);
            let at = if labelled { codes[row as usize] as usize } else { n };
            strata[at.min(n)].push(row);
        }
        Some(strata)
    }

    /// Size of a training minibatch.
    pub fn batch_size(&self, trained: &Trained) -> usize {
        if trained.settings.full_batch { self.split.train.len() } else { trained.settings.batch_size }
    }

    /// Prepares the programs of all sizes that occur, and adds the variables they need.
    pub fn prepare(&mut self, trained: &mut Trained, validate: bool) -> Result<(), Error> {
        let (order, _, step) = self.order(trained, 0);
        for range in cut(order.len(), step) {
            self.prepare_one(trained, range.len(), Mode::Train)?;
        }
        let size = self.batch_size(trained);
        for range in cut(self.split.validation.len(), size).into_iter().filter(|_| validate) {
            self.prepare_one(trained, range.len(), Mode::Evaluate)?;
        }
        Ok(())
    }

    fn prepare_one(&mut self, trained: &mut Trained, n_batch: usize, mode: Mode) -> Result<(), Error> {
        let of_mode = if mode == Mode::Train { &mut self.steps } else { &mut self.checks };
        let Entry::Vacant(slot) = of_mode.entry(n_batch) else { return Ok(()) };
        let request = Request { purpose: Purpose::Objective, mode, n_batch };
        let settings = (mode == Mode::Train).then_some(&trained.settings);
        let prepared = self.engine.prepare(&trained.model, &trained.bound, &request, settings)?;
        trained.note_variables(&prepared.lowered);
        add_missing(&prepared.lowered, trained.seed, &mut trained.state.variables);
        if mode == Mode::Train {
            add_moments(&prepared.lowered, &optimiser(&trained.settings), &mut trained.state.variables);
        }
        slot.insert(prepared);
        Ok(())
    }

    /// Runs epochs until an end is reached. The state is always that of a finished epoch.
    pub fn run(
        &mut self,
        trained: &mut Trained,
        options: &FitOptions,
        progress: &mut dyn Progress,
    ) -> Result<Ending, Error> {
        let monitor = trained.settings.early_stopping || trained.settings.plateau;
        let validate = (monitor || options.validate) && !self.split.validation.is_empty();
        while trained.state.epoch < trained.epochs {
            let start = (trained.state.variables.clone(), trained.state.step);
            let began = Instant::now();
            let Some(train) = self.train_epoch(trained, options, progress)? else {
                (trained.state.variables, trained.state.step) = start;
                return Ok(Ending::Interrupted);
            };
            // The state of a finished epoch is the host's, whatever computes.
            if let Some(any) = self.steps.values_mut().next() {
                let settled = any.exe.settle(&mut trained.state.variables);
                settled.map_err(|e| run_error(&trained.model, &any.lowered, &e))?;
            }
            let seconds = began.elapsed().as_secs_f64();
            let cells_per_s = self.split.train.len() as f64 / seconds.max(1e-9);
            let validation = if validate { Some(self.validate(trained)?) } else { None };
            let state = &mut trained.state;
            state.epoch += 1;
            let record = EpochRecord { epoch: state.epoch, lr: state.lr, train, validation };
            progress.epoch(&record, Timing { seconds, cells_per_s });
            let monitored = record.validation.as_ref().map(|v| v.elbo);
            state.history.push(record);
            let stop = monitored.is_some_and(|elbo| schedule(trained, elbo));
            options.save_checkpoint(trained)?;
            if stop {
                return Ok(Ending::Early);
            }
        }
        Ok(Ending::Completed)
    }

    /// One pass over the training cells; `None` when interrupted before its end.
    fn train_epoch(
        &mut self,
        trained: &mut Trained,
        options: &FitOptions,
        progress: &mut dyn Progress,
    ) -> Result<Option<Measures>, Error> {
        let epoch = trained.state.epoch;
        let (order, beside, size) = self.order(trained, epoch);
        let ranges = cut(order.len(), size);
        let stats = trained.stats.clone();
        let Some(any) = self.steps.values().next() else { return Ok(None) };
        let infos = any.lowered.terms.clone();
        let lowered = any.lowered.clone();
        let labelled = self.labelled(trained, order.len(), epoch);
        let gatherer = Gatherer::new(self.data, &stats, &lowered).pairing(beside).labelling(labelled);
        let mut sums = Sums::default();
        let steps = &mut self.steps;
        let data = self.data;
        let flow = for_each_minibatch(&gatherer, &order, &ranges, epoch, |batch| {
            if options.stop.load(Ordering::Relaxed) {
                return ControlFlow::Break(None);
            }
            match train_step(steps, trained, batch, data) {
                Ok((loss, terms)) => sums.add(batch.rows.len(), loss, terms.into_iter()),
                Err(error) => return ControlFlow::Break(Some(error)),
            }
            progress.step(sums.n_cells(), sums.elbo(&infos));
            ControlFlow::Continue(())
        });
        match flow {
            ControlFlow::Break(Some(error)) => Err(error),
            ControlFlow::Break(None) => Ok(None),
            ControlFlow::Continue(()) => Ok(Some(sums.measures(&infos))),
        }
    }

    /// The objective over the validation cells, in evaluation mode.
    fn validate(&mut self, trained: &mut Trained) -> Result<Measures, Error> {
        let key = StepKey { seed: trained.seed, step: VALIDATION_STEPS + trained.state.epoch };
        let ranges = cut(self.split.validation.len(), self.batch_size(trained));
        let epoch = trained.state.epoch;
        let mut pass = ObjectivePass { programs: &mut self.checks, data: self.data, epoch, key };
        pass.run(trained, &self.split.validation, &ranges)
    }
}

/// Updates the schedules by the validation bound; whether training stops.
fn schedule(trained: &mut Trained, elbo: f64) -> bool {
    if trained.settings.plateau {
        trained.state.plateau.update(elbo);
        if trained.state.plateau.falls(PLATEAU_PATIENCE) {
            trained.state.lr *= PLATEAU_FACTOR;
        }
    }
    if !trained.settings.early_stopping {
        return false;
    }
    trained.state.stopping.update(elbo);
    !elbo.is_finite() || trained.state.stopping.is_exhausted(STOPPING_PATIENCE)
}

/// One step: the loss and the terms of its minibatch.
fn train_step(
    steps: &mut BTreeMap<usize, Prepared>,
    trained: &mut Trained,
    batch: &Minibatch,
    data: &Dataset,
) -> Result<(f64, Vec<f64>), Error> {
    batch.check()?;
    let state: &mut TrainState = &mut trained.state;
    let prepared = find(steps, batch.rows.len())?;
    let lr = [state.lr as f32];
    let number = [(state.step + 1) as f32];
    let mut feeds = batch.feeds();
    feeds.extend([Feed::Dense(&lr), Feed::Dense(&number)]);
    let key = StepKey { seed: trained.seed, step: state.step };
    let ran = prepared.exe.run(&mut state.variables, &feeds, key);
    ran.map_err(|e| failed(trained, &prepared.lowered, &e, batch, data))?;
    let state: &mut TrainState = &mut trained.state;
    state.step += 1;
    if !trained.settings.bounds.is_empty() {
        let settled = prepared.exe.settle(&mut state.variables);
        settled.map_err(|e| run_error(&trained.model, &prepared.lowered, &e))?;
        project(&trained.settings.bounds, &prepared.lowered, &mut state.variables);
    }
    let loss = scalar(prepared, "loss");
    if !loss.is_finite() {
        return Err(not_finite(prepared, trained, batch, data));
    }
    Ok((loss, terms(prepared)))
}

/// Sets what has left its bounds to the nearest one.
fn project(bounds: &[PathBound], lowered: &Lowered, variables: &mut Variables<f32>) {
    if bounds.is_empty() {
        return;
    }
    for spec in lowered.variables.iter().filter(|v| v.kind == VariableKind::Trained) {
        let Some(slot) = variables.slot_of(&spec.name) else { continue };
        for bound in bounds.iter().filter(|b| b.holds_for(&spec.name)) {
            let x = bound.stored as f32;
            for v in variables.slot_mut(slot) {
                *v = if bound.least { v.max(x) } else { v.min(x) };
            }
        }
    }
}

/// A pass of the objective over some cells without training.
pub(crate) struct ObjectivePass<'a> {
    pub programs: &'a mut BTreeMap<usize, Prepared>,
    pub data: &'a Dataset,
    pub epoch: u64,
    pub key: StepKey,
}

impl ObjectivePass<'_> {
    pub fn run(
        &mut self,
        trained: &mut Trained,
        order: &[u32],
        ranges: &[std::ops::Range<usize>],
    ) -> Result<Measures, Error> {
        let Some(any) = self.programs.values().next() else { return Ok(Measures::default()) };
        let lowered = any.lowered.clone();
        let stats = trained.stats.clone();
        let gatherer = Gatherer::new(self.data, &stats, &lowered);
        let mut sums = Sums::default();
        let flow = for_each_minibatch(&gatherer, order, ranges, self.epoch, |batch| {
            let program = batch.check().and_then(|()| find(self.programs, batch.rows.len()));
            let ran = program.and_then(|prepared| {
                let run = prepared.exe.run(&mut trained.state.variables, &batch.feeds(), self.key);
                run.map_err(|e| failed(trained, &prepared.lowered, &e, batch, self.data))?;
                Ok((scalar(prepared, "loss"), terms(prepared)))
            });
            match ran {
                Ok((loss, terms)) => sums.add(batch.rows.len(), loss, terms.into_iter()),
                Err(error) => return ControlFlow::Break(error),
            }
            ControlFlow::Continue(())
        });
        match flow {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(sums.measures(&lowered.terms)),
        }
    }
}

fn find(programs: &mut BTreeMap<usize, Prepared>, size: usize) -> Result<&mut Prepared, Error> {
    programs.get_mut(&size).ok_or_else(|| {
        Error::plain(crate::error::request(format!(
            "no program was prepared for minibatches of {size} cells"
        )))
    })
}

fn scalar(prepared: &Prepared, name: &str) -> f64 {
    prepared.exe.output(name).and_then(|v| v.first()).map_or(f64::NAN, |v| f64::from(*v))
}

fn terms(prepared: &Prepared) -> Vec<f64> {
    prepared.lowered.terms.iter().map(|t| scalar(prepared, &format!("term:{}", t.name))).collect()
}

/// What a failed step or check says, with the names of cells, genes and labels.
fn failed(
    trained: &Trained,
    lowered: &Lowered,
    error: &RunError,
    batch: &Minibatch,
    data: &Dataset,
) -> Error {
    let (axes, labels) = (&trained.vocabularies.axes, &trained.vocabularies.categories);
    run_error_at(&trained.model, lowered, error, |axis, at| {
        let row = batch.rows.get(at).filter(|_| trained.model.compiled().plate() == Some(axis));
        let name = match row {
            Some(row) => data.row_names.get(*row as usize),
            None => axes.get(axis).or_else(|| labels.get(axis)).and_then(|all| all.get(at)),
        };
        match name {
            Some(name) => format!("{axis} `{name}`"),
            None => format!("{axis} {at}"),
        }
    })
}

/// E0710 after a step whose loss is not finite: which terms, which cell.
fn not_finite(prepared: &Prepared, trained: &Trained, batch: &Minibatch, data: &Dataset) -> Error {
    let (epoch, step) = (trained.state.epoch + 1, trained.state.step);
    let mut diagnostic =
        Diagnostic::new(Code::E0710, format!("the loss is not finite at step {step}, in epoch {epoch}"));
    for term in &prepared.lowered.terms {
        let value = scalar(prepared, &format!("term:{}", term.name));
        if value.is_finite() {
            continue;
        }
        diagnostic = diagnostic.note(format!("`{}` is {value}", term.name));
        let rows = prepared.exe.output(&format!("row:{}", term.name)).unwrap_or_default();
        if let Some(at) = rows.iter().position(|v| !v.is_finite())
            && let Some(&row) = batch.rows.get(at)
        {
            let name = data.row_names.get(row as usize).map_or("?", String::as_str);
            diagnostic = diagnostic.note(format!("first in cell `{name}` (row {row})"));
        }
    }
    Error::new(trained.model.sources(), vec![diagnostic.help(CAUSES)])
}
