//! Diagnostics for other programs: one JSON object a line.
//!
//! | key | value |
//! |---|---|
//! | `code`, `severity`, `message` | `"E0201"`, `"error"`, `"warning"` or `"note"`, the headline |
//! | `file`, `span`, `label` | of the primary place, or `null` |
//! | `labels` | other places, each with `file`, `span` and `text` |
//! | `notes` | lines under the message, each with `lead` and `text` |
//! | `edits` | what would repair the program, each with `file`, `span` and `replacement` |
//!
//! A `span` is `{"bytes": [first, end], "start": {"line", "column"}, "end": {…}}`: bytes count from 0 and the end is
//! exclusive; lines and columns count from 1, columns in characters.

use super::{Diagnostic, Label, SHOWN, severity_word};
use crate::source::{Sources, Span};
use std::fmt::Write as _;

/// The first twenty messages, one JSON object a line.
pub fn render_json<'a>(sources: &Sources, diagnostics: impl IntoIterator<Item = &'a Diagnostic>) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics.into_iter().take(SHOWN) {
        object(sources, diagnostic, &mut out);
        out.push('\n');
    }
    out
}

fn object(sources: &Sources, d: &Diagnostic, out: &mut String) {
    put(out, format_args!("{{\"code\":\"{}\",\"severity\":\"{}\"", d.code, severity_word(d.severity)));
    put(out, format_args!(",\"message\":{}", Text(&d.headline)));
    match &d.primary {
        Some(Label { span, text }) => {
            put(out, format_args!(",{},\"label\":{}", place(sources, *span), Text(text)));
        }
        None => out.push_str(",\"file\":null,\"span\":null,\"label\":null"),
    }
    list(out, "labels", &d.secondary, |l| {
        format!("{{{},\"text\":{}}}", place(sources, l.span), Text(&l.text))
    });
    list(out, "notes", &d.notes, |n| format!("{{\"lead\":{},\"text\":{}}}", Text(&n.lead), Text(&n.text)));
    list(out, "edits", d.suggestion.as_slice(), |s| {
        format!("{{{},\"replacement\":{}}}", place(sources, s.span), Text(&s.replacement))
    });
    out.push('}');
}

fn list<T>(out: &mut String, key: &str, items: &[T], one: impl Fn(&T) -> String) {
    let items: Vec<String> = items.iter().map(one).collect();
    put(out, format_args!(",\"{key}\":[{}]", items.join(",")));
}

/// `"file": …, "span": …`.
fn place(sources: &Sources, span: Span) -> String {
    let at = |byte: u32| {
        let (line, column) = sources.line_column(span.file, byte as usize);
        format!("{{\"line\":{line},\"column\":{column}}}")
    };
    let (file, start, end) = (Text(sources.name(span.file)), at(span.start), at(span.end));
    format!(
        "\"file\":{file},\"span\":{{\"bytes\":[{},{}],\"start\":{start},\"end\":{end}}}",
        span.start, span.end
    )
}

/// Writing to a string cannot fail.
fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

/// A text as a JSON string.
struct Text<'a>(&'a str);

impl std::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                '\r' => f.write_str("\\r")?,
                c if c.is_control() => write!(f, "\\u{:04x}", c as u32)?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Code;

    #[test]
    fn one_object_a_line() {
        let mut sources = Sources::new();
        let file = sources.add("a \"b\".svi", "é\nz ~ \u{1}Nrmal(0)\n");
        let here = Span::new(file, 8, 13);
        let d = Diagnostic::new(Code::E0201, "unknown\tfamily `Nrmal`")
            .at(here, "")
            .also(Span::new(file, 3, 4), "drawn \\ here")
            .did_you_mean("Nrmal", ["Normal"]);
        let plain = Diagnostic::new(Code::W0704, "3 empty cells");
        let file = r#""file":"a \"b\".svi""#;
        let span = r#""span":{"bytes":[8,13],"start":{"line":2,"column":6},"end":{"line":2,"column":11}}"#;
        let label = r#""span":{"bytes":[3,4],"start":{"line":2,"column":1},"end":{"line":2,"column":2}}"#;
        let expected = [
            r#"{"code":"E0201","severity":"error","message":"unknown\tfamily `Nrmal`","#.to_owned(),
            format!(r#"{file},{span},"label":"","labels":[{{{file},{label},"text":"drawn \\ here"}}],"#),
            r#""notes":[{"lead":"help","text":"did you mean `Normal`?"}],"#.to_owned(),
            format!(r#""edits":[{{{file},{span},"replacement":"Normal"}}]}}"#),
            "\n{\"code\":\"W0704\",\"severity\":\"warning\",\"message\":\"3 empty cells\",".to_owned(),
            r#""file":null,"span":null,"label":null,"labels":[],"notes":[],"edits":[]}"#.to_owned(),
        ];
        assert_eq!(render_json(&sources, [&d, &plain]), expected.concat() + "\n");
    }
}
