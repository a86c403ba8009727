//! What the tests know of each class of the reference: which model of the library it is, under which options, what its
//! inputs are called, and which of our expressions its tensors are. Everything else is the same for all.

mod linear_scvi;
mod methylvi;
mod scvi;
mod stereoscope_rna;

use super::case::Case;
use std::collections::BTreeMap;
use svi::import::Tensor;

/// A library model and its options.
pub struct Configuration {
    /// Library file, without `.svi`.
    pub model: &'static str,
    /// `--set` values.
    pub sets: Vec<(String, String)>,
}

impl Configuration {
    /// A model without options so far.
    pub fn of(model: &'static str) -> Self {
        Self { model, sets: vec![] }
    }

    /// Sets an option.
    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.sets.push((name.to_owned(), value.to_string()));
    }
}

/// A tensor of the reference and the expression of ours that it is. What begins with `loss` or `row:` is a result of the
/// objective, everything else an expression of the model;
/// a sum of several is written with ` + `.
pub struct Compared {
    /// Its name after `out.`.
    pub theirs: String,
    /// Ours.
    pub ours: String,
    /// Ours times this is theirs.
    pub sign: f64,
}

/// The reference's name, ours.
pub fn same(theirs: &str, ours: &str) -> Compared {
    Compared { theirs: theirs.to_owned(), ours: ours.to_owned(), sign: 1.0 }
}

/// The reference's name, ours with the other sign (a loss against a log density).
pub fn negative(theirs: &str, ours: &str) -> Compared {
    Compared { sign: -1.0, ..same(theirs, ours) }
}

/// One class of the reference.
pub struct Family {
    /// Its name in the manifests.
    pub class: &'static str,
    /// Model and options of a case.
    pub configure: fn(&Case) -> Configuration,
    /// Inputs of the reference and the fields of ours that they are.
    pub fields: &'static [(&'static str, &'static str)],
    /// What is compared beside the loss and the gradients.
    pub compared: fn(&Case, &Configuration, &BTreeMap<String, Tensor>) -> Vec<Compared>,
    /// Epochs of the warm-up, so that a case's KL weight is reached at a part of it.
    pub warmup: f64,
}

/// Every class that the library has.
pub const FAMILIES: &[Family] =
    &[scvi::FAMILY, linear_scvi::FAMILY, methylvi::FAMILY, stereoscope_rna::FAMILY];

/// The family of a case.
pub fn find(case: &Case) -> Result<&'static Family, String> {
    FAMILIES
        .iter()
        .find(|f| f.class == case.model)
        .ok_or_else(|| format!("the library has no {}", case.model))
}
