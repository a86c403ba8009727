//! The codecs of zarr, from stored bytes back to elements.

use serde_json::Value;

use super::super::Place;
use super::blosc;
use crate::anndata::error::DataError;
use crate::anndata::inflate;

/// One codec of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    /// Elements as bytes of this order.
    Bytes {
        big_endian: bool,
    },
    /// Texts: their number, then length and bytes of each.
    VlenUtf8,
    /// Axes in another order.
    Transpose(Vec<usize>),
    Blosc,
    Zstd,
    Gzip,
    Zlib,
    Lz4,
    /// Bytes of elements of so many bytes, first bytes first.
    Shuffle(usize),
    /// Four bytes of checksum at the end.
    Crc32c,
    /// Several chunks in one.
    Sharding {
        chunks: Vec<usize>,
        codecs: Vec<Codec>,
        index: Vec<Codec>,
        index_at_end: bool,
    },
}

impl Codec {
    /// The list of codecs at `value`, as zarr 3 writes it.
    pub fn list(value: Option<&Value>, place: &Place<'_>) -> Result<Vec<Self>, DataError> {
        let list = value.and_then(Value::as_array);
        let list = list.ok_or_else(|| place.malformed("it lacks a list of codecs"))?;
        let codec = |codec: &Value| {
            let name = codec.as_str().or_else(|| codec.get("name")?.as_str()).unwrap_or_default();
            Self::named(name, codec.get("configuration").unwrap_or(&Value::Null), place)
        };
        list.iter().take(16).map(codec).collect()
    }

    /// The codec of this name with its configuration.
    ///
    /// # Errors
    /// A codec that is not supported, named.
    pub fn named(name: &str, about: &Value, place: &Place<'_>) -> Result<Self, DataError> {
        let size = |key: &str| about.get(key).and_then(Value::as_u64).unwrap_or(0) as usize;
        let sizes = |key: &str| -> Vec<usize> {
            let list = about.get(key).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_u64).map(|n| n as usize).collect()
        };
        Ok(match name {
            "bytes" => Self::Bytes { big_endian: about.get("endian").and_then(Value::as_str) == Some("big") },
            "vlen-utf8" => Self::VlenUtf8,
            "transpose" => Self::Transpose(sizes("order")),
            "blosc" | "numcodecs.blosc" => Self::Blosc,
            "zstd" | "numcodecs.zstd" => Self::Zstd,
            "gzip" | "numcodecs.gzip" => Self::Gzip,
            "zlib" | "numcodecs.zlib" => Self::Zlib,
            "lz4" | "numcodecs.lz4" => Self::Lz4,
            "shuffle" | "numcodecs.shuffle" => Self::Shuffle(size("elementsize")),
            "crc32c" => Self::Crc32c,
            "sharding_indexed" => Self::Sharding {
                chunks: sizes("chunk_shape"),
                codecs: Self::list(about.get("codecs"), place)?,
                index: Self::list(about.get("index_codecs"), place)?,
                index_at_end: about.get("index_location").and_then(Value::as_str) != Some("start"),
            },
            other => {
                return Err(place
                    .malformed(format!("it is stored with the codec `{other}`, which is not supported"))
                    .with_help("write the store again with zstd, blosc or gzip"));
            }
        })
    }

    /// Undoes a codec of bytes, `limit` bytes coming out at most; codecs of elements leave them as they are.
    pub fn undo(&self, bytes: Vec<u8>, limit: usize, place: &Place<'_>) -> Result<Vec<u8>, DataError> {
        let damaged = |name: &str| {
            place.malformed(format!("its {name} bytes are damaged, or more than its shape holds"))
        };
        match self {
            Self::Bytes { .. } | Self::VlenUtf8 | Self::Transpose(_) | Self::Sharding { .. } => Ok(bytes),
            Self::Blosc => blosc::unpack(&bytes, limit, place),
            Self::Zstd => inflate::zstd(&bytes, limit).ok_or_else(|| damaged("zstd")),
            Self::Gzip => inflate::gzip(&bytes, limit).ok_or_else(|| damaged("gzip")),
            Self::Zlib => inflate::zlib(&bytes, limit).ok_or_else(|| damaged("zlib")),
            Self::Lz4 => {
                // The number of bytes unpacked comes first.
                let (head, body) = bytes.split_at_checked(4).ok_or_else(|| damaged("LZ4"))?;
                let n = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
                inflate::lz4(body, n.min(limit)).filter(|out| out.len() == n).ok_or_else(|| damaged("LZ4"))
            }
            Self::Shuffle(width) => Ok(blosc::unshuffle(&bytes, *width)),
            Self::Crc32c => {
                let (body, sum) = bytes.split_at(bytes.len().saturating_sub(4));
                if sum != crc32c(body).to_le_bytes() {
                    return Err(place.malformed("its checksum is wrong: the bytes are damaged"));
                }
                Ok(body.to_vec())
            }
        }
    }
}

/// CRC-32C (Castagnoli) of `bytes`.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0x82f6_3b78 } else { c >> 1 })
    })
}
