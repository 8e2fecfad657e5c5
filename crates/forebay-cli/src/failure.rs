//! Why a command could not do its work, and the exit codes that say how it ended.

use std::fmt;
use std::process::ExitCode;

/// Why a command stopped, for the person at the terminal: what was tried, why it failed, and what to do.
#[derive(Debug, Clone)]
pub struct Failure {
    message: String,
    hint: Option<String>,
    exit: Exit,
}

/// A result with a [`Failure`].
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// A failure with this text.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, exit: Exit::Failed }
    }

    /// A failure that the arguments alone are the reason of.
    pub fn of_arguments(message: impl Into<String>) -> Self {
        Self { exit: Exit::Arguments, ..Self::new(message) }
    }

    /// How a command that met it ends.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// What was tried and why it failed.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds another thing to do about it.
    #[must_use]
    pub fn or_hint(self, hint: &str) -> Self {
        let hint = match &self.hint {
            Some(first) => format!("{first}; {hint}"),
            None => hint.to_owned(),
        };
        self.hint(hint)
    }
}

impl From<forebay::Error> for Failure {
    fn from(error: forebay::Error) -> Self {
        Self::new(format!("{error:#}"))
    }
}

impl From<forebay_bench::Error> for Failure {
    fn from(error: forebay_bench::Error) -> Self {
        let failure = match error.kind() {
            forebay_bench::ErrorKind::Arguments => Self::of_arguments(error.to_string()),
            _ => Self::new(error.to_string()),
        };
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
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

/// What an error of the operating system means, without its number.
pub fn because(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        ErrorKind::NotADirectory => "a part of the path is no folder".to_owned(),
        ErrorKind::IsADirectory => "it is a folder".to_owned(),
        ErrorKind::PermissionDenied => "this user may not do that".to_owned(),
        ErrorKind::StorageFull => "the disk is full".to_owned(),
        _ => error.to_string(),
    }
}

/// How a command ended. The numbers are part of what scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything was done.
    Success,
    /// Some lines of the input were rejected; all others are in the table.
    Rejected,
    /// Everything was done, and has shown less than was asked for: a ratio below its threshold, a contender that is void.
    Missed,
    /// Something is not as it should be, and still works.
    Warned,
    /// The arguments are wrong.
    Arguments,
    /// It could not be done, or only in part, or what was looked at does not work; the message says which.
    Failed,
    /// A second signal stopped it at once.
    Stopped,
    /// A signal ended it early, in good order: 128 and the signal's number, as shells have it.
    Interrupted(i32),
}

impl Exit {
    /// The code that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Rejected | Self::Missed | Self::Warned => 1,
            // As the argument parser's own.
            Self::Arguments => 2,
            Self::Failed => 3,
            Self::Stopped => 4,
            Self::Interrupted(signal) => 128 + u8::try_from(signal).unwrap_or(0),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
