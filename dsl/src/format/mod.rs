//! The formatter: canonical layout for the author's own tokens and comments.
//!
//! It moves nothing, adds nothing and drops nothing but blanks: the tokens and comments of the result are those of the
//! source, in the same order. Line breaks are the author's, except that
//! - each item, each statement of a block with several, and each brace of a block that spans lines has a line of its own;
//! - several blank lines become one, and none stands after an opening or before a closing brace.
//!
//! Levels are indented by two blanks, continued statements by four. In runs of neighbouring lines of one kind the
//! operators stand under one another, and so do the parts of fields and outputs and the comments at line ends.

mod align;
mod layout;
mod spacing;
mod starts;

use crate::diagnostic::Diagnostic;
use crate::source::FileId;
use crate::syntax::parse;
use crate::syntax::token::lex;

/// The text in canonical layout, ended by one newline; an empty text stays empty. Formatting the result changes
/// nothing.
///
/// # Errors
/// What the parser says about a text that is not a program: such a text is left alone.
pub fn format(file: FileId, text: &str) -> Result<String, Vec<Diagnostic>> {
    let (tree, diagnostics) = parse(file, text);
    if !diagnostics.is_empty() {
        return Err(diagnostics);
    }
    let lexed = lex(file, text);
    let source = layout::Source::new(text, &lexed, &tree);
    Ok(align::join(&layout::lines(&source)))
}
