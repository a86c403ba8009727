//! Places as the protocol counts them (lines from 0, UTF-16 units) and files as it names them.

use dsl::source::{Sources, Span};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The byte at a position, inside the text.
pub fn byte(text: &str, position: &Value) -> usize {
    let number = |key: &str| position[key].as_u64().unwrap_or(0) as usize;
    let (line, units) = (number("line"), number("character"));
    let start = text.match_indices('\n').map(|(i, _)| i + 1).nth(line.wrapping_sub(1));
    let start = if line == 0 { 0 } else { start.unwrap_or(text.len()) };
    let mut left = units;
    for (i, c) in text[start..].char_indices() {
        if c == '\n' || left < c.len_utf16() {
            return start + i;
        }
        left -= c.len_utf16();
    }
    text.len()
}

/// The position of a byte.
pub fn position(text: &str, byte: usize) -> Value {
    let before = &text[..text.floor_char_boundary(byte)];
    let line = before.matches('\n').count();
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    json!({ "line": line, "character": before[start..].encode_utf16().count() })
}

/// The range of a span.
pub fn range(text: &str, span: Span) -> Value {
    json!({ "start": position(text, span.start as usize), "end": position(text, span.end as usize) })
}

/// Where a span of a compilation lies; `root` is the URI of its first text.
pub fn location(sources: &Sources, root: &str, span: Span) -> Value {
    let first = sources.ids().next() == Some(span.file);
    let uri = if first { root.to_owned() } else { uri_of_source(sources.name(span.file)) };
    json!({ "uri": uri, "range": range(sources.text(span.file), span) })
}

/// URI of a text by the name that diagnostics show: a file, or a program of the library in the binary.
pub fn uri_of_source(name: &str) -> String {
    let path = Path::new(name);
    if !path.exists() && crate::library::embedded(name).is_some() {
        return format!("svic:/{}", encoded(name));
    }
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    format!("file://{}", encoded(&whole.to_string_lossy()))
}

/// The path of a `file:` URI.
pub fn path_of(uri: &str) -> Option<PathBuf> {
    let rest = uri.strip_prefix("file://")?;
    let mut bytes = vec![];
    let mut at = rest.bytes();
    while let Some(b) = at.next() {
        if b != b'%' {
            bytes.push(b);
            continue;
        }
        let digits = [at.next()?, at.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok().map(PathBuf::from)
}

fn encoded(path: &str) -> String {
    let mut out = String::new();
    for b in path.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => out.push(b as char),
            _ => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_utf16_units() {
        let text = "a é 𝄞 b\nsecond\n";
        for at in text.char_indices().map(|c| c.0).chain([text.len()]) {
            assert_eq!(byte(text, &position(text, at)), at);
        }
        assert_eq!(position(text, 9), json!({ "line": 0, "character": 6 }));
        assert_eq!(byte(text, &json!({ "line": 0, "character": 99 })), text.find('\n').unwrap());
        assert_eq!(byte(text, &json!({ "line": 9, "character": 0 })), text.len());
        assert_eq!(byte("", &json!({ "line": 0, "character": 3 })), 0);
    }

    #[test]
    fn uris_are_percent_encoded() {
        let uri = uri_of_source("/a folder/é.svi");
        assert_eq!(uri, "file:///a%20folder/%C3%A9.svi");
        assert_eq!(path_of(&uri).unwrap(), Path::new("/a folder/é.svi"));
        assert_eq!(path_of("svic:/stdlib/scvi.svi"), None);
        assert_eq!(path_of("file:///%zz"), None);
        assert_eq!(uri_of_source("stdlib/scvi.svi"), "svic:/stdlib/scvi.svi");
    }
}
