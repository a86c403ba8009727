//! Model slots × data → [`BoundData`], or diagnostics that name both sides.
//!
//! A slot takes the path that `--bind` gives, else the path in its source. Every slot is tried, so that all that does
//! not fit is reported at once.

mod column;
mod matrix;
mod request;

pub use request::{Binds, key_value};

use crate::anndata::{AnnData, DataError, FieldPath};
use crate::compiler::Compiled;
use crate::dataset::{Dataset, FieldData};
use crate::error::{from_data, request as unfit};
use dsl::diagnostic::{Code, Diagnostic, Diagnostics};
use dsl::{Bound, Slot, SlotKind};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The labels that a trained model knows: they rule when it meets new data.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Vocabularies {
    /// Labels along data axes, such as the names of the genes.
    pub axes: BTreeMap<String, Vec<String>>,
    /// Labels of category fields, and of categorical covariates (`field/column`), by code.
    pub categories: BTreeMap<String, Vec<String>>,
    /// Names of the continuous covariates by field.
    pub continuous: BTreeMap<String, Vec<String>>,
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
    let mut binder = Binder {
        adata,
        plate: compiled.plate().map(str::to_owned),
        trained,
        out: BoundData { file: adata.file().to_path_buf(), ..BoundData::default() },
        errors: Diagnostics::new(),
    };
    binder.out.data.n_rows = adata.n_obs();
    binder.out.data.row_names = adata.obs_names().to_vec();
    binder.out.bound.n_rows = adata.n_obs();
    binder.check_sizes();
    for (name, _) in binds.iter() {
        if !compiled.slots().iter().any(|slot| slot.name == name) {
            let names = compiled.slots().iter().map(|slot| slot.name.as_str());
            let text = format!("`--bind {name}=…`: the model has no field `{name}`");
            binder.errors.push(Diagnostic::new(Code::E0206, text).did_you_mean(name, names));
        }
    }
    for slot in compiled.slots() {
        if let Err(diagnostic) = binder.slot(slot, binds.get(&slot.name)) {
            binder.errors.push(*diagnostic);
        }
    }
    if binder.errors.has_errors() { Err(binder.errors) } else { Ok(binder.out) }
}

/// Diagnostics are large; a boxed one keeps results small.
type Outcome<T> = Result<T, Box<Diagnostic>>;

struct Binder<'a> {
    adata: &'a AnnData,
    plate: Option<String>,
    trained: Option<Trained<'a>>,
    out: BoundData,
    errors: Diagnostics,
}

impl Binder<'_> {
    fn check_sizes(&mut self) {
        let file = self.adata.file().display();
        if self.adata.n_obs() == 0 {
            self.errors
                .push(Diagnostic::new(Code::E0713, format!("{file}: there are no cells (`obs` is empty)")));
        }
        if self.adata.n_vars() == 0 {
            let text = format!("{file}: there are no genes (`var` is empty)");
            self.errors.push(Diagnostic::new(Code::E0713, text).help("check how the genes were filtered"));
        }
    }

    fn slot(&mut self, slot: &Slot, asked: Option<&[String]>) -> Outcome<()> {
        if self.trained.is_some_and(|t| !t.present.contains(&slot.name)) {
            return Ok(());
        }
        if slot.kind == SlotKind::Covariates {
            return self.covariates(slot, asked);
        }
        let Some(path) = self.path(slot, asked)? else {
            return self.absent(slot);
        };
        if !self.adata.contains(&path) && asked.is_none() {
            if self.is_held(slot) || slot.optional && self.trained.is_none() {
                return self.absent(slot);
            }
        }
        let local: Vec<&String> = slot.axes.iter().filter(|a| Some(*a) != self.plate.as_ref()).collect();
        let value = match (slot.kind, local.as_slice()) {
            (SlotKind::Category, _) => self.category(slot, &path)?,
            (_, []) => self.numbers(slot, &path)?,
            (_, [axis]) if local.len() < slot.axes.len() => self.matrix(slot, &path, axis)?,
            (_, [axis]) => self.whole(slot, &path, axis)?,
            _ => {
                return Err(Box::new(self.at(
                    slot,
                    Code::E0713,
                    format!("`{}` has more axes than a file can give", slot.name),
                )));
            }
        };
        self.keep(slot, path.to_string(), value);
        Ok(())
    }

    fn keep(&mut self, slot: &Slot, path: String, value: FieldData) {
        self.out.bindings.insert(slot.name.clone(), path);
        self.out.bound.present.insert(slot.name.clone());
        self.out.data.fields.insert(slot.name.clone(), value);
    }

    fn is_held(&self, slot: &Slot) -> bool {
        self.trained.is_some_and(|t| t.held.contains(&slot.name))
    }

    /// What becomes of a slot that has no path or whose optional path is not in the file.
    fn absent(&mut self, slot: &Slot) -> Outcome<()> {
        if self.is_held(slot) {
            let n = self.out.data.n_rows;
            let (value, labels) = match (slot.kind, self.trained) {
                (SlotKind::Category, Some(t)) => {
                    (FieldData::Codes(vec![0; n]), t.vocabularies.categories.get(&slot.name))
                }
                _ => (FieldData::Reals(vec![0.0; n]), None),
            };
            if let Some(labels) = labels {
                self.out.bound.sizes.insert(slot.name.clone(), labels.len());
                self.out.vocabularies.categories.insert(slot.name.clone(), labels.clone());
            }
            self.keep(slot, "given".to_owned(), value);
            return Ok(());
        }
        if slot.optional && self.trained.is_none() {
            return Ok(());
        }
        let text = format!("`{}` is not bound to anything in the data", slot.name);
        Err(Box::new(
            self.at(slot, Code::E0702, text).help(format!("bind it: --bind {}=obs.COLUMN", slot.name)),
        ))
    }

    /// The path asked for, else that of the source.
    fn path(&self, slot: &Slot, asked: Option<&[String]>) -> Outcome<Option<FieldPath>> {
        let text = match asked {
            Some([one]) => one,
            Some(several) => {
                let text =
                    format!("`--bind {}={}`: `{}` takes one path", slot.name, several.join(","), slot.name);
                return Err(Box::new(self.at(slot, Code::E0716, text)));
            }
            None => match &slot.path {
                Some(path) => path,
                None => return Ok(None),
            },
        };
        let parsed = text.parse::<FieldPath>();
        parsed.map(Some).map_err(|e| Box::new(unfit(format!("`{}`: {e}", slot.name)).at(slot.span, "")))
    }

    /// A diagnostic about a slot, pointing at its declaration.
    fn at(&self, slot: &Slot, code: Code, headline: String) -> Diagnostic {
        Diagnostic::new(code, headline).at(slot.span, "declared here")
    }

    /// A data error seen from a slot: both sides, the nearest names, and how to bind another.
    fn failed(&self, slot: &Slot, path: &FieldPath, error: &DataError) -> Box<Diagnostic> {
        let mut diagnostic = from_data(error).at(slot.span, format!("needed by `{}`", slot.name));
        diagnostic.headline = format!("`{}`: {}", slot.name, diagnostic.headline);
        if error.code() == "E0702" {
            let candidates = self.adata.candidates(path);
            let wanted = path.to_string();
            diagnostic = diagnostic.did_you_mean(&wanted, candidates.iter().map(String::as_str));
            if let Some(first) = candidates.first() {
                diagnostic = diagnostic.help(format!("to use another field: --bind {}={first}", slot.name));
            }
        }
        Box::new(diagnostic)
    }

    /// Records the size of an axis, or says that two fields disagree.
    fn size(&mut self, slot: &Slot, axis: &str, n: usize, labels: Option<&[String]>) -> Outcome<()> {
        if let Some(known) = self.out.bound.sizes.get(axis).filter(|known| **known != n) {
            let text = format!("axis `{axis}` has {known} elements elsewhere, but {n} in `{}`", slot.name);
            return Err(Box::new(self.at(slot, Code::E0308, text)));
        }
        self.out.bound.sizes.insert(axis.to_owned(), n);
        if let Some(labels) = labels {
            self.out.vocabularies.axes.entry(axis.to_owned()).or_insert_with(|| labels.to_vec());
        }
        Ok(())
    }
}
