//! What the compiler tells its user: a code, one terse headline, one primary place, secondary places, notes and help.
//!
//! Stages return diagnostics as values; [`render()`] turns them into text. Nothing is printed here.

mod code;
mod edits;
mod json;
mod nearest;
mod pages;
mod render;
pub(crate) mod synonyms;

use crate::source::Span;
pub use code::Code;
pub use json::render_json;
pub use nearest::nearest;
pub use pages::Example;
pub use render::{render, render_concise};
use std::collections::BTreeSet;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The program has no meaning.
    Error,
    /// The program has a meaning that is probably not the intended one.
    Warning,
    /// Worth knowing.
    Note,
}

/// The word for it in messages.
pub(crate) fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

/// A place and what is to be said about it; the text may be empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// A short remark under it.
    pub text: String,
}

/// A line under the source excerpt: `= found: …`, `= help: …`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// The word before the colon: `note`, `help`, `found`, …
    pub lead: String,
    /// The text.
    pub text: String,
}

/// An edit that would repair the program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Suggestion {
    /// The text to replace.
    pub span: Span,
    /// What to put there.
    pub replacement: String,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The code, which has a page of its own.
    pub code: Code,
    /// By default that of the code.
    pub severity: Severity,
    /// One terse line.
    pub headline: String,
    /// The place; `None` if the mistake is not in a source (the command line, the data).
    pub primary: Option<Label>,
    /// Other places that explain the first.
    pub secondary: Vec<Label>,
    /// Notes and help, in order.
    pub notes: Vec<Note>,
    /// An edit, for editors.
    pub suggestion: Option<Suggestion>,
    /// A misspelt name, and the only name that is near to it.
    near: Option<(String, String)>,
}

impl Diagnostic {
    /// A message without place, with the severity of its code.
    pub fn new(code: Code, headline: impl Into<String>) -> Diagnostic {
        Diagnostic {
            code,
            severity: code.severity(),
            headline: headline.into(),
            primary: None,
            secondary: Vec::new(),
            notes: Vec::new(),
            suggestion: None,
            near: None,
        }
    }

    /// Sets the primary place.
    #[must_use]
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.primary = Some(Label { span, text: text.into() });
        self.correct_spelling();
        self
    }

    /// Adds a secondary place.
    #[must_use]
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    /// Adds a `= note: …` line.
    #[must_use]
    pub fn note(self, text: impl Into<String>) -> Diagnostic {
        self.line("note", text)
    }

    /// Adds a `= help: …` line.
    #[must_use]
    pub fn help(self, text: impl Into<String>) -> Diagnostic {
        self.line("help", text)
    }

    /// Adds a `= lead: …` line.
    #[must_use]
    pub fn line(mut self, lead: impl Into<String>, text: impl Into<String>) -> Diagnostic {
        self.notes.push(Note { lead: lead.into(), text: text.into() });
        self
    }

    /// Adds an edit.
    #[must_use]
    pub fn suggest(mut self, span: Span, replacement: impl Into<String>) -> Diagnostic {
        self.suggestion = Some(Suggestion { span, replacement: replacement.into() });
        self
    }

    /// Adds an edit that puts text before a place.
    #[must_use]
    pub fn suggest_before(self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.suggest(Span { end: span.start, ..span }, text)
    }

    /// Adds a help line with the candidates nearest to `name`, if any is near.
    #[must_use]
    pub fn did_you_mean<'a>(self, name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Diagnostic {
        let near = nearest(name, candidates);
        if near.is_empty() {
            return self;
        }
        let mut named = self;
        if let [only] = near[..] {
            named.near = Some((name.to_owned(), only.to_owned()));
            named.correct_spelling();
        }
        let quoted: Vec<String> = near.iter().map(|near| format!("`{near}`")).collect();
        named.help(format!("did you mean {}?", one_of(&quoted)))
    }

    /// Where the primary place is a misspelt name and nothing else, the edit replaces it by the only near one.
    fn correct_spelling(&mut self) {
        let (Some(label), Some((name, near))) = (&self.primary, &self.near) else { return };
        if self.suggestion.is_none() && label.span.range().len() == name.len() {
            self.suggestion = Some(Suggestion { span: label.span, replacement: near.clone() });
        }
    }

    /// The primary place, if there is one.
    pub fn span(&self) -> Option<Span> {
        self.primary.as_ref().map(|label| label.span)
    }
}

/// Joins alternatives: `a`, `a or b`, `a, b or c`.
pub fn one_of(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}

/// How many messages a rendering shows before it says how many more there are.
pub const SHOWN: usize = 20;

/// The messages of one compilation. Iteration is by place (those without place last), without duplicates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
}

impl Diagnostics {
    /// No messages.
    pub fn new() -> Diagnostics {
        Diagnostics::default()
    }

    /// Adds one message; a repetition of code, place and headline is dropped.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let key = order(&diagnostic);
        let end = self.items.partition_point(|d| order(d) <= key);
        let same = self.items[..end].iter().rev().take_while(|d| order(d) == key);
        if !same.clone().any(|d| d.headline == diagnostic.headline) {
            self.items.insert(end, diagnostic);
        }
    }

    /// Adds the edits that follow from codes and places.
    pub(crate) fn complete_edits(&mut self, sources: &crate::source::Sources) {
        edits::complete(sources, self.items.iter_mut());
    }

    /// Keeps the messages that pass.
    pub fn retain(&mut self, keep: impl FnMut(&Diagnostic) -> bool) {
        self.items.retain(keep);
    }

    /// The messages in order of place.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.items.iter()
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// No messages at all.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether any message is an error.
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|d| d.severity == Severity::Error)
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, iter: I) {
        iter.into_iter().for_each(|d| self.push(d));
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(iter: I) -> Diagnostics {
        let mut all = Diagnostics::new();
        all.extend(iter);
        all
    }
}

impl From<Vec<Diagnostic>> for Diagnostics {
    fn from(items: Vec<Diagnostic>) -> Diagnostics {
        items.into_iter().collect()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

/// Sorts by place, then severity and code, and drops repetitions of code, place and headline.
pub fn sort(items: &mut Vec<Diagnostic>) {
    items.sort_by_key(order);
    let mut seen = BTreeSet::new();
    items.retain(|d| seen.insert((d.span(), d.code, d.headline.clone())));
}

/// The key that messages are sorted by: those with a place first.
fn order(d: &Diagnostic) -> (bool, Option<Span>, Severity, Code) {
    (d.primary.is_none(), d.span(), d.severity, d.code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::FileId;

    #[test]
    fn collection_sorts_and_deduplicates() {
        let at = |start| Span::new(FileId(0), start, start + 1);
        let all: Diagnostics = [
            Diagnostic::new(Code::E0702, "field absent"),
            Diagnostic::new(Code::E0201, "b").at(at(9), ""),
            Diagnostic::new(Code::E0201, "a").at(at(3), ""),
            Diagnostic::new(Code::E0201, "b").at(at(9), "again"),
        ]
        .into_iter()
        .collect();
        let headlines: Vec<_> = all.iter().map(|d| d.headline.as_str()).collect();
        assert_eq!(headlines, ["a", "b", "field absent"]);
        assert!(all.has_errors());
    }

    #[test]
    fn alternatives_read_as_english() {
        let items = ["a".to_string(), "b".to_string(), "c".to_string()];
        assert_eq!(one_of(&items), "a, b or c");
        assert_eq!(one_of(&items[..1]), "a");
    }
}
