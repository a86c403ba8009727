//! Which field of a file feeds which slot of a model: read, checked, with the labels of every axis.
//!
//! Invariant: the registry knows nothing of the language; a slot is described by a [`SlotSpec`]. Invariant: labels
//! are never guessed, and every one that is dropped, filled or unknown is reported.

mod align;
mod nearest;
mod problem;
mod read;
mod slot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::anndata::{AnnData, FieldPath};

pub use nearest::nearest;
pub use problem::{Problem, Severity};
pub use slot::{Codes, Missing, SlotData, SlotDims, SlotKind, SlotSpec};

/// The labels that a model was trained with: of genes, of other axes, of categories.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vocabulary {
    /// The labels of the genes in order; empty when no slot has genes.
    pub genes: Vec<String>,
    /// The labels of the other axes in order, by name of the axis.
    pub axes: BTreeMap<String, Vec<String>>,
    /// The labels of each category by slot, or by `slot/field` for columns of covariates.
    pub categories: BTreeMap<String, Vec<String>>,
}

/// How the labels of an axis of a file met those of a trained model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alignment {
    /// For each label of the model its position in the file, `None` where the file lacks it.
    pub sources: Vec<Option<usize>>,
    /// The labels of the model that the file lacks, filled with zeros.
    pub missing: Vec<String>,
    /// How many labels of the file the model does not know; they are dropped.
    pub n_extra: usize,
}

/// The data of every slot, with labels and sizes.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    file: PathBuf,
    cells: Arc<Vec<String>>,
    slots: BTreeMap<String, (SlotSpec, SlotData)>,
    vocabulary: Vocabulary,
    alignments: BTreeMap<String, Alignment>,
    problems: Vec<Problem>,
    /// Where the slots are read from, as addressed in the whole file: no candidates for another slot.
    taken: Vec<String>,
}

impl Registry {
    /// Reads every slot from `data`; the labels found become the vocabulary.
    ///
    /// # Errors
    /// All problems found, when at least one is an error.
    pub fn register(data: &AnnData, slots: &[SlotSpec]) -> Result<Self, Vec<Problem>> {
        Self::build(data, slots, None)
    }

    /// Reads every slot from `data` for a model trained with `vocabulary`: genes and other labelled axes are brought
    /// into its order, lacking ones filled with zeros and reported, unknown ones dropped; an unknown category is an
    /// error (E0707).
    ///
    /// # Errors
    /// All problems found, when at least one is an error.
    pub fn register_with(
        data: &AnnData,
        slots: &[SlotSpec],
        vocabulary: &Vocabulary,
    ) -> Result<Self, Vec<Problem>> {
        Self::build(data, slots, Some(vocabulary))
    }

    fn build(data: &AnnData, slots: &[SlotSpec], fixed: Option<&Vocabulary>) -> Result<Self, Vec<Problem>> {
        let mut registry = Self {
            file: data.file().to_path_buf(),
            cells: data.shared_obs_names(),
            vocabulary: fixed.cloned().unwrap_or_default(),
            taken: slots.iter().flat_map(|s| &s.source).map(|path| data.address(path)).collect(),
            ..Self::default()
        };
        registry.settle_genes(data, slots, fixed.is_some());
        for spec in slots {
            let mut reader = read::Reader { data, spec, fixed: fixed.is_some(), registry: &mut registry };
            if let Some(found) = reader.read() {
                registry.slots.insert(spec.name.clone(), (spec.clone(), found));
            }
        }
        registry.problems.sort_by_key(|p| std::cmp::Reverse(p.severity));
        if registry.problems.iter().any(|p| p.severity == Severity::Error) {
            return Err(registry.problems);
        }
        Ok(registry)
    }

    /// Decides which genes the axis of genes has, and where the file keeps them.
    fn settle_genes(&mut self, data: &AnnData, slots: &[SlotSpec], fixed: bool) {
        let with_genes = |s: &&SlotSpec| {
            matches!(s.dims, SlotDims::CellsByGenes | SlotDims::Genes | SlotDims::GenesBy(_))
                && !s.source.is_empty()
        };
        let Some(first) = slots.iter().find(with_genes) else { return };
        let from_raw =
            |s: &SlotSpec| s.source.iter().any(|p| matches!(p, FieldPath::RawX | FieldPath::RawVar(_)));
        if let Some(other) = slots.iter().filter(with_genes).find(|s| from_raw(s) != from_raw(first)) {
            let message =
                format!("it has the genes of `raw`, `{}` those of `var`, or the reverse", first.name);
            self.problems.push(Problem::new(Severity::Error, "E0308", &other.name, "", message));
        }
        let found = match from_raw(first) {
            true => data.raw_var_names().unwrap_or_default(),
            false => data.var_names().to_vec(),
        };
        if fixed {
            let wanted = self.vocabulary.genes.clone();
            let aligned = align::align(&wanted, &found, "genes", &first.name, &mut self.problems);
            self.alignments.insert("gene".to_owned(), aligned);
        } else {
            self.vocabulary.genes = found;
        }
    }

    /// The file it was read from.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The labels of the cells, in order.
    pub fn cells(&self) -> &Arc<Vec<String>> {
        &self.cells
    }

    /// What slot `name` got, which the registry then no longer has.
    pub fn take(&mut self, name: &str) -> Option<SlotData> {
        self.slots.remove(name).map(|(_, data)| data)
    }

    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        self.cells.len()
    }

    /// Number of genes of the axis of genes.
    pub fn n_genes(&self) -> usize {
        self.vocabulary.genes.len()
    }

    /// The labels of all axes and categories: what a saved model keeps.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// What slot `name` got.
    pub fn slot(&self, name: &str) -> Option<&SlotData> {
        self.slots.get(name).map(|(_, data)| data)
    }

    /// All slots by name, in order of name.
    pub fn slots(&self) -> impl Iterator<Item = (&str, &SlotSpec, &SlotData)> {
        self.slots.iter().map(|(name, (spec, data))| (name.as_str(), spec, data))
    }

    /// Sets slot `spec.name` to data that did not come from the file, such as a table of markers.
    pub fn insert(&mut self, spec: SlotSpec, data: SlotData) {
        self.slots.insert(spec.name.clone(), (spec, data));
    }

    /// How an axis met the labels of the trained model: `gene`, or the name of another axis.
    pub fn alignment(&self, axis: &str) -> Option<&Alignment> {
        self.alignments.get(axis)
    }

    /// Warnings and notes, warnings first.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}
