//! Why a command could not do its work, and the exit codes that say how it ended.

use std::fmt;
use std::process::ExitCode;

/// Why a command stopped, for the person at the terminal: what was tried, why it failed, and what to do.
#[derive(Debug)]
pub struct Failure {
    message: String,
    hint: Option<String>,
}

/// A result with a [`Failure`].
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure with this text.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<forebay::Error> for Failure {
    fn from(error: forebay::Error) -> Self {
        Self::new(format!("{error:#}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

/// How a command ended. The numbers are part of what scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Success,
    /// Some lines of the input were rejected; all others are in the table.
    Rejected,
    /// It could not be done, or only in part; the message says what was.
    Failed,
    /// A signal ended it early, in good order: 128 and the signal's number, as shells have it.
    Interrupted(i32),
}

impl Exit {
    /// The code that the shell sees. Wrong arguments are 2, by the argument parser.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Rejected => 1,
            Self::Failed => 3,
            Self::Interrupted(signal) => 128 + u8::try_from(signal).unwrap_or(0),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
