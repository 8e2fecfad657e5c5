//! The connections that read: a bounded pool of them, opened when needed and set up for it.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, fs, process};

use deadpool::managed::{
    Manager, Metrics, Object, Pool, PoolError, QueueMode, RecycleError, RecycleResult, Timeouts,
};
use rusqlite::{Connection, OpenFlags, ffi};

use super::busy::Waiting;
use super::{fault, open, wal};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::signals::Signals;
use crate::{sync, wait};

/// Statements kept prepared for each connection.
const CACHED_STATEMENTS: usize = 64;

/// Page cache of each connection, in KiB.
const CACHE_KIB: i64 = 2_048;

/// Connections that read a SQLite file, shared by as many threads and tasks as there are.
///
/// In WAL mode readers neither wait for the writer nor hold it up. A query sees everything that was committed
/// when it began: after [`write`](crate::Producer::write), [`flush`](crate::WriteBuffer::flush) or a receipt,
/// the row. For several queries on one state of the database use `reader.unchecked_transaction()?`.
///
/// Clones are cheap and share the connections. There are [`max_readers`](Config::max_readers) at the most; each
/// is opened when it is first needed and then kept. **Hold one for a query, not for a whole request**, and never wait
/// for a second one while you hold the first. A read transaction that stays open keeps the write-ahead log from being
/// reset, so it grows.
///
/// # After the buffer was closed
///
/// Readers outlive their buffer. When it closes, those not in use are closed first, so that one file is left with
/// everything in it. If one is in use at that moment, or is opened later, the files `-wal` and `-shm` stay beside
/// the database, for a connection that only reads cannot copy the one back and delete both; they belong to
/// the database until the next buffer has opened and closed it. Before you copy the file, drop every [`Reader`], then
/// close the buffer.
#[derive(Clone)]
pub struct Readers {
    pool: Pool<Opener>,
}

/// A connection that reads, until it is dropped: then the next one gets it.
///
/// It derefs to [`rusqlite::Connection`]. Everything that writes fails with `SQLITE_READONLY`. What you change about
/// the connection itself, such as a pragma or a function, stays with it. A transaction that is still open in the end is
/// rolled back.
pub struct Reader {
    /// `None` only while it is dropped.
    object: Option<Object<Opener>>,
}

impl Readers {
    /// Opens a database that another process writes, or another part of this one.
    ///
    /// `max_readers` and `busy_timeout` of the settings are used, all of them are checked. Opens one connection, to
    /// know that it can. Where a [`WriteBuffer`](crate::WriteBuffer) is at hand, take its
    /// [`readers`](crate::WriteBuffer::readers).
    ///
    /// # Errors
    ///
    /// [`Open`](ErrorKind::Open), [`Corrupt`](ErrorKind::Corrupt) and [`Busy`](ErrorKind::Busy), saying what to do:
    /// also when the file is not there or not in WAL mode, which its first writer sees to.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("app.db");
    /// # forebay::WriteBuffer::open(&path)?.execute("CREATE TABLE topic_status(topic_id, status)")?;
    /// use forebay::{Config, Readers};
    ///
    /// let readers = Readers::open(&path, &Config::default())?;
    /// let topics: i64 = readers.get()?.query_row("SELECT count(*) FROM topic_status", [], |row| row.get(0))?;
    /// assert_eq!(topics, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(path: impl AsRef<Path>, config: &Config) -> Result<Self> {
        config.check()?;
        let path = path.as_ref();
        open::check_place(path)?;
        // As SQLite does: it follows symbolic links, and a later change of the working directory must not matter.
        let found = fs::canonicalize(path).map_err(|error| {
            let why = "the file cannot be found; its writer makes it, so open that first";
            open::cannot_open(path, why).because(error)
        })?;
        let readers = Self::of(found, config);
        readers.get()?;
        Ok(readers)
    }

    /// Readers of a database at the path that SQLite knows it by.
    pub(super) fn of(path: PathBuf, config: &Config) -> Self {
        let opener = Opener {
            wal_path: wal::wal_path(&path),
            path,
            busy_timeout: config.busy_timeout,
            process: process::id(),
        };
        let pool = Pool::builder(opener)
            .max_size(config.max_readers)
            // Whose pages are still in its cache.
            .queue_mode(QueueMode::Lifo)
            .build()
            .expect("it has no timeouts, which alone can fail");
        Self { pool }
    }

    /// Takes a connection, opening one if all are in use and there may be more. Blocks while all that there may be
    /// are in use, for `busy_timeout` at the most. On a thread of an async runtime use
    /// [`get_async`](Self::get_async): in a tokio task whose budget is spent, a wait here lasts `busy_timeout` and
    /// fails, also when a connection comes free meanwhile.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](ErrorKind::TimedOut) when none came free; as [`Readers::open`] when one cannot be opened;
    /// [`Forked`](ErrorKind::Forked) in a child process.
    pub fn get(&self) -> Result<Reader> {
        self.check_process()?;
        // Without waiting first: a wait would count against the budget of a tokio task that calls this in a loop,
        // and when that is spent there is nobody to wake this thread.
        let at_once = Timeouts::wait_millis(0);
        let mut taken = wait::block_on(self.pool.timeout_get(&at_once), None);
        if let Some(Err(PoolError::Timeout(_))) = taken {
            let deadline = sync::after(self.opener().busy_timeout);
            taken = wait::block_on(self.pool.get(), deadline);
        }
        self.reader(taken.unwrap_or(Err(PoolError::Closed)))
    }

    /// As [`get`](Self::get), without blocking the thread while all are in use: a task that waits takes no thread. For this
    /// there is no limit of time, as there is no clock without a runtime; put your runtime's timeout around it, and
    /// know that to drop the future gives up the place in the queue. To open a connection still blocks, for less than a
    /// millisecond as a rule, and so does every query:
    ///
    /// ```
    /// # async fn handler(readers: forebay::Readers) -> Result<i64, Box<dyn std::error::Error>> {
    /// let reader = readers.get_async().await?;
    /// let count = move || reader.query_row("SELECT count(*) FROM topic_status", [], |row| row.get(0));
    /// let topics = tokio::task::spawn_blocking(count).await??;
    /// # Ok(topics)
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), but for `TimedOut`.
    pub async fn get_async(&self) -> Result<Reader> {
        self.check_process()?;
        self.reader(self.pool.get().await)
    }

    /// Closes the connections that are not in use.
    pub(super) fn close_idle(&self) {
        self.pool.retain(|_, _| false);
    }

    fn opener(&self) -> &Opener {
        self.pool.manager()
    }

    fn reader(&self, taken: Result<Object<Opener>, PoolError<Error>>) -> Result<Reader> {
        match taken {
            Ok(object) => Ok(Reader { object: Some(object) }),
            Err(PoolError::Backend(error)) => Err(error),
            Err(_) => {
                let Opener { path, busy_timeout, .. } = self.opener();
                Err(Error::new(
                    ErrorKind::TimedOut,
                    format!(
                        "no connection to read {} with came free within {busy_timeout:?}: all {} are in use; hold one \
                         for a query, not for a whole request, or make max_readers larger",
                        path.display(),
                        self.pool.status().max_size,
                    ),
                ))
            }
        }
    }

    fn check_process(&self) -> Result<()> {
        let opener = self.opener();
        if process::id() == opener.process {
            return Ok(());
        }
        let path = opener.path.display();
        let message =
            format!("the readers of {path} belong to the parent process: open some after the fork");
        Err(Error::new(ErrorKind::Forked, message))
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers")
            .field("path", &self.opener().path)
            .field("max_readers", &self.pool.status().max_size)
            .finish_non_exhaustive()
    }
}

impl Deref for Reader {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        let object = self.object.as_ref().expect("it is there until it is dropped");
        object.connection.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.object.as_ref().is_some_and(|object| object.is_inherited()) {
            std::mem::forget(self.object.take());
            return;
        }
        let is_clean = !std::thread::panicking()
            && (self.is_autocommit() || self.execute_batch("ROLLBACK").is_ok());
        // What a panic has left behind on a connection is not looked for: the connection is closed.
        if let Some(object) = self.object.take_if(|_| !is_clean) {
            drop(Object::take(object));
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("path", &self.path()).finish_non_exhaustive()
    }
}

/// Opens the pool's connections and tells which of them may be used again.
struct Opener {
    path: PathBuf,
    wal_path: PathBuf,
    busy_timeout: Duration,
    process: u32,
}

/// A connection in the pool.
struct Opened {
    /// `None` only while it is dropped.
    connection: Option<Connection>,
    /// The inode of the `-wal` file, which stays while any connection is open.
    wal: Option<u64>,
    process: u32,
}

impl Opener {
    fn open(&self) -> Result<Opened> {
        let path = &self.path;
        open::check_version()?;
        open::check_place(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let mut connection =
            Connection::open_with_flags(path, flags).map_err(|error| explain(path, &error))?;
        // Rare in WAL mode: another process recovers the log, or closes as the last one. No buffer counts it.
        let uncounted = Arc::new(Signals::default());
        Waiting::install(&mut connection, path, self.busy_timeout, &uncounted);
        // The first to read the file, and so to open the log.
        let mode: String = connection
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .map_err(|error| explain(path, &error))?;
        if mode != "wal" {
            let why = format!(
                "its journal mode is `{mode}`, in which readers and the writer lock each other out: WriteBuffer::open \
                 puts it into WAL mode once and for all"
            );
            return Err(open::cannot_open(path, &why));
        }
        let wanted = [("query_only", 1), ("trusted_schema", 0), ("cache_size", -CACHE_KIB)];
        open::set(&connection, path, &wanted)?;
        connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        let wal = wal::inode(&self.wal_path);
        Ok(Opened { connection: Some(connection), wal, process: self.process })
    }
}

impl Manager for Opener {
    type Type = Opened;
    type Error = Error;

    async fn create(&self) -> Result<Opened> {
        self.open()
    }

    /// SQLite goes on reading files that were deleted or replaced.
    async fn recycle(&self, opened: &mut Opened, _: &Metrics) -> RecycleResult<Error> {
        let is_moved = opened.connection.as_ref().is_none_or(wal::has_moved);
        if is_moved || wal::inode(&self.wal_path) != opened.wal {
            return Err(RecycleError::message("the files are no longer those at their paths"));
        }
        Ok(())
    }
}

impl Opened {
    /// Whether it belongs to the process that this one was forked from.
    fn is_inherited(&self) -> bool {
        process::id() != self.process
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.is_inherited() {
            std::mem::forget(self.connection.take());
        }
    }
}

fn explain(path: &Path, error: &rusqlite::Error) -> Error {
    match fault::primary_code(error) {
        ffi::SQLITE_CANTOPEN | ffi::SQLITE_READONLY | ffi::SQLITE_IOERR | ffi::SQLITE_PERM => {
            let why = "SQLite must be able to read it and the files -wal and -shm beside it, or to make these while \
                       nobody writes";
            fault::with_cause(open::cannot_open(path, why), error)
        }
        _ => open::explain(path, error),
    }
}
