//! One error type for everything that can go wrong between a program and its result: diagnostics with their sources.

use crate::anndata::DataError;
use dsl::diagnostic::{Code, Diagnostic, Diagnostics, Severity, render, render_concise};
use dsl::source::Sources;
use std::fmt;
use std::path::Path;

/// Diagnostics, with the texts that their places lie in. `Display` renders them in full, without colour.
#[derive(Clone)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Clone)]
struct Inner {
    sources: Sources,
    diagnostics: Diagnostics,
}

impl Error {
    /// An error from diagnostics whose places lie in `sources`.
    pub fn new(sources: &Sources, diagnostics: impl Into<Diagnostics>) -> Error {
        Error { inner: Box::new(Inner { sources: sources.clone(), diagnostics: diagnostics.into() }) }
    }

    /// An error that has no place in a source.
    pub fn plain(diagnostic: Diagnostic) -> Error {
        Error::new(&Sources::new(), vec![diagnostic])
    }

    /// The messages.
    pub fn diagnostics(&self) -> &Diagnostics {
        &self.inner.diagnostics
    }

    /// The texts that the places lie in.
    pub fn sources(&self) -> &Sources {
        &self.inner.sources
    }

    /// The code of the first message that is an error.
    pub fn code(&self) -> Option<Code> {
        self.inner.diagnostics.iter().find(|d| d.severity == Severity::Error).map(|d| d.code)
    }

    /// The messages in full, with excerpts of the sources.
    pub fn render(&self, colour: bool) -> String {
        render(&self.inner.sources, self.inner.diagnostics.iter(), colour)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&render_concise(&self.inner.sources, self.inner.diagnostics.iter()))
    }
}

impl std::error::Error for Error {}

impl From<DataError> for Error {
    fn from(error: DataError) -> Error {
        Error::plain(from_data(&error))
    }
}

/// The diagnostic that says what a data error says.
pub(crate) fn from_data(error: &DataError) -> Diagnostic {
    let code = Code::find(error.code()).unwrap_or(Code::E0713);
    let field = if error.field.is_empty() { String::new() } else { format!(", `{}`", error.field) };
    let headline = format!("{}{field}: {}", error.file.display(), error.message);
    let diagnostic = Diagnostic::new(code, headline);
    match &error.help {
        Some(help) => diagnostic.help(help.clone()),
        None => diagnostic,
    }
}

/// E0716: something asked for does not fit.
pub(crate) fn request(headline: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Code::E0716, headline)
}

/// E0714 about a path that cannot be written.
pub(crate) fn unwritable(path: &Path, why: &dyn fmt::Display) -> Diagnostic {
    Diagnostic::new(Code::E0714, format!("{}: cannot be written: {why}", path.display()))
        .help("choose another place with `-o`; nothing was written")
}
