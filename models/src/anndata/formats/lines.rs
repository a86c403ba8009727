//! Lines of text files, plain or gzipped, none of them endless.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::super::error::{DataError, DataErrorKind};

/// The longest line that is read, in bytes: a row of a table of some million numbers.
const MAX_LINE: u64 = 1 << 26;

/// The lines of one file.
pub(super) struct Lines<'p> {
    path: &'p Path,
    reader: BufReader<Box<dyn Read>>,
    buffer: Vec<u8>,
    /// The number of the line last read, from 1.
    pub number: usize,
}

impl<'p> Lines<'p> {
    /// Opens the file; gzip is told by its first bytes.
    pub fn open(path: &'p Path) -> Result<Self, DataError> {
        let failed = |e: std::io::Error| {
            DataError::new(DataErrorKind::Unreadable, path, "", format!("it cannot be opened: {e}"))
        };
        let mut head = Vec::new();
        File::open(path).and_then(|file| file.take(2).read_to_end(&mut head)).map_err(failed)?;
        let file = File::open(path).map_err(failed)?;
        let reader: Box<dyn Read> = match head.as_slice() {
            [0x1f, 0x8b] => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(file))),
            _ => Box::new(file),
        };
        Ok(Self { path, reader: BufReader::with_capacity(1 << 16, reader), buffer: Vec::new(), number: 0 })
    }

    /// The next line without its end; `None` after the last.
    pub fn next(&mut self) -> Result<Option<&str>, DataError> {
        self.buffer.clear();
        self.number += 1;
        let read = (&mut self.reader).take(MAX_LINE).read_until(b'\n', &mut self.buffer);
        match read {
            Ok(0) => return Ok(None),
            Ok(n) if n as u64 == MAX_LINE => return Err(self.error("the line is endless")),
            Ok(_) => {}
            Err(e) => return Err(self.error(format!("it cannot be read: {e}"))),
        }
        while self.buffer.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
            self.buffer.pop();
        }
        if std::str::from_utf8(&self.buffer).is_err() {
            return Err(self.error("it is not UTF-8 text"));
        }
        Ok(std::str::from_utf8(&self.buffer).ok())
    }

    /// An error about the line last read.
    pub fn error(&self, message: impl Into<String>) -> DataError {
        let message = format!("line {}: {}", self.number, message.into());
        DataError::new(DataErrorKind::Malformed, self.path, "", message)
    }
}
