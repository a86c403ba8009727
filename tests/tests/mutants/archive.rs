//! Zip archives taken apart and put together, so that what they hold can be spoiled and not only its packing.

use flate2::read::{DeflateDecoder, MultiGzDecoder};
use flate2::write::GzEncoder;
use std::io::{Read, Write};

/// Name and bytes of every entry.
pub type Entries = Vec<(String, Vec<u8>)>;

fn number(bytes: &[u8], at: usize, width: usize) -> usize {
    bytes[at..at + width].iter().rev().fold(0, |n, &b| n << 8 | usize::from(b))
}

/// The entries of a sound archive without extensions.
pub fn unzip(bytes: &[u8]) -> Entries {
    let mut out = vec![];
    let end = bytes.windows(4).rposition(|w| w == b"PK\x05\x06").expect("it has a directory");
    let mut at = number(bytes, end + 16, 4);
    while bytes[at..].starts_with(b"PK\x01\x02") {
        let (method, packed) = (number(bytes, at + 10, 2), number(bytes, at + 20, 4));
        let (name, extra, comment) =
            (number(bytes, at + 28, 2), number(bytes, at + 30, 2), number(bytes, at + 32, 2));
        let local = number(bytes, at + 42, 4);
        let start = local + 30 + number(bytes, local + 26, 2) + number(bytes, local + 28, 2);
        let body = &bytes[start..start + packed];
        let mut plain = body.to_vec();
        if method == 8 {
            plain.clear();
            DeflateDecoder::new(body).read_to_end(&mut plain).expect("it is sound");
        }
        out.push((String::from_utf8_lossy(&bytes[at + 46..at + 46 + name]).into_owned(), plain));
        at += 46 + name + extra + comment;
    }
    out
}

/// An archive of entries that are stored as they are.
pub fn zip(entries: &Entries) -> Vec<u8> {
    let (mut out, mut directory) = (vec![], vec![]);
    for (name, bytes) in entries {
        let mut sum = flate2::Crc::new();
        sum.update(bytes);
        let mut about = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        about.extend(sum.sum().to_le_bytes());
        about.extend((bytes.len() as u32).to_le_bytes());
        about.extend((bytes.len() as u32).to_le_bytes());
        about.extend((name.len() as u16).to_le_bytes());
        about.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&about);
        directory.extend([0; 10]);
        directory.extend((out.len() as u32).to_le_bytes());
        directory.extend(name.bytes());
        out.extend(b"PK\x03\x04");
        out.extend(&about);
        out.extend(name.bytes());
        out.extend(bytes);
    }
    let (n, start, size) = (entries.len() as u16, out.len() as u32, directory.len() as u32);
    out.extend(&directory);
    out.extend(b"PK\x05\x06\x00\x00\x00\x00");
    out.extend(n.to_le_bytes());
    out.extend(n.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0, 0]);
    out
}

/// What a gzip file holds.
pub fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    MultiGzDecoder::new(bytes).read_to_end(&mut out).expect("it is sound");
    out
}

/// A gzip file of `bytes`.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(vec![], flate2::Compression::fast());
    out.write_all(bytes).expect("memory");
    out.finish().expect("memory")
}
