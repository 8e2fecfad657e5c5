//! What the database has of a spool: its books, read without changing anything.

use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay::rusqlite::{self, Connection, OptionalExtension};
use forebay::spool::{Inspection, SegmentState};
use forebay_bench::Stop;
use forebay_bench::untouched::{Unreadable, Untouched};
use serde::Serialize;

use crate::failure::{Failure, Result};
use crate::unreadable;

/// How long a lock is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a database has of a spool.
#[derive(Debug, Serialize)]
pub(super) struct Books {
    /// Its path.
    pub(super) database: String,
    /// How many rows of the spool it has decided, which is the number of the next; `None` when it knows nothing of it.
    pub(super) applied: Option<u64>,
    /// How many of the rows that are in the spool it has decided.
    pub(super) decided: u64,
    /// How many of them it has not.
    pub(super) left: u64,
    /// Why a buffer would not open the two together.
    pub(super) problem: Option<String>,
}

/// The database that goes with a spool: the one that was given, or else the one that the spool names, where there is such
/// a file.
pub(super) fn database(given: Option<&Path>, seen: &Inspection) -> Result<Option<PathBuf>> {
    let Some(given) = given else {
        let named = Path::new(&seen.database);
        return Ok(named.is_file().then(|| named.to_owned()));
    };
    if given.to_string_lossy().contains("://") {
        let message = "--database takes the path of a SQLite file, and this is a URL";
        return Err(Failure::of_arguments(message));
    }
    Ok(Some(given.to_owned()))
}

/// The same where one is needed.
pub(super) fn needed(folder: &Path, given: Option<&Path>, seen: &Inspection) -> Result<PathBuf> {
    let failure = |named: &str| {
        let name = folder.display();
        Failure::new(match named {
            "" => format!("the spool {name} does not say any more which database it was used with"),
            named => format!(
                "the spool {name} was used with the database {named}, which is not there, as seen from here"
            ),
        })
        .hint("--database says where it is; rows for PostgreSQL are written by the application, when it opens its buffer")
    };
    database(given, seen)?.ok_or_else(|| failure(&seen.database))
}

/// Asks a database what it has of a spool.
pub(super) fn ask(database: &Path, spool: &str, stop: &Stop) -> Result<Option<u64>, Unreadable> {
    let mut untouched = Untouched::open(database, PATIENCE, stop)?;
    untouched.bound(None, stop)?;
    let applied = applied(untouched.connection(), spool)?;
    untouched.close()?;
    Ok(applied)
}

fn applied(connection: &Connection, spool: &str) -> rusqlite::Result<Option<u64>> {
    let table = "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = '_forebay'";
    if !connection.prepare(table)?.exists([])? {
        return Ok(None);
    }
    let sql = "SELECT applied FROM main._forebay WHERE spool = ?1";
    connection.query_row(sql, [spool], |row| row.get(0).map(i64::cast_unsigned)).optional()
}

/// Why a database could not be asked.
pub(super) fn unread(database: &Path, why: Unreadable) -> Failure {
    let name = database.display();
    let cannot = format!("cannot ask the database {name} what it has of the spool");
    unreadable::failure(
        &cannot,
        database,
        why,
        "check the path that --database gives; none is made",
    )
}

impl Books {
    /// Holds a spool against what a database has of it. While it is in use the two are not of one moment.
    pub(super) fn new(seen: &Inspection, database: &Path, applied: Option<u64>) -> Self {
        let used = seen.segments.iter().filter(|segment| {
            matches!(segment.state, SegmentState::Open | SegmentState::Sealed) || segment.rows > 0
        });
        let used: Vec<_> =
            used.map(|segment| segment.first_row..segment.first_row + segment.rows).collect();
        let all: u64 = used.iter().map(|rows| rows.end - rows.start).sum();
        let has = if seen.is_closed { u64::MAX } else { applied.unwrap_or(0) };
        let left = used.iter().map(|rows| rows.end - rows.start.max(has).min(rows.end)).sum();
        let database = database.to_string_lossy().into_owned();
        let problem = seen.mismatch(&database, applied);
        Self { database, applied, decided: all - left, left, problem }
    }
}
