//! Expressions, by precedence climbing.
//!
//! Every function gives the height of its tree beside the tree. A long chain such as `a + a + …` is as deep a tree as
//! nested parentheses, and later stages recurse on both, so both have the same limit.

use super::input::{
    Res, Tokens, any_word, close, deeper, inside, list, name, reserved, role, symbol, too_deep,
};
use super::recover::begins_draw;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast::{Arg, Arm, BinaryOp, Binding, Call, Expr, ExprKind, UnaryOp};
use crate::syntax::token::{Keyword, Symbol, Token, TokenKind, unquote};
use nom::Parser;
use nom::combinator::{cut, opt};
use nom::sequence::preceded;

/// How high an expression tree may be: chains included.
const MAX_HEIGHT: usize = 256;

/// An expression and the height of its tree.
struct Tall {
    expr: Expr,
    height: usize,
}

/// An expression, called `role` in messages.
pub(super) fn expr<'t>(role: &'static str) -> impl Fn(Tokens<'t>) -> Res<'t, Expr> {
    move |i| {
        let (i, tall) = binary(i, 1, role)?;
        Ok((i, tall.expr))
    }
}

/// The value of a statement. On a line of its own, `name =` begins the next statement: the value was left out.
pub(super) fn value<'t>(role: &'static str) -> impl Fn(Tokens<'t>) -> Res<'t, Expr> {
    move |i| {
        let next_statement = i.is_name() && i.ahead(1).kind == TokenKind::Symbol(Symbol::Eq);
        if i.peek().line_start && next_statement { i.fail(role) } else { expr(role)(i) }
    }
}

/// Arguments in parentheses, as after a strategy: `( args )`.
pub(super) fn parenthesised_args(i: Tokens<'_>) -> Res<'_, Vec<Arg>> {
    let (i, opening) = symbol(Symbol::OpenParen)(i)?;
    let (i, args) = list(arg)(i)?;
    let (i, _) = cut(close(opening, Symbol::CloseParen)).parse(i)?;
    Ok((i, args.into_iter().map(|arg| arg.0).collect()))
}

fn any(i: Tokens<'_>) -> Res<'_, Tall> {
    binary(i, 1, role::EXPRESSION)
}

/// A node over parts of the given heights.
fn node(i: Tokens<'_>, kind: ExprKind, parts: usize, span: Span) -> Res<'_, Tall> {
    if parts >= MAX_HEIGHT {
        return too_deep(i);
    }
    Ok((i, Tall { expr: Expr { kind, span }, height: parts + 1 }))
}

/// The infix operator and its level, loosest 1. `^` belongs to [`power`].
fn infix(kind: TokenKind) -> Option<(BinaryOp, usize)> {
    Some(match kind {
        TokenKind::Word(Keyword::Or) => (BinaryOp::Or, 1),
        TokenKind::Word(Keyword::And) => (BinaryOp::And, 2),
        TokenKind::Symbol(Symbol::EqEq) => (BinaryOp::Eq, 3),
        TokenKind::Symbol(Symbol::NotEq) => (BinaryOp::Ne, 3),
        TokenKind::Symbol(Symbol::Less) => (BinaryOp::Lt, 3),
        TokenKind::Symbol(Symbol::LessEq) => (BinaryOp::Le, 3),
        TokenKind::Symbol(Symbol::Greater) => (BinaryOp::Gt, 3),
        TokenKind::Symbol(Symbol::GreaterEq) => (BinaryOp::Ge, 3),
        TokenKind::Symbol(Symbol::Plus) => (BinaryOp::Add, 4),
        TokenKind::Symbol(Symbol::Minus) => (BinaryOp::Sub, 4),
        TokenKind::Symbol(Symbol::Star) => (BinaryOp::Mul, 5),
        TokenKind::Symbol(Symbol::Slash) => (BinaryOp::Div, 5),
        _ => return None,
    })
}

fn binary<'t>(start: Tokens<'t>, loosest: usize, role: &'static str) -> Res<'t, Tall> {
    let (mut i, mut left) = unary(start, role)?;
    let mut compared = false;
    loop {
        i.env.expect(i.at, role::OPERATOR);
        let Some((op, level)) = infix(i.peek().kind).filter(|(_, level)| *level >= loosest) else {
            return Ok((i, left));
        };
        if compared && op.is_comparison() {
            return chained_comparison(i);
        }
        let (rest, right) = binary(i.next(), level + 1, role::EXPRESSION)?;
        let height = left.height.max(right.height);
        let kind = ExprKind::Binary { op, left: Box::new(left.expr), right: Box::new(right.expr) };
        // Looser operators may follow a comparison, another comparison may not.
        compared = op.is_comparison();
        (i, left) = node(rest, kind, height, start.span_to(rest))?;
    }
}

fn chained_comparison<T>(i: Tokens<'_>) -> Res<'_, T> {
    i.fail_with(
        Diagnostic::new(Code::E0101, "comparisons do not chain")
            .at(i.peek().span, "a second comparison")
            .help("write `a < b and b < c`"),
    )
}

/// Every recursion of expressions passes here, so here its depth is counted.
fn unary<'t>(start: Tokens<'t>, role: &'static str) -> Res<'t, Tall> {
    let op = match start.peek().kind {
        TokenKind::Symbol(Symbol::Minus) => UnaryOp::Neg,
        TokenKind::Word(Keyword::Not) => UnaryOp::Not,
        _ => return deeper(start, |i| power(i, role)),
    };
    let (i, operand) = deeper(start.next(), |i| unary(i, role::EXPRESSION))?;
    let kind = ExprKind::Unary { op, operand: Box::new(operand.expr) };
    node(i, kind, operand.height, start.span_to(i))
}

fn power<'t>(start: Tokens<'t>, role: &'static str) -> Res<'t, Tall> {
    let (i, left) = postfix_tall(start, role)?;
    if !i.is(Symbol::Caret) {
        return Ok((i, left));
    }
    let (i, right) = unary(i.next(), role::EXPRESSION)?;
    let height = left.height.max(right.height);
    let kind = ExprKind::Binary { op: BinaryOp::Pow, left: Box::new(left.expr), right: Box::new(right.expr) };
    node(i, kind, height, start.span_to(i))
}

/// A primary with fields, indices and calls; what `observe` takes.
pub(super) fn postfix<'t>(role: &'static str) -> impl Fn(Tokens<'t>) -> Res<'t, Expr> {
    move |i| {
        let (i, tall) = deeper(i, |i| postfix_tall(i, role))?;
        Ok((i, tall.expr))
    }
}

fn postfix_tall<'t>(start: Tokens<'t>, role: &'static str) -> Res<'t, Tall> {
    let (mut i, mut tall) = primary(start, role)?;
    loop {
        let (rest, kind, height) = if let Some(rest) = foreign_call(i, &tall.expr) {
            (rest, ExprKind::Error, tall.height)
        } else if i.is(Symbol::Dot) {
            let (rest, name) = any_word(i.next())?;
            (rest, ExprKind::Field { base: Box::new(tall.expr), name }, tall.height)
        } else if i.is(Symbol::OpenBracket) {
            let (rest, indices) = list(any)(i.next())?;
            let (rest, _) = close(i.peek(), Symbol::CloseBracket)(rest)?;
            let height = tallest(indices.iter().map(|index| index.height)).max(tall.height);
            let indices = indices.into_iter().map(|index| index.expr).collect();
            (rest, ExprKind::Index { base: Box::new(tall.expr), indices }, height)
        } else if i.is(Symbol::OpenParen) {
            let (rest, (call, height)) = call(i, tall.expr)?;
            (rest, ExprKind::Call(Box::new(call)), height.max(tall.height))
        } else {
            return Ok((i, tall));
        };
        (i, tall) = node(rest, kind, height, start.span_to(rest))?;
    }
}

/// Reports `pyro.sample(…)` and its like; goes on after the call.
fn foreign_call<'t>(dot: Tokens<'t>, base: &Expr) -> Option<Tokens<'t>> {
    const LIBRARIES: [&str; 9] = ["pyro", "numpyro", "torch", "nn", "np", "numpy", "jnp", "jax", "tfd"];
    let ExprKind::Name(library) = &base.kind else { return None };
    let name = dot.ahead(1);
    let opens = dot.ahead(2).kind == TokenKind::Symbol(Symbol::OpenParen);
    if !dot.is(Symbol::Dot) || !LIBRARIES.contains(&library.text.as_str()) || !opens {
        return None;
    }
    let function = dot.source(name);
    let help = match function {
        "sample" => "write `z ~ Normal(mean = 0, scale = 1)` for a latent and `observe x ~ …` for data",
        "param" => "declare it at the top level: `param theta[gene] : positive`",
        "plate" => "write `plate cell { … }`",
        _ => "functions, layers and distributions are called by their names alone: `softmax(…)`",
    };
    let span = library.span.to(name.span);
    let headline = format!("`{}.{function}` is written otherwise here", library.text);
    dot.env.report(Diagnostic::new(Code::E0105, headline).at(span, "").help(help));
    let (mut i, mut open) = (dot.next().next(), 0usize);
    while !i.is_end() {
        match i.peek().kind {
            TokenKind::Symbol(Symbol::OpenParen) => open += 1,
            TokenKind::Symbol(Symbol::CloseParen) if open == 1 => return Some(i.next()),
            TokenKind::Symbol(Symbol::CloseParen) => open -= 1,
            TokenKind::Symbol(Symbol::CloseBrace) => return Some(i),
            _ => {}
        }
        i = i.next();
    }
    Some(i)
}

fn tallest(heights: impl Iterator<Item = usize>) -> usize {
    heights.max().unwrap_or(0)
}

/// `"(" [ args ] [ "|" args ] [ clauses ] ")"`, with the height of its tallest part.
fn call(start: Tokens<'_>, callee: Expr) -> Res<'_, (Call, usize)> {
    let (i, opening) = symbol(Symbol::OpenParen)(start)?;
    let begins_clause = |i: Tokens<'_>| {
        i.is(Symbol::CloseParen)
            || i.is(Symbol::Bar)
            || i.is_word(Keyword::Over)
            || i.is_word(Keyword::Where)
            || i.is_word(Keyword::Given)
    };
    let (i, args) = if begins_clause(i) { (i, Vec::new()) } else { list(arg)(i)? };
    i.env.expect(i.at, role::CLAUSE);
    let (i, conditions) = opt(preceded(symbol(Symbol::Bar), cut(list(arg)))).parse(i)?;
    let (i, over) = match i.is_word(Keyword::Over) {
        true => list(name(role::AXIS))(i.next())?,
        false => (i, Vec::new()),
    };
    let (i, filter) = match i.is_word(Keyword::Where) {
        true => any(i.next()).map(|(i, filter)| (i, Some(filter)))?,
        false => (i, None),
    };
    let (i, given) = match i.is_word(Keyword::Given) {
        true => list(binding)(i.next())?,
        false => (i, Vec::new()),
    };
    let (i, _) = close(opening, Symbol::CloseParen)(i)?;
    let conditions = conditions.unwrap_or_default();
    let heights = args.iter().chain(&conditions).map(|arg| arg.1).chain(given.iter().map(|given| given.1));
    let height = tallest(heights.chain(filter.iter().map(|filter| filter.height)));
    let call = Call {
        callee,
        args: args.into_iter().map(|arg| arg.0).collect(),
        conditions: conditions.into_iter().map(|arg| arg.0).collect(),
        over,
        filter: filter.map(|filter| filter.expr),
        given: given.into_iter().map(|given| given.0).collect(),
    };
    Ok((i, (call, height)))
}

/// `expr | name "=" expr`.
fn arg(start: Tokens<'_>) -> Res<'_, (Arg, usize)> {
    let (i, first) = any(start)?;
    let named = match first.expr.kind {
        ExprKind::Name(name) if i.is(Symbol::Eq) => name,
        kind => {
            let value = Expr { kind, span: first.expr.span };
            return Ok((i, (Arg { name: None, value, span: start.span_to(i) }, first.height)));
        }
    };
    let (i, value) = any(i.next())?;
    Ok((i, (Arg { name: Some(named), value: value.expr, span: start.span_to(i) }, value.height)))
}

/// `name "=" expr`.
fn binding(start: Tokens<'_>) -> Res<'_, (Binding, usize)> {
    let (i, bound) = name(role::NAME)(start)?;
    let (i, _) = symbol(Symbol::Eq)(i)?;
    let (i, value) = any(i)?;
    Ok((i, (Binding { name: bound, value: value.expr, span: start.span_to(i) }, value.height)))
}

fn primary<'t>(start: Tokens<'t>, role: &'static str) -> Res<'t, Tall> {
    let token = start.peek();
    let leaf = |kind| node(start.next(), kind, 0, token.span);
    match token.kind {
        // A value was left out, and here is the next statement.
        TokenKind::Name if token.line_start && begins_draw(start) => start.fail(role),
        TokenKind::Name => leaf(ExprKind::Name(start.as_name())),
        TokenKind::Number => leaf(ExprKind::Number(start.source(token).to_string())),
        TokenKind::Text => leaf(ExprKind::Text(unquote(start.source(token)))),
        TokenKind::Word(Keyword::True) => leaf(ExprKind::Bool(true)),
        TokenKind::Word(Keyword::False) => leaf(ExprKind::Bool(false)),
        TokenKind::Symbol(Symbol::OpenParen) => {
            let (i, inner) = any(start.next())?;
            let (i, _) = close(token, Symbol::CloseParen)(i)?;
            Ok((i, inner))
        }
        TokenKind::Symbol(Symbol::OpenBrace) => record(start),
        TokenKind::Word(Keyword::Match) => choice(start),
        TokenKind::Word(word) if !token.line_start && is_declaration(word) => {
            reserved(start);
            leaf(ExprKind::Name(start.as_name()))
        }
        _ => start.fail(role),
    }
}

/// Reserved words that a user may well have meant as a value, since nothing else can have put them into an expression.
fn is_declaration(word: Keyword) -> bool {
    use Keyword::*;
    matches!(
        word,
        Load | Dim
            | Option
            | Data
            | Const
            | Stat
            | Param
            | Net
            | Model
            | Guide
            | Objective
            | Adversary
            | Output
            | Train
            | Frozen
            | Plate
            | Weight
            | Draw
            | Point
            | Marginal
            | Prior
            | Auto
            | Score
            | Relaxed
            | Estimate
    )
}

/// `"{" name "=" expr { "," … } "}"`.
fn record(start: Tokens<'_>) -> Res<'_, Tall> {
    let (i, opening) = symbol(Symbol::OpenBrace)(start)?;
    let (i, entries) = list(binding)(i)?;
    let (i, _) = close(opening, Symbol::CloseBrace)(i)?;
    let height = tallest(entries.iter().map(|entry| entry.1));
    let entries = entries.into_iter().map(|entry| entry.0).collect();
    node(i, ExprKind::Record(entries), height, start.span_to(i))
}

/// `"match" name "{" { name "=>" expr [ "," ] } "}"`.
fn choice(start: Tokens<'_>) -> Res<'_, Tall> {
    let (i, subject) = name("an option")(start.next())?;
    let (mut i, opening) = symbol(Symbol::OpenBrace)(i)?;
    let (mut arms, mut height) = (Vec::new(), 0);
    while !i.is(Symbol::CloseBrace) {
        let (rest, (arm, arm_height)) = arm(i, opening)?;
        arms.push(arm);
        height = height.max(arm_height);
        (i, _) = opt(symbol(Symbol::Comma)).parse(rest)?;
    }
    let (i, _) = close(opening, Symbol::CloseBrace)(i)?;
    node(i, ExprKind::Match { subject, arms }, height, start.span_to(i))
}

fn arm(start: Tokens<'_>, opening: Token) -> Res<'_, (Arm, usize)> {
    start.env.expect(start.at, Symbol::CloseBrace.quoted());
    let (i, label) = inside(opening, name(role::LABEL)(start))?;
    let (i, _) = symbol(Symbol::Arrow)(i)?;
    let (i, value) = any(i)?;
    Ok((i, (Arm { label, value: value.expr, span: start.span_to(i) }, value.height)))
}

/// Whether the right side of `=` is a distribution beyond doubt: a call of a known family.
pub(super) fn is_family_call(value: &Expr) -> bool {
    let ExprKind::Call(call) = &value.kind else { return false };
    matches!(&call.callee.kind, ExprKind::Name(name) if distributions::find(&name.text).is_some() || name.text == "Mixture")
}

/// Whether the right side of `~` cannot be a distribution, whatever the names mean.
pub(super) fn is_plain_value(value: &Expr) -> bool {
    matches!(
        value.kind,
        ExprKind::Number(_)
            | ExprKind::Text(_)
            | ExprKind::Bool(_)
            | ExprKind::Unary { .. }
            | ExprKind::Binary { .. }
            | ExprKind::Record(_)
    )
}
