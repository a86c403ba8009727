//! Unpacking deflate (RFC 1950 to 1952), zstd, LZ4 blocks and LZF, with a bound on what comes out.

use std::io::Read;

/// All of `stream`, at most `limit` bytes; `None` if it is damaged or longer.
fn all(stream: impl Read, limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    stream.take(limit as u64 + 1).read_to_end(&mut out).ok()?;
    (out.len() <= limit).then_some(out)
}

/// Unpacks a zlib stream of at most `limit` bytes; `None` if it is damaged or longer. Its checksum is verified.
pub(super) fn zlib(packed: &[u8], limit: usize) -> Option<Vec<u8>> {
    all(flate2::read::ZlibDecoder::new(packed), limit)
}

/// Unpacks gzip members of at most `limit` bytes together; `None` if damaged or longer. Checksums are verified.
pub(super) fn gzip(packed: &[u8], limit: usize) -> Option<Vec<u8>> {
    all(flate2::read::MultiGzDecoder::new(packed), limit)
}

/// Unpacks a bare deflate stream of at most `limit` bytes; `None` if it is damaged or longer.
pub(super) fn deflate(packed: &[u8], limit: usize) -> Option<Vec<u8>> {
    all(flate2::read::DeflateDecoder::new(packed), limit)
}

/// Unpacks a zstd frame of at most `limit` bytes; `None` if it is damaged or longer.
pub(super) fn zstd(packed: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut rest = packed;
    all(ruzstd::decoding::StreamingDecoder::new(&mut rest).ok()?, limit)
}

/// Unpacks an LZ4 block of at most `limit` bytes; `None` if it is damaged or longer.
pub(super) fn lz4(packed: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut at = 0;
    // A length of 15 goes on in the bytes that follow, up to and with the first below 255.
    let length = |first: u8, at: &mut usize| -> Option<usize> {
        let mut n = first as usize;
        if n == 15 {
            loop {
                let more = *packed.get(*at)?;
                *at += 1;
                n += more as usize;
                if more < 255 {
                    break;
                }
            }
        }
        Some(n)
    };
    while let Some(&token) = packed.get(at) {
        at += 1;
        let n = length(token >> 4, &mut at)?;
        out.extend_from_slice(packed.get(at..at.checked_add(n)?)?);
        at += n;
        if out.len() > limit {
            return None;
        }
        if at == packed.len() {
            break;
        }
        let back = u16::from_le_bytes([*packed.get(at)?, *packed.get(at + 1)?]) as usize;
        at += 2;
        let n = length(token & 15, &mut at)? + 4;
        if back == 0 || out.len() + n > limit {
            return None;
        }
        copy(&mut out, back, n)?;
    }
    Some(out)
}

/// Appends `n` bytes from `back` bytes before the end; the two may overlap.
fn copy(out: &mut Vec<u8>, back: usize, n: usize) -> Option<()> {
    let from = out.len().checked_sub(back)?;
    for position in from..from + n {
        out.push(out[position]);
    }
    Some(())
}

/// Unpacks LZF data of at most `limit` bytes; `None` if it is damaged or longer.
pub(super) fn lzf(packed: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(&control) = packed.get(at) {
        at += 1;
        if control < 32 {
            let end = at + control as usize + 1;
            out.extend_from_slice(packed.get(at..end)?);
            at = end;
        } else {
            let mut n = (control >> 5) as usize;
            if n == 7 {
                n += *packed.get(at)? as usize;
                at += 1;
            }
            let back = ((control as usize & 0x1f) << 8 | *packed.get(at)? as usize) + 1;
            at += 1;
            copy(&mut out, back, n + 2)?;
        }
        if out.len() > limit {
            return None;
        }
    }
    Some(out)
}
