//! `svic lsp`: the language server, for editors.

use super::{ERROR, OK, Outcome};
use crate::error::{Error, request};

/// Runs `svic lsp` on the standard input and output.
pub fn run() -> Outcome {
    let mut input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    match crate::lsp::serve(&mut input, &mut output) {
        Ok(shut_down) => Ok(if shut_down { OK } else { ERROR }),
        Err(e) => Err(Error::plain(request(format!("the editor's stream broke: {e}")))),
    }
}
