//! The SQLite sink: one connection that writes, in WAL mode, and a pool of those that read.
//!
//! Only SQLite opens the database's files. To open and close one of them by other means drops the locks
//! that this process holds on it; so everything here looks at names and inodes, and at nothing else.

mod apply;
mod books;
mod busy;
mod describe;
mod execute;
mod fault;
mod isolate;
mod open;
mod readers;
mod sql;
mod wal;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use self::books::Bookkeeping;
use self::busy::Waiting;
use self::open::Settings;
pub use self::readers::{Reader, Readers};
use self::sql::Texts;
use self::wal::Files;
use crate::batch::Batch;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::shape::Operation;
use crate::signals::Signals;
use crate::sink::{Applied, Books, Sink, SinkError, StatementInfo, TableInfo};

/// Writes batches to a SQLite file.
pub struct SqliteSink {
    path: PathBuf,
    settings: Settings,
    signals: Arc<Signals>,
    /// `None` after an outcome that was not known, or a disk that failed or may only be read, until the next attempt
    /// opens it again.
    connection: Option<Connection>,
    files: Files,
    texts: Texts,
    books: Bookkeeping,
    readers: Readers,
}

impl SqliteSink {
    /// The oldest SQLite that a sink works with, as SQLite numbers its versions. Those from 3.7.0 to 3.51.2 can
    /// corrupt a database when the WAL is reset while another connection checkpoints:
    /// <https://sqlite.org/wal.html#walresetbug>.
    pub const OLDEST_SQLITE: i32 = 3_051_003;

    /// The name of the network filesystem that a folder lies on, if it does. WAL mode cannot work there, and no sink
    /// is opened. Only Linux tells.
    pub fn network_filesystem(folder: impl AsRef<Path>) -> Option<&'static str> {
        crate::filesystem::network_filesystem(folder.as_ref())
    }

    /// Opens a database file, sets the connection up for writing and reads the settings back. A file that is made is for
    /// its owner alone to read (mode 0600 on Unix).
    ///
    /// # Errors
    ///
    /// [`Open`](crate::ErrorKind::Open), [`Corrupt`](crate::ErrorKind::Corrupt) or
    /// [`Busy`](crate::ErrorKind::Busy), with the remedy.
    pub fn open(path: impl AsRef<Path>, config: &Config) -> Result<Self> {
        let settings = Settings::new(config);
        let signals = Arc::new(Signals::default());
        let (connection, files) = open::open(path.as_ref(), &settings, &signals)?;
        // What SQLite made of the path: a later change of the working directory must not matter.
        let path = files.path().to_owned();
        Ok(Self {
            readers: Readers::of(path.clone(), config),
            path,
            settings,
            signals,
            connection: Some(connection),
            files,
            texts: Texts::default(),
            books: Bookkeeping::default(),
        })
    }

    /// The connections to read with. Take them before the sink goes into a buffer, which hands out its own only
    /// when it was opened by a path.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("app.db");
    /// use forebay::{Config, SqliteSink, WriteBuffer};
    ///
    /// let config = Config::default();
    /// let sink = SqliteSink::open(&path, &config)?;
    /// let readers = sink.readers();
    /// let buffer = WriteBuffer::with_sink(sink, config)?; // or with a sink of your own around it
    /// buffer.execute("CREATE TABLE topic_status(topic_id, status)")?;
    /// let topics: i64 = readers.get()?.query_row("SELECT count(*) FROM topic_status", [], |row| row.get(0))?;
    /// # assert_eq!(topics, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn readers(&self) -> Readers {
        self.readers.clone()
    }

    /// The connection, opened again if it was given up.
    fn connection(&mut self) -> Result<&mut Connection, SinkError> {
        if self.connection.is_none() {
            if let Some(moved) = self.files.moved_since_open() {
                return Err(SinkError::fatal(moved));
            }
            failpoint!(BeforeReopen, |error| not_opened(open::explain(&self.path, &error)));
            let opened = open::open(&self.path, &self.settings, &self.signals);
            let (connection, files) = opened.map_err(not_opened)?;
            failpoint!(AfterReopen, |error| not_opened(open::explain(&self.path, &error)));
            self.connection = Some(connection);
            self.files = files.following(&self.files);
        }
        Ok(self.connection.as_mut().expect("it is there, or was opened just now"))
    }

    /// Gives the connection up if it is of no use after an error.
    fn let_go_after(&mut self, error: &SinkError) {
        if error.needs_new_connection()
            && let Some(connection) = self.connection.take()
        {
            self.files.let_go(&connection);
        }
    }
}

fn not_opened(error: Error) -> SinkError {
    match error.kind() {
        ErrorKind::Corrupt => SinkError::fatal(error),
        _ => SinkError::down(error),
    }
}

impl Sink for SqliteSink {
    fn describe(&mut self, table: &str) -> Result<TableInfo> {
        let connection = self.connection().map_err(|error| error.error)?;
        describe::table(connection, table)
    }

    fn prepare(&mut self, sql: &str) -> Result<StatementInfo> {
        let connection = self.connection().map_err(|error| error.error)?;
        describe::statement(connection, sql)
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        self.connection()?;
        let is_execute = matches!(batch.row(0).shape().target().operation(), Operation::Execute);
        let applied = if is_execute { self.execute(batch) } else { self.write(batch) };
        // Before anybody is told that these rows are there: are the files?
        let applied = applied.and_then(|applied| match &self.connection {
            Some(connection) => self.files.check(connection, &self.signals).map(|()| applied),
            None => Ok(applied),
        });
        applied.map_err(|error| {
            self.let_go_after(&error);
            self.books.soften(batch, error)
        })
    }

    fn books(&mut self, spool: &str) -> Result<Option<Books>> {
        let connection = self.connection().map_err(|error| error.error)?;
        books::look(connection, spool)
    }

    fn open_books(&mut self, spool: &str, applied: u64) -> Result<()> {
        let connection = self.connection().map_err(|error| error.error)?;
        books::open(connection, spool, applied).map_err(|error| {
            self.let_go_after(&error);
            error.error
        })
    }

    fn is_untidy(&self) -> bool {
        self.files.is_checkpoint_due()
    }

    fn tidy(&mut self) {
        if let Some(connection) = &self.connection {
            self.files.checkpoint(connection);
        }
    }

    fn attach(&mut self, signals: Arc<Signals>) {
        if let Some(connection) = &mut self.connection {
            let timeout = self.settings.busy_timeout;
            let waiting = Waiting::install(connection, &self.path, timeout, &signals);
            self.files.wait_with(waiting);
        }
        self.signals = signals;
    }

    fn commits_on_caller(&self) -> bool {
        true
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

impl Drop for SqliteSink {
    /// The last connection to be closed copies the log into the database and deletes it, and one that only
    /// reads cannot.
    fn drop(&mut self) {
        self.readers.close_idle();
    }
}

impl std::fmt::Debug for SqliteSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteSink").field("path", &self.path).finish_non_exhaustive()
    }
}
