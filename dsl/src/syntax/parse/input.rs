//! What the parsers share: the token slice as a nom input, the record of what was expected, and the smallest parsers.

use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::Name;
use crate::syntax::token::{Keyword, Symbol, Token, TokenKind};
use nom::error::{ErrorKind, ParseError};
use nom::multi::separated_list1;
use nom::{IResult, Needed, Parser};
use std::cell::{Cell, RefCell};

/// The result of a parser.
pub(super) type Res<'t, T> = IResult<Tokens<'t>, T, Problem>;

/// How deep expressions and blocks may nest. Every later stage may recurse this deep.
pub(super) const MAX_DEPTH: usize = 128;

/// What could stand at a place, in the words of messages.
pub(super) mod role {
    pub const EXPRESSION: &str = "an expression";
    pub const DISTRIBUTION: &str = "a distribution";
    pub const TREATMENT: &str = "a distribution or a treatment such as `point`";
    pub const OPERATOR: &str = "an operator";
    pub const CLAUSE: &str = "`over`, `where` or `given`";
    pub const NAME: &str = "a name";
    pub const AXIS: &str = "an axis name";
    pub const FIELD: &str = "a data field";
    pub const LABEL: &str = "a label";
    pub const SITE: &str = "the name of a site";
    pub const TYPE: &str = "a type";
    pub const PATH: &str = "a path";
    pub const LITERAL: &str = "a literal or a name";
    pub const TERM: &str = "a term: `kl(…)`, `lik(…)` or `prior(…)`";
    pub const NEED: &str = "`site`, `field`, `network` or `axis`";
    pub const ITEM: &str = "an item such as `dim`, `data`, `param` or `model`";
    pub const STATEMENT: &str = "a statement";
    pub const OUTPUT: &str = "the name of an output";
    pub const SETTING: &str = "a setting";
}

/// What one parse shares between its parsers.
pub(super) struct Env<'t> {
    pub text: &'t str,
    pub tokens: &'t [Token],
    /// Reports so far, in the order found.
    pub diagnostics: RefCell<Vec<Diagnostic>>,
    /// Names that broken declarations would have declared.
    pub broken: RefCell<Vec<Name>>,
    /// Expressions and blocks that are open now.
    pub depth: Cell<usize>,
    /// Blocks that are open now.
    pub blocks: Cell<usize>,
    /// The token at which an unclosed block was last reported.
    pub unclosed_at: Cell<Option<usize>>,
    /// For each token, how many `}` from there on close a block opened before it.
    pub closings: Vec<u32>,
    /// The furthest token that was looked at in vain, and what would have fitted.
    expected: RefCell<(usize, Vec<&'static str>)>,
}

impl<'t> Env<'t> {
    pub fn new(text: &'t str, tokens: &'t [Token]) -> Env<'t> {
        let mut closings = vec![0u32; tokens.len()];
        let mut open = 0u32;
        for (at, token) in tokens.iter().enumerate().rev() {
            match token.kind {
                TokenKind::Symbol(Symbol::CloseBrace) => open += 1,
                TokenKind::Symbol(Symbol::OpenBrace) => open = open.saturating_sub(1),
                _ => {}
            }
            closings[at] = open;
        }
        Env {
            text,
            tokens,
            diagnostics: RefCell::default(),
            broken: RefCell::default(),
            depth: Cell::new(0),
            blocks: Cell::new(0),
            unclosed_at: Cell::new(None),
            closings,
            expected: RefCell::default(),
        }
    }

    /// Remembers that `role` would have fitted at token `at`.
    pub fn expect(&self, at: usize, role: &'static str) {
        let mut expected = self.expected.borrow_mut();
        if at > expected.0 {
            *expected = (at, Vec::new());
        }
        if at == expected.0 && !expected.1.contains(&role) {
            expected.1.push(role);
        }
    }

    /// Forgets what would have fitted: at the start of a line nobody misses the end of the line before.
    pub fn forget_expected(&self) {
        self.expected.borrow_mut().1.clear();
    }

    /// What would have fitted at token `at`: at most five roles. The last ones recorded are those that had to come,
    /// so they are the ones that stay.
    pub fn expected_at(&self, at: usize) -> Vec<String> {
        let expected = self.expected.borrow();
        let roles = if expected.0 == at { &expected.1[..] } else { &[] };
        roles[roles.len().saturating_sub(5)..].iter().map(|role| role.to_string()).collect()
    }

    pub fn report(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }
}

/// Why a production failed.
#[derive(Debug)]
pub(super) struct Problem {
    /// The token that did not fit.
    pub at: usize,
    /// The bracket that is open there.
    pub opening: Option<Span>,
    /// A message of its own, in place of the list of what was expected.
    pub own: Option<Box<Diagnostic>>,
}

impl Problem {
    pub fn at(i: Tokens<'_>) -> Problem {
        Problem { at: i.at, opening: None, own: None }
    }
}

impl<'t> ParseError<Tokens<'t>> for Problem {
    fn from_error_kind(input: Tokens<'t>, _: ErrorKind) -> Problem {
        Problem::at(input)
    }

    fn append(_: Tokens<'t>, _: ErrorKind, other: Problem) -> Problem {
        other
    }
}

/// The tokens that are left.
#[derive(Clone, Copy)]
pub(super) struct Tokens<'t> {
    pub env: &'t Env<'t>,
    pub at: usize,
    end: usize,
}

impl<'t> Tokens<'t> {
    pub fn all(env: &'t Env<'t>) -> Tokens<'t> {
        Tokens { env, at: 0, end: env.tokens.len() }
    }

    /// The next token. The last token is the end of the text, and no parser goes beyond it.
    pub fn peek(self) -> Token {
        self.ahead(0)
    }

    /// The token after `n` more.
    pub fn ahead(self, n: usize) -> Token {
        let tokens = self.env.tokens;
        tokens[(self.at + n).min(tokens.len() - 1)]
    }

    /// Without the next token.
    pub fn next(self) -> Tokens<'t> {
        self.moved_to(self.at + 1)
    }

    pub fn moved_to(self, at: usize) -> Tokens<'t> {
        Tokens { at: at.min(self.end - 1), ..self }
    }

    pub fn is(self, symbol: Symbol) -> bool {
        self.peek().kind == TokenKind::Symbol(symbol)
    }

    pub fn is_word(self, word: Keyword) -> bool {
        self.peek().kind == TokenKind::Word(word)
    }

    pub fn is_name(self) -> bool {
        self.peek().kind == TokenKind::Name
    }

    pub fn is_end(self) -> bool {
        self.peek().kind == TokenKind::End
    }

    pub fn source(self, token: Token) -> &'t str {
        &self.env.text[token.span.range()]
    }

    /// From the next token to the last one before `rest`.
    pub fn span_to(self, rest: Tokens<'t>) -> Span {
        let first = self.peek().span;
        if rest.at > self.at { first.to(self.env.tokens[rest.at - 1].span) } else { first }
    }

    /// The next token as a name, whatever it is.
    pub fn as_name(self) -> Name {
        Name { text: self.source(self.peek()).to_string(), span: self.peek().span }
    }

    /// Fails here; `role` would have fitted.
    pub fn fail<T>(self, role: &'static str) -> Res<'t, T> {
        self.env.expect(self.at, role);
        Err(nom::Err::Error(Problem::at(self)))
    }

    /// Fails here with a message of its own.
    pub fn fail_with<T>(self, diagnostic: Diagnostic) -> Res<'t, T> {
        Err(nom::Err::Failure(Problem { own: Some(Box::new(diagnostic)), ..Problem::at(self) }))
    }
}

impl<'t> nom::Input for Tokens<'t> {
    type Item = Token;
    type Iter = std::iter::Copied<std::slice::Iter<'t, Token>>;
    type IterIndices = std::iter::Enumerate<Self::Iter>;

    fn input_len(&self) -> usize {
        self.end - self.at
    }

    fn take(&self, index: usize) -> Self {
        Tokens { end: self.at + index, ..*self }
    }

    fn take_from(&self, index: usize) -> Self {
        Tokens { at: self.at + index, ..*self }
    }

    fn take_split(&self, index: usize) -> (Self, Self) {
        (self.take_from(index), self.take(index))
    }

    fn position<P: Fn(Token) -> bool>(&self, predicate: P) -> Option<usize> {
        self.iter_elements().position(predicate)
    }

    fn iter_elements(&self) -> Self::Iter {
        self.env.tokens[self.at..self.end].iter().copied()
    }

    fn iter_indices(&self) -> Self::IterIndices {
        self.iter_elements().enumerate()
    }

    fn slice_index(&self, count: usize) -> Result<usize, Needed> {
        if count <= self.input_len() { Ok(count) } else { Err(Needed::new(count - self.input_len())) }
    }
}

/// One symbol.
pub(super) fn symbol<'t>(symbol: Symbol) -> impl Fn(Tokens<'t>) -> Res<'t, Token> {
    move |i| if i.is(symbol) { Ok((i.next(), i.peek())) } else { i.fail(symbol.quoted()) }
}

/// One reserved word.
pub(super) fn word<'t>(word: Keyword) -> impl Fn(Tokens<'t>) -> Res<'t, Token> {
    move |i| if i.is_word(word) { Ok((i.next(), i.peek())) } else { i.fail(word.quoted()) }
}

/// The bracket that closes `opening`.
pub(super) fn close<'t>(opening: Token, with: Symbol) -> impl Fn(Tokens<'t>) -> Res<'t, Token> {
    move |i| inside(opening, symbol(with)(i))
}

/// Lets a failure know the bracket that it lies in.
pub(super) fn inside<T>(opening: Token, result: Res<'_, T>) -> Res<'_, T> {
    result.map_err(|error| {
        error.map(|problem| Problem { opening: problem.opening.or(Some(opening.span)), ..problem })
    })
}

/// Whether a word was written there or not.
pub(super) fn flag(i: Tokens<'_>, marker: Keyword) -> (Tokens<'_>, bool) {
    let present = i.is_word(marker);
    if !present {
        i.env.expect(i.at, marker.quoted());
    }
    (if present { i.next() } else { i }, present)
}

/// A name, called `role` in messages. A reserved word that was meant as a name is reported and taken for one.
pub(super) fn name<'t>(role: &'static str) -> impl Fn(Tokens<'t>) -> Res<'t, Name> {
    move |i| match i.peek().kind {
        TokenKind::Name => Ok((i.next(), i.as_name())),
        TokenKind::Word(word) if !i.peek().line_start && !is_connective(word) => {
            reserved(i);
            Ok((i.next(), i.as_name()))
        }
        _ => i.fail(role),
    }
}

/// Any word, as may stand after a dot.
pub(super) fn any_word(i: Tokens<'_>) -> Res<'_, Name> {
    match i.peek().kind {
        TokenKind::Name | TokenKind::Word(_) => Ok((i.next(), i.as_name())),
        _ => i.fail(role::NAME),
    }
}

/// Reports the next token as a reserved word in the place of a name.
pub(super) fn reserved(i: Tokens<'_>) {
    let token = i.peek();
    let text = i.source(token);
    i.env.report(
        Diagnostic::new(Code::E0103, format!("`{text}` is a reserved word"))
            .at(token.span, "used as a name")
            .help(format!("choose another name, such as `{text}_`"))
            .suggest(token.span, format!("{text}_")),
    );
}

/// Words that continue something: where a name is missing before one, it is not the name.
fn is_connective(word: Keyword) -> bool {
    use Keyword::*;
    matches!(
        word,
        From | To
            | By
            | Within
            | Over
            | With
            | Strength
            | Where
            | Else
            | Given
            | And
            | Or
            | Not
            | Missing
            | Optional
            | Init
            | True
            | False
            | Match
            | Return
            | Predict
    )
}

/// One or more, separated by commas; after the first token there is no way back.
pub(super) fn list<'t, T, P>(part: P) -> impl FnMut(Tokens<'t>) -> Res<'t, Vec<T>>
where
    P: Fn(Tokens<'t>) -> Res<'t, T>,
{
    let mut parts = separated_list1(symbol(Symbol::Comma), nom::combinator::cut(part));
    move |i| parts.parse(i)
}

/// Runs a parser one level deeper, unless that is too deep.
pub(super) fn deeper<'t, T>(i: Tokens<'t>, part: impl FnOnce(Tokens<'t>) -> Res<'t, T>) -> Res<'t, T> {
    let depth = &i.env.depth;
    if depth.get() >= MAX_DEPTH {
        return too_deep(i);
    }
    depth.set(depth.get() + 1);
    let result = part(i);
    depth.set(depth.get() - 1);
    result
}

/// Fails because the nesting is too deep.
pub(super) fn too_deep<T>(i: Tokens<'_>) -> Res<'_, T> {
    let headline = format!("nested more than {MAX_DEPTH} levels deep");
    i.fail_with(
        Diagnostic::new(Code::E0101, headline)
            .at(i.peek().span, "too deep here")
            .help("name parts of the expression and use the names"),
    )
}
