//! Zip archives: the names in the directory, and one entry at a time (APPNOTE 6.3, with zip64).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::error::{DataError, DataErrorKind};
use super::inflate;
use super::storage::{self, Place};

/// The most an entry may unpack to, per byte stored.
const MAX_RATIO: u64 = 1100;
const END: u64 = 0x0605_4b50;
const LOCATOR_64: u64 = 0x0706_4b50;
const END_64: u64 = 0x0606_4b50;
const CENTRAL: u64 = 0x0201_4b50;
const LOCAL: u64 = 0x0403_4b50;

#[derive(Clone, Copy, Debug)]
struct Entry {
    method: u64,
    at: u64,
    packed: u64,
    size: u64,
}

/// An archive whose directory has been read.
#[derive(Debug)]
pub(super) struct Zip {
    path: PathBuf,
    n_bytes: u64,
    entries: BTreeMap<String, Entry>,
}

fn number(bytes: &[u8], at: usize, n: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(n)?)?;
    Some(bytes.iter().rev().fold(0, |value, &b| value << 8 | u64::from(b)))
}

fn bytes_at(file: &mut File, at: u64, n: u64) -> Option<Vec<u8>> {
    file.seek(SeekFrom::Start(at)).ok()?;
    let mut bytes = Vec::new();
    file.take(n).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 == n).then_some(bytes)
}

impl Zip {
    /// Reads the directory of the archive at `path`.
    ///
    /// # Errors
    /// E0712 when it cannot be read or has no directory.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let error = |message: String| DataError::new(DataErrorKind::Unreadable, path, "", message);
        let mut file = File::open(path).map_err(|e| error(format!("it cannot be opened: {e}")))?;
        let n_bytes = file.metadata().map_err(|e| error(format!("it cannot be read: {e}")))?.len();
        let entries = directory(&mut file, n_bytes)
            .ok_or_else(|| error("the directory of the zip archive is missing or damaged".to_owned()))?;
        Ok(Self { path: path.to_path_buf(), n_bytes, entries })
    }

    /// The names of all entries, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The names that begin with `prefix`, sorted.
    pub fn names_from<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.entries
            .range(prefix.to_owned()..)
            .map(|(name, _)| name.as_str())
            .take_while(move |n| n.starts_with(prefix))
    }

    /// The size of an entry, unpacked, as the directory claims it.
    pub fn size(&self, name: &str) -> Option<u64> {
        self.entries.get(name).map(|entry| entry.size)
    }

    /// The bytes stored for all entries whose names begin with `prefix`.
    pub fn stored(&self, prefix: &str) -> u64 {
        let all = self.names_from(prefix).filter_map(|name| self.entries.get(name));
        all.map(|entry| entry.packed.min(self.n_bytes)).fold(0, u64::saturating_add).min(self.n_bytes)
    }

    /// The unpacked bytes of an entry; `None` where there is none.
    pub fn get(&self, name: &str, place: &Place<'_>) -> Result<Option<Vec<u8>>, DataError> {
        let Some(entry) = self.entries.get(name) else { return Ok(None) };
        let damaged = || place.malformed(format!("the entry `{name}` of the archive is damaged"));
        if entry.packed > self.n_bytes || entry.size > entry.packed.saturating_mul(MAX_RATIO) + 64 {
            return Err(damaged());
        }
        let mut file =
            File::open(&self.path).map_err(|e| place.malformed(format!("it cannot be opened: {e}")))?;
        let head = bytes_at(&mut file, entry.at, 30).ok_or_else(damaged)?;
        let skip = number(&head, 26, 2).zip(number(&head, 28, 2)).map(|(name, extra)| name + extra + 30);
        let at = skip.and_then(|skip| entry.at.checked_add(skip)).ok_or_else(damaged)?;
        if number(&head, 0, 4) != Some(LOCAL) {
            return Err(damaged());
        }
        storage::room::<u8>(entry.packed as usize, place)?;
        let packed = bytes_at(&mut file, at, entry.packed).ok_or_else(damaged)?;
        let plain = match entry.method {
            0 => Some(packed),
            8 => inflate::deflate(&packed, entry.size as usize),
            other => {
                return Err(place.malformed(format!(
                    "the entry `{name}` is packed by method {other} of zip; stored and deflated are supported"
                )));
            }
        };
        plain.filter(|bytes| bytes.len() as u64 == entry.size).map(Some).ok_or_else(damaged)
    }
}

fn directory(file: &mut File, n_bytes: u64) -> Option<BTreeMap<String, Entry>> {
    let tail_at = n_bytes.saturating_sub(22 + 65_536 + 20);
    let tail = bytes_at(file, tail_at, n_bytes - tail_at)?;
    let end = (0..tail.len().saturating_sub(21)).rev().find(|&at| number(&tail, at, 4) == Some(END))?;
    let (mut size, mut start) = (number(&tail, end + 12, 4)?, number(&tail, end + 16, 4)?);
    if start == 0xffff_ffff || size == 0xffff_ffff || number(&tail, end + 10, 2)? == 0xffff {
        let locator = end.checked_sub(20).filter(|&at| number(&tail, at, 4) == Some(LOCATOR_64));
        if let Some(locator) = locator {
            let record = bytes_at(file, number(&tail, locator + 8, 8)?, 56)?;
            if number(&record, 0, 4)? != END_64 {
                return None;
            }
            (size, start) = (number(&record, 40, 8)?, number(&record, 48, 8)?);
        }
    }
    if start.checked_add(size)? > n_bytes {
        return None;
    }
    let bytes = bytes_at(file, start, size)?;
    let mut entries = BTreeMap::new();
    let mut at = 0;
    while number(&bytes, at, 4) == Some(CENTRAL) {
        let (n_name, n_extra, n_comment) =
            (number(&bytes, at + 28, 2)?, number(&bytes, at + 30, 2)?, number(&bytes, at + 32, 2)?);
        let name = String::from_utf8_lossy(bytes.get(at + 46..at + 46 + n_name as usize)?).into_owned();
        let extra = bytes.get(at + 46 + n_name as usize..at + 46 + (n_name + n_extra) as usize)?;
        let mut wide = wide_fields(extra);
        let mut field = |at: usize, n: usize| -> Option<u64> {
            let value = number(&bytes, at, n)?;
            if value == 0xffff_ffff { wide.next() } else { Some(value) }
        };
        let size = field(at + 24, 4)?;
        let packed = field(at + 20, 4)?;
        let local = field(at + 42, 4)?;
        // Of entries of one name the last counts, as for Python's zipfile.
        entries.insert(name, Entry { method: number(&bytes, at + 10, 2)?, at: local, packed, size });
        at += 46 + (n_name + n_extra + n_comment) as usize;
    }
    Some(entries)
}

/// The 64-bit fields of the extra field of zip64, in order.
fn wide_fields(extra: &[u8]) -> impl Iterator<Item = u64> + use<> {
    let mut at = 0;
    let mut found = Vec::new();
    while let (Some(id), Some(n)) = (number(extra, at, 2), number(extra, at + 2, 2)) {
        if id == 1 {
            let end = at + 4 + n as usize;
            found = (at + 4..end).step_by(8).filter_map(|at| number(extra, at, 8)).collect();
        }
        at += 4 + n as usize;
    }
    found.into_iter()
}
