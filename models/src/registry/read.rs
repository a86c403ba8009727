//! Reading and checking one slot.

use super::Registry;
use super::align::{align, listed, recode};
use super::nearest::nearest;
use super::problem::{Problem, Severity};
use super::slot::{Codes, Missing, SlotData, SlotDims, SlotKind, SlotSpec};
use crate::anndata::{
    AnnData, Categories, Column, CountReport, Csr, DataErrorKind, Dense, DiskRows, FieldPath, Matrix, Values,
    check_counts, check_counts_on_disk, positions,
};
use std::collections::BTreeSet;

/// The label of the one category that an absent optional category has.
const ONLY: &str = "all";
/// A category with fewer rows is worth a warning.
const FEW: usize = 3;
/// How far from 1 a row of a simplex may sum.
const SUM_TOLERANCE: f64 = 1e-3;
/// How many candidates a message lists.
const LISTED: usize = 12;

/// Reads one slot into the registry under construction.
pub(super) struct Reader<'a> {
    pub data: &'a AnnData,
    pub spec: &'a SlotSpec,
    /// Whether the vocabulary is that of a trained model.
    pub fixed: bool,
    pub registry: &'a mut Registry,
}

impl Reader<'_> {
    /// The data of the slot; `None` when an error was reported.
    pub fn read(&mut self) -> Option<SlotData> {
        let (data, spec) = (self.data, self.spec);
        if spec.kind == SlotKind::Covariates {
            return self.covariates();
        }
        let Some(path) = spec.source.first().filter(|p| spec.explicit || !spec.optional || data.contains(p))
        else {
            return self.absent();
        };
        if !data.contains(path) {
            self.report_absent(path);
            return None;
        }
        let is_table = matches!(path, FieldPath::Obsm(_) | FieldPath::Varm(_));
        if !self.fits(path, is_table) {
            return None;
        }
        match (&spec.kind, &spec.dims) {
            (SlotKind::Category, _) => self.category(path, &spec.name).map(SlotData::Codes),
            (_, SlotDims::Cells | SlotDims::Genes) => self.vector(path),
            _ => self.matrix(path),
        }
    }

    fn report(&mut self, severity: Severity, code: &'static str, path: &FieldPath, message: String) {
        let field = self.data.address(path);
        self.registry.problems.push(Problem::new(severity, code, &self.spec.name, field, message));
    }

    /// Adds a remedy to what was reported last.
    fn help(&mut self, text: &str) {
        if let Some(problem) = self.registry.problems.last_mut() {
            problem.help = Some(text.to_owned());
        }
    }

    /// Takes the value, or reports the error.
    fn take<T>(&mut self, result: Result<T, crate::anndata::DataError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.registry.problems.push(Problem::from_data(&self.spec.name, error));
                None
            }
        }
    }

    /// An optional slot without data, or the error that a slot without a source must have one.
    fn absent(&mut self) -> Option<SlotData> {
        let spec = self.spec;
        if !spec.optional {
            let message = "no field of the file is bound to it".to_owned();
            self.registry.problems.push(Problem::new(Severity::Error, "E0702", &spec.name, "", message));
            return None;
        }
        if spec.kind != SlotKind::Category {
            return Some(SlotData::Absent);
        }
        let n = if spec.dims == SlotDims::Genes { self.data.n_vars() } else { self.data.n_obs() };
        let found = Categories { labels: vec![ONLY.to_owned()], codes: vec![0; n], sizes: vec![n] };
        self.settle_codes(found, &FieldPath::ObsNames, &spec.name).map(SlotData::Codes)
    }

    /// E0702, with the fields that could be meant.
    fn report_absent(&mut self, path: &FieldPath) {
        let (root, name) = path.root_and_name();
        // What another slot reads is not what is missing here.
        let free = |c: &String| !self.registry.taken.contains(c);
        let all: Vec<String> = self.data.candidates(path).into_iter().filter(free).collect();
        let names: Vec<String> = all
            .iter()
            .map(|c| c.parse::<FieldPath>().map_or_else(|_| c.clone(), |p| p.root_and_name().1))
            .collect();
        let near = if name.is_empty() { vec![] } else { nearest(&name, &names, 3) };
        let of = |n: &String| names.iter().position(|m| m == n).map(|at| all[at].clone());
        let mut candidates: Vec<String> = near.iter().filter_map(of).collect();
        let usual = self.spec.usual.iter().filter(|c| free(c) && !candidates.contains(c));
        candidates.extend(usual.cloned().collect::<Vec<_>>());
        let message = if name.is_empty() {
            format!("this file has no `{root}`")
        } else {
            format!("`{root}` has no `{name}`")
        };
        let bind = self.spec.name.as_str();
        let help = match candidates.as_slice() {
            [first, more @ ..] if more.is_empty() || !near.is_empty() => {
                format!("did you mean `{first}`? --bind {bind}={first}")
            }
            [first, ..] => format!("there are {}; choose one: --bind {bind}={first}", listed(&candidates)),
            [] if all.is_empty() => format!("this file has nothing else in `{root}`"),
            [] => format!("there are {}; choose one: --bind {bind}={}", listed(&all), all[0]),
        };
        for candidate in all.into_iter().take(LISTED) {
            if !candidates.contains(&candidate) {
                candidates.push(candidate);
            }
        }
        let field = self.data.address(path);
        let mut problem =
            Problem::new(Severity::Error, "E0702", &self.spec.name, field, message).with_help(help);
        problem.candidates = candidates;
        self.registry.problems.push(problem);
    }

    /// A column of labels; `key` is its place in the vocabulary.
    fn category(&mut self, path: &FieldPath, key: &str) -> Option<Codes> {
        let mut column = self.take(self.data.column(path))?;
        if self.spec.dims == SlotDims::Genes && self.fixed {
            column = self.align_column(column, path)?;
        }
        if let (Values::Categorical { codes, categories, .. }, false) = (&column.values, self.fixed) {
            let mut used = vec![false; categories.len()];
            for at in codes.iter().filter_map(|c| usize::try_from(*c).ok()).filter(|c| *c < categories.len())
            {
                used[at] = true;
            }
            let empty: Vec<String> =
                categories.iter().zip(&used).filter(|(_, used)| !**used).map(|(c, _)| c.clone()).collect();
            if !empty.is_empty() && empty.len() < categories.len() {
                let message = format!("no cell has the categories {}; they are left out", listed(&empty));
                self.report(Severity::Warning, "W0711", path, message);
            }
        }
        let mut found = column.to_categories();
        if let Missing::Label(label) = &self.spec.missing {
            found = without(found, label);
        }
        let n_missing = found.codes.iter().filter(|c| **c < 0).count();
        if n_missing > 0 && self.spec.missing == Missing::Never && !found.labels.is_empty() {
            let message = format!("{n_missing} of {} values are missing", found.codes.len());
            self.report(Severity::Error, "E0713", path, message);
            self.help("every cell needs a label here: label these cells, or leave them out");
            return None;
        }
        self.settle_codes(found, path, key)
    }

    /// Enters labels in the vocabulary, or brings them into its order.
    fn settle_codes(&mut self, found: Categories, path: &FieldPath, key: &str) -> Option<Codes> {
        if self.fixed {
            let (registry, slot) = (&mut *self.registry, &self.spec.name);
            let (vocabulary, problems) = (&registry.vocabulary, &mut registry.problems);
            let before = problems.len();
            let codes = recode(&found, key, &path.to_string(), vocabulary, slot, problems);
            return (problems.len() == before).then_some(codes);
        }
        if found.labels.is_empty() && !found.codes.is_empty() {
            let message = format!("none of its {} values is a label: all are missing", found.codes.len());
            self.report(Severity::Error, "E0705", path, message);
            self.help(&format!("a column with labels: --bind {}=obs.COLUMN", self.spec.name));
            return None;
        }
        let few = |at: &usize| found.sizes[*at] < FEW;
        let small: Vec<String> = (0..found.labels.len())
            .filter(few)
            .map(|at| format!("{} ({})", found.labels[at], found.sizes[at]))
            .collect();
        if !small.is_empty() {
            let message = format!("categories with fewer than {FEW} members: {}", listed(&small));
            self.report(Severity::Warning, "W0705", path, message);
        }
        if found.labels.len() == 1 && *path != FieldPath::ObsNames {
            let message = format!("all have the label `{}`, so it has no effect", found.labels[0]);
            self.report(Severity::Note, "", path, message);
        }
        self.registry.vocabulary.categories.insert(key.to_owned(), found.labels.clone());
        Some(Codes { codes: found.codes, labels: found.labels, sizes: found.sizes })
    }

    /// The rows of a column of `var` in the order of the trained model.
    fn align_column(&mut self, column: Column, path: &FieldPath) -> Option<Column> {
        let alignment = self.registry.alignments.get("gene").cloned().unwrap_or_default();
        let rows: Option<Vec<usize>> = alignment.sources.iter().copied().collect();
        let Some(rows) = rows else {
            let message = format!("it has no value for {}", listed(&alignment.missing));
            self.report(Severity::Error, "E0706", path, message);
            return None;
        };
        fn pick<T: Clone>(values: &[T], rows: &[usize]) -> Vec<T> {
            rows.iter().map(|&r| values[r].clone()).collect()
        }
        let values = match column.values {
            Values::Categorical { codes, categories, ordered } => {
                Values::Categorical { codes: pick(&codes, &rows), categories, ordered }
            }
            Values::Real(v) => Values::Real(pick(&v, &rows)),
            Values::Integer(v) => Values::Integer(pick(&v, &rows)),
            Values::Bool(v) => Values::Bool(pick(&v, &rows)),
            Values::Strings(v) => Values::Strings(pick(&v, &rows)),
        };
        Some(Column { values, missing: column.missing.map(|m| pick(&m, &rows)) })
    }

    /// One number per cell or gene.
    fn vector(&mut self, path: &FieldPath) -> Option<SlotData> {
        let mut column = self.take(self.data.column(path))?;
        if self.spec.dims == SlotDims::Genes && self.fixed {
            column = self.align_column(column, path)?;
        }
        let values = self.numbers(&column, path)?;
        let mut values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
        self.mark_missing(&mut values);
        // The values of a simplex with one axis sum to 1 together.
        let width = if self.spec.kind == SlotKind::Simplex { values.len() } else { 1 };
        self.check_range(&values, width, path)?;
        Some(SlotData::Vector(values))
    }

    fn numbers(&mut self, column: &Column, path: &FieldPath) -> Option<Vec<f64>> {
        let numbers = column.to_reals();
        if numbers.is_none() {
            let message = format!("numbers are expected, it holds {}", column.values.describe());
            self.report(Severity::Error, "E0713", path, message);
        }
        numbers
    }

    /// A matrix of expression or a table.
    fn matrix(&mut self, path: &FieldPath) -> Option<SlotData> {
        let spec = self.spec;
        if let Some(memory) = spec.memory.filter(|_| spec.dims == SlotDims::CellsByGenes)
            && spec.missing == Missing::Never
            && let Some(found) = self.on_disk(path, memory)
        {
            return found;
        }
        let (mut values, labels) = match path {
            FieldPath::Obsm(_) | FieldPath::Varm(_) => {
                let table = self.take(self.data.table(path))?;
                let n = table.values.n_cols;
                (
                    Matrix::Dense(table.values),
                    Some(table.labels.unwrap_or_else(|| (0..n).map(|c| c.to_string()).collect())),
                )
            }
            _ => (self.take(self.data.matrix(path))?, None),
        };
        let genes = self.registry.alignments.get("gene").filter(|_| self.fixed).cloned();
        match (&spec.dims, labels) {
            (SlotDims::CellsByGenes, _) => {
                if let Some(genes) = genes {
                    values = values.with_columns(&genes.sources);
                }
            }
            (SlotDims::CellsBy(axis) | SlotDims::GenesBy(axis), Some(labels)) => {
                values = self.settle_axis(axis, labels, values, path)?;
                if let (SlotDims::GenesBy(_), Some(genes)) = (&spec.dims, genes) {
                    values = Matrix::Dense(pick_rows(&values.to_dense(), &genes.sources));
                }
            }
            _ => {}
        }
        match &mut values {
            Matrix::Dense(m) => self.mark_missing(&mut m.values),
            Matrix::Csr(m) => self.mark_missing(&mut m.values),
        }
        self.check_values(&values, path)?;
        Some(SlotData::Matrix { values })
    }

    /// A matrix that stays on the disk, checked block by block; `None` where `memory` bytes hold all of it.
    #[allow(clippy::option_option, reason = "nothing to do, or done with or without success")]
    fn on_disk(&mut self, path: &FieldPath, memory: usize) -> Option<Option<SlotData>> {
        let Some(reader) = self.take(self.data.row_reader_within(path, memory)) else { return Some(None) };
        let width = if reader.is_sparse() { 8 } else { 4 };
        if reader.n_stored(0..reader.n_rows()).saturating_mul(width) <= memory {
            return None;
        }
        if reader.is_whole() {
            let message = "it is in memory whole: data of this format, or put together, are not read by rows"
                .to_owned();
            self.report(Severity::Error, "E0713", path, message);
            let file = self.data.file().display();
            self.help(&format!("write it as AnnData first: svic prep {file} -o rows.h5ad"));
            return Some(None);
        }
        let mut rows = DiskRows::new(reader, memory);
        if let Some(genes) = self.registry.alignments.get("gene").filter(|_| self.fixed) {
            rows = rows.with_columns(&genes.sources);
        }
        let checked = match self.spec.kind {
            SlotKind::Count => {
                let (cells, columns) = (self.data.obs_names(), self.column_labels());
                let found = check_counts_on_disk(&rows, cells, &columns, self.data.file(), path);
                self.counted(found, path)
            }
            _ => self.range_on_disk(&rows, path),
        };
        Some(checked.map(|()| SlotData::Rows(rows)))
    }

    /// Checks every block by the support of the slot.
    fn range_on_disk(&mut self, rows: &DiskRows, path: &FieldPath) -> Option<()> {
        let mut fits = true;
        let read: Result<(), crate::anndata::DataError> = rows.each_block(|_, block| {
            fits = fits && self.check_range(block.values(), block.n_cols(), path).is_some();
            Ok(())
        });
        self.take(read).filter(|()| fits)
    }

    /// Puts NaN for the number that the slot says means missing.
    fn mark_missing(&self, values: &mut [f32]) {
        let Missing::Label(label) = &self.spec.missing else { return };
        let number = match label.as_str() {
            "true" => Some(1.0),
            "false" => Some(0.0),
            text => text.parse::<f32>().ok(),
        };
        if let Some(number) = number {
            values.iter_mut().filter(|v| **v == number).for_each(|v| *v = f32::NAN);
        }
    }

    /// Whether a field of this kind can feed a slot with these axes.
    fn fits(&mut self, path: &FieldPath, is_table: bool) -> bool {
        let wanted = match (&self.spec.dims, path) {
            (SlotDims::CellsByGenes, FieldPath::X | FieldPath::RawX | FieldPath::Layer(_)) => return true,
            (SlotDims::CellsBy(_), FieldPath::Obsm(_)) | (SlotDims::GenesBy(_), FieldPath::Varm(_))
                if is_table =>
            {
                return true;
            }
            (SlotDims::Cells, FieldPath::Obs(_) | FieldPath::ObsNames) => return true,
            (SlotDims::Genes, FieldPath::Var(_) | FieldPath::RawVar(_) | FieldPath::VarNames) => return true,
            (SlotDims::CellsByGenes, _) => "cells by genes: X, raw.X or a layer",
            (SlotDims::CellsBy(_), _) => "a table of cells: obsm.NAME",
            (SlotDims::GenesBy(_), _) => "a table of genes: varm.NAME",
            (SlotDims::Cells, _) => "a column of cells: obs.NAME",
            (SlotDims::Genes, _) => "a column of genes: var.NAME",
        };
        self.report(Severity::Error, "E0308", path, format!("the slot needs {wanted}"));
        false
    }

    /// Enters the labels of `axis` in the vocabulary. Where it has labels already, those of a trained model rule;
    /// those of another slot are brought with these to what both have. Columns without names are matched by number.
    fn settle_axis(
        &mut self,
        axis: &str,
        labels: Vec<String>,
        values: Matrix,
        path: &FieldPath,
    ) -> Option<Matrix> {
        let registry = &mut *self.registry;
        let Some(wanted) = registry.vocabulary.axes.get(axis).cloned() else {
            registry.vocabulary.axes.insert(axis.to_owned(), labels);
            return Some(values);
        };
        if wanted == labels {
            return Some(values);
        }
        if is_numbering(&wanted) || is_numbering(&labels) {
            if wanted.len() != labels.len() {
                let (n, m) = (labels.len(), wanted.len());
                let message = format!("it has {n} columns without names to match, but axis `{axis}` has {m}");
                self.report(Severity::Error, "E0308", path, message);
                return None;
            }
            if is_numbering(&wanted) && !self.fixed {
                registry.vocabulary.axes.insert(axis.to_owned(), labels);
            }
            return Some(values);
        }
        if self.fixed {
            let aligned = align(&wanted, &labels, axis, &self.spec.name, &mut registry.problems);
            let values = values.with_columns(&aligned.sources);
            registry.alignments.insert(axis.to_owned(), aligned);
            return Some(values);
        }
        self.intersect(axis, &wanted, &labels, values, path)
    }

    /// Keeps of `axis` what both `old`, in whose order it is, and `new` have: here and in the slots read before.
    fn intersect(
        &mut self,
        axis: &str,
        old: &[String],
        new: &[String],
        values: Matrix,
        path: &FieldPath,
    ) -> Option<Matrix> {
        let others: BTreeSet<&String> = new.iter().collect();
        let both: Vec<String> = old.iter().filter(|l| others.contains(l)).cloned().collect();
        if both.is_empty() {
            let message =
                format!("axis `{axis}` has {}, but this has {}: none in common", listed(old), listed(new));
            self.report(Severity::Error, "E0308", path, message);
            return None;
        }
        let dropped = old.len().max(new.len()) - both.len();
        let message = format!(
            "of axis `{axis}` the {} labels in both are kept, up to {dropped} are dropped",
            both.len()
        );
        self.report(Severity::Warning, "W0706", path, message);
        let of_old = positions(&both, old);
        for (spec, data) in self.registry.slots.values_mut() {
            let on_axis = matches!(&spec.dims, SlotDims::CellsBy(a) | SlotDims::GenesBy(a) if a == axis);
            if let (true, SlotData::Matrix { values }) = (on_axis, data) {
                *values = values.with_columns(&of_old);
            }
        }
        let values = values.with_columns(&positions(&both, new));
        self.registry.vocabulary.axes.insert(axis.to_owned(), both);
        Some(values)
    }

    /// Checks a matrix by the kind of the slot.
    fn check_values(&mut self, values: &Matrix, path: &FieldPath) -> Option<()> {
        if self.spec.kind != SlotKind::Count {
            return self.check_range(values.values(), values.n_cols(), path);
        }
        let (cells, columns) = (self.data.obs_names(), self.column_labels());
        // What is missing is no count.
        let known = (self.spec.missing != Missing::Never).then(|| {
            let mut known = values.clone();
            let (Matrix::Dense(Dense { values, .. }) | Matrix::Csr(Csr { values, .. })) = &mut known;
            values.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = 0.0);
            known
        });
        let found = check_counts(known.as_ref().unwrap_or(values), cells, &columns, self.data.file(), path);
        self.counted(found, path)
    }

    /// Takes in what was found of counts: warnings, or the error with the matrices that do hold counts.
    fn counted(
        &mut self,
        found: Result<CountReport, crate::anndata::DataError>,
        path: &FieldPath,
    ) -> Option<()> {
        match found {
            Ok(report) if report.total == 0.0 && self.spec.dims == SlotDims::CellsByGenes => {
                let said = |p: &Problem| p.severity == Severity::Error && p.slot == self.spec.name;
                if !self.registry.problems.iter().any(said) {
                    self.report(Severity::Error, "E0713", path, "every count is zero".to_owned());
                }
                None
            }
            Ok(report) => {
                self.warn_counts(&report, path);
                Some(())
            }
            Err(mut error) => {
                error.field = self.data.address(path);
                let mut problem = Problem::from_data(&self.spec.name, error);
                if problem.code == DataErrorKind::NotCounts.code() {
                    match self.spec.dims {
                        SlotDims::CellsByGenes => self.suggest_counts(&mut problem),
                        _ => problem.help = Some("start from raw counts".to_owned()),
                    }
                }
                self.registry.problems.push(problem);
                None
            }
        }
    }

    fn column_labels(&self) -> Vec<String> {
        let vocabulary = &self.registry.vocabulary;
        match &self.spec.dims {
            SlotDims::CellsBy(axis) | SlotDims::GenesBy(axis) => {
                vocabulary.axes.get(axis).cloned().unwrap_or_default()
            }
            _ => vocabulary.genes.clone(),
        }
    }

    /// Names the matrices of the file that do hold counts.
    fn suggest_counts(&self, problem: &mut Problem) {
        let free = |c: &String| !self.registry.taken.contains(c);
        let all = self.data.layers_holding_counts();
        let found: Vec<String> = all.iter().map(|path| self.data.address(path)).filter(free).collect();
        problem.help = Some(match found.first() {
            Some(first) => {
                let verb = if found.len() == 1 { "holds" } else { "hold" };
                format!("{} {verb} counts: --bind {}={first}", listed(&found), self.spec.name)
            }
            None => "no other matrix of this file holds counts: start from a file with raw counts".to_owned(),
        });
        problem.candidates = found;
    }

    fn warn_counts(&mut self, report: &CountReport, path: &FieldPath) {
        if report.n_empty_cells > 0 && self.spec.dims == SlotDims::CellsByGenes {
            let names: Vec<String> = report
                .empty_cells
                .iter()
                .filter_map(|&row| self.data.obs_names().get(row).cloned())
                .collect();
            let message =
                format!("{} cells have a total of zero, such as {}", report.n_empty_cells, listed(&names));
            self.report(Severity::Warning, "W0704", path, message);
        }
        if report.may_be_rounded {
            let message =
                format!("counts reach {}: above 16777216 they are rounded to 32-bit numbers", report.max);
            self.report(Severity::Warning, "W0717", path, message);
        }
    }

    /// Checks that numbers lie in the support of the slot; `n_cols` gives rows for a simplex and for messages.
    fn check_range(&mut self, values: &[f32], n_cols: usize, path: &FieldPath) -> Option<()> {
        let nan_is_missing = self.spec.missing != Missing::Never;
        let bound = match &self.spec.kind {
            SlotKind::Index(axis) => self.axis_size(axis) as f32,
            _ => f32::INFINITY,
        };
        let (wanted, holds): (&str, &dyn Fn(f32) -> bool) = match &self.spec.kind {
            SlotKind::Count => ("non-negative integers", &|v| v >= 0.0 && v.fract() == 0.0),
            SlotKind::NonNeg => ("numbers that are not negative", &|v| v >= 0.0 && v.is_finite()),
            SlotKind::Positive => ("numbers above zero", &|v| v > 0.0 && v.is_finite()),
            SlotKind::Unit | SlotKind::Simplex => ("numbers from 0 to 1", &|v| (0.0..=1.0).contains(&v)),
            SlotKind::Bool => ("0 or 1", &|v| v == 0.0 || v == 1.0),
            SlotKind::Index(_) => ("positions on its axis", &|v| v >= 0.0 && v.fract() == 0.0 && v < bound),
            _ => ("finite numbers", &f32::is_finite),
        };
        let wrong: Vec<usize> = (0..values.len())
            .filter(|&at| !(holds(values[at]) || nan_is_missing && values[at].is_nan()))
            .take(3)
            .collect();
        if !wrong.is_empty() {
            let shown: Vec<String> = wrong.iter().map(|&at| values[at].to_string()).collect();
            let message = format!("{wanted} are expected, but it holds {}", shown.join(", "));
            let code = if self.spec.kind == SlotKind::Count { "E0703" } else { "E0713" };
            self.report(Severity::Error, code, path, message);
            return None;
        }
        if self.spec.kind == SlotKind::Simplex {
            let sums = values.chunks(n_cols.max(1)).map(|row| row.iter().map(|&v| f64::from(v)).sum::<f64>());
            if let Some((row, sum)) = sums.enumerate().find(|(_, sum)| (sum - 1.0).abs() > SUM_TOLERANCE) {
                self.report(Severity::Error, "E0713", path, format!("row {row} sums to {sum}, not to 1"));
                return None;
            }
        }
        Some(())
    }

    fn axis_size(&self, axis: &str) -> usize {
        match axis {
            "cell" => self.data.n_obs(),
            "gene" => self.registry.vocabulary.genes.len(),
            other => self.registry.vocabulary.axes.get(other).map_or(usize::MAX, Vec::len),
        }
    }

    /// Columns of labels and of numbers, told apart by what the file holds.
    fn covariates(&mut self) -> Option<SlotData> {
        let (data, spec) = (self.data, self.spec);
        let mut categorical = Vec::new();
        let mut numeric: Vec<(String, Vec<f64>)> = Vec::new();
        let mut failed = false;
        for path in &spec.source {
            if !data.contains(path) {
                if spec.explicit || !spec.optional {
                    self.report_absent(path);
                    failed = true;
                }
                continue;
            }
            let Some(column) = self.take(data.column(path)) else {
                failed = true;
                continue;
            };
            let key = format!("{}/{path}", spec.name);
            let labels = match &column.values {
                _ if self.fixed => self.registry.vocabulary.categories.contains_key(&key),
                Values::Real(_) | Values::Integer(_) => false,
                _ => true,
            };
            if labels {
                match self.category(path, &key) {
                    Some(codes) => categorical.push((path.to_string(), codes)),
                    None => failed = true,
                }
            } else {
                match self.numbers(&column, path).filter(|v| self.all_finite(v, path)) {
                    Some(values) => numeric.push((path.to_string(), values)),
                    None => failed = true,
                }
            }
        }
        if failed {
            return None;
        }
        let (n_rows, n_cols) = (data.n_obs(), numeric.len());
        let values = (0..n_rows).flat_map(|row| numeric.iter().map(move |(_, v)| v[row] as f32)).collect();
        Some(SlotData::Covariates {
            categorical,
            continuous_names: numeric.iter().map(|(name, _)| name.clone()).collect(),
            continuous: Dense { n_rows, n_cols, values },
        })
    }

    fn all_finite(&mut self, values: &[f64], path: &FieldPath) -> bool {
        let n = values.iter().filter(|v| !v.is_finite()).count();
        if n > 0 {
            self.report(
                Severity::Error,
                "E0713",
                path,
                format!("{n} of {} values are missing or infinite", values.len()),
            );
        }
        n == 0
    }
}

/// Whether labels are only the numbers 0, 1, 2, …, as columns without names get.
fn is_numbering(labels: &[String]) -> bool {
    labels.iter().enumerate().all(|(at, label)| *label == at.to_string())
}

/// The categories without `label`, whose rows become missing.
fn without(mut found: Categories, label: &str) -> Categories {
    let Some(at) = found.labels.iter().position(|l| l == label) else { return found };
    found.labels.remove(at);
    found.sizes.remove(at);
    let at = at as i32;
    for code in &mut found.codes {
        *code = match *code {
            c if c == at => -1,
            c if c > at => c - 1,
            c => c,
        };
    }
    found
}

fn pick_rows(table: &Dense, sources: &[Option<usize>]) -> Dense {
    let mut out = Dense::zeros(sources.len(), table.n_cols);
    for (row, source) in sources.iter().enumerate() {
        if let Some(source) = *source {
            out.values[row * table.n_cols..(row + 1) * table.n_cols].copy_from_slice(table.row(source));
        }
    }
    out
}
