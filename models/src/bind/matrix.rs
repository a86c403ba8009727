//! Slots with an axis of their own: count matrices and tables.

use super::{Binder, Outcome};
use crate::anndata::{CountReport, DataErrorKind, Dense, FieldPath, Matrix, check_counts, first_non_counts};
use crate::dataset::FieldData;
use dsl::diagnostic::{Code, Diagnostic, Severity};
use dsl::{Slot, SlotKind};
use std::collections::BTreeMap;

/// How many labels a message shows.
const SHOWN: usize = 5;

impl Binder<'_> {
    /// A slot over the plate and one more axis.
    pub(super) fn matrix(&mut self, slot: &Slot, path: &FieldPath, axis: &str) -> Outcome<FieldData> {
        let (matrix, labels) = self.read(slot, path)?;
        match slot.kind {
            SlotKind::Count => {
                let report = self.counts(slot, path, &matrix, &labels)?;
                self.warn_empty(path, &report);
            }
            _ => self.check_range(slot, path, matrix.values())?,
        }
        let matrix = match self.trained.and_then(|t| t.vocabularies.axes.get(axis)) {
            Some(known) => {
                let known = known.clone();
                let aligned = self.align(slot, axis, &matrix, &labels, &known)?;
                self.size(slot, axis, known.len(), Some(&known))?;
                aligned
            }
            None => {
                self.size(slot, axis, matrix.n_cols(), Some(&labels))?;
                matrix
            }
        };
        if matches!(matrix, Matrix::Csr(_)) {
            self.out.bound.sparse.insert(slot.name.clone());
        }
        Ok(FieldData::Matrix(matrix))
    }

    /// A slot without the plate, over one axis: a column of `var`.
    pub(super) fn whole(&mut self, slot: &Slot, path: &FieldPath, axis: &str) -> Outcome<FieldData> {
        let column = self.adata.column(path).map_err(|e| self.failed(slot, path, &e))?;
        let Some(values) = column.to_reals() else {
            let text =
                format!("`{}` needs numbers, but `{path}` holds {}", slot.name, column.values.describe());
            return Err(Box::new(self.at(slot, Code::E0713, text)));
        };
        let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
        self.check_range(slot, path, &values)?;
        self.size(slot, axis, values.len(), None)?;
        Ok(FieldData::Whole(values))
    }

    fn read(&self, slot: &Slot, path: &FieldPath) -> Outcome<(Matrix, Vec<String>)> {
        let fail = |e| self.failed(slot, path, &e);
        match path {
            FieldPath::X | FieldPath::Layer(_) => {
                Ok((self.adata.matrix(path).map_err(fail)?, self.adata.var_names().to_vec()))
            }
            FieldPath::RawX => {
                let labels = self.adata.raw_var_names().map_err(fail)?;
                Ok((self.adata.matrix(path).map_err(fail)?, labels))
            }
            FieldPath::Obsm(_) => {
                let table = self.adata.table(path).map_err(fail)?;
                let numbered = || (0..table.values.n_cols).map(|i| i.to_string()).collect();
                let labels = table.labels.clone().unwrap_or_else(numbered);
                Ok((Matrix::Dense(table.values), labels))
            }
            FieldPath::Obs(_) => {
                let column = self.adata.column(path).map_err(fail)?;
                let Some(values) = column.to_reals() else {
                    let text = format!(
                        "`{}` needs numbers, but `{path}` holds {}",
                        slot.name,
                        column.values.describe()
                    );
                    return Err(Box::new(self.at(slot, Code::E0713, text)));
                };
                let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
                Ok((Matrix::Dense(Dense { n_rows: values.len(), n_cols: 1, values }), vec!["0".to_owned()]))
            }
            other => {
                let text = format!("`{}` needs a matrix of cells, and `{other}` is none", slot.name);
                Err(Box::new(self.at(slot, Code::E0713, text).help("bind X, layers.NAME or obsm.NAME")))
            }
        }
    }

    fn counts(
        &self,
        slot: &Slot,
        path: &FieldPath,
        matrix: &Matrix,
        labels: &[String],
    ) -> Outcome<CountReport> {
        check_counts(matrix, self.adata.obs_names(), labels, self.adata.file(), path).map_err(|error| {
            if error.kind != DataErrorKind::NotCounts {
                return self.failed(slot, path, &error);
            }
            let shown: Vec<String> =
                first_non_counts(matrix, SHOWN).iter().map(|w| format!("{}", w.value)).collect();
            let text =
                format!("`{}` must hold counts, but `{path}` holds {}, …", slot.name, shown.join(", "));
            let diagnostic = self.at(slot, Code::E0703, text).note(format!(
                "{}: {}",
                self.adata.file().display(),
                error.message
            ));
            Box::new(self.with_remedy(slot, diagnostic))
        })
    }

    /// Adds which matrices hold counts, and how to bind one.
    fn with_remedy(&self, slot: &Slot, diagnostic: Diagnostic) -> Diagnostic {
        let found = self.adata.layers_holding_counts();
        match found.first() {
            Some(first) => {
                let names: Vec<String> = found.iter().map(|p| format!("`{p}`")).collect();
                diagnostic
                    .line("found", format!("{} holds non-negative integers", names.join(", ")))
                    .help(format!("use it: --bind {}={first}", slot.name))
            }
            None => diagnostic
                .help("no matrix of this file holds counts: start from the raw counts of the experiment"),
        }
    }

    fn warn_empty(&mut self, path: &FieldPath, report: &CountReport) {
        if report.n_empty_cells > 0 {
            let names: Vec<String> = report
                .empty_cells
                .iter()
                .filter_map(|&row| self.adata.obs_names().get(row))
                .map(|name| format!("`{name}`"))
                .collect();
            let n = report.n_empty_cells;
            let (cells, have) = if n == 1 { ("cell", "has") } else { ("cells", "have") };
            let text =
                format!("{n} {cells} {have} no counts at all in `{path}` (such as {})", names.join(", "));
            self.out.warnings.push(Diagnostic::new(Code::W0704, text).help("filter them out beforehand"));
        }
    }

    pub(super) fn check_range(&self, slot: &Slot, path: &FieldPath, values: &[f32]) -> Outcome<()> {
        let (fits, wanted): (fn(f32) -> bool, &str) = match slot.kind {
            SlotKind::Count => (|v| v >= 0.0 && v.fract() == 0.0, "non-negative integers"),
            SlotKind::Nonneg => (|v| v >= 0.0 && v.is_finite(), "numbers that are not negative"),
            SlotKind::Positive => (|v| v > 0.0 && v.is_finite(), "positive numbers"),
            SlotKind::Unit | SlotKind::Simplex => (|v| (0.0..=1.0).contains(&v), "numbers between 0 and 1"),
            SlotKind::Bool => (|v| v == 0.0 || v == 1.0, "truth values"),
            _ => (f32::is_finite, "finite numbers"),
        };
        match values.iter().find(|v| !fits(**v)) {
            None => Ok(()),
            Some(bad) => {
                let file = self.adata.file().display();
                let text = format!("`{}` needs {wanted}, but `{path}` of {file} holds {bad}", slot.name);
                Err(Box::new(self.at(slot, Code::E0713, text)))
            }
        }
    }

    /// Brings the columns of new data to the labels of training: missing ones are zero, others are dropped.
    fn align(
        &mut self,
        slot: &Slot,
        axis: &str,
        matrix: &Matrix,
        labels: &[String],
        known: &[String],
    ) -> Outcome<Matrix> {
        if labels == known {
            return Ok(matrix.clone());
        }
        let mut place: BTreeMap<&str, usize> = BTreeMap::new();
        for (i, label) in labels.iter().enumerate() {
            place.entry(label).or_insert(i);
        }
        // Each column is used once at most, so a label that training had twice takes its values the first time.
        let sources: Vec<Option<usize>> = known.iter().map(|label| place.remove(label.as_str())).collect();
        let kept = sources.iter().flatten().count();
        let (missing, extra) = (known.len() - kept, labels.len() - kept);
        let text = format!(
            "`{}`: of the {} labels of `{axis}` in training, {kept} are in the new data, {missing} are missing, and {extra} of the new data are extra",
            slot.name,
            known.len()
        );
        if kept == 0 {
            let first: Vec<&str> = labels.iter().take(3).map(String::as_str).collect();
            let trained: Vec<&str> = known.iter().take(3).map(String::as_str).collect();
            return Err(Box::new(self.at(slot, Code::E0706, text).help(format!(
                "training had labels such as {}, the new data {}",
                trained.join(", "),
                first.join(", ")
            ))));
        }
        if missing + extra > 0 {
            let mut warning = Diagnostic::new(Code::E0706, text)
                .note("missing ones count as zero; extra ones are left out");
            warning.severity = Severity::Warning;
            self.out.warnings.push(warning);
        }
        Ok(matrix.with_columns(&sources))
    }
}
