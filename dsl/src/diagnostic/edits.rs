//! Edits for messages that say in words what to write, where the tokens around the place leave no doubt.

use super::{Code, Diagnostic, Suggestion};
use crate::source::{FileId, Sources, Span};
use crate::syntax::token::{Keyword, Symbol, Token, TokenKind, lex};
use std::collections::BTreeMap;

/// Adds to each message without an edit the one that follows from its code and place.
pub(crate) fn complete<'a>(sources: &Sources, diagnostics: impl Iterator<Item = &'a mut Diagnostic>) {
    let mut files: BTreeMap<FileId, Vec<Token>> = BTreeMap::new();
    for diagnostic in diagnostics.filter(|d| d.suggestion.is_none()) {
        let Some(span) = diagnostic.span() else { continue };
        let tokens = files.entry(span.file).or_insert_with(|| lex(span.file, sources.text(span.file)).tokens);
        let around = Around { tokens, at: tokens.partition_point(|t| t.span.start < span.start), span };
        diagnostic.suggestion = around.edit(sources, diagnostic);
    }
}

/// The tokens around the primary place of a message.
struct Around<'a> {
    tokens: &'a [Token],
    /// The first token at or after the place.
    at: usize,
    span: Span,
}

impl Around<'_> {
    fn edit(&self, sources: &Sources, d: &Diagnostic) -> Option<Suggestion> {
        match d.code {
            Code::E0102 => self.close(sources, d),
            Code::E0203 => self.remove_word(Keyword::Observe),
            Code::E0204 => self.insert_before(Keyword::Weight, "override "),
            Code::E0205 => self.remove_word(Keyword::Override),
            Code::E0302 | Code::E0309 => self.remove_axis(),
            Code::E0401 => {
                let map = d.notes.iter().find_map(|n| n.text.strip_prefix("map it there: `"))?;
                Some(replace(self.span, map.split('`').next()?))
            }
            Code::E0412 => self.rename_argument(sources),
            _ => None,
        }
    }

    fn before(&self, n: usize) -> Option<&Token> {
        self.tokens.get(self.at.checked_sub(n)?)
    }

    fn symbol(&self, at: usize, symbol: Symbol) -> Option<&Token> {
        self.tokens.get(at).filter(|t| t.kind == TokenKind::Symbol(symbol))
    }

    /// Removes the nearest of the three tokens before the place that is this word, with the blank after it.
    fn remove_word(&self, word: Keyword) -> Option<Suggestion> {
        let n = (1..=3).find(|n| self.before(*n).is_some_and(|t| t.kind == TokenKind::Word(word)))?;
        let end = self.tokens.get(self.at - n + 1)?.span.start;
        Some(replace(Span { end, ..self.before(n)?.span }, ""))
    }

    fn insert_before(&self, word: Keyword, text: &str) -> Option<Suggestion> {
        let token = self.before(1).filter(|t| t.kind == TokenKind::Word(word))?;
        Some(replace(Span { end: token.span.start, ..token.span }, text))
    }

    /// Removes one of several in brackets with its comma, or the brackets with the only one.
    fn remove_axis(&self) -> Option<Suggestion> {
        let (before, after) = (self.at.checked_sub(1)?, self.at + 1);
        let span = if let Some(comma) = self.symbol(before, Symbol::Comma) {
            comma.span.to(self.span)
        } else if self.symbol(after, Symbol::Comma).is_some() {
            Span { end: self.tokens.get(after + 1)?.span.start, ..self.span }
        } else {
            self.symbol(before, Symbol::OpenBracket)?.span.to(self.symbol(after, Symbol::CloseBracket)?.span)
        };
        Some(replace(span, ""))
    }

    /// `logits = e` for `probs = e`, and the reverse.
    fn rename_argument(&self, sources: &Sources) -> Option<Suggestion> {
        self.symbol(self.at.checked_sub(1)?, Symbol::Eq)?;
        let name = self.before(2)?;
        match sources.slice(name.span) {
            "logits" => Some(replace(name.span, "probs")),
            "probs" => Some(replace(name.span, "logits")),
            _ => None,
        }
    }

    /// Closes the blocks that are open where an item begins inside them, or where the text ends.
    fn close(&self, sources: &Sources, d: &Diagnostic) -> Option<Suggestion> {
        let end = sources.text(self.span.file).len();
        let at = d.secondary.first().map_or(end, |next| (next.span.start as usize).min(end));
        let before = self.tokens.iter().take_while(|t| (t.span.start as usize) < at);
        let open = before.fold(0usize, |open, token| match token.kind {
            TokenKind::Symbol(Symbol::OpenBrace) => open + 1,
            TokenKind::Symbol(Symbol::CloseBrace) => open.saturating_sub(1),
            _ => open,
        });
        Some(replace(Span::new(self.span.file, at, at), &"}\n".repeat(open)))
    }
}

fn replace(span: Span, replacement: &str) -> Suggestion {
    Suggestion { span, replacement: replacement.to_owned() }
}
