//! Flow Cytometry Standard files, versions 2.0 to 3.1: events by channels, values as stored.
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
use super::{numbered, texts};

/// The longest text segment that is read.
const MAX_TEXT: u64 = 1 << 26;

/// Whether a file that starts with `head` is one.
pub(in super::super) fn is_fcs(head: &[u8]) -> bool {
    head.starts_with(b"FCS2.0") || head.starts_with(b"FCS3.0") || head.starts_with(b"FCS3.1")
}

/// How the numbers of one channel are stored.
struct Channel {
    name: String,
    marker: String,
    width: usize,
    mask: u64,
}

/// Reads the file: `X` holds the events, `var.marker` what a channel stands for where the file says it. Neither
/// compensation nor amplification is applied.
///
/// # Errors
/// E0713 when a keyword is missing, wrong or unsupported, or the data are cut short.
pub(in super::super) fn read(path: &Path) -> Result<NewAnnData, DataError> {
    let place = Place::new(path, "");
    let mut file = File::open(path).map_err(|e| place.malformed(format!("it cannot be opened: {e}")))?;
    let n_bytes = file.metadata().map_err(|e| place.malformed(format!("it cannot be read: {e}")))?.len();
    let head = bytes_at(&mut file, 0, 58, &place)?;
    let offset = |at: usize| {
        let text = String::from_utf8_lossy(&head[at..at + 8]).trim().to_owned();
        text.parse::<u64>().ok()
    };
    let (text_from, text_to) = match (offset(10), offset(18)) {
        (Some(from), Some(to)) if from < to && to < n_bytes && to - from < MAX_TEXT => (from, to),
        _ => return Err(place.malformed("the offsets of its text segment are damaged")),
    };
    let text = bytes_at(&mut file, text_from, text_to + 1 - text_from, &place)?;
    let keywords = keywords(&text).ok_or_else(|| place.malformed("its text segment is empty"))?;
    let about = Keywords { all: keywords, place: &place };
    let mode = about.all.get("$MODE").map_or("L", String::as_str);
    if mode != "L" {
        return Err(place.malformed(format!("`$MODE` is `{mode}`; list mode, `L`, is supported")));
    }
    let (channels, n) = (about.channels(n_bytes)?, about.number("$TOT").ok());
    let row: u64 = channels.iter().map(|c| c.width as u64).sum();
    let from = offset(26).filter(|&from| from > 0).or_else(|| about.number("$BEGINDATA").ok());
    let from = from
        .filter(|&from| from <= n_bytes)
        .ok_or_else(|| place.malformed("its data begin beyond its end"))?;
    let end = offset(34).filter(|&to| to > 0).or_else(|| about.number("$ENDDATA").ok());
    let n = n.or_else(|| end.and_then(|end| (end + 1).checked_sub(from)).map(|n| n / row.max(1)));
    let n = n.ok_or_else(|| place.malformed("neither `$TOT` nor the end of its data is known"))?;
    let total = n.checked_mul(row).filter(|&total| total <= n_bytes - from);
    let Some(total) = total else {
        let message = format!("{n} events of {row} bytes are announced, {} bytes are there", n_bytes - from);
        return Err(place.malformed(message).with_help("it was not copied to its end: fetch it again"));
    };
    storage::room::<u8>(total as usize, &place)?;
    let bytes = bytes_at(&mut file, from, total, &place)?;
    let values = about.values(&bytes, &channels)?;
    let x = Dense { n_rows: n as usize, n_cols: channels.len(), values };
    let mut var = Vec::new();
    if channels.iter().any(|c| !c.marker.is_empty()) {
        var.push(("marker".to_owned(), texts(channels.iter().map(|c| c.marker.clone()).collect())));
    }
    let var_names = channels.into_iter().map(|c| c.name).collect();
    let parts = Additions { var, ..Additions::default() };
    Ok(NewAnnData { obs_names: numbered(n as usize), var_names, x: Some(Matrix::Dense(x)), parts })
}

fn bytes_at(file: &mut File, at: u64, n: u64, place: &Place<'_>) -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.take(n).read_to_end(&mut bytes));
    match read {
        Ok(found) if found as u64 == n => Ok(bytes),
        _ => Err(place.malformed("the file is cut short")),
    }
}

/// The keywords of a text segment in upper case, with their values; the first byte separates, doubled it stands for
/// itself.
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
    Some(fields.chunks_exact(2).map(|pair| (text(&pair[0]).to_uppercase(), text(&pair[1]))).collect())
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

    fn channels(&self, n_bytes: u64) -> Result<Vec<Channel>, DataError> {
        let kind = self.text("$DATATYPE")?;
        let n = self.number("$PAR")?;
        if n == 0 || n > n_bytes {
            return Err(self.place.malformed(format!("`$PAR` announces {n} channels")));
        }
        let channel = |number: u64| {
            let key = format!("$P{number}B");
            let bits = match kind {
                "F" => 32,
                "D" => 64,
                "I" => self.number(&key)?,
                other => {
                    let message = format!("`$DATATYPE` is `{other}`; I, F and D are supported");
                    return Err(self.place.malformed(message));
                }
            };
            if !matches!(bits, 8 | 16 | 24 | 32 | 40 | 48 | 56 | 64) {
                return Err(self
                    .place
                    .malformed(format!("`{key}` is {bits}; multiples of 8 up to 64 are supported")));
            }
            // Of integers only the bits that the range needs count.
            let range = if kind == "I" { self.number(&format!("$P{number}R"))? } else { 0 };
            let mask = match range {
                0 => u64::MAX,
                range => range.checked_next_power_of_two().map_or(u64::MAX, |power| power - 1),
            };
            let name = self.all.get(&format!("$P{number}N")).filter(|name| !name.is_empty());
            Ok(Channel {
                name: name.cloned().unwrap_or_else(|| format!("P{number}")),
                marker: self.all.get(&format!("$P{number}S")).cloned().unwrap_or_default(),
                width: bits as usize / 8,
                mask,
            })
        };
        (1..=n).map(channel).collect()
    }

    fn values(&self, bytes: &[u8], channels: &[Channel]) -> Result<Vec<f32>, DataError> {
        let order = self.text("$BYTEORD")?;
        let big = match order.split(',').next().map(str::trim) {
            Some("1") => false,
            Some(_) if order.split(',').next_back().map(str::trim) == Some("1") => true,
            _ => {
                return Err(self
                    .place
                    .malformed(format!("`$BYTEORD` is `{order}`; 1,2,3,4 and 4,3,2,1 are supported")));
            }
        };
        let kind = self.text("$DATATYPE")?.to_owned();
        let row: usize = channels.iter().map(|c| c.width).sum();
        let mut out = storage::room(bytes.len() / row.max(1) * channels.len(), self.place)?;
        for event in bytes.chunks_exact(row.max(1)) {
            let mut at = 0;
            for channel in channels {
                let field = event[at..at + channel.width].iter();
                at += channel.width;
                let push = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
                let raw = if big { field.fold(0, push) } else { field.rev().fold(0, push) };
                out.push(match kind.as_str() {
                    "F" => f32::from_bits(raw as u32),
                    "D" => f64::from_bits(raw) as f32,
                    _ => (raw & channel.mask) as f32,
                });
            }
        }
        Ok(out)
    }
}
