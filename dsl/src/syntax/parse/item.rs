//! Top-level items.

use super::expr::{expr, value};
use super::input::{Res, Tokens, close, flag, list, name, role, symbol, word};
use super::recover::{BlockKind, block, no_part};
use super::stmt::{self, definition, foreign_statement};
use super::ty::{axes, formals, path, ty};
use crate::source::Span;
use crate::syntax::ast::{
    Adversary, Const, Define, Dim, DimKind, Expr, ExprKind, Field, Function, Item, ItemKind, Load, Missing,
    MissingKind, Name, Need, NeedSort, Net, OptionDecl, Output, Param, Setting, Stat, UnaryOp, When,
};
use crate::syntax::token::{Keyword, Symbol, TokenKind, unquote};
use nom::Parser;
use nom::combinator::{cut, opt};
use nom::multi::separated_list1;
use nom::sequence::preceded;

/// The reserved words that begin items.
pub(super) const STARTERS: &[Keyword] = &[
    Keyword::Extends,
    Keyword::Needs,
    Keyword::Load,
    Keyword::Dim,
    Keyword::Option,
    Keyword::Data,
    Keyword::Const,
    Keyword::Stat,
    Keyword::Override,
    Keyword::Frozen,
    Keyword::Param,
    Keyword::Net,
    Keyword::Fn,
    Keyword::Model,
    Keyword::Guide,
    Keyword::Objective,
    Keyword::Adversary,
    Keyword::Output,
    Keyword::Train,
    Keyword::When,
];

/// The file itself, and `when` around items.
pub(super) const BLOCK: BlockKind = BlockKind { role: role::ITEM, starters: STARTERS, holds_items: true };

const DATA: BlockKind = BlockKind { role: role::FIELD, starters: &[], holds_items: false };
const OUTPUT: BlockKind = BlockKind { role: role::OUTPUT, starters: &[], holds_items: false };
const TRAIN: BlockKind = BlockKind { role: role::SETTING, starters: &[], holds_items: false };
const NET: BlockKind = BlockKind {
    role: "a definition or `return`",
    starters: &[Keyword::Override, Keyword::Return],
    holds_items: false,
};

/// One item.
pub(super) fn item(start: Tokens<'_>) -> Res<'_, Item> {
    let foreign = || foreign_statement(start).filter(|_| start.peek().line_start);
    let TokenKind::Word(first) = start.peek().kind else {
        return match foreign() {
            Some(diagnostic) => start.fail_with(diagnostic),
            None => no_part(start, &BLOCK),
        };
    };
    let i = start.next();
    let (i, kind) = match first {
        Keyword::Extends => list(path).map(ItemKind::Extends).parse(i)?,
        Keyword::Needs => list(need).map(ItemKind::Needs).parse(i)?,
        Keyword::Load => load.map(ItemKind::Load).parse(i)?,
        Keyword::Dim => list(dim).map(ItemKind::Dim).parse(i)?,
        Keyword::Option => list(option).map(ItemKind::Option).parse(i)?,
        Keyword::Data => (|i| block(i, &DATA, field, |_| None)).map(ItemKind::Data).parse(i)?,
        Keyword::Const => constant.map(ItemKind::Const).parse(i)?,
        Keyword::Stat => stat.map(ItemKind::Stat).parse(i)?,
        Keyword::Override | Keyword::Frozen | Keyword::Param | Keyword::Net => replaceable(start)?,
        Keyword::Fn => function.map(ItemKind::Fn).parse(i)?,
        Keyword::Model => stmt::model.map(ItemKind::Model).parse(i)?,
        Keyword::Guide => stmt::guide.map(ItemKind::Guide).parse(i)?,
        Keyword::Objective => stmt::objective.map(ItemKind::Objective).parse(i)?,
        Keyword::Adversary => adversary.map(ItemKind::Adversary).parse(i)?,
        Keyword::Output => (|i| block(i, &OUTPUT, output, |_| None)).map(ItemKind::Output).parse(i)?,
        Keyword::Train => (|i| block(i, &TRAIN, setting, |_| None)).map(ItemKind::Train).parse(i)?,
        Keyword::When => {
            let (i, condition) = expr("a condition")(i)?;
            let (i, body) = block(i, &BLOCK, item, |span| Some(Item { kind: ItemKind::Error, span }))?;
            (i, ItemKind::When(When { condition, body }))
        }
        _ => {
            return match foreign() {
                Some(diagnostic) => start.fail_with(diagnostic),
                None => no_part(start, &BLOCK),
            };
        }
    };
    Ok((i, Item { kind, span: start.span_to(i) }))
}

/// `( "site" | "field" | "network" | "axis" ) name [ axes ]`.
fn need(start: Tokens<'_>) -> Res<'_, Need> {
    let sort = match start.source(start.peek()) {
        "site" => NeedSort::Site,
        "field" => NeedSort::Field,
        "network" => NeedSort::Network,
        "axis" => NeedSort::Axis,
        _ => return start.fail(role::NEED),
    };
    let (i, needed) = name(role::NAME)(start.next())?;
    let (i, axes) = axes(i)?;
    Ok((i, Need { sort, name: needed, axes, span: start.span_to(i) }))
}

/// `name ":" path`.
fn load(i: Tokens<'_>) -> Res<'_, Load> {
    let (i, loaded) = name(role::NAME)(i)?;
    let (i, model) = preceded(symbol(Symbol::Colon), path).parse(i)?;
    Ok((i, Load { name: loaded, model }))
}

/// `name [ "=" ( expr | "{" labels "}" ) ] | name "within" name`.
fn dim(start: Tokens<'_>) -> Res<'_, Dim> {
    let (i, axis) = name(role::AXIS)(start)?;
    let (i, kind) = if i.is(Symbol::Eq) && i.ahead(1).kind == TokenKind::Symbol(Symbol::OpenBrace) {
        labels(i.next())?
    } else if i.is(Symbol::Eq) {
        expr("a size").map(DimKind::Size).parse(i.next())?
    } else {
        i.env.expect(i.at, Symbol::Eq.quoted());
        let within = preceded(word(Keyword::Within), cut(name(role::AXIS)));
        opt(within).map(|outer| outer.map_or(DimKind::Data, DimKind::Within)).parse(i)?
    };
    Ok((i, Dim { name: axis, kind, span: start.span_to(i) }))
}

fn labels(i: Tokens<'_>) -> Res<'_, DimKind> {
    let (i, opening) = symbol(Symbol::OpenBrace)(i)?;
    let (i, labels) = list(name(role::LABEL))(i)?;
    let (i, _) = close(opening, Symbol::CloseBrace)(i)?;
    Ok((i, DimKind::Labels(labels)))
}

/// `name [ ":" name { "|" name } ] "=" expr`.
fn option(start: Tokens<'_>) -> Res<'_, OptionDecl> {
    let (i, declared) = name("the name of an option")(start)?;
    let choices = separated_list1(symbol(Symbol::Bar), cut(name("a choice")));
    let (i, choices) = opt(preceded(symbol(Symbol::Colon), cut(choices))).parse(i)?;
    let (i, default) = preceded(symbol(Symbol::Eq), expr("a default")).parse(i)?;
    let choices = choices.unwrap_or_default();
    Ok((i, OptionDecl { name: declared, choices, default, span: start.span_to(i) }))
}

/// `name ":" type "from" path [ missing ] [ "optional" ] | name ":" type "optional"`.
fn field(start: Tokens<'_>) -> Res<'_, Field> {
    if !start.is_name() && start.ahead(1).kind != TokenKind::Symbol(Symbol::Colon) {
        return no_part(start, &DATA);
    }
    let (i, declared) = field_name(start)?;
    let (i, ty) = preceded(symbol(Symbol::Colon), ty).parse(i)?;
    let (i, from) = opt(preceded(word(Keyword::From), cut(path))).parse(i)?;
    let (i, missing) = match &from {
        Some(_) => opt(missing).parse(i)?,
        None => (i, None),
    };
    let (i, optional) = flag(i, Keyword::Optional);
    if from.is_none() && !optional {
        return i.fail(Keyword::From.quoted());
    }
    Ok((i, Field { name: declared, ty, from, missing, optional, span: start.span_to(i) }))
}

/// A name before a colon; a reserved word there cannot be anything else, wherever it stands.
fn field_name(i: Tokens<'_>) -> Res<'_, Name> {
    if i.is_name() || !matches!(i.peek().kind, TokenKind::Word(_)) {
        return name(role::FIELD)(i);
    }
    super::input::reserved(i);
    Ok((i.next(), i.as_name()))
}

/// `"missing" ( literal | name [ "by" name ] )`.
fn missing(start: Tokens<'_>) -> Res<'_, Missing> {
    let (i, _) = word(Keyword::Missing)(start)?;
    let (i, kind) = if i.is_name() {
        let named = i.as_name();
        let (i, by) = opt(preceded(word(Keyword::By), cut(name(role::FIELD)))).parse(i.next())?;
        (i, MissingKind::Named { name: named, by })
    } else {
        cut(literal).map(MissingKind::Literal).parse(i)?
    };
    Ok((i, Missing { kind, span: start.span_to(i) }))
}

/// A number, perhaps negative, a string or a boolean.
fn literal(start: Tokens<'_>) -> Res<'_, Expr> {
    let token = start.peek();
    let source = start.source(token);
    let kind = match token.kind {
        TokenKind::Number => ExprKind::Number(source.to_string()),
        TokenKind::Text => ExprKind::Text(unquote(source)),
        TokenKind::Word(Keyword::True) => ExprKind::Bool(true),
        TokenKind::Word(Keyword::False) => ExprKind::Bool(false),
        TokenKind::Symbol(Symbol::Minus) if start.ahead(1).kind == TokenKind::Number => {
            let (i, operand) = literal(start.next())?;
            let kind = ExprKind::Unary { op: UnaryOp::Neg, operand: Box::new(operand) };
            return Ok((i, Expr { kind, span: start.span_to(i) }));
        }
        _ => return start.fail(role::LITERAL),
    };
    Ok((start.next(), Expr { kind, span: token.span }))
}

/// `name [ axes ] ":" type "from" path`.
fn constant(i: Tokens<'_>) -> Res<'_, Const> {
    let (i, declared) = name(role::NAME)(i)?;
    let (i, axes) = axes(i)?;
    let (i, ty) = preceded(symbol(Symbol::Colon), ty).parse(i)?;
    let (i, from) = preceded(word(Keyword::From), path).parse(i)?;
    Ok((i, Const { name: declared, axes, ty, from }))
}

/// `name [ axes ] "=" expr`.
fn stat(i: Tokens<'_>) -> Res<'_, Stat> {
    let (i, declared) = name(role::NAME)(i)?;
    let (i, axes) = axes(i)?;
    let (i, value) = preceded(symbol(Symbol::Eq), expr(role::EXPRESSION)).parse(i)?;
    Ok((i, Stat { name: declared, axes, value }))
}

/// `[ "override" ] ( [ "frozen" ] param | net )`.
fn replaceable(start: Tokens<'_>) -> Res<'_, ItemKind> {
    let (i, is_override) = flag(start, Keyword::Override);
    if i.is_word(Keyword::Net) {
        return net(i.next(), is_override);
    }
    if is_override {
        i.env.expect(i.at, Keyword::Net.quoted());
    }
    let (i, frozen) = flag(i, Keyword::Frozen);
    let (i, _) = word(Keyword::Param)(i)?;
    let (i, declared) = name(role::NAME)(i)?;
    let (i, axes) = axes(i)?;
    let (i, ty) = opt(preceded(symbol(Symbol::Colon), cut(ty))).parse(i)?;
    let (i, init) = opt(preceded(word(Keyword::Init), cut(expr("an initial value")))).parse(i)?;
    Ok((i, ItemKind::Param(Param { is_override, frozen, name: declared, axes, ty, init })))
}

/// What a net's block holds, before its `return` is told from its definitions.
enum NetPart {
    Define(Define),
    Return(Expr, Span),
}

/// `name "(" [ formals ] ")" [ "from" path ] "{" { define } "return" expr "}"`.
fn net(i: Tokens<'_>, is_override: bool) -> Res<'_, ItemKind> {
    let (i, declared) = name(role::NAME)(i)?;
    let (i, formals) = formals(i)?;
    let (opening, from) = if i.is_word(Keyword::From) { path.map(Some).parse(i.next())? } else { (i, None) };
    // A part that failed has been reported; a missing `return` is then not worth a second message.
    let failed = std::cell::Cell::new(false);
    let (i, parts) = block(opening, &NET, net_part, |_| {
        failed.set(true);
        None
    })?;
    let mut body = Vec::new();
    let mut returns = None;
    for part in parts {
        match part {
            NetPart::Define(define) if returns.is_none() => body.push(define),
            NetPart::Return(value, _) if returns.is_none() => returns = Some(value),
            NetPart::Define(Define { span, .. }) | NetPart::Return(_, span) => {
                i.env.report(after_return(span));
            }
        }
    }
    let returns = returns.unwrap_or_else(|| {
        if !failed.get() {
            i.env.report(no_return(&declared, opening.peek().span));
        }
        Expr { kind: ExprKind::Error, span: declared.span }
    });
    Ok((i, ItemKind::Net(Net { is_override, name: declared, formals, from, body, returns })))
}

fn after_return(span: Span) -> crate::diagnostic::Diagnostic {
    crate::diagnostic::Diagnostic::new(crate::diagnostic::Code::E0101, "`return` ends the net")
        .at(span, "this stands after it")
        .help("put definitions before the one `return`")
}

fn no_return(net: &Name, opening: Span) -> crate::diagnostic::Diagnostic {
    let headline = format!("net `{}` returns nothing", net.text);
    crate::diagnostic::Diagnostic::new(crate::diagnostic::Code::E0101, headline)
        .at(opening, "expected `return` in this block")
        .help("end the block with `return` and the net's output")
}

fn net_part(start: Tokens<'_>) -> Res<'_, NetPart> {
    if start.is_word(Keyword::Return) {
        let (i, value) = expr(role::EXPRESSION)(start.next())?;
        return Ok((i, NetPart::Return(value, start.span_to(i))));
    }
    let (i, is_override) = flag(start, Keyword::Override);
    definition(start, i, is_override, &NET).map(|(i, define)| (i, NetPart::Define(define)))
}

/// `name "(" [ formals ] ")" "=" expr`.
fn function(i: Tokens<'_>) -> Res<'_, Function> {
    let (i, declared) = name(role::NAME)(i)?;
    let (i, formals) = formals(i)?;
    let (i, value) = preceded(symbol(Symbol::Eq), expr(role::EXPRESSION)).parse(i)?;
    Ok((i, Function { name: declared, formals, value }))
}

/// `name "{" "predict" expr "from" expr "with" name [ "strength" expr ] "}"`.
fn adversary(i: Tokens<'_>) -> Res<'_, Adversary> {
    let (i, declared) = name(role::NAME)(i)?;
    let (i, opening) = symbol(Symbol::OpenBrace)(i)?;
    let (i, predict) = preceded(word(Keyword::Predict), expr(role::EXPRESSION)).parse(i)?;
    let (i, from) = preceded(word(Keyword::From), expr(role::EXPRESSION)).parse(i)?;
    let (i, net) = preceded(word(Keyword::With), name("the name of a net")).parse(i)?;
    let (i, strength) = opt(preceded(word(Keyword::Strength), cut(expr("a weight")))).parse(i)?;
    let (i, _) = close(opening, Symbol::CloseBrace)(i)?;
    Ok((i, Adversary { name: declared, predict, from, net, strength }))
}

/// `name [ axes ] "=" expr [ "to" path ]`.
fn output(start: Tokens<'_>) -> Res<'_, Output> {
    let (i, define) = definition(start, start, false, &OUTPUT)?;
    let (i, to) = opt(preceded(word(Keyword::To), cut(path))).parse(i)?;
    Ok((i, Output { name: define.name, axes: define.axes, value: define.value, to, span: start.span_to(i) }))
}

/// `name [ path ] "=" expr`.
fn setting(start: Tokens<'_>) -> Res<'_, Setting> {
    if !start.is_name() {
        return no_part(start, &TRAIN);
    }
    let (i, key) = name(role::SETTING)(start)?;
    let (i, target) = if i.is_name() { path.map(Some).parse(i)? } else { (i, None) };
    let (i, value) = preceded(symbol(Symbol::Eq), value(role::EXPRESSION)).parse(i)?;
    Ok((i, Setting { key, target, value, span: start.span_to(i) }))
}
