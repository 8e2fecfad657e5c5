//! The files behind the connection: are they still the ones at their paths, and how large is the log.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rusqlite::hooks::Wal;
use rusqlite::{Connection, FileControl, MAIN_DB};

use super::busy::Waiting;
use crate::error::{Error, ErrorKind};
use crate::signals::Signals;
use crate::sink::SinkError;
use crate::sync::{AtomicU64, Ordering};

/// Bytes before each page in the WAL, by the [file format](https://sqlite.org/fileformat2.html#walformat).
const FRAME_HEADER: u64 = 24;

/// Watches the database's files. Only their names and inodes: to open one would be to close it again, and
/// that drops the locks of this process.
pub(super) struct Files {
    path: PathBuf,
    wal_path: PathBuf,
    database: Option<u64>,
    /// The inode of the `-wal` file, once there is one.
    wal: Option<u64>,
    /// What a page takes in the WAL.
    frame_bytes: u64,
    max_wal_bytes: u64,
    /// Pages in the WAL after the last commit, told by SQLite's hook.
    pages: Arc<AtomicU64>,
    /// The same, one commit earlier.
    last_pages: u64,
    /// Pages at which a checkpoint is worth trying.
    checkpoint_at: u64,
    held: Option<Held>,
    waiting: Waiting,
}

/// Readers keep the WAL from being reset.
struct Held {
    since: Instant,
    warn_at: u64,
}

impl Files {
    pub(super) fn watch(
        connection: &mut Connection,
        path: &Path,
        max_wal_bytes: usize,
        waiting: Waiting,
    ) -> rusqlite::Result<Self> {
        let page_bytes: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let frame_bytes = u64::from(page_bytes) + FRAME_HEADER;
        let pages = Arc::new(AtomicU64::new(0));
        let hook = {
            let pages = Arc::clone(&pages);
            move |_: &mut Wal, count: i32| {
                pages.store(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
                Ok(())
            }
        };
        connection.wal_hook(Some(hook))?;
        let max_wal_bytes = max_wal_bytes as u64;
        // SQLite follows symbolic links, and the files beside the database are beside their target.
        let path =
            connection.path().filter(|path| !path.is_empty()).map_or(path, Path::new).to_owned();
        let wal_path = wal_path(&path);
        Ok(Self {
            database: inode(&path),
            wal: inode(&wal_path),
            path,
            wal_path,
            frame_bytes,
            max_wal_bytes,
            pages,
            last_pages: 0,
            checkpoint_at: max_wal_bytes / frame_bytes,
            held: None,
            waiting,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails when what was committed just now is not in the files at the database's path. SQLite goes on
    /// saying Ok when they were deleted or replaced.
    pub(super) fn check(
        &mut self,
        connection: &Connection,
        signals: &Signals,
    ) -> Result<(), SinkError> {
        self.waiting.end(&self.path);
        let pages = self.pages.load(Ordering::Relaxed);
        signals.set_log_bytes(pages * self.frame_bytes);
        if pages < self.last_pages {
            self.was_reset();
        }
        self.last_pages = pages;
        if has_moved(connection) {
            return Err(SinkError::lost(self.moved_error(&self.path)));
        }
        let wal = inode(&self.wal_path);
        if self.wal.is_none() {
            self.wal = wal;
        }
        // Before the first commit there may be none.
        if self.wal != wal || wal.is_none() && pages > 0 {
            return Err(SinkError::lost(self.moved_error(&self.wal_path)));
        }
        Ok(())
    }

    pub(super) fn wait_with(&mut self, waiting: Waiting) {
        self.waiting = waiting;
    }

    /// The same before a connection is opened again.
    pub(super) fn moved_since_open(&self) -> Option<Error> {
        (inode(&self.path) != self.database).then(|| self.moved_error(&self.path))
    }

    fn moved_error(&self, file: &Path) -> Error {
        Error::new(
            ErrorKind::DatabaseMoved,
            format!(
                "{} was deleted, renamed or replaced while it was open: rows written since are not in the file that \
                 is there now; stop every writer before you move or restore a database",
                file.display()
            ),
        )
    }

    pub(super) fn is_checkpoint_due(&self) -> bool {
        self.pages.load(Ordering::Relaxed) >= self.checkpoint_at
    }

    /// Copies the WAL into the database when it has reached its limit, after which the next commit begins it
    /// anew if no reader needs it. What a reader needs stays until the next time. Where readers overlap there is
    /// no such moment by itself, so from twice the limit on their end is waited for, briefly.
    pub(super) fn checkpoint(&mut self, connection: &Connection) {
        if !self.is_checkpoint_due() {
            return;
        }
        let pages = self.pages.load(Ordering::Relaxed);
        let limit = self.limit();
        self.checkpoint_at = pages + limit.div_ceil(4);
        let run = |sql: &str| {
            failpoint!(BeforeCheckpoint, |error| error);
            let blocked = connection.query_row(sql, [], |row| row.get::<_, bool>(0));
            failpoint!(AfterCheckpoint, |error| error);
            blocked
        };
        let blocked = if pages < 2 * limit {
            run("PRAGMA wal_checkpoint(PASSIVE)").map(|_| false)
        } else {
            self.waiting.briefly(|| run("PRAGMA wal_checkpoint(RESTART)"))
        };
        match blocked {
            Ok(true) => self.is_held(pages),
            Ok(false) => {}
            Err(error) => {
                let database = self.path.display();
                tracing::warn!("checkpoint of {database} failed and is tried again later: {error}");
            }
        }
    }

    fn limit(&self) -> u64 {
        self.max_wal_bytes / self.frame_bytes
    }

    fn is_held(&mut self, pages: u64) {
        let held = self.held.get_or_insert_with(|| Held { since: Instant::now(), warn_at: pages });
        if pages >= held.warn_at {
            held.warn_at = 2 * pages;
            let bytes = pages * self.frame_bytes;
            tracing::warn!(
                wal_bytes = bytes,
                seconds = held.since.elapsed().as_secs(),
                "the WAL of {} has grown to {} MiB and cannot be reset, because elsewhere a read transaction stays open",
                self.path.display(),
                bytes / (1024 * 1024),
            );
        }
    }

    fn was_reset(&mut self) {
        self.checkpoint_at = self.limit();
        if let Some(held) = self.held.take() {
            let seconds = held.since.elapsed().as_secs();
            tracing::info!(
                seconds,
                "the WAL of {} was reset after {seconds}s",
                self.path.display()
            );
        }
    }
}

/// Where the write-ahead log of a database is.
pub(super) fn wal_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    path.into()
}

/// Whether the open database is no longer the file at its path.
pub(super) fn has_moved(connection: &Connection) -> bool {
    #[cfg(unix)]
    {
        let mut moved = 0;
        connection.file_control(Some(MAIN_DB), FileControl::HasMoved(&mut moved)).is_ok()
            && moved != 0
    }
    #[cfg(not(unix))]
    {
        let _ = connection;
        false
    }
}

#[cfg(unix)]
pub(super) fn inode(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}

/// Elsewhere an open file can be neither deleted nor replaced.
#[cfg(not(unix))]
pub(super) fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|_| 0)
}
