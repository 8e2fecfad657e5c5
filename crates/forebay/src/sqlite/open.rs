//! Opening a database for writing: what is set, and read back. Reading shares the checks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io};

use rusqlite::limits::Limit;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

use super::SqliteSink;
use super::busy::Waiting;
use super::fault;
use super::wal::{self, Files};
use crate::config::{Config, Durability};
use crate::error::{Error, ErrorKind, Result};
use crate::filesystem::network_filesystem;
use crate::signals::Signals;

/// Statements kept prepared: a few sizes for each of a few dozen shapes.
const CACHED_STATEMENTS: usize = 256;

pub(super) struct Settings {
    durability: Durability,
    pub(super) busy_timeout: Duration,
    pub(super) max_wal_bytes: usize,
    max_cache_bytes: usize,
}

impl Settings {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            durability: config.durability,
            busy_timeout: config.busy_timeout,
            max_wal_bytes: config.max_wal_bytes,
            max_cache_bytes: config.max_cache_bytes,
        }
    }
}

/// Opens the file and sets the connection up.
pub(super) fn open(
    path: &Path,
    settings: &Settings,
    signals: &Arc<Signals>,
) -> Result<(Connection, Files)> {
    check_version()?;
    check_place(path)?;
    check_writable(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let is_missing = is_missing(path);
    let mut connection =
        Connection::open_with_flags(path, flags).map_err(|error| explain(path, &error))?;
    if is_missing {
        keep_to_owner(path);
    }
    let waiting = Waiting::install(&mut connection, path, settings.busy_timeout, signals);
    if connection.is_readonly(MAIN_DB).map_err(|error| explain(path, &error))? {
        return Err(cannot_open(
            path,
            "the file may only be read: its permissions must let this user write, and its filesystem must not be read-only",
        ));
    }
    let mode = into_wal_mode(&connection, path, settings, signals)?;
    if mode != "wal" {
        return Err(cannot_open(
            path,
            &format!(
                "WAL mode did not take, the journal mode is `{mode}`: the database must be a file on a local disk, \
                 not in memory"
            ),
        ));
    }
    set_up(&connection, path, settings)?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    let files = Files::watch(&mut connection, path, settings.max_wal_bytes, waiting)
        .map_err(|error| explain(path, &error))?;
    // From now on the file at the path is held against the one that was there just now.
    if wal::has_moved(&connection) {
        return Err(cannot_open(path, "it was replaced while it was being opened: open it again"));
    }
    Ok((connection, files))
}

fn is_missing(path: &Path) -> bool {
    fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Lets nobody but its owner read a file that SQLite has just made. The files beside it get its permissions when they are
/// made, which is later.
///
/// By its path, for to open and close the file would drop locks. Another process may make the same file between our look at
/// the path and SQLite's: then it is as new, and for the moment that it holds nothing this takes from others what they had.
/// If it holds anything it is that process's: this connection has written nothing yet. If it belongs to another user, the
/// system does not let us. Who has opened it before it is restricted can go on reading it: that takes a process which is let
/// into the folder and waits for this very moment.
fn keep_to_owner(path: &Path) {
    #[cfg(unix)]
    if fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() == 0) {
        use std::os::unix::fs::PermissionsExt;
        if let Err(error) = fs::set_permissions(path, fs::Permissions::from_mode(0o600)) {
            tracing::warn!(
                "others may be able to read {}, for its permissions cannot be set: {error}",
                path.display()
            );
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Puts the database into WAL mode, and returns the mode that it is in then. SQLite waits for no lock when the mode
/// changes, which is once in a database's life: so whoever writes is waited for before it is tried again.
fn into_wal_mode(
    connection: &Connection,
    path: &Path,
    settings: &Settings,
    signals: &Signals,
) -> Result<String> {
    let begun = Instant::now();
    loop {
        let mode =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0));
        match mode {
            Err(error)
                if fault::primary_code(&error) == rusqlite::ffi::SQLITE_BUSY
                    && begun.elapsed() < settings.busy_timeout
                    && !signals.patience_ended() => {}
            mode => return mode.map_err(|error| explain(path, &error)),
        }
        let waited = connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK");
        waited.map_err(|error| explain(path, &error))?;
        // Those who only read are not waited for by that.
        signals.sleep(Duration::from_millis(5));
    }
}

/// Sets what a write buffer needs, and reads it back: SQLite ignores some settings without a word.
fn set_up(connection: &Connection, path: &Path, settings: &Settings) -> Result<()> {
    let synchronous = match settings.durability {
        Durability::Normal => 1,
        Durability::Full => 2,
    };
    let bytes = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
    let wanted = [
        ("synchronous", synchronous),
        // The sink checkpoints itself, when the receipts have been told.
        ("wal_autocheckpoint", 0),
        ("journal_size_limit", bytes(settings.max_wal_bytes)),
        ("cache_size", -bytes(settings.max_cache_bytes / 1024)),
        ("trusted_schema", 0),
        ("foreign_keys", 1),
    ];
    set(connection, path, &wanted)
}

/// Sets pragmas one after the other and reads each back.
pub(super) fn set(connection: &Connection, path: &Path, wanted: &[(&str, i64)]) -> Result<()> {
    for &(name, value) in wanted {
        connection.pragma_update(None, name, value).map_err(|error| explain(path, &error))?;
        let read: i64 = connection
            .pragma_query_value(None, name, |row| row.get(0))
            .map_err(|error| explain(path, &error))?;
        if read != value {
            return Err(cannot_open(
                path,
                &format!("PRAGMA {name} is {read} after it was set to {value}"),
            ));
        }
    }
    Ok(())
}

/// How many parameters one statement may have.
pub(super) fn max_parameters(connection: &Connection) -> usize {
    let limit = connection.limit(Limit::SQLITE_LIMIT_VARIABLE_NUMBER).unwrap_or(999);
    usize::try_from(limit).unwrap_or(999)
}

pub(super) fn check_version() -> Result<()> {
    if rusqlite::version_number() >= SqliteSink::OLDEST_SQLITE {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Open,
        format!(
            "SQLite {} is linked in; versions before 3.51.3 can corrupt a database in WAL mode: use the bundled one",
            rusqlite::version()
        ),
    ))
}

/// What can be said of the place before SQLite is asked, which would answer with a code.
pub(super) fn check_place(path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() {
        return Err(cannot_open(path, "the path is empty: name a file"));
    }
    if path.is_dir() {
        return Err(cannot_open(path, "it is a directory: name a file in it"));
    }
    let folder = folder(path);
    if !folder.is_dir() {
        return Err(cannot_open(path, &format!("the folder {} is not there", folder.display())));
    }
    if let Some(kind) = network_filesystem(&folder) {
        return Err(cannot_open(
            path,
            &format!(
                "it lies on a network filesystem ({kind}), where WAL mode cannot work: put it on a local disk of the \
                 machine whose processes use it"
            ),
        ));
    }
    Ok(())
}

/// Whether the two files beside the database can be made.
fn check_writable(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use rustix::fs::{Access, access};
        let folder = folder(path);
        if let Err(error) = access(&folder, Access::WRITE_OK | Access::EXEC_OK) {
            let folder = folder.display();
            return Err(cannot_open(
                path,
                &format!("the folder {folder} cannot be written, where WAL mode keeps two files beside the database"),
            )
            .because(io::Error::from(error)));
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

pub(super) fn cannot_open(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::Open, format!("cannot open {}: {why}", path.display()))
}

pub(super) fn explain(path: &Path, error: &rusqlite::Error) -> Error {
    let explained = match fault::primary_code(error) {
        _ if fault::is_full(error) => {
            let why = "its disk is full: WAL mode needs room for the files beside the database";
            cannot_open(path, why)
        }
        rusqlite::ffi::SQLITE_NOTADB => {
            Error::new(ErrorKind::Corrupt, format!("{} is not a SQLite database", path.display()))
        }
        rusqlite::ffi::SQLITE_CORRUPT => {
            let remedy = "run PRAGMA integrity_check on a copy, or restore a backup";
            let path = path.display();
            let message = format!("{path} is damaged or its disk cannot be read: {remedy}");
            Error::new(ErrorKind::Corrupt, message)
        }
        rusqlite::ffi::SQLITE_BUSY => Error::new(
            ErrorKind::Busy,
            format!(
                "cannot open {}: another connection has locked it for longer than busy_timeout: close that, or raise it",
                path.display()
            ),
        ),
        rusqlite::ffi::SQLITE_CANTOPEN
        | rusqlite::ffi::SQLITE_READONLY
        | rusqlite::ffi::SQLITE_IOERR => cannot_open(
            path,
            &format!(
                "SQLite must be able to write it and to make files beside it in {}",
                folder(path).display()
            ),
        ),
        _ => cannot_open(path, "SQLite refused"),
    };
    fault::with_cause(explained, error)
}
