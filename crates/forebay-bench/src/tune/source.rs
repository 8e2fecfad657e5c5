//! The database that a table is copied from: opened so that neither it nor the files beside it change.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use forebay::rusqlite::{self, Connection, ErrorCode, OpenFlags};

use crate::error::{Error, Result};
use crate::program::Stop;

/// How long a lock of another process is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon a stop is noticed meanwhile.
const LOOK: Duration = Duration::from_millis(50);
/// SQLite's steps between two looks at whether to stop.
const STEPS: std::ffi::c_int = 10_000;

/// A database that is read in one transaction.
///
/// How it is opened follows from SQLite's rules for the log of WAL mode. With a log there, whoever opens the database
/// for reading only leaves the files as they are. Without one, any connection makes it, and only one that may write
/// removes it when it closes as the last; so the connection may write, and `query_only` keeps it from doing so.
pub(super) struct Source {
    /// Closed before the files are looked at again.
    pub(super) connection: Connection,
    /// As the user named it.
    name: PathBuf,
    /// What it was when it was opened, where SQLite took it for a file that cannot change.
    immutable: Option<(PathBuf, Option<SystemTime>)>,
}

impl Source {
    /// Opens it. Blocks while another process has it locked, for 5 seconds at the most.
    pub(super) fn open(name: &Path, stop: &Stop) -> Result<Self> {
        let failed = |error: &dyn std::fmt::Display| Error::of_file("open", name, error);
        let real = fs::canonicalize(name).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                failed(&"there is no such file").with_hint("check the path that --db gives")
            }
            _ => failed(&error),
        })?;
        if real.is_dir() {
            return Err(
                failed(&"it is a folder").with_hint("name the database file in it with --db")
            );
        }
        let (log, index) = (beside(&real, "-wal").exists(), beside(&real, "-shm").exists());
        if log && !index {
            return Err(failed(&"its log (-wal) was left by a process that has ended").with_hint(
                "open it once with its application, or with sqlite3, which puts the log in order",
            ));
        }
        let may_write = !log && !beside(&real, "-journal").exists();
        let access = if may_write {
            OpenFlags::SQLITE_OPEN_READ_WRITE
        } else {
            OpenFlags::SQLITE_OPEN_READ_ONLY
        };
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&real, flags)
            .and_then(|connection| begin(connection, stop));
        let (connection, immutable) = match opened {
            Ok(connection) => (connection, None),
            // The log that SQLite needs cannot be made here, so nobody else like us has made one.
            Err(error) if may_write && cannot_make_files(&error) => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
                let opened = Connection::open_with_flags(
                    immutable_uri(&real),
                    flags | OpenFlags::SQLITE_OPEN_NO_MUTEX,
                )
                .and_then(|connection| begin(connection, stop));
                let changed = fs::metadata(&real).and_then(|file| file.modified()).ok();
                (opened.map_err(|error| because(name, &error, stop))?, Some((real, changed)))
            }
            Err(error) => return Err(because(name, &error, stop)),
        };
        Ok(Self { connection, name: name.to_owned(), immutable })
    }

    /// Why it could not be read.
    pub(super) fn failed(&self, error: &rusqlite::Error, stop: &Stop) -> Error {
        because(&self.name, error, stop)
    }

    /// Closes it, and says whether what was read is what was there.
    pub(super) fn close(self) -> Result<()> {
        drop(self.connection);
        let Some((real, changed)) = self.immutable else { return Ok(()) };
        let now = fs::metadata(&real).and_then(|file| file.modified()).ok();
        if now == changed && !beside(&real, "-wal").exists() {
            return Ok(());
        }
        Err(Error::of_file(
            "copy",
            &self.name,
            &"it was written to meanwhile, from where the folder is not read-only",
        )
        .with_hint("try again"))
    }
}

/// The path with this at its end.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Begins the transaction that everything is read in.
fn begin(mut connection: Connection, stop: &Stop) -> rusqlite::Result<Connection> {
    connection.busy_timeout(LOOK)?;
    let until = Instant::now() + PATIENCE;
    loop {
        let begun = connection
            .pragma_update(None, "query_only", true)
            .and_then(|()| connection.execute_batch("BEGIN"))
            .and_then(|()| {
                connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
            });
        match begun {
            Err(error) if is_locked(&error) && Instant::now() < until && !stop.is_stopped() => {
                if !connection.is_autocommit() {
                    connection.execute_batch("ROLLBACK")?;
                }
            }
            begun => break begun?,
        }
    }
    interrupt(&mut connection, stop)?;
    Ok(connection)
}

/// Has statements of the connection end when it is told to stop.
pub(super) fn interrupt(connection: &mut Connection, stop: &Stop) -> rusqlite::Result<()> {
    let stop = stop.clone();
    connection.progress_handler(STEPS, Some(move || stop.is_stopped()))
}

fn is_locked(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn cannot_make_files(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

fn immutable_uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(byte.into());
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri + "?immutable=1"
}

fn because(name: &Path, error: &rusqlite::Error, stop: &Stop) -> Error {
    if stop.is_stopped() {
        return Error::stopped();
    }
    let failed = |why: &dyn std::fmt::Display| Error::of_file("read", name, why);
    let file = name.display();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => failed(&"it is not a SQLite database"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            failed(&format!("another process holds its lock, and kept it for {PATIENCE:?}")).with_hint(format!(
                "`fuser -v {file}` names who has it open: end that transaction, or name a copy of the file with --db"
            ))
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => failed(error).with_hint(
            "where its last process was killed, open it once with its application, which puts it in order",
        ),
        _ => failed(error),
    }
}
