//! The database that a table is copied from: opened so that neither it nor the files beside it change.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use forebay::rusqlite::ffi::SQLITE_READONLY_ROLLBACK;
use forebay::rusqlite::{self, Connection, ErrorCode, OpenFlags};

use crate::error::{Error, Result};
use crate::program::Stop;

/// How long a lock of another process is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon a stop is noticed meanwhile.
const LOOK: Duration = Duration::from_millis(50);
/// How many journals in turn must seem to have been left before one is taken for that.
const JOURNALS: u32 = 10;
/// Where the header of a database says how it is read, and that this is by a write-ahead log.
const READ_VERSION: usize = 19;
const WAL: u8 = 2;
/// SQLite's steps between two looks at whether to stop.
const STEPS: std::ffi::c_int = 10_000;

/// A database that is read in one transaction.
///
/// Where it has a log (WAL mode) or needs none, a connection that reads only leaves all files as they are. Where the log
/// is missing, any connection makes it, and only one that may write removes it when it closes as the last. So that one
/// may write where this user may, and `query_only` keeps its statements from it. Its close is another matter: if
/// an application opens the database meanwhile and closes it first, what it has committed is copied back from the log
/// by us, as it would have done itself. Where this user may not write, the file is read as one that cannot change, and
/// looked at afterwards.
pub(super) struct Source {
    /// Closed before the files are looked at again.
    pub(super) connection: Connection,
    /// As the user named it.
    name: PathBuf,
    /// What it was before it was opened, where SQLite took it for a file that cannot change.
    immutable: Option<(PathBuf, Option<State>)>,
}

/// What shows that a file was written to: when, and its length.
type State = (SystemTime, u64);

/// How it may be opened.
enum Access {
    Read,
    /// So that the log that SQLite makes is removed again.
    Write,
    /// Without any file beside it, and without locks.
    Immutable,
}

impl Source {
    /// Opens it. Blocks while another process has it locked, for 5 seconds at the most.
    pub(super) fn open(name: &Path, stop: &Stop) -> Result<Self> {
        let real = find(name)?;
        let access = access(name, &real)?;
        let immutable = matches!(access, Access::Immutable).then(|| (real.clone(), state(&real)));
        let (path, flags) = match access {
            Access::Read => (real, OpenFlags::SQLITE_OPEN_READ_ONLY),
            Access::Write => (real, OpenFlags::SQLITE_OPEN_READ_WRITE),
            Access::Immutable => (
                immutable_uri(&real).into(),
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
            ),
        };
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .and_then(|connection| begin(connection, stop))
            .map_err(|error| because(name, &error))?;
        Ok(Self { connection, name: name.to_owned(), immutable })
    }

    /// Why it could not be read.
    pub(super) fn failed(&self, error: &rusqlite::Error) -> Error {
        because(&self.name, error)
    }

    /// Closes it, and says whether what was read is what was there.
    pub(super) fn close(self) -> Result<()> {
        drop(self.connection);
        let Some((real, before)) = self.immutable else { return Ok(()) };
        if state(&real) == before && !beside(&real, "-wal").exists() {
            return Ok(());
        }
        Err(Error::of_file(
            "copy",
            &self.name,
            &"it was written to meanwhile, and where this user may not write it is read without a lock",
        )
        .with_hint("try again, or name a copy of the file with --db"))
    }
}

/// The file itself, where SQLite has what belongs to it.
fn find(name: &Path) -> Result<PathBuf> {
    let real = fs::canonicalize(name).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            cannot_open(name, &"there is no such file").with_hint("check the path that --db gives")
        }
        _ => cannot_open(name, &error),
    })?;
    if real.is_dir() {
        return Err(cannot_open(name, &"it is a folder")
            .with_hint("name the database file in it with --db"));
    }
    if !real.is_file() {
        return Err(cannot_open(name, &"it is not a file"));
    }
    Ok(real)
}

/// How it may be opened so that no file changes, and none is left.
fn access(name: &Path, real: &Path) -> Result<Access> {
    let (log, index) = (beside(real, "-wal").exists(), beside(real, "-shm").exists());
    if log && !index {
        return Err(cannot_open(
            name,
            &"its log (-wal) has no index (-shm) beside it: a process was killed and left it, or one that runs has the database for itself",
        )
        .with_hint(
            "end that process; if there is none, open the database once with its application, or with sqlite3, which puts the log in order",
        ));
    }
    let failed = |error: io::Error| cannot_open(name, &error);
    if log || first_bytes(real).map_err(failed)?[READ_VERSION] != WAL {
        return Ok(Access::Read);
    }
    // To roll it back would be to write, which SQLite does before any statement.
    match first_bytes(&beside(real, "-journal")) {
        Ok([0, ..]) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Ok(_) => return Err(broken_off(name)),
        Err(error) => return Err(failed(error)),
    }
    let may_write = |path: &Path| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    let both = may_write(real) && real.parent().is_some_and(may_write);
    Ok(if both { Access::Write } else { Access::Immutable })
}

/// The beginning of a file, with zeros after its end. Not while this process has it open: to close it again drops
/// the locks of all its connections.
fn first_bytes(path: &Path) -> io::Result<[u8; 20]> {
    let mut first = [0; 20];
    io::copy(&mut File::open(path)?.take(20), &mut first.as_mut_slice())?;
    Ok(first)
}

fn state(path: &Path) -> Option<State> {
    let file = fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len()))
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
    connection.pragma_update(None, "query_only", true)?;
    let until = Instant::now() + PATIENCE;
    let mut journals = 0;
    while let Err(error) = connection
        .execute_batch("BEGIN")
        .and_then(|()| connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())))
    {
        // A transaction that ends in this moment looks like one that was broken off.
        journals += u32::from(is_broken_off(&error));
        let again = match is_locked(&error) {
            true => Instant::now() < until && !stop.is_stopped(),
            false => is_broken_off(&error) && journals < JOURNALS,
        };
        if !again {
            return Err(error);
        }
        if !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK")?;
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

fn is_broken_off(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == SQLITE_READONLY_ROLLBACK)
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

fn cannot_open(name: &Path, why: &dyn Display) -> Error {
    Error::of_file("open", name, why)
}

fn broken_off(name: &Path) -> Error {
    let why = "a process that wrote to it has ended in the middle of a transaction (-journal)";
    cannot_open(name, &why)
        .with_hint("open it once with its application, or with sqlite3, which rolls that back")
}

fn because(name: &Path, error: &rusqlite::Error) -> Error {
    if is_broken_off(error) {
        return broken_off(name);
    }
    let failed = |why: &dyn Display| Error::of_file("read", name, why);
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
