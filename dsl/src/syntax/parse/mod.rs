//! Tokens to tree, by hand on nom: one function per production, one token of look-ahead, no backtracking.
//!
//! Parsing is total. A block catches the errors of its statements, reports them, skips to the next place where a
//! statement can start and leaves an error node ([`recover`]). What could have stood at the furthest token is collected
//! by role while parsing ([`input`]), so that no production writes its own list.

mod expr;
mod input;
mod item;
mod recover;
mod stmt;
mod ty;

use super::ast::Ast;
use super::token::lex;
use crate::diagnostic::{Diagnostic, sort};
use crate::source::{FileId, Span};
use input::{Env, Tokens};

/// Parses one file. Always gives a tree; it is whole if no diagnostic is an error.
pub fn parse(file: FileId, text: &str) -> (Ast, Vec<Diagnostic>) {
    let lexed = lex(file, text);
    let env = Env::new(text, &lexed.tokens);
    let items = recover::file(Tokens::all(&env));
    let mut diagnostics = lexed.diagnostics;
    diagnostics.extend(env.diagnostics.take());
    sort(&mut diagnostics);
    (Ast { items, broken: env.broken.take(), span: Span::new(file, 0, text.len()) }, diagnostics)
}
