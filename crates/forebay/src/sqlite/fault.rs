//! What an error of SQLite's means: the row's fault, somebody else's lock, or the database's state.

use rusqlite::{Connection, ffi};

use crate::error::{Error, ErrorKind};
use crate::sink::{SinkError, Verdict};
use crate::sql::{first_word, shortened};

/// Where a transaction was when the error came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Begin,
    Prepare,
    Step,
    Commit,
    /// A statement of `execute`, outside a transaction: it commits itself.
    Alone,
    /// The same in a transaction.
    Inside,
}

/// What an error means for the batch.
#[derive(Debug)]
pub(super) enum Fault {
    /// The row that was written is refused.
    Row(Error),
    /// A deferred foreign key is violated by some row of the transaction.
    Deferred(Error),
    /// The whole batch fails.
    Batch(SinkError),
}

/// The extended result code; 0 when the error is not SQLite's.
pub(super) fn code(error: &rusqlite::Error) -> i32 {
    match error {
        rusqlite::Error::SqliteFailure(failure, _)
        | rusqlite::Error::SqlInputError { error: failure, .. } => failure.extended_code,
        _ => 0,
    }
}

/// The code without its extension.
pub(super) fn primary_code(error: &rusqlite::Error) -> i32 {
    code(error) & 0xff
}

/// Whether the disk has no room, be it only for the index of the log.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    primary_code(error) == ffi::SQLITE_FULL || code(error) == ffi::SQLITE_IOERR_SHMSIZE
}

/// SQLite's own text, which may hold values of a row, or rusqlite's. Never the SQL text.
pub(super) fn text(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(failure, None) => failure.to_string(),
        rusqlite::Error::SqliteFailure(_, Some(message))
        | rusqlite::Error::SqlInputError { msg: message, .. } => shortened(message),
        other => shortened(&other.to_string()),
    }
}

/// Adds SQLite's text and code to an error as its cause. Not for refused rows.
pub(super) fn with_cause(error: Error, cause: &rusqlite::Error) -> Error {
    let code = code(cause);
    let cause = Database { code, text: text(cause) };
    let error = error.because(cause);
    if code == 0 { error } else { error.with_code(code) }
}

/// An error as SQLite said it.
#[derive(Debug)]
struct Database {
    code: i32,
    text: String,
}

impl std::fmt::Display for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SQLite: {} (code {})", self.text, self.code)
    }
}

impl std::error::Error for Database {}

/// Tells what an error means. `sql` is the statement that failed, for the one case in which its code does
/// not say whether the row or the schema is to blame.
pub(super) fn judge(
    connection: &Connection,
    error: &rusqlite::Error,
    stage: Stage,
    table: &str,
    sql: &str,
) -> Fault {
    let primary = primary_code(error);
    if stage == Stage::Commit {
        return judge_commit(connection, error, table);
    }
    let batch = |kind, message: String, make: fn(Error) -> SinkError| {
        Fault::Batch(make(with_cause(Error::new(kind, message).with_table(table), error)))
    };
    match primary {
        ffi::SQLITE_CONSTRAINT | ffi::SQLITE_MISMATCH | ffi::SQLITE_TOOBIG => Fault::Row(refused(error, table)),
        // A failing expression of the schema's (a CHECK, a trigger, a generated column) and a table that is
        // gone have the same code; only the latter cannot be prepared.
        ffi::SQLITE_ERROR if stage == Stage::Step && connection.prepare(sql).is_ok() => Fault::Row(refused(error, table)),
        // Its text is the application's, which is told of it.
        ffi::SQLITE_ERROR | ffi::SQLITE_SCHEMA | ffi::SQLITE_AUTH
            if matches!(stage, Stage::Alone | Stage::Inside) =>
        {
            Fault::Row(refused(error, table))
        }
        // Of another file, which the statement names: the database is open.
        ffi::SQLITE_CANTOPEN if stage == Stage::Alone => Fault::Row(refused(error, table)),
        ffi::SQLITE_NOTADB | ffi::SQLITE_CORRUPT
            if stage == Stage::Alone && first_word(sql) == "ATTACH" =>
        {
            Fault::Row(refused(error, table))
        }
        ffi::SQLITE_IOERR if stage == Stage::Alone => batch(
            ErrorKind::Unavailable,
            "the disk answered with an I/O error".to_owned(),
            SinkError::unknown,
        ),
        ffi::SQLITE_ERROR | ffi::SQLITE_SCHEMA => batch(
            ErrorKind::Unavailable,
            format!("{table} cannot be written: its table, a column, an index or a trigger is not as the rows need it"),
            SinkError::down,
        ),
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED | ffi::SQLITE_PROTOCOL => {
            batch(ErrorKind::Busy, "database locked".to_owned(), SinkError::busy)
        }
        ffi::SQLITE_NOMEM => batch(ErrorKind::Unavailable, "SQLite is out of memory".to_owned(), SinkError::busy),
        ffi::SQLITE_INTERRUPT => batch(ErrorKind::Unavailable, "SQLite was interrupted".to_owned(), SinkError::busy),
        ffi::SQLITE_FULL => batch(ErrorKind::Unavailable, "the disk is full".to_owned(), SinkError::down),
        ffi::SQLITE_READONLY if code(error) != ffi::SQLITE_READONLY_DBMOVED => batch(
            ErrorKind::Unavailable,
            "the database may only be read at the moment: its filesystem or its permissions have changed".to_owned(),
            SinkError::down,
        ),
        ffi::SQLITE_PERM => batch(ErrorKind::Unavailable, "access was denied".to_owned(), SinkError::down),
        ffi::SQLITE_IOERR => {
            batch(ErrorKind::Unavailable, "the disk answers with an I/O error".to_owned(), SinkError::down)
        }
        ffi::SQLITE_READONLY => batch(
            ErrorKind::DatabaseMoved,
            "the database was deleted, renamed or replaced while it was open".to_owned(),
            SinkError::fatal,
        ),
        ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => batch(
            ErrorKind::Corrupt,
            "the database is damaged or its disk cannot be read: run PRAGMA integrity_check on a copy, or restore a backup"
                .to_owned(),
            SinkError::fatal,
        ),
        _ => batch(ErrorKind::Unavailable, format!("SQLite refuses to write {table}"), SinkError::fatal),
    }
}

/// At COMMIT the question is whether it happened.
fn judge_commit(connection: &Connection, error: &rusqlite::Error, table: &str) -> Fault {
    let primary = primary_code(error);
    let still_open = !connection.is_autocommit();
    let batch = |kind, message: &str, make: fn(Error) -> SinkError| {
        Fault::Batch(make(with_cause(Error::new(kind, message).with_table(table), error)))
    };
    match primary {
        ffi::SQLITE_CONSTRAINT => Fault::Deferred(refused(error, table)),
        ffi::SQLITE_FULL => batch(ErrorKind::Unavailable, "the disk is full", SinkError::down),
        // The frames may be in the WAL, to be found after a restart.
        ffi::SQLITE_IOERR => batch(
            ErrorKind::Unavailable,
            "the disk answered COMMIT with an I/O error",
            SinkError::unknown,
        ),
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED if still_open => {
            batch(ErrorKind::Busy, "database locked", SinkError::busy)
        }
        _ if still_open => {
            batch(ErrorKind::Unavailable, "SQLite refused to commit", SinkError::busy)
        }
        _ => batch(ErrorKind::Unavailable, "COMMIT failed", SinkError::unknown),
    }
}

/// The refusal of a row. SQLite's text may hold its values, so it is behind an accessor; what is said
/// here are the names of columns and constraints.
fn refused(error: &rusqlite::Error, table: &str) -> Error {
    let code = code(error);
    let text = text(error);
    let named = || text.split_once("constraint failed: ").map_or("", |(_, names)| names);
    let constraint = match code {
        ffi::SQLITE_CONSTRAINT_UNIQUE => format!("UNIQUE {}", named()),
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            format!("PRIMARY KEY {}", named())
        }
        ffi::SQLITE_CONSTRAINT_NOTNULL => format!("NOT NULL {}", named()),
        ffi::SQLITE_CONSTRAINT_CHECK => format!("CHECK {}", named()),
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "FOREIGN KEY".to_owned(),
        ffi::SQLITE_CONSTRAINT_TRIGGER => "a trigger's RAISE".to_owned(),
        // "cannot store TEXT value in INTEGER column t.c": types and names, no values.
        ffi::SQLITE_CONSTRAINT_DATATYPE => format!("the column's type: {text}"),
        ffi::SQLITE_MISMATCH => "the type of the INTEGER PRIMARY KEY".to_owned(),
        ffi::SQLITE_TOOBIG => "SQLite's limit on the length of a value".to_owned(),
        _ => "an expression of the schema".to_owned(),
    };
    let constraint = constraint.trim_end().to_owned();
    Error::new(ErrorKind::Rejected, format!("{table} refused a row: it violates {constraint}"))
        .with_table(table)
        .with_constraint(constraint)
        .with_code(code)
        .with_database_message(text)
}

impl SinkError {
    /// After these the connection is not to be trusted any more, or has files open that can never be written: a `-wal`
    /// opened on a filesystem that is read-only stays so when the filesystem does not.
    pub(super) fn needs_new_connection(&self) -> bool {
        let primary = self.error.code().unwrap_or(0) & 0xff;
        match self.verdict {
            Verdict::Unknown | Verdict::Lost => true,
            Verdict::Pause => matches!(primary, ffi::SQLITE_READONLY | ffi::SQLITE_IOERR),
            _ => false,
        }
    }
}
