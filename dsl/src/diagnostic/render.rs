//! Diagnostics as text: in full with excerpts of the source, or one line each.

use super::{Diagnostic, Label, SHOWN, Severity, severity_word};
use crate::source::{FileId, Sources, Span};
use codespan_reporting::diagnostic as report;
use codespan_reporting::files::{Error, Files};
use codespan_reporting::term::termcolor::{Ansi, NoColor, WriteColor};
use codespan_reporting::term::{Config, emit_to_write_style};
use std::borrow::Cow;
use std::fmt::Write as _;

/// The first twenty messages in full, with excerpts, then how many more there are. `colour` adds terminal escapes.
pub fn render<'a>(
    sources: &Sources,
    diagnostics: impl IntoIterator<Item = &'a Diagnostic>,
    colour: bool,
) -> String {
    capped(diagnostics, |out, diagnostic| {
        let text = if colour {
            emit(sources, diagnostic, Ansi::new(Vec::new())).map(Ansi::into_inner)
        } else {
            emit(sources, diagnostic, NoColor::new(Vec::new())).map(NoColor::into_inner)
        };
        match text {
            Ok(bytes) => {
                for line in String::from_utf8_lossy(&bytes).trim_end().lines() {
                    out.push_str(line.trim_end());
                    out.push('\n');
                }
                out.push('\n');
            }
            Err(_) => concise(sources, diagnostic, out),
        }
    })
}

/// The first twenty messages as `file:line:column: error[E0201]: headline`, then how many more there are.
pub fn render_concise<'a>(
    sources: &Sources,
    diagnostics: impl IntoIterator<Item = &'a Diagnostic>,
) -> String {
    capped(diagnostics, |out, diagnostic| concise(sources, diagnostic, out))
}

fn capped<'a>(
    diagnostics: impl IntoIterator<Item = &'a Diagnostic>,
    mut one: impl FnMut(&mut String, &Diagnostic),
) -> String {
    let mut out = String::new();
    let mut rest = diagnostics.into_iter();
    for diagnostic in rest.by_ref().take(SHOWN) {
        one(&mut out, diagnostic);
    }
    let more = rest.count();
    if more > 0 {
        out.push_str(&format!("and {more} more\n"));
    }
    out
}

fn concise(sources: &Sources, diagnostic: &Diagnostic, out: &mut String) {
    if let Some(span) = diagnostic.span() {
        let (line, column) = sources.line_column(span.file, span.start as usize);
        out.push_str(&format!("{}:{line}:{column}: ", sources.name(span.file)));
    }
    let word = severity_word(diagnostic.severity);
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{word}[{}]: {}", diagnostic.code, harmless(&diagnostic.headline));
}

/// The text with characters that steer a terminal or reverse its order replaced, byte for byte, so that a program from
/// elsewhere cannot forge the message about it.
fn harmless(text: &str) -> Cow<'_, str> {
    let steers = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t' | '\r'))
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { out.extend(std::iter::repeat_n('?', c.len_utf8())) } else { out.push(c) }
    }
    Cow::Owned(out)
}

fn emit<W: WriteColor>(sources: &Sources, diagnostic: &Diagnostic, mut writer: W) -> Result<W, Error> {
    let adapter = Adapter(sources);
    emit_to_write_style(&mut writer, &Config::default(), &adapter, &convert(sources, diagnostic))?;
    Ok(writer)
}

fn convert(sources: &Sources, diagnostic: &Diagnostic) -> report::Diagnostic<FileId> {
    let severity = match diagnostic.severity {
        Severity::Error => report::Severity::Error,
        Severity::Warning => report::Severity::Warning,
        Severity::Note => report::Severity::Note,
    };
    let primary = diagnostic.primary.iter().map(|label| (report::LabelStyle::Primary, label));
    let secondary = diagnostic.secondary.iter().map(|label| (report::LabelStyle::Secondary, label));
    let labels = primary.chain(secondary).map(|(style, label)| convert_label(sources, style, label));
    report::Diagnostic::new(severity)
        .with_code(diagnostic.code)
        .with_message(harmless(&diagnostic.headline))
        .with_labels(labels.collect())
        .with_notes(
            diagnostic.notes.iter().map(|note| format!("{}: {}", note.lead, harmless(&note.text))).collect(),
        )
}

fn convert_label(sources: &Sources, style: report::LabelStyle, label: &Label) -> report::Label<FileId> {
    let Span { file, start, end } = label.span;
    let start = sources.floor(file, start as usize);
    let end = sources.floor(file, end as usize).max(start);
    report::Label::new(style, file, start..end).with_message(harmless(&label.text))
}

/// The sources as the excerpt printer wants them.
struct Adapter<'a>(&'a Sources);

impl<'a> Files<'a> for Adapter<'_> {
    type FileId = FileId;
    type Name = &'a str;
    type Source = Cow<'a, str>;

    fn name(&'a self, id: FileId) -> Result<&'a str, Error> {
        Ok(self.0.name(id))
    }

    fn source(&'a self, id: FileId) -> Result<Cow<'a, str>, Error> {
        Ok(harmless(self.0.text(id)))
    }

    fn line_index(&'a self, id: FileId, byte_index: usize) -> Result<usize, Error> {
        Ok(self.0.line_index(id, byte_index))
    }

    fn line_range(&'a self, id: FileId, line_index: usize) -> Result<std::ops::Range<usize>, Error> {
        Ok(self.0.line_range(id, line_index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Code;

    fn program() -> (Sources, Diagnostic) {
        let mut sources = Sources::new();
        let text = "guide {\n  label ~ Categorical(logits = softmax(h))\n}\n";
        let file = sources.add("scanvi.svi", text);
        let at = text.find("softmax").expect("the text has it");
        let diagnostic = Diagnostic::new(Code::E0412, "`logits` was given probabilities")
            .at(Span::new(file, at, at + 10), "simplex over label")
            .also(Span::new(file, 0, 5), "in this guide")
            .help("write `probs = softmax(…)`, or drop the softmax");
        (sources, diagnostic)
    }

    #[test]
    fn full_rendering() {
        let (sources, diagnostic) = program();
        let expected = "\
error[E0412]: `logits` was given probabilities
  ┌─ scanvi.svi:2:32
  │
1 │ guide {
  │ ----- in this guide
2 │   label ~ Categorical(logits = softmax(h))
  │                                ^^^^^^^^^^ simplex over label
  │
  = help: write `probs = softmax(…)`, or drop the softmax

";
        assert_eq!(render(&sources, [&diagnostic], false), expected);
        assert!(render(&sources, [&diagnostic], true).contains('\u{1b}'));
    }

    #[test]
    fn concise_rendering_and_cap() {
        let (sources, diagnostic) = program();
        let line = "scanvi.svi:2:32: error[E0412]: `logits` was given probabilities\n";
        assert_eq!(render_concise(&sources, [&diagnostic]), line);
        let many = vec![diagnostic; 23];
        assert!(render_concise(&sources, &many).ends_with("and 3 more\n"));
    }

    #[test]
    fn sources_cannot_steer_the_terminal() {
        let mut sources = Sources::new();
        let file = sources.add("a.svi", "x = \u{1b}[2J \u{202e}y");
        let diagnostic =
            Diagnostic::new(Code::E0101, "unexpected `\u{1b}`").at(Span::new(file, 10, 14), "here");
        let text = render(&sources, [&diagnostic], false);
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
        assert!(text.contains("x = ?[2J ???y"), "{text}");
        assert!(!render_concise(&sources, [&diagnostic]).contains('\u{1b}'));
    }

    #[test]
    fn places_outside_the_text_do_not_panic() {
        let (sources, diagnostic) = program();
        for span in [Span::new(FileId(0), 5000, 9000), Span::new(FileId(7), 3, 9), Span::new(FileId(0), 9, 2)]
        {
            let text = render(&sources, [&diagnostic.clone().at(span, "")], false);
            assert!(text.contains("E0412"));
        }
    }
}
