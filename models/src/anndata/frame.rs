//! Data frames: `obs`, `var` and frames inside `obsm` and `varm`, in every layout that anndata has written.

use std::sync::Arc;

use super::Table;
use super::column::{Column, Values};
use super::error::DataError;
use super::matrix::Dense;
use super::records::Records;
use super::storage::{self, Array, Element, Group, Node, Owner, Place};

/// A data frame of a file, its columns unread.
#[derive(Clone, Debug)]
pub(super) enum Frame {
    /// A group with one member per column (since anndata 0.7).
    Group(Group),
    /// One dataset of records (before anndata 0.7), and the group `uns` that holds the labels of its categories.
    Records(Array, Option<Group>),
}

/// What is known of a frame before its columns are read.
#[derive(Clone, Debug, Default)]
pub(super) struct FrameHeader {
    /// The labels of the rows.
    pub index: Arc<Vec<String>>,
    /// The names of the columns in order.
    pub columns: Vec<String>,
}

/// Names that old versions gave to the index of a frame.
const INDEX_NAMES: [&str; 2] = ["index", "_index"];

impl Frame {
    /// The frame at `node`.
    pub fn new(node: Node, uns: Option<Group>) -> Self {
        match node {
            Node::Group(group) => Self::Group(group),
            Node::Dataset(data) => Self::Records(data, uns),
        }
    }

    /// Reads the labels of the rows and the names of the columns.
    pub fn header(&self, place: &Place<'_>) -> Result<FrameHeader, DataError> {
        match self {
            Self::Group(group) => group_header(group, place),
            Self::Records(data, _) => {
                let records = Records::read(data, place)?;
                let index_name = records_index(&records, place)?;
                let index = texts_of(records.column(&index_name, place)?);
                let columns = records.names().filter(|n| *n != index_name).map(str::to_owned).collect();
                Ok(FrameHeader { index: Arc::new(index), columns })
            }
        }
    }

    /// Reads column `name`; `None` if there is none. The caller checks its length.
    pub fn column(&self, name: &str, place: &Place<'_>) -> Result<Option<Column>, DataError> {
        match self {
            Self::Group(group) => match storage::member(group, name, place)? {
                Some(node) => read_column(&node, group, name, place).map(Some),
                None => Ok(None),
            },
            Self::Records(data, uns) => {
                let records = Records::read(data, place)?;
                if !records.names().any(|n| n == name) {
                    return Ok(None);
                }
                let column = records.column(name, place)?;
                match (column.values, uns) {
                    (Values::Integer(codes), Some(uns)) => old_categories(codes, name, uns, place).map(Some),
                    (values, _) => Ok(Some(Column::new(values))),
                }
            }
        }
    }
}

fn records_index(records: &Records, place: &Place<'_>) -> Result<String, DataError> {
    let named = INDEX_NAMES.iter().find(|n| records.names().any(|m| m == **n)).map(|n| (*n).to_owned());
    named
        .or_else(|| records.names().next().map(str::to_owned))
        .ok_or_else(|| place.malformed("its records have no fields"))
}

/// Any column as texts, for labels of rows.
fn texts_of(column: Column) -> Vec<String> {
    match column.values {
        Values::Strings(texts) => texts,
        Values::Integer(v) => v.iter().map(i64::to_string).collect(),
        Values::Real(v) => v.iter().map(|x| format!("{x:?}")).collect(),
        Values::Bool(v) => v.iter().map(|b| if *b { "True" } else { "False" }.to_owned()).collect(),
        Values::Categorical { codes, categories, .. } => codes
            .iter()
            .map(|&c| usize::try_from(c).ok().and_then(|c| categories.get(c)).cloned().unwrap_or_default())
            .collect(),
    }
}

fn group_header(group: &Group, place: &Place<'_>) -> Result<FrameHeader, DataError> {
    let members = storage::member_names(group, place)?;
    let index_name = match storage::attribute_text(group, "_index", place) {
        Some(name) => name,
        None => INDEX_NAMES
            .iter()
            .find(|n| members.iter().any(|m| m == *n))
            .map(|n| (*n).to_owned())
            .ok_or_else(|| place.malformed("a data frame is expected, found a group without an index"))?,
    };
    let inner = place.child(&index_name);
    let node = storage::member(group, &index_name, &inner)?
        .ok_or_else(|| inner.malformed("the index of the data frame is missing"))?;
    let index = texts_of(read_column(&node, group, &index_name, &inner)?);
    let mut columns = storage::attribute_texts(group, "column-order", place)?.unwrap_or_default();
    columns.retain(|c| members.contains(c) && *c != index_name);
    for name in members {
        if name != index_name && name != "__categories" && !columns.contains(&name) {
            columns.push(name);
        }
    }
    Ok(FrameHeader { index: Arc::new(index), columns })
}

/// Reads the column or array at `node`, a member of the frame `parent`.
pub(super) fn read_column(
    node: &Node,
    parent: &Group,
    name: &str,
    place: &Place<'_>,
) -> Result<Column, DataError> {
    match node {
        Node::Group(group) => read_encoded(group, place),
        Node::Dataset(data) => {
            let categories = old_labels(parent, name, place)?;
            match categories {
                Some(categories) => {
                    let (codes, _) = storage::read_i64(data, place)?;
                    let ordered = is_ordered(&categories, place);
                    let labels = texts_of(read_array(&categories, &place.child("categories"))?);
                    categorical(codes, labels, ordered, place)
                }
                None => read_array(data, place),
            }
        }
    }
}

/// The labels of column `name` where those of all columns lie in one group, as anndata 0.7 wrote them.
fn old_labels(parent: &Group, name: &str, place: &Place<'_>) -> Result<Option<Array>, DataError> {
    let Some(Node::Group(all)) = storage::member(parent, "__categories", place)? else { return Ok(None) };
    match storage::member(&all, name, place)? {
        Some(Node::Dataset(labels)) => Ok(Some(labels)),
        _ => Ok(None),
    }
}

fn is_ordered<'a>(owner: impl Into<Owner<'a>>, place: &Place<'_>) -> bool {
    storage::attribute_integers(owner, "ordered", place).ok().flatten().is_some_and(|v| v == [1])
}

/// Reads a column that is a group: categorical, nullable-integer, nullable-boolean or nullable-string-array.
fn read_encoded(group: &Group, place: &Place<'_>) -> Result<Column, DataError> {
    let encoding = storage::attribute_text(group, "encoding-type", place).unwrap_or_default();
    match encoding.as_str() {
        "categorical" => {
            let (codes, _) =
                storage::read_i64(&storage::dataset(group, "codes", place)?, &place.child("codes"))?;
            let inner = place.child("categories");
            let labels = match storage::member(group, "categories", &inner)? {
                Some(Node::Dataset(data)) => read_array(&data, &inner)?,
                Some(Node::Group(nested)) => {
                    if storage::attribute_text(&nested, "encoding-type", &inner).as_deref()
                        == Some("categorical")
                    {
                        return Err(inner.malformed("categories of categories are not supported"));
                    }
                    read_encoded(&nested, &inner)?
                }
                None => return Err(inner.malformed("it is missing")),
            };
            categorical(codes, texts_of(labels), is_ordered(group, place), place)
        }
        "nullable-integer" | "nullable-boolean" | "nullable-string-array" => {
            let mut column = read_array(&storage::dataset(group, "values", place)?, &place.child("values"))?;
            let mask = storage::read_bool(&storage::dataset(group, "mask", place)?, &place.child("mask"))?;
            if mask.len() != column.len() {
                return Err(place.malformed(format!(
                    "it has {} values but a mask of {}",
                    column.len(),
                    mask.len()
                )));
            }
            column.missing = mask.contains(&true).then_some(mask);
            Ok(column)
        }
        other => Err(place.malformed(format!(
            "a column is expected; elements of type `{other}` are not supported as columns"
        ))),
    }
}

/// Reads a plain array as a column by its element type.
pub(super) fn read_array(data: &Array, place: &Place<'_>) -> Result<Column, DataError> {
    if data.ndim() > 1 {
        return Err(
            place.malformed(format!("a column is expected, found an array of shape {:?}", data.shape()))
        );
    }
    let values = match storage::element_type(data, place)? {
        Element::Bool => Values::Bool(storage::read_bool(data, place)?),
        Element::Integer => Values::Integer(storage::read_i64(data, place)?.0),
        Element::Real => Values::Real(storage::read_f64(data, place)?.0),
        Element::Other => Values::Strings(storage::read_strings(data, place)?),
    };
    Ok(Column::new(values))
}

/// A categorical column from checked codes.
///
/// # Errors
/// A code that has no category; a category given twice.
fn categorical(
    codes: Vec<i64>,
    categories: Vec<String>,
    ordered: bool,
    place: &Place<'_>,
) -> Result<Column, DataError> {
    let n = categories.len() as i64;
    if let Some((row, code)) = codes.iter().enumerate().find(|&(_, &c)| c < -1 || c >= n) {
        return Err(place.malformed(format!("row {row} has code {code}, but there are {n} categories")));
    }
    let mut sorted: Vec<&String> = categories.iter().collect();
    sorted.sort();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(place.malformed(format!("the category `{}` is listed twice", pair[0])));
    }
    let codes = codes.into_iter().map(|c| c as i32).collect();
    Ok(Column::new(Values::Categorical { codes, categories, ordered }))
}

/// Before anndata 0.7 the labels of column `name` lay in `uns/<name>_categories`; integers without are integers.
fn old_categories(codes: Vec<i64>, name: &str, uns: &Group, place: &Place<'_>) -> Result<Column, DataError> {
    let key = format!("{name}_categories");
    match storage::member(uns, &key, place)? {
        Some(Node::Dataset(labels)) => {
            let labels = texts_of(read_array(&labels, &Place::new(place.file, format!("uns.{key}")))?);
            categorical(codes, labels, false, place)
        }
        _ => Ok(Column::new(Values::Integer(codes))),
    }
}

/// All columns of a frame as one matrix.
pub(super) fn numbers_of(frame: &Frame, place: &Place<'_>) -> Result<Table, DataError> {
    let header = frame.header(place)?;
    let (n_rows, n_cols) = (header.index.len(), header.columns.len());
    // Column by column, so that only what was really read takes memory.
    let mut columns: Vec<Vec<f64>> = Vec::new();
    for name in &header.columns {
        let place = place.child(name);
        let column = frame.column(name, &place)?.ok_or_else(|| place.malformed("it is missing"))?;
        let numbers = column.to_reals().filter(|v| v.len() == n_rows).ok_or_else(|| {
            place.malformed(format!(
                "{n_rows} numbers are expected, found {} {}",
                column.len(),
                column.values.describe()
            ))
        })?;
        columns.push(numbers);
    }
    let mut values = Dense { n_rows, n_cols, values: storage::room(n_rows.saturating_mul(n_cols), place)? };
    for row in 0..n_rows {
        values.values.extend(columns.iter().map(|column| column[row] as f32));
    }
    Ok(Table { labels: Some(header.columns), values })
}
