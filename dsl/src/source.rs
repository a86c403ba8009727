//! Source texts and places in them. Texts are handed in by the host; this crate never reads a file.

use std::fmt;

/// Handle of one source text inside [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileId(pub u32);

/// A half-open range of bytes of one source text. Ordered by file, then start, then end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The text that the range lies in.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The range `start..end` of `file`.
    pub fn new(file: FileId, start: usize, end: usize) -> Span {
        Span { file, start: offset(start), end: offset(end) }
    }

    /// The smallest range that covers `self` and `other`; `self` if they lie in different files.
    pub fn to(self, other: Span) -> Span {
        if self.file != other.file {
            return self;
        }
        Span { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The range as `usize` bounds, to slice the text with.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}..{}", self.file.0, self.start, self.end)
    }
}

/// Offsets saturate: a text beyond 4 GiB gets wrong places in its messages, never a panic.
fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// The texts of one compilation, in the order in which they were handed in.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

/// One named text, with the starts of its lines.
#[derive(Debug, Clone)]
struct SourceFile {
    name: String,
    text: String,
    line_starts: Vec<usize>,
}

impl Sources {
    /// An empty set.
    pub fn new() -> Sources {
        Sources::default()
    }

    /// Adds a text under the name that diagnostics show, and returns its handle.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let text = text.into();
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        self.files.push(SourceFile { name: name.into(), text, line_starts });
        FileId(u32::try_from(self.files.len() - 1).unwrap_or(u32::MAX))
    }

    /// The handles, in order.
    pub fn ids(&self) -> impl Iterator<Item = FileId> + '_ {
        (0..self.files.len()).map(|i| FileId(u32::try_from(i).unwrap_or(u32::MAX)))
    }

    /// The handle of the text that was added under `name`.
    pub fn find(&self, name: &str) -> Option<FileId> {
        self.ids().find(|&id| self.name(id) == name)
    }

    /// The name of a text; `"?"` for a handle of another set.
    pub fn name(&self, id: FileId) -> &str {
        self.get(id).map_or("?", |file| &file.name)
    }

    /// A text; empty for a handle of another set.
    pub fn text(&self, id: FileId) -> &str {
        self.get(id).map_or("", |file| &file.text)
    }

    /// The text under a span, empty if the span does not fit.
    pub fn slice(&self, span: Span) -> &str {
        self.text(span.file).get(span.range()).unwrap_or("")
    }

    /// Line and column, both from 1, of a byte; columns count characters.
    pub fn line_column(&self, id: FileId, byte: usize) -> (usize, usize) {
        let line = self.line_index(id, byte);
        let start = self.line_range(id, line).start;
        let before = self.text(id).get(start..self.floor(id, byte)).unwrap_or("");
        (line + 1, before.chars().count() + 1)
    }

    /// The line, counted from 0, that holds a byte; the last line for a byte past the end.
    pub(crate) fn line_index(&self, id: FileId, byte: usize) -> usize {
        let starts = self.get(id).map_or(&[0][..], |file| &file.line_starts);
        starts.partition_point(|&start| start <= byte).saturating_sub(1)
    }

    /// The bytes of a line counted from 0, its newline included.
    pub(crate) fn line_range(&self, id: FileId, line: usize) -> std::ops::Range<usize> {
        let Some(file) = self.get(id) else { return 0..0 };
        let end_of = |i: usize| file.line_starts.get(i).copied().unwrap_or(file.text.len());
        end_of(line)..end_of(line + 1)
    }

    /// The nearest character boundary at or before `byte`, inside the text.
    pub(crate) fn floor(&self, id: FileId, byte: usize) -> usize {
        self.text(id).floor_char_boundary(byte)
    }

    fn get(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.0 as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters() {
        let mut sources = Sources::new();
        let id = sources.add("a.svi", "dim é, b\ndata {}\n");
        assert_eq!(sources.line_column(id, 0), (1, 1));
        assert_eq!(sources.line_column(id, 6), (1, 6));
        assert_eq!(sources.line_column(id, 10), (2, 1));
        assert_eq!(sources.line_column(id, 9999), (3, 1));
        assert_eq!(sources.slice(Span::new(id, 10, 14)), "data");
        assert_eq!(sources.find("a.svi"), Some(id));
    }
}
