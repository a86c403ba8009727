//! Writing outputs back: the input plus what the model gives.

use super::{Evaluation, NamedArray};
use crate::anndata::{Additions, AnnData, Column, Dense, Matrix, UnsValue, Values, WriteOptions, write_with};
use crate::bind::BoundData;
use crate::compiler::Compiled;
use crate::error::{Error, request};
use crate::init::options_in_force;
use crate::train::{EpochRecord, Measures};
use crate::trained::Trained;
use dsl::OutputInfo;
use dsl::diagnostic::{Code, Diagnostic};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where in an AnnData an output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A table by cell.
    Obsm(String),
    /// A column by cell.
    Obs(String),
    /// A layer.
    Layer(String),
    /// A column by gene.
    Var(String),
    /// A table by gene.
    Varm(String),
    /// Among what is of no axis of the file.
    Uns(String),
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
    /// The modality that it goes to; none for the file itself.
    pub modality: Option<String>,
}

impl OutputPlan {
    fn of(info: &OutputInfo) -> Self {
        let mut path = info.destination.as_deref().unwrap_or_default();
        let mut modality = None;
        if let Some((name, rest)) = path.strip_prefix("mod.").and_then(|p| p.split_once('.')) {
            (modality, path) = (Some(name.to_owned()), rest);
        }
        let place = match path.split_once('.') {
            Some(("obsm", name)) => Place::Obsm(name.to_owned()),
            Some(("obs", name)) => Place::Obs(name.to_owned()),
            Some(("layers", name)) => Place::Layer(name.to_owned()),
            Some(("var", name)) => Place::Var(name.to_owned()),
            Some(("varm", name)) => Place::Varm(name.to_owned()),
            Some(("uns", name)) => Place::Uns(name.to_owned()),
            _ => Place::ByShape,
        };
        Self { name: info.name.clone(), place, modality }
    }
}

/// The outputs that are written when none is named: those with a place that is no layer, which are large.
pub fn default_outputs(compiled: &Compiled) -> Vec<OutputPlan> {
    let all = compiled.outputs().iter().map(OutputPlan::of);
    all.filter(|o| !matches!(o.place, Place::Layer(_) | Place::ByShape)).collect()
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
        let undeclared = || OutputPlan { name: name.clone(), place: Place::ByShape, modality: None };
        plans.push(declared.map_or_else(undeclared, OutputPlan::of));
    }
    Ok(plans)
}

/// Puts computed outputs where they go; `rows` are the axes of cells, arrays without them go to `uns`.
pub fn additions(
    plans: &[OutputPlan],
    arrays: Vec<NamedArray>,
    rows: &BTreeMap<String, Arc<Vec<String>>>,
    n_vars: usize,
) -> Additions {
    let axes_of_cells = rows;
    let mut out = Additions::default();
    let mut others = BTreeMap::new();
    for (plan, array) in plans.iter().zip(arrays) {
        let by_cell = array.axes.first().is_some_and(|a| axes_of_cells.contains_key(a));
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
            Place::Var(name) if !by_cell && rows == n_vars && width == 1 => {
                out.var.push((name.clone(), column(&array)));
            }
            Place::Varm(name) if !by_cell && rows == n_vars => {
                out.varm.push((name.clone(), dense(array.values)));
            }
            Place::Uns(name) => {
                let values = array.values.iter().map(|v| f64::from(*v)).collect();
                out.uns.push((name.clone(), UnsValue::Reals(array.shape, values)));
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

/// Numbers, or the labels that they stand for.
fn column(array: &NamedArray) -> Column {
    if let Some(labels) = array.labels.as_ref().filter(|l| !l.is_empty()) {
        let codes = array.values.iter().map(|v| *v as i32).collect();
        return Column::new(Values::Categorical { codes, categories: labels.clone(), ordered: false });
    }
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
    let data = evaluation.data;
    let opened;
    let source = match &data.source {
        Some(source) => source,
        None => {
            opened = AnnData::open(&data.file)?;
            &opened
        }
    };
    let options = WriteOptions { overwrite: true, in_place };
    let mut named: BTreeMap<Option<String>, Vec<(OutputPlan, NamedArray)>> = BTreeMap::new();
    for (plan, array) in plans.iter().zip(arrays) {
        named.entry(plan.modality.clone()).or_default().push((plan.clone(), array));
    }
    let summary = ("svic".to_owned(), summary(evaluation.trained, &score));
    let mut put = |modality: Option<String>, file: &AnnData| {
        let outputs = named.remove(&modality).unwrap_or_default().into_iter();
        let placed = |(p, a): (OutputPlan, NamedArray)| {
            let columns = matches!(p.place, Place::Layer(_));
            (p, in_file(a, columns, data, file))
        };
        let (plans, arrays): (Vec<_>, Vec<_>) = outputs.map(placed).unzip();
        additions(&plans, arrays, &data.row_labels, file.n_vars())
    };
    if source.is_gathered() {
        for name in source.modality_names() {
            let part = source.modality(name)?;
            let mut more = put(Some(name.to_owned()), part);
            more.uns.push(summary.clone());
            write_with(part, &beside(output, name), &more, options)?;
        }
        return Ok(score);
    }
    let mut all = put(None, source);
    for name in source.modality_names() {
        all.modalities.push((name.to_owned(), put(Some(name.to_owned()), source.modality(name)?)));
    }
    all.uns.push(summary);
    write_with(source, output, &all, options)?;
    Ok(score)
}

/// The files that outputs for this target go to: one for each modality that is a file of its own.
pub fn files(data: &BoundData, target: &Path) -> Vec<PathBuf> {
    match data.source.as_ref().filter(|s| s.is_gathered()) {
        Some(source) => source.modality_names().into_iter().map(|name| beside(target, name)).collect(),
        None => vec![target.to_path_buf()],
    }
}

/// The file of one modality: `out.sc.h5ad` for `out.h5ad`.
fn beside(output: &Path, modality: &str) -> PathBuf {
    output.with_extension(format!("{modality}.h5ad"))
}

/// An array on the cells of a file and, with `columns`, on its genes, in the file's order; NaN where the model did not see
/// them.
fn in_file(array: NamedArray, columns: bool, data: &BoundData, file: &AnnData) -> NamedArray {
    let mut array = array;
    for at in 0..array.axes.len().min(1 + usize::from(columns)) {
        let axis = &array.axes[at];
        let (labels, names) = match (data.row_labels.get(axis), data.vocabularies.axes.get(axis)) {
            (Some(labels), _) => (labels.as_slice(), file.obs_names()),
            (None, Some(labels)) if labels.iter().any(|l| file.var_names().contains(l)) => {
                (labels.as_slice(), file.var_names())
            }
            _ => continue,
        };
        if labels == names || labels.len() != array.shape[at] {
            continue;
        }
        let place: BTreeMap<&str, usize> = labels.iter().enumerate().map(|(i, l)| (l.as_str(), i)).collect();
        let sources: Vec<Option<usize>> = names.iter().map(|n| place.get(n.as_str()).copied()).collect();
        array = along(array, at, &sources);
    }
    array
}

/// The array with other places along an axis.
fn along(array: NamedArray, at: usize, sources: &[Option<usize>]) -> NamedArray {
    let old = array.shape[at];
    let inner: usize = array.shape[at + 1..].iter().product();
    let outer: usize = array.shape[..at].iter().product();
    let mut values = Vec::with_capacity(outer * sources.len() * inner);
    for o in 0..outer {
        for source in sources {
            match source {
                Some(s) => values.extend_from_slice(&array.values[(o * old + s) * inner..][..inner]),
                None => values.extend(std::iter::repeat_n(f32::NAN, inner)),
            }
        }
    }
    let mut shape = array.shape;
    shape[at] = sources.len();
    NamedArray { shape, values, ..array }
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
