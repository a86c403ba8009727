//! Constants that are parameters of another trained model: `load ref : stereoscope_rna`, `--load ref=run.svim`.

use super::Binds;
use super::found::Found;
use super::table::{in_support, wanted};
use crate::compiler::Compiled;
use crate::registry::SlotData;
use crate::saved;
use crate::trained::Trained;
use dsl::diagnostic::{Code, Diagnostic, Diagnostics};
use dsl::{LoadInfo, Slot};
use std::collections::BTreeMap;
use std::path::Path;

/// The constants of every loaded model, with the labels that it was trained with.
pub(super) fn constants(compiled: &Compiled, binds: &Binds, errors: &mut Diagnostics) -> Vec<Found> {
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
    all
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
    if axes.len() != slot.axes.len() || axes.len() > 2 {
        let text =
            format!("`{place}` has axes [{}], `{}` [{}]", axes.join(", "), slot.name, slot.axes.join(", "));
        return Err(Box::new(Diagnostic::new(Code::E0308, text)));
    }
    let values = from.model.compiled().in_support(&path, raw, &shape);
    if let Some(bad) = values.iter().find(|v| !in_support(slot, **v)) {
        let text = format!("`{place}` holds {bad}, which is not {}", wanted(slot.kind));
        return Err(Box::new(Diagnostic::new(Code::E0713, text)));
    }
    let labels = axes.iter().zip(&shape).map(|(axis, n)| labels(from, axis, *n).into()).collect::<Vec<_>>();
    // By name where both have the names; else in the order they are stored in.
    let same = axes.iter().all(|a| slot.axes.contains(a));
    let named = if same { axes } else { slot.axes.clone() };
    let data = match shape[..] {
        [rows, columns] => {
            let dense = crate::anndata::Dense { n_rows: rows, n_cols: columns, values };
            SlotData::Matrix { values: crate::anndata::Matrix::Dense(dense) }
        }
        _ => SlotData::Vector(values),
    };
    Ok(Found { slot: slot.name.clone(), place, file: None, axes: named, labels, data })
}

/// The labels that training had along an axis, or numbers.
fn labels(from: &Trained, axis: &str, n: usize) -> Vec<String> {
    let v = &from.vocabularies;
    let named = v.axes.get(axis).or_else(|| v.categories.get(axis)).filter(|l| l.len() == n);
    named.cloned().unwrap_or_else(|| (0..n).map(|i| i.to_string()).collect())
}
