//! What holds of any data file whatever: it is read or refused. Everything that a caller can ask of one is asked.

use std::path::Path;
use svi::anndata::{
    Additions, AnnData, Column, FieldPath, UnsValue, Values, WriteOptions, gather, write_copy,
};
use svi::prepare::{self, Role};

/// Opens the file at `path` and reads all that there is in it; the number of fields read, `None` where it is refused.
pub fn reader(path: &Path) -> Option<usize> {
    let data = AnnData::open(path).inspect_err(shown).ok()?;
    let mut n = one(&data);
    for name in data.modality_names() {
        let _ = data.modality_rows(name).inspect_err(shown);
        n += data.modality(name).map_or(0, one);
    }
    let _ = prepare::survey(&data).inspect_err(shown);
    for role in [Role::Counts, Role::Batch, Role::Labels] {
        n += prepare::candidates(&data, role).len();
    }
    Some(n)
}

/// Writes a copy of the file at `path` to `copy` with a column, a table and an entry of `uns` more.
pub fn copier(path: &Path, copy: &Path) -> bool {
    let Ok(data) = AnnData::open(path) else { return false };
    let column = Column::new(Values::Integer(vec![1; data.n_obs()]));
    let more = Additions {
        obs: vec![("svic_score".into(), column)],
        uns: vec![("svic".into(), UnsValue::Integer(1))],
        ..Additions::default()
    };
    let options = WriteOptions { overwrite: true, in_place: false };
    write_copy(path, copy, &more, options).inspect_err(shown).is_ok() && reader(copy).is_some()
}

/// An error can be shown, and says something.
fn shown(error: &svi::anndata::DataError) {
    assert!(!error.to_string().is_empty() && error.code().starts_with('E'), "{error:?}");
}

/// All fields of one AnnData.
fn one(data: &AnnData) -> usize {
    let mut n = data.layers_holding_counts().len();
    let named = |part: &str, path: fn(String) -> FieldPath| {
        data.names_in(part).into_iter().map(path).collect::<Vec<_>>()
    };
    let matrices = [FieldPath::X, FieldPath::RawX]
        .into_iter()
        .chain(named("layers", FieldPath::Layer))
        .chain(named("obsp", FieldPath::Obsp))
        .chain(named("varp", FieldPath::Varp));
    for path in matrices {
        n += usize::from(data.matrix(&path).inspect_err(shown).is_ok());
        let _ = data.axes(&path);
        if let Ok(rows) = data.row_reader(&path) {
            let all = rows.n_rows();
            for span in [0..all.min(3), all / 2..(all / 2 + 5).min(all), all..all + 1] {
                let _ = rows.read(span);
            }
        }
    }
    for path in named("obsm", FieldPath::Obsm).into_iter().chain(named("varm", FieldPath::Varm)) {
        n += usize::from(data.table(&path).inspect_err(shown).is_ok());
    }
    let columns =
        |names: &[String], path: fn(String) -> FieldPath| names.iter().cloned().map(path).collect::<Vec<_>>();
    let raw = data.raw_var_columns().unwrap_or_default();
    let all = columns(data.obs_columns(), FieldPath::Obs)
        .into_iter()
        .chain(columns(data.var_columns(), FieldPath::Var))
        .chain(columns(&raw, FieldPath::RawVar));
    for path in all {
        let column = data.column(&path).inspect_err(shown);
        n += usize::from(column.is_ok_and(|c| c.to_categories().codes.len() == c.len()));
    }
    for path in named("uns", |name| FieldPath::Uns(vec![name])) {
        n += usize::from(data.uns(&path).inspect_err(shown).is_ok());
    }
    let absent = FieldPath::Layer("not there".into());
    assert!(data.matrix(&absent).is_err());
    let _ = gather(data).inspect_err(shown);
    n
}
