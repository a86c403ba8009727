//! Putting files together: cells of several under each other, or more measurements of the same cells.

use crate::anndata::{AnnData, Column, Concat, DataError, Dense, Join, NewAnnData, Values, positions};

/// The cells of all `parts`, each with a label, under each other, and what could not be kept. Column `batch` of `obs`
/// says which part, by its label, a cell is from, and `-label` is put after its name.
///
/// Genes and columns of `obs` are those that all parts have, or those that any has: a count that a part lacks is then
/// zero. The rest is as [`AnnData::concat`] has it.
///
/// # Errors
/// As [`AnnData::concat`].
pub fn concatenate(
    parts: &[(String, AnnData)],
    batch: &str,
    join: Join,
) -> Result<(NewAnnData, Vec<String>), DataError> {
    let opened: Vec<AnnData> = parts.iter().map(|(_, part)| part.clone()).collect();
    let (mut out, left) = AnnData::concat(&opened, Concat { genes: join, columns: join, absent: 0.0 })?;
    let which = |(at, (_, part)): (usize, &(String, AnnData))| vec![at as i32; part.n_obs()];
    let codes = parts.iter().enumerate().flat_map(which).collect::<Vec<i32>>();
    let categories = parts.iter().map(|(label, _)| label.clone()).collect();
    for (name, code) in out.obs_names.iter_mut().zip(&codes) {
        *name = format!("{name}-{}", parts[*code as usize].0);
    }
    out.parts.obs.retain(|(other, _)| other != batch);
    let column = Column::new(Values::Categorical { codes, categories, ordered: false });
    out.parts.obs.push((batch.to_owned(), column));
    Ok((out, left))
}

/// Adds the matrix of `other`, of the same cells, as table `name` of `obsm` with the names of its columns. Cells that
/// `other` lacks get NaN.
///
/// # Errors
/// `other` has no `X`, has a cell twice, or none of the cells; the table does not fit into memory.
pub fn add_table(data: &mut NewAnnData, other: &NewAnnData, name: &str) -> Result<usize, String> {
    let Some(x) = &other.x else { return Err("it has no `X`".to_owned()) };
    let mut sorted: Vec<&String> = other.obs_names.iter().collect();
    sorted.sort();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("it has the cell `{}` more than once", pair[0]));
    }
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
    let mut values = Vec::new();
    if n.checked_mul(m).is_none_or(|size| values.try_reserve_exact(size).is_err()) {
        return Err(format!("a table of {n} x {m} values does not fit into memory; choose columns first"));
    }
    values.resize(n * m, f32::NAN);
    let mut table = Dense { n_rows: n, n_cols: m, values };
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
