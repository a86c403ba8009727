//! Constants that are parameters of another trained model: `load ref : stereoscope_rna`, `--load ref=run.svim`.

use super::found::{Found, reordered, taken};
use super::table::{in_support, wanted};
use super::{Binds, Vocabularies};
use crate::compiler::Compiled;
use crate::registry::SlotData;
use crate::saved;
use crate::trained::Trained;
use autodiff_runtime::Variables;
use dsl::diagnostic::{Code, Diagnostic, Diagnostics};
use dsl::{LoadInfo, Lowered, Origin, Slot, VariableDim, VariableSpec};
use std::collections::BTreeMap;
use std::path::Path;

/// The constants of every loaded model, with the labels that it was trained with.
pub(super) fn constants(
    compiled: &Compiled,
    binds: &Binds,
    errors: &mut Diagnostics,
) -> (Vec<Found>, BTreeMap<String, LoadedModel>) {
    let loads = compiled.loads();
    for (name, _) in binds.loads().filter(|(name, _)| !loads.iter().any(|l| l.name == *name)) {
        let known = loads.iter().map(|l| l.name.as_str());
        let text = format!("`--load {name}=…`: the model loads nothing called `{name}`");
        errors.push(Diagnostic::new(Code::E0206, text).did_you_mean(name, known));
    }
    let mut trained: BTreeMap<&str, Trained> = BTreeMap::new();
    for load in &loads {
        match open(load, binds.load(&load.name)) {
            Ok(t) => drop(trained.insert(&load.name, t)),
            Err(found) => errors.extend(found),
        }
    }
    let mut all = vec![];
    for slot in compiled.slots() {
        let Some(from) = slot.load.as_ref().and_then(|l| trained.get(l.as_str())) else { continue };
        match constant(slot, from) {
            Ok(f) => all.push(f),
            Err(d) => errors.push((*d).at(slot.span, "declared here")),
        }
    }
    let loaded = trained.into_iter().map(|(name, t)| (name.to_owned(), LoadedModel::of(t))).collect();
    (all, loaded)
}

/// What a loaded model gives to one that starts where it ended.
#[derive(Clone, Debug)]
pub struct LoadedModel {
    compiled: Compiled,
    variables: Variables<f32>,
    /// Axes and sizes of each variable.
    dims: BTreeMap<String, Vec<String>>,
    shapes: BTreeMap<String, Vec<usize>>,
    vocabularies: Vocabularies,
}

impl LoadedModel {
    fn of(t: Trained) -> Self {
        Self {
            compiled: t.model.compiled().clone(),
            variables: t.state.variables,
            dims: t.dims,
            shapes: t.shapes,
            vocabularies: t.vocabularies,
        }
    }

    /// The stored values of a parameter, brought to the axes of a variable and to the labels along them.
    fn values(
        &self,
        spec: &VariableSpec,
        from: &Origin,
        compiled: &Compiled,
        here: &Vocabularies,
    ) -> Result<Vec<f32>, Box<Diagnostic>> {
        let (place, path) = (format!("{}.{}", from.load, from.path), &from.path);
        let (Some(raw), Some(axes), Some(shape)) =
            (self.variables.get(path), self.dims.get(path), self.shapes.get(path))
        else {
            let text = format!("`{place}`: the loaded model has no parameter `{path}`");
            let d =
                Diagnostic::new(Code::E0702, text).did_you_mean(path, self.dims.keys().map(String::as_str));
            return Err(Box::new(
                d.help("options such as `layers` must be set as they were when it was trained"),
            ));
        };
        if self.compiled.support_of(path) != compiled.support_of(&spec.name) {
            let text = format!("`{place}` and `{}` have different supports", spec.name);
            return Err(Box::new(Diagnostic::new(Code::E0408, text)));
        }
        let mut free: Vec<usize> = (0..axes.len()).collect();
        let mut order = vec![];
        for dim in &spec.dims {
            let Some(at) = free.iter().position(|k| axes[*k] == dim.axis) else { break };
            order.push(free.remove(at));
        }
        if order.len() != spec.dims.len() || !free.is_empty() {
            let own: Vec<&str> = spec.dims.iter().map(|d| d.axis.as_str()).collect();
            let text =
                format!("`{place}` has axes [{}], `{}` [{}]", axes.join(", "), spec.name, own.join(", "));
            return Err(Box::new(Diagnostic::new(Code::E0308, text)));
        }
        let mut values = reordered(raw, shape, &order);
        let mut shape: Vec<usize> = order.iter().map(|k| shape[*k]).collect();
        for (k, dim) in spec.dims.iter().enumerate() {
            let places = places(&place, dim, labels_in(&self.vocabularies, &dim.axis, shape[k]), here)?;
            values = taken(&values, &shape, k, &places);
            shape[k] = places.len();
        }
        Ok(values)
    }
}

/// Where the labels of an axis stand among those that the loaded model has along it.
fn places(
    place: &str,
    dim: &VariableDim,
    there: Vec<String>,
    here: &Vocabularies,
) -> Result<Vec<usize>, Box<Diagnostic>> {
    let axis = &dim.axis;
    let own = labels_in(here, axis, dim.size);
    let numbered = |all: &[String]| all.iter().enumerate().all(|(i, l)| *l == i.to_string());
    if numbered(&own) || numbered(&there) {
        if own.len() == there.len() {
            return Ok((0..own.len()).collect());
        }
        let text =
            format!("axis `{axis}` has size {}, but `{place}` has {} along it", own.len(), there.len());
        let help = format!("give it the size that it had there: --set {axis}={}", there.len());
        return Err(Box::new(Diagnostic::new(Code::E0308, text).help(help)));
    }
    let at: BTreeMap<&str, usize> = there.iter().enumerate().map(|(i, l)| (l.as_str(), i)).collect();
    let found: Vec<Option<usize>> = own.iter().map(|l| at.get(l.as_str()).copied()).collect();
    match found.iter().position(Option::is_none) {
        None => Ok(found.into_iter().flatten().collect()),
        Some(lost) => {
            let text = format!("`{place}` lacks label `{}` of axis `{axis}`", own[lost]);
            Err(Box::new(Diagnostic::new(Code::E0308, text)))
        }
    }
}

/// Sets the variables of a graph that start at the parameters of loaded models; those that are there stay.
///
/// # Errors
/// E0702 for a parameter that the loaded model lacks, E0308 for axes, sizes or labels that do not fit, E0408 for another
/// support.
pub(crate) fn start(
    compiled: &Compiled,
    lowered: &Lowered,
    loaded: &BTreeMap<String, LoadedModel>,
    here: &Vocabularies,
    variables: &mut Variables<f32>,
) -> Result<(), Diagnostics> {
    let mut errors = Diagnostics::new();
    for spec in lowered.variables.iter().filter(|s| variables.get(&s.name).is_none()).collect::<Vec<_>>() {
        let Some((from, model)) = spec.from.as_ref().and_then(|f| Some((f, loaded.get(&f.load)?))) else {
            continue;
        };
        match model.values(spec, from, compiled, here) {
            Ok(values) => variables.set(&spec.name, values),
            Err(d) => {
                let loads = compiled.loads();
                let span = loads.iter().find(|l| l.name == from.load).map(|l| l.span);
                errors.push(match span {
                    Some(s) => d.at(s, "loaded here"),
                    None => *d,
                });
            }
        }
    }
    if errors.has_errors() { Err(errors) } else { Ok(()) }
}

/// Opens the model that is loaded under a name, which must be of the source that is expected.
fn open(load: &LoadInfo, path: Option<&Path>) -> Result<Trained, Diagnostics> {
    let Some(path) = path else {
        let text = format!("`{}` is a trained `{}` that is not given", load.name, load.model);
        let d = Diagnostic::new(Code::E0702, text).at(load.span, "loaded here");
        let help = format!("train it first, then give it: --load {}=RUN.svim", load.name);
        return Err(Diagnostics::from(vec![d.help(help)]));
    };
    let trained = saved::load(path).map_err(|e| {
        // Their places lie in another text.
        let plain = e.diagnostics().iter().map(|d| Diagnostic::new(d.code, d.headline.clone()));
        Diagnostics::from(plain.collect::<Vec<_>>())
    })?;
    let stem = |name: &str| {
        let last = name.rsplit(['/', '\\']).next().unwrap_or(name);
        last.strip_suffix(".svi").unwrap_or(last).to_owned()
    };
    let name = stem(&trained.model.texts().name);
    if name != load.model.rsplit('.').next().unwrap_or(&load.model) {
        let text = format!("{} holds a trained `{name}`, not a `{}`", path.display(), load.model);
        let d = Diagnostic::new(Code::E0708, text).at(load.span, "expected here");
        let help =
            format!("train one first (svic run {}), then give it: --load {}=RUN.svim", load.model, load.name);
        return Err(Diagnostics::from(vec![d.help(help)]));
    }
    Ok(trained)
}

/// A parameter in its support, with labels along its axes.
fn constant(slot: &Slot, from: &Trained) -> Result<Found, Box<Diagnostic>> {
    let path = slot.path.clone().unwrap_or_default();
    let place = format!("{}.{path}", slot.load.as_deref().unwrap_or_default());
    let Some(raw) = from.state.variables.get(&path) else {
        let names: Vec<&str> = from.dims.keys().map(String::as_str).collect();
        let text = format!("`{place}`: the loaded model has no parameter `{path}`");
        return Err(Box::new(Diagnostic::new(Code::E0702, text).did_you_mean(&path, names)));
    };
    let axes = from.dims.get(&path).cloned().unwrap_or_default();
    let shape = from.shapes.get(&path).cloned().unwrap_or_default();
    if axes.len() != slot.axes.len() {
        let text =
            format!("`{place}` has axes [{}], `{}` [{}]", axes.join(", "), slot.name, slot.axes.join(", "));
        return Err(Box::new(Diagnostic::new(Code::E0308, text)));
    }
    let values = from.model.compiled().in_support(&path, raw, &shape);
    if let Some(bad) = values.iter().find(|v| !in_support(slot, **v)) {
        let text = format!("`{place}` holds {bad}, which is not {}", wanted(slot.kind));
        return Err(Box::new(Diagnostic::new(Code::E0713, text)));
    }
    let along = |(axis, n): (&String, &usize)| labels_in(&from.vocabularies, axis, *n).into();
    let labels = axes.iter().zip(&shape).map(along).collect::<Vec<_>>();
    // By name where both have the names; else in the order they are stored in.
    let same = axes.iter().all(|a| slot.axes.contains(a));
    let named = if same { axes } else { slot.axes.clone() };
    let data = match shape[..] {
        [rows, columns] => {
            let dense = crate::anndata::Dense { n_rows: rows, n_cols: columns, values };
            SlotData::Matrix { values: crate::anndata::Matrix::Dense(dense) }
        }
        [_, _, _, ..] => SlotData::Array { shape, values },
        _ => SlotData::Vector(values),
    };
    Ok(Found { slot: slot.name.clone(), place, file: None, axes: named, labels, data })
}

/// The labels along an axis, or numbers.
fn labels_in(v: &Vocabularies, axis: &str, n: usize) -> Vec<String> {
    let named = v.axes.get(axis).or_else(|| v.categories.get(axis)).filter(|l| l.len() == n);
    named.cloned().unwrap_or_else(|| (0..n).map(|i| i.to_string()).collect())
}
