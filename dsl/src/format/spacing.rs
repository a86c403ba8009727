//! What stands between two tokens of one line: a blank or nothing.

use crate::syntax::token::{Keyword, Symbol, Token, TokenKind};

/// Whether a blank stands between token `i - 1` and token `i`.
pub(super) fn blank_before(tokens: &[Token], i: usize) -> bool {
    let Some(before) = i.checked_sub(1) else { return false };
    let (left, right) = (tokens[before].kind, tokens[i].kind);
    if left == TokenKind::Symbol(Symbol::OpenBrace) || right == TokenKind::Symbol(Symbol::CloseBrace) {
        // `{ a }`, but `{}`.
        return !(left == TokenKind::Symbol(Symbol::OpenBrace)
            && right == TokenKind::Symbol(Symbol::CloseBrace));
    }
    match right {
        TokenKind::Symbol(
            Symbol::Comma
            | Symbol::CloseParen
            | Symbol::CloseBracket
            | Symbol::OpenBracket
            | Symbol::Dot
            | Symbol::Caret
            | Symbol::Question,
        ) => return false,
        // A call follows a value or a treatment's name; elsewhere a parenthesis groups.
        TokenKind::Symbol(Symbol::OpenParen) if is_value(tokens, before) || is_strategy(left) => {
            return false;
        }
        _ => {}
    }
    match left {
        TokenKind::Symbol(Symbol::OpenParen | Symbol::OpenBracket | Symbol::Dot | Symbol::Caret) => false,
        TokenKind::Symbol(Symbol::Minus) => before > 0 && is_value(tokens, before - 1),
        _ => true,
    }
}

/// Whether a value ends at token `i`, so that a sign after it is an operator and a parenthesis a call.
fn is_value(tokens: &[Token], i: usize) -> bool {
    let after_dot = i > 0 && tokens[i - 1].kind == TokenKind::Symbol(Symbol::Dot);
    match tokens[i].kind {
        TokenKind::Name | TokenKind::Number | TokenKind::Text => true,
        TokenKind::Symbol(Symbol::CloseParen | Symbol::CloseBracket | Symbol::CloseBrace) => true,
        TokenKind::Word(Keyword::True | Keyword::False) => true,
        TokenKind::Word(_) => after_dot,
        _ => false,
    }
}

fn is_strategy(kind: TokenKind) -> bool {
    use Keyword::{Auto, Marginal, Point, Prior, Relaxed, Score};
    matches!(kind, TokenKind::Word(Auto | Marginal | Point | Prior | Relaxed | Score))
}
