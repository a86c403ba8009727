//! The gate to files: everything read passes here, and nothing is allocated before its size is believed.
//!
//! Groups and arrays are those of HDF5 or of a zarr store; the rest of this module does not know which.

pub(super) mod h5;
pub(super) mod heaps;
pub(super) mod zarr;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use hdf5::types::TypeDescriptor;

use super::error::{DataError, DataErrorKind};

/// Where a reader is: the file, and the field as its user addresses it.
#[derive(Clone, Debug)]
pub(in crate::anndata) struct Place<'a> {
    /// The file.
    pub file: &'a Path,
    /// The field, such as `obs.batch`.
    pub field: String,
}

impl<'a> Place<'a> {
    /// The place of `field` in `file`.
    pub fn new(file: &'a Path, field: impl Into<String>) -> Self {
        Self { file, field: field.into() }
    }

    /// The place of the part `name` of this field.
    pub fn child(&self, name: &str) -> Self {
        let field = if self.field.is_empty() { name.to_owned() } else { format!("{}/{name}", self.field) };
        Self { file: self.file, field }
    }

    /// An error: damaged, inconsistent or unsupported.
    pub fn malformed(&self, message: impl Into<String>) -> DataError {
        DataError::new(DataErrorKind::Malformed, self.file, self.field.clone(), message)
    }

    /// An error: there is no such field.
    pub fn absent(&self, message: impl Into<String>) -> DataError {
        DataError::new(DataErrorKind::Absent, self.file, self.field.clone(), message)
    }

    /// An error that the HDF5 library reported while doing `doing`.
    pub fn hdf5(&self, doing: &str, error: &hdf5::Error) -> DataError {
        self.malformed(format!("HDF5 cannot {doing}: {}", first_line(&error.to_string())))
            .with_help("the file may be damaged: check it with `h5dump -H`, or fetch it again")
    }
}

/// The first line of an error text, without the trailing period.
///
/// The text may quote names of the file, which the HDF5 interface does not check for UTF-8.
pub(in crate::anndata) fn first_line(text: &str) -> String {
    String::from_utf8_lossy(text.as_bytes())
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches('.')
        .to_owned()
}

/// A group: data frames, sparse matrices, dictionaries.
#[derive(Clone, Debug)]
pub(in crate::anndata) enum Group {
    /// Of an HDF5 file.
    H5(hdf5::Group),
    /// Of a zarr store.
    Zarr(Arc<zarr::Group>),
}

/// An array of numbers or texts of any number of axes; a scalar has none.
#[derive(Clone, Debug)]
pub(in crate::anndata) enum Array {
    /// Of an HDF5 file.
    H5(hdf5::Dataset),
    /// Of a zarr store.
    Zarr(Arc<zarr::Array>),
}

/// A named member of a group.
#[derive(Clone, Debug)]
pub(in crate::anndata) enum Node {
    /// A group.
    Group(Group),
    /// An array or scalar.
    Dataset(Array),
}

/// What the elements of an array are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::anndata) enum Element {
    /// Truth values.
    Bool,
    /// Integers of any width, and enumerations.
    Integer,
    /// Floating-point numbers.
    Real,
    /// Anything else: texts, or an error when they are read.
    Other,
}

/// Something with attributes.
#[derive(Clone, Copy)]
pub(in crate::anndata) enum Owner<'a> {
    Group(&'a Group),
    Array(&'a Array),
}

impl<'a> From<&'a Group> for Owner<'a> {
    fn from(group: &'a Group) -> Self {
        Self::Group(group)
    }
}

impl<'a> From<&'a Array> for Owner<'a> {
    fn from(array: &'a Array) -> Self {
        Self::Array(array)
    }
}

impl Group {
    /// Whether there is a member `name`.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::H5(group) => is_name(name) && group.link_exists(name),
            Self::Zarr(group) => is_name(name) && group.has(name),
        }
    }
}

impl Array {
    /// The shape that it claims.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::H5(data) => data.shape(),
            Self::Zarr(data) => data.shape().to_vec(),
        }
    }

    /// The number of axes.
    pub fn ndim(&self) -> usize {
        self.shape().len()
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0'])
}

/// The member `name` of `group`, or `None` if there is none.
pub(in crate::anndata) fn member(
    group: &Group,
    name: &str,
    place: &Place<'_>,
) -> Result<Option<Node>, DataError> {
    if !is_name(name) {
        return Ok(None);
    }
    match group {
        Group::H5(group) => h5::member(group, name, place),
        Group::Zarr(group) => group.member(name, place),
    }
}

/// The names of the members of `group`, sorted.
pub(in crate::anndata) fn member_names(group: &Group, place: &Place<'_>) -> Result<Vec<String>, DataError> {
    match group {
        Group::H5(group) => h5::member_names(group, place),
        Group::Zarr(group) => Ok(group.member_names()),
    }
}

/// The member `name` of `group`, which must be an array.
pub(in crate::anndata) fn dataset(group: &Group, name: &str, place: &Place<'_>) -> Result<Array, DataError> {
    let place = place.child(name);
    match member(group, name, &place)? {
        Some(Node::Dataset(found)) => Ok(found),
        Some(Node::Group(_)) => Err(place.malformed("a dataset is expected, a group was found")),
        None => Err(place.malformed("it is missing")),
    }
}

/// What the elements of `data` are.
pub(in crate::anndata) fn element_type(data: &Array, place: &Place<'_>) -> Result<Element, DataError> {
    match data {
        Array::H5(data) => Ok(match h5::element_type(data, place)? {
            TypeDescriptor::Boolean => Element::Bool,
            TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_) | TypeDescriptor::Enum(_) => {
                Element::Integer
            }
            TypeDescriptor::Float(_) => Element::Real,
            _ => Element::Other,
        }),
        Array::Zarr(data) => Ok(data.element()),
    }
}

/// Checks that what `data` claims to hold can be true, and that it can be decoded; gives its shape.
///
/// # Errors
/// More bytes than its storage could unpack to, storage outside the file, a filter that is not available.
pub(in crate::anndata) fn check_claim(data: &Array, place: &Place<'_>) -> Result<Vec<usize>, DataError> {
    match data {
        Array::H5(data) => h5::check_claim(data, place),
        Array::Zarr(data) => data.check_claim(place),
    }
}

/// All elements of `data` as f32, row-major, and its shape.
///
/// f64 is rounded to the nearest f32.
///
/// # Errors
/// Not numbers; an integer that f32 cannot hold exactly (beyond 2^24); a finite f64 beyond the range of f32.
pub(in crate::anndata) fn read_f32(
    data: &Array,
    place: &Place<'_>,
) -> Result<(Vec<f32>, Vec<usize>), DataError> {
    read_f32_rows(data, None, place)
}

/// As [`read_f32`], of rows `span` alone where it is given; the shape is that of what was read.
pub(in crate::anndata) fn read_f32_rows(
    data: &Array,
    span: Option<Range<usize>>,
    place: &Place<'_>,
) -> Result<(Vec<f32>, Vec<usize>), DataError> {
    match data {
        Array::H5(data) => h5::read_f32_rows(data, span, place),
        Array::Zarr(data) => data.read_f32_rows(span, place),
    }
}

/// About the first `n` elements of `data` as f32, whole rows; for a look before all is read.
pub(in crate::anndata) fn first_f32(
    data: &Array,
    n: usize,
    place: &Place<'_>,
) -> Result<Vec<f32>, DataError> {
    match data {
        Array::H5(data) => h5::first_f32(data, n, place),
        Array::Zarr(data) => {
            let shape = data.check_claim(place)?;
            let row_width: usize = shape.iter().skip(1).product();
            let n_rows = shape.first().copied().unwrap_or(0);
            let rows = (n / row_width.max(1)).max(1).min(n_rows);
            data.read_f32_rows((!shape.is_empty()).then_some(0..rows), place).map(|(values, _)| values)
        }
    }
}

/// All elements of `data` as f64 and its shape; integers beyond 2^53 are rounded.
pub(in crate::anndata) fn read_f64(
    data: &Array,
    place: &Place<'_>,
) -> Result<(Vec<f64>, Vec<usize>), DataError> {
    match data {
        Array::H5(data) => h5::read_f64(data, place),
        Array::Zarr(data) => data.read_f64(place),
    }
}

/// All elements of `data`, integers or booleans, as i64, and its shape.
///
/// # Errors
/// Other element types; an unsigned value beyond i64.
pub(in crate::anndata) fn read_i64(
    data: &Array,
    place: &Place<'_>,
) -> Result<(Vec<i64>, Vec<usize>), DataError> {
    read_i64_rows(data, None, place)
}

/// As [`read_i64`], of rows `span` alone where it is given; the shape is that of what was read.
pub(in crate::anndata) fn read_i64_rows(
    data: &Array,
    span: Option<Range<usize>>,
    place: &Place<'_>,
) -> Result<(Vec<i64>, Vec<usize>), DataError> {
    match data {
        Array::H5(data) => h5::read_i64_rows(data, span, place),
        Array::Zarr(data) => data.read_i64_rows(span, place),
    }
}

/// Elements `span` of a vector of integers of at most 32 bits; `None` where it holds anything else.
pub(in crate::anndata) fn read_i32_rows(
    data: &Array,
    span: Range<usize>,
    place: &Place<'_>,
) -> Result<Option<Vec<i32>>, DataError> {
    match data {
        Array::H5(data) => h5::read_i32_rows(data, span, place),
        Array::Zarr(_) => Ok(None),
    }
}

/// All elements of `data`, a boolean array, and nothing else.
pub(in crate::anndata) fn read_bool(data: &Array, place: &Place<'_>) -> Result<Vec<bool>, DataError> {
    Ok(read_i64(data, place)?.0.into_iter().map(|v| v != 0).collect())
}

/// All elements of `data`, texts of fixed or variable length.
///
/// # Errors
/// Other element types; text that is not UTF-8.
pub(in crate::anndata) fn read_strings(data: &Array, place: &Place<'_>) -> Result<Vec<String>, DataError> {
    match data {
        Array::H5(data) => h5::read_strings(data, place),
        Array::Zarr(data) => data.read_strings(place),
    }
}

/// The texts in attribute `name` of `owner`, one if it is a scalar; `None` if it is absent.
///
/// An empty attribute of any type is an empty list, as older versions of anndata wrote it.
pub(in crate::anndata) fn attribute_texts<'a>(
    owner: impl Into<Owner<'a>>,
    name: &str,
    place: &Place<'_>,
) -> Result<Option<Vec<String>>, DataError> {
    match owner.into() {
        Owner::Group(Group::H5(group)) => h5::attribute_texts(group, name, place),
        Owner::Array(Array::H5(data)) => h5::attribute_texts(data, name, place),
        Owner::Group(Group::Zarr(group)) => zarr::attribute_texts(group.attributes(), name, place),
        Owner::Array(Array::Zarr(data)) => zarr::attribute_texts(data.attributes(), name, place),
    }
}

/// The one text in attribute `name` of `owner`; `None` if it is absent or not one text.
pub(in crate::anndata) fn attribute_text<'a>(
    owner: impl Into<Owner<'a>>,
    name: &str,
    place: &Place<'_>,
) -> Option<String> {
    let mut texts = attribute_texts(owner, name, place).ok().flatten()?;
    if texts.len() == 1 { texts.pop() } else { None }
}

/// The integers in attribute `name` of `owner`; `None` if it is absent.
pub(in crate::anndata) fn attribute_integers<'a>(
    owner: impl Into<Owner<'a>>,
    name: &str,
    place: &Place<'_>,
) -> Result<Option<Vec<i64>>, DataError> {
    match owner.into() {
        Owner::Group(Group::H5(group)) => h5::attribute_integers(group, name, place),
        Owner::Array(Array::H5(data)) => h5::attribute_integers(data, name, place),
        Owner::Group(Group::Zarr(group)) => zarr::attribute_integers(group.attributes(), name, place),
        Owner::Array(Array::Zarr(data)) => zarr::attribute_integers(data.attributes(), name, place),
    }
}

/// The rows asked for: all where none are.
fn checked_span(
    span: Option<Range<usize>>,
    shape: &[usize],
    place: &Place<'_>,
) -> Result<Range<usize>, DataError> {
    let n_rows = shape.first().copied().unwrap_or(0);
    match span {
        None => Ok(0..n_rows),
        Some(span) if span.start <= span.end && span.end <= n_rows && shape.len() <= 3 => Ok(span),
        Some(span) => Err(place.malformed(format!("rows {span:?} of {n_rows} are asked for"))),
    }
}

/// A vector with room for `n` elements, or an error instead of an abort.
pub(in crate::anndata) fn room<T>(n: usize, place: &Place<'_>) -> Result<Vec<T>, DataError> {
    let mut values = Vec::new();
    values
        .try_reserve_exact(n)
        .map_err(|_| place.malformed(format!("there is not enough memory for its {n} elements")))?;
    Ok(values)
}

fn exact_f32(value: i128, place: &Place<'_>) -> Result<f32, DataError> {
    let narrow = value as f32;
    if narrow as i128 == value {
        return Ok(narrow);
    }
    Err(place.malformed(format!("it holds {value}, which 32-bit floating point cannot represent exactly")).with_help(
        "counts this large are unusual: check the matrix, or convert it to floating point if rounding is acceptable",
    ))
}

/// `bytes` as text.
pub(in crate::anndata) fn utf8(bytes: &[u8], place: &Place<'_>) -> Result<String, DataError> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| {
        place.malformed(format!("`{}` is not UTF-8 text", String::from_utf8_lossy(bytes).escape_debug()))
    })
}
