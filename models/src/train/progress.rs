//! What a run tells those who watch it. The command line prints it; a library user may ignore it.

use super::{EpochRecord, Timing};
use dsl::diagnostic::Diagnostics;
use dsl::source::Sources;

/// What a run is going to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Cells that train.
    pub n_train: usize,
    /// Cells that validate.
    pub n_validation: usize,
    /// Epochs in all.
    pub epochs: u64,
    /// Epochs that are already done (when resumed).
    pub done: u64,
    /// Minibatches of an epoch.
    pub n_batches: usize,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All epochs are done.
    Completed,
    /// The validation bound stopped improving.
    Early,
    /// Interrupted; the result is that of the last finished epoch.
    Interrupted,
}

/// Watches a run. Every method may be left as it is.
pub trait Progress {
    /// Before the first epoch.
    fn start(&mut self, _plan: &Plan) {}
    /// Warnings about the run.
    fn warn(&mut self, _sources: &Sources, _diagnostics: &Diagnostics) {}
    /// After a step: cells done in this epoch, and their negative bound so far.
    fn step(&mut self, _cells: usize, _elbo: f64) {}
    /// After an epoch.
    fn epoch(&mut self, _record: &EpochRecord, _timing: Timing) {}
    /// At the end.
    fn finish(&mut self, _ending: Ending) {}
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {}
