//! What can be wrong with a data file, said so that its owner can act on it.

use std::fmt;
use std::path::{Path, PathBuf};

/// The class of a [`DataError`], for callers that react rather than print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataErrorKind {
    /// E0702: the file has no such field.
    Absent,
    /// E0703: the values are not counts.
    NotCounts,
    /// E0707: a category that the trained model does not know.
    UnseenCategory,
    /// E0712: the file cannot be opened as AnnData.
    Unreadable,
    /// E0713: an element is damaged, inconsistent or in a form that is not supported.
    Malformed,
    /// E0714: the output cannot be written.
    Unwritable,
}

impl DataErrorKind {
    /// The code under which the error is documented.
    pub fn code(self) -> &'static str {
        match self {
            Self::Absent => "E0702",
            Self::NotCounts => "E0703",
            Self::UnseenCategory => "E0707",
            Self::Unreadable => "E0712",
            Self::Malformed => "E0713",
            Self::Unwritable => "E0714",
        }
    }
}

/// An error about a data file: what was found, where, and what to do.
///
/// `Display` gives one readable text; the fields let a diagnostic be built from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataError {
    /// Which class of error.
    pub kind: DataErrorKind,
    /// The file concerned.
    pub file: PathBuf,
    /// The field concerned as the user addresses it (`layers.counts`); empty when it is the whole file.
    pub field: String,
    /// What was found, and what was expected.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl DataError {
    /// An error of class `kind` about `field` of `file`.
    pub fn new(
        kind: DataErrorKind,
        file: &Path,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, file: file.to_path_buf(), field: field.into(), message: message.into(), help: None }
    }

    /// The same error with a remedy.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The code under which the error is documented, such as `E0702`.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {}", self.code(), self.file.display())?;
        if !self.field.is_empty() {
            write!(f, ", `{}`", self.field)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for DataError {}
