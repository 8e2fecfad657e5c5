//! What went wrong, said to the person who must act.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// A result with forebay's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate. Cheap to clone: every row of a failed batch shares one.
///
/// `Display` says what was tried, on which file or table, and what to do; it never holds a row's
/// values (of a statement that the application wrote, it holds the start). The cause is in [`source`](StdError::source); `{:#}` prints the whole chain on one line.
///
/// ```
/// use forebay::{Config, ErrorKind};
///
/// let wrong = Config { batch_size: 0, ..Config::default() };
/// let error = wrong.check().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Config);
/// assert_eq!(error.to_string(), "batch_size is 0: it must be at least 1 row");
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    table: Option<String>,
    field: Option<String>,
    constraint: Option<String>,
    code: Option<i32>,
    sqlstate: Option<String>,
    database_message: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What kind of thing went wrong; the kind decides what a program can do about it:
///
/// | kind | the row | what to do |
/// |---|---|---|
/// | `Full`, `TimedOut` of a push | not accepted | slow down, or try again later |
/// | `Config`, `Statement`, `Schema`, `UnknownField`, `Encode`, `TooManyShapes`, `TooLarge` | not accepted | mend the program, the settings or the table; to try again does not help |
/// | `TimedOut` of a receipt or of `ready` | still to be written | wait again, ask `health` |
/// | `Rejected` | not in the table | see [`constraint`](Error::constraint), mend the row |
/// | `Unknown` | perhaps in the table | look it up by its key; an upsert may simply be repeated |
/// | `Unwritten` | not in the table | hand it over again |
/// | `Spooled` | in the spool | nothing: who opens the spool next writes it |
/// | `Busy`, `Unavailable`, of `health` and `ready` | kept | mend the cause; the buffer goes on by itself |
/// | `Open`, `Spool` of an opening | there is no buffer | what the message says |
/// | `Open`, `Unavailable` of a push or a producer | not accepted | try again when the database is there |
/// | `Spool` of a push | not accepted | make room on the spool's disk |
/// | `Failed`, and its cause `Corrupt`, `DatabaseMoved`, `Panicked` | its receipt says | mend the cause, open a new buffer |
/// | `Closed`, `Forked`, `WouldDeadlock` | of a push: not accepted; of a wait: the buffer goes on | the program calls at the wrong place |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting has a value that it must not have.
    Config,
    /// The database could not be opened, or not be set up as a write buffer needs it; or the file for dead
    /// letters could not be opened.
    Open,
    /// A table, its key or its columns are not what the producer asks for.
    Schema,
    /// A row has a field that its table has no column for, or its statement no parameter.
    UnknownField,
    /// A row cannot be encoded: a value that no database type holds, or no row at all.
    Encode,
    /// A producer met more different lists of fields than it takes: 16, unless
    /// [`max_shapes`](crate::TableWrite::max_shapes) says otherwise.
    TooManyShapes,
    /// A row or group is larger than the limit.
    TooLarge,
    /// A statement that a producer must not have: DDL, a query, transaction control, several in one.
    Statement,
    /// The buffer is full and the call does not wait.
    Full,
    /// The time given to the call is over. The row of a `push_timeout` was not accepted; a receipt
    /// can be waited for again; for `ready`, rows have waited for longer than it allows.
    TimedOut,
    /// The buffer is closed.
    Closed,
    /// The call would wait for the very thread that it runs on.
    WouldDeadlock,
    /// The call was made in a child process of the one that opened the buffer.
    Forked,
    /// The database refused this row. It is not in the table.
    Rejected,
    /// Whether this row is in the table is not known: the commit was asked for, and its answer was lost. With a
    /// spool that is found out, but for an `execute` that cannot run in a transaction.
    Unknown,
    /// This row was not written: the buffer closed, failed or gave up before its turn.
    Unwritten,
    /// This row, or for `close` so many rows, is in the spool: the buffer closed or failed before it was written. It is decided,
    /// once, when the spool is opened again: do not write it anew.
    Spooled,
    /// The spool cannot be used: another process has it, it is damaged, it belongs to another database, a newer
    /// forebay has written it, it lies on a filesystem that it cannot lie on, or there is no room for it. No row in it was lost.
    Spool,
    /// The database is locked by somebody else.
    Busy,
    /// The database cannot be written at the moment: no space, read-only, a table gone.
    Unavailable,
    /// The file that is open is no longer the one at its path.
    DatabaseMoved,
    /// The file is damaged or is not a database.
    Corrupt,
    /// The buffer failed for good; the cause is the source.
    Failed,
    /// The writer panicked.
    Panicked,
}

impl Error {
    /// Makes an error. For [`Sink`](crate::Sink)s outside this crate; those inside use it too.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            kind,
            message: message.into(),
            table: None,
            field: None,
            constraint: None,
            code: None,
            sqlstate: None,
            database_message: None,
            source: None,
        }))
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The table concerned, where there is one.
    pub fn table(&self) -> Option<&str> {
        self.0.table.as_deref()
    }

    /// The row's field concerned, where there is one.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// The constraint that refused the row, such as `UNIQUE topic_status.topic_id`.
    pub fn constraint(&self) -> Option<&str> {
        self.0.constraint.as_deref()
    }

    /// The database's own code: with SQLite the extended result code, such as 2067 for UNIQUE.
    pub fn code(&self) -> Option<i32> {
        self.0.code
    }

    /// The database's own code where it is an SQLSTATE: with PostgreSQL five letters and digits, such as `23505` for UNIQUE
    /// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
    pub fn sqlstate(&self) -> Option<&str> {
        self.0.sqlstate.as_deref()
    }

    /// The database's own text. Unlike everything else here it may hold values of the row.
    pub fn database_message(&self) -> Option<&str> {
        self.0.database_message.as_deref()
    }

    /// Names the table concerned.
    #[must_use]
    pub fn with_table(self, table: impl Into<String>) -> Self {
        self.edit(|inner| inner.table = Some(table.into()))
    }

    /// Names the field concerned.
    #[must_use]
    pub fn with_field(self, field: impl Into<String>) -> Self {
        self.edit(|inner| inner.field = Some(field.into()))
    }

    /// Names the constraint concerned.
    #[must_use]
    pub fn with_constraint(self, constraint: impl Into<String>) -> Self {
        self.edit(|inner| inner.constraint = Some(constraint.into()))
    }

    /// Gives the database's own code.
    #[must_use]
    pub fn with_code(self, code: i32) -> Self {
        self.edit(|inner| inner.code = Some(code))
    }

    /// Gives the database's own code, an SQLSTATE.
    #[must_use]
    pub fn with_sqlstate(self, sqlstate: impl Into<String>) -> Self {
        self.edit(|inner| inner.sqlstate = Some(sqlstate.into()))
    }

    /// Gives the database's own text, which `Display` never shows.
    #[must_use]
    pub fn with_database_message(self, message: impl Into<String>) -> Self {
        self.edit(|inner| inner.database_message = Some(message.into()))
    }

    /// Gives the cause.
    #[must_use]
    pub fn because(self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let cause = Arc::from(cause.into());
        self.edit(|inner| inner.source = Some(cause))
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// The same failure, told to another caller: a new kind and sentence with this error as the cause.
    pub(crate) fn retold(&self, kind: ErrorKind, message: impl Into<String>) -> Self {
        let mut error = Self::new(kind, message).because(self.clone());
        if let Some(code) = self.code() {
            error = error.with_code(code);
        }
        if let Some(sqlstate) = self.sqlstate() {
            error = error.with_sqlstate(sqlstate);
        }
        match self.table() {
            Some(table) => error.with_table(table),
            None => error,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if f.alternate() {
            let mut cause = self.source();
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
        }
        Ok(())
    }
}

/// The whole chain, so that a `main` that returns this error prints something to act on.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#} ({:?})", self.kind())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alternate_form_prints_the_chain_and_the_plain_one_does_not() {
        let cause = Error::new(ErrorKind::Unavailable, "no space left");
        let error = cause.retold(ErrorKind::Failed, "the buffer for app.db failed");
        assert_eq!(error.to_string(), "the buffer for app.db failed");
        assert_eq!(format!("{error:#}"), "the buffer for app.db failed: no space left");
    }

    #[test]
    fn an_error_is_one_pointer_wide() {
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }
}
