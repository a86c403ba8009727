//! Several files one under the other: the cells of all, genes and columns of tables matched by their labels.

use super::storage::Place;
use super::{AnnData, Column, Csr, DataError, Dense, FieldPath, Matrix, NewAnnData, Values};
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of what only some files have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Join {
    /// It is left out.
    #[default]
    Common,
    /// It is kept, in order of appearance.
    All,
}

/// How files are put one under the other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Concat {
    /// Which genes there are.
    pub genes: Join,
    /// Which columns of `obs` there are; in the cells of a file that lacks one its values are missing.
    pub columns: Join,
    /// What matrices hold for a gene in the cells of a file that lacks it: 0, or NaN, which makes them dense.
    pub absent: f32,
}

impl AnnData {
    /// The files one under the other, and what could not be kept, as paths with the reason.
    ///
    /// Cells come in order; genes, matched by label, in the order of the first file that has each. Matrices are kept
    /// that all files have. A table of `obsm` whose columns have names in every file that has it keeps them all: NaN
    /// stands where a file lacks a column or the table, so that what was not measured is told from a count of zero. A
    /// table without names is kept if all have it with as many columns. Of `var` and `varm` there is what the first
    /// file says, if it has all genes.
    ///
    /// # Errors
    /// As reading each field; E0713 when files differ in their genes and one has a gene twice, or none is in all.
    pub fn concat(parts: &[AnnData], how: Concat) -> Result<(NewAnnData, Vec<String>), DataError> {
        let Some(first) = parts.first() else { return Ok((NewAnnData::default(), Vec::new())) };
        let (var_names, sources) = genes(parts, how.genes)?;
        let mut out = NewAnnData { var_names, ..NewAnnData::default() };
        out.obs_names = parts.iter().flat_map(|p| p.obs_names().iter().cloned()).collect();
        let mut left = LeftOut { n_parts: parts.len(), found: Vec::new() };
        let matrix = |path: &FieldPath| stacked(parts, path, &sources, how.absent);
        if left.all_have("X", parts.iter().filter(|p| p.has_x()).count()) {
            out.x = Some(matrix(&FieldPath::X)?);
        }
        for (name, n) in names(parts, AnnData::layers) {
            let path = FieldPath::Layer(name.clone());
            if left.all_have(&path.to_string(), n) {
                out.parts.layers.push((name, matrix(&path)?));
            }
        }
        for (name, n) in names(parts, |p| p.obs_columns().to_vec()) {
            let path = FieldPath::Obs(name.clone());
            if how.columns == Join::All || left.all_have(&path.to_string(), n) {
                let read = |p: &AnnData| p.contains(&path).then(|| p.column(&path)).transpose();
                let columns = parts.iter().map(read).collect::<Result<Vec<_>, _>>()?;
                let sizes = parts.iter().map(AnnData::n_obs);
                out.parts
                    .obs
                    .push((name, joined(&sizes.zip(columns.iter().map(Option::as_ref)).collect::<Vec<_>>())));
            }
        }
        for (name, _) in names(parts, AnnData::obsm_names) {
            match table(parts, &FieldPath::Obsm(name.clone()))? {
                Ok((labels, values)) => {
                    out.parts.labels.extend(labels.map(|labels| (name.clone(), labels)));
                    out.parts.obsm.push((name, values));
                }
                Err(why) => left.found.push(format!("obsm.{name} ({why})")),
            }
        }
        of_genes(first, &sources[0], &mut out, &mut left)?;
        if parts.iter().any(AnnData::has_raw) {
            left.found.push("raw".to_owned());
        }
        let whole = ["obsp", "varp", "uns"].map(str::to_owned);
        left.found
            .extend(whole.into_iter().filter(|part| parts.iter().any(|p| !p.names_in(part).is_empty())));
        Ok((out, left.found))
    }
}

/// What could not be kept.
struct LeftOut {
    n_parts: usize,
    found: Vec<String>,
}

impl LeftOut {
    /// Whether all files have what `n` of them have; if not, it is left out.
    fn all_have(&mut self, path: &str, n: usize) -> bool {
        if n > 0 && n < self.n_parts {
            self.found.push(format!("{path} (in {n} of {} files)", self.n_parts));
        }
        n == self.n_parts
    }
}

/// The names that `of` gives for each file in order of appearance, each with the number of files that have it.
fn names(parts: &[AnnData], of: fn(&AnnData) -> Vec<String>) -> Vec<(String, usize)> {
    let lists: Vec<Vec<String>> = parts.iter().map(of).collect();
    labels(lists.iter().map(Vec::as_slice), Join::All)
}

/// Labels in order of appearance, with the number of lists that have each; those in all lists or all of them.
fn labels<'a>(lists: impl Iterator<Item = &'a [String]>, join: Join) -> Vec<(String, usize)> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    let mut n_lists = 0;
    for list in lists {
        n_lists += 1;
        let mut own = BTreeSet::new();
        for label in list.iter().filter(|label| own.insert(label.as_str())) {
            let n = count.entry(label).or_insert(0);
            *n += 1;
            if *n == 1 {
                order.push(label);
            }
        }
    }
    let found = order.into_iter().map(|label| (label.to_owned(), count[label]));
    found.filter(|(_, n)| join == Join::All || *n == n_lists).collect()
}

/// For each of `wanted` where it is in `found`.
pub(crate) fn positions(wanted: &[String], found: &[String]) -> Vec<Option<usize>> {
    let at: BTreeMap<&str, usize> =
        found.iter().enumerate().map(|(at, label)| (label.as_str(), at)).collect();
    wanted.iter().map(|label| at.get(label.as_str()).copied()).collect()
}

fn repeated(names: &[String]) -> Option<&String> {
    let mut seen = BTreeSet::new();
    names.iter().find(|name| !seen.insert(name.as_str()))
}

/// The columns of the whole for each file.
type Sources = Vec<Vec<Option<usize>>>;

/// The genes that are kept, and where each file has them.
fn genes(parts: &[AnnData], join: Join) -> Result<(Vec<String>, Sources), DataError> {
    let first = parts[0].var_names();
    if parts.iter().all(|p| p.var_names() == first) {
        // Names that are given twice do no harm where nothing is matched.
        return Ok((first.to_vec(), vec![(0..first.len()).map(Some).collect(); parts.len()]));
    }
    for part in parts {
        if let Some(name) = repeated(part.var_names()) {
            let message =
                format!("the gene `{name}` is there more than once: the files cannot be matched by gene");
            return Err(Place::new(part.file(), "var").malformed(message));
        }
    }
    let found = labels(parts.iter().map(AnnData::var_names), join);
    let found: Vec<String> = found.into_iter().map(|(name, _)| name).collect();
    if found.is_empty() {
        let shown: Vec<String> = parts
            .iter()
            .map(|p| p.var_names().first().map_or("none".to_owned(), |name| format!("`{name}`")))
            .collect();
        let message = format!("the files have no genes in common; they begin with {}", shown.join(", "));
        return Err(Place::new(parts[0].file(), "var").malformed(message));
    }
    let sources = parts.iter().map(|p| positions(&found, p.var_names())).collect();
    Ok((found, sources))
}

/// A matrix of each file, brought to the genes, one under the other; sparse if any is and NaN is not needed.
fn stacked(parts: &[AnnData], path: &FieldPath, sources: &Sources, absent: f32) -> Result<Matrix, DataError> {
    let mut all = Vec::new();
    for (part, sources) in parts.iter().zip(sources) {
        let matrix = part.matrix(path)?.with_columns(sources);
        all.push(if absent.is_nan() && sources.contains(&None) { blanked(&matrix, sources) } else { matrix });
    }
    let n_cols = sources[0].len();
    let none = || Matrix::Csr(Csr { n_cols, indptr: vec![0], ..Csr::default() });
    Ok(Matrix::stacked(&all).unwrap_or_else(none))
}

/// NaN in the columns that the file lacks.
fn blanked(matrix: &Matrix, sources: &[Option<usize>]) -> Matrix {
    let mut dense = matrix.to_dense();
    for row in dense.values.chunks_mut(sources.len().max(1)) {
        row.iter_mut().zip(sources).filter(|(_, s)| s.is_none()).for_each(|(v, _)| *v = f32::NAN);
    }
    Matrix::Dense(dense)
}

/// The names of the columns of a table, where it has them, and its values; or why it cannot be put together.
type Joined = Result<(Option<Vec<String>>, Dense), String>;

/// A table of each file one under the other.
fn table(parts: &[AnnData], path: &FieldPath) -> Result<Joined, DataError> {
    let read = |p: &AnnData| p.contains(path).then(|| p.table(path)).transpose();
    let tables = parts.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let present: Vec<_> = tables.iter().flatten().collect();
    let n_rows = parts.iter().map(AnnData::n_obs).sum();
    let named: Option<Vec<&[String]>> = present.iter().map(|t| t.labels.as_deref()).collect();
    let Some(named) = named else {
        if present.iter().any(|t| t.labels.is_some()) {
            return Ok(Err("its columns have names in some files alone".to_owned()));
        }
        if present.len() < parts.len() {
            return Ok(Err(format!(
                "in {} of {} files, and its columns have no names",
                present.len(),
                parts.len()
            )));
        }
        let n_cols = present[0].values.n_cols;
        if let Some(other) = present.iter().find(|t| t.values.n_cols != n_cols) {
            return Ok(Err(format!("{n_cols} and {} columns without names", other.values.n_cols)));
        }
        let values = present.iter().flat_map(|t| t.values.values.iter().copied()).collect();
        return Ok(Ok((None, Dense { n_rows, n_cols, values })));
    };
    if let Some(name) = named.iter().find_map(|list| repeated(list)) {
        return Ok(Err(format!("column `{name}` is there more than once")));
    }
    let all: Vec<String> = labels(named.into_iter(), Join::All).into_iter().map(|(name, _)| name).collect();
    let mut values = Vec::with_capacity(n_rows.saturating_mul(all.len()));
    for (part, table) in parts.iter().zip(&tables) {
        let Some(table) = table else {
            values.resize(values.len() + part.n_obs() * all.len(), f32::NAN);
            continue;
        };
        let sources = positions(&all, table.labels.as_deref().unwrap_or_default());
        for row in 0..table.values.n_rows {
            let row = table.values.row(row);
            values.extend(sources.iter().map(|s| s.map_or(f32::NAN, |s| row[s])));
        }
    }
    let n_cols = all.len();
    Ok(Ok((Some(all), Dense { n_rows, n_cols, values })))
}

/// What the first file says about the genes, if it has them all.
fn of_genes(
    first: &AnnData,
    sources: &[Option<usize>],
    out: &mut NewAnnData,
    left: &mut LeftOut,
) -> Result<(), DataError> {
    let Some(rows) = sources.iter().copied().collect::<Option<Vec<usize>>>() else {
        let columns = first.var_columns().iter().map(|name| FieldPath::Var(name.clone()).to_string());
        let tables = first.varm_names().into_iter().map(|name| FieldPath::Varm(name).to_string());
        left.found.extend(columns.chain(tables));
        return Ok(());
    };
    for name in first.var_columns() {
        out.parts.var.push((name.clone(), first.column(&FieldPath::Var(name.clone()))?.rows(&rows)));
    }
    for name in first.varm_names() {
        let table = first.table(&FieldPath::Varm(name.clone()))?.values;
        out.parts.varm.push((name, table.pick(&rows)));
    }
    Ok(())
}

/// Columns one under the other; a file without one, of which the number of cells is known, has missing values. Columns
/// of different kinds become categories.
fn joined(columns: &[(usize, Option<&Column>)]) -> Column {
    let present = || columns.iter().filter_map(|(_, column)| *column);
    let complete = columns.iter().all(|(_, column)| column.is_some_and(|c| c.n_missing() == 0));
    if complete && present().all(|c| matches!(c.values, Values::Integer(_))) {
        let values =
            present().flat_map(|c| if let Values::Integer(v) = &c.values { v.as_slice() } else { &[] });
        return Column::new(Values::Integer(values.copied().collect()));
    }
    if complete && present().all(|c| matches!(c.values, Values::Bool(_))) {
        let values = present().flat_map(|c| if let Values::Bool(v) = &c.values { v.as_slice() } else { &[] });
        return Column::new(Values::Bool(values.copied().collect()));
    }
    if present().all(|c| matches!(c.values, Values::Real(_) | Values::Integer(_))) {
        let values =
            columns.iter().flat_map(|(n, c)| c.and_then(Column::to_reals).unwrap_or(vec![f64::NAN; *n]));
        return Column::new(Values::Real(values.collect()));
    }
    let mut at: BTreeMap<String, i32> = BTreeMap::new();
    let mut categories: Vec<String> = Vec::new();
    let mut codes = Vec::new();
    for (n, column) in columns {
        let Some(column) = column else {
            codes.resize(codes.len() + n, -1);
            continue;
        };
        let found = column.to_categories();
        let mut new = Vec::with_capacity(found.labels.len());
        for label in found.labels {
            new.push(*at.entry(label).or_insert_with_key(|label| {
                categories.push(label.clone());
                categories.len() as i32 - 1
            }));
        }
        codes.extend(found.codes.iter().map(|&c| usize::try_from(c).map_or(-1, |c| new[c])));
    }
    Column::new(Values::Categorical { codes, categories, ordered: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(genes: &[&str], cells: &[&str], values: Vec<f32>, donor: &str) -> NewAnnData {
        let n = cells.len();
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut data = NewAnnData {
            obs_names: owned(cells),
            var_names: owned(genes),
            x: Some(Matrix::Dense(Dense { n_rows: n, n_cols: genes.len(), values })),
            ..NewAnnData::default()
        };
        data.parts.obs.push(("donor".into(), Column::new(Values::Strings(vec![donor.into(); n]))));
        data
    }

    fn with_table(mut data: NewAnnData, columns: &[&str], values: &[f32]) -> AnnData {
        let dense = Dense { n_rows: data.obs_names.len(), n_cols: columns.len(), values: values.to_vec() };
        data.parts.obsm.push(("protein".into(), dense));
        data.parts.labels.insert("protein".into(), columns.iter().map(|c| (*c).to_owned()).collect());
        opened(data)
    }

    fn opened(data: NewAnnData) -> AnnData {
        AnnData::from_memory("a.h5ad".as_ref(), data).unwrap()
    }

    fn shown(values: &[f32]) -> Vec<String> {
        values.iter().map(f32::to_string).collect()
    }

    const COMMON: Concat = Concat { genes: Join::Common, columns: Join::Common, absent: 0.0 };

    #[test]
    fn genes_meet_by_label() {
        let a = opened(small(&["g1", "g2"], &["a", "b"], vec![1.0, 2.0, 3.0, 4.0], "x"));
        let b = opened(small(&["g3", "g2"], &["c"], vec![5.0, 6.0], "y"));
        let (both, left) = AnnData::concat(&[a.clone(), b.clone()], COMMON).unwrap();
        assert_eq!((both.obs_names.join(" "), both.var_names.join(" ")), ("a b c".into(), "g2".into()));
        assert_eq!(both.x.unwrap().to_dense().values, [2.0, 4.0, 6.0]);
        let donor = both.parts.obs[0].1.to_categories();
        assert_eq!((donor.labels, donor.codes), (vec!["x".to_owned(), "y".to_owned()], vec![0, 0, 1]));
        assert!(left.is_empty());
        for (absent, wanted) in [(f32::NAN, "NaN"), (0.0, "0")] {
            let how = Concat { genes: Join::All, absent, ..COMMON };
            let (all, _) = AnnData::concat(&[a.clone(), b.clone()], how).unwrap();
            assert_eq!(all.var_names, ["g1", "g2", "g3"]);
            let values = all.x.unwrap().to_dense().values;
            assert_eq!(shown(&values), ["1", "2", wanted, "3", "4", wanted, wanted, "6", "5"]);
        }
    }

    #[test]
    fn columns_of_tables_meet_by_label() {
        let genes = ["g1"];
        let a = with_table(
            small(&genes, &["a", "b"], vec![1.0, 2.0], "x"),
            &["CD3", "CD4"],
            &[1.0, 2.0, 0.0, 4.0],
        );
        let b = with_table(small(&genes, &["c"], vec![3.0], "y"), &["CD8", "CD3"], &[5.0, 6.0]);
        let none = opened(small(&genes, &["d"], vec![4.0], "z"));
        let (all, left) = AnnData::concat(&[a.clone(), b, none], COMMON).unwrap();
        assert_eq!(all.parts.labels["protein"], ["CD3", "CD4", "CD8"]);
        let wanted = ["1", "2", "NaN", "0", "4", "NaN", "6", "NaN", "5", "NaN", "NaN", "NaN"];
        assert_eq!(shown(&all.parts.obsm[0].1.values), wanted);
        assert!(left.is_empty(), "{left:?}");
        let twice = with_table(small(&genes, &["c"], vec![3.0], "y"), &["CD3", "CD3"], &[5.0, 6.0]);
        let (all, left) = AnnData::concat(&[a, twice], COMMON).unwrap();
        assert!(all.parts.obsm.is_empty() && left[0].contains("`CD3` is there more than once"), "{left:?}");
    }

    #[test]
    fn what_cannot_be_kept_is_told() {
        let mut a = small(&["g1", "g2"], &["a"], vec![1.0, 2.0], "x");
        a.parts.obs.push(("n".into(), Column::new(Values::Integer(vec![7]))));
        a.parts.layers.push(("raw".into(), Matrix::Dense(Dense::zeros(1, 2))));
        a.parts.obsm.push(("X_pca".into(), Dense::zeros(1, 3)));
        let mut b = small(&["g2", "g1"], &["b"], vec![3.0, 4.0], "y");
        b.parts.obsm.push(("X_pca".into(), Dense::zeros(1, 2)));
        let parts = [opened(a), opened(b)];
        let (found, left) = AnnData::concat(&parts, COMMON).unwrap();
        assert_eq!(found.x.unwrap().to_dense().values, [1.0, 2.0, 4.0, 3.0]);
        assert_eq!(
            left,
            [
                "layers.raw (in 1 of 2 files)",
                "obs.n (in 1 of 2 files)",
                "obsm.X_pca (3 and 2 columns without names)"
            ]
        );
        let (found, _) = AnnData::concat(&parts, Concat { columns: Join::All, ..COMMON }).unwrap();
        let n = &found.parts.obs[1].1;
        assert!(!n.is_missing(0) && n.is_missing(1));
    }

    #[test]
    fn genes_that_cannot_be_matched_are_refused() {
        let twice = opened(small(&["g1", "g1"], &["a"], vec![1.0, 2.0], "x"));
        let other = opened(small(&["g1"], &["b"], vec![3.0], "y"));
        let said = |parts: &[AnnData]| AnnData::concat(parts, COMMON).unwrap_err().to_string();
        assert!(said(&[twice.clone(), other.clone()]).contains("`g1` is there more than once"));
        let (same, _) = AnnData::concat(&[twice.clone(), twice], COMMON).unwrap();
        assert_eq!(same.x.unwrap().to_dense().values, [1.0, 2.0, 1.0, 2.0]);
        let strange = opened(small(&["h"], &["b"], vec![3.0], "y"));
        assert!(said(&[other, strange]).contains("no genes in common; they begin with `g1`, `h`"));
    }
}
