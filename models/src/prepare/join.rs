//! Putting files together: cells of several under each other, or more measurements of the same cells.

use std::collections::BTreeMap;

use crate::anndata::{Additions, Column, Dense, Matrix, NewAnnData, Values};

/// Which genes and columns the whole has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Join {
    /// Those that all parts have, in the order of the first.
    #[default]
    Inner,
    /// Those that any part has, in order of appearance; counts that a part lacks are zero.
    Outer,
}

/// The cells of all `parts` under each other; column `batch` of `obs` says which part, by its label, a cell is from,
/// and `-label` is put after its name.
///
/// Kept are `X`, the layers that all parts have, and columns of `obs` as `join` says; columns of `var` are those of the
/// first part that has the gene.
///
/// # Errors
/// No part; parts without genes in common; a part that has a gene twice; what only some parts have where all must.
pub fn concatenate(parts: &[(String, NewAnnData)], batch: &str, join: Join) -> Result<NewAnnData, String> {
    let Some((_, first)) = parts.first() else { return Err("there is nothing to put together".to_owned()) };
    for (label, part) in parts {
        let mut names: Vec<&String> = part.var_names.iter().collect();
        names.sort();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("`{label}` has the gene `{}` more than once", pair[0]));
        }
    }
    let genes = labels(parts.iter().map(|(_, part)| part.var_names.as_slice()), join);
    if genes.is_empty() {
        return Err("the files have no genes in common; are their names of one kind?".to_owned());
    }
    let sources: Vec<Vec<Option<usize>>> =
        parts.iter().map(|(_, part)| positions(&genes, &part.var_names)).collect();
    let stack = |matrix: &dyn Fn(&NewAnnData) -> Option<Matrix>| -> Option<Matrix> {
        let parts: Option<Vec<Matrix>> =
            parts.iter().zip(&sources).map(|((_, p), s)| matrix(p).map(|m| m.with_columns(s))).collect();
        Matrix::stacked(&parts?)
    };
    let layer = |name: &str| {
        stack(&|part| part.parts.layers.iter().find(|(other, _)| other == name).map(|(_, m)| m.clone()))
    };
    let layers =
        first.parts.layers.iter().filter_map(|(name, _)| Some((name.clone(), layer(name)?))).collect();
    let names = labels(
        parts
            .iter()
            .map(|(_, p)| p.parts.obs.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>())
            .collect::<Vec<_>>()
            .iter()
            .map(Vec::as_slice),
        join,
    );
    let mut obs: Vec<(String, Column)> = Vec::new();
    for name in names.into_iter().filter(|name| name != batch) {
        let columns: Vec<(usize, Option<&Column>)> = parts
            .iter()
            .map(|(_, p)| {
                (p.obs_names.len(), p.parts.obs.iter().find(|(other, _)| *other == name).map(|(_, c)| c))
            })
            .collect();
        obs.push((name, stacked_column(&columns)));
    }
    let codes =
        parts.iter().enumerate().flat_map(|(at, (_, part))| vec![at as i32; part.obs_names.len()]).collect();
    let categories = parts.iter().map(|(label, _)| label.clone()).collect();
    obs.push((batch.to_owned(), Column::new(Values::Categorical { codes, categories, ordered: false })));
    let named = |(label, part): &(String, NewAnnData)| {
        part.obs_names.iter().map(|name| format!("{name}-{label}")).collect::<Vec<_>>()
    };
    let var = first.parts.var.iter().filter(|_| join == Join::Inner).map(|(name, column)| {
        let rows: Vec<usize> = sources[0].iter().flatten().copied().collect();
        (name.clone(), column.rows(&rows))
    });
    Ok(NewAnnData {
        obs_names: parts.iter().flat_map(named).collect(),
        x: stack(&|part| part.x.clone()),
        parts: Additions { obs, var: var.collect(), layers, ..Additions::default() },
        var_names: genes,
    })
}

fn labels<'a>(lists: impl Iterator<Item = &'a [String]>, join: Join) -> Vec<String> {
    let lists: Vec<&[String]> = lists.collect();
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    let mut order: Vec<&str> = Vec::new();
    for label in lists.iter().flat_map(|list| list.iter()) {
        let n = count.entry(label).or_insert(0);
        *n += 1;
        if *n == 1 {
            order.push(label);
        }
    }
    let kept = order.into_iter().filter(|label| join == Join::Outer || count[label] == lists.len());
    kept.map(str::to_owned).collect()
}

fn positions(wanted: &[String], found: &[String]) -> Vec<Option<usize>> {
    let at: BTreeMap<&str, usize> =
        found.iter().enumerate().map(|(at, label)| (label.as_str(), at)).collect();
    wanted.iter().map(|label| at.get(label.as_str()).copied()).collect()
}

/// Columns under each other; a part without one has missing values. Columns of different kinds become texts, then
/// categories.
fn stacked_column(columns: &[(usize, Option<&Column>)]) -> Column {
    let present = || columns.iter().filter_map(|(_, column)| *column);
    let n: usize = columns.iter().map(|(n, _)| n).sum();
    let complete = columns.iter().all(|(_, column)| column.is_some_and(|c| c.n_missing() == 0));
    if present().all(|c| matches!(c.values, Values::Integer(_))) && complete {
        let values = present().flat_map(|c| match &c.values {
            Values::Integer(v) => v.clone(),
            _ => Vec::new(),
        });
        return Column::new(Values::Integer(values.collect()));
    }
    if present().all(|c| matches!(c.values, Values::Bool(_))) && complete {
        let values = present().flat_map(|c| match &c.values {
            Values::Bool(v) => v.clone(),
            _ => Vec::new(),
        });
        return Column::new(Values::Bool(values.collect()));
    }
    if present().all(|c| matches!(c.values, Values::Real(_) | Values::Integer(_))) {
        let values =
            columns.iter().flat_map(|(n, c)| c.and_then(Column::to_reals).unwrap_or(vec![f64::NAN; *n]));
        return Column::new(Values::Real(values.collect()));
    }
    let mut labels: Vec<String> = Vec::new();
    let mut codes = Vec::with_capacity(n);
    for (n, column) in columns {
        let Some(column) = column else {
            codes.resize(codes.len() + n, -1);
            continue;
        };
        let found = column.to_categories();
        let new: Vec<i32> = found
            .labels
            .iter()
            .map(|label| match labels.iter().position(|l| l == label) {
                Some(at) => at as i32,
                None => {
                    labels.push(label.clone());
                    labels.len() as i32 - 1
                }
            })
            .collect();
        codes.extend(found.codes.iter().map(|&c| usize::try_from(c).map_or(-1, |c| new[c])));
    }
    Column::new(Values::Categorical { codes, categories: labels, ordered: false })
}

/// Adds the matrix of `other`, of the same cells, as table `name` of `obsm` with the names of its columns. Cells that
/// `other` lacks get NaN.
///
/// # Errors
/// `other` has no `X`, has a cell twice, or none of the cells.
pub fn add_table(data: &mut NewAnnData, other: &NewAnnData, name: &str) -> Result<usize, String> {
    let Some(x) = &other.x else { return Err("it has no `X`".to_owned()) };
    let rows = positions(&data.obs_names, &other.obs_names);
    let n_found = rows.iter().flatten().count();
    if n_found == 0 {
        let shown = |names: &[String]| names.first().cloned().unwrap_or_default();
        return Err(format!(
            "it has none of the cells: the data have `{}`, it has `{}`",
            shown(&data.obs_names),
            shown(&other.obs_names)
        ));
    }
    let (n, m) = (data.obs_names.len(), x.n_cols());
    let mut table = Dense { n_rows: n, n_cols: m, values: vec![f32::NAN; n * m] };
    for (row, source) in rows.iter().enumerate() {
        if let Some(source) = *source {
            x.copy_row(source, &mut table.values[row * m..(row + 1) * m]);
        }
    }
    data.parts.obsm.retain(|(other, _)| other != name);
    data.parts.obsm.push((name.to_owned(), table));
    data.parts.labels.insert(name.to_owned(), other.var_names.clone());
    Ok(n - n_found)
}
