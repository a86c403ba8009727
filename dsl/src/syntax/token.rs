//! Text to tokens. Tokens and trivia together cover every byte, in order, so the text can be put together again.
//!
//! Habits of other languages that are a matter of spelling (`:=`, `**`, `&&`, `;`, `//`, quotes of one kind) are
//! reported here and read as what they mean.

use crate::diagnostic::{Code, Diagnostic};
use crate::source::{FileId, Span};
use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::{digit1, one_of};
use nom::combinator::{opt, recognize, value};
use nom::sequence::preceded;
use nom::{IResult, Parser};

macro_rules! spelled {
    ($(#[$doc:meta])* $name:ident { $($variant:ident $text:literal)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $(#[doc = concat!("`", $text, "`")] $variant,)* }

        impl $name {
            /// Every one of them.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// How it is written.
            pub fn text(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// How messages quote it.
            pub fn quoted(self) -> &'static str {
                match self { $($name::$variant => concat!("`", $text, "`"),)* }
            }
        }
    };
}

spelled! {
    /// A reserved word.
    Keyword {
        Extends "extends" Needs "needs" Load "load" Dim "dim" Option "option" Data "data" Const "const" Stat "stat"
        Param "param" Net "net" Fn "fn" Model "model" Guide "guide" Objective "objective" Adversary "adversary"
        Output "output" Train "train" When "when" Override "override" Frozen "frozen" Init "init" Return "return"
        From "from" To "to" Missing "missing" Optional "optional" By "by" Within "within" Over "over"
        Predict "predict" With "with" Strength "strength" Plate "plate" Weight "weight" Observe "observe" Draw "draw"
        Where "where" Else "else" Given "given" Point "point" Marginal "marginal" Prior "prior" Auto "auto"
        Score "score" Relaxed "relaxed" Estimate "estimate" Ignore "ignore" Minimize "minimize" Maximize "maximize"
        And "and" Or "or" Not "not" True "true" False "false" Match "match"
    }
}

spelled! {
    /// A punctuation mark or operator.
    Symbol {
        PlusEq "+=" EqEq "==" NotEq "!=" LessEq "<=" GreaterEq ">=" Arrow "=>"
        OpenBrace "{" CloseBrace "}" OpenParen "(" CloseParen ")" OpenBracket "[" CloseBracket "]"
        Comma "," Colon ":" Dot "." Bar "|" Eq "=" Less "<" Greater ">" Plus "+" Minus "-" Star "*" Slash "/"
        Caret "^" Tilde "~" Question "?"
    }
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// An identifier that is not reserved.
    Name,
    /// A reserved word.
    Word(Keyword),
    /// A number; malformed ones are reported by the lexer.
    Number,
    /// A string with its quotes; unfinished ones are reported by the lexer.
    Text,
    /// Punctuation.
    Symbol(Symbol),
    /// Characters that begin no token, reported by the lexer.
    Unknown,
    /// The end of the text, always the last token.
    End,
}

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where it is.
    pub span: Span,
    /// It is the first token of its line.
    pub line_start: bool,
}

/// What lies between tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriviaKind {
    /// Blanks other than newlines.
    Space,
    /// One newline.
    Newline,
    /// From `#` to the end of the line, without the newline.
    Comment,
    /// A mark that means nothing here (`;`), already reported.
    Stray,
}

/// One piece of trivia.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trivia {
    /// What it is.
    pub kind: TriviaKind,
    /// Where it is.
    pub span: Span,
}

/// A text taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lexed {
    /// The tokens in order, ended by [`TokenKind::End`].
    pub tokens: Vec<Token>,
    /// The trivia in order.
    pub trivia: Vec<Trivia>,
    /// What is wrong with the spelling.
    pub diagnostics: Vec<Diagnostic>,
}

/// What one step of the lexer found.
#[derive(Debug, Clone, Copy)]
enum Piece {
    Token(TokenKind),
    Trivia(TriviaKind),
    /// A token with a foreign spelling, and how it is written here.
    Foreign(TokenKind, &'static str),
    /// `//`, up to the end of the line.
    ForeignComment,
    /// `'…'`.
    ForeignText,
}

/// Takes a text apart. Total: any text gives tokens that cover it.
pub fn lex(file: FileId, text: &str) -> Lexed {
    let mut lexer = Lexer {
        file,
        out: Lexed { tokens: Vec::new(), trivia: Vec::new(), diagnostics: Vec::new() },
        fresh_line: true,
        semicolon_reported: false,
    };
    let mut rest = text;
    while !rest.is_empty() {
        let start = text.len() - rest.len();
        let (after, found) = piece(rest).unwrap_or_else(|_| unknown(rest));
        let source = &rest[..rest.len() - after.len()];
        lexer.take(found, source, Span::new(file, start, start + source.len()));
        rest = after;
    }
    lexer.token(TokenKind::End, Span::new(file, text.len(), text.len()));
    lexer.out
}

/// The value of a string token: its escapes resolved, its quotes removed.
pub fn unquote(source: &str) -> String {
    let quote = source.chars().next().unwrap_or('"');
    let inner = source.strip_prefix(quote).unwrap_or(source);
    let inner = inner.strip_suffix(quote).unwrap_or(inner);
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('t')) => out.push('\t'),
            ('\\', Some('r')) => out.push('\r'),
            ('\\', Some(other)) => out.push(other),
            _ => out.push(c),
        }
    }
    out
}

/// A string token for a value: the inverse of [`unquote`].
pub fn quote(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Whether a text is spelled as an identifier (it may be a reserved word).
pub fn is_word(text: &str) -> bool {
    text.starts_with(starts_word) && text.chars().all(in_word)
}

struct Lexer {
    file: FileId,
    out: Lexed,
    fresh_line: bool,
    semicolon_reported: bool,
}

impl Lexer {
    fn token(&mut self, kind: TokenKind, span: Span) {
        let line_start = std::mem::replace(&mut self.fresh_line, false);
        self.out.tokens.push(Token { kind, span, line_start });
    }

    fn trivia(&mut self, kind: TriviaKind, span: Span) {
        self.fresh_line |= kind == TriviaKind::Newline;
        self.out.trivia.push(Trivia { kind, span });
    }

    fn take(&mut self, found: Piece, source: &str, span: Span) {
        match found {
            Piece::Token(kind) => {
                self.check(kind, source, span);
                self.token(kind, span);
            }
            Piece::Trivia(TriviaKind::Stray) => {
                if !std::mem::replace(&mut self.semicolon_reported, true) {
                    self.habit(
                        span,
                        "`;` is not needed",
                        "statements end where the next one begins; remove it",
                        "",
                    );
                }
                self.trivia(TriviaKind::Stray, span);
            }
            Piece::Trivia(kind) => self.trivia(kind, span),
            Piece::Foreign(kind, here) => {
                self.habit(
                    span,
                    &format!("`{source}` is written `{}` here", here.trim_end()),
                    &foreign_help(source),
                    here,
                );
                self.token(kind, span);
            }
            Piece::ForeignComment => {
                let mark = Span::new(self.file, span.start as usize, span.start as usize + 2);
                self.habit(mark, "comments start with `#`", "replace `//` by `#`", "#");
                self.trivia(TriviaKind::Comment, span);
            }
            Piece::ForeignText => {
                let here = quote(&unquote(source));
                self.habit(span, "strings take double quotes", &format!("write `{here}`"), &here);
                self.token(TokenKind::Text, span);
            }
        }
    }

    fn habit(&mut self, span: Span, headline: &str, help: &str, replacement: &str) {
        let diagnostic = Diagnostic::new(Code::E0105, headline).at(span, "").help(help);
        self.out.diagnostics.push(diagnostic.suggest(span, replacement));
    }

    fn check(&mut self, kind: TokenKind, source: &str, span: Span) {
        let wrong = match kind {
            TokenKind::Number => number_fault(source).map(|fault| ("malformed number", fault)),
            TokenKind::Text => text_fault(source).map(|fault| ("malformed string", fault)),
            TokenKind::Unknown => Some(("unexpected character", UNKNOWN_HELP)),
            _ => None,
        };
        if source == "@" {
            let help = "a product of matrices is a sum over the axis they share: `sum(a * b over k)`";
            let d = Diagnostic::new(Code::E0105, "`@` is written otherwise here").at(span, "");
            return self.out.diagnostics.push(d.help(help));
        }
        if let Some((headline, fault)) = wrong {
            self.out.diagnostics.push(Diagnostic::new(Code::E0101, headline).at(span, fault));
        }
    }
}

const UNKNOWN_HELP: &str = "names are of letters A to Z, digits and `_`; other texts take double quotes";

fn foreign_help(source: &str) -> String {
    let help = match source {
        ":=" => "`=` defines a value, `~` draws it from a distribution",
        "**" => "powers are written `a ^ b`",
        "&&" => "write `a and b`",
        "||" => "write `a or b`",
        _ => "write `not a`",
    };
    help.to_string()
}

fn number_fault(source: &str) -> Option<&'static str> {
    let parts = (digit1::<&str, ()>, opt(preceded(tag("."), digit1)), opt(exponent));
    match recognize(parts).parse(source) {
        Ok(("", _)) if source.parse::<f64>().is_ok_and(f64::is_finite) => None,
        Ok(("", _)) => Some("too large for a floating-point number"),
        _ => Some("a number is digits, perhaps a point and more digits, perhaps an exponent such as `e-3`"),
    }
}

fn text_fault(source: &str) -> Option<&'static str> {
    let mut chars = source.chars().skip(1).peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => match chars.next() {
                Some('n' | 't' | 'r' | '"' | '\\') => {}
                Some(_) => return Some("the escapes are `\\n`, `\\t`, `\\r`, `\\\"` and `\\\\`"),
                None => break,
            },
            _ => {}
        }
    }
    Some("the closing quote is missing on this line")
}

fn starts_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn piece(text: &str) -> IResult<&str, Piece> {
    alt((trivia, word, number, string, foreign, symbol)).parse(text)
}

fn trivia(text: &str) -> IResult<&str, Piece> {
    // A byte-order mark, which some editors write, counts as a blank.
    let space = |c: char| (c.is_whitespace() && c != '\n') || c == '\u{feff}';
    let to_line_end = || take_while(|c| c != '\n');
    alt((
        value(Piece::Trivia(TriviaKind::Space), take_while1(space)),
        value(Piece::Trivia(TriviaKind::Newline), tag("\n")),
        value(Piece::Trivia(TriviaKind::Comment), (tag("#"), to_line_end())),
        value(Piece::Trivia(TriviaKind::Stray), tag(";")),
        value(Piece::ForeignComment, (tag("//"), to_line_end())),
    ))
    .parse(text)
}

fn word(text: &str) -> IResult<&str, Piece> {
    let (rest, word) = recognize((take_while1(starts_word), take_while(in_word))).parse(text)?;
    let keyword = Keyword::ALL.iter().find(|keyword| keyword.text() == word);
    Ok((rest, Piece::Token(keyword.map_or(TokenKind::Name, |keyword| TokenKind::Word(*keyword)))))
}

fn exponent<'t, E: nom::error::ParseError<&'t str>>(text: &'t str) -> IResult<&'t str, &'t str, E> {
    recognize((one_of("eE"), opt(one_of("+-")), digit1)).parse(text)
}

/// A number, with whatever letters stick to it, so that `10x` and `.5` are one malformed number each.
fn number(text: &str) -> IResult<&str, Piece> {
    let fraction = || preceded(tag("."), digit1);
    let digits = alt((recognize((digit1, opt(fraction()))), recognize(fraction())));
    value(Piece::Token(TokenKind::Number), (digits, opt(exponent), take_while(in_word))).parse(text)
}

/// A string up to its closing quote or the end of the line.
fn string(text: &str) -> IResult<&str, Piece> {
    let (_, quote) = one_of("\"'").parse(text)?;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return quoted(text, at, quote, false),
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return quoted(text, at + 1, quote, true),
            _ => {}
        }
    }
    quoted(text, text.len(), quote, false)
}

/// A lone `'` is no string: only the quote itself is taken.
fn quoted(text: &str, end: usize, quote: char, closed: bool) -> IResult<&str, Piece> {
    match (quote, closed) {
        ('"', _) => Ok((&text[end..], Piece::Token(TokenKind::Text))),
        (_, true) => Ok((&text[end..], Piece::ForeignText)),
        (_, false) => Ok((&text[1..], Piece::Token(TokenKind::Unknown))),
    }
}

fn foreign(text: &str) -> IResult<&str, Piece> {
    let spelled = |kind, here| Piece::Foreign(kind, here);
    alt((
        value(Piece::Token(TokenKind::Symbol(Symbol::NotEq)), tag("!=")),
        value(spelled(TokenKind::Symbol(Symbol::Eq), "="), tag(":=")),
        value(spelled(TokenKind::Symbol(Symbol::Caret), "^"), tag("**")),
        value(spelled(TokenKind::Word(Keyword::And), "and"), tag("&&")),
        value(spelled(TokenKind::Word(Keyword::Or), "or"), tag("||")),
        value(spelled(TokenKind::Word(Keyword::Not), "not "), tag("!")),
    ))
    .parse(text)
}

/// The table lists the longer symbols first.
fn symbol(text: &str) -> IResult<&str, Piece> {
    match Symbol::ALL.iter().find(|symbol| text.starts_with(symbol.text())) {
        Some(symbol) => Ok((&text[symbol.text().len()..], Piece::Token(TokenKind::Symbol(*symbol)))),
        None => Err(nom::Err::Error(nom::error::make_error(text, nom::error::ErrorKind::Tag))),
    }
}

/// One or more characters that begin nothing, so that a stretch of foreign script is one message.
fn unknown(text: &str) -> (&str, Piece) {
    let end = text
        .char_indices()
        .find(|(at, c)| *at > 0 && (c.is_ascii() || c.is_whitespace()))
        .map_or(text.len(), |(at, _)| at);
    (&text[end..], Piece::Token(TokenKind::Unknown))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<&str> {
        let lexed = lex(FileId(0), text);
        lexed.tokens.iter().map(|token| &text[token.span.range()]).collect()
    }

    #[test]
    fn tokens_and_trivia_cover_the_text() {
        let text = "z[latent] ~ Normal(0, 1e-4)  # é\r\n x=>'a' := ;; ∑∑ \"open\n// c\n10x 1.5.2 'q";
        let lexed = lex(FileId(0), text);
        let tokens = lexed.tokens.iter().map(|token| token.span);
        let mut spans: Vec<Span> = tokens.chain(lexed.trivia.iter().map(|t| t.span)).collect();
        spans.sort();
        let joined: String = spans.iter().map(|span| &text[span.range()]).collect();
        assert_eq!(joined, text);
    }

    #[test]
    fn numbers_do_not_swallow_fields() {
        assert_eq!(kinds("1.rho 1.5e3 2"), ["1", ".", "rho", "1.5e3", "2", ""]);
        assert!(lex(FileId(0), "1.5e3 0.1 7").diagnostics.is_empty());
        for bad in ["1e", ".5", "10x", "10_000", "1e999", "0x10"] {
            assert_eq!(lex(FileId(0), bad).diagnostics.len(), 1, "{bad}");
        }
    }

    #[test]
    fn strings_round_trip() {
        for value in ["", "cell type", "a\"b\\c\n\t\r", "é"] {
            assert_eq!(unquote(&quote(value)), value);
            assert!(lex(FileId(0), &quote(value)).diagnostics.is_empty());
        }
        assert_eq!(lex(FileId(0), "\"a\\qb\" \"open").diagnostics.len(), 2);
    }

    #[test]
    fn reserved_words_are_words() {
        let lexed = lex(FileId(0), "plate site\ndata");
        assert_eq!(lexed.tokens[0].kind, TokenKind::Word(Keyword::Plate));
        assert_eq!(lexed.tokens[1].kind, TokenKind::Name);
        assert!(lexed.tokens[2].line_start && !lexed.tokens[1].line_start);
    }
}
