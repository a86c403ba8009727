//! Writing all of some data as a new file: an `.h5ad`, or an `.h5mu` where there are several modalities.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use hdf5::Group;

use super::target::Gate;
use super::{Additions, Failure, NewAnnData, add, encode};
use crate::anndata::AnnData;
use crate::anndata::error::DataError;
use crate::anndata::path::FieldPath;

/// Bytes before the HDF5 part of an `.h5mu` file, where its readers look for a mark.
pub(super) const USER_BLOCK: u64 = 512;

/// All that `data` holds, read; its modalities are left out, as are entries of `uns` of a kind that is not supported.
///
/// # Errors
/// The first element that cannot be read.
pub fn gather(data: &AnnData) -> Result<NewAnnData, DataError> {
    let read = |path: FieldPath| data.contains(&path).then(|| data.matrix(&path)).transpose();
    let columns = |names: &[String], path: fn(String) -> FieldPath| {
        let column = |name: &String| Ok((name.clone(), data.column(&path(name.clone()))?));
        names.iter().map(column).collect::<Result<Vec<_>, DataError>>()
    };
    let matrices = |part: &str, path: fn(String) -> FieldPath| {
        let matrix = |name: String| Ok((name.clone(), data.matrix(&path(name))?));
        data.names_in(part).into_iter().map(matrix).collect::<Result<Vec<_>, DataError>>()
    };
    let mut parts = Additions {
        obs: columns(data.obs_columns(), FieldPath::Obs)?,
        var: columns(data.var_columns(), FieldPath::Var)?,
        layers: matrices("layers", FieldPath::Layer)?,
        obsp: matrices("obsp", FieldPath::Obsp)?,
        varp: matrices("varp", FieldPath::Varp)?,
        ..Additions::default()
    };
    for name in data.obsm_names() {
        let table = data.table(&FieldPath::Obsm(name.clone()))?;
        if let Some(labels) = table.labels {
            parts.labels.insert(name.clone(), labels);
        }
        parts.obsm.push((name, table.values));
    }
    for name in data.varm_names() {
        parts.varm.push((name.clone(), data.table(&FieldPath::Varm(name))?.values));
    }
    for name in data.uns_names() {
        if let Ok(value) = data.uns(&FieldPath::Uns(vec![name.clone()])) {
            parts.uns.push((name, value));
        }
    }
    if let Some(x) = read(FieldPath::RawX)? {
        let var = columns(&data.raw_var_columns()?, FieldPath::RawVar)?;
        parts.raw = Some(Box::new(NewAnnData {
            obs_names: Vec::new(),
            var_names: data.raw_var_names()?,
            x: Some(x),
            parts: Additions { var, ..Additions::default() },
        }));
    }
    Ok(NewAnnData {
        obs_names: data.obs_names().to_vec(),
        var_names: data.var_names().to_vec(),
        x: read(FieldPath::X)?,
        parts,
    })
}

/// Writes all of `data` under `root`.
pub(super) fn put_anndata(root: &Group, data: &NewAnnData, gate: Gate<'_>) -> Result<(), Failure> {
    encode::stamp(root, "anndata", "0.1.0")?;
    if let Some(x) = &data.x {
        gate("X")?;
        encode::put_matrix(root, "X", x)?;
    }
    put_frames_and_maps(root, data, gate)
}

fn put_frames_and_maps(root: &Group, data: &NewAnnData, gate: Gate<'_>) -> Result<(), Failure> {
    encode::put_frame(root, "obs", &data.obs_names, &[])?;
    encode::put_frame(root, "var", &data.var_names, &[])?;
    for part in ["layers", "obsm", "obsp", "uns", "varm", "varp"] {
        encode::put_map(root, part, &BTreeMap::new())?;
    }
    let tables = Additions { labels: BTreeMap::new(), obsm: Vec::new(), ..data.parts.clone() };
    add(root, &tables, &mut (Vec::new(), Vec::new()), gate)?;
    let obsm = root.group("obsm")?;
    for (name, table) in &data.parts.obsm {
        super::check_name(name)?;
        gate(&format!("obsm.{name}"))?;
        match data.parts.labels.get(name) {
            Some(labels) => encode::put_table(&obsm, name, &data.obs_names, labels, table)?,
            None => encode::put_dense(&obsm, name, table)?,
        }
    }
    if let Some(raw) = &data.parts.raw {
        gate("raw")?;
        let group = encode::put_group(root, "raw", "raw", "0.1.0")?;
        if let Some(x) = &raw.x {
            encode::put_matrix(&group, "X", x)?;
        }
        encode::put_frame(&group, "var", &raw.var_names, &raw.parts.var)?;
    }
    Ok(())
}

/// Writes `whole`, what the modalities share, and each modality with its cells' rows in the whole and its genes'.
pub(super) fn put_mudata(
    root: &Group,
    whole: &NewAnnData,
    modalities: &[(String, NewAnnData, Vec<Option<usize>>)],
    gate: Gate<'_>,
) -> Result<(), Failure> {
    put_frames_and_maps(root, whole, gate)?;
    root.unlink("layers")?;
    encode::stamp(root, "MuData", "0.1.0")?;
    encode::put_mudata_marks(root)?;
    let group = root.create_group("mod")?;
    let names: Vec<String> = modalities.iter().map(|(name, _, _)| name.clone()).collect();
    encode::put_texts_attribute(&group, "mod-order", &names)?;
    let (obs_map, var_map) = (
        encode::put_group(root, "obsmap", "dict", "0.1.0")?,
        encode::put_group(root, "varmap", "dict", "0.1.0")?,
    );
    let m = whole.var_names.len();
    let mut first = 0;
    for (name, data, rows) in modalities {
        super::check_name(name)?;
        put_anndata(&group.create_group(name)?, data, gate)?;
        let genes: Vec<u32> = (0..m)
            .map(|at| {
                at.checked_sub(first).filter(|at| *at < data.var_names.len()).map_or(0, |at| at as u32 + 1)
            })
            .collect();
        first += data.var_names.len();
        let cells: Vec<u32> = rows.iter().map(|row| row.map_or(0, |row| row as u32 + 1)).collect();
        for (axis, map, tables, numbers) in
            [("obsm", &obs_map, root.group("obsm")?, &cells), ("varm", &var_map, root.group("varm")?, &genes)]
        {
            gate(&format!("{axis}.{name}"))?;
            encode::put_array(map, name, numbers, &[numbers.len()])?;
            let present: Vec<bool> = numbers.iter().map(|n| *n > 0).collect();
            encode::clear(&tables, name)?;
            encode::put_array(&tables, name, &present, &[present.len()])?;
        }
    }
    Ok(())
}

/// Writes the mark by which readers of `.h5mu` know it into the bytes before its HDF5 part.
pub(super) fn mark_mudata(file: &Path) -> std::io::Result<()> {
    let text =
        format!("MuData (format-version=0.1.0;creator=svic;creator-version={})", env!("CARGO_PKG_VERSION"));
    let mut out = std::fs::OpenOptions::new().write(true).open(file)?;
    out.seek(SeekFrom::Start(0))?;
    out.write_all(text.as_bytes())
}

/// What the modalities of `data` share, and each of them with the row of every cell of the whole in it.
pub(super) type Parts = (NewAnnData, Vec<(String, NewAnnData, Vec<Option<usize>>)>);

/// All parts of data of several modalities.
pub(super) fn gather_modalities(data: &AnnData) -> Result<Parts, DataError> {
    let mut whole = gather(data)?;
    let mut parts = Vec::new();
    for (name, modality) in &data.modalities {
        whole.parts.obsm.retain(|(other, _)| other != name);
        whole.parts.varm.retain(|(other, _)| other != name);
        parts.push((name.clone(), gather(modality)?, data.modality_rows(name)?));
    }
    Ok((whole, parts))
}
