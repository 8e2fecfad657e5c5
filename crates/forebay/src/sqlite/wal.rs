//! The files behind the connection: are they still the ones at their paths, and how large is the log.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rusqlite::config::DbConfig;
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
    database: Option<u64>,
    /// The size of the database when it was last looked at.
    bytes: u64,
    wal: Beside,
    /// The index of the WAL, in which the locks are too.
    shm: Beside,
    page_bytes: u64,
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

/// A file beside the database, and the inode that it had when it was first seen.
struct Beside {
    path: PathBuf,
    inode: Option<u64>,
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
        let page_bytes = u64::from(page_bytes);
        let frame_bytes = page_bytes + FRAME_HEADER;
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
        Ok(Self {
            database: inode(&path),
            wal: Beside::of(wal_path(&path)),
            shm: Beside::of(beside(&path, "-shm")),
            path,
            bytes: 0,
            page_bytes,
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
        let Some(database) = fs::metadata(&self.path).ok().filter(|file| self.is_same(file)) else {
            return Err(SinkError::lost(self.moved_error(&self.path)));
        };
        if database.len() < self.bytes && self.is_cut_short(connection, database.len()) {
            keep_wal(connection);
            return Err(SinkError::lost(self.overwritten_error()));
        }
        self.bytes = database.len();
        // Before the first commit there may be none.
        let must_be = pages > 0;
        if !self.wal.is_there(must_be) {
            if self.wal.is_replaced() {
                keep_wal(connection);
            }
            return Err(SinkError::lost(self.moved_error(&self.wal.path)));
        }
        if !self.shm.is_there(must_be) {
            keep_wal(connection);
            return Err(SinkError::lost(self.moved_error(&self.shm.path)));
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

    /// Before a connection is closed that is to be opened again: what may have been copied over the file is left alone.
    pub(super) fn let_go(&self, connection: &Connection) {
        if self.has_shrunk() {
            keep_wal(connection);
        }
    }

    /// The files of a connection that was opened again: what happened to the database meanwhile is noticed all the same.
    pub(super) fn following(self, before: &Self) -> Self {
        Self { bytes: before.bytes, ..self }
    }

    fn has_shrunk(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|file| file.len() < self.bytes)
    }

    fn is_same(&self, file: &Metadata) -> bool {
        Some(inode_of(file)) == self.database
    }

    /// Whether pages are missing from a database that is smaller than before. VACUUM makes it smaller, too; whoever copies
    /// a backup over it has SQLite go on with what it remembers of the pages, so that is forgotten first.
    fn is_cut_short(&self, connection: &Connection, bytes: u64) -> bool {
        let read = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
        // How many commits of others this connection has seen; pages by the first page, which says how many there are.
        let look = || Ok::<_, rusqlite::Error>((read("data_version")?, read("page_count")?));
        let before = look();
        if matches!(before, Ok((_, pages)) if u64::from(pages) * self.page_bytes <= bytes) {
            return false;
        }
        tracing::warn!(
            "{} has become smaller, as by a VACUUM or by a backup copied over it: it is checked before anything is \
             acknowledged, which takes as long as to read it",
            self.path.display()
        );
        let forgotten = connection.execute_batch("PRAGMA shrink_memory");
        if let (Ok((seen, pages)), Ok((now_seen, now_pages))) = (before, look())
            && seen == now_seen
            && now_pages < pages
        {
            // A sound database, but another: nobody has committed that it has become smaller.
            return true;
        }
        let sound = forgotten.and_then(|()| {
            let check = "PRAGMA quick_check(1)";
            // It says of rows, too, what they violate; that is no matter of the file.
            connection.query_row(check, [], |row| Ok(!row.get::<_, String>(0)?.starts_with("***")))
        });
        !matches!(sound, Ok(true))
    }

    fn overwritten_error(&self) -> Error {
        let path = self.path.display();
        Error::new(
            ErrorKind::Corrupt,
            format!(
                "{path} was overwritten or cut short while it was open, and pages of it are missing; where a backup was \
                 copied over it, delete {path}-wal and {path}-shm, which belong to what was there before, and stop every \
                 writer before you restore a database",
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
        // A file that has shrunk would grow again by it, and nobody see that something was copied over it.
        if !self.is_checkpoint_due() || self.has_shrunk() {
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
            Ok(false) => {
                // What this made smaller, after a VACUUM, nobody else has cut short.
                self.bytes = fs::metadata(&self.path).map_or(self.bytes, |file| file.len());
            }
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

impl Beside {
    fn of(path: PathBuf) -> Self {
        Self { inode: inode(&path), path }
    }

    /// Whether the file at the path is still the one that was there first.
    fn is_there(&mut self, must_be: bool) -> bool {
        let now = inode(&self.path);
        if self.inode.is_none() {
            self.inode = now;
        }
        self.inode == now && (now.is_some() || !must_be)
    }

    /// Whether there is another file at the path: not ours to copy anything over, nor to delete.
    fn is_replaced(&self) -> bool {
        inode(&self.path).is_some_and(|now| Some(now) != self.inode)
    }
}

/// Where the write-ahead log of a database is.
pub(super) fn wal_path(database: &Path) -> PathBuf {
    beside(database, "-wal")
}

fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Has the connection leave the WAL to others when it closes. By an index that is not theirs it would copy the wrong
/// pages of it into the database, and delete what they have written.
fn keep_wal(connection: &Connection) {
    let kept = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    kept.expect("changing a setting of the connection cannot fail");
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

pub(super) fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|file| inode_of(&file))
}

#[cfg(unix)]
fn inode_of(file: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(file)
}

/// Elsewhere an open file can be neither deleted nor replaced.
#[cfg(not(unix))]
fn inode_of(_: &Metadata) -> u64 {
    0
}
