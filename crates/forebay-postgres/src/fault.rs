//! What an error of PostgreSQL's means: the row's fault, somebody else's lock, or the database's state.

use std::error::Error as _;

use forebay::{Error, ErrorKind, SinkError};
use tokio_postgres::error::{DbError, Severity};

use crate::driver::GivenUp;

/// Where a transaction was when the error came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before or within the transaction: nothing of it is in the database.
    Within,
    /// A statement is prepared: no row has a part in it.
    Prepare,
    /// A statement of the application's, whose text is its own.
    Execute,
    Commit,
}

/// Why a call to the server failed.
#[derive(Debug)]
pub(crate) enum Trouble {
    Server(tokio_postgres::Error),
    GivenUp(GivenUp),
}

/// What an error means for the batch.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A row of the statement is refused.
    Row(Error),
    /// The transaction was refused at COMMIT, by a constraint that is checked there.
    Deferred(Error),
    /// The whole batch fails.
    Batch(Failure),
}

/// Why a whole batch fails, and what is to be done about it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) verdict: Verdict,
    pub(crate) error: Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing of it is in the database, and it may soon succeed.
    Busy,
    /// Nothing of it is in the database, and somebody must act.
    Down,
    /// It may be in the database.
    Unknown,
    /// Nothing can be written any more.
    Fatal,
}

impl Failure {
    pub(crate) fn new(verdict: Verdict, error: Error) -> Self {
        Self { verdict, error }
    }
}

impl From<Failure> for SinkError {
    fn from(failure: Failure) -> Self {
        match failure.verdict {
            Verdict::Busy => Self::busy(failure.error),
            Verdict::Down => Self::down(failure.error),
            Verdict::Unknown => Self::unknown(failure.error),
            Verdict::Fatal => Self::fatal(failure.error),
        }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Batch(failure)
    }
}

/// For what no row can make fail.
impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Batch(failure) => failure,
            Fault::Row(error) | Fault::Deferred(error) => Self::new(Verdict::Busy, error),
        }
    }
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl Trouble {
    pub(crate) fn database_error(&self) -> Option<&DbError> {
        match self {
            Self::Server(error) => error.as_db_error(),
            Self::GivenUp(_) => None,
        }
    }

    pub(crate) fn sqlstate(&self) -> &str {
        self.database_error().map_or("", |error| error.code().code())
    }

    /// Whether the session cannot be used any more: it is gone, or an answer to it is still to come.
    pub(crate) fn ends_session(&self) -> bool {
        match self.database_error() {
            None => true,
            Some(error) => is_fatal(error) || error.code().code() == "25006" && !is_raised(error),
        }
    }

    /// Whether it passes: the server, the connection or somebody's lock is to blame, not what was asked.
    pub(crate) fn passes(&self) -> bool {
        let Some(error) = self.database_error() else { return true };
        let code = error.code().code();
        is_fatal(error)
            || code == "55P03"
            || ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class))
    }

    /// Whether an answer is still to come.
    pub(crate) fn is_given_up(&self) -> bool {
        matches!(self, Self::GivenUp(_))
    }

    /// What it was, without a row's values.
    pub(crate) fn cause(&self) -> Cause {
        let text = match self {
            Self::GivenUp(GivenUp::After(limit)) => format!("no answer for {limit:?}"),
            Self::GivenUp(GivenUp::Closing) => {
                "the buffer closed while its answer was waited for".to_owned()
            }
            Self::Server(error) => match error.as_db_error() {
                // What it says may hold a row's values.
                Some(error) if is_raised(error) => {
                    format!("a function's RAISE (SQLSTATE {})", error.code().code())
                }
                Some(error) => {
                    format!("PostgreSQL: {} (SQLSTATE {})", error.message(), error.code().code())
                }
                None => chain(error),
            },
        };
        Cause(text)
    }
}

/// An error of the connection's, with its own causes.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// An error as the server or the connection said it.
#[derive(Debug)]
pub(crate) struct Cause(String);

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

fn is_fatal(error: &DbError) -> bool {
    matches!(error.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
}

/// Whether a function of the application's raised it, whatever code it took for that.
fn is_raised(error: &DbError) -> bool {
    error.routine() == Some("exec_stmt_raise")
}

/// Tells what an error means.
pub(crate) fn judge(trouble: &Trouble, stage: Stage, table: &str) -> Fault {
    match trouble.database_error() {
        None if stage == Stage::Commit => {
            doubt(trouble, table, "the answer to COMMIT was lost with the connection")
        }
        None => {
            let message = match trouble.is_given_up() {
                true => "no answer came within reply_timeout",
                false => "the connection was lost",
            };
            batch(trouble, table, ErrorKind::Unavailable, message, Verdict::Busy)
        }
        Some(error) => judge_code(trouble, error, stage, table),
    }
}

fn judge_code(trouble: &Trouble, error: &DbError, stage: Stage, table: &str) -> Fault {
    let code = error.code().code();
    let class = code.get(..2).unwrap_or("");
    let commit = stage == Stage::Commit;
    let busy = |message: &str| batch(trouble, table, ErrorKind::Busy, message, Verdict::Busy);
    let down =
        |message: &str| batch(trouble, table, ErrorKind::Unavailable, message, Verdict::Down);
    match (class, code) {
        // With these a trigger asks for another try; with any other it refuses the row.
        _ if is_raised(error) && class != "40" && code != "55P03" => match commit {
            true => Fault::Deferred(refused(error, table)),
            false => Fault::Row(refused(error, table)),
        },
        // Whether a connection ended before or behind its COMMIT is not told.
        (_, "40003") | ("08" | "58" | "XX", _) if commit => {
            doubt(trouble, table, "the connection ended at COMMIT")
        }
        _ if commit && is_fatal(error) && class != "25" => {
            doubt(trouble, table, "the connection ended at COMMIT")
        }
        // What the application asked for was cancelled, by its role's statement_timeout or by hand, or names a file that is not there.
        (_, "57014" | "58P01" | "58P02") if stage == Stage::Execute => {
            Fault::Row(refused(error, table))
        }
        ("40", _) => busy("the transaction met another one, and was rolled back"),
        (_, "55P03") => busy("a lock is held by another transaction"),
        (_, "57014") => busy("the server cancelled the statement"),
        (_, "25006") => {
            down("the server takes no writes at the moment: it is a standby, or read-only")
        }
        ("08" | "57", _) => batch(
            trouble,
            table,
            ErrorKind::Unavailable,
            "the server ends the connection",
            Verdict::Busy,
        ),
        ("53", _) => batch(
            trouble,
            table,
            ErrorKind::Unavailable,
            "the server has no room, memory or connection left",
            Verdict::Busy,
        ),
        (_, "XX001" | "XX002") => batch(
            trouble,
            table,
            ErrorKind::Corrupt,
            "the database is damaged: look at the server's log, and restore a backup",
            Verdict::Fatal,
        ),
        // With it extensions say what they cannot read.
        (_, "XX000") if stage != Stage::Prepare && !is_fatal(error) => {
            Fault::Row(refused(error, table))
        }
        ("58" | "XX", _) => batch(
            trouble,
            table,
            ErrorKind::Unavailable,
            "the server met an error of its own",
            Verdict::Busy,
        ),
        ("25", _) if is_fatal(error) => batch(
            trouble,
            table,
            ErrorKind::Unavailable,
            "the server ended the connection: the transaction took too long",
            Verdict::Busy,
        ),
        _ if commit && (is_of_a_row(class) || refuses_by_policy(error)) => {
            Fault::Deferred(refused(error, table))
        }
        _ if refuses_by_policy(error) => Fault::Row(refused(error, table)),
        _ if is_of_a_row(class) && stage != Stage::Prepare => Fault::Row(refused(error, table)),
        // The text is the application's, which is told of it.
        _ if stage == Stage::Execute => Fault::Row(refused(error, table)),
        // A text that a type such as tsvector cannot read, or that is too long for a column of the type name.
        (_, "42601" | "42622") if stage == Stage::Within => Fault::Row(refused(error, table)),
        ("28" | "42", "28000" | "28P01" | "42501") => {
            down("this user may not write it: GRANT what is missing")
        }
        ("42" | "3F" | "3D" | "0A", _) => {
            down("its table, a column, an index or a type is not as the rows need it")
        }
        _ => down("the server refuses to write"),
    }
}

/// Whether a policy of row-level security refuses a row: it has the code of a missing right.
fn refuses_by_policy(error: &DbError) -> bool {
    error.routine() == Some("ExecWithCheckOptions")
}

/// Whether errors of a class come of a row: of its values, a constraint, a trigger. A class that is not PostgreSQL's own is that of a
/// RAISE.
fn is_of_a_row(class: &str) -> bool {
    const OF_ROWS: [&str; 11] = ["21", "22", "23", "27", "44", "54", "09", "2F", "38", "39", "P0"];
    const OTHERS: [&str; 33] = [
        "00", "01", "02", "03", "08", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "24", "25",
        "26", "28", "2B", "2D", "34", "3B", "3D", "3F", "40", "42", "53", "55", "57", "58", "72",
        "F0", "HV", "XX",
    ];
    OF_ROWS.contains(&class) || !OTHERS.contains(&class)
}

fn batch(
    trouble: &Trouble,
    table: &str,
    kind: ErrorKind,
    message: &str,
    verdict: Verdict,
) -> Fault {
    let error = Error::new(kind, format!("{table} cannot be written: {message}")).with_table(table);
    Fault::Batch(Failure::new(verdict, with_cause(error, trouble)))
}

fn doubt(trouble: &Trouble, table: &str, message: &str) -> Fault {
    let error = with_cause(Error::new(ErrorKind::Unavailable, message), trouble).with_table(table);
    Fault::Batch(Failure::new(Verdict::Unknown, error))
}

/// Adds the server's text and code to an error as its cause. Not for refused rows.
pub(crate) fn with_cause(error: Error, trouble: &Trouble) -> Error {
    let error = error.because(trouble.cause());
    match trouble.sqlstate() {
        "" => error,
        code => error.with_sqlstate(code),
    }
}

/// The refusal of a row. The server's text may hold its values, so it is behind an accessor; what is said here are the names of
/// columns and constraints.
fn refused(error: &DbError, table: &str) -> Error {
    let code = error.code().code();
    let named = |what: &str, name: Option<&str>| {
        format!("{what} {}", name.unwrap_or("")).trim_end().to_owned()
    };
    let of_type = match error.column() {
        Some(column) => format!("the type of {column}"),
        None => "a column's type".to_owned(),
    };
    let constraint = match code {
        "23505" => named("UNIQUE", error.constraint()),
        "23502" => named("NOT NULL", error.column()),
        "23514" => named("CHECK", error.constraint()),
        "23503" => named("FOREIGN KEY", error.constraint()),
        "23P01" => named("EXCLUDE", error.constraint()),
        "22001" => "a column's length".to_owned(),
        "22003" => "a column's range of numbers".to_owned(),
        "22021" => "the database's encoding".to_owned(),
        "44000" => named("WITH CHECK OPTION", error.constraint()),
        "42501" if refuses_by_policy(error) => "a policy of row-level security".to_owned(),
        _ if code.starts_with("P0") || is_raised(error) => "a trigger's RAISE".to_owned(),
        _ if code.starts_with("54") => "a limit of the server's".to_owned(),
        _ if code.starts_with("22") => of_type,
        _ => format!("a rule of the database (SQLSTATE {code})"),
    };
    let text = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.message()),
        None => error.message().to_owned(),
    };
    Error::new(ErrorKind::Rejected, format!("{table} refused a row: it violates {constraint}"))
        .with_table(table)
        .with_constraint(constraint)
        .with_sqlstate(code)
        .with_database_message(text)
}
