//! The database that a table is copied from, and what is said when it cannot be.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay::rusqlite::{self, Connection, ErrorCode};

use crate::error::{Error, Result};
use crate::program::Stop;
use crate::untouched::{Unreadable, Untouched};

/// How long a lock of another process is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A database that is read in one transaction, and is left as it is.
pub(super) struct Source {
    database: Untouched,
    /// As the user named it.
    name: PathBuf,
}

impl Source {
    /// Opens it. Blocks while another process has it locked, for 5 seconds at the most.
    pub(super) fn open(name: &Path, stop: &Stop) -> Result<Self> {
        let database = Untouched::open(name, PATIENCE, stop).map_err(|why| because(name, why))?;
        Ok(Self { database, name: name.to_owned() })
    }

    pub(super) fn connection(&self) -> &Connection {
        self.database.connection()
    }

    /// Why it could not be read.
    pub(super) fn failed(&self, error: rusqlite::Error) -> Error {
        because(&self.name, error.into())
    }

    /// Closes it, and says whether what was read is what was there.
    pub(super) fn close(self) -> Result<()> {
        self.database.close().map_err(|why| because(&self.name, why))
    }
}

fn because(name: &Path, why: Unreadable) -> Error {
    let of = |what: &str, why: &dyn Display| Error::of_file(what, name, why);
    let file = name.display();
    match why {
        Unreadable::Missing => of("open", &"there is no such file")
            .with_hint("check the path that --db gives"),
        Unreadable::Folder => of("open", &"it is a folder")
            .with_hint("name the database file in it with --db"),
        Unreadable::NoFile => of("open", &"it is not a file"),
        Unreadable::Refused(error) => of("open", &error),
        Unreadable::LogAlone => of(
            "open",
            &"its log (-wal) has no index (-shm) beside it: a process was killed and left it, or one that runs has the database for itself",
        )
        .with_hint(
            "end that process; if there is none, open the database once with its application, or with sqlite3, which puts the log in order",
        ),
        Unreadable::BrokenOff => of(
            "open",
            &"a process that wrote to it has ended in the middle of a transaction (-journal)",
        )
        .with_hint("open it once with its application, or with sqlite3, which rolls that back"),
        Unreadable::Locked => {
            of("read", &format!("another process holds its lock, and kept it for {PATIENCE:?}")).with_hint(format!(
                "`fuser -v {file}` names who has it open: end that transaction, or name a copy of the file with --db"
            ))
        }
        Unreadable::Changed => of(
            "copy",
            &"it was written to meanwhile, and where this user may not write it is read without a lock",
        )
        .with_hint("try again, or name a copy of the file with --db"),
        Unreadable::Sqlite(error) => match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => of("read", &"it is not a SQLite database"),
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => of("read", &error).with_hint(
                "where its last process was killed, open it once with its application, which puts it in order",
            ),
            _ => of("read", &error),
        },
    }
}
