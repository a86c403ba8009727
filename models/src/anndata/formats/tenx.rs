//! Matrices of 10x Genomics in HDF5: Cell Ranger 2 (a group per genome), Cell Ranger 3 and later (`matrix`, with
//! features of several types), and files that other tools write in their image.

use std::path::Path;

use super::super::column::Column;
use super::super::error::DataError;
use super::super::frame::read_array;
use super::super::matrix::Matrix;
use super::super::sparse;
use super::super::storage::{self, Group, Node, Place};
use super::super::write::{Additions, NewAnnData};
use super::{Found, by_feature_type, texts};

/// Whether `root` is such a file: how its groups are called, `None` if it is not.
pub(in super::super) fn groups(root: &Group, path: &Path) -> Option<Vec<String>> {
    let place = Place::new(path, "");
    let is_matrix =
        |group: &Group| ["barcodes", "data", "indices", "indptr"].iter().all(|name| group.has(name));
    let names = storage::member_names(root, &place).ok()?;
    let found: Vec<String> = names
        .into_iter()
        .filter(
            |name| matches!(storage::member(root, name, &place), Ok(Some(Node::Group(g))) if is_matrix(&g)),
        )
        .collect();
    (!found.is_empty()).then_some(found)
}

/// Reads the groups of such a file.
///
/// # Errors
/// E0713 when parts are damaged or do not fit each other.
pub(in super::super) fn read(root: &Group, names: &[String], path: &Path) -> Result<Found, DataError> {
    let one = |name: &String| {
        let place = Place::new(path, name.clone());
        match storage::member(root, name, &place)? {
            Some(Node::Group(group)) => read_group(&group, &place),
            _ => Err(place.malformed("it is missing")),
        }
    };
    match names {
        [name] => one(name).map(by_feature_type),
        _ => names
            .iter()
            .map(|name| Ok((name.clone(), one(name)?)))
            .collect::<Result<_, _>>()
            .map(Found::Several),
    }
}

fn strings(group: &Group, name: &str, place: &Place<'_>) -> Result<Option<Vec<String>>, DataError> {
    match storage::member(group, name, place)? {
        Some(Node::Dataset(data)) => storage::read_strings(&data, &place.child(name)).map(Some),
        _ => Ok(None),
    }
}

fn read_group(group: &Group, place: &Place<'_>) -> Result<NewAnnData, DataError> {
    let barcodes =
        storage::read_strings(&storage::dataset(group, "barcodes", place)?, &place.child("barcodes"))?;
    let (names, var) = match storage::member(group, "features", place)? {
        Some(Node::Group(features)) => read_features(&features, &place.child("features"))?,
        _ => {
            let absent = || place.malformed("neither `features` nor `genes` is there");
            let ids = strings(group, "genes", place)?.ok_or_else(absent)?;
            let names = strings(group, "gene_names", place)?.unwrap_or_else(|| ids.clone());
            (names, vec![("gene_ids".to_owned(), texts(ids))])
        }
    };
    let (n, m) = (barcodes.len(), names.len());
    let shape = storage::read_i64(&storage::dataset(group, "shape", place)?, &place.child("shape"))?.0;
    if shape != [m as i64, n as i64] {
        let message = format!("its shape is {shape:?}, but there are {m} features and {n} barcodes");
        return Err(place.malformed(message));
    }
    if let Some((name, column)) = var.iter().find(|(_, column)| column.len() != m) {
        let message = format!("it has {} entries, but there are {m} features", column.len());
        return Err(place.child("features").child(name).malformed(message));
    }
    // Compressed columns of features by barcodes are compressed rows of cells by genes.
    let x = sparse::read_compressed(group, sparse::Format::Rows, n, m, place)?;
    let mut obs = Vec::new();
    if let Some(Node::Dataset(data)) = storage::member(group, "filtered_barcodes", place)? {
        obs.push(("filtered_barcodes".to_owned(), read_array(&data, &place.child("filtered_barcodes"))?));
    }
    let parts = Additions { obs, var, ..Additions::default() };
    Ok(NewAnnData { obs_names: barcodes, var_names: names, x: Some(Matrix::Csr(x)), parts })
}

/// Names of features, and columns about them.
type Features = (Vec<String>, Vec<(String, Column)>);

/// The names of the features, and what is said of each.
fn read_features(features: &Group, place: &Place<'_>) -> Result<Features, DataError> {
    let id = strings(features, "id", place)?;
    let name = strings(features, "name", place)?;
    let names =
        name.or_else(|| id.clone()).ok_or_else(|| place.malformed("neither `name` nor `id` is there"))?;
    let mut var = Vec::new();
    let of_probes = strings(features, "gene_id", place)?;
    match (of_probes, id) {
        (Some(genes), Some(probes)) => {
            var.push(("gene_ids".to_owned(), texts(genes)));
            var.push(("probe_ids".to_owned(), texts(probes)));
        }
        (None, Some(genes)) => var.push(("gene_ids".to_owned(), texts(genes))),
        _ => {}
    }
    for member in storage::member_names(features, place)? {
        if matches!(member.as_str(), "id" | "name" | "gene_id" | "_all_tag_keys") {
            continue;
        }
        let inner = place.child(&member);
        let Some(Node::Dataset(data)) = storage::member(features, &member, &inner)? else { continue };
        if data.ndim() == 1 {
            let column = if member == "feature_type" { "feature_types" } else { member.as_str() };
            var.push((column.to_owned(), read_array(&data, &inner)?));
        }
    }
    Ok((names, var))
}
