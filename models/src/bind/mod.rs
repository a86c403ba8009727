//! Model slots × registry → [`BoundData`], or diagnostics that name both sides.
//!
//! A slot takes the path that `--bind` gives, else the path in its source. Every slot is tried, so that all that does
//! not fit is reported at once.

mod found;
mod known;
mod load;
mod request;
mod sense;
mod specs;
mod table;
mod unify;

pub use load::LoadedModel;
pub(crate) use load::start;
pub use request::{Binds, key_value};

use crate::anndata::{AnnData, FieldPath};
use crate::compiler::Compiled;
use crate::dataset::{Blocks, CovariateData, Dataset, FieldData, Known, Paired};
use crate::registry::{Problem, Registry, Severity, SlotData, Vocabulary};
use dsl::diagnostic::{self, Code, Diagnostic, Diagnostics};
use dsl::{AxisSource, Bound, CovariateShape, MissingRule, Slot, SlotKind};
use found::Found;
use specs::{Specs, last_part};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The labels that a trained model knows: they rule when it meets new data.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Vocabularies {
    /// Labels along data axes, such as the names of the genes.
    pub axes: BTreeMap<String, Vec<String>>,
    /// Labels of category fields, and of categorical covariates (`field/column`), by code.
    pub categories: BTreeMap<String, Vec<String>>,
}

/// The data of a model: what the compiler must know of it, and the values.
#[derive(Clone, Debug, Default)]
pub struct BoundData {
    /// Sizes and presence, as the compiler wants them. `n_rows` is the number of all cells until a split is made.
    pub bound: Bound,
    /// The values.
    pub data: Dataset,
    /// The labels.
    pub vocabularies: Vocabularies,
    /// Labels along axes of cells or spots, which are new with new data.
    pub row_labels: BTreeMap<String, Arc<Vec<String>>>,
    /// Where each present field was found.
    pub bindings: BTreeMap<String, String>,
    /// What is worth knowing about the data: empty cells, small categories, features filled in.
    pub warnings: Diagnostics,
    /// The file.
    pub file: PathBuf,
    /// The data as they were opened.
    pub source: Option<AnnData>,
    /// The trained models that were loaded, by the name under which the source loads them.
    pub loaded: BTreeMap<String, LoadedModel>,
}

/// What is known of the fields before new data are looked at.
#[derive(Clone, Copy, Debug)]
pub struct Trained<'a> {
    /// The labels of training.
    pub vocabularies: &'a Vocabularies,
    /// The fields that were present in training.
    pub present: &'a BTreeSet<String>,
    /// Fields that are held at a value, so that the data need not have them.
    pub held: &'a [String],
    /// Values of the constants that came from other trained models.
    pub constants: &'a BTreeMap<String, Vec<f32>>,
}

/// Finds every slot of a model in the data. With `trained`, new data are brought to the labels of training.
///
/// # Errors
/// E0206 for a binding of no slot, E0308 for axes that do not fit, E0702 for a field that is absent, E0703 for values that
/// are not counts, E0706 and E0707 for labels that a trained model does not know, E0708 for a loaded model of another
/// source, E0713 for values of the wrong kind or out of range.
pub fn bind(
    compiled: &Compiled,
    adata: &AnnData,
    binds: &Binds,
    trained: Option<Trained<'_>>,
) -> Result<BoundData, Diagnostics> {
    let mut errors = sizes(adata);
    for (name, _) in binds.iter() {
        if !compiled.slots().iter().any(|slot| slot.name == name) {
            let names = compiled.slots().iter().map(|slot| slot.name.as_str());
            let text = format!("`--bind {name}=…`: the model has no field `{name}`");
            errors.push(Diagnostic::new(Code::E0206, text).did_you_mean(name, names));
        }
    }
    let specs = Specs::new(compiled, adata, binds, trained, &mut errors);
    let said = specs.said.clone();
    let (file, source) = (adata.file().to_path_buf(), Some(adata.clone()));
    let mut out = BoundData { file, source, warnings: said, ..BoundData::default() };
    let mut found = registered(compiled, adata, &specs, trained, &mut out, &mut errors);
    found.extend(elsewhere(compiled, adata, &specs, &mut errors));
    if trained.is_none() {
        let (constants, loaded) = load::constants(compiled, binds, &mut errors);
        found.extend(constants);
        out.loaded = loaded;
    }
    if errors.has_errors() {
        // What follows from an error is not worth a warning.
        errors.retain(is_error);
        return Err(errors);
    }
    let rows: BTreeSet<String> = specs.parts.iter().filter_map(|p| p.rows.clone()).collect();
    let mut known = trained.map_or_else(BTreeMap::new, |t| t.vocabularies.axes.clone());
    known.retain(|axis, _| !rows.contains(axis));
    let mut said = Diagnostics::new();
    let labels = unify::unify(compiled.axes(), compiled.slots(), &known, &mut found, &mut said);
    if said.has_errors() {
        return Err(said);
    }
    out.warnings.extend(said);
    out.settle(compiled, &specs, &rows, labels, found);
    if let Some(t) = trained {
        out.hold(compiled.slots(), t);
        out.remember(compiled.slots(), t);
    }
    let mut said = sense::above_bounds(compiled, &out);
    if trained.is_none() {
        said.extend(sense::of_training(compiled, &out));
    }
    if said.has_errors() {
        said.retain(is_error);
        return Err(said);
    }
    out.warnings.extend(said);
    Ok(out)
}

/// Whether every matrix of cells by genes that the model reads may miss values, and there is one: then files that are
/// put one under the other need not have the same genes.
pub fn may_lack_genes(compiled: &Compiled, binds: &Binds) -> bool {
    let is_matrix = |slot: &&Slot| {
        let asked = binds.get(&slot.name).and_then(<[String]>::first).or(slot.path.as_ref());
        let path = asked.and_then(|text| text.parse::<FieldPath>().ok());
        path.is_some_and(|path| matches!(path.local(), FieldPath::X | FieldPath::RawX | FieldPath::Layer(_)))
    };
    let mut matrices =
        compiled.slots().iter().filter(|slot| slot.load.is_none()).filter(is_matrix).peekable();
    matrices.peek().is_some() && matrices.all(|slot| slot.missing.is_some())
}

fn is_error(d: &Diagnostic) -> bool {
    d.severity == diagnostic::Severity::Error
}

/// Constants of loaded models by themselves, for data that are not there yet.
pub(crate) struct Loaded {
    /// Values by slot, as a graph stores them.
    pub values: BTreeMap<String, Vec<f32>>,
    /// Labels along their axes.
    pub labels: BTreeMap<String, Vec<String>>,
    /// The models themselves.
    pub models: BTreeMap<String, LoadedModel>,
}

/// The constants of the trained models that `binds` gives.
pub(crate) fn loaded(compiled: &Compiled, binds: &Binds) -> Result<Loaded, Diagnostics> {
    let mut errors = Diagnostics::new();
    let (mut found, models) = load::constants(compiled, binds, &mut errors);
    let labels = unify::unify(compiled.axes(), compiled.slots(), &BTreeMap::new(), &mut found, &mut errors);
    if errors.has_errors() {
        return Err(errors);
    }
    let mut out = BoundData::default();
    for f in found {
        let Some(slot) = compiled.slots().iter().find(|s| s.name == f.slot) else { continue };
        let f = in_graph_order(f, compiled);
        out.keep(slot, f.place, f.data);
        out.whole(slot);
    }
    let labels = labels.into_iter().map(|(axis, all)| (axis, Arc::unwrap_or_clone(all))).collect();
    Ok(Loaded { values: out.constants(compiled), labels, models })
}

/// What the registries of the modalities give.
fn registered(
    compiled: &Compiled,
    adata: &AnnData,
    specs: &Specs,
    trained: Option<Trained<'_>>,
    out: &mut BoundData,
    errors: &mut Diagnostics,
) -> Vec<Found> {
    let mut found = vec![];
    errors.extend(specs.absent_modalities(compiled, adata));
    for part in &specs.parts {
        let Ok(data) = part.of(adata) else { continue };
        let result = match trained {
            Some(t) => Registry::register_with(data, &part.list, &part.in_registry_terms(t.vocabularies)),
            None => Registry::register(data, &part.list),
        };
        let mut registry = match result {
            Ok(registry) => registry,
            Err(problems) => {
                errors.extend(problems.iter().map(|p| said(compiled, adata.file(), p)));
                continue;
            }
        };
        out.warnings.extend(registry.problems().iter().map(|p| said(compiled, adata.file(), p)));
        let file = registry.file().to_path_buf();
        let (vocabulary, cells) = (registry.vocabulary().clone(), Arc::clone(registry.cells()));
        out.vocabularies.categories.extend(part.in_model_terms(&vocabulary).categories);
        for spec in &part.list {
            let (Some(data), Some(slot)) =
                (registry.take(&spec.name), compiled.slots().iter().find(|s| s.name == spec.name))
            else {
                continue;
            };
            let axes = part.axes(spec);
            let along = |axis: &String| match axis {
                a if part.rows.as_ref() == Some(a) => Arc::clone(&cells),
                a => vocabulary.axes.get(a).unwrap_or(&vocabulary.genes).clone().into(),
            };
            let labels = axes.iter().map(along).collect();
            let (slot, place) = (slot.name.clone(), part.place(spec));
            found.push(Found { slot, place, file: Some(file.clone()), axes, labels, data });
        }
    }
    found
}

/// Slots from files of text and from `uns`.
fn elsewhere(compiled: &Compiled, adata: &AnnData, specs: &Specs, errors: &mut Diagnostics) -> Vec<Found> {
    let slot = |name: &String| compiled.slots().iter().find(|s| s.name == *name);
    let mut found = vec![];
    for (slot, path) in specs.tables.iter().filter_map(|(n, p)| Some((slot(n)?, p))) {
        match table::read(slot, path) {
            Ok(f) => found.push(f),
            Err(d) => errors.push(*d),
        }
    }
    for (slot, path) in specs.uns.iter().filter_map(|(n, p)| Some((slot(n)?, p))) {
        let text = |code, text: String| {
            let d = Diagnostic::new(code, format!("`{}`: `{path}`: {text}", slot.name));
            d.at(slot.span, "declared here")
        };
        match adata.uns(path) {
            Ok(value) => match table::from_uns(slot, path.to_string(), &value) {
                Ok(f) => found.push(f),
                Err(why) => errors.push(text(Code::E0713, why)),
            },
            Err(_) if slot.optional => {}
            Err(e) => errors.push(text(Code::find(e.code()).unwrap_or(Code::E0702), e.to_string())),
        }
    }
    found
}

fn sizes(adata: &AnnData) -> Diagnostics {
    let file = adata.file().display();
    let mut errors = Diagnostics::new();
    if adata.n_obs() == 0 {
        errors.push(Diagnostic::new(Code::E0713, format!("{file}: there are no cells (`obs` is empty)")));
    }
    if adata.n_vars() == 0 {
        let text = format!("{file}: there are no genes (`var` is empty)");
        errors.push(Diagnostic::new(Code::E0713, text).help("check how the genes were filtered"));
    }
    errors
}

/// A finding of the registry as a diagnostic that points at the slot.
fn said(compiled: &Compiled, file: &Path, problem: &Problem) -> Diagnostic {
    // Notes have no code of their own: they are about labels of a column, or of an axis.
    let of_note = if problem.field.is_empty() { Code::W0706 } else { Code::W0705 };
    let code = Code::find(problem.code).unwrap_or(of_note);
    let field = if problem.field.is_empty() { String::new() } else { format!(", `{}`", problem.field) };
    let headline = match code {
        Code::E0703 => {
            format!("`{}` must hold counts; {}{field}: {}", problem.slot, file.display(), problem.message)
        }
        _ => format!("`{}`: {}{field}: {}", problem.slot, file.display(), problem.message),
    };
    let mut diagnostic = Diagnostic::new(code, headline);
    diagnostic.severity = match problem.severity {
        Severity::Error => diagnostic::Severity::Error,
        Severity::Warning => diagnostic::Severity::Warning,
        Severity::Note => diagnostic::Severity::Note,
    };
    if problem.severity == Severity::Error
        && let Some(slot) = compiled.slots().iter().find(|s| s.name == problem.slot)
    {
        diagnostic = diagnostic.at(slot.span, "declared here");
    }
    match &problem.help {
        Some(help) => diagnostic.help(help.clone()),
        None => diagnostic,
    }
}

impl BoundData {
    fn keep(&mut self, slot: &Slot, paths: String, data: SlotData) {
        let name = &slot.name;
        let may_miss = slot.missing.is_some();
        let mut record = None;
        let field = match data {
            SlotData::Absent => return,
            SlotData::Matrix { values } if may_miss => {
                let (filled, known) = known::fill_matrix(&values, slot.kind);
                record = Some(known);
                FieldData::Matrix(filled)
            }
            SlotData::Matrix { values } => FieldData::Matrix(values),
            SlotData::Rows(rows) => FieldData::Disk(rows),
            SlotData::Vector(mut values) => {
                if may_miss {
                    record = Some(Known::Rows { width: 1, mask: known::fill(&mut values, slot.kind, 1) });
                }
                FieldData::Reals(values)
            }
            SlotData::Array { values, .. } => FieldData::Whole(values),
            SlotData::Codes(codes) => {
                self.bound.sizes.insert(name.to_owned(), codes.labels.len());
                self.data.labels.insert(name.to_owned(), codes.labels.clone());
                let (plain, known) = known::fill_codes(&codes);
                record = may_miss.then_some(known);
                FieldData::Codes(plain)
            }
            SlotData::Covariates { categorical, continuous_names, continuous } => {
                let shape = CovariateShape {
                    categorical: categorical.iter().map(|(p, c)| (last_part(p), c.labels.len())).collect(),
                    continuous: continuous_names.iter().map(|p| last_part(p)).collect(),
                };
                self.bound.covariates.insert(name.to_owned(), shape);
                FieldData::Covariates(CovariateData {
                    categorical: categorical
                        .iter()
                        .map(|(p, c)| (last_part(p), known::fill_codes(c).0))
                        .collect(),
                    n_continuous: continuous.n_cols,
                    continuous: continuous.values,
                })
            }
        };
        self.bindings.insert(name.to_owned(), paths);
        self.bound.present.insert(name.to_owned());
        self.data.fields.insert(name.to_owned(), field);
        self.data.known.extend(record.map(|r| (name.to_owned(), r)));
    }

    /// Columns that are missing for whole labels of a category: those that sum to zero there. An absent category has one
    /// label.
    fn missing_blocks(&mut self, slots: &[Slot]) {
        for slot in slots {
            let Some(MissingRule::ZerosBy(by)) = &slot.missing else { continue };
            let codes = match self.data.fields.get(by) {
                Some(FieldData::Codes(codes)) => codes.clone(),
                _ => vec![0; self.data.n_rows],
            };
            if let (Some(FieldData::Matrix(values)), Some(known)) =
                (self.data.fields.get(&slot.name), self.data.known.get_mut(&slot.name))
            {
                known::in_blocks(known, &known::zero_blocks(values, &codes), &codes);
            }
        }
    }

    /// Values of all fields, sizes and labels of axes.
    fn settle(
        &mut self,
        compiled: &Compiled,
        specs: &Specs,
        rows: &BTreeSet<String>,
        labels: BTreeMap<String, Arc<Vec<String>>>,
        found: Vec<Found>,
    ) {
        let plate = specs.plate.as_deref();
        self.data.row_names =
            plate.and_then(|p| labels.get(p)).cloned().unwrap_or_else(|| vec!["all".into()].into());
        self.data.n_rows = self.data.row_names.len();
        self.bound.n_rows = self.data.n_rows;
        for f in found {
            let Some(slot) = compiled.slots().iter().find(|s| s.name == f.slot) else { continue };
            let f = in_graph_order(f, compiled);
            self.keep(slot, f.place, f.data);
            let first = f.axes.first().map(String::as_str);
            if let Some(pair) = compiled.train().pair.as_ref().filter(|p| first == Some(p) && first != plate)
            {
                let n_rows = f.labels[0].len();
                let fields = BTreeSet::new();
                let paired =
                    self.data.paired.get_or_insert_with(|| Paired { axis: pair.clone(), n_rows, fields });
                paired.fields.insert(f.slot.clone());
            } else if first != plate || plate.is_none() {
                self.whole(slot);
            }
        }
        self.missing_blocks(compiled.slots());
        for (name, field) in &self.data.fields {
            let sparse = match field {
                FieldData::Disk(rows) => rows.is_sparse(),
                field => matches!(field, FieldData::Matrix(crate::anndata::Matrix::Csr(_))),
            };
            if sparse {
                self.bound.sparse.insert(name.clone());
            }
        }
        let on_disk = |field: &FieldData| match field {
            FieldData::Disk(rows) => {
                Some(Blocks { n_rows: rows.block_rows(), n_together: rows.n_together() })
            }
            _ => None,
        };
        // The largest blocks of all, so that none is read twice.
        self.data.blocks = self.data.fields.values().filter_map(on_disk).max_by_key(|b| b.n_rows);
        for axis in compiled.axes() {
            let Some(all) = labels.get(&axis.name) else { continue };
            if let AxisSource::Within(whole) = &axis.source {
                let of = labels.get(whole).map_or(&[][..], |all| all.as_slice());
                let place = |l: &String| of.iter().position(|x| x == l).unwrap_or(0) as u32;
                self.data.within.insert(axis.name.clone(), all.iter().map(place).collect());
            }
            if !matches!(axis.source, AxisSource::Data | AxisSource::Formula(_) | AxisSource::Within(_)) {
                continue;
            }
            self.bound.sizes.insert(axis.name.clone(), all.len());
            if rows.contains(&axis.name) {
                self.row_labels.insert(axis.name.clone(), Arc::clone(all));
            } else {
                self.vocabularies.axes.insert(axis.name.clone(), all.to_vec());
            }
        }
    }

    /// A field without the plate: all of it goes with every minibatch.
    fn whole(&mut self, slot: &Slot) {
        let values = match self.data.fields.remove(&slot.name) {
            Some(FieldData::Reals(values)) => values,
            Some(FieldData::Matrix(matrix)) => matrix.to_dense().values,
            Some(FieldData::Codes(codes)) => codes.iter().map(|c| *c as f32).collect(),
            Some(other) => {
                self.data.fields.insert(slot.name.clone(), other);
                return;
            }
            None => return,
        };
        self.data.fields.insert(slot.name.clone(), FieldData::Whole(values));
        if let Some(Known::Rows { mask, .. }) = self.data.known.remove(&slot.name) {
            self.data.known.insert(slot.name.clone(), Known::Whole(mask));
        }
    }

    /// Constants of loaded models come with the trained model.
    fn remember(&mut self, slots: &[Slot], trained: Trained<'_>) {
        for slot in slots.iter().filter(|s| s.load.is_some()) {
            if let Some(values) = trained.constants.get(&slot.name) {
                self.data.fields.insert(slot.name.clone(), FieldData::Whole(values.clone()));
                self.bound.present.insert(slot.name.clone());
                for axis in &slot.axes {
                    if let Some(labels) = trained.vocabularies.axes.get(axis) {
                        self.bound.sizes.insert(axis.clone(), labels.len());
                        self.vocabularies.axes.insert(axis.clone(), labels.clone());
                    }
                }
            }
        }
    }

    /// The values that came from loaded models, by slot.
    pub fn constants(&self, compiled: &Compiled) -> BTreeMap<String, Vec<f32>> {
        let loaded = compiled.slots().iter().filter(|s| s.load.is_some());
        loaded
            .filter_map(|s| match self.data.fields.get(&s.name) {
                Some(FieldData::Whole(values)) => Some((s.name.clone(), values.clone())),
                _ => None,
            })
            .collect()
    }

    /// Room for fields that the data lack: those held at a value, and labels of which all are missing.
    fn hold(&mut self, slots: &[Slot], trained: Trained<'_>) {
        let n = self.data.n_rows;
        let unlabelled = |s: &Slot| s.kind == SlotKind::Category && s.missing.is_some();
        let wanted = |s: &&Slot| trained.held.contains(&s.name) || unlabelled(s);
        let lacking =
            |s: &&Slot| trained.present.contains(&s.name) && !self.data.fields.contains_key(&s.name);
        for slot in slots.iter().filter(wanted).filter(lacking).collect::<Vec<_>>() {
            if !trained.held.contains(&slot.name) {
                let known = Known::Rows { width: 1, mask: vec![false; n] };
                self.data.known.insert(slot.name.clone(), known);
            }
            let field = if slot.kind == SlotKind::Category {
                let labels = trained.vocabularies.categories.get(&slot.name).cloned().unwrap_or_default();
                self.bound.sizes.insert(slot.name.clone(), labels.len());
                self.vocabularies.categories.insert(slot.name.clone(), labels);
                FieldData::Codes(vec![0; n])
            } else {
                FieldData::Reals(vec![0.0; n])
            };
            let how = if trained.held.contains(&slot.name) { "given" } else { "missing" };
            self.bindings.insert(slot.name.clone(), how.to_owned());
            self.bound.present.insert(slot.name.clone());
            self.data.fields.insert(slot.name.clone(), field);
        }
    }
}

/// A field with its axes in the order in which a graph stores them.
fn in_graph_order(mut f: Found, compiled: &Compiled) -> Found {
    let rank = |k: &usize| compiled.axes().iter().position(|x| x.name == f.axes[*k]);
    let mut order: Vec<usize> = (0..f.axes.len()).collect();
    order.sort_by_key(rank);
    if !order.is_sorted() {
        f.reorder(&order);
    }
    f
}

/// The labels as the registry keeps them, for a model whose genes are the axis `genes`.
fn vocabulary(axes: &BTreeMap<String, Vec<String>>, genes: Option<&str>) -> Vocabulary {
    let mut out = Vocabulary { axes: axes.clone(), ..Vocabulary::default() };
    if let Some(labels) = genes.and_then(|g| out.axes.remove(g)) {
        out.genes = labels;
    }
    out
}
