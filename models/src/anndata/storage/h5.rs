//! Groups and datasets of HDF5.
//!
//! A file is not trusted. A dataset may claim any shape, so its claim is compared with the bytes it really occupies
//! ([`check_claim`]); links and storage outside the file are refused; text is checked for UTF-8; enums are read as
//! integers, because a stored `bool` may hold any byte.

use std::ops::Range;

use hdf5::types::{FixedAscii, FixedUnicode, FloatSize, IntSize, TypeDescriptor, VarLenAscii, VarLenUnicode};
use hdf5::{Container, Dataset, Group, H5Type};

use super::{Node, Place, checked_span, exact_f32, room, utf8};
use crate::anndata::error::DataError;

/// The most that compression may have shrunk data, in bytes out per byte in (deflate reaches 1032).
pub(super) const MAX_RATIO: u64 = 1100;
/// Claims up to this many bytes pass whatever they occupy.
pub(super) const FREE_BYTES: u64 = 1 << 20;
/// No element of a file may claim more bytes than this.
pub(super) const MAX_BYTES: u64 = 1 << 40;
/// How many elements are read at a time.
const BLOCK: usize = 1 << 20;
/// The most elements an attribute may have.
const MAX_ATTRIBUTE: usize = 1 << 24;

/// Opens a file; one that is locked is tried again for two seconds.
///
/// Another thread may be starting a program at this moment; until that has begun, it holds a copy of our descriptors and
/// with them HDF5's locks.
pub(in crate::anndata) fn patiently(open: impl Fn() -> hdf5::Result<hdf5::File>) -> hdf5::Result<hdf5::File> {
    let mut tries = 0;
    loop {
        match open() {
            Err(e) if tries < 80 && e.to_string().contains("unable to lock") => {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(25));
            }
            opened => return opened,
        }
    }
}

/// The member `name` of `group`, or `None` if there is none.
pub(super) fn member(group: &Group, name: &str, place: &Place<'_>) -> Result<Option<Node>, DataError> {
    if !group.link_exists(name) {
        return Ok(None);
    }
    let home = group.filename();
    let foreign =
        || place.malformed("it is a link to another file").with_help("copy the data into this file");
    if let Ok(found) = group.group(name) {
        return if found.filename() == home {
            Ok(Some(Node::Group(super::Group::H5(found))))
        } else {
            Err(foreign())
        };
    }
    let found = group.dataset(name).map_err(|e| place.hdf5("open it", &e))?;
    if found.filename() == home { Ok(Some(Node::Dataset(super::Array::H5(found)))) } else { Err(foreign()) }
}

/// The names of the members of `group`, sorted.
pub(in crate::anndata) fn member_names(group: &Group, place: &Place<'_>) -> Result<Vec<String>, DataError> {
    let names = group.member_names().map_err(|e| place.hdf5("list it", &e))?;
    // The HDF5 interface gives names unchecked.
    let mut names = names.iter().map(|n| utf8(n.as_bytes(), place)).collect::<Result<Vec<_>, _>>()?;
    names.sort();
    Ok(names)
}

/// The element type of `data`.
pub(in crate::anndata) fn element_type(
    data: &Container,
    place: &Place<'_>,
) -> Result<TypeDescriptor, DataError> {
    let found = data.dtype().map_err(|e| place.hdf5("understand its type", &e))?;
    match found.to_descriptor() {
        // Half and extended precision, which HDF5 turns into double precision as it reads.
        Err(e) if e.to_string().contains("size of float") => Ok(TypeDescriptor::Float(FloatSize::U8)),
        described => described.map_err(|e| place.hdf5("understand its type", &e)),
    }
}

/// Checks that what `data` claims to hold can be true, and that it can be decoded; gives its shape.
///
/// # Errors
/// More bytes than its storage could unpack to, storage outside the file, a filter that is not available.
pub(in crate::anndata) fn check_claim(data: &Dataset, place: &Place<'_>) -> Result<Vec<usize>, DataError> {
    let plan = data.dcpl().map_err(|e| place.hdf5("read its layout", &e))?;
    let outside = !plan.external().is_empty() || plan.layout() == hdf5::dataset::Layout::Virtual;
    if outside {
        return Err(place.malformed("its values lie in another file").with_help("copy them into this file"));
    }
    let filters = plan.get_filters().map_err(|e| place.hdf5("read its filters", &e))?;
    for filter in &filters {
        if !filter.is_available() {
            return Err(unknown_filter(filter, place));
        }
    }
    let space = data.space().map_err(|e| place.hdf5("read its shape", &e))?;
    let shape = if space.is_null() { vec![0] } else { space.shape() };
    let width = data.dtype().map_err(|e| place.hdf5("read its type", &e))?.size();
    let file_bytes = std::fs::metadata(place.file).map_or(u64::MAX, |m| m.len());
    let stored = data.storage_size().min(file_bytes);
    let bound = if filters.is_empty() { stored } else { stored.saturating_mul(MAX_RATIO) };
    let bound = bound.clamp(FREE_BYTES, MAX_BYTES);
    check_bytes(&shape, width, bound, stored, place)?;
    if let Some(chunk) = data.chunk() {
        check_bytes(&chunk, width, bound, stored, place)?;
    }
    Ok(shape)
}

pub(super) fn check_bytes(
    shape: &[usize],
    width: usize,
    bound: u64,
    stored: u64,
    place: &Place<'_>,
) -> Result<(), DataError> {
    let claim = shape.iter().try_fold(width.max(1) as u64, |bytes, &n| bytes.checked_mul(n as u64));
    match claim {
        Some(claim) if claim <= bound => Ok(()),
        _ => Err(place.malformed(format!(
            "it claims a shape of {shape:?} with {width} bytes each, which its {stored} stored bytes cannot hold"
        ))),
    }
}

fn unknown_filter(filter: &hdf5::filters::Filter, place: &Place<'_>) -> DataError {
    let name = match filter.id() {
        307 => "bzip2",
        32000 => "LZF",
        32001 => "Blosc",
        32004 => "LZ4",
        32008 => "bitshuffle",
        32013 => "ZFP",
        32015 => "Zstandard",
        32026 => "Blosc2",
        4 => "SZIP",
        _ => "unknown",
    };
    let file = place.file.display();
    let ends = |end: &str| place.file.extension().is_some_and(|e| e.eq_ignore_ascii_case(end));
    // Its plug-ins know all of these filters, both for Python and, by HDF5_PLUGIN_PATH, for the tools of HDF5.
    let help = if ends("h5ad") {
        format!(
            "write it again in Python: import hdf5plugin, anndata; \
             anndata.read_h5ad(\"{file}\").write_h5ad(\"plain.h5ad\")"
        )
    } else if ends("h5mu") {
        format!(
            "write it again in Python: import hdf5plugin, mudata; \
             mudata.read_h5mu(\"{file}\").write_h5mu(\"plain.h5mu\")"
        )
    } else {
        format!("write it again with the plug-ins of HDF5 at hand: h5repack -f GZIP=4 {file} plain.h5")
    };
    let id = filter.id();
    place
        .malformed(format!("it is compressed with the HDF5 filter {id} ({name}), which is not built in"))
        .with_help(help)
}

/// Part of the first axis of a dataset, or all of an attribute or scalar.
#[derive(Clone, Copy)]
enum Rows {
    All,
    Range(usize, usize),
}

fn read_rows<T: H5Type>(data: &Container, rows: Rows, n_axes: usize) -> hdf5::Result<Vec<T>> {
    let Rows::Range(from, to) = rows else { return data.read_raw() };
    /// What was just read lies in order from the start of its memory.
    fn flat<T, D: ndarray::Dimension>(values: ndarray::Array<T, D>) -> Vec<T> {
        match values.is_standard_layout() {
            true => values.into_raw_vec_and_offset().0,
            false => values.into_iter().collect(),
        }
    }
    match n_axes {
        1 => data.read_slice_1d::<T, _>(ndarray::s![from..to]).map(flat),
        2 => data.read_slice_2d::<T, _>(ndarray::s![from..to, ..]).map(flat),
        3 => data.read_slice::<T, _, ndarray::IxDyn>(ndarray::s![from..to, .., ..]).map(flat),
        _ => data.read_raw(),
    }
}

/// Calls `take` with successive runs of the elements of `data` in memory order, of rows `span` where it has one to
/// three axes; `wide` elements at most are wanted at once, but a run covers whole chunks.
fn for_each_block<T: H5Type>(
    data: &Dataset,
    shape: &[usize],
    span: &Range<usize>,
    wide: usize,
    place: &Place<'_>,
    mut take: impl FnMut(Vec<T>) -> Result<(), DataError>,
) -> Result<(), DataError> {
    if shape.contains(&0) {
        return Ok(());
    }
    let failed = |e: hdf5::Error| place.hdf5("read it", &e);
    if shape.is_empty() || shape.len() > 3 {
        return take(read_rows(data, Rows::All, shape.len()).map_err(failed)?);
    }
    let row_width: usize = shape[1..].iter().product();
    let chunk_rows = data.chunk().and_then(|c| c.first().copied()).unwrap_or(1).clamp(1, shape[0]);
    let step = (wide / row_width.max(1)).max(1).div_ceil(chunk_rows) * chunk_rows;
    let mut from = span.start;
    while from < span.end {
        let to = from.saturating_add(step).min(span.end);
        take(read_rows(data, Rows::Range(from, to), shape.len()).map_err(failed)?)?;
        from = to;
    }
    Ok(())
}

/// All `n` elements at once, for types that HDF5 turns into `T` without loss.
fn read_whole<T: H5Type + Copy + Default>(
    data: &Dataset,
    n: usize,
    place: &Place<'_>,
) -> Result<Vec<T>, DataError> {
    // Memory that comes zeroed from the system is not written twice.
    drop(room::<T>(n, place)?);
    let mut out = vec![T::default(); n];
    if n > 0 {
        data.read_into_raw(&mut out).map_err(|e| place.hdf5("read it", &e))?;
    }
    Ok(out)
}

/// Elements `span` of a vector of integers of at most 32 bits; `None` where it holds anything else.
pub(in crate::anndata) fn read_i32_rows(
    data: &Dataset,
    span: Range<usize>,
    place: &Place<'_>,
) -> Result<Option<Vec<i32>>, DataError> {
    let fits = matches!(
        element_type(data, place)?,
        TypeDescriptor::Integer(IntSize::U1 | IntSize::U2 | IntSize::U4)
            | TypeDescriptor::Unsigned(IntSize::U1 | IntSize::U2)
    );
    let Asked { whole, span, .. } = asked(data, Some(span), place)?;
    let &[n] = whole.as_slice() else { return Ok(None) };
    if !fits {
        return Ok(None);
    }
    if span == (0..n) {
        return read_whole(data, n, place).map(Some);
    }
    let mut out = room(span.len(), place)?;
    for_each_block::<i32>(data, &whole, &span, BLOCK, place, |block| {
        out.extend_from_slice(&block);
        Ok(())
    })?;
    Ok(Some(out))
}

/// What a reader of rows is asked for.
struct Asked {
    /// Shape of it.
    shape: Vec<usize>,
    /// Shape of the data set.
    whole: Vec<usize>,
    /// The rows.
    span: Range<usize>,
}

/// Checks sizes and rows before memory is taken.
fn asked(data: &Dataset, span: Option<Range<usize>>, place: &Place<'_>) -> Result<Asked, DataError> {
    let whole = check_claim(data, place)?;
    let span = checked_span(span, &whole, place)?;
    let mut shape = whole.clone();
    if let Some(first) = shape.first_mut().filter(|_| whole.len() <= 3) {
        *first = span.len();
    }
    Ok(Asked { shape, whole, span })
}

/// See [`super::read_f32_rows`].
pub(in crate::anndata) fn read_f32_rows(
    data: &Dataset,
    span: Option<Range<usize>>,
    place: &Place<'_>,
) -> Result<(Vec<f32>, Vec<usize>), DataError> {
    let Asked { shape, whole, span } = asked(data, span, place)?;
    let kind = element_type(data, place)?;
    if shape == whole && matches!(kind, TypeDescriptor::Float(FloatSize::U4)) {
        return Ok((read_whole(data, shape.iter().product(), place)?, shape));
    }
    let mut out = room(shape.iter().product(), place)?;
    match kind {
        TypeDescriptor::Float(FloatSize::U4)
        | TypeDescriptor::Integer(IntSize::U1 | IntSize::U2)
        | TypeDescriptor::Unsigned(IntSize::U1 | IntSize::U2) => {
            for_each_block::<f32>(data, &whole, &span, BLOCK, place, |block| {
                out.extend_from_slice(&block);
                Ok(())
            })?;
        }
        TypeDescriptor::Float(_) => for_each_block::<f64>(data, &whole, &span, BLOCK, place, |block| {
            for value in block {
                let narrow = value as f32;
                if value.is_finite() && !narrow.is_finite() {
                    return Err(
                        place.malformed(format!("it holds {value:e}, beyond the range of 32-bit numbers"))
                    );
                }
                out.push(narrow);
            }
            Ok(())
        })?,
        TypeDescriptor::Boolean | TypeDescriptor::Enum(_) => {
            for_each_block::<i8>(data, &whole, &span, BLOCK, place, |block| {
                out.extend(block.iter().map(|&v| f32::from(v)));
                Ok(())
            })?;
        }
        TypeDescriptor::Unsigned(IntSize::U8) => {
            for_each_block::<u64>(data, &whole, &span, BLOCK, place, |block| {
                block.into_iter().try_for_each(|v| exact_f32(i128::from(v), place).map(|v| out.push(v)))
            })?
        }
        TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_) => {
            for_each_block::<i64>(data, &whole, &span, BLOCK, place, |block| {
                block.into_iter().try_for_each(|v| exact_f32(i128::from(v), place).map(|v| out.push(v)))
            })?;
        }
        other => return Err(not_numbers(&other, place)),
    }
    Ok((out, shape))
}

/// About the first `n` elements of `data` as f32, whole rows; for a look before all is read.
pub(in crate::anndata) fn first_f32(
    data: &Dataset,
    n: usize,
    place: &Place<'_>,
) -> Result<Vec<f32>, DataError> {
    let shape = check_claim(data, place)?;
    if shape.contains(&0) {
        return Ok(Vec::new());
    }
    let row_width: usize = shape.iter().skip(1).product();
    let n_rows = (n / row_width.max(1)).clamp(1, shape.first().copied().unwrap_or(1));
    let rows = if shape.is_empty() { Rows::All } else { Rows::Range(0, n_rows) };
    let wide: Vec<f64> = match element_type(data, place)? {
        TypeDescriptor::Boolean | TypeDescriptor::Enum(_) => return Ok(Vec::new()),
        _ => read_rows(data, rows, shape.len()).map_err(|e| place.hdf5("read it", &e))?,
    };
    Ok(wide.into_iter().map(|v| v as f32).collect())
}

fn not_numbers(found: &TypeDescriptor, place: &Place<'_>) -> DataError {
    place.malformed(format!("numbers are expected, found {}", describe(found)))
}

/// What elements of type `found` are, in words; names inside a type are left out because they may not be text.
pub(in crate::anndata) fn describe(found: &TypeDescriptor) -> &'static str {
    match found {
        TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_) => "integers",
        TypeDescriptor::Float(_) => "floating-point numbers",
        TypeDescriptor::Boolean => "truth values",
        TypeDescriptor::Enum(_) => "an enumeration",
        TypeDescriptor::Compound(_) => "records",
        TypeDescriptor::FixedArray(..) => "fixed arrays",
        TypeDescriptor::FixedAscii(_)
        | TypeDescriptor::FixedUnicode(_)
        | TypeDescriptor::VarLenAscii
        | TypeDescriptor::VarLenUnicode => "texts",
        TypeDescriptor::VarLenArray(_) => "arrays of varying length",
        _ => "references",
    }
}

/// All elements of `data` as f64 and its shape; integers beyond 2^53 are rounded.
pub(in crate::anndata) fn read_f64(
    data: &Dataset,
    place: &Place<'_>,
) -> Result<(Vec<f64>, Vec<usize>), DataError> {
    let shape = check_claim(data, place)?;
    let mut out = room(shape.iter().product(), place)?;
    match element_type(data, place)? {
        TypeDescriptor::Float(_) | TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_) => {
            for_each_block::<f64>(
                data,
                &shape,
                &(0..shape.first().copied().unwrap_or(0)),
                BLOCK,
                place,
                |block| {
                    out.extend_from_slice(&block);
                    Ok(())
                },
            )?;
        }
        TypeDescriptor::Boolean | TypeDescriptor::Enum(_) => {
            for_each_block::<i8>(
                data,
                &shape,
                &(0..shape.first().copied().unwrap_or(0)),
                BLOCK,
                place,
                |block| {
                    out.extend(block.iter().map(|&v| f64::from(v)));
                    Ok(())
                },
            )?;
        }
        other => return Err(not_numbers(&other, place)),
    }
    Ok((out, shape))
}

/// See [`super::read_i64_rows`].
pub(in crate::anndata) fn read_i64_rows(
    data: &Dataset,
    span: Option<Range<usize>>,
    place: &Place<'_>,
) -> Result<(Vec<i64>, Vec<usize>), DataError> {
    let Asked { shape, whole, span } = asked(data, span, place)?;
    let mut out = room(shape.iter().product(), place)?;
    match element_type(data, place)? {
        TypeDescriptor::Unsigned(IntSize::U8) => {
            for_each_block::<u64>(data, &whole, &span, BLOCK, place, |block| {
                for value in block {
                    let value = i64::try_from(value)
                        .map_err(|_| place.malformed(format!("{value} is too large an integer")))?;
                    out.push(value);
                }
                Ok(())
            })?
        }
        TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_) => {
            for_each_block::<i64>(data, &whole, &span, BLOCK, place, |block| {
                out.extend_from_slice(&block);
                Ok(())
            })?;
        }
        TypeDescriptor::Boolean | TypeDescriptor::Enum(_) => {
            for_each_block::<i8>(data, &whole, &span, BLOCK, place, |block| {
                out.extend(block.iter().map(|&v| i64::from(v)));
                Ok(())
            })?;
        }
        other => {
            return Err(place.malformed(format!("integers are expected, found {}", describe(&other))));
        }
    }
    Ok((out, shape))
}

/// All elements of `data`, texts of fixed or variable length.
///
/// # Errors
/// Other element types; text that is not UTF-8.
pub(in crate::anndata) fn read_strings(data: &Dataset, place: &Place<'_>) -> Result<Vec<String>, DataError> {
    let shape = check_claim(data, place)?;
    let kind = element_type(data, place)?;
    let n: usize = shape.iter().product();
    let mut out = room(n, place)?;
    if n == 0 {
        return Ok(out);
    }
    let single = shape.is_empty() || shape.len() > 1;
    let step = data.chunk().map_or(1, |c| c.iter().product::<usize>()).clamp(1, n);
    let step = (BLOCK / width_of(&kind).max(1)).max(256).div_ceil(step) * step;
    let mut from = 0;
    while from < n {
        let to = if single { n } else { from.saturating_add(step).min(n) };
        let rows = if single { Rows::All } else { Rows::Range(from, to) };
        texts(data, rows, &kind, place, &mut out)?;
        from = to;
    }
    Ok(out)
}

fn width_of(kind: &TypeDescriptor) -> usize {
    match kind {
        TypeDescriptor::FixedAscii(n) | TypeDescriptor::FixedUnicode(n) => *n,
        _ => 16,
    }
}

/// Appends the texts in `rows` of `data` to `out`.
fn texts(
    data: &Container,
    rows: Rows,
    kind: &TypeDescriptor,
    place: &Place<'_>,
    out: &mut Vec<String>,
) -> Result<(), DataError> {
    // The widths are steps, because the type of an element of fixed length is a compile-time constant.
    macro_rules! fixed {
        ($text:ident, $n:expr, $($width:literal)*) => {
            match $n {
                $(n if n <= $width => push_texts::<$text<$width>>(data, rows, place, out, |t| t.as_bytes()),)*
                n => Err(place.malformed(format!("its texts are {n} bytes wide; at most 65536 are supported"))),
            }
        };
    }
    match kind {
        TypeDescriptor::VarLenUnicode => {
            push_texts::<VarLenUnicode>(data, rows, place, out, |t| t.as_bytes())
        }
        TypeDescriptor::VarLenAscii => push_texts::<VarLenAscii>(data, rows, place, out, |t| t.as_bytes()),
        TypeDescriptor::FixedAscii(n) => fixed!(FixedAscii, *n, 8 16 32 64 256 1024 8192 65536),
        TypeDescriptor::FixedUnicode(n) => fixed!(FixedUnicode, *n, 8 16 32 64 256 1024 8192 65536),
        other => Err(place.malformed(format!("texts are expected, found {}", describe(other)))),
    }
}

fn push_texts<T: H5Type>(
    data: &Container,
    rows: Rows,
    place: &Place<'_>,
    out: &mut Vec<String>,
    bytes: impl Fn(&T) -> &[u8],
) -> Result<(), DataError> {
    let found: Vec<T> = read_rows(data, rows, 1).map_err(|e| place.hdf5("read it", &e))?;
    for text in &found {
        out.push(utf8(bytes(text), place)?);
    }
    Ok(())
}

/// The texts in attribute `name` of `owner`, one if it is a scalar; `None` if it is absent.
///
/// An empty attribute of any type is an empty list, as older versions of anndata wrote it.
pub(in crate::anndata) fn attribute_texts(
    owner: &hdf5::Location,
    name: &str,
    place: &Place<'_>,
) -> Result<Option<Vec<String>>, DataError> {
    let Some(attribute) = attribute(owner, name, place)? else { return Ok(None) };
    let n = attribute.size();
    let mut out = Vec::new();
    if n > 0 {
        let place = place.child(&format!("@{name}"));
        texts(&attribute, Rows::All, &element_type(&attribute, &place)?, &place, &mut out)?;
    }
    Ok(Some(out))
}

/// The integers in attribute `name` of `owner`; `None` if it is absent.
pub(in crate::anndata) fn attribute_integers(
    owner: &hdf5::Location,
    name: &str,
    place: &Place<'_>,
) -> Result<Option<Vec<i64>>, DataError> {
    let Some(attribute) = attribute(owner, name, place)? else { return Ok(None) };
    let place = place.child(&format!("@{name}"));
    match element_type(&attribute, &place)? {
        TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_) => {
            attribute.read_raw::<i64>().map(Some).map_err(|e| place.hdf5("read it", &e))
        }
        TypeDescriptor::Boolean | TypeDescriptor::Enum(_) => attribute
            .read_raw::<i8>()
            .map(|values| Some(values.into_iter().map(i64::from).collect()))
            .map_err(|e| place.hdf5("read it", &e)),
        other => Err(place.malformed(format!("integers are expected, found {}", describe(&other)))),
    }
}

fn attribute(
    owner: &hdf5::Location,
    name: &str,
    place: &Place<'_>,
) -> Result<Option<hdf5::Attribute>, DataError> {
    let names = owner.attr_names().map_err(|e| place.hdf5("list its attributes", &e))?;
    if !names.iter().any(|n| n.as_bytes() == name.as_bytes()) {
        return Ok(None);
    }
    let attribute = owner.attr(name).map_err(|e| place.hdf5("open an attribute", &e))?;
    let shape = attribute.shape();
    match shape.iter().try_fold(1usize, |n, &m| n.checked_mul(m)) {
        Some(n) if n <= MAX_ATTRIBUTE => Ok(Some(attribute)),
        _ => Err(place.malformed(format!("its attribute `{name}` claims a shape of {shape:?}"))),
    }
}
