//! Statements of the model, guide and objective blocks.

use super::expr::{expr, is_family_call, is_plain_value, parenthesised_args, postfix, value};
use super::input::{Res, Tokens, close, flag, list, name, reserved, role, symbol, word};
use super::recover::{BlockKind, block, no_part};
use super::ty::axes;
use crate::diagnostic::{Code, Diagnostic};
use crate::syntax::ast::{
    Cond, Define, Draw, Expr, ExprKind, GuideStmt, GuideStmtKind, ModelStmt, ModelStmtKind, Name,
    ObjectiveStmt, ObjectiveStmtKind, Observe, Plate, Site, Strategy, Term, TermSort, Treat, Treatment, When,
};
use crate::syntax::token::{Keyword, Symbol, Token, TokenKind};
use nom::Parser;
use nom::combinator::{cut, opt};
use nom::sequence::preceded;

const MODEL: BlockKind = BlockKind {
    role: role::STATEMENT,
    starters: &[Keyword::Plate, Keyword::Override, Keyword::Observe, Keyword::Draw, Keyword::When],
    holds_items: false,
};

const GUIDE: BlockKind = BlockKind {
    role: role::STATEMENT,
    starters: &[Keyword::Plate, Keyword::Override, Keyword::Draw, Keyword::When],
    holds_items: false,
};

const OBJECTIVE: BlockKind = BlockKind {
    role: role::STATEMENT,
    starters: &[
        Keyword::Override,
        Keyword::Weight,
        Keyword::Estimate,
        Keyword::Ignore,
        Keyword::Minimize,
        Keyword::Maximize,
        Keyword::Draw,
        Keyword::When,
    ],
    holds_items: false,
};

/// `"{" { model_stmt } "}"`.
pub(super) fn model(i: Tokens<'_>) -> Res<'_, Vec<ModelStmt>> {
    block(i, &MODEL, model_stmt, |span| Some(ModelStmt { kind: ModelStmtKind::Error, span }))
}

/// `"{" { guide_stmt } "}"`.
pub(super) fn guide(i: Tokens<'_>) -> Res<'_, Vec<GuideStmt>> {
    block(i, &GUIDE, guide_stmt, |span| Some(GuideStmt { kind: GuideStmtKind::Error, span }))
}

/// `"{" { objective_stmt } "}"`.
pub(super) fn objective(i: Tokens<'_>) -> Res<'_, Vec<ObjectiveStmt>> {
    block(i, &OBJECTIVE, objective_stmt, |span| Some(ObjectiveStmt { kind: ObjectiveStmtKind::Error, span }))
}

fn model_stmt(start: Tokens<'_>) -> Res<'_, ModelStmt> {
    let (i, kind) = match start.peek().kind {
        TokenKind::Word(Keyword::Plate) => {
            let (i, axis) = name(role::AXIS)(start.next())?;
            let (i, weight) = opt(preceded(word(Keyword::Weight), cut(expr(role::EXPRESSION)))).parse(i)?;
            let (i, body) = model(i)?;
            (i, ModelStmtKind::Plate(Plate { axis, weight, body }))
        }
        TokenKind::Word(Keyword::Draw) => {
            let (i, draw) = draw(start)?;
            (i, ModelStmtKind::Draw(draw))
        }
        TokenKind::Word(Keyword::When) => {
            let (i, condition) = expr("a condition")(start.next())?;
            let (i, body) = model(i)?;
            (i, ModelStmtKind::When(When { condition, body }))
        }
        _ => {
            let (i, is_override) = flag(start, Keyword::Override);
            if i.is_word(Keyword::Observe) { observe(i, is_override)? } else { site(start, i, is_override)? }
        }
    };
    Ok((i, ModelStmt { kind, span: start.span_to(i) }))
}

/// `"observe" postfix "~" expr [ cond ]`.
fn observe(i: Tokens<'_>, is_override: bool) -> Res<'_, ModelStmtKind> {
    let (i, target) = postfix(role::FIELD)(i.next())?;
    let (i, tilde) = symbol(Symbol::Tilde)(i)?;
    let (i, dist) = value(role::DISTRIBUTION)(i)?;
    if is_plain_value(&dist) {
        i.env.report(
            Diagnostic::new(Code::E0104, "`~` needs a distribution on its right")
                .at(dist.span, "this is a value")
                .also(tilde.span, "draws from a distribution")
                .help("name the family: `observe x ~ Normal(mean = …, scale = …)`"),
        );
    }
    let (i, cond) = cond(i)?;
    Ok((i, ModelStmtKind::Observe(Observe { is_override, target, dist, cond })))
}

/// A latent site, or a definition.
fn site<'t>(start: Tokens<'t>, i: Tokens<'t>, is_override: bool) -> Res<'t, ModelStmtKind> {
    let (i, head) = head(i, &MODEL)?;
    let (i, value) = value(if head.draws { role::DISTRIBUTION } else { role::EXPRESSION })(i)?;
    let draws = checked_operator(i, &head, &value);
    let Head { name, axes, .. } = head;
    if draws {
        let (i, cond) = cond(i)?;
        return Ok((i, ModelStmtKind::Site(Site { is_override, name, axes, dist: value, cond })));
    }
    Ok((i, ModelStmtKind::Define(Define { is_override, name, axes, value, span: start.span_to(i) })))
}

fn guide_stmt(start: Tokens<'_>) -> Res<'_, GuideStmt> {
    let (i, kind) = match start.peek().kind {
        TokenKind::Word(Keyword::Plate) => {
            let (i, axis) = name(role::AXIS)(start.next())?;
            let (i, body) = guide(i)?;
            (i, GuideStmtKind::Plate(Plate { axis, weight: None, body }))
        }
        TokenKind::Word(Keyword::Draw) => {
            let (i, draw) = draw(start)?;
            (i, GuideStmtKind::Draw(draw))
        }
        TokenKind::Word(Keyword::When) => {
            let (i, condition) = expr("a condition")(start.next())?;
            let (i, body) = guide(i)?;
            (i, GuideStmtKind::When(When { condition, body }))
        }
        _ => {
            let (i, is_override) = flag(start, Keyword::Override);
            treat(start, i, is_override)?
        }
    };
    Ok((i, GuideStmt { kind, span: start.span_to(i) }))
}

/// The treatment of a latent, or a definition.
fn treat<'t>(start: Tokens<'t>, i: Tokens<'t>, is_override: bool) -> Res<'t, GuideStmtKind> {
    let (i, head) = head(i, &GUIDE)?;
    if head.draws && !head.axes.is_empty() {
        let span = head.axes.iter().fold(head.axes[0].span, |span, axis| span.to(axis.span));
        i.env.report(
            Diagnostic::new(Code::E0101, "axes in the guide")
                .at(span, "the model has declared them")
                .help(format!("write `{} ~ …`", head.name.text)),
        );
    }
    if let Some(strategy) = strategy(i).filter(|_| head.draws) {
        let (rest, args) = if i.next().is(Symbol::OpenParen) {
            parenthesised_args(i.next())?
        } else {
            i.env.expect(i.at + 1, Symbol::OpenParen.quoted());
            (i.next(), Vec::new())
        };
        let how = Treatment::Strategy { strategy, args, span: i.span_to(rest) };
        let (i, cond) = cond(rest)?;
        return Ok((i, GuideStmtKind::Treat(Treat { is_override, name: head.name, how, cond })));
    }
    let (i, value) = value(if head.draws { role::TREATMENT } else { role::EXPRESSION })(i)?;
    let draws = checked_operator(i, &head, &value);
    let Head { name, axes, .. } = head;
    if draws {
        let (i, cond) = cond(i)?;
        return Ok((i, GuideStmtKind::Treat(Treat { is_override, name, how: Treatment::Dist(value), cond })));
    }
    Ok((i, GuideStmtKind::Define(Define { is_override, name, axes, value, span: start.span_to(i) })))
}

fn strategy(i: Tokens<'_>) -> Option<Strategy> {
    let TokenKind::Word(word) = i.peek().kind else { return None };
    Strategy::ALL.into_iter().find(|strategy| strategy.word() == word.text())
}

fn objective_stmt(start: Tokens<'_>) -> Res<'_, ObjectiveStmt> {
    let TokenKind::Word(first) = start.peek().kind else {
        return objective_define(start, start, false);
    };
    let value = |i| value(role::EXPRESSION)(i);
    let (i, kind) = match first {
        Keyword::Override if start.ahead(1).kind == TokenKind::Word(Keyword::Weight) => {
            weight(start.next(), true)?
        }
        Keyword::Override => return objective_define(start, start.next(), true),
        Keyword::Weight => weight(start, false)?,
        Keyword::Estimate => {
            let (i, term) = term(start.next())?;
            let (i, by) = preceded(word(Keyword::By), expr("an estimator")).parse(i)?;
            (i, ObjectiveStmtKind::Estimate { term, by })
        }
        Keyword::Ignore => name(role::SITE).map(ObjectiveStmtKind::Ignore).parse(start.next())?,
        Keyword::Minimize => value.map(ObjectiveStmtKind::Minimize).parse(start.next())?,
        Keyword::Maximize => value.map(ObjectiveStmtKind::Maximize).parse(start.next())?,
        Keyword::Draw => draw.map(ObjectiveStmtKind::Draw).parse(start)?,
        Keyword::When => {
            let (i, condition) = expr("a condition")(start.next())?;
            let (i, body) = objective(i)?;
            (i, ObjectiveStmtKind::When(When { condition, body }))
        }
        _ => return objective_define(start, start, false),
    };
    Ok((i, ObjectiveStmt { kind, span: start.span_to(i) }))
}

fn objective_define<'t>(start: Tokens<'t>, i: Tokens<'t>, is_override: bool) -> Res<'t, ObjectiveStmt> {
    let (i, define) = definition(start, i, is_override, &OBJECTIVE)?;
    Ok((i, ObjectiveStmt { span: define.span, kind: ObjectiveStmtKind::Define(define) }))
}

/// `"weight" term { "," term } "by" expr`.
fn weight(start: Tokens<'_>, is_override: bool) -> Res<'_, ObjectiveStmtKind> {
    let (i, terms) = list(term)(start.next())?;
    let (i, by) = preceded(word(Keyword::By), expr("a weight")).parse(i)?;
    Ok((i, ObjectiveStmtKind::Weight { is_override, terms, by }))
}

/// `( "kl" | "lik" | "prior" ) "(" name ")"`.
fn term(start: Tokens<'_>) -> Res<'_, Term> {
    let sort = match start.source(start.peek()) {
        "kl" => TermSort::Kl,
        "lik" => TermSort::Lik,
        "prior" => TermSort::Prior,
        _ => return start.fail(role::TERM),
    };
    let (i, opening) = symbol(Symbol::OpenParen)(start.next())?;
    let (i, site) = name(role::SITE)(i)?;
    let (i, _) = close(opening, Symbol::CloseParen)(i)?;
    Ok((i, Term { sort, site, span: start.span_to(i) }))
}

/// `"draw" name [ axes ] "~" expr`.
fn draw(start: Tokens<'_>) -> Res<'_, Draw> {
    let (i, drawn) = name(role::NAME)(start.next())?;
    let (i, axes) = axes(i)?;
    let (i, dist) = preceded(symbol(Symbol::Tilde), value(role::DISTRIBUTION)).parse(i)?;
    Ok((i, Draw { name: drawn, axes, dist }))
}

/// `"where" expr [ "else" expr ]`.
fn cond(start: Tokens<'_>) -> Res<'_, Option<Cond>> {
    let (i, found) = opt(word(Keyword::Where)).parse(start)?;
    if found.is_none() {
        return Ok((i, None));
    }
    let (i, condition) = expr("a condition")(i)?;
    let (i, otherwise) = opt(preceded(word(Keyword::Else), cut(expr(role::EXPRESSION)))).parse(i)?;
    Ok((i, Some(Cond { condition, otherwise, span: start.span_to(i) })))
}

/// A definition in a block that draws nothing.
pub(super) fn definition<'t>(
    start: Tokens<'t>,
    i: Tokens<'t>,
    is_override: bool,
    kind: &BlockKind,
) -> Res<'t, Define> {
    let (i, head) = head(i, kind)?;
    if head.draws {
        return i.moved_to(i.at - 1).fail(Symbol::Eq.quoted());
    }
    let (i, value) = value(role::EXPRESSION)(i)?;
    let Head { name, axes, .. } = head;
    Ok((i, Define { is_override, name, axes, value, span: start.span_to(i) }))
}

/// What stands before the value of a site or definition.
struct Head {
    name: Name,
    axes: Vec<Name>,
    /// `~` rather than `=`.
    draws: bool,
    /// The operator, if it is spelled `=` or `~`.
    operator: Option<Token>,
}

/// `name [ axes ] ( "=" | "~" )`, in the spelling of this or another language.
fn head<'t>(start: Tokens<'t>, kind: &BlockKind) -> Res<'t, Head> {
    let (i, name) = statement_name(start, kind)?;
    let (i, axes) = axes(i)?;
    let operator = i.peek();
    if operator.kind == TokenKind::Symbol(Symbol::PlusEq) {
        return increment(i, &name);
    }
    let head = |draws, operator| Head { name, axes, draws, operator };
    match operator.kind {
        TokenKind::Symbol(Symbol::Tilde) => Ok((i.next(), head(true, Some(operator)))),
        TokenKind::Symbol(Symbol::Eq) => {
            let own = i.source(operator) == "=";
            Ok((i.next(), head(false, own.then_some(operator))))
        }
        TokenKind::Symbol(Symbol::Less) if touches(operator, i.ahead(1)) => {
            let span = operator.span.to(i.ahead(1).span);
            i.env.report(
                Diagnostic::new(Code::E0105, "`<-` is written `=` here")
                    .at(span, "")
                    .help("`=` defines a value, `~` draws it from a distribution")
                    .suggest(span, "="),
            );
            Ok((i.next().next(), head(false, None)))
        }
        _ => {
            i.env.expect(i.at, Symbol::Eq.quoted());
            i.fail(Symbol::Tilde.quoted())
        }
    }
}

/// `<` directly followed by `-`.
fn touches(less: Token, minus: Token) -> bool {
    minus.kind == TokenKind::Symbol(Symbol::Minus) && less.span.end == minus.span.start
}

/// `target += …` and its like.
fn increment<'t, T>(i: Tokens<'t>, name: &Name) -> Res<'t, T> {
    let (headline, help) = if name.text == "target" {
        (
            "`target +=` is written otherwise here",
            "state the likelihood, `observe x ~ Normal(…)`, or add a term: `objective { maximize … }`",
        )
    } else {
        ("values are defined once", "write the whole sum in one definition")
    };
    let span = name.span.to(i.peek().span);
    i.fail_with(Diagnostic::new(Code::E0105, headline).at(span, "").help(help))
}

/// The name that begins a site or definition.
fn statement_name<'t>(i: Tokens<'t>, kind: &BlockKind) -> Res<'t, Name> {
    let defines = matches!(i.ahead(1).kind, TokenKind::Symbol(Symbol::Eq | Symbol::Tilde));
    match i.peek().kind {
        TokenKind::Name if !defines => match foreign_statement(i) {
            Some(diagnostic) => i.fail_with(diagnostic),
            None => Ok((i.next(), i.as_name())),
        },
        TokenKind::Name => Ok((i.next(), i.as_name())),
        TokenKind::Word(_) if defines => {
            reserved(i);
            Ok((i.next(), i.as_name()))
        }
        TokenKind::Word(Keyword::With) => match foreign_statement(i) {
            Some(diagnostic) => i.fail_with(diagnostic),
            None => no_part(i, kind),
        },
        _ => no_part(i, kind),
    }
}

/// Statements of Python, R and Stan, told by their first word and by what does not follow it.
pub(super) fn foreign_statement(i: Tokens<'_>) -> Option<Diagnostic> {
    let first = i.source(i.peek());
    let follows = i.ahead(1).kind;
    let opens =
        matches!(follows, TokenKind::Name | TokenKind::Symbol(Symbol::OpenParen) | TokenKind::Word(_));
    let help = match first {
        "for" | "while" if opens => {
            "there are no loops: a name inside `plate cell { … }` means one element, and `sum(e over gene)` sums"
        }
        "with" if opens => "write `plate cell { … }`",
        "if" if opens => {
            "static choices are `when c { … }` and `match option { … }`; choices by value are `select(c, a, b)`"
        }
        "def" | "lambda" | "function" if opens => {
            "functions are `fn f(x) = …` and, with layers, `net f(x) { … return … }`, at the top level"
        }
        "import" | "from" if opens => "programs are extended by `extends name` at the top level",
        "class" if opens => "a file is one model: `data { … }`, `model { … }`, `guide { … }`",
        "return" if opens => "only a `net` returns; a value is defined, `name = …`",
        "real" | "vector" | "matrix" | "int" | "simplex"
            if opens || follows == TokenKind::Symbol(Symbol::Less) =>
        {
            "types stand after the name, at the top level: `param theta[gene] : positive`"
        }
        _ => return None,
    };
    Some(
        Diagnostic::new(Code::E0105, format!("`{first}` does not exist here"))
            .at(i.peek().span, "")
            .help(help),
    )
}

/// Whether the statement draws, as its right side shows; reports where its operator says otherwise.
fn checked_operator(i: Tokens<'_>, head: &Head, value: &Expr) -> bool {
    let draws = match &value.kind {
        ExprKind::Error => head.draws,
        _ if is_family_call(value) => true,
        _ if is_plain_value(value) => false,
        _ => head.draws,
    };
    let Some(operator) = head.operator.filter(|_| draws != head.draws) else { return draws };
    let (headline, label, right) = if draws {
        ("`=` defines, but a distribution is drawn from with `~`", "this is a distribution", "~")
    } else {
        ("`~` draws from a distribution, but a value is defined with `=`", "this is a value", "=")
    };
    i.env.report(
        Diagnostic::new(Code::E0104, headline)
            .at(operator.span, format!("`{right}` is meant"))
            .also(value.span, label)
            .help(format!("write `{} {right} …`", head.name.text))
            .suggest(operator.span, right),
    );
    draws
}
