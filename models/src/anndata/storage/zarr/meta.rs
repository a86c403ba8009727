//! What a zarr array says of itself: shape, chunks, element type, codecs.

use serde_json::{Map, Value};

use super::super::{Element, Place};
use super::codec::Codec;
use crate::anndata::error::DataError;

/// The type of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DType {
    /// One byte, 0 or 1.
    Bool,
    /// Signed integers of so many bytes.
    Int(usize),
    /// Unsigned integers of so many bytes.
    UInt(usize),
    /// Floating-point numbers of 2, 4 or 8 bytes.
    Float(usize),
    /// Texts of so many bytes, filled with zeros.
    Bytes(usize),
    /// Texts of so many characters of four bytes each.
    Utf32(usize),
    /// Texts of any length, in a codec of their own.
    Text,
}

impl DType {
    /// Bytes of one element; 16 for texts of any length, which is what one takes in memory at least.
    pub fn width(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Int(n) | Self::UInt(n) | Self::Float(n) | Self::Bytes(n) => n,
            Self::Utf32(n) => n.saturating_mul(4),
            Self::Text => 16,
        }
    }

    /// What the rest of the reader knows it as.
    pub fn element(self) -> Element {
        match self {
            Self::Bool => Element::Bool,
            Self::Int(_) | Self::UInt(_) => Element::Integer,
            Self::Float(_) => Element::Real,
            _ => Element::Other,
        }
    }
}

/// The metadata of an array.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    pub shape: Vec<usize>,
    pub chunks: Vec<usize>,
    pub dtype: DType,
    pub big_endian: bool,
    /// Whether the elements of a chunk run along the first axis fastest.
    pub column_major: bool,
    /// The value of elements that are not stored.
    pub fill: Value,
    /// From the elements to the stored bytes.
    pub codecs: Vec<Codec>,
    /// What comes before the numbers of a chunk in its key, and between them.
    pub key: (&'static str, char),
}

fn sizes(value: Option<&Value>, what: &str, place: &Place<'_>) -> Result<Vec<usize>, DataError> {
    let number = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|&n| n <= 1 << 48);
    let sizes =
        value.and_then(Value::as_array).and_then(|list| list.iter().map(number).collect::<Option<Vec<_>>>());
    match sizes {
        Some(sizes) if sizes.len() <= 32 => Ok(sizes),
        _ => Err(place.malformed(format!("its {what} should be a list of sizes"))),
    }
}

fn checked(mut meta: Meta, place: &Place<'_>) -> Result<Meta, DataError> {
    if meta.chunks.len() != meta.shape.len() || meta.chunks.contains(&0) {
        // An empty array may have empty chunks.
        if meta.shape.contains(&0) && meta.chunks.len() == meta.shape.len() {
            meta.chunks.iter_mut().for_each(|n| *n = (*n).max(1));
            return Ok(meta);
        }
        let message = format!("chunks of {:?} do not cut an array of {:?}", meta.chunks, meta.shape);
        return Err(place.malformed(message));
    }
    Ok(meta)
}

impl Meta {
    /// From `.zarray`.
    pub fn version_2(about: &Map<String, Value>, place: &Place<'_>) -> Result<Self, DataError> {
        let unknown = |what: String| place.malformed(what);
        let name = about.get("dtype").and_then(Value::as_str).unwrap_or_default();
        let (dtype, big_endian) = numpy_type(name)
            .ok_or_else(|| unknown(format!("elements of type `{name}` are not supported")))?;
        let mut codecs = Vec::new();
        let filters = about.get("filters").and_then(Value::as_array).cloned().unwrap_or_default();
        let compressor = about.get("compressor").filter(|c| !c.is_null()).cloned();
        for codec in filters.iter().chain(&compressor) {
            let id = codec.get("id").and_then(Value::as_str).unwrap_or_default();
            codecs.push(Codec::named(id, codec, place)?);
        }
        if dtype == DType::Text && codecs.first() != Some(&Codec::VlenUtf8) {
            return Err(unknown(
                "elements of type `object` are supported as `vlen-utf8` texts only".to_owned(),
            ));
        }
        let separator = about.get("dimension_separator").and_then(Value::as_str).unwrap_or(".");
        let meta = Self {
            shape: sizes(about.get("shape"), "shape", place)?,
            chunks: sizes(about.get("chunks"), "chunks", place)?,
            dtype,
            big_endian,
            column_major: about.get("order").and_then(Value::as_str) == Some("F"),
            fill: about.get("fill_value").cloned().unwrap_or_default(),
            codecs,
            key: ("", if separator == "/" { '/' } else { '.' }),
        };
        checked(meta, place)
    }

    /// From `zarr.json`.
    pub fn version_3(about: &Map<String, Value>, place: &Place<'_>) -> Result<Self, DataError> {
        let configuration = |part: &str| about.get(part).and_then(|p| p.get("configuration"));
        let named = |value: Option<&Value>| {
            value.and_then(|v| v.as_str().or_else(|| v.get("name")?.as_str())).unwrap_or_default().to_owned()
        };
        let name = named(about.get("data_type"));
        let length = configuration("data_type").and_then(|c| c.get("length_bytes")).and_then(Value::as_u64);
        let dtype = version_3_type(&name, length.unwrap_or(0))
            .ok_or_else(|| place.malformed(format!("elements of type `{name}` are not supported")))?;
        let grid = named(about.get("chunk_grid"));
        if grid != "regular" {
            return Err(
                place.malformed(format!("its chunks form a grid of kind `{grid}`; `regular` is supported"))
            );
        }
        let codecs = Codec::list(about.get("codecs"), place)?;
        let old_keys = named(about.get("chunk_key_encoding")) == "v2";
        let separator =
            configuration("chunk_key_encoding").and_then(|c| c.get("separator")).and_then(Value::as_str);
        let separator = match separator {
            Some(".") => '.',
            Some("/") => '/',
            _ if old_keys => '.',
            _ => '/',
        };
        let meta = Self {
            shape: sizes(about.get("shape"), "shape", place)?,
            chunks: sizes(
                configuration("chunk_grid").and_then(|c| c.get("chunk_shape")),
                "chunk shape",
                place,
            )?,
            dtype,
            big_endian: codecs.contains(&Codec::Bytes { big_endian: true }),
            column_major: false,
            fill: about.get("fill_value").cloned().unwrap_or_default(),
            codecs,
            key: (if old_keys { "" } else { "c" }, separator),
        };
        checked(meta, place)
    }
}

/// A type as numpy writes it, such as `<f4`, and whether it is big-endian.
fn numpy_type(name: &str) -> Option<(DType, bool)> {
    let (order, rest) = (name.chars().next()?, name.get(1..)?);
    let kind = rest.chars().next()?;
    let size = || rest[1..].parse::<usize>().ok();
    let dtype = match kind {
        'b' => DType::Bool,
        'i' => DType::Int(size().filter(|n| matches!(n, 1 | 2 | 4 | 8))?),
        'u' => DType::UInt(size().filter(|n| matches!(n, 1 | 2 | 4 | 8))?),
        'f' => DType::Float(size().filter(|n| matches!(n, 2 | 4 | 8))?),
        'S' => DType::Bytes(size().filter(|n| (1..=65_536).contains(n))?),
        'U' => DType::Utf32(size().filter(|n| (1..=65_536).contains(n))?),
        'O' => DType::Text,
        _ => return None,
    };
    Some((dtype, order == '>'))
}

fn version_3_type(name: &str, length: u64) -> Option<DType> {
    let length = usize::try_from(length).ok().filter(|n| (1..=1 << 18).contains(n));
    Some(match name {
        "bool" => DType::Bool,
        "int8" => DType::Int(1),
        "int16" => DType::Int(2),
        "int32" => DType::Int(4),
        "int64" => DType::Int(8),
        "uint8" => DType::UInt(1),
        "uint16" => DType::UInt(2),
        "uint32" => DType::UInt(4),
        "uint64" => DType::UInt(8),
        "float16" => DType::Float(2),
        "float32" => DType::Float(4),
        "float64" => DType::Float(8),
        "string" => DType::Text,
        "fixed_length_utf32" => DType::Utf32(length? / 4),
        "null_terminated_bytes" => DType::Bytes(length?),
        _ => return None,
    })
}
