//! What libhdf5 believes of a file without checking it: its heaps of texts.
//!
//! A global heap collection (HDF5 File Format Specification 3.0, III.E) lists objects one after the other. One whose
//! length comes to nothing keeps libhdf5 (2.0) in an endless loop, so every collection of a file is walked before the
//! library sees it. The search reads the file once, at the speed of copying.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// How a collection begins: its signature and version.
const START: [u8; 5] = *b"GCOL\x01";
/// Bytes before the first object, and before the content of each.
const HEADER: u64 = 16;
/// The least size of a collection.
const LEAST: u64 = 4096;
/// Bytes read at a time.
const BLOCK: usize = 1 << 18;
/// Bytes that are worth a thread.
const LARGE: u64 = 1 << 23;
/// Bytes that are compared at once.
const STRIDE: usize = 64;

/// The position of a heap collection in the file at `path` that libhdf5 would never finish reading; `None` if there is
/// none.
///
/// # Errors
/// The file cannot be read.
pub(in crate::anndata) fn endless(path: &Path) -> io::Result<Option<u64>> {
    let len = std::fs::metadata(path)?.len();
    // Large files are read in parts at the same time.
    let n = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, 4) as u64;
    let part = (len / n).max(LARGE);
    let starts: Vec<u64> = (0..len).step_by(part.max(1) as usize).collect();
    std::thread::scope(|scope| {
        let all =
            starts.into_iter().map(|from| scope.spawn(move || endless_in(path, from, from + part, len)));
        let all: Vec<_> = all.collect();
        let found =
            all.into_iter().map(|one| one.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())));
        found.collect::<io::Result<Vec<_>>>().map(|found| found.into_iter().flatten().next())
    })
}

/// The same of collections that begin at bytes `from..to` of a file of `len` bytes.
fn endless_in(path: &Path, from: u64, to: u64, len: u64) -> io::Result<Option<u64>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut file = file.take(to - from + START.len() as u64 - 1);
    let mut window = Window { file: File::open(path)?, bytes: vec![0; 1 << 12], start: 0, filled: 0 };
    // Overlapping collections of a hostile file may not make this take longer than the file is long.
    let mut steps = len / 4 + (1 << 20);
    let mut block = vec![0; BLOCK + START.len() - 1];
    let (mut at, mut kept) = (from, 0);
    loop {
        let n = file.read(&mut block[kept..])?;
        if n == 0 {
            return Ok(None);
        }
        let filled = kept + n;
        for found in starts(&block[..filled]) {
            if ends_nowhere(&mut window, at + found as u64, len, &mut steps)? {
                return Ok(Some(at + found as u64));
            }
        }
        // A signature may lie across two blocks.
        kept = filled.min(START.len() - 1);
        block.copy_within(filled - kept..filled, 0);
        at += (filled - kept) as u64;
    }
}

/// Where collections may begin in `bytes`.
fn starts(bytes: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let end = (at + STRIDE).min(bytes.len());
        // Without a branch for each byte, so that many are compared at once.
        let next = bytes.get(at + 1..).unwrap_or_default();
        let pair =
            bytes[at..end].iter().zip(next).fold(false, |any, (a, b)| any | (*a == b'G') & (*b == b'C'));
        if pair {
            found.extend((at..end).filter(|&i| bytes[i..].starts_with(&START)));
        }
        at = end;
    }
    found
}

/// Whether the objects of the collection at `start` never reach its end.
fn ends_nowhere(window: &mut Window, start: u64, len: u64, steps: &mut u64) -> io::Result<bool> {
    let Some(head) = window.sixteen(start)? else { return Ok(false) };
    let size = number(&head[8..16]);
    if size < LEAST {
        return Ok(false);
    }
    let end = start.saturating_add(size).min(len);
    let mut at = start + HEADER;
    while at.checked_add(HEADER).is_some_and(|next| next <= end) {
        let Some(object) = window.sixteen(at)? else { return Ok(false) };
        let content = number(&object[8..16]);
        let need = match number(&object[..2]) {
            // What is free counts its own header.
            0 => content,
            _ => content.wrapping_add(7).wrapping_div(8).wrapping_mul(8).wrapping_add(HEADER),
        };
        *steps = steps.saturating_sub(1);
        if need == 0 || *steps == 0 {
            return Ok(true);
        }
        // Beyond the end the library stops by itself.
        at = at.saturating_add(need);
    }
    Ok(false)
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b))
}

/// A part of a file in memory.
struct Window {
    file: File,
    bytes: Vec<u8>,
    start: u64,
    filled: usize,
}

impl Window {
    /// The sixteen bytes at `at`; `None` where the file is over before.
    fn sixteen(&mut self, at: u64) -> io::Result<Option<[u8; 16]>> {
        if at < self.start || at + 16 > self.start + self.filled as u64 {
            self.file.seek(SeekFrom::Start(at))?;
            (self.start, self.filled) = (at, 0);
            while self.filled < self.bytes.len() {
                match self.file.read(&mut self.bytes[self.filled..])? {
                    0 => break,
                    n => self.filled += n,
                }
            }
        }
        let from = (at - self.start) as usize;
        Ok(self.bytes[..self.filled].get(from..from + 16).and_then(|b| b.try_into().ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Option<u64> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        endless(file.path()).unwrap()
    }

    /// A collection of 4096 bytes at `at`, with objects of these indices and sizes.
    fn collection(at: usize, objects: &[(u16, u64)]) -> Vec<u8> {
        let mut out = vec![7u8; at];
        out.extend(START);
        out.extend([0; 3]);
        out.extend(4096u64.to_le_bytes());
        for (index, size) in objects {
            out.extend(index.to_le_bytes());
            out.extend([0; 6]);
            out.extend(size.to_le_bytes());
            out.extend(vec![b'x'; if *index == 0 { 0 } else { size.min(&64).div_ceil(8) as usize * 8 }]);
        }
        out.resize(at + 4096, 0);
        out
    }

    #[test]
    fn collections_that_end_and_that_do_not() {
        let free = 4096 - 16 - 3 * 16 - 8 - 16 - 24;
        for at in [0, 1, 61, 62, 63, 64, BLOCK - 3, BLOCK, BLOCK + 1] {
            assert_eq!(of(&collection(at, &[(1, 5), (2, 16), (3, 20), (0, free)])), None, "{at}");
            assert_eq!(of(&collection(at, &[(1, 5), (0, 0)])), Some(at as u64));
            // A length that comes to nothing with its header.
            assert_eq!(of(&collection(at, &[(1, 5), (2, u64::MAX - 15)])), Some(at as u64));
            assert_eq!(of(&collection(at, &[(1, 5), (2, u64::MAX - 23)])), None);
        }
        assert_eq!(of(b"GCOL\x01"), None);
    }
}
