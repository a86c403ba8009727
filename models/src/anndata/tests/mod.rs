//! Tests of reading and writing: real files against numbers that Python's anndata gives, hostile files, round trips.

mod fcs;
mod golden;
mod hostile;
mod inflate;
mod read;
mod round_trip;
mod small;
mod write;

use std::path::PathBuf;

/// A file of the shared data folder, or `None` (with a note) where the folder is not at hand.
pub(crate) fn shared(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SVIC_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let path = root.join("data").join(name);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not here", path.display());
    None
}

/// CRC-32 of `bytes` (the polynomial of zip and zlib).
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
    })
}
