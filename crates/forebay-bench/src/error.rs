//! Why a run could not be done.

use std::fmt;
use std::path::Path;

/// A result with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a run could not be done, for the person who started it: what was tried, why it failed, what to do.
#[derive(Debug)]
pub struct Error {
    message: String,
    hint: Option<String>,
    kind: ErrorKind,
}

/// What an [`Error`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// What was asked for cannot be.
    Arguments,
    /// Something failed.
    Failed,
    /// Whoever asked said stop.
    Stopped,
}

impl Error {
    /// Something failed.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, kind: ErrorKind::Failed }
    }

    /// What was asked for cannot be.
    pub fn of_arguments(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Arguments, ..Self::new(message) }
    }

    pub(crate) fn stopped() -> Self {
        Self { kind: ErrorKind::Stopped, ..Self::new("stopped") }
    }

    /// Something could not be done with a file or folder.
    pub(crate) fn of_file(what: &str, path: &Path, error: &dyn fmt::Display) -> Self {
        Self::new(format!("cannot {what} {}: {error}", path.display()))
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What it is about.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
