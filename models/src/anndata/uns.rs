//! What `uns` may hold: dictionaries, texts, numbers and arrays of them.

use std::collections::BTreeMap;

use super::column::Values;
use super::error::DataError;
use super::frame;
use super::storage::{self, Array, Element, Node, Place};

/// How deep dictionaries may be nested.
const MAX_DEPTH: usize = 32;
/// How many entries one read may meet: links can make a small file look endless.
const MAX_ENTRIES: usize = 100_000;

/// A value in `uns`. Arrays have a shape and their elements in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum UnsValue {
    /// A text.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A number.
    Real(f64),
    /// A truth value.
    Bool(bool),
    /// A list of texts.
    Texts(Vec<String>),
    /// An array of integers: shape, elements.
    Integers(Vec<usize>, Vec<i64>),
    /// An array of numbers: shape, elements.
    Reals(Vec<usize>, Vec<f64>),
    /// A list of truth values.
    Bools(Vec<bool>),
    /// A dictionary.
    Map(BTreeMap<String, UnsValue>),
}

/// Reads the value at `node`.
///
/// # Errors
/// Kinds that are not listed in [`UnsValue`]: sparse matrices, data frames, records.
pub(super) fn read(node: &Node, place: &Place<'_>) -> Result<UnsValue, DataError> {
    read_nested(node, place, 0, &mut 0)
}

fn read_nested(
    node: &Node,
    place: &Place<'_>,
    depth: usize,
    n_met: &mut usize,
) -> Result<UnsValue, DataError> {
    *n_met += 1;
    if *n_met > MAX_ENTRIES {
        return Err(place.malformed(format!("it has more than {MAX_ENTRIES} entries")));
    }
    let group = match node {
        Node::Dataset(data) => return read_dataset(data, place),
        Node::Group(group) => group,
    };
    if depth > MAX_DEPTH {
        return Err(place.malformed(format!("it is nested more than {MAX_DEPTH} deep")));
    }
    match storage::attribute_text(group, "encoding-type", place).as_deref() {
        None | Some("dict") => {
            let mut map = BTreeMap::new();
            for name in storage::member_names(group, place)? {
                let inner = place.child(&name);
                if let Some(node) = storage::member(group, &name, &inner)? {
                    map.insert(name, read_nested(&node, &inner, depth + 1, n_met)?);
                }
            }
            Ok(UnsValue::Map(map))
        }
        Some("categorical" | "nullable-integer" | "nullable-boolean" | "nullable-string-array") => {
            let column = frame::read_column(node, group, "", place)?;
            let n = column.len();
            Ok(match column.values {
                Values::Categorical { codes, categories, .. } => UnsValue::Texts(
                    codes.iter().map(|&c| categories.get(c as usize).cloned().unwrap_or_default()).collect(),
                ),
                Values::Strings(v) => UnsValue::Texts(v),
                Values::Integer(v) => UnsValue::Integers(vec![n], v),
                Values::Real(v) => UnsValue::Reals(vec![n], v),
                Values::Bool(v) => UnsValue::Bools(v),
            })
        }
        Some(other) => Err(place.malformed(format!("elements of type `{other}` in `uns` are not supported"))),
    }
}

fn read_dataset(data: &Array, place: &Place<'_>) -> Result<UnsValue, DataError> {
    let scalar = data.ndim() == 0;
    match storage::element_type(data, place)? {
        Element::Bool => {
            let values = storage::read_bool(data, place)?;
            Ok(if scalar && values.len() == 1 { UnsValue::Bool(values[0]) } else { UnsValue::Bools(values) })
        }
        Element::Integer => {
            let (values, shape) = storage::read_i64(data, place)?;
            Ok(if scalar && values.len() == 1 {
                UnsValue::Integer(values[0])
            } else {
                UnsValue::Integers(shape, values)
            })
        }
        Element::Real => {
            let (values, shape) = storage::read_f64(data, place)?;
            Ok(if scalar && values.len() == 1 {
                UnsValue::Real(values[0])
            } else {
                UnsValue::Reals(shape, values)
            })
        }
        Element::Other => {
            let mut values = storage::read_strings(data, place)?;
            Ok(match values.pop() {
                Some(text) if scalar => UnsValue::Text(text),
                Some(text) => {
                    values.push(text);
                    UnsValue::Texts(values)
                }
                None => UnsValue::Texts(values),
            })
        }
    }
}
