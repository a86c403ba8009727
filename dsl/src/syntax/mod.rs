//! Text to tree.
//!
//! | stage | from | to |
//! |---|---|---|
//! | `token::lex` | text | tokens and trivia that cover every byte |
//! | `parse` | tokens | [`ast::Ast`], whatever the text, and the diagnostics |
//! | `print` | `Ast` | canonical text, which parses to the same tree |

pub mod ast;
mod parse;
pub mod print;
mod spans;
pub mod token;

pub use parse::parse;
pub use print::print;
pub use spans::strip_spans;
