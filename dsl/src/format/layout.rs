//! Tokens and comments to lines: which break stays, where a line begins, and which column a token belongs to.

use super::align::{COLUMNS, Line};
use super::spacing::blank_before;
use super::starts::{Kind, starts};
use crate::syntax::ast::Ast;
use crate::syntax::token::{Keyword, Lexed, Symbol, Token, TokenKind, TriviaKind};
use std::collections::BTreeMap;

/// Blanks per level, and of a continued statement.
const LEVEL: usize = 2;
const CONTINUED: usize = 4;

/// What lies before a token: comments, each with the newlines before it, and the newlines after the last.
#[derive(Default)]
struct Gap {
    comments: Vec<(usize, String)>,
    newlines: usize,
}

/// A program taken apart for layout.
pub(super) struct Source<'t> {
    text: &'t str,
    tokens: &'t [Token],
    gaps: Vec<Gap>,
    /// Statements by the number of their first token.
    starts: BTreeMap<usize, Kind>,
    /// For an opening bracket its closing one, and the reverse.
    partner: Vec<usize>,
    /// Opening braces whose inside has lines of its own.
    broken: Vec<bool>,
}

impl<'t> Source<'t> {
    pub(super) fn new(text: &'t str, lexed: &'t Lexed, tree: &Ast) -> Source<'t> {
        let tokens = &lexed.tokens[..];
        let by_byte = starts(tree);
        let mut starts: BTreeMap<usize, Kind> = tokens
            .iter()
            .enumerate()
            .filter_map(|(i, t)| by_byte.get(&t.span.start).map(|kind| (i, *kind)))
            .collect();
        for (i, token) in tokens.iter().enumerate().skip(1) {
            let after_dot = tokens[i - 1].kind == TokenKind::Symbol(Symbol::Dot);
            match token.kind {
                TokenKind::Symbol(Symbol::Arrow) => drop(starts.insert(i - 1, Kind::Arm)),
                TokenKind::Word(Keyword::Return) if !after_dot => drop(starts.insert(i, Kind::Plain)),
                _ => {}
            }
        }
        starts.retain(|i, _| tokens[*i].kind != TokenKind::End);
        let partner = partners(tokens);
        let mut source = Source { text, tokens, gaps: gaps(text, lexed), starts, partner, broken: vec![] };
        source.broken = vec![false; tokens.len()];
        // Inner braces come later: what spans lines inside makes what is around it span lines.
        for i in (0..tokens.len()).rev() {
            source.broken[i] = source.is_broken(i);
        }
        source
    }

    fn symbol(&self, i: usize) -> Option<Symbol> {
        match self.tokens[i].kind {
            TokenKind::Symbol(symbol) => Some(symbol),
            _ => None,
        }
    }

    /// A brace has lines of its own inside if the author wrote a break there, or if it holds several statements.
    fn is_broken(&self, open: usize) -> bool {
        if self.symbol(open) != Some(Symbol::OpenBrace) {
            return false;
        }
        let breaks = |gap: &Gap| gap.newlines > 0 || !gap.comments.is_empty();
        (open + 1..=self.partner[open]).any(|i| breaks(&self.gaps[i]) || self.broken[i])
            || self.direct(open).filter(|i| self.starts[i] != Kind::Arm).nth(1).is_some()
    }

    /// Statements that stand directly inside a brace.
    fn direct(&self, open: usize) -> impl Iterator<Item = usize> + '_ {
        let mut next = open + 1;
        let end = self.partner[open];
        std::iter::from_fn(move || {
            while next < end {
                let here = next;
                next = if self.partner[here] > here { self.partner[here] + 1 } else { here + 1 };
                if self.starts.contains_key(&here) {
                    return Some(here);
                }
            }
            None
        })
    }

    /// Whether a line begins at token `i`, comments before it aside.
    fn breaks_before(&self, i: usize, around: Option<usize>) -> bool {
        let open_before = i > 0 && self.broken[i - 1];
        let closes = self.partner[i] < i && self.broken[self.partner[i]];
        let begins = self.starts.contains_key(&i) && around.is_none_or(|open| self.broken[open]);
        if open_before || closes || begins {
            return true;
        }
        // Where the author broke the line; not before a comma, nor before a block's brace.
        let opens_block = self.symbol(i) == Some(Symbol::OpenBrace) && self.direct(i).next().is_some();
        self.gaps[i].newlines > 0 && !opens_block && self.symbol(i) != Some(Symbol::Comma)
    }
}

/// Partners of brackets; other tokens are their own.
fn partners(tokens: &[Token]) -> Vec<usize> {
    let mut partner: Vec<usize> = (0..tokens.len()).collect();
    let mut open = vec![];
    for (i, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Symbol(Symbol::OpenBrace | Symbol::OpenParen | Symbol::OpenBracket) => open.push(i),
            TokenKind::Symbol(Symbol::CloseBrace | Symbol::CloseParen | Symbol::CloseBracket) => {
                if let Some(o) = open.pop() {
                    (partner[o], partner[i]) = (i, o);
                }
            }
            _ => {}
        }
    }
    partner
}

fn gaps(text: &str, lexed: &Lexed) -> Vec<Gap> {
    let mut trivia = lexed.trivia.iter().peekable();
    let mut gaps = Vec::with_capacity(lexed.tokens.len());
    for token in &lexed.tokens {
        let mut gap = Gap::default();
        while let Some(piece) =
            trivia.next_if(|t| t.span.start < token.span.start || token.kind == TokenKind::End)
        {
            match piece.kind {
                TriviaKind::Newline => gap.newlines += 1,
                TriviaKind::Comment => {
                    let comment = text[piece.span.range()].trim_end().to_owned();
                    gap.comments.push((std::mem::take(&mut gap.newlines), comment));
                }
                _ => {}
            }
        }
        gaps.push(gap);
    }
    gaps
}

/// A bracket that is open, or the file.
struct Frame {
    open: Option<usize>,
    /// Indentation of the line that the bracket stands on.
    outside: usize,
    /// Indentation of what it holds.
    inside: usize,
    /// What it holds are statements, and one has begun.
    in_statement: bool,
    /// The statement's kind, and the column that its tokens go to; none on its later lines.
    column: Option<(Kind, usize)>,
}

/// The lines of a program.
pub(super) fn lines(source: &Source<'_>) -> Vec<Line> {
    let file = Frame { open: None, outside: 0, inside: 0, in_statement: false, column: None };
    let mut layout = Layout { source, lines: vec![], current: None, frames: vec![file] };
    for i in 0..source.tokens.len() {
        layout.token(i);
    }
    layout.lines.extend(layout.current.take());
    layout.lines
}

struct Layout<'s, 't> {
    source: &'s Source<'t>,
    lines: Vec<Line>,
    current: Option<Line>,
    frames: Vec<Frame>,
}

impl Layout<'_, '_> {
    fn token(&mut self, i: usize) {
        let s = self.source;
        let around = self.frames.last().and_then(|f| f.open);
        let end = s.tokens[i].kind == TokenKind::End;
        let closes = s.partner[i] < i;
        self.comments(i);
        let fresh = self.current.is_none() || s.breaks_before(i, around);
        let gap = &s.gaps[i];
        let start = s.starts.get(&i).copied();
        if end {
            return;
        }
        if fresh || gap.comments.last().is_some() {
            let newlines = gap.newlines;
            let apart = newlines > 1 && self.may_stand_apart(i);
            self.begin(apart, self.indent(i));
        }
        if closes {
            self.frames.pop();
        }
        self.note_start(start);
        self.note_column(i);
        self.put(i);
        if s.partner[i] > i {
            self.open(i);
        }
    }

    /// The comments before a token: at the end of the line that is being filled, or on lines of their own.
    fn comments(&mut self, i: usize) {
        let gap = &self.source.gaps[i];
        for (n, (newlines, text)) in gap.comments.iter().enumerate() {
            let at_end = *newlines == 0 && n == 0;
            if let Some(line) = self.current.as_mut().filter(|_| at_end) {
                line.comment = Some(text.clone());
                continue;
            }
            let apart = *newlines > 1 && !self.just_opened(i);
            let end = self.source.tokens[i].kind == TokenKind::End;
            let indent = if end { 0 } else { self.comment_indent(i) };
            self.begin(apart, indent);
            if let Some(line) = &mut self.current {
                line.comment = Some(text.clone());
            }
        }
    }

    /// Whether nothing stands between an opening bracket (or the top of the file) and token `i` yet.
    fn just_opened(&self, i: usize) -> bool {
        let opened = i == 0 || self.source.partner[i - 1] > i - 1;
        let last_is_comment =
            self.current.as_ref().is_some_and(|l| l.comment.is_some() && l.cells[0].is_empty());
        opened && !last_is_comment
    }

    /// Blank lines stay before statements; not after an opening or before a closing bracket, nor inside a statement.
    fn may_stand_apart(&self, i: usize) -> bool {
        let closes = self.source.partner[i] < i;
        self.source.starts.contains_key(&i) && !closes && !self.just_opened(i)
    }

    fn begin(&mut self, apart: bool, indent: usize) {
        let first = self.lines.is_empty() && self.current.is_none();
        self.lines.extend(self.current.take());
        self.current = Some(Line { apart: apart && !first, indent, ..Line::default() });
        self.frames.iter_mut().for_each(|f| f.column = None);
    }

    fn indent(&self, i: usize) -> usize {
        let Some(frame) = self.frames.last() else { return 0 };
        if self.source.partner[i] < i {
            return frame.outside;
        }
        self.comment_indent(i)
    }

    fn comment_indent(&self, i: usize) -> usize {
        let Some(frame) = self.frames.last() else { return 0 };
        let continues =
            frame.in_statement && !self.source.starts.contains_key(&i) && self.source.partner[i] >= i;
        frame.inside + if continues { CONTINUED } else { 0 }
    }

    fn note_start(&mut self, start: Option<Kind>) {
        let Some(kind) = start else { return };
        let own_line = self.current.as_ref().is_some_and(|l| l.cells[0].is_empty());
        if let Some(frame) = self.frames.last_mut() {
            frame.in_statement = true;
            frame.column = own_line.then_some((kind, 0));
        }
        if let Some(line) = self.current.as_mut().filter(|_| own_line) {
            line.kind = Some(kind);
        }
    }

    /// Moves to the next column where the token begins one.
    fn note_column(&mut self, i: usize) {
        let s = self.source;
        let after_dot = i > 0 && s.symbol(i - 1) == Some(Symbol::Dot);
        let Some(frame) = self.frames.last_mut() else { return };
        let Some((kind, column)) = &mut frame.column else { return };
        let kind = *kind;
        if kind == Kind::When && s.symbol(i) == Some(Symbol::OpenBrace) && s.direct(i).next().is_some() {
            if s.broken[i] {
                // Only one-line switches are set in a table.
                frame.column = None;
                if let Some(line) = &mut self.current {
                    line.kind = None;
                }
            } else {
                *column = 1;
            }
        } else if let Some(next) = column_of(kind, s.tokens[i].kind).filter(|c| *c > *column && !after_dot) {
            *column = next;
        }
    }

    fn put(&mut self, i: usize) {
        let s = self.source;
        // Tokens inside a bracket belong to the column that the bracket is in.
        let column = self.current_column();
        let Some(line) = &mut self.current else { return };
        let cell = &mut line.cells[column.min(COLUMNS - 1)];
        if !cell.is_empty() && blank_before(s.tokens, i) {
            cell.push(' ');
        }
        cell.push_str(&s.text[s.tokens[i].span.range()]);
    }

    fn current_column(&self) -> usize {
        let line = self.current.as_ref();
        line.and_then(|l| l.cells.iter().rposition(|c| !c.is_empty()))
            .unwrap_or(0)
            .max(self.frames.last().and_then(|f| f.column).map_or(0, |(_, column)| column))
    }

    fn open(&mut self, i: usize) {
        let s = self.source;
        let outside = self.current.as_ref().map_or(0, |l| l.indent);
        let breaks = s.broken[i] || s.gaps[i + 1].newlines > 0 || !s.gaps[i + 1].comments.is_empty();
        let inside = outside + if breaks { LEVEL } else { CONTINUED };
        self.frames.push(Frame { open: Some(i), outside, inside, in_statement: false, column: None });
    }
}

/// The column that a token begins in a statement of some kind.
fn column_of(kind: Kind, token: TokenKind) -> Option<usize> {
    let symbol = |s| token == TokenKind::Symbol(s);
    let word = |w| token == TokenKind::Word(w);
    match kind {
        Kind::Field | Kind::Const => match token {
            TokenKind::Symbol(Symbol::Colon) => Some(1),
            TokenKind::Word(Keyword::From) => Some(2),
            TokenKind::Word(Keyword::Missing) => Some(3),
            TokenKind::Word(Keyword::Optional) => Some(4),
            _ => None,
        },
        Kind::Param if symbol(Symbol::Colon) => Some(1),
        Kind::Param if word(Keyword::Init) => Some(2),
        Kind::Output if word(Keyword::To) => Some(2),
        Kind::Define | Kind::Stat | Kind::Fn | Kind::Output | Kind::Setting if symbol(Symbol::Eq) => Some(1),
        Kind::Draw | Kind::Observe if symbol(Symbol::Tilde) => Some(1),
        Kind::Arm if symbol(Symbol::Arrow) => Some(1),
        _ => None,
    }
}
