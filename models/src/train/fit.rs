//! A model together with the data it is trained on.

use super::progress::{Ending, Plan, Progress, Silent};
use super::schedule::{Patience, default_epochs};
use super::session::Session;
use super::stats::compute_stats;
use crate::batch::{Split, cut, split};
use crate::bind::{BoundData, start};
use crate::dataset::{Dataset, Known};
use crate::engine::{BackendKind, Engine, lower};
use crate::error::{Error, request};
use crate::model::Model;
use crate::saved;
use crate::trained::{TrainState, Trained};
use autodiff_runtime::Variables;
use dsl::diagnostic::{Code, Diagnostic, Diagnostics};
use dsl::{Lowered, Mode, Purpose, Request, Slot, SlotKind};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Where and how often a run is saved while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The `.svim` file.
    pub path: PathBuf,
    /// Every so many epochs.
    pub every: u64,
}

/// How to train.
#[derive(Clone, Debug, Default)]
pub struct FitOptions {
    /// Seed of the split, the orders, the initial values and all draws.
    pub seed: u64,
    /// Epochs in all; else those of the model's `train` block, else by the number of cells.
    pub epochs: Option<u64>,
    /// What computes.
    pub backend: BackendKind,
    /// Number of threads; else the number of processors. It does not change the result.
    pub threads: Option<usize>,
    /// Whether the validation cells are scored after every epoch even if no schedule asks for it.
    pub validate: bool,
    /// Set it to stop after the current step, keeping the last finished epoch.
    pub stop: Arc<AtomicBool>,
    /// Saves the run while it goes on.
    pub checkpoint: Option<Checkpoint>,
}

impl FitOptions {
    pub(super) fn save_checkpoint(&self, trained: &Trained) -> Result<(), Error> {
        match &self.checkpoint {
            Some(c) if trained.state.epoch.is_multiple_of(c.every.max(1)) => saved::save(trained, &c.path),
            _ => Ok(()),
        }
    }
}

/// A trained model and its data.
pub struct Fit {
    pub(crate) trained: Trained,
    pub(crate) data: BoundData,
    pub(crate) engine: Engine,
    ending: Option<Ending>,
}

impl Fit {
    /// Sets up a run: split, statistics, initial values. Nothing is trained yet.
    ///
    /// # Errors
    /// E0716 when there are too few cells; what lowering says.
    pub fn new(model: Model, data: BoundData, options: &FitOptions) -> Result<Fit, Error> {
        let engine = Engine::new(options.backend, options.threads)?;
        let settings = model.compiled().train().clone();
        let n_cells = data.data.n_rows;
        let constants = data.constants(model.compiled());
        let epochs = options.epochs.or(settings.epochs.map(|e| e as u64));
        let mut trained = Trained {
            model,
            bound: data.bound.clone(),
            vocabularies: data.vocabularies.clone(),
            bindings: data.bindings.clone(),
            data_file: data.file.display().to_string(),
            n_cells,
            seed: options.seed,
            epochs: epochs.unwrap_or_else(|| default_epochs(n_cells)),
            stats: BTreeMap::new(),
            constants,
            dims: BTreeMap::new(),
            shapes: BTreeMap::new(),
            state: TrainState {
                variables: Variables::new(),
                epoch: 0,
                step: 0,
                lr: settings.lr,
                plateau: Patience::default(),
                stopping: Patience::default(),
                history: vec![],
            },
            settings,
        };
        trained.bound.n_rows = split_of(&trained, &data.data)?.train.len();
        start_where_loaded(&mut trained, &data)?;
        trained.stats = compute_stats(&engine, &trained.model, &trained.bound, &data.data, trained.seed)?;
        Ok(Fit { trained, data, engine, ending: None })
    }

    /// Takes up a saved run on the same data.
    ///
    /// # Errors
    /// E0708 when the data have another number of cells.
    pub fn resume(mut trained: Trained, data: BoundData, options: &FitOptions) -> Result<Fit, Error> {
        if data.data.n_rows != trained.n_cells {
            let text = format!(
                "{}: {} cells, but the run was trained on {}",
                data.file.display(),
                data.data.n_rows,
                trained.n_cells
            );
            return Err(Error::plain(
                Diagnostic::new(Code::E0708, text).help("a run is resumed on the data it was begun with"),
            ));
        }
        if let Some(epochs) = options.epochs {
            trained.epochs = epochs;
        }
        let engine = Engine::new(options.backend, options.threads)?;
        Ok(Fit { trained, data, engine, ending: None })
    }

    /// What computes.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Trains, silently.
    ///
    /// # Errors
    /// As [`Fit::run_with`].
    pub fn run(self, options: &FitOptions) -> Result<Fit, Error> {
        self.run_with(options, &mut Silent)
    }

    /// Trains until the epochs are done, early stopping is due, or `options.stop` is set.
    ///
    /// # Errors
    /// E0710 when a value is not finite.
    pub fn run_with(mut self, options: &FitOptions, progress: &mut dyn Progress) -> Result<Fit, Error> {
        let split = split_of(&self.trained, &self.data.data)?;
        let n_train = split.train.len();
        let n_validation = split.validation.len();
        let mut session = Session::new(&self.engine, &self.data.data, split);
        let size = session.batch_size(&self.trained);
        progress.start(&Plan {
            n_train,
            n_validation,
            epochs: self.trained.epochs,
            done: self.trained.state.epoch,
            n_batches: cut(n_train, size).len(),
        });
        let warnings = self.trained.unfinished_ramps();
        if !warnings.is_empty() {
            progress.warn(self.trained.model.sources(), &warnings);
        }
        let monitored = self.trained.settings.early_stopping || self.trained.settings.plateau;
        session.prepare(&mut self.trained, monitored || options.validate)?;
        let ending = session.run(&mut self.trained, options, progress)?;
        progress.finish(ending);
        self.ending = Some(ending);
        Ok(self)
    }

    /// How the run ended.
    pub fn ending(&self) -> Ending {
        self.ending.unwrap_or(Ending::Completed)
    }

    /// The trained model, without its data.
    pub fn trained(&self) -> &Trained {
        &self.trained
    }

    /// The data as bound.
    pub fn data(&self) -> &BoundData {
        &self.data
    }

    /// Saves the trained model as a `.svim` file.
    ///
    /// # Errors
    /// E0714 when it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        saved::save(&self.trained, path.as_ref())
    }
}

/// Parameters that start at those of loaded models.
fn start_where_loaded(trained: &mut Trained, data: &BoundData) -> Result<(), Error> {
    if data.loaded.is_empty() {
        return Ok(());
    }
    let (model, variables) = (&trained.model, &mut trained.state.variables);
    let names = model.compiled().outputs().iter().map(|o| o.name.clone()).collect();
    let outputs = (Purpose::Outputs { names, given: vec![] }, Mode::Evaluate);
    for (purpose, mode) in [(Purpose::Objective, Mode::Train), outputs] {
        let lowered = lower(model, &trained.bound, &Request { purpose, mode, n_batch: 2 })?;
        start(model.compiled(), &lowered, &data.loaded, &trained.vocabularies, variables)
            .map_err(|d| Error::new(model.sources(), d))?;
    }
    Ok(())
}

/// The split of a run: a function of its settings, seed, number of cells and which of them are labelled. Both parts have
/// the same share of cells with a label, for every category that may miss labels.
fn split_of(trained: &Trained, data: &Dataset) -> Result<Split, Error> {
    let s = &trained.settings;
    if s.train_size.is_some_and(|f| !(f > 0.0 && f <= 1.0)) {
        return Err(Error::plain(request("`train_size` is a fraction of the cells, above 0 and at most 1")));
    }
    if s.batch_size < 2 && !s.full_batch {
        return Err(Error::plain(request("`batch_size` must be at least 2")));
    }
    let size = if s.full_batch { trained.n_cells } else { s.batch_size };
    if trained.model.compiled().plate().is_none() {
        // No plate, no minibatches: everything goes into every step.
        return Ok(Split { train: vec![0], validation: vec![], moved: 0 });
    }
    let stratum = strata(trained.model.compiled().slots(), data);
    let split = split(trained.n_cells, stratum, s.train_size, size, trained.seed);
    if split.train.len() < 2 {
        let text = format!("{}: {} cells are too few to train on", trained.data_file, trained.n_cells);
        return Err(Error::plain(request(text)));
    }
    Ok(split)
}

/// Rows by which labels they miss, of the categories that may miss some: 0 for those that miss none.
fn strata<'a>(slots: &'a [Slot], data: &'a Dataset) -> impl Fn(u32) -> usize + 'a {
    let mask = |slot: &'a Slot| match data.known.get(&slot.name)? {
        Known::Rows { width: 1, mask } if slot.kind == SlotKind::Category => Some(mask),
        _ => None,
    };
    let masks: Vec<&Vec<bool>> = slots.iter().filter_map(mask).collect();
    move |row| masks.iter().fold(0, |k, mask| 2 * k + usize::from(!mask[row as usize]))
}

impl Trained {
    /// Remembers the axes of variables, for those who read the file.
    pub(super) fn note_variables(&mut self, lowered: &Lowered) {
        for spec in &lowered.variables {
            let axes = spec.dims.iter().map(|d| d.axis.clone()).collect();
            self.dims.insert(spec.name.clone(), axes);
            self.shapes.insert(spec.name.clone(), spec.dims.iter().map(|d| d.size).collect());
        }
    }

    /// W0701: weights that are still on their way when the run ends.
    fn unfinished_ramps(&self) -> Diagnostics {
        const FAR: u64 = 1_000_000_000;
        let last = self.model.compiled().weights_at(self.epochs.saturating_sub(1));
        let end = self.model.compiled().weights_at(FAR);
        // What data or parameters decide has no value beforehand.
        let unfinished = last.into_iter().zip(end).filter(|((_, a), (_, b))| a != b && !a.is_nan());
        unfinished
            .map(|((name, weight), (_, full))| {
                let text = format!(
                    "the weight of `{name}` ends at {weight:.4} of {full}: its ramp is longer than the {} epochs of this run",
                    self.epochs
                );
                Diagnostic::new(Code::W0701, text).help("train longer, or shorten the ramp in the model")
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stratum for each set of labels that rows miss; values of other types that miss are none.
    #[test]
    fn rows_are_told_apart_by_the_labels_that_they_miss() {
        let text = "dim cell, gene\ndata {\n y : count?[cell, gene] from X\n a : category?[cell] from obs.a\n\
            b : category[cell] from obs.b\n c : category?[cell] from obs.c missing \"none\"\n}\n\
            param r[gene, a, b, c] : positive\n\
            model { plate cell { observe a ~ Categorical(probs = uniform(a))\n observe c ~ Categorical(probs = uniform(c))\n\
            observe y ~ Poisson(rate = r[a, b, c]) } }\n\
            guide { plate cell { a ~ marginal\n c ~ marginal } }";
        let found = crate::library::Found { name: "m.svi".into(), text: text.into(), embedded: false };
        let model = Model::from_found(&found, &[]).expect("it compiles");
        let mut data = Dataset::default();
        let mut knows = |name: &str, width: usize, mask: &[bool]| {
            data.known.insert(name.into(), Known::Rows { width, mask: mask.to_vec() });
        };
        knows("y", 2, &[false, true, true, true, false, false, true, false]);
        knows("a", 1, &[true, false, true, false]);
        let of = |data: &Dataset| {
            let stratum = strata(model.compiled().slots(), data);
            (0..4).map(stratum).collect::<Vec<_>>()
        };
        assert_eq!(of(&data), [0, 1, 0, 1]);
        data.known.insert("c".into(), Known::Rows { width: 1, mask: vec![true, true, false, false] });
        assert_eq!(of(&data), [0, 2, 1, 3]);
        assert_eq!(of(&Dataset::default()), [0; 4]);
    }
}
