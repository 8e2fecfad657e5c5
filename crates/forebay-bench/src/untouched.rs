//! A user's database, opened so that neither it nor the files beside it change.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use forebay::rusqlite::ffi::{
    SQLITE_READONLY_CANTINIT, SQLITE_READONLY_RECOVERY, SQLITE_READONLY_ROLLBACK,
};
use forebay::rusqlite::{self, Connection, ErrorCode, OpenFlags};

use crate::program::Stop;

/// How soon a stop is noticed while a lock is waited for.
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
/// Where it has a log (WAL mode) or needs none, a connection that reads only leaves all files as they are; the index of
/// a log that a killed process has left is made again in memory. Where the log is missing, any connection makes it, and
/// only one that may write removes it when it closes as the last. So that one
/// may write where this user may, and `query_only` keeps its statements from it. Its close is another matter: if
/// an application opens the database meanwhile and closes it first, what it has committed is copied back from the log
/// by us, as it would have done itself. Where this user may not write, the file is read as one that cannot change, and
/// looked at afterwards.
#[derive(Debug)]
pub struct Untouched {
    /// Closed before the files are looked at again.
    connection: Connection,
    access: Access,
    real: PathBuf,
    /// What the file was before it was opened.
    before: Option<State>,
}

/// What shows that a file was written to: when, and its length.
pub type State = (SystemTime, u64);

/// How a database is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// For reading only.
    Read,
    /// For writing too, so that the log that SQLite makes is removed again.
    Write,
    /// Without any file beside it, and without locks.
    Immutable,
}

/// Why a database cannot be read as it is.
#[derive(Debug)]
pub enum Unreadable {
    /// There is no such file.
    Missing,
    /// It is a folder.
    Folder,
    /// It is something else that is no file.
    NoFile,
    /// The system does not let this user look at it.
    Refused(io::Error),
    /// Its log (`-wal`) has no index (`-shm`) beside it: a process was killed and left it, or one that runs has the
    /// database for itself.
    LogAlone,
    /// A process that wrote to it has ended in the middle of a transaction, and left its journal.
    BrokenOff,
    /// Another process has it locked.
    Locked,
    /// It was written to while it was read without a lock.
    Changed,
    /// SQLite cannot read it.
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Unreadable {
    fn from(error: rusqlite::Error) -> Self {
        if extended_code(&error) == SQLITE_READONLY_ROLLBACK {
            Self::BrokenOff
        } else if is_locked(&error) {
            Self::Locked
        } else {
            Self::Sqlite(error)
        }
    }
}

impl Untouched {
    /// Opens it. Blocks while another process has it locked, for as long as `patience` at the most.
    ///
    /// This process must not have the database open: its header is read without SQLite, and to close a file drops all
    /// locks that the process has on it.
    ///
    /// # Errors
    ///
    /// When it cannot be read as it is.
    pub fn open(name: &Path, patience: Duration, stop: &Stop) -> Result<Self, Unreadable> {
        let real = find(name)?;
        let access = access(&real)?;
        let before = state(&real);
        let open = |parameters: &str| connect(&uri(&real, parameters), access, patience, stop);
        let connection = match access {
            Access::Read if beside(&real, "-wal").exists() => {
                // Who only reads the index depends on others: that they have marked a place in it, and are not at it.
                open("mode=ro&readonly_shm=1").or_else(|error| match extended_code(&error) {
                    SQLITE_READONLY_CANTINIT | SQLITE_READONLY_RECOVERY => open("mode=ro"),
                    _ => Err(error),
                })
            }
            Access::Read => open("mode=ro"),
            Access::Write => open("mode=rw"),
            Access::Immutable => open("immutable=1"),
        };
        let connection = connection?;
        Ok(Self { connection, access, real, before })
    }

    /// The connection. Statements that write fail.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Has its statements end at a moment, or when told to stop.
    ///
    /// # Errors
    ///
    /// When SQLite refuses that.
    pub fn bound(&mut self, until: Option<Instant>, stop: &Stop) -> rusqlite::Result<()> {
        bound(&mut self.connection, until, stop)
    }

    /// How it is open.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Closes it.
    ///
    /// # Errors
    ///
    /// When what was read may not be what was there.
    pub fn close(self) -> Result<(), Unreadable> {
        drop(self.connection);
        let is_same = || state(&self.real) == self.before && !beside(&self.real, "-wal").exists();
        if self.access != Access::Immutable || is_same() {
            return Ok(());
        }
        Err(Unreadable::Changed)
    }
}

/// The file itself, where SQLite has what belongs to it.
fn find(name: &Path) -> Result<PathBuf, Unreadable> {
    let real = fs::canonicalize(name).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Unreadable::Missing,
        _ => Unreadable::Refused(error),
    })?;
    if real.is_dir() {
        return Err(Unreadable::Folder);
    }
    if !real.is_file() {
        return Err(Unreadable::NoFile);
    }
    Ok(real)
}

/// How it may be opened so that no file changes, and none is left.
fn access(real: &Path) -> Result<Access, Unreadable> {
    let (log, index) = (beside(real, "-wal").exists(), beside(real, "-shm").exists());
    if log && !index {
        return Err(Unreadable::LogAlone);
    }
    if log || first_bytes(real).map_err(Unreadable::Refused)?[READ_VERSION] != WAL {
        return Ok(Access::Read);
    }
    // To roll it back would be to write, which SQLite does before any statement.
    match first_bytes(&beside(real, "-journal")) {
        Ok([0, ..]) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Ok(_) => return Err(Unreadable::BrokenOff),
        Err(error) => return Err(Unreadable::Refused(error)),
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

/// What shows that it was written to; `None` where it cannot be seen.
pub fn state(path: &Path) -> Option<State> {
    let file = fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len()))
}

/// The path of a file that SQLite has beside a database, with `ending` at the end of its name.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn connect(
    uri: &str,
    access: Access,
    patience: Duration,
    stop: &Stop,
) -> rusqlite::Result<Connection> {
    let flags = match access {
        Access::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Access::Read | Access::Immutable => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let flags = flags | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    begin(Connection::open_with_flags(uri, flags)?, patience, stop)
}

/// Begins the transaction that everything is read in.
fn begin(
    mut connection: Connection,
    patience: Duration,
    stop: &Stop,
) -> rusqlite::Result<Connection> {
    connection.busy_timeout(LOOK.min(patience))?;
    connection.pragma_update(None, "query_only", true)?;
    let until = Instant::now() + patience;
    let mut journals = 0;
    while let Err(error) = connection
        .execute_batch("BEGIN")
        .and_then(|()| connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())))
    {
        // A transaction that ends in this moment looks like one that was broken off.
        let is_broken_off = extended_code(&error) == SQLITE_READONLY_ROLLBACK;
        journals += u32::from(is_broken_off);
        let again = match is_locked(&error) {
            true => Instant::now() < until && !stop.is_stopped(),
            false => is_broken_off && journals < JOURNALS,
        };
        if !again {
            return Err(error);
        }
        if !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK")?;
        }
    }
    bound(&mut connection, None, stop)?;
    Ok(connection)
}

/// Has statements of a connection end at a moment, or when told to stop.
///
/// # Errors
///
/// When SQLite refuses that.
pub fn bound(
    connection: &mut Connection,
    until: Option<Instant>,
    stop: &Stop,
) -> rusqlite::Result<()> {
    let stop = stop.clone();
    let is_due = move || until.is_some_and(|until| Instant::now() >= until);
    connection.progress_handler(STEPS, Some(move || stop.is_stopped() || is_due()))
}

fn is_locked(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn extended_code(error: &rusqlite::Error) -> std::ffi::c_int {
    error.sqlite_error().map_or(0, |error| error.extended_code)
}

fn uri(path: &Path, parameters: &str) -> String {
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(byte.into());
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("{uri}?{parameters}")
}
