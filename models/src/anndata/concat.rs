//! Several files one under the other: the cells of all, matched by the labels of genes.

use super::{AnnData, Column, Csr, DataError, Dense, FieldPath, Matrix, NewAnnData, Values};
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of a gene that some files lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// It is dropped.
    Common,
    /// It is kept; its values are missing (NaN) in the cells of the files that lack it.
    All,
}

impl AnnData {
    /// The files one under the other: cells in order, genes by label in the order of the first. Fields that only some
    /// files have are dropped, columns of `var` and `varm` are those of the first.
    ///
    /// # Errors
    /// As reading each field.
    pub fn concat(parts: &[AnnData], join: Join) -> Result<AnnData, DataError> {
        let Some(first) = parts.first() else {
            return AnnData::from_memory("".as_ref(), NewAnnData::default());
        };
        let var_names = genes(parts, join);
        let mut out = NewAnnData { var_names: var_names.clone(), ..NewAnnData::default() };
        out.obs_names = parts.iter().flat_map(|p| p.obs_names().iter().cloned()).collect();
        let shared = |of: fn(&AnnData) -> Vec<String>| -> Vec<String> {
            of(first).into_iter().filter(|n| parts.iter().all(|p| of(p).contains(n))).collect()
        };
        if parts.iter().all(AnnData::has_x) {
            out.x = Some(stacked(parts, &FieldPath::X, &var_names)?);
        }
        for name in shared(AnnData::layers) {
            let matrix = stacked(parts, &FieldPath::Layer(name.clone()), &var_names)?;
            out.parts.layers.push((name, matrix));
        }
        for name in shared(|p| p.obs_columns().to_vec()) {
            let path = FieldPath::Obs(name.clone());
            let columns: Vec<Column> = parts.iter().map(|p| p.column(&path)).collect::<Result<_, _>>()?;
            out.parts.obs.push((name, joined(&columns)));
        }
        for name in shared(AnnData::obsm_names) {
            let path = FieldPath::Obsm(name.clone());
            let tables: Vec<Dense> =
                parts.iter().map(|p| p.table(&path).map(|t| t.values)).collect::<Result<_, _>>()?;
            let n_cols = tables[0].n_cols;
            if tables.iter().all(|t| t.n_cols == n_cols) {
                let values = tables.iter().flat_map(|t| t.values.iter().copied()).collect();
                out.parts.obsm.push((name, Dense { n_rows: out.obs_names.len(), n_cols, values }));
            }
        }
        if first.var_names() == var_names {
            for name in first.var_columns() {
                let column = first.column(&FieldPath::Var(name.clone()))?;
                out.parts.var.push((name.clone(), column));
            }
            for name in first.varm_names() {
                let table = first.table(&FieldPath::Varm(name.clone()))?;
                out.parts.varm.push((name, table.values));
            }
        }
        AnnData::from_memory(first.file(), out)
    }
}

/// The genes that are kept, in the order of the first file that has each.
fn genes(parts: &[AnnData], join: Join) -> Vec<String> {
    let sets: Vec<BTreeSet<&String>> = parts.iter().map(|p| p.var_names().iter().collect()).collect();
    let mut seen = BTreeSet::new();
    let all = parts.iter().flat_map(|p| p.var_names());
    let kept = |g: &&String| join == Join::All || sets.iter().all(|s| s.contains(*g));
    all.filter(kept).filter(|g| seen.insert((*g).clone())).cloned().collect()
}

/// A matrix of each file, brought to the genes, one under the other; sparse if all are and none lacks a gene.
fn stacked(parts: &[AnnData], path: &FieldPath, genes: &[String]) -> Result<Matrix, DataError> {
    let mut all = vec![];
    for part in parts {
        let mut at: BTreeMap<&str, usize> = BTreeMap::new();
        for (i, label) in part.var_names().iter().enumerate() {
            at.entry(label).or_insert(i);
        }
        let sources: Vec<Option<usize>> = genes.iter().map(|g| at.get(g.as_str()).copied()).collect();
        let matrix = part.matrix(path)?.with_columns(&sources);
        all.push(if sources.contains(&None) { blanked(&matrix, &sources) } else { matrix });
    }
    let n_rows = all.iter().map(Matrix::n_rows).sum();
    if all.iter().all(|m| matches!(m, Matrix::Csr(_))) {
        let mut out = Csr { n_rows, n_cols: genes.len(), indptr: vec![0], ..Csr::default() };
        for matrix in &all {
            for row in 0..matrix.n_rows() {
                matrix.for_each_in_row(row, |column, value| {
                    out.indices.push(column as u32);
                    out.values.push(value);
                });
                out.indptr.push(out.values.len() as u64);
            }
        }
        return Ok(Matrix::Csr(out));
    }
    let values = all.iter().flat_map(|m| m.to_dense().values).collect();
    Ok(Matrix::Dense(Dense { n_rows, n_cols: genes.len(), values }))
}

/// NaN in the columns that the file lacks.
fn blanked(matrix: &Matrix, sources: &[Option<usize>]) -> Matrix {
    let mut dense = matrix.to_dense();
    for row in dense.values.chunks_mut(sources.len().max(1)) {
        row.iter_mut().zip(sources).filter(|(_, s)| s.is_none()).for_each(|(v, _)| *v = f32::NAN);
    }
    Matrix::Dense(dense)
}

/// Columns one under the other: numbers if all hold numbers, else labels.
fn joined(columns: &[Column]) -> Column {
    if let Some(numbers) = columns.iter().map(Column::to_reals).collect::<Option<Vec<_>>>() {
        return Column::new(Values::Real(numbers.concat()));
    }
    let parts: Vec<_> = columns.iter().map(Column::to_categories).collect();
    let mut labels: Vec<String> = vec![];
    let mut codes = vec![];
    for part in &parts {
        let new: Vec<i32> = part
            .labels
            .iter()
            .map(|l| {
                let at = labels.iter().position(|m| m == l).unwrap_or_else(|| {
                    labels.push(l.clone());
                    labels.len() - 1
                });
                at as i32
            })
            .collect();
        codes.extend(part.codes.iter().map(|c| usize::try_from(*c).map_or(-1, |c| new[c])));
    }
    Column::new(Values::Categorical { codes, categories: labels, ordered: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(genes: &[&str], cells: &[&str], values: Vec<f32>, donor: &str) -> AnnData {
        let n = cells.len();
        let mut data = NewAnnData {
            obs_names: cells.iter().map(|c| (*c).to_owned()).collect(),
            var_names: genes.iter().map(|g| (*g).to_owned()).collect(),
            x: Some(Matrix::Dense(Dense { n_rows: n, n_cols: genes.len(), values })),
            ..NewAnnData::default()
        };
        data.parts.obs.push(("donor".into(), Column::new(Values::Strings(vec![donor.into(); n]))));
        AnnData::from_memory("a.h5ad".as_ref(), data).unwrap()
    }

    #[test]
    fn genes_meet_by_label() {
        let a = small(&["g1", "g2"], &["a", "b"], vec![1.0, 2.0, 3.0, 4.0], "x");
        let b = small(&["g3", "g2"], &["c"], vec![5.0, 6.0], "y");
        let both = AnnData::concat(&[a.clone(), b.clone()], Join::Common).unwrap();
        assert_eq!(
            (both.obs_names(), both.var_names()),
            (&["a", "b", "c"].map(String::from)[..], &["g2".to_owned()][..])
        );
        assert_eq!(both.matrix(&FieldPath::X).unwrap().to_dense().values, [2.0, 4.0, 6.0]);
        let donor = both.column(&FieldPath::Obs("donor".into())).unwrap().to_categories();
        assert_eq!((donor.labels, donor.codes), (vec!["x".to_owned(), "y".to_owned()], vec![0, 0, 1]));
        let all = AnnData::concat(&[a, b], Join::All).unwrap();
        assert_eq!(all.var_names(), ["g1", "g2", "g3"]);
        let shown: Vec<String> =
            all.matrix(&FieldPath::X).unwrap().to_dense().values.iter().map(f32::to_string).collect();
        assert_eq!(shown, ["1", "2", "NaN", "3", "4", "NaN", "NaN", "6", "5"]);
    }
}
