//! Slots that are columns: categories, numbers, covariates.

use super::{Binder, Outcome};
use crate::anndata::{Categories, Column, FieldPath};
use crate::dataset::{CovariateData, FieldData};
use dsl::diagnostic::{Code, Diagnostic, Severity, nearest};
use dsl::{CovariateShape, Slot};

/// A category with fewer members is reported.
const FEW: usize = 3;
/// How many labels a message shows.
const SHOWN: usize = 10;

impl Binder<'_> {
    /// One number per cell.
    pub(super) fn numbers(&mut self, slot: &Slot, path: &FieldPath) -> Outcome<FieldData> {
        let column = self.column_of(slot, path)?;
        let values: Vec<f32> = self.reals(slot, path, &column)?;
        self.check_range(slot, path, &values)?;
        Ok(FieldData::Reals(values))
    }

    /// One label per cell.
    pub(super) fn category(&mut self, slot: &Slot, path: &FieldPath) -> Outcome<FieldData> {
        let column = self.column_of(slot, path)?;
        let categories = column.to_categories();
        let codes = self.codes(slot, path, &categories, &slot.name, slot.missing.as_deref())?;
        let n = self.out.vocabularies.categories.get(&slot.name).map_or(1, Vec::len);
        self.size(slot, &slot.name, n, None)?;
        Ok(FieldData::Codes(codes))
    }

    /// Any number of columns of labels or numbers.
    pub(super) fn covariates(&mut self, slot: &Slot, asked: Option<&[String]>) -> Outcome<()> {
        let paths: Vec<String> = match (asked, &slot.path) {
            (Some(paths), _) => paths.to_vec(),
            (None, Some(path)) if !slot.optional || self.declared(path) => vec![path.clone()],
            (None, _) if slot.optional && self.trained.is_none() => return Ok(()),
            (None, _) => {
                let text = format!("`{}` is not bound to any column", slot.name);
                let help = format!("bind it: --bind {}=obs.ONE,obs.OTHER", slot.name);
                return Err(Box::new(self.at(slot, Code::E0702, text).help(help)));
            }
        };
        let mut data = CovariateData::default();
        let mut shape = CovariateShape::default();
        let mut reals: Vec<Vec<f32>> = Vec::new();
        for text in &paths {
            let path: FieldPath = text
                .parse()
                .map_err(|e| Box::new(self.at(slot, Code::E0716, format!("`{}`: {e}", slot.name))))?;
            let column = self.column_of(slot, &path)?;
            let (_, name) = path.root_and_name();
            if self.is_continuous(&slot.name, &name, &column) {
                let values = self.reals(slot, &path, &column)?;
                if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
                    let text = format!("`{}` needs finite numbers, but `{path}` holds {bad}", slot.name);
                    return Err(Box::new(self.at(slot, Code::E0713, text)));
                }
                reals.push(values);
                shape.continuous.push(name);
            } else {
                let key = format!("{}/{name}", slot.name);
                let codes = self.codes(slot, &path, &column.to_categories(), &key, None)?;
                let n = self.out.vocabularies.categories.get(&key).map_or(1, Vec::len);
                shape.categorical.push((name.clone(), n));
                data.categorical.push((name, codes));
            }
        }
        data.n_continuous = reals.len();
        data.continuous = (0..self.out.data.n_rows).flat_map(|r| reals.iter().map(move |c| c[r])).collect();
        self.out.vocabularies.continuous.insert(slot.name.clone(), shape.continuous.clone());
        self.out.bound.covariates.insert(slot.name.clone(), shape);
        self.keep(slot, paths.join(","), FieldData::Covariates(data));
        Ok(())
    }

    fn declared(&self, path: &str) -> bool {
        path.parse::<FieldPath>().is_ok_and(|p| self.adata.contains(&p))
    }

    /// Numbers are continuous unless training took the column for labels.
    fn is_continuous(&self, field: &str, name: &str, column: &Column) -> bool {
        match self.trained {
            Some(t) => {
                t.vocabularies.continuous.get(field).is_some_and(|names| names.iter().any(|n| n == name))
            }
            None => column.to_reals().is_some() && column.values.describe() != "truth values",
        }
    }

    fn column_of(&self, slot: &Slot, path: &FieldPath) -> Outcome<Column> {
        self.adata.column(path).map_err(|e| self.failed(slot, path, &e))
    }

    fn reals(&self, slot: &Slot, path: &FieldPath, column: &Column) -> Outcome<Vec<f32>> {
        match column.to_reals() {
            Some(values) => Ok(values.into_iter().map(|v| v as f32).collect()),
            None => {
                let file = self.adata.file().display();
                let what = column.values.describe();
                let text = format!("`{}` needs numbers, but `{path}` of {file} holds {what}", slot.name);
                Err(Box::new(
                    self.at(slot, Code::E0713, text)
                        .help(format!("choose a numeric column: --bind {}=obs.COLUMN", slot.name)),
                ))
            }
        }
    }

    /// Codes under the labels of training, or under the labels found (which are then recorded under `key`).
    fn codes(
        &mut self,
        slot: &Slot,
        path: &FieldPath,
        found: &Categories,
        key: &str,
        missing: Option<&str>,
    ) -> Outcome<Vec<u32>> {
        let absent = found.codes.iter().filter(|c| **c < 0).count();
        if absent > 0 && missing.is_none() {
            let text = format!("`{}`: {absent} cells have no label in `{path}`", slot.name);
            let help = "give them a label, or leave those cells out";
            return Err(Box::new(self.at(slot, Code::E0713, text).help(help)));
        }
        let known = self.trained.and_then(|t| t.vocabularies.categories.get(key)).cloned();
        let labels = match known {
            Some(labels) => labels,
            None => {
                self.warn_small(slot, path, found);
                found.labels.iter().filter(|l| Some(l.as_str()) != missing).cloned().collect()
            }
        };
        let mut place = Vec::with_capacity(found.labels.len());
        for label in &found.labels {
            match labels.iter().position(|l| l == label) {
                Some(code) => place.push(code as u32),
                None if Some(label.as_str()) == missing => place.push(labels.len() as u32),
                None => return Err(Box::new(self.unseen(slot, path, label, &labels))),
            }
        }
        let n = labels.len() as u32;
        self.out.vocabularies.categories.insert(key.to_owned(), labels);
        let code = |c: &i32| usize::try_from(*c).ok().and_then(|c| place.get(c).copied()).unwrap_or(n);
        Ok(found.codes.iter().map(code).collect())
    }

    fn unseen(&self, slot: &Slot, path: &FieldPath, label: &str, labels: &[String]) -> Diagnostic {
        let text = format!("`{}`: the label `{label}` of `{path}` was not seen in training", slot.name);
        let known: Vec<&str> = labels.iter().take(SHOWN).map(String::as_str).collect();
        let stand_in = nearest(label, labels.iter().map(String::as_str))
            .first()
            .copied()
            .or(known.first().copied())
            .unwrap_or("LABEL");
        self.at(slot, Code::E0707, text)
            .note(format!(
                "training had {}{}",
                known.join(", "),
                if labels.len() > SHOWN { ", …" } else { "" }
            ))
            .help(format!("hold it at a label of training: --given {}={stand_in}", slot.name))
    }

    fn warn_small(&mut self, slot: &Slot, path: &FieldPath, found: &Categories) {
        let small: Vec<String> = found
            .labels
            .iter()
            .zip(&found.sizes)
            .filter(|(_, size)| **size < FEW)
            .map(|(label, size)| format!("`{label}` ({size})"))
            .collect();
        if !small.is_empty() {
            let shown = small.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
            let text = format!("`{}`: fewer than {FEW} cells of `{path}` carry {shown}", slot.name);
            let mut warning = Diagnostic::new(Code::E0705, text)
                .note("little can be learned about so small a category: consider merging or leaving it out");
            warning.severity = Severity::Warning;
            self.out.warnings.push(warning);
        }
        if found.labels.len() == 1 {
            let mut note = Diagnostic::new(
                Code::E0705,
                format!("`{}`: all cells of `{path}` carry the one label `{}`", slot.name, found.labels[0]),
            );
            note.severity = Severity::Note;
            self.out.warnings.push(note.note("a single category has no effect on the model"));
        }
    }
}
