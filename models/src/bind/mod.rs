//! Model slots × registry → [`BoundData`], or diagnostics that name both sides.
//!
//! A slot takes the path that `--bind` gives, else the path in its source. Every slot is tried, so that all that does
//! not fit is reported at once.

mod known;
mod request;
mod specs;

pub use request::{Binds, key_value};

use crate::anndata::AnnData;
use crate::compiler::Compiled;
use crate::dataset::{CovariateData, Dataset, FieldData, Known};
use crate::registry::{Problem, Registry, Severity, SlotData, Vocabulary};
use dsl::diagnostic::{self, Code, Diagnostic, Diagnostics};
use dsl::{Bound, CovariateShape, MissingRule, Slot, SlotKind};
use specs::{Specs, last_part};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

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
    /// Where each present field was found.
    pub bindings: BTreeMap<String, String>,
    /// What is worth knowing about the data: empty cells, small categories, features filled in.
    pub warnings: Diagnostics,
    /// The file.
    pub file: PathBuf,
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
}

/// Finds every slot of a model in the data. With `trained`, new data are brought to the labels of training.
///
/// # Errors
/// E0206 for a binding of no slot, E0702 for a field that is absent, E0703 for values that are not counts, E0706 and
/// E0707 for labels that a trained model does not know, E0713 for values of the wrong kind or out of range.
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
    let registered = match trained {
        Some(t) => Registry::register_with(adata, &specs.list, &specs.in_registry_terms(t.vocabularies)),
        None => Registry::register(adata, &specs.list),
    };
    let registry = match registered {
        Ok(registry) if !errors.has_errors() => registry,
        Ok(_) => return Err(errors),
        Err(problems) => {
            errors.extend(problems.iter().map(|p| said(compiled, adata.file(), p)));
            return Err(errors);
        }
    };
    let mut out = BoundData { file: adata.file().to_path_buf(), ..BoundData::default() };
    out.data.n_rows = adata.n_obs();
    out.data.row_names = adata.obs_names().to_vec();
    out.bound.n_rows = adata.n_obs();
    out.vocabularies = specs.in_model_terms(registry.vocabulary());
    out.warnings = registry.problems().iter().map(|p| said(compiled, adata.file(), p)).collect();
    for spec in &specs.list {
        if let Some(data) = registry.slot(&spec.name) {
            let paths = spec.source.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
            let slot = compiled.slots().iter().find(|s| s.name == spec.name);
            if let Some(slot) = slot {
                out.keep(slot, paths, data);
            }
        }
    }
    out.missing_blocks(compiled.slots(), &registry);
    out.settle_axes(compiled.slots(), &specs);
    if let Some(t) = trained {
        out.hold(compiled.slots(), t);
    }
    Ok(out)
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
    fn keep(&mut self, slot: &Slot, paths: String, data: &SlotData) {
        let name = &slot.name;
        let may_miss = slot.missing.is_some();
        let mut record = None;
        let field = match data {
            SlotData::Absent => return,
            SlotData::Matrix { values, .. } if may_miss => {
                let (filled, known) = known::fill_matrix(values, slot.kind);
                record = Some(known);
                FieldData::Matrix(filled)
            }
            SlotData::Matrix { values, .. } => FieldData::Matrix(values.clone()),
            SlotData::Vector(values) => {
                let mut values = values.clone();
                if may_miss {
                    record = Some(Known::Rows { width: 1, mask: known::fill(&mut values, slot.kind, 1) });
                }
                FieldData::Reals(values)
            }
            SlotData::Codes(codes) => {
                self.bound.sizes.insert(name.to_owned(), codes.labels.len());
                self.data.labels.insert(name.to_owned(), codes.labels.clone());
                let (plain, known) = known::fill_codes(codes);
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
                    continuous: continuous.values.clone(),
                })
            }
        };
        self.bindings.insert(name.to_owned(), paths);
        self.bound.present.insert(name.to_owned());
        self.data.fields.insert(name.to_owned(), field);
        self.data.known.extend(record.map(|r| (name.to_owned(), r)));
    }

    /// Columns that are missing for whole labels of a category.
    fn missing_blocks(&mut self, slots: &[Slot], registry: &Registry) {
        for slot in slots {
            let Some(MissingRule::ZerosBy(by)) = &slot.missing else { continue };
            let Some(SlotData::Matrix { missing: Some(blocks), .. }) = registry.slot(&slot.name) else {
                continue;
            };
            if let (Some(FieldData::Codes(codes)), Some(known)) =
                (self.data.fields.get(by), self.data.known.get_mut(&slot.name))
            {
                known::in_blocks(known, blocks, codes);
            }
        }
    }

    /// Sizes of data axes; which matrices are sparse; which fields lack the plate.
    fn settle_axes(&mut self, slots: &[Slot], specs: &Specs) {
        if let Some(plate) = &specs.plate {
            self.bound.sizes.insert(plate.clone(), self.data.n_rows);
        }
        for (axis, labels) in &self.vocabularies.axes {
            self.bound.sizes.insert(axis.clone(), labels.len());
        }
        for slot in slots.iter().filter(|s| s.axes.first() != specs.plate.as_ref()) {
            match self.data.fields.remove(&slot.name) {
                Some(FieldData::Reals(values)) => {
                    self.data.fields.insert(slot.name.clone(), FieldData::Whole(values));
                }
                Some(FieldData::Matrix(matrix)) => {
                    let values = matrix.to_dense().values;
                    self.data.fields.insert(slot.name.clone(), FieldData::Whole(values));
                }
                Some(other) => {
                    self.data.fields.insert(slot.name.clone(), other);
                }
                None => {}
            }
        }
        for (name, field) in &self.data.fields {
            if matches!(field, FieldData::Matrix(crate::anndata::Matrix::Csr(_))) {
                self.bound.sparse.insert(name.clone());
            }
        }
    }

    /// Room for fields that are held at a value and that the data lack.
    fn hold(&mut self, slots: &[Slot], trained: Trained<'_>) {
        let n = self.data.n_rows;
        let held =
            slots.iter().filter(|s| trained.held.contains(&s.name) && trained.present.contains(&s.name));
        for slot in held.filter(|s| !self.data.fields.contains_key(&s.name)).collect::<Vec<_>>() {
            let field = if slot.kind == SlotKind::Category {
                let labels = trained.vocabularies.categories.get(&slot.name).cloned().unwrap_or_default();
                self.bound.sizes.insert(slot.name.clone(), labels.len());
                self.vocabularies.categories.insert(slot.name.clone(), labels);
                FieldData::Codes(vec![0; n])
            } else {
                FieldData::Reals(vec![0.0; n])
            };
            self.bindings.insert(slot.name.clone(), "given".to_owned());
            self.bound.present.insert(slot.name.clone());
            self.data.fields.insert(slot.name.clone(), field);
        }
    }
}

/// The labels as the registry keeps them, for a model whose genes are the axis `genes`.
fn vocabulary(axes: &BTreeMap<String, Vec<String>>, genes: Option<&str>) -> Vocabulary {
    let mut out = Vocabulary { axes: axes.clone(), ..Vocabulary::default() };
    if let Some(labels) = genes.and_then(|g| out.axes.remove(g)) {
        out.genes = labels;
    }
    out
}
