//! Blosc 1 containers (the chunk format of c-blosc 1.x): shuffled blocks packed by LZ4, zlib or zstd.

use super::super::Place;
use crate::anndata::error::DataError;
use crate::anndata::inflate;

const HEADER: usize = 16;

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let b = bytes.get(at..at.checked_add(4)?)?;
    usize::try_from(i32::from_le_bytes([b[0], b[1], b[2], b[3]])).ok()
}

/// Unpacks a container of at most `limit` bytes.
///
/// # Errors
/// Damage; a packer other than LZ4, zlib and zstd, named.
pub(super) fn unpack(packed: &[u8], limit: usize, place: &Place<'_>) -> Result<Vec<u8>, DataError> {
    let damaged = || place.malformed("its blosc bytes are damaged, or more than its shape holds");
    let (flags, width) = match packed.get(..HEADER) {
        Some(head) => (head[2], head[3] as usize),
        None => return Err(damaged()),
    };
    let packer = match flags >> 5 {
        1 => Packer::Lz4,
        3 => Packer::Zlib,
        4 => Packer::Zstd,
        other => {
            let name = ["BloscLZ", "", "Snappy"].get(other as usize).copied().unwrap_or("an unknown packer");
            return Err(place
                .malformed(format!("it is packed with blosc and {name}, which is not supported"))
                .with_help("write the store again with zstd, or blosc with lz4 or zstd"));
        }
    };
    blocks(packed, flags, width, packer, limit).ok_or_else(damaged)
}

#[derive(Clone, Copy)]
enum Packer {
    Lz4,
    Zlib,
    Zstd,
}

fn blocks(packed: &[u8], flags: u8, width: usize, packer: Packer, limit: usize) -> Option<Vec<u8>> {
    let (n_bytes, block) = (u32_at(packed, 4)?, u32_at(packed, 8)?);
    if n_bytes > limit {
        return None;
    }
    if flags & 2 != 0 {
        return packed.get(HEADER..HEADER + n_bytes).map(<[u8]>::to_vec);
    }
    let mut out = Vec::new();
    if n_bytes == 0 {
        return Some(out);
    }
    let n_blocks = n_bytes.div_ceil((block > 0).then_some(block)?);
    for number in 0..n_blocks {
        let want = block.min(n_bytes - number * block);
        let start = u32_at(packed, HEADER + 4 * number)?;
        // All blocks but a last, shorter one may be split into one stream per byte of an element.
        let whole = want == block;
        let split = flags & 0x10 == 0 && whole && (1..=16).contains(&width) && block / width >= 128;
        let n_streams = if split { width } else { 1 };
        let mut at = start;
        let mut bytes = Vec::new();
        for _ in 0..n_streams {
            let n = u32_at(packed, at)?;
            let body = packed.get(at + 4..at.checked_add(4)?.checked_add(n)?)?;
            at += 4 + n;
            let each = want / n_streams;
            if n == each {
                bytes.extend_from_slice(body);
                continue;
            }
            let part = match packer {
                Packer::Lz4 => inflate::lz4(body, each)?,
                Packer::Zlib => inflate::zlib(body, each)?,
                Packer::Zstd => inflate::zstd(body, each)?,
            };
            if part.len() != each {
                return None;
            }
            bytes.extend_from_slice(&part);
        }
        out.extend_from_slice(&match flags & 5 {
            1 => unshuffle(&bytes, width),
            4 => unshuffle_bits(&bytes, width),
            _ => bytes,
        });
    }
    (out.len() == n_bytes).then_some(out)
}

/// Puts the bytes of each element together again; those beyond whole elements stay where they are.
pub(super) fn unshuffle(bytes: &[u8], width: usize) -> Vec<u8> {
    let n = bytes.len() / width.max(1);
    let mut out = bytes.to_vec();
    for element in 0..n {
        for byte in 0..width {
            out[element * width + byte] = bytes[byte * n + element];
        }
    }
    out
}

/// Puts the bits of each element together again. Blocks whose elements do not come in eights are not shuffled, and
/// bytes beyond whole elements never are.
fn unshuffle_bits(bytes: &[u8], width: usize) -> Vec<u8> {
    let n = bytes.len().checked_div(width).unwrap_or(0);
    if !n.is_multiple_of(8) {
        return bytes.to_vec();
    }
    let mut out = bytes.to_vec();
    out[..n * width].fill(0);
    let row = n / 8;
    for bit in 0..width * 8 {
        for element in 0..n {
            let set = bytes[bit * row + element / 8] >> (element % 8) & 1;
            out[element * width + bit / 8] |= set << (bit % 8);
        }
    }
    out
}
