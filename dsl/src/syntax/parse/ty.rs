//! Types, axes, paths and formal inputs.

use super::input::{Res, Tokens, any_word, close, list, name, role, symbol, word};
use crate::syntax::ast::{Formal, Formals, Name, Path, Type};
use crate::syntax::token::{Keyword, Symbol, TokenKind, unquote};
use nom::Parser;
use nom::combinator::{cut, opt};
use nom::sequence::preceded;

/// `[ "[" name { "," name } "]" ]`; empty without brackets.
pub(super) fn axes(i: Tokens<'_>) -> Res<'_, Vec<Name>> {
    let (i, opening) = opt(symbol(Symbol::OpenBracket)).parse(i)?;
    let Some(opening) = opening else { return Ok((i, Vec::new())) };
    let (i, axes) = list(name(role::AXIS))(i)?;
    let (i, _) = cut(close(opening, Symbol::CloseBracket)).parse(i)?;
    Ok((i, axes))
}

/// `name [ "?" ] [ axes ] [ "over" name ]`.
pub(super) fn ty(start: Tokens<'_>) -> Res<'_, Type> {
    let (i, base) = name(role::TYPE)(start)?;
    let (i, question) = opt(symbol(Symbol::Question)).parse(i)?;
    let (i, axes) = axes(i)?;
    let (i, over) = opt(preceded(word(Keyword::Over), cut(name(role::AXIS)))).parse(i)?;
    Ok((i, Type { name: base, may_miss: question.is_some(), axes, over, span: start.span_to(i) }))
}

/// `name { "." word | "[" string "]" }`.
pub(super) fn path(start: Tokens<'_>) -> Res<'_, Path> {
    let (mut i, first) = name(role::PATH)(start)?;
    let mut parts = vec![first];
    loop {
        let (rest, part) = if i.is(Symbol::Dot) {
            any_word(i.next())?
        } else if i.is(Symbol::OpenBracket) {
            quoted_part(i)?
        } else {
            return Ok((i, Path { parts, span: start.span_to(i) }));
        };
        parts.push(part);
        i = rest;
    }
}

fn quoted_part(start: Tokens<'_>) -> Res<'_, Name> {
    let (i, opening) = symbol(Symbol::OpenBracket)(start)?;
    if i.peek().kind != TokenKind::Text {
        return i.fail("a column name in quotes");
    }
    let part = Name { text: unquote(i.source(i.peek())), span: i.peek().span };
    let (i, _) = close(opening, Symbol::CloseBracket)(i.next())?;
    Ok((i, part))
}

/// `"(" [ formals ] ")"`.
pub(super) fn formals(i: Tokens<'_>) -> Res<'_, Formals> {
    let (i, opening) = symbol(Symbol::OpenParen)(i)?;
    let (i, inputs) =
        if i.is(Symbol::CloseParen) || i.is(Symbol::Bar) { (i, Vec::new()) } else { list(formal)(i)? };
    let (i, conditions) = opt(preceded(symbol(Symbol::Bar), cut(name(role::NAME)))).parse(i)?;
    let (i, _) = close(opening, Symbol::CloseParen)(i)?;
    Ok((i, Formals { inputs, conditions }))
}

fn formal(start: Tokens<'_>) -> Res<'_, Formal> {
    let (i, input) = name(role::NAME)(start)?;
    let (i, axes) = axes(i)?;
    Ok((i, Formal { name: input, axes, span: start.span_to(i) }))
}
