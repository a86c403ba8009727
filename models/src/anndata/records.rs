//! Datasets of records, the form of `obs` and `var` before anndata 0.7.
//!
//! The fields of a record are known only when the file is read, and the HDF5 interface reads only types known when
//! the program is compiled. So the stored bytes are fetched and unpacked here: contiguous or chunked along one axis,
//! plain, shuffled, deflated or LZF, which is all that anndata ever wrote.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use hdf5::Dataset;
use hdf5::filters::Filter;
use hdf5::types::{CompoundField, FloatSize, TypeDescriptor};

use super::column::{Column, Values};
use super::error::DataError;
use super::inflate;
use super::matrix::Dense;
use super::storage::{self, Array, Place, h5};

/// The names of the fields of `data`; none where it holds no records.
pub(super) fn field_names(data: &Array, place: &Place<'_>) -> Vec<String> {
    let Array::H5(data) = data else { return Vec::new() };
    match h5::element_type(data, place) {
        Ok(TypeDescriptor::Compound(record)) => {
            record.fields.iter().filter_map(|f| storage::utf8(f.name.as_bytes(), place).ok()).collect()
        }
        _ => Vec::new(),
    }
}

/// All records of one dataset, as bytes.
#[derive(Clone, Debug)]
pub(super) struct Records {
    fields: Vec<CompoundField>,
    n: usize,
    width: usize,
    bytes: Vec<u8>,
}

impl Records {
    /// Reads every record of `data`.
    ///
    /// # Errors
    /// Elements that are not records, or fields that reach beyond their record.
    pub fn read(data: &Array, place: &Place<'_>) -> Result<Self, DataError> {
        let Array::H5(data) = data else {
            return Err(place.malformed("a data frame is expected, found an array"));
        };
        let shape = h5::check_claim(data, place)?;
        let TypeDescriptor::Compound(mut record) = h5::element_type(data, place)? else {
            return Err(place.malformed("a data frame is expected, found a plain array"));
        };
        let &[n] = shape.as_slice() else {
            return Err(place.malformed(format!("one axis is expected, found shape {shape:?}")));
        };
        for field in &mut record.fields {
            // The HDF5 interface gives names unchecked.
            field.name = storage::utf8(field.name.as_bytes(), place)?;
        }
        let fits =
            |f: &CompoundField| f.offset.checked_add(f.ty.size()).is_some_and(|end| end <= record.size);
        if !record.fields.iter().all(fits) {
            return Err(place.malformed("its fields reach beyond the record"));
        }
        let bytes = stored_bytes(data, n, record.size, place)?;
        Ok(Self { fields: record.fields, n, width: record.size, bytes })
    }

    /// The names of the fields in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|f| f.name.as_str())
    }

    /// The bytes of field `field` in each record.
    fn cells<'a>(&'a self, field: &CompoundField) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (from, to) = (field.offset, field.offset + field.ty.size());
        self.bytes.chunks_exact(self.width.max(1)).take(self.n).map(move |record| &record[from..to])
    }

    fn field(&self, name: &str, place: &Place<'_>) -> Result<&CompoundField, DataError> {
        self.fields.iter().find(|f| f.name == name).ok_or_else(|| place.absent("there is no such field"))
    }

    /// Field `name` as a column.
    pub fn column(&self, name: &str, place: &Place<'_>) -> Result<Column, DataError> {
        let field = self.field(name, place)?;
        let values = match &field.ty {
            TypeDescriptor::Boolean => Values::Bool(self.cells(field).map(|b| b[0] != 0).collect()),
            TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_) | TypeDescriptor::Enum(_) => {
                Values::Integer(self.cells(field).map(|b| integer(b, &field.ty)).collect())
            }
            TypeDescriptor::Float(size) => Values::Real(self.cells(field).map(|b| real(b, *size)).collect()),
            TypeDescriptor::FixedAscii(_) | TypeDescriptor::FixedUnicode(_) => {
                let text = |b: &[u8]| {
                    let end = b.iter().rposition(|&c| c != 0).map_or(0, |last| last + 1);
                    storage::utf8(&b[..end], place)
                };
                Values::Strings(self.cells(field).map(text).collect::<Result<_, _>>()?)
            }
            other => return Err(unsupported(other, place)),
        };
        Ok(Column::new(values))
    }

    /// Field `name`, a fixed number of numbers per record, in double precision.
    pub fn numbers(&self, name: &str, place: &Place<'_>) -> Result<Numbers, DataError> {
        let field = self.field(name, place)?;
        let (element, n_cols) = match &field.ty {
            TypeDescriptor::FixedArray(element, n) => (element.as_ref(), *n),
            other => (other, 1),
        };
        let width = element.size().max(1);
        let number = |b: &[u8]| match element {
            TypeDescriptor::Float(size) => Ok(real(b, *size)),
            TypeDescriptor::Integer(_) | TypeDescriptor::Unsigned(_) => Ok(integer(b, element) as f64),
            other => Err(unsupported(other, place)),
        };
        let values =
            self.cells(field).flat_map(|b| b.chunks_exact(width)).map(number).collect::<Result<_, _>>()?;
        let double = !matches!(element, TypeDescriptor::Float(FloatSize::U4));
        Ok(Numbers { n_rows: self.n, n_cols, values, double })
    }
}

/// A table of numbers in double precision, row-major.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    /// Rows.
    pub n_rows: usize,
    /// Columns.
    pub n_cols: usize,
    /// The values.
    pub values: Vec<f64>,
    /// Whether single precision cannot hold them as they are stored.
    pub double: bool,
}

impl Numbers {
    /// The same in single precision.
    pub fn to_dense(&self) -> Dense {
        let values = self.values.iter().map(|&v| v as f32).collect();
        Dense { n_rows: self.n_rows, n_cols: self.n_cols, values }
    }
}

fn unsupported(found: &TypeDescriptor, place: &Place<'_>) -> DataError {
    place
        .malformed(format!("fields of {} are not supported in this old layout", h5::describe(found)))
        .with_help("read and write the file again with a current anndata")
}

fn integer(bytes: &[u8], ty: &TypeDescriptor) -> i64 {
    let signed = match ty {
        TypeDescriptor::Integer(_) => true,
        TypeDescriptor::Enum(e) => e.signed,
        _ => false,
    };
    let mut wide = [if signed && bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 }; 8];
    let n = bytes.len().min(8);
    wide[..n].copy_from_slice(&bytes[..n]);
    i64::from_le_bytes(wide)
}

fn real(bytes: &[u8], size: FloatSize) -> f64 {
    match (size, bytes) {
        (FloatSize::U4, &[a, b, c, d]) => f64::from(f32::from_le_bytes([a, b, c, d])),
        (_, &[a, b, c, d, e, f, g, h]) => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => f64::NAN,
    }
}

/// The unpacked bytes of `n` elements of `width` bytes each.
fn stored_bytes(data: &Dataset, n: usize, width: usize, place: &Place<'_>) -> Result<Vec<u8>, DataError> {
    let total = n * width;
    let mut out: Vec<u8> = storage::room(total, place)?;
    out.resize(total, 0);
    let mut file =
        File::open(place.file).map_err(|e| place.malformed(format!("it cannot be opened: {e}")))?;
    let mut fetch = |at: u64, n_bytes: usize| -> Result<Vec<u8>, DataError> {
        let mut bytes = storage::room(n_bytes, place)?;
        let read = file
            .seek(SeekFrom::Start(at))
            .and_then(|_| (&mut file).take(n_bytes as u64).read_to_end(&mut bytes));
        match read {
            Ok(got) if got == n_bytes => Ok(bytes),
            _ => Err(place.malformed("its bytes lie beyond the end of the file")),
        }
    };
    let plan = data.dcpl().map_err(|e| place.hdf5("read its layout", &e))?;
    let filters = plan.get_filters().map_err(|e| place.hdf5("read its filters", &e))?;
    let Some(chunk) = data.chunk() else {
        if let (Some(at), true) = (data.offset(), total > 0) {
            out.copy_from_slice(&fetch(at, total)?);
        }
        return Ok(out);
    };
    let chunk_bytes = chunk.first().copied().unwrap_or(1).saturating_mul(width);
    for number in 0..data.num_chunks().unwrap_or(0) {
        let info = data.chunk_info(number).ok_or_else(|| place.malformed("a chunk of it cannot be found"))?;
        let file_bytes = std::fs::metadata(place.file).map_or(0, |m| m.len());
        if info.size > file_bytes {
            return Err(place.malformed("its bytes lie beyond the end of the file"));
        }
        let packed = fetch(info.addr, info.size as usize)?;
        let plain = unpack(packed, &filters, info.filter_mask, width, chunk_bytes, place)?;
        let from = (info.offset.first().copied().unwrap_or(0) as usize).saturating_mul(width).min(total);
        let n_bytes = chunk_bytes.min(total - from).min(plain.len());
        out[from..from + n_bytes].copy_from_slice(&plain[..n_bytes]);
    }
    Ok(out)
}

/// Undoes the filters of one chunk, last first.
fn unpack(
    mut bytes: Vec<u8>,
    filters: &[Filter],
    skipped: u32,
    width: usize,
    chunk_bytes: usize,
    place: &Place<'_>,
) -> Result<Vec<u8>, DataError> {
    for (position, filter) in filters.iter().enumerate().rev() {
        if position < 32 && skipped & (1 << position) != 0 {
            continue;
        }
        bytes = match filter {
            Filter::Deflate(_) => inflate::zlib(&bytes, chunk_bytes),
            Filter::LZF => inflate::lzf(&bytes, chunk_bytes),
            Filter::Shuffle => Some(unshuffle(&bytes, width)),
            Filter::Fletcher32 => Some(bytes[..bytes.len().saturating_sub(4)].to_vec()),
            other => {
                return Err(
                    place.malformed(format!("records packed with filter {} are not supported", other.id()))
                );
            }
        }
        .ok_or_else(|| place.malformed("its compressed bytes are damaged"))?;
    }
    Ok(bytes)
}

fn unshuffle(bytes: &[u8], width: usize) -> Vec<u8> {
    let n = bytes.len() / width.max(1);
    let mut out = bytes.to_vec();
    for element in 0..n {
        for byte in 0..width {
            out[element * width + byte] = bytes[byte * n + element];
        }
    }
    out
}
