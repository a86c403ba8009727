//! An imported state as a trained model.

use super::convert::Converter;
use super::names::NameMap;
use super::tensor::State;
use crate::bind::{BoundData, Vocabularies};
use crate::engine::lower;
use crate::error::{Error, request};
use crate::model::Model;
use crate::train::Patience;
use crate::trained::{TrainState, Trained};
use dsl::diagnostic::{Code, Diagnostic};
use dsl::{AxisSource, Bound, Mode, Purpose, Request};
use std::collections::BTreeMap;
use std::path::Path;

/// A trained model from a state of the reference, and the tensors that it has no use for. Labels come from `data`;
/// without it, genes from the state and other labels are numbers.
///
/// # Errors
/// E0715 when the state does not fit the model; E0716 when a size is not known.
pub fn imported_model(
    model: Model,
    state: &State,
    data: Option<BoundData>,
    sizes: &BTreeMap<String, usize>,
    path: &Path,
) -> Result<(Trained, Vec<String>), Error> {
    let (bound, vocabularies, bindings, n_cells) = match data {
        Some(d) => (d.bound, d.vocabularies, d.bindings, d.data.n_rows),
        None => guessed(&model, state, sizes)?,
    };
    let request = Request { purpose: Purpose::Objective, mode: Mode::Train, n_batch: 2 };
    let lowered = lower(&model, &bound, &request)?;
    let map = names_of(&model);
    let imported = Converter::new(&map, &lowered.variables, &bound)
        .import::<f32>(&state.tensors)
        .map_err(|e| Error::plain(Diagnostic::new(Code::E0715, format!("{}: {e}", path.display()))))?;
    let settings = model.compiled().train().clone();
    let dims =
        lowered.variables.iter().map(|v| (v.name.clone(), v.dims.iter().map(|d| d.axis.clone()).collect()));
    let shapes = lowered.variables.iter().map(|v| (v.name.clone(), v.dims.iter().map(|d| d.size).collect()));
    let stats = imported.stats.into_iter().map(|(n, v)| (n, v.iter().map(|x| *x as f32).collect()));
    let trained = Trained {
        bound,
        vocabularies,
        bindings,
        data_file: String::new(),
        n_cells,
        seed: 0,
        epochs: 0,
        stats: stats.collect(),
        constants: BTreeMap::new(),
        dims: dims.collect(),
        shapes: shapes.collect(),
        state: TrainState {
            variables: imported.variables,
            epoch: 0,
            step: 0,
            lr: settings.lr,
            plateau: Patience::default(),
            stopping: Patience::default(),
            history: vec![],
        },
        settings,
        model,
    };
    Ok((trained, imported.unused))
}

type Guess = (Bound, Vocabularies, BTreeMap<String, String>, usize);

/// Sizes without data: genes from the state, the rest from `sizes`.
/// The tables of names of the files that a model was compiled from, in the order in which they were opened.
fn names_of(model: &Model) -> NameMap {
    let sources = model.sources();
    NameMap::of(sources.ids().map(|id| sources.name(id)))
}

fn guessed(model: &Model, state: &State, sizes: &BTreeMap<String, usize>) -> Result<Guess, Error> {
    let compiled = model.compiled();
    let numbered = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<String>>();
    let mut bound = Bound::default();
    let mut vocabularies = Vocabularies::default();
    let mut bindings = BTreeMap::new();
    for axis in compiled.axes().iter().filter(|a| a.source == AxisSource::Data) {
        if Some(axis.name.as_str()) == compiled.plate() {
            continue;
        }
        let genes = state.tensors.get("px_r").or(state.tensors.get("decoder.px_scale_decoder.0.bias"));
        let n = sizes.get(&axis.name).copied().or(genes.and_then(|t| t.shape.first().copied()));
        let n =
            n.ok_or_else(|| Error::plain(request(format!("the size of axis `{}` is not known", axis.name))))?;
        let labels = state.var_names.clone().filter(|names| names.len() == n).unwrap_or_else(|| numbered(n));
        vocabularies.axes.insert(axis.name.clone(), labels);
        bound.sizes.insert(axis.name.clone(), n);
    }
    for slot in compiled.slots() {
        let size = sizes.get(&slot.name).copied();
        if size.is_none() && slot.optional {
            continue;
        }
        bound.present.insert(slot.name.clone());
        bindings.extend(slot.path.clone().map(|path| (slot.name.clone(), path)));
        if let Some(n) = size {
            bound.sizes.insert(slot.name.clone(), n);
            vocabularies.categories.insert(slot.name.clone(), numbered(n));
        }
    }
    Ok((bound, vocabularies, bindings, 0))
}
