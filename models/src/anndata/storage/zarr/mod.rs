//! Zarr stores of version 2 and 3: a folder, or a `.zip` of one.
//!
//! <https://zarr-specs.readthedocs.io>: what anndata writes of it, and the usual codecs; others are refused by name.

mod array;
mod blosc;
mod codec;
mod meta;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Node, Place};
use crate::anndata::error::DataError;

pub(in crate::anndata) use array::Array;
pub(in crate::anndata) use store::Store;

/// A group of a store.
#[derive(Clone, Debug)]
pub(in crate::anndata) struct Group {
    store: Store,
    /// Its key, without a slash at the end; empty for the root.
    path: String,
    attributes: Map<String, Value>,
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") }
}

/// The JSON object under `key`; `None` where there is none.
fn object(store: &Store, key: &str, place: &Place<'_>) -> Result<Option<Map<String, Value>>, DataError> {
    let Some(bytes) = store.get(key, place)? else { return Ok(None) };
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(map)) => Ok(Some(map)),
        Ok(_) => Err(place.malformed(format!("`{key}` should hold a JSON object"))),
        Err(e) => Err(place.malformed(format!("`{key}` is not JSON: {e}"))),
    }
}

fn attributes_of(map: &mut Map<String, Value>) -> Map<String, Value> {
    match map.remove("attributes") {
        Some(Value::Object(attributes)) => attributes,
        _ => Map::new(),
    }
}

impl Group {
    /// The group at the root of `store`; `None` if there is none.
    pub fn root(store: Store, place: &Place<'_>) -> Result<Option<Arc<Self>>, DataError> {
        match node(&store, "", place)? {
            Some(Node::Group(super::Group::Zarr(group))) => Ok(Some(group)),
            _ => Ok(None),
        }
    }

    /// Its attributes.
    pub fn attributes(&self) -> &Map<String, Value> {
        &self.attributes
    }

    /// Whether there is a member `name`.
    pub fn has(&self, name: &str) -> bool {
        self.member_names().iter().any(|n| n == name)
    }

    /// The member `name`.
    pub fn member(&self, name: &str, place: &Place<'_>) -> Result<Option<Node>, DataError> {
        node(&self.store, &joined(&self.path, name), place)
    }

    /// The names of its members, sorted.
    pub fn member_names(&self) -> Vec<String> {
        let is_node = |name: &String| {
            let path = joined(&self.path, name);
            ["zarr.json", ".zgroup", ".zarray"].iter().any(|file| self.store.has(&joined(&path, file)))
        };
        self.store.folders(&self.path).into_iter().filter(is_node).collect()
    }
}

/// The group or array at `path`.
fn node(store: &Store, path: &str, place: &Place<'_>) -> Result<Option<Node>, DataError> {
    let group = |attributes| {
        let group = Group { store: store.clone(), path: path.to_owned(), attributes };
        Some(Node::Group(super::Group::Zarr(Arc::new(group))))
    };
    let array = |meta, attributes| {
        let array = Array::new(store.clone(), path.to_owned(), meta, attributes);
        Some(Node::Dataset(super::Array::Zarr(Arc::new(array))))
    };
    if let Some(mut about) = object(store, &joined(path, "zarr.json"), place)? {
        let attributes = attributes_of(&mut about);
        return match about.get("node_type").and_then(Value::as_str) {
            Some("group") => Ok(group(attributes)),
            Some("array") => Ok(array(meta::Meta::version_3(&about, place)?, attributes)),
            _ => Err(place.malformed("its `zarr.json` says neither `group` nor `array`")),
        };
    }
    let attributes = || object(store, &joined(path, ".zattrs"), place).map(Option::unwrap_or_default);
    if let Some(about) = object(store, &joined(path, ".zarray"), place)? {
        return Ok(array(meta::Meta::version_2(&about, place)?, attributes()?));
    }
    if store.has(&joined(path, ".zgroup")) {
        return Ok(group(attributes()?));
    }
    Ok(None)
}

/// The texts of attribute `name`, one if it is not a list.
pub(in crate::anndata) fn attribute_texts(
    attributes: &Map<String, Value>,
    name: &str,
    place: &Place<'_>,
) -> Result<Option<Vec<String>>, DataError> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        other => Err(place.malformed(format!("its attribute `{name}` should hold texts, found {other}"))),
    };
    match attributes.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(values)) => values.iter().map(text).collect::<Result<_, _>>().map(Some),
        Some(value) => text(value).map(|text| Some(vec![text])),
    }
}

/// The integers of attribute `name`; truth values count as 0 and 1.
pub(in crate::anndata) fn attribute_integers(
    attributes: &Map<String, Value>,
    name: &str,
    place: &Place<'_>,
) -> Result<Option<Vec<i64>>, DataError> {
    let number = |value: &Value| match value {
        Value::Bool(value) => Ok(i64::from(*value)),
        other => other.as_i64().ok_or_else(|| {
            place.malformed(format!("its attribute `{name}` should hold integers, found {other}"))
        }),
    };
    match attributes.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(values)) => values.iter().map(number).collect::<Result<_, _>>().map(Some),
        Some(value) => number(value).map(|number| Some(vec![number])),
    }
}
