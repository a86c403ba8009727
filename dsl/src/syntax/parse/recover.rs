//! Blocks, their error nodes, and where parsing goes on after an error.

use super::input::{Problem, Res, Tokens, deeper, role, symbol};
use super::item;
use crate::diagnostic::{Code, Diagnostic, one_of};
use crate::source::Span;
use crate::syntax::ast::{Item, ItemKind};
use crate::syntax::token::{Keyword, Symbol, Token, TokenKind};

/// What sets one sort of block apart.
#[derive(Clone, Copy)]
pub(super) struct BlockKind {
    /// How messages call what stands in it.
    pub role: &'static str,
    /// Reserved words that begin its statements, `override` included.
    pub starters: &'static [Keyword],
    /// Items may stand in it.
    pub holds_items: bool,
}

/// The items of a file.
pub(super) fn file(mut i: Tokens<'_>) -> Vec<Item> {
    let mut items = Vec::new();
    while !i.is_end() {
        match item::item(i) {
            Ok((rest, item)) => {
                items.push(item);
                i = rest;
            }
            Err(error) => {
                let rest = resume(i, report(i, error), &item::BLOCK, true);
                items.push(Item { kind: ItemKind::Error, span: i.span_to(rest) });
                i = rest;
            }
        }
    }
    items
}

/// `"{" { part } "}"`. Errors in parts are reported and leave what `broken` makes of their span, if anything.
pub(super) fn block<'t, T>(
    start: Tokens<'t>,
    kind: &BlockKind,
    part: impl Fn(Tokens<'t>) -> Res<'t, T>,
    broken: impl Fn(Span) -> Option<T>,
) -> Res<'t, Vec<T>> {
    let (i, opening) = symbol(Symbol::OpenBrace)(start)?;
    deeper(i, |mut i| {
        let blocks = &i.env.blocks;
        blocks.set(blocks.get() + 1);
        let mut parts = Vec::new();
        loop {
            if i.is(Symbol::CloseBrace) {
                i = i.next();
                break;
            }
            if i.is_end() || (begins_item(i, kind) && !closed_later(i)) {
                unclosed(i, opening);
                break;
            }
            let error = match part(i) {
                Ok((rest, part)) => {
                    parts.push(part);
                    i = rest;
                    continue;
                }
                Err(error) => error,
            };
            let rest = resume(i, report(i, error), kind, false);
            parts.extend(broken(i.span_to(rest)));
            i = rest;
        }
        blocks.set(blocks.get() - 1);
        Ok((i, parts))
    })
}

/// A line that begins with the keyword of an item, where items do not belong.
fn begins_item(i: Tokens<'_>, kind: &BlockKind) -> bool {
    let TokenKind::Word(word) = i.peek().kind else { return false };
    let names_value =
        matches!(i.ahead(1).kind, TokenKind::Symbol(Symbol::Eq | Symbol::Tilde | Symbol::OpenBracket));
    let starts = !kind.holds_items && item::STARTERS.contains(&word) && !kind.starters.contains(&word);
    i.peek().line_start && starts && !names_value
}

/// Whether the braces that follow close every block that is open here.
fn closed_later(i: Tokens<'_>) -> bool {
    i.env.closings[i.at] as usize >= i.env.blocks.get()
}

/// Reports the innermost block that is open at the end of the text or at the next item; blocks around it are then
/// open there too, for the same reason.
fn unclosed(i: Tokens<'_>, opening: Token) {
    if i.env.unclosed_at.replace(Some(i.at)) == Some(i.at) {
        return;
    }
    let found = if i.is_end() { "the file ends here" } else { "the next item begins here" };
    i.env.report(unclosed_at(opening.span).also(i.peek().span, found));
}

fn unclosed_at(opening: Span) -> Diagnostic {
    Diagnostic::new(Code::E0102, "this block is never closed")
        .at(opening, "opened here")
        .help("add the missing `}`")
}

/// Reports why the part that starts at `start` failed; the index of the token that did not fit.
fn report(start: Tokens<'_>, error: nom::Err<Problem>) -> usize {
    let problem = match error {
        nom::Err::Error(problem) | nom::Err::Failure(problem) => problem,
        // The input is complete, and no parser here asks for more.
        nom::Err::Incomplete(_) => Problem::at(start),
    };
    let at = start.moved_to(problem.at);
    let env = start.env;
    match problem.own {
        Some(own) => env.report(*own),
        // The lexer has reported it.
        None if at.peek().kind == TokenKind::Unknown => {}
        None if at.is_end() && env.unclosed_at.get() == Some(at.at) => {}
        None => {
            let opened_by = problem.opening.map(|span| &env.text[span.range()]);
            match (problem.opening, opened_by) {
                (Some(opening), Some("{")) if at.is_end() => {
                    env.unclosed_at.set(Some(at.at));
                    env.report(unclosed_at(opening).also(at.peek().span, "the file ends here"));
                }
                _ => env.report(unexpected(at, problem.opening)),
            }
        }
    }
    problem.at
}

fn unexpected(at: Tokens<'_>, opening: Option<Span>) -> Diagnostic {
    let token = at.peek();
    let headline = match token.kind {
        TokenKind::End => "unexpected end of the file".to_string(),
        _ => format!("unexpected `{}`", shortened(at.source(token))),
    };
    let mut expected = at.env.expected_at(at.at);
    expected.sort_by_key(|role| role.starts_with('`'));
    let label = if expected.is_empty() { String::new() } else { format!("expected {}", one_of(&expected)) };
    let roles: Vec<&str> = expected.iter().map(String::as_str).collect();
    if let Some(habit) = habit(at, &roles) {
        return habit;
    }
    let diagnostic = Diagnostic::new(Code::E0101, headline).at(token.span, label);
    let diagnostic = hint(at, &roles, diagnostic);
    match opening {
        Some(opening) => diagnostic.also(opening, "opened here"),
        None => diagnostic,
    }
}

/// Marks that other languages put where this token stands.
fn habit(at: Tokens<'_>, expected: &[&str]) -> Option<Diagnostic> {
    let token = at.peek();
    let (source, span) = (at.source(token), token.span);
    let report =
        |headline: &str, help: &str| Some(Diagnostic::new(Code::E0105, headline).at(span, "").help(help));
    let defines = expected.contains(&"`=`");
    match source {
        "?" => report("`?` does not choose here", "choices by value are `select(c, a, b)`"),
        "==" if defines => {
            Some(report("`==` compares, and a value is defined with `=`", "write `=`")?.suggest(span, "="))
        }
        ":" if defines => {
            Some(report("`:` gives types, and a value is set with `=`", "write `=`")?.suggest(span, "="))
        }
        "\"\"" if token.line_start => {
            report("comments start with `#`", "begin each line of the text with `#`")
        }
        _ => None,
    }
}

/// What may help with a token that does not fit.
fn hint(at: Tokens<'_>, expected: &[&str], diagnostic: Diagnostic) -> Diagnostic {
    let token = at.peek();
    let (source, span) = (at.source(token), token.span);
    let before = at.env.text[..span.start as usize].rsplit('\n').next().unwrap_or("");
    if token.kind == TokenKind::Text && expected.contains(&role::PATH) {
        let bare = crate::syntax::token::unquote(source);
        return diagnostic.help(format!("a path takes no quotes: `from {bare}`")).suggest(span, bare);
    }
    if token.kind == TokenKind::Text && expected.contains(&"a choice") {
        return diagnostic.help("choices are words without quotes: `option likelihood : nb | zinb = nb`");
    }
    if source == "(" && expected.contains(&"`=`") && expected.contains(&"`~`") {
        return diagnostic.help("a value has a name, `h = f(…)`; what a net gives follows `return`");
    }
    if source == "," && before.contains("return ") {
        return diagnostic.help("several values are returned as a record: `return { a = …, b = … }`");
    }
    if token.kind == TokenKind::Name {
        let words: Vec<&str> =
            expected.iter().filter_map(|e| e.strip_prefix('`')?.strip_suffix('`')).collect();
        return diagnostic.did_you_mean(source, words);
    }
    diagnostic
}

fn shortened(source: &str) -> String {
    const SHOWN: usize = 40;
    if source.chars().count() <= SHOWN {
        return source.to_string();
    }
    source.chars().take(SHOWN).chain(['…']).collect()
}

/// Where to go on after the part that starts at `start` failed at token `failed`: at the next line that can start a
/// part, at the brace that closes the block, or at the next item. Always beyond `start`.
fn resume<'t>(start: Tokens<'t>, failed: usize, kind: &BlockKind, top: bool) -> Tokens<'t> {
    let (mut braces, mut brackets) = (0usize, 0usize);
    let mut i = start;
    while !i.is_end() {
        let far_enough = i.at >= failed && i.at > start.at;
        if far_enough && i.peek().line_start && can_resume(i, kind, braces, brackets) {
            if braces > 0 {
                // A brace of the broken part stays open; that has been said with the part.
                i.env.unclosed_at.set(Some(i.at));
            }
            break;
        }
        match i.peek().kind {
            TokenKind::Symbol(Symbol::OpenBrace) => braces += 1,
            TokenKind::Symbol(Symbol::CloseBrace) if braces > 0 => braces -= 1,
            TokenKind::Symbol(Symbol::CloseBrace) if !top && i.at >= failed && i.at > start.at => break,
            TokenKind::Symbol(Symbol::OpenParen | Symbol::OpenBracket) => brackets += 1,
            TokenKind::Symbol(Symbol::CloseParen | Symbol::CloseBracket) => {
                brackets = brackets.saturating_sub(1)
            }
            _ => {}
        }
        i = i.next();
    }
    forget(start, i);
    i
}

fn can_resume(i: Tokens<'_>, kind: &BlockKind, braces: usize, brackets: usize) -> bool {
    match i.peek().kind {
        TokenKind::Word(word) => {
            let names_value = matches!(i.ahead(1).kind, TokenKind::Symbol(Symbol::Eq | Symbol::Tilde));
            let of_item = item::STARTERS.contains(&word) && !names_value && !kind.starters.contains(&word);
            // `with` begins a statement of Python, which has its own message.
            let of_block = braces == 0 && (kind.starters.contains(&word) || word == Keyword::With);
            of_item || of_block
        }
        TokenKind::Name => braces == 0 && !kind.holds_items && (brackets == 0 || begins_draw(i)),
        _ => false,
    }
}

/// `name ~` or `name[…] ~`, which cannot stand inside an expression. Looks a few tokens ahead.
pub(super) fn begins_draw(i: Tokens<'_>) -> bool {
    const LONGEST: usize = 16;
    let tilde = |n: usize| i.ahead(n).kind == TokenKind::Symbol(Symbol::Tilde);
    if i.ahead(1).kind != TokenKind::Symbol(Symbol::OpenBracket) {
        return tilde(1);
    }
    let closing = (2..LONGEST).find(|&n| i.ahead(n).kind == TokenKind::Symbol(Symbol::CloseBracket));
    closing.is_some_and(|n| tilde(n + 1))
}

/// Remembers the names that a broken part would have declared: all those of a list of declarations, otherwise the first
/// one and those before an operator of declaration. Rather too many than too few: they only silence other messages.
fn forget(start: Tokens<'_>, end: Tokens<'_>) {
    let lists = [Keyword::Dim, Keyword::Option, Keyword::Extends, Keyword::Needs, Keyword::Data];
    let all = lists.iter().any(|word| start.is_word(*word));
    let mut first = true;
    for at in start.at..end.at {
        let i = start.moved_to(at);
        if !i.is_name() {
            continue;
        }
        let follows = i.ahead(1).kind;
        let declares = matches!(follows, TokenKind::Symbol(Symbol::Eq | Symbol::Tilde)) || begins_draw(i);
        // `def decoder(…)`
        let second = at == start.at + 1 && start.is_name();
        if all || declares || first || second {
            i.env.broken.borrow_mut().push(i.as_name());
        }
        first = false;
    }
}

/// Fails at a token that begins no part of the block, with what would.
pub(super) fn no_part<'t, T>(i: Tokens<'t>, kind: &BlockKind) -> Res<'t, T> {
    if i.is(Symbol::CloseBrace) && kind.role == role::ITEM {
        return i.fail_with(
            Diagnostic::new(Code::E0101, "unexpected `}`").at(i.peek().span, "no block is open here"),
        );
    }
    if begins_item(i, kind) {
        let text = i.source(i.peek());
        return i.fail_with(
            Diagnostic::new(Code::E0101, format!("unexpected `{text}`"))
                .at(i.peek().span, format!("expected {}", kind.role))
                .help(format!("`{text}` stands at the top level, outside every block")),
        );
    }
    if i.peek().line_start {
        i.env.forget_expected();
        return i.fail(kind.role);
    }
    // In the middle of a line the part before is more likely unfinished than a new one begun.
    if i.env.expected_at(i.at).is_empty() { i.fail(kind.role) } else { Err(nom::Err::Error(Problem::at(i))) }
}
