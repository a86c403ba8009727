//! Reading the elements of a zarr array, chunk by chunk.

use std::ops::Range;

use serde_json::{Map, Value};

use super::super::{Element, Place, checked_span, exact_f32, h5, room, utf8};
use super::codec::Codec;
use super::joined;
use super::meta::{DType, Meta};
use super::store::Store;
use crate::anndata::error::DataError;

/// An array of a store.
#[derive(Clone, Debug)]
pub(in crate::anndata) struct Array {
    store: Store,
    path: String,
    meta: Meta,
    attributes: Map<String, Value>,
}

/// The elements of an array or of a chunk, row-major.
#[derive(Clone, Debug)]
enum Elements {
    /// Of fixed width, little-endian.
    Fixed(Vec<u8>),
    Texts(Vec<String>),
}

impl Elements {
    /// `n` elements equal to `fill`.
    fn filled(meta: &Meta, n: usize, place: &Place<'_>) -> Result<Self, DataError> {
        if meta.dtype == DType::Text {
            let mut texts = room(n, place)?;
            texts.resize(n, meta.fill.as_str().unwrap_or_default().to_owned());
            return Ok(Self::Texts(texts));
        }
        let one = fill_bytes(meta.dtype, &meta.fill);
        let total = n.checked_mul(one.len()).ok_or_else(|| place.malformed("it is too large"))?;
        let mut bytes = room(total, place)?;
        (0..n).for_each(|_| bytes.extend_from_slice(&one));
        Ok(Self::Fixed(bytes))
    }

    /// Copies elements `range` of `from` to position `to`; `false` if they are not there.
    fn copy(&mut self, to: usize, from: &Elements, range: Range<usize>, width: usize) -> bool {
        match (self, from) {
            (Self::Fixed(out), Self::Fixed(bytes)) => {
                let source = bytes.get(range.start * width..range.end * width);
                let target = out.get_mut(to * width..(to + range.len()) * width);
                match (source, target) {
                    (Some(source), Some(target)) => target.copy_from_slice(source),
                    _ => return false,
                }
            }
            (Self::Texts(out), Self::Texts(texts)) => {
                match (texts.get(range.clone()), out.get_mut(to..to + range.len())) {
                    (Some(source), Some(target)) => target.clone_from_slice(source),
                    _ => return false,
                }
            }
            _ => return false,
        }
        true
    }
}

fn fill_bytes(dtype: DType, fill: &Value) -> Vec<u8> {
    let real = match fill {
        Value::String(text) if text == "NaN" => f64::NAN,
        Value::String(text) if text == "Infinity" => f64::INFINITY,
        Value::String(text) if text == "-Infinity" => f64::NEG_INFINITY,
        other => other.as_f64().unwrap_or(0.0),
    };
    let integer = fill.as_i64().or_else(|| fill.as_bool().map(i64::from));
    let integer = integer.unwrap_or_else(|| fill.as_u64().unwrap_or(0) as i64);
    match dtype {
        DType::Float(4) => (real as f32).to_le_bytes().to_vec(),
        DType::Float(8) => real.to_le_bytes().to_vec(),
        DType::Int(n) | DType::UInt(n) => integer.to_le_bytes()[..n].to_vec(),
        DType::Bool => vec![u8::from(integer != 0)],
        other => vec![0; other.width()],
    }
}

impl Array {
    pub(super) fn new(store: Store, path: String, meta: Meta, attributes: Map<String, Value>) -> Self {
        Self { store, path, meta, attributes }
    }

    /// Its attributes.
    pub fn attributes(&self) -> &Map<String, Value> {
        &self.attributes
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.meta.shape
    }

    /// What its elements are.
    pub fn element(&self) -> Element {
        self.meta.dtype.element()
    }

    /// Checks that what it claims to hold can be true; gives its shape.
    ///
    /// # Errors
    /// More bytes than its chunks could unpack to.
    pub fn check_claim(&self, place: &Place<'_>) -> Result<Vec<usize>, DataError> {
        let stored = self.store.stored(&self.path);
        let bound = stored.saturating_mul(h5::MAX_RATIO).clamp(h5::FREE_BYTES, h5::MAX_BYTES);
        h5::check_bytes(&self.meta.shape, self.meta.dtype.width(), bound, stored, place)?;
        // A chunk may be larger than what is left of the array, but not by much more than the array.
        h5::check_bytes(&self.meta.chunks, self.meta.dtype.width(), bound, stored, place)?;
        Ok(self.meta.shape.clone())
    }

    /// The elements of rows `span`, all if it is `None`, and the shape of what was read.
    fn read(
        &self,
        span: Option<Range<usize>>,
        place: &Place<'_>,
    ) -> Result<(Elements, Vec<usize>), DataError> {
        let mut shape = self.check_claim(place)?;
        let rows = checked_span(span, &shape, place)?;
        if let Some(first) = shape.first_mut() {
            *first = rows.len();
        }
        let n: usize = shape.iter().product();
        let mut out = Elements::filled(&self.meta, n, place)?;
        if n == 0 {
            return Ok((out, shape));
        }
        let meta = &self.meta;
        let mut counts: Vec<Range<usize>> =
            meta.shape.iter().zip(&meta.chunks).map(|(&n, &c)| 0..n.div_ceil(c)).collect();
        if let Some(first) = counts.first_mut() {
            *first = rows.start / meta.chunks[0]..rows.end.div_ceil(meta.chunks[0]);
        }
        let mut at: Vec<usize> = counts.iter().map(|range| range.start).collect();
        loop {
            if let Some(packed) = self.store.get(&self.key(&at), place)? {
                let chunk = decode(meta, &meta.chunks, &meta.codecs, packed, place)?;
                self.place_chunk(&mut out, &chunk, &at, &rows, place)?;
            }
            // The next chunk, last axis fastest.
            let Some(axis) = (0..at.len()).rev().find(|&axis| at[axis] + 1 < counts[axis].end) else { break };
            at[axis] += 1;
            for later in axis + 1..at.len() {
                at[later] = counts[later].start;
            }
        }
        Ok((out, shape))
    }

    fn key(&self, at: &[usize]) -> String {
        let (prefix, separator) = self.meta.key;
        let mut parts: Vec<String> = at.iter().map(usize::to_string).collect();
        if !prefix.is_empty() {
            parts.insert(0, prefix.to_owned());
        } else if parts.is_empty() {
            parts.push("0".to_owned());
        }
        joined(&self.path, &parts.join(&separator.to_string()))
    }

    /// Copies what lies in `rows` of the chunk at `at` to its place.
    fn place_chunk(
        &self,
        out: &mut Elements,
        chunk: &Elements,
        at: &[usize],
        rows: &Range<usize>,
        place: &Place<'_>,
    ) -> Result<(), DataError> {
        let (shape, chunks) = (&self.meta.shape, &self.meta.chunks);
        let width = self.meta.dtype.width();
        let starts: Vec<usize> = at.iter().zip(chunks).map(|(a, c)| a * c).collect();
        let mut target = shape.clone();
        let mut ranges: Vec<Range<usize>> =
            (0..shape.len()).map(|axis| 0..chunks[axis].min(shape[axis] - starts[axis])).collect();
        let mut base = vec![0isize; shape.len()];
        for axis in 0..shape.len() {
            base[axis] = starts[axis] as isize;
        }
        if !shape.is_empty() {
            target[0] = rows.len();
            base[0] -= rows.start as isize;
            let from = rows.start.saturating_sub(starts[0]);
            ranges[0] = from..ranges[0].end.min(rows.end - starts[0]);
        }
        let copied = for_each_run(&ranges, |position, n| {
            let source = position.iter().zip(chunks).fold(0, |flat, (p, c)| flat * c + p);
            let offset = |axis: usize| (base[axis] + position[axis] as isize) as usize;
            let to = (0..position.len()).fold(0, |flat, axis| flat * target[axis] + offset(axis));
            out.copy(to, chunk, source..source + n, width)
        });
        if copied {
            Ok(())
        } else {
            Err(place.malformed("a chunk of it holds fewer elements than its shape"))
        }
    }

    fn numbers<T>(
        &self,
        span: Option<Range<usize>>,
        place: &Place<'_>,
        convert: impl Fn(Number) -> Result<T, DataError>,
    ) -> Result<(Vec<T>, Vec<usize>), DataError> {
        if self.element() == Element::Other {
            return Err(place.malformed("numbers are expected, found texts"));
        }
        let (Elements::Fixed(bytes), shape) = self.read(span, place)? else {
            return Err(place.malformed("numbers are expected, found texts"));
        };
        let mut out = room(bytes.len() / self.meta.dtype.width(), place)?;
        for bytes in bytes.chunks_exact(self.meta.dtype.width()) {
            out.push(convert(number(bytes, self.meta.dtype))?);
        }
        Ok((out, shape))
    }

    /// See [`super::super::read_f32_rows`].
    pub fn read_f32_rows(
        &self,
        span: Option<Range<usize>>,
        place: &Place<'_>,
    ) -> Result<(Vec<f32>, Vec<usize>), DataError> {
        self.numbers(span, place, |number| match number {
            Number::Integer(v) => exact_f32(v, place),
            Number::Real(v) if v.is_finite() && !(v as f32).is_finite() => {
                Err(place.malformed(format!("it holds {v:e}, beyond the range of 32-bit numbers")))
            }
            Number::Real(v) => Ok(v as f32),
        })
    }

    /// See [`super::super::read_f64`].
    pub fn read_f64(&self, place: &Place<'_>) -> Result<(Vec<f64>, Vec<usize>), DataError> {
        self.numbers(None, place, |number| match number {
            Number::Integer(v) => Ok(v as f64),
            Number::Real(v) => Ok(v),
        })
    }

    /// See [`super::super::read_i64_rows`].
    pub fn read_i64_rows(
        &self,
        span: Option<Range<usize>>,
        place: &Place<'_>,
    ) -> Result<(Vec<i64>, Vec<usize>), DataError> {
        self.numbers(span, place, |number| match number {
            Number::Integer(v) => {
                i64::try_from(v).map_err(|_| place.malformed(format!("{v} is too large an integer")))
            }
            Number::Real(_) => Err(place.malformed("integers are expected, found floating-point numbers")),
        })
    }

    /// See [`super::super::read_strings`].
    pub fn read_strings(&self, place: &Place<'_>) -> Result<Vec<String>, DataError> {
        let (elements, _) = self.read(None, place)?;
        let bytes = match elements {
            Elements::Texts(texts) => return Ok(texts),
            Elements::Fixed(bytes) => bytes,
        };
        let text = |bytes: &[u8]| match self.meta.dtype {
            DType::Bytes(_) => {
                let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
                utf8(&bytes[..end], place)
            }
            DType::Utf32(_) => {
                let units = bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                let text: Option<String> = units.map(char::from_u32).collect();
                let text = text.ok_or_else(|| place.malformed("its texts are not Unicode"))?;
                Ok(text.trim_end_matches('\0').to_owned())
            }
            _ => Err(place.malformed("texts are expected, found numbers")),
        };
        bytes.chunks_exact(self.meta.dtype.width().max(1)).map(text).collect()
    }
}

/// A number of any type.
enum Number {
    Integer(i128),
    Real(f64),
}

fn number(bytes: &[u8], dtype: DType) -> Number {
    let mut wide = [0u8; 8];
    wide[..bytes.len().min(8)].copy_from_slice(&bytes[..bytes.len().min(8)]);
    let raw = u64::from_le_bytes(wide);
    match dtype {
        DType::Float(2) => Number::Real(half(raw as u16)),
        DType::Float(4) => Number::Real(f64::from(f32::from_bits(raw as u32))),
        DType::Float(_) => Number::Real(f64::from_bits(raw)),
        DType::Int(1) => Number::Integer(i128::from(raw as u8 as i8)),
        DType::Int(2) => Number::Integer(i128::from(raw as u16 as i16)),
        DType::Int(4) => Number::Integer(i128::from(raw as u32 as i32)),
        DType::Int(_) => Number::Integer(i128::from(raw as i64)),
        DType::Bool => Number::Integer(i128::from(raw != 0)),
        _ => Number::Integer(i128::from(raw)),
    }
}

/// A number of IEEE 754 binary16.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    }
}

/// Calls `visit(start, length)` for each run along the last axis of the box `ranges`, until it gives `false`.
fn for_each_run(ranges: &[Range<usize>], mut visit: impl FnMut(&[usize], usize) -> bool) -> bool {
    let Some(last) = ranges.last() else { return visit(&[], 1) };
    if ranges.iter().any(|range| range.start >= range.end) {
        return true;
    }
    let mut at: Vec<usize> = ranges.iter().map(|range| range.start).collect();
    loop {
        if !visit(&at, last.len()) {
            return false;
        }
        let outer = ranges.len() - 1;
        let Some(axis) = (0..outer).rev().find(|&axis| at[axis] + 1 < ranges[axis].end) else { return true };
        at[axis] += 1;
        for later in axis + 1..outer {
            at[later] = ranges[later].start;
        }
    }
}

/// The elements of a chunk of shape `chunk` from its stored bytes.
fn decode(
    meta: &Meta,
    chunk: &[usize],
    codecs: &[Codec],
    mut bytes: Vec<u8>,
    place: &Place<'_>,
) -> Result<Elements, DataError> {
    let n: usize = chunk.iter().product();
    let text = meta.dtype == DType::Text;
    // A text may be of any length; what it unpacks to is bounded by what packing can do.
    let ratio = h5::MAX_RATIO as usize;
    let limit = match text {
        true => bytes.len().saturating_mul(ratio).max(h5::FREE_BYTES as usize),
        false => n.saturating_mul(meta.dtype.width()).saturating_add(16),
    };
    if let Some(Codec::Sharding { chunks, codecs, index, index_at_end }) = codecs.first() {
        let shard = Shard { meta, shape: chunk, chunks, codecs, index, index_at_end: *index_at_end };
        return shard.decode(&bytes, place);
    }
    for codec in codecs_of_bytes(codecs) {
        bytes = codec.undo(bytes, limit, place)?;
    }
    let short = || place.malformed("a chunk of it holds fewer elements than its shape");
    if text {
        return texts(&bytes, n, place).map(Elements::Texts);
    }
    let width = meta.dtype.width();
    bytes = match n.checked_mul(width).filter(|&total| total <= bytes.len()) {
        Some(total) => {
            bytes.truncate(total);
            bytes
        }
        None => return Err(short()),
    };
    let unit = if matches!(meta.dtype, DType::Utf32(_)) { 4 } else { width };
    let big = meta.big_endian || codecs.contains(&Codec::Bytes { big_endian: true });
    if big && !matches!(meta.dtype, DType::Bytes(_)) {
        bytes.chunks_exact_mut(unit).for_each(<[u8]>::reverse);
    }
    let order = codecs.iter().find_map(|codec| match codec {
        Codec::Transpose(order) => Some(order.clone()),
        _ => None,
    });
    let order = order.or_else(|| meta.column_major.then(|| (0..chunk.len()).rev().collect()));
    match order {
        None => Ok(Elements::Fixed(bytes)),
        Some(order) => transposed(&bytes, chunk, &order, width).map(Elements::Fixed).ok_or_else(short),
    }
}

/// The codecs of bytes, last first.
fn codecs_of_bytes(codecs: &[Codec]) -> impl Iterator<Item = &Codec> {
    codecs.iter().rev()
}

/// Row-major bytes of an array of `shape` from those whose axes come in `order`.
fn transposed(bytes: &[u8], shape: &[usize], order: &[usize], width: usize) -> Option<Vec<u8>> {
    let mut seen = order.to_vec();
    seen.sort_unstable();
    if !seen.iter().copied().eq(0..shape.len()) {
        return None;
    }
    let mut strides = vec![0usize; shape.len()];
    let mut stride = 1;
    for &axis in order.iter().rev() {
        strides[axis] = stride;
        stride *= shape[axis];
    }
    let mut out = vec![0u8; bytes.len()];
    for flat in 0..bytes.len() / width.max(1) {
        let (mut rest, mut from) = (flat, 0);
        for axis in (0..shape.len()).rev() {
            from += rest % shape[axis] * strides[axis];
            rest /= shape[axis];
        }
        out[flat * width..(flat + 1) * width].copy_from_slice(bytes.get(from * width..(from + 1) * width)?);
    }
    Some(out)
}

/// `n` texts: their number, then the length and bytes of each.
fn texts(bytes: &[u8], n: usize, place: &Place<'_>) -> Result<Vec<String>, DataError> {
    let damaged = || place.malformed("its texts are damaged");
    let length = |at: usize| -> Option<usize> {
        let b = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize)
    };
    if length(0) != Some(n) {
        return Err(place.malformed("a chunk of it holds more or fewer texts than its shape"));
    }
    let mut out = room(n.min(bytes.len()), place)?;
    let mut at = 4;
    for _ in 0..n {
        let end = length(at).and_then(|n| (at + 4).checked_add(n)).ok_or_else(damaged)?;
        out.push(utf8(bytes.get(at + 4..end).ok_or_else(damaged)?, place)?);
        at = end;
    }
    Ok(out)
}

/// Several chunks in one value, with an index of where each lies.
struct Shard<'a> {
    meta: &'a Meta,
    shape: &'a [usize],
    chunks: &'a [usize],
    codecs: &'a [Codec],
    index: &'a [Codec],
    index_at_end: bool,
}

impl Shard<'_> {
    fn decode(&self, bytes: &[u8], place: &Place<'_>) -> Result<Elements, DataError> {
        let damaged = || place.malformed("the index of its shard is damaged");
        let fits = self.chunks.len() == self.shape.len()
            && self.shape.iter().zip(self.chunks).all(|(n, c)| *c > 0 && n % c == 0)
            && !self.codecs.iter().any(|codec| matches!(codec, Codec::Sharding { .. }));
        if !fits {
            return Err(place.malformed("its shards are not cut evenly"));
        }
        let counts: Vec<usize> = self.shape.iter().zip(self.chunks).map(|(n, c)| n / c).collect();
        let n_chunks: usize = counts.iter().product();
        let checksum = if self.index.contains(&Codec::Crc32c) { 4 } else { 0 };
        let n_index = n_chunks.checked_mul(16).and_then(|n| n.checked_add(checksum)).ok_or_else(damaged)?;
        let from = if self.index_at_end { bytes.len().checked_sub(n_index).ok_or_else(damaged)? } else { 0 };
        let mut index = bytes.get(from..from + n_index).ok_or_else(damaged)?.to_vec();
        for codec in codecs_of_bytes(self.index) {
            index = codec.undo(index, n_index, place)?;
        }
        let entry = |at: usize| {
            index.get(at..at + 8).map(|b| b.iter().rev().fold(0u64, |v, &b| v << 8 | u64::from(b)))
        };
        let mut out = Elements::filled(self.meta, self.shape.iter().product(), place)?;
        for number in 0..n_chunks {
            let (offset, size) = entry(16 * number).zip(entry(16 * number + 8)).ok_or_else(damaged)?;
            if (offset, size) == (u64::MAX, u64::MAX) {
                continue;
            }
            let start = usize::try_from(offset).map_err(|_| damaged())?;
            let end = usize::try_from(size).ok().and_then(|n| start.checked_add(n)).ok_or_else(damaged)?;
            let packed = bytes.get(start..end).ok_or_else(damaged)?.to_vec();
            let chunk = decode(self.meta, self.chunks, self.codecs, packed, place)?;
            let mut rest = number;
            let mut corner = vec![0; counts.len()];
            for axis in (0..counts.len()).rev() {
                corner[axis] = rest % counts[axis] * self.chunks[axis];
                rest /= counts[axis];
            }
            let ranges: Vec<Range<usize>> = self.chunks.iter().map(|&c| 0..c).collect();
            let width = self.meta.dtype.width();
            let copied = for_each_run(&ranges, |position, n| {
                let source = position.iter().zip(self.chunks).fold(0, |flat, (p, c)| flat * c + p);
                let to = (0..position.len())
                    .fold(0, |flat, axis| flat * self.shape[axis] + corner[axis] + position[axis]);
                out.copy(to, &chunk, source..source + n, width)
            });
            if !copied {
                return Err(place.malformed("a chunk of its shard holds fewer elements than its shape"));
            }
        }
        Ok(out)
    }
}
