//! Writing outputs back: the input plus what the model gives.

use super::{Evaluation, NamedArray};
use crate::anndata::{Additions, Column, Dense, Matrix, UnsValue, Values, WriteOptions, write_copy};
use crate::compiler::Compiled;
use crate::error::{Error, request};
use crate::init::options_in_force;
use crate::train::{EpochRecord, Measures};
use crate::trained::Trained;
use dsl::OutputInfo;
use dsl::diagnostic::{Code, Diagnostic};
use std::collections::BTreeMap;
use std::path::Path;

/// Where in an AnnData an output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A table by cell.
    Obsm(String),
    /// A column by cell.
    Obs(String),
    /// A layer.
    Layer(String),
    /// Wherever its axes fit, under its own name.
    ByShape,
}

/// An output to be computed and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputPlan {
    /// Name of the output, or an expression.
    pub name: String,
    /// Where it goes.
    pub place: Place,
}

fn place_of(info: &OutputInfo) -> Place {
    match info.destination.as_deref().and_then(|d| d.split_once('.')) {
        Some(("obsm", name)) => Place::Obsm(name.to_owned()),
        Some(("obs", name)) => Place::Obs(name.to_owned()),
        Some(("layers", name)) => Place::Layer(name.to_owned()),
        _ => Place::ByShape,
    }
}

/// The outputs that are written when none is named: those that go to `obs` and `obsm`.
pub fn default_outputs(compiled: &Compiled) -> Vec<OutputPlan> {
    let all = compiled.outputs().iter().map(|o| OutputPlan { name: o.name.clone(), place: place_of(o) });
    all.filter(|o| matches!(o.place, Place::Obsm(_) | Place::Obs(_))).collect()
}

/// The outputs to be written: the default ones, and those named (declared ones, or expressions in the language).
///
/// # Errors
/// E0206 for a plain name that is no output.
pub fn plan_outputs(compiled: &Compiled, named: &[String]) -> Result<Vec<OutputPlan>, Error> {
    let mut plans = default_outputs(compiled);
    for name in named {
        if plans.iter().any(|p| p.name == *name) {
            continue;
        }
        let declared = compiled.outputs().iter().find(|o| o.name == *name);
        if declared.is_none() && name.chars().all(|c| c.is_alphanumeric() || c == '_') {
            let names: Vec<&str> = compiled.outputs().iter().map(|o| o.name.as_str()).collect();
            let diagnostic =
                Diagnostic::new(Code::E0206, format!("`--output {name}`: the model has no output `{name}`"))
                    .did_you_mean(name, names.iter().copied())
                    .note(format!("its outputs are {}", names.join(", ")));
            return Err(Error::plain(diagnostic));
        }
        plans.push(OutputPlan { name: name.clone(), place: declared.map_or(Place::ByShape, place_of) });
    }
    Ok(plans)
}

/// Puts computed outputs where they go. `plate` is the axis of cells; arrays without it go to `uns`.
pub fn additions(
    plans: &[OutputPlan],
    arrays: Vec<NamedArray>,
    plate: Option<&str>,
    n_vars: usize,
) -> Additions {
    let mut out = Additions::default();
    let mut others = BTreeMap::new();
    for (plan, array) in plans.iter().zip(arrays) {
        let by_cell = array.axes.first().is_some_and(|a| Some(a.as_str()) == plate);
        let rows = array.shape.first().copied().unwrap_or(0);
        let width = array.row_len();
        let dense = |values| Dense { n_rows: rows, n_cols: width, values };
        let name = plan.name.clone();
        match &plan.place {
            Place::Obs(name) if by_cell && width == 1 => out.obs.push((name.clone(), column(&array))),
            Place::Obsm(name) if by_cell => out.obsm.push((name.clone(), dense(array.values))),
            Place::Layer(name) if by_cell && width == n_vars => {
                out.layers.push((name.clone(), Matrix::Dense(dense(array.values))));
            }
            _ if by_cell && array.shape.len() == 1 => out.obs.push((name, column(&array))),
            _ if by_cell && width == n_vars => out.layers.push((name, Matrix::Dense(dense(array.values)))),
            _ if by_cell => out.obsm.push((name, dense(array.values))),
            _ if rows == n_vars && array.shape.len() <= 2 => out.varm.push((name, dense(array.values))),
            _ => {
                let values = array.values.iter().map(|v| f64::from(*v)).collect();
                others.insert(name, UnsValue::Reals(array.shape, values));
            }
        }
    }
    if !others.is_empty() {
        out.uns.push(("svic_outputs".to_owned(), UnsValue::Map(others)));
    }
    out
}

fn column(array: &NamedArray) -> Column {
    Column::new(Values::Real(array.values.iter().map(|v| f64::from(*v)).collect()))
}

/// What `uns/svic` says of the run.
pub fn summary(trained: &Trained, score: &Measures) -> UnsValue {
    let text = |s: &str| UnsValue::Text(s.to_owned());
    let texts = |pairs: Vec<(String, String)>| {
        UnsValue::Map(pairs.into_iter().map(|(k, v)| (k, UnsValue::Text(v))).collect())
    };
    let mut map = BTreeMap::new();
    map.insert("version".to_owned(), text(env!("CARGO_PKG_VERSION")));
    map.insert("model".to_owned(), text(&trained.model.texts().name));
    map.insert("source".to_owned(), text(&trained.model.texts().text));
    map.insert("options".to_owned(), texts(options_in_force(trained.model.compiled())));
    map.insert("bindings".to_owned(), texts(trained.bindings.clone().into_iter().collect()));
    map.insert("seed".to_owned(), UnsValue::Integer(trained.seed as i64));
    map.insert("epochs".to_owned(), UnsValue::Integer(trained.state.epoch as i64));
    map.insert("elbo_all".to_owned(), UnsValue::Real(score.elbo));
    let terms = score.terms.iter().map(|(n, v)| (n.clone(), UnsValue::Real(*v))).collect();
    map.insert("terms_all".to_owned(), UnsValue::Map(terms));
    if !trained.state.history.is_empty() {
        map.insert("history".to_owned(), history(&trained.state.history));
    }
    UnsValue::Map(map)
}

fn history(records: &[EpochRecord]) -> UnsValue {
    let mut columns: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for record in records {
        let parts = [("train", Some(&record.train)), ("validation", record.validation.as_ref())];
        for (part, measures) in parts.into_iter().filter_map(|(p, m)| m.map(|m| (p, m))) {
            let values = [("loss".to_owned(), measures.loss), ("elbo".to_owned(), measures.elbo)];
            for (name, value) in values.into_iter().chain(measures.terms.iter().cloned()) {
                columns.entry(format!("{name}_{part}")).or_default().push(value);
            }
        }
        columns.entry("lr".to_owned()).or_default().push(record.lr);
    }
    let n = records.len();
    let mut map: BTreeMap<String, UnsValue> =
        columns.into_iter().map(|(name, v)| (name, UnsValue::Reals(vec![v.len()], v))).collect();
    map.insert(
        "epoch".to_owned(),
        UnsValue::Integers(vec![n], records.iter().map(|r| r.epoch as i64).collect()),
    );
    UnsValue::Map(map)
}

/// Computes the outputs and writes the input plus them to `output`. Gives the score over all cells.
///
/// # Errors
/// What evaluating says; E0714 when the file cannot be written.
pub fn write_back(
    evaluation: &Evaluation<'_>,
    plans: &[OutputPlan],
    given: &super::Given,
    samples: usize,
    output: &Path,
    in_place: bool,
) -> Result<Measures, Error> {
    let names: Vec<String> = plans.iter().map(|p| p.name.clone()).collect();
    let arrays = evaluation.outputs(&names, given, samples)?;
    let score = evaluation.score()?;
    let input = &evaluation.data.file;
    let n_vars = crate::anndata::AnnData::open(input)?.n_vars();
    let plate = evaluation.trained.model.compiled().plate();
    let mut additions = additions(plans, arrays, plate, n_vars);
    additions.uns.push(("svic".to_owned(), summary(evaluation.trained, &score)));
    write_copy(input, output, &additions, WriteOptions { overwrite: true, in_place })?;
    Ok(score)
}

/// Refuses to write onto the input without leave.
///
/// # Errors
/// E0714.
pub fn refuse_input(input: &Path, output: &Path, in_place: bool) -> Result<(), Error> {
    let same = match (std::fs::canonicalize(input), std::fs::canonicalize(output)) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    };
    if same && !in_place {
        let text = format!("{}: the output would overwrite the input", output.display());
        return Err(Error::plain(
            Diagnostic::new(Code::E0714, text).help("choose another name with `-o`, or say `--in-place`"),
        ));
    }
    if in_place && !input.exists() {
        return Err(Error::plain(request("`--in-place` needs an input file")));
    }
    Ok(())
}
