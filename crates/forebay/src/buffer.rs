//! The write buffer: opening it, making producers, flushing, closing.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::cut::Cutter;
use crate::error::{Error, ErrorKind, Result};
use crate::handle::{CloseReport, Handle, no_thread};
use crate::log::RowLog;
use crate::producer::{Group, Producer};
use crate::promise::promise;
use crate::queue::Shared;
use crate::receipt::Receipt;
use crate::reject::{DeadLetter, Letters, OnReject};
use crate::reject_file::RejectFile;
use crate::shape::{Place, Target};
use crate::signals::Signals;
use crate::sink::{Sink, TableInfo};
use crate::stats::{Health, Stats};
use crate::sync::{self, Mutex};
use crate::table::Table;
use crate::wait;
use crate::writer::{self, Worker};

/// A batching write buffer in front of a database.
///
/// Threads and tasks hand rows to its [`Producer`]s; one writer turns them into few, large
/// transactions. Clones are cheap and share the buffer. Dropping the last clone of the buffer and its
/// producers closes it as [`close`](Self::close) does, but can only log what went wrong; on a thread of an
/// async runtime it waits for the last rows a tenth of a second at the most, so
/// [`close_async`](Self::close_async) there.
///
/// ```
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct TopicStatus<'a> {
///     topic_id: i64,
///     status: &'a str,
/// }
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("app.db");
/// let buffer = forebay::WriteBuffer::open(&path)?;
/// buffer.execute("CREATE TABLE IF NOT EXISTS topic_status(topic_id INTEGER PRIMARY KEY, status TEXT)")?;
/// let topics = buffer.table("topic_status").upsert(["topic_id"]).producer()?;
///
/// std::thread::scope(|scope| {
///     for topic_id in 0..80 {
///         let topics = &topics;
///         scope.spawn(move || topics.push(&TopicStatus { topic_id, status: "running" }));
///     }
/// });
/// topics.write(&TopicStatus { topic_id: 7, status: "done" })?; // returns after the commit
///
/// buffer.close()?;
/// assert_eq!(buffer.stats().committed, 82); // the 80, the last one, and the CREATE TABLE
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct WriteBuffer {
    handle: Arc<Handle>,
}

/// Opens a [`WriteBuffer`] with other settings than the default ones.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("app.db");
/// use forebay::{Config, WriteBuffer};
///
/// let buffer = WriteBuffer::builder(&path)
///     .config(Config { batch_size: 10, ..Config::default() })
///     .on_reject(|letter| eprintln!("not written: {letter:?}"))
///     .open()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a builder does nothing until open()"]
pub struct Builder {
    source: Source,
    config: Config,
    on_reject: Option<OnReject>,
}

enum Source {
    #[cfg(feature = "sqlite")]
    Path(std::path::PathBuf),
    Sink(Box<dyn Sink>),
}

impl WriteBuffer {
    /// Opens a SQLite file, making it if there is none, with the default settings. On Unix a file that is made is for its
    /// owner alone to read (mode 0600), and so are the `-wal` and `-shm` beside it; one that is there is left as it is.
    ///
    /// # Errors
    ///
    /// [`Open`](ErrorKind::Open), [`Corrupt`](ErrorKind::Corrupt) and [`Busy`](ErrorKind::Busy), saying
    /// what to do, when the file cannot be opened, is no database, cannot be in WAL mode where it lies, or
    /// stays locked for `busy_timeout`.
    #[cfg(feature = "sqlite")]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self> {
        Self::builder(path).open()
    }

    /// Opens a SQLite file with other settings.
    #[cfg(feature = "sqlite")]
    pub fn builder(path: impl AsRef<std::path::Path>) -> Builder {
        Builder::new(Source::Path(path.as_ref().to_owned()))
    }

    /// Opens a buffer in front of any other sink.
    ///
    /// # Errors
    ///
    /// As [`Builder::open`].
    pub fn with_sink(sink: impl Sink + 'static, config: Config) -> Result<Self> {
        Self::builder_with_sink(sink).config(config).open()
    }

    /// Opens a buffer in front of any other sink, with other settings.
    pub fn builder_with_sink(sink: impl Sink + 'static) -> Builder {
        Builder::new(Source::Sink(Box::new(sink)))
    }

    /// Names the table for a producer to be made.
    pub fn table(&self, name: impl Into<String>) -> Table<'_> {
        Table::new(&self.handle, name.into())
    }

    /// Looks at a table: its columns, and what they take. Blocks for the batch that is being written.
    ///
    /// # Errors
    ///
    /// [`Schema`](ErrorKind::Schema) when there is no such table, and the message names those there are, or when it
    /// cannot be looked at; those of opening the file, where it had to be opened again.
    /// [`WouldDeadlock`](ErrorKind::WouldDeadlock) on the thread that writes, [`Closed`](ErrorKind::Closed) and
    /// [`Failed`](ErrorKind::Failed) when the buffer has ended, [`Panicked`](ErrorKind::Panicked) when the sink
    /// panicked, and [`Forked`](ErrorKind::Forked) in a child process.
    pub fn describe(&self, table: &str) -> Result<TableInfo> {
        let table = table.to_owned();
        self.shared().with_sink(move |sink| sink.describe(&table))
    }

    /// Makes a producer whose rows are the parameters of a statement: INSERT, REPLACE, UPDATE or DELETE,
    /// also with WITH before it. A struct's or map's fields go to the parameters `:name` (or `@name`,
    /// `$name`), a tuple's values to the parameters in order. The statement runs once for each row.
    /// Blocks for the batch that is being written. With PostgreSQL INSERT, UPDATE, DELETE or MERGE, and `:name` or `$1`.
    ///
    /// # Errors
    ///
    /// [`Statement`](ErrorKind::Statement) for anything that a row-by-row write is not: a query,
    /// RETURNING, several statements in one, transaction control, DDL, PRAGMA; and as [`describe`](Self::describe).
    pub fn statement(&self, sql: &str) -> Result<Producer> {
        let text = sql.to_owned();
        let info = self.shared().with_sink(move |sink| sink.prepare(&text))?;
        let stream = self.shared().stream(Target::statement(sql), Place::Statement(info));
        Ok(Producer::new(Arc::clone(&self.handle), stream))
    }

    /// Puts rows into the buffer that commit together or are refused together, never split over two
    /// transactions. One receipt stands for all. When `fill` fails, nothing is put in. Blocks while the
    /// buffer is full.
    ///
    /// # Errors
    ///
    /// Those of `fill`, and as [`Producer::push`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let buffer = forebay::WriteBuffer::open(dir.path().join("app.db"))?;
    /// # buffer.execute("CREATE TABLE accounts(id INTEGER PRIMARY KEY, cents INTEGER CHECK (cents >= 0))")?;
    /// let accounts = buffer.table("accounts").upsert(["id"]).producer()?;
    /// let receipt = buffer.group(|group| {
    ///     group.add(&accounts, &(1, 500))?;
    ///     group.add(&accounts, &(2, -500)) // violates the CHECK
    /// })?;
    /// assert!(receipt.wait().is_err());
    /// assert_eq!(buffer.stats().rejected, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn group(&self, fill: impl FnOnce(&mut Group<'_>) -> Result<()>) -> Result<Receipt> {
        let mut group = Group::new(&self.handle);
        fill(&mut group)?;
        Ok(group.submit()?.unwrap_or_else(|| Receipt::of_nothing(Arc::clone(self.shared()))))
    }

    /// Runs one SQL statement on the writer's connection: after everything accepted before it, before
    /// everything accepted after it, alone; with SQLite and no spool outside a transaction. For DDL, VACUUM, PRAGMA and the like;
    /// what a PRAGMA or SET changes about the connection, rather than the database, does not last. It counts as one row.
    /// Blocks until it is done. Producers see a changed table at their next row.
    ///
    /// With a [spool](Config::spool) the statement commits together with the books, once. `ATTACH`, `DETACH`, `PRAGMA` and
    /// `VACUUM` cannot run in a transaction: the books have them before they run, so that they run at most once, and not at all
    /// if the process ends in between.
    ///
    /// # Errors
    ///
    /// [`Rejected`](ErrorKind::Rejected) with the database's text as its source, and as [`Receipt::wait`].
    /// The message holds the start of `sql`.
    pub fn execute(&self, sql: &str) -> Result<()> {
        let stream = self.shared().stream(Target::execute(), Place::Execute);
        Producer::new(Arc::clone(&self.handle), stream).write(&(sql,))
    }

    /// The connections to read with: one pool for all clones of this buffer, which opens at most
    /// [`max_readers`](Config::max_readers) connections, each when it is first needed. They go on after the
    /// buffer was closed; see [`Readers`](crate::Readers) for what that means for the file.
    ///
    /// # Errors
    ///
    /// [`Open`](ErrorKind::Open) when the buffer was given a [sink](Self::with_sink) instead of a path: then
    /// [`SqliteSink::readers`](crate::SqliteSink::readers) has them. [`Forked`](ErrorKind::Forked) in a child process.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let buffer = forebay::WriteBuffer::open(dir.path().join("app.db"))?;
    /// # buffer.execute("CREATE TABLE topic_status(topic_id INTEGER PRIMARY KEY, status TEXT)")?;
    /// let topics = buffer.table("topic_status").upsert(["topic_id"]).producer()?;
    /// topics.write(&(7, "done"))?;
    ///
    /// let sql = "SELECT status FROM topic_status WHERE topic_id = ?1";
    /// let reader = buffer.readers()?.get()?;
    /// let status: String = reader.prepare_cached(sql)?.query_row([7], |row| row.get(0))?;
    /// assert_eq!(status, "done");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "sqlite")]
    pub fn readers(&self) -> Result<crate::Readers> {
        self.shared().check_process()?;
        self.handle.readers.clone().ok_or_else(|| {
            let message = format!(
                "the buffer for {} has no readers, because it was given a sink: take SqliteSink::readers() before, or \
                 Readers::open()",
                self.shared().name()
            );
            Error::new(ErrorKind::Open, message)
        })
    }

    /// Blocks until every row accepted so far is decided. Their batch is due at once. While the database
    /// cannot be written this waits with it; ask [`health`](Self::health). Ok says that they are decided, not that all were
    /// written: refused rows are dead letters, and [`Stats`] counts those that a close left.
    ///
    /// # Errors
    ///
    /// [`Failed`](ErrorKind::Failed) when the buffer has failed, [`WouldDeadlock`](ErrorKind::WouldDeadlock) on the thread
    /// that writes, and [`Forked`](ErrorKind::Forked) in a child process.
    pub fn flush(&self) -> Result<()> {
        self.shared().may_wait("flush")?;
        let barrier = self.shared().barrier();
        wait::block_on(barrier, None);
        self.shared().check_running()
    }

    /// As [`flush`](Self::flush), without blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`flush`](Self::flush); on the thread that writes whoever polls there.
    pub async fn flush_async(&self) -> Result<()> {
        self.shared().may_wait("flush")?;
        let barrier = self.shared().barrier();
        barrier.await;
        self.shared().check_running()
    }

    /// Closes the buffer for all its clones and producers: refuses new rows, writes the rest, closes the
    /// connection. Blocks until the rest is written, for `close_timeout` at the most; where rows are left then, a quarter of a
    /// second more for the database, and while `on_reject` takes them, 30 s at the most. Closing again waits for the same end.
    ///
    /// # Errors
    ///
    /// [`Unwritten`](ErrorKind::Unwritten) when rows were left; [`close_within`](Self::close_within)
    /// would have handed them back. The file of [`Config::rejects`] keeps them, if there is one, but for those
    /// that a receipt tells of. With a [spool](Config::spool) [`Spooled`](ErrorKind::Spooled) instead: they are there, and
    /// whoever opens it next writes them. [`Failed`](ErrorKind::Failed) when the buffer had failed.
    /// [`Unknown`](ErrorKind::Unknown) when rows are [unaccounted](Stats::unaccounted) for, which would be a bug.
    pub fn close(&self) -> Result<()> {
        let timeout = self.shared().config.close_timeout;
        self.close_within(timeout)?.into_result(self.shared())
    }

    /// As [`close`](Self::close) with a limit of its own, and hands back the rows that were not written. With a
    /// [spool](Config::spool) there are none to hand back: they are left in it, and [`Stats::spooled`] counts them.
    ///
    /// # Errors
    ///
    /// [`WouldDeadlock`](ErrorKind::WouldDeadlock) on the thread that writes, and
    /// [`Forked`](ErrorKind::Forked) in a child process. Rows that were left are in the report, also when the
    /// buffer had failed: those that were left when the writer panicked outside of a commit are nowhere else.
    pub fn close_within(&self, timeout: Duration) -> Result<CloseReport> {
        self.shared().may_wait("close")?;
        Ok(self.handle.close(timeout))
    }

    /// As [`close`](Self::close), without blocking the thread.
    ///
    /// # Errors
    ///
    /// As [`close`](Self::close).
    pub async fn close_async(&self) -> Result<()> {
        let timeout = self.shared().config.close_timeout;
        self.close_elsewhere(move |handle| handle.close(timeout).into_result(handle.shared()))
            .await?
    }

    /// As [`close_within`](Self::close_within), without blocking the thread: a thread of its own waits.
    ///
    /// # Errors
    ///
    /// As [`close_within`](Self::close_within).
    pub async fn close_within_async(&self, timeout: Duration) -> Result<CloseReport> {
        self.close_elsewhere(move |handle| handle.close(timeout)).await
    }

    async fn close_elsewhere<T: Send + 'static>(
        &self,
        close: impl FnOnce(&Handle) -> T + Send + 'static,
    ) -> Result<T> {
        self.shared().may_wait("close")?;
        let (promise, promised) = promise();
        let handle = Arc::clone(&self.handle);
        let closer = sync::spawn("forebay-close", move || promise.keep(close(&handle)));
        closer.map_err(|error| no_thread(&error))?;
        promised.await.ok_or_else(|| Error::new(ErrorKind::Panicked, "closing the buffer panicked"))
    }

    /// The counters since the buffer was opened.
    pub fn stats(&self) -> Stats {
        self.shared().stats()
    }

    /// How the buffer is.
    pub fn health(&self) -> Health {
        self.shared().health()
    }

    /// Whether rows are being written: for a readiness check, which keeps new work away from a process that
    /// could only gather it. Never blocks.
    ///
    /// A lock that is held elsewhere makes rows wait for minutes before the buffer counts as paused, so the
    /// age of the oldest row is looked at too. Choose a `max_delay` well above `linger` and what a commit takes.
    ///
    /// # Errors
    ///
    /// When the buffer is [paused](Health::Paused), of its cause's kind, such as [`Busy`](ErrorKind::Busy) or
    /// [`Unavailable`](ErrorKind::Unavailable). [`TimedOut`](ErrorKind::TimedOut) when the oldest row has waited
    /// for longer than `max_delay`; [`Closed`](ErrorKind::Closed) as soon as `close` has been called;
    /// [`Failed`](ErrorKind::Failed); [`Forked`](ErrorKind::Forked) in a child process.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("app.db");
    /// use std::time::Duration;
    ///
    /// let buffer = forebay::WriteBuffer::open(&path)?;
    /// let (status, text) = match buffer.ready(Duration::from_secs(5)) {
    ///     Ok(()) => (200, "ready".to_owned()),
    ///     Err(error) => (503, format!("{error:#}")),
    /// };
    /// assert_eq!((status, text.as_str()), (200, "ready"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ready(&self, max_delay: Duration) -> Result<()> {
        self.shared().ready(max_delay)
    }

    /// The settings in force.
    pub fn config(&self) -> &Config {
        &self.shared().config
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }
}

impl std::fmt::Debug for WriteBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteBuffer")
            .field("database", &self.shared().name())
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

impl Builder {
    fn new(source: Source) -> Self {
        Self { source, config: Config::default(), on_reject: None }
    }

    /// The settings.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Called with every row that will not be written (or of which that is not known) and that nobody holds
    /// a receipt for, after the row was written to the file of [`Config::rejects`], if there is one. It runs on
    /// the thread that writes, between batches: keep it short. It may [`try_push`](Producer::try_push) into
    /// this very buffer. With neither, such rows are counted and logged. The rows that a close runs out of time
    /// for do not come here: [`close_within`](WriteBuffer::close_within) hands them back. Nor do those that were
    /// left when the writer panicked outside of a commit, a bug in forebay or in a sink: they wait for
    /// `close_within` too, or go to the file when the buffer is closed or dropped.
    ///
    /// With a [spool](Config::spool) rows that are left in it do not come here: they are not lost. Refused ones come at least
    /// once: those of the last batch before a process ended come again in the next [`open`](Self::open), on its thread and before it
    /// returns, to the file too. Rows of an earlier process come here whoever held a receipt for them.
    pub fn on_reject(mut self, call: impl Fn(&DeadLetter) + Send + Sync + 'static) -> Self {
        self.on_reject = Some(Box::new(call));
        self
    }

    /// Opens the buffer and starts its writer.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) for a wrong setting; [`Open`](ErrorKind::Open) when the file of
    /// [`Config::rejects`] cannot be opened; [`Spool`](ErrorKind::Spool) when the [spool](Config::spool) cannot be used;
    /// as [`WriteBuffer::open`].
    pub fn open(self) -> Result<WriteBuffer> {
        let mut config = self.config;
        config.check()?;
        // The process may change its folder before the file is opened again.
        if let Some(file) = &mut config.rejects.file
            && let Ok(absolute) = std::path::absolute(&*file)
        {
            *file = absolute;
        }
        #[cfg(feature = "sqlite")]
        let mut readers = None;
        #[cfg_attr(not(feature = "sqlite"), allow(clippy::infallible_destructuring_match))]
        let mut sink: Box<dyn Sink> = match self.source {
            #[cfg(feature = "sqlite")]
            Source::Path(path) => {
                let sink = crate::sqlite::SqliteSink::open(path, &config)?;
                readers = Some(sink.readers());
                Box::new(sink)
            }
            Source::Sink(sink) => sink,
        };
        let file = RejectFile::open(&config.rejects)?;
        config.rejects.file = file.as_ref().map(|file| file.path().to_owned());
        let signals = Arc::new(Signals::default());
        sink.attach(Arc::clone(&signals));
        let name = sink.name();
        let mut log = RowLog::new(&config, sink.as_mut())?;
        let cutter = Cutter::new(config.max_transaction_rows, config.max_batch_bytes);
        let untold = std::mem::take(&mut log.untold);
        let worker = Worker::new(sink, cutter, Letters::new(file, self.on_reject));
        let shared = Arc::new(Shared::new(config, name, log, worker, signals));
        writer::tell(&shared, &untold);
        let writer = {
            let shared = Arc::clone(&shared);
            sync::spawn(writer::THREAD, move || writer::run(&shared))
                .map_err(|error| no_thread(&error))?
        };
        let writer = Mutex::new(Some(writer));
        shared.publish_metrics();
        let handle = Handle {
            shared,
            writer,
            #[cfg(feature = "sqlite")]
            readers,
        };
        handle.shared.start_to_grow()?;
        Ok(WriteBuffer { handle: Arc::new(handle) })
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("config", &self.config).finish_non_exhaustive()
    }
}
