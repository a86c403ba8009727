//! The tokens of a text, one a line.

use super::table;
use crate::source::{FileId, Sources};
use crate::syntax::token::{Lexed, TokenKind, TriviaKind, lex};

/// Place, kind and text of every token and comment: what the lexer makes of any text.
pub fn tokens(text: &str) -> String {
    let mut sources = Sources::new();
    let file = sources.add("", text);
    let Lexed { tokens, trivia, .. } = lex(FileId::default(), text);
    let comments = trivia.iter().filter(|t| t.kind == TriviaKind::Comment).map(|t| (t.span, "comment"));
    let mut pieces: Vec<_> = tokens.iter().map(|t| (t.span, kind(t.kind))).chain(comments).collect();
    pieces.sort();
    let rows: Vec<[String; 3]> = pieces
        .into_iter()
        .map(|(span, kind)| {
            let (line, column) = sources.line_column(file, span.start as usize);
            [format!("{line}:{column}"), kind.to_owned(), text[span.range()].trim_end().to_owned()]
        })
        .collect();
    table(&rows)
}

fn kind(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Name => "name",
        TokenKind::Word(_) => "word",
        TokenKind::Number => "number",
        TokenKind::Text => "text",
        TokenKind::Symbol(_) => "mark",
        TokenKind::Unknown => "unknown",
        TokenKind::End => "end",
    }
}
