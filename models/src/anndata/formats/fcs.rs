//! Flow Cytometry Standard files, versions 2.0 to 3.2: events by channels, values as stored.
//!
//! Spidlen et al., Data File Standard for Flow Cytometry, version FCS 3.1, Cytometry A 77A:97–100 (2010).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::super::error::DataError;
use super::super::matrix::{Dense, Matrix};
use super::super::storage::{self, Place};
use super::super::write::{Additions, NewAnnData};
use super::{Found, texts};

/// The longest text segment that is read.
const MAX_TEXT: u64 = 1 << 26;

/// The most data sets of one file.
const MAX_SETS: usize = 1000;

/// Whether a file that starts with `head` is one.
pub(in super::super) fn is_fcs(head: &[u8]) -> bool {
    ["FCS2.0", "FCS3.0", "FCS3.1", "FCS3.2"].iter().any(|version| head.starts_with(version.as_bytes()))
}

/// The type of stored numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Integer,
    Float,
    Double,
}

/// How the numbers of one channel are stored.
struct Channel {
    name: String,
    marker: String,
    kind: Kind,
    width: usize,
    mask: u64,
}

/// Reads the file: `X` holds the events, `var.marker` what a channel stands for where the file says it. Neither
/// compensation nor amplification is applied. Several data sets become modalities `set1`, `set2`, …, whose events are
/// numbered on.
///
/// # Errors
/// E0713 when a keyword is missing, wrong or unsupported, or the data are cut short.
pub(in super::super) fn read(path: &Path) -> Result<Found, DataError> {
    let place = Place::new(path, "");
    let mut file = File::open(path).map_err(|e| place.malformed(format!("it cannot be opened: {e}")))?;
    let n_bytes = file.metadata().map_err(|e| place.malformed(format!("it cannot be read: {e}")))?.len();
    let (mut sets, mut start, mut n_events) = (Vec::new(), 0, 0);
    while sets.len() < MAX_SETS {
        let mut set = Set { file: &mut file, start, n_bytes, place: &place };
        let (data, next) = set.read(n_events)?;
        n_events += data.obs_names.len();
        sets.push((format!("set{}", sets.len() + 1), data));
        // It begins later, with a version of its own; what does not is padding.
        match next.and_then(|next| start.checked_add(next)).filter(|&next| next > start && next < n_bytes) {
            Some(next) if bytes_at(&mut file, next, 6, &place).is_ok_and(|head| is_fcs(&head)) => {
                start = next
            }
            _ => break,
        }
    }
    Ok(if sets.len() == 1 { Found::one(sets.remove(0).1) } else { Found::Several(sets) })
}

/// One data set: everything up to the next is counted from its start.
struct Set<'a> {
    file: &'a mut File,
    start: u64,
    n_bytes: u64,
    place: &'a Place<'a>,
}

impl Set<'_> {
    /// The data, events numbered from `first`, and where the next set begins, counted from this one.
    fn read(&mut self, first: usize) -> Result<(NewAnnData, Option<u64>), DataError> {
        let place = self.place;
        let head = bytes_at(self.file, self.start, 58, place)?;
        let offset = |at: usize| String::from_utf8_lossy(&head[at..at + 8]).trim().parse::<u64>().ok();
        let text = match (offset(10), offset(18)) {
            (Some(from), Some(to)) if from < to => self.text(from, to)?,
            _ => return Err(place.malformed("the offsets of its text segment are damaged")),
        };
        let mut all = keywords(&text).ok_or_else(|| place.malformed("its text segment is empty"))?;
        let number =
            |all: &BTreeMap<String, String>, key: &str| all.get(key).and_then(|v| v.parse::<u64>().ok());
        // Keywords that are not required may stand in a segment of their own.
        if let (Some(from), Some(to)) = (number(&all, "$BEGINSTEXT"), number(&all, "$ENDSTEXT"))
            && 0 < from
            && from < to
        {
            // Some programs keep other things there.
            let more = self.text(from, to)?;
            let found = keywords(&more).filter(|_| more.first() == text.first()).unwrap_or_default();
            for (key, value) in found {
                all.entry(key).or_insert(value);
            }
        }
        let next = number(&all, "$NEXTDATA").filter(|&next| next > 0);
        let about = Keywords { all, place };
        let mode = about.all.get("$MODE").map_or("L", String::as_str);
        if mode != "L" {
            return Err(place.malformed(format!("`$MODE` is `{mode}`; list mode, `L`, is supported")));
        }
        let (channels, n) = (about.channels(self.n_bytes)?, about.number("$TOT").ok());
        let row: u64 = channels.iter().map(|c| c.width as u64).sum();
        let from = offset(26).filter(|&from| from > 0).or_else(|| about.number("$BEGINDATA").ok());
        let at = from.and_then(|from| self.start.checked_add(from)).filter(|&at| at <= self.n_bytes);
        let at = at.ok_or_else(|| place.malformed("its data begin beyond its end"))?;
        let ends = [offset(34), about.number("$ENDDATA").ok()].into_iter().flatten().max();
        let length = ends.filter(|&end| end > 0).and_then(|end| (end.checked_add(1)?).checked_sub(from?));
        let there = (self.n_bytes - at).min(length.unwrap_or(u64::MAX));
        let n = n.or_else(|| length.map(|length| length / row.max(1)));
        let n = n.ok_or_else(|| place.malformed("neither `$TOT` nor the end of its data is known"))?;
        let Some(total) = n.checked_mul(row).filter(|&total| total <= there) else {
            let message = format!("{n} events of {row} bytes are announced, {there} bytes are there");
            return Err(place.malformed(message).with_help("it was not copied to its end: fetch it again"));
        };
        storage::room::<u8>(total as usize, place)?;
        let bytes = bytes_at(self.file, at, total, place)?;
        let values = about.values(&bytes, &channels)?;
        let x = Dense { n_rows: n as usize, n_cols: channels.len(), values };
        let mut var = Vec::new();
        if channels.iter().any(|c| !c.marker.is_empty()) {
            var.push(("marker".to_owned(), texts(channels.iter().map(|c| c.marker.clone()).collect())));
        }
        let var_names = channels.into_iter().map(|c| c.name).collect();
        let obs_names = (first..first + n as usize).map(|event| event.to_string()).collect();
        let parts = Additions { var, ..Additions::default() };
        Ok((NewAnnData { obs_names, var_names, x: Some(Matrix::Dense(x)), parts }, next))
    }

    /// The bytes of a text segment, the last included.
    fn text(&mut self, from: u64, to: u64) -> Result<Vec<u8>, DataError> {
        match (self.start.checked_add(from), self.start.checked_add(to)) {
            (Some(at), Some(end)) if end < self.n_bytes && end - at < MAX_TEXT => {
                bytes_at(self.file, at, end + 1 - at, self.place)
            }
            _ => Err(self.place.malformed("the offsets of its text segment are damaged")),
        }
    }
}

fn bytes_at(file: &mut File, at: u64, n: u64, place: &Place<'_>) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.take(n).read_to_end(&mut bytes));
    match read {
        Ok(found) if found as u64 == n => Ok(bytes),
        _ => Err(place.malformed("the file is cut short")),
    }
}

/// The keywords of a text segment in upper case, with their values, where they first stand; the first byte separates,
/// doubled it stands for itself.
fn keywords(text: &[u8]) -> Option<BTreeMap<String, String>> {
    let (&separator, mut rest) = text.split_first()?;
    let mut fields: Vec<Vec<u8>> = vec![Vec::new()];
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte == separator, rest.first() == Some(&separator)) {
            (true, true) => {
                fields.last_mut()?.push(byte);
                rest = &rest[1..];
            }
            (true, false) => fields.push(Vec::new()),
            (false, _) => fields.last_mut()?.push(byte),
        }
    }
    let text = |field: &[u8]| String::from_utf8_lossy(field).trim().to_owned();
    let mut found = BTreeMap::new();
    for pair in fields.chunks_exact(2) {
        found.entry(text(&pair[0]).to_uppercase()).or_insert_with(|| text(&pair[1]));
    }
    (!found.is_empty()).then_some(found)
}

struct Keywords<'a> {
    all: BTreeMap<String, String>,
    place: &'a Place<'a>,
}

impl Keywords<'_> {
    fn text(&self, key: &str) -> Result<&str, DataError> {
        let found = self.all.get(key).map(String::as_str);
        found.ok_or_else(|| self.place.malformed(format!("the keyword `{key}` is missing")))
    }

    fn number(&self, key: &str) -> Result<u64, DataError> {
        let text = self.text(key)?;
        // Ranges may be written as 1e5 or 262144.0.
        let value =
            text.parse().ok().or_else(|| text.parse::<f64>().ok().filter(|v| *v >= 0.0).map(|v| v as u64));
        value.ok_or_else(|| {
            self.place.malformed(format!("the keyword `{key}` should be a number, found `{text}`"))
        })
    }

    fn kind(&self, key: &str) -> Result<Kind, DataError> {
        match self.text(key)? {
            "I" => Ok(Kind::Integer),
            "F" => Ok(Kind::Float),
            "D" => Ok(Kind::Double),
            other => {
                let message = format!("`{key}` is `{other}`; I, F and D are supported");
                Err(self.place.malformed(message))
            }
        }
    }

    fn channels(&self, n_bytes: u64) -> Result<Vec<Channel>, DataError> {
        let usual = self.kind("$DATATYPE")?;
        let n = self.number("$PAR")?;
        if n == 0 || n > n_bytes {
            return Err(self.place.malformed(format!("`$PAR` announces {n} channels")));
        }
        let channel = |number: u64| {
            // Version 3.2 may say it for each channel.
            let own = format!("$P{number}DATATYPE");
            let kind = if self.all.contains_key(&own) { self.kind(&own)? } else { usual };
            let key = format!("$P{number}B");
            let bits = self.number(&key)?;
            let fits = match kind {
                Kind::Integer => matches!(bits, 8 | 16 | 24 | 32 | 40 | 48 | 56 | 64),
                Kind::Float => bits == 32,
                Kind::Double => bits == 64,
            };
            if !fits {
                let wanted = match kind {
                    Kind::Integer => "integers of multiples of 8 up to 64 are supported",
                    Kind::Float => "numbers of type F have 32",
                    Kind::Double => "numbers of type D have 64",
                };
                return Err(self.place.malformed(format!("`{key}` is {bits} bits; {wanted}")));
            }
            // Of integers only the bits that the range needs count.
            let range = if kind == Kind::Integer { self.number(&format!("$P{number}R"))? } else { 0 };
            let mask = match range {
                0 => u64::MAX,
                range => range.checked_next_power_of_two().map_or(u64::MAX, |power| power - 1),
            };
            let name = self.all.get(&format!("$P{number}N")).filter(|name| !name.is_empty());
            Ok(Channel {
                name: name.cloned().unwrap_or_else(|| format!("P{number}")),
                marker: self.all.get(&format!("$P{number}S")).cloned().unwrap_or_default(),
                kind,
                width: bits as usize / 8,
                mask,
            })
        };
        (1..=n).map(channel).collect()
    }

    /// Whether the byte that counts most comes first.
    fn is_big_endian(&self) -> Result<bool, DataError> {
        let order = self.text("$BYTEORD")?;
        let places: Vec<Option<usize>> = order.split(',').map(|place| place.trim().parse().ok()).collect();
        let n = places.len();
        let is = |wanted: &dyn Fn(usize) -> usize| (0..n).all(|at| places[at] == Some(wanted(at)));
        match (is(&|at| at + 1), is(&|at| n - at)) {
            (true, _) => Ok(false),
            (false, true) => Ok(true),
            _ => Err(self
                .place
                .malformed(format!("`$BYTEORD` is `{order}`; 1,2,3,4 and 4,3,2,1 are supported"))),
        }
    }

    fn values(&self, bytes: &[u8], channels: &[Channel]) -> Result<Vec<f32>, DataError> {
        let big = self.is_big_endian()?;
        let row: usize = channels.iter().map(|c| c.width).sum();
        let mut out = storage::room(bytes.len() / row.max(1) * channels.len(), self.place)?;
        for event in bytes.chunks_exact(row.max(1)) {
            let mut at = 0;
            for channel in channels {
                let field = event[at..at + channel.width].iter();
                at += channel.width;
                let push = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
                let raw = if big { field.fold(0, push) } else { field.rev().fold(0, push) };
                let value = match channel.kind {
                    Kind::Integer => (raw & channel.mask) as f64,
                    Kind::Float => f64::from(f32::from_bits(raw as u32)),
                    Kind::Double => f64::from_bits(raw),
                };
                let narrow = value as f32;
                if value.is_finite() && !narrow.is_finite() {
                    let message =
                        format!("`{}` holds {value:e}, beyond the range of 32-bit numbers", channel.name);
                    return Err(self.place.malformed(message));
                }
                out.push(narrow);
            }
        }
        Ok(out)
    }
}
