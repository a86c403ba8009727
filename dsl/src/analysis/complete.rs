//! What may stand at a place, from the tokens before it.

use super::Analysis;
use super::names::Role;
use crate::syntax::ast::Strategy;
use crate::syntax::token::{Keyword, Symbol, Token, TokenKind, lex};
use std::collections::BTreeSet;

/// What a completion stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CompletionKind {
    /// An argument of the call that the place is in, written by name.
    Argument,
    /// A name of the program.
    Name,
    /// An axis.
    Axis,
    /// A family of distributions.
    Family,
    /// A treatment of a latent.
    Strategy,
    /// A reserved word.
    Word,
}

/// One proposal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Completion {
    /// What it stands for.
    pub kind: CompletionKind,
    /// What is shown and, without [`Completion::insert`], written.
    pub label: String,
    /// What is written, if not the label.
    pub insert: Option<String>,
    /// A remark: the type of a value.
    pub detail: Option<String>,
}

/// Where a place is.
enum Context {
    /// Inside brackets, after `over`, or after `plate`.
    Axes,
    /// After `~`.
    Distribution,
    /// Inside a call of a family.
    Arguments(&'static dyn distributions::Family, BTreeSet<String>),
    /// Anywhere else in an expression.
    Value,
    /// Where a statement or item begins.
    Statement,
}

impl Analysis {
    /// What may stand at a byte of the text, sorted. A word that is being written there does not count.
    pub fn completions(&self, byte: usize) -> Vec<Completion> {
        let text = self.sources.text(self.root);
        let lexed = lex(self.root, text);
        let before: Vec<Token> = lexed
            .tokens
            .into_iter()
            .take_while(|t| {
                (t.span.end as usize) < byte || ((t.span.end as usize) == byte && !is_wordlike(t))
            })
            .filter(|t| t.kind != TokenKind::End)
            .collect();
        let fresh_line = text[..text.floor_char_boundary(byte)]
            .rsplit('\n')
            .next()
            .is_some_and(|l| l.trim_start().chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
        let mut found = BTreeSet::new();
        match context(text, &before, fresh_line) {
            Context::Axes => found.extend(self.axes()),
            Context::Distribution => {
                found.extend(families());
                found.extend(Strategy::ALL.map(|s| of(CompletionKind::Strategy, s.word())));
                found.extend(self.values());
            }
            Context::Arguments(family, given) => {
                let names = family.parameter_sets().iter().flat_map(|set| set.iter());
                found.extend(names.filter(|p| !given.contains(p.name)).map(|p| Completion {
                    insert: Some(format!("{} = ", p.name)),
                    detail: Some(p.support.to_string()),
                    ..of(CompletionKind::Argument, p.name)
                }));
                found.extend(self.values());
            }
            Context::Value => found.extend(self.values()),
            Context::Statement => {
                found.extend(Keyword::ALL.iter().map(|k| of(CompletionKind::Word, k.text())));
                found.extend(self.values());
            }
        }
        found.into_iter().collect()
    }

    fn axes(&self) -> Vec<Completion> {
        let axes = self.compiled.iter().flat_map(|c| c.axes().iter().map(|a| a.name.clone()));
        let mut names: BTreeSet<String> = axes.collect();
        if names.is_empty() {
            names.extend(
                self.names.iter().filter(|n| n.declares && n.role == Role::Value).map(|n| n.text.clone()),
            );
        }
        names.iter().map(|n| of(CompletionKind::Axis, n)).collect()
    }

    /// Names that are declared for all, and those that functions of the language have.
    fn values(&self) -> Vec<Completion> {
        let names: BTreeSet<&String> = self
            .names
            .iter()
            .filter(|n| n.declares && n.role == Role::Value && n.local.is_none())
            .map(|n| &n.text)
            .collect();
        let detail = |name: &str| self.compiled.as_ref().and_then(|c| c.type_of(name));
        names.into_iter().map(|n| Completion { detail: detail(n), ..of(CompletionKind::Name, n) }).collect()
    }
}

fn of(kind: CompletionKind, label: &str) -> Completion {
    Completion { kind, label: label.to_owned(), insert: None, detail: None }
}

fn families() -> impl Iterator<Item = Completion> {
    distributions::FAMILIES
        .iter()
        .map(|f| Completion { detail: Some(f.support().to_string()), ..of(CompletionKind::Family, f.name()) })
}

fn is_wordlike(token: &Token) -> bool {
    matches!(token.kind, TokenKind::Name | TokenKind::Word(_) | TokenKind::Number)
}

fn context(text: &str, before: &[Token], fresh_line: bool) -> Context {
    let Some(last) = before.last() else { return Context::Statement };
    match last.kind {
        TokenKind::Word(Keyword::Over | Keyword::Plate | Keyword::Within) => return Context::Axes,
        TokenKind::Symbol(Symbol::Tilde) => return Context::Distribution,
        _ => {}
    }
    // The innermost bracket that is open here.
    let mut closed = 0usize;
    for (at, token) in before.iter().enumerate().rev() {
        match token.kind {
            TokenKind::Symbol(Symbol::CloseParen | Symbol::CloseBracket | Symbol::CloseBrace) => closed += 1,
            TokenKind::Symbol(Symbol::OpenParen | Symbol::OpenBracket | Symbol::OpenBrace) if closed > 0 => {
                closed -= 1;
            }
            TokenKind::Symbol(Symbol::OpenBracket) => return Context::Axes,
            TokenKind::Symbol(Symbol::OpenParen) => return call(text, before, at),
            TokenKind::Symbol(Symbol::OpenBrace) => break,
            _ => {}
        }
    }
    let begins = matches!(last.kind, TokenKind::Symbol(Symbol::OpenBrace | Symbol::CloseBrace));
    if begins || fresh_line { Context::Statement } else { Context::Value }
}

/// Inside a call: after `(` or `,` an argument of the family may begin.
fn call(text: &str, before: &[Token], open: usize) -> Context {
    let callee = open.checked_sub(1).map(|c| &text[before[c].span.range()]);
    let begins =
        matches!(before.last().map(|t| t.kind), Some(TokenKind::Symbol(Symbol::OpenParen | Symbol::Comma)));
    match callee.and_then(distributions::find).filter(|_| begins) {
        Some(family) => {
            let pairs = before[open..].windows(2);
            let named = pairs.filter(|p| p[1].kind == TokenKind::Symbol(Symbol::Eq));
            Context::Arguments(family, named.map(|p| text[p[0].span.range()].to_owned()).collect())
        }
        None => Context::Value,
    }
}
