//! What registration finds wrong or worth a word.

use std::fmt;

use crate::anndata::DataError;

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Likely a mistake; goes on.
    Warning,
    /// Cannot go on.
    Error,
}

/// One finding about one slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The code under which it is documented, such as `E0702`; empty for a note.
    pub code: &'static str,
    /// The slot concerned.
    pub slot: String,
    /// The field concerned, such as `obs.batch`; empty when there is none.
    pub field: String,
    /// What was found, and what was expected.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Fields that could be meant instead, the likeliest first.
    pub candidates: Vec<String>,
}

impl Problem {
    /// A finding about `field` for `slot`.
    pub fn new(
        severity: Severity,
        code: &'static str,
        slot: &str,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            code,
            slot: slot.to_owned(),
            field: field.into(),
            message: message.into(),
            help: None,
            candidates: Vec::new(),
        }
    }

    /// The finding that reading for `slot` failed.
    pub fn from_data(slot: &str, error: DataError) -> Self {
        let mut problem = Self::new(Severity::Error, error.code(), slot, error.field.clone(), error.message);
        problem.help = error.help;
        problem
    }

    /// The same finding with a remedy.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        f.write_str(word)?;
        if !self.code.is_empty() {
            write!(f, "[{}]", self.code)?;
        }
        write!(f, ": `{}`", self.slot)?;
        if !self.field.is_empty() {
            write!(f, " from `{}`", self.field)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}
