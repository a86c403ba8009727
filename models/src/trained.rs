//! A model with its parameters: what is saved, resumed, applied.

use crate::bind::Vocabularies;
use crate::model::Model;
use crate::train::{EpochRecord, Patience};
use autodiff_runtime::Variables;
use dsl::{Bound, TrainSettings};
use std::collections::BTreeMap;

/// Where training stands. Two runs with the same state, data and seed continue alike, bit by bit.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainState {
    /// Parameters, running statistics and optimiser moments.
    pub variables: Variables<f32>,
    /// Finished epochs.
    pub epoch: u64,
    /// Finished steps.
    pub step: u64,
    /// Learning rate in force.
    pub lr: f64,
    /// When the learning rate falls next.
    pub plateau: Patience,
    /// When training stops early.
    pub stopping: Patience,
    /// One record for each finished epoch.
    pub history: Vec<EpochRecord>,
}

/// A trained model, without data.
#[derive(Clone)]
pub struct Trained {
    /// The program.
    pub model: Model,
    /// Sizes and presence at training; `n_rows` is the number of training cells.
    pub bound: Bound,
    /// The labels of training.
    pub vocabularies: Vocabularies,
    /// Where each field was found.
    pub bindings: BTreeMap<String, String>,
    /// The file it was trained on, as it was given.
    pub data_file: String,
    /// Number of cells of that file.
    pub n_cells: usize,
    /// The seed.
    pub seed: u64,
    /// Epochs that the run is meant to have.
    pub epochs: u64,
    /// Training settings in force.
    pub settings: TrainSettings,
    /// Statistics of the data, by name.
    pub stats: BTreeMap<String, Vec<f32>>,
    /// Values of the constants that came from other trained models, by name.
    pub constants: BTreeMap<String, Vec<f32>>,
    /// Axis names of each variable, for those who read the file.
    pub dims: BTreeMap<String, Vec<String>>,
    /// Sizes along those axes.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// Where training stands.
    pub state: TrainState,
}
