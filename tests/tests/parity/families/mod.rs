//! What the tests know of each class of the reference: which model of the library it is, under which options, what its
//! inputs are called, and which of our expressions its tensors are. Everything else is the same for all.

mod amortized_lda;
mod autozi;
mod cellassign;
mod condscvi;
mod contrastivevi;
mod destvi;
mod linear_scvi;
mod methylvi;
mod multivi;
mod peakvi;
mod poissonvi;
mod scanvi;
mod scvi;
mod solo;
mod stereoscope_rna;
mod stereoscope_spatial;
mod tangram;
mod totalvi;
mod velovi;

use super::case::Case;
use std::collections::BTreeMap;
use svi::import::Tensor;

/// A library model and its options.
pub struct Configuration {
    /// Library file, without `.svi`.
    pub model: &'static str,
    /// `--set` values.
    pub sets: Vec<(String, String)>,
    /// Why the case cannot be compared, if it cannot.
    pub skip: Option<&'static str>,
}

impl Configuration {
    /// A model without options so far.
    pub fn of(model: &'static str) -> Self {
        Self { model, sets: vec![], skip: None }
    }

    /// Sets an option.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.sets.push((name.to_owned(), value.to_string()));
    }
}

/// A tensor of the reference and what of ours it is. What begins with `loss`, `row:` or `term:` is a result of the objective,
/// everything else an expression of the model.
pub struct Compared {
    /// Its name after `out.`; a sum of several is written with ` + `.
    pub theirs: String,
    /// Ours: a sum of these, each times its factor.
    pub ours: Vec<(f64, String)>,
}

impl Compared {
    /// Takes away from ours.
    pub fn less(mut self, ours: &str) -> Compared {
        self.ours.push((-1.0, ours.to_owned()));
        self
    }
}

/// The reference's name, ours; a sum of several is written with ` + `.
pub fn same(theirs: &str, ours: &str) -> Compared {
    let ours = ours.split(" + ").map(|part| (1.0, part.to_owned())).collect();
    Compared { theirs: theirs.to_owned(), ours }
}

/// The reference's name, ours with the other sign (a loss against a log density).
pub fn negative(theirs: &str, ours: &str) -> Compared {
    let mut both = same(theirs, ours);
    both.ours.iter_mut().for_each(|part| part.0 = -part.0);
    both
}

/// One class of the reference.
pub struct Family {
    /// Its name in the manifests.
    pub class: &'static str,
    /// Model and options of a case.
    pub configure: fn(&Case) -> Configuration,
    /// Inputs of the reference and the fields of ours that they are.
    pub fields: &'static [(&'static str, &'static str)],
    /// Changes the inputs first.
    pub prepare: fn(&mut BTreeMap<String, Tensor>),
    /// What is compared beside the loss and the gradients.
    pub compared: fn(&Case, &Configuration, &BTreeMap<String, Tensor>) -> Vec<Compared>,
    /// Epochs of the warm-up, so that a case's KL weight is reached at a part of it.
    pub warmup: f64,
}

/// Nothing to change.
pub const AS_THEY_ARE: fn(&mut BTreeMap<String, Tensor>) = |_| ();

/// Every class that the library has.
pub const FAMILIES: &[Family] = &[
    amortized_lda::FAMILY,
    autozi::FAMILY,
    cellassign::FAMILY,
    condscvi::FAMILY,
    contrastivevi::FAMILY,
    destvi::FAMILY,
    linear_scvi::FAMILY,
    methylvi::FAMILY,
    multivi::FAMILY,
    peakvi::FAMILY,
    poissonvi::FAMILY,
    scanvi::FAMILY,
    scvi::FAMILY,
    solo::FAMILY,
    stereoscope_rna::FAMILY,
    stereoscope_spatial::FAMILY,
    tangram::FAMILY,
    totalvi::FAMILY,
    velovi::FAMILY,
];

/// Adds what follows from a case's own tensors.
pub fn complete(case: &Case, tensors: &mut BTreeMap<String, Tensor>) {
    if case.model == linear_scvi::FAMILY.class {
        linear_scvi::with_loadings(tensors);
    }
}

/// The family of a case.
pub fn find(case: &Case) -> Result<&'static Family, String> {
    FAMILIES
        .iter()
        .find(|f| f.class == case.model)
        .ok_or_else(|| format!("the library has no {}", case.model))
}
