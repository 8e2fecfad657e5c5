//! What the benches share: the row, the database, the threads, and the hand-written way to beat.

use std::cell::Cell;
use std::hint::black_box;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::Instant;

use forebay::{
    Applied, Batch, Books, Config, Error, Producer, Sink, SinkError, StatementInfo, TableInfo,
    WriteBuffer,
};
use rusqlite::{Connection, Statement};
use serde::Serialize;
use tempfile::TempDir;

/// The classic row: the status of a topic.
#[derive(Serialize)]
pub struct TopicStatus<'a> {
    /// One of [`TOPICS`] keys.
    pub topic_id: i64,
    /// A text.
    pub status: &'a str,
    /// A number that changes with every update.
    pub progress: i64,
    /// Milliseconds of some clock.
    pub updated_at: i64,
}

/// Keys that are updated over and over.
pub const TOPICS: i64 = 400;

const SCHEMA: &str = "CREATE TABLE topic_status(
    topic_id INTEGER PRIMARY KEY, status TEXT NOT NULL, progress INTEGER NOT NULL, updated_at INTEGER NOT NULL)";

/// The update with this number; its text has 7 bytes.
///
/// No two are alike, and numbers must not come again while something is measured: SQLite writes nothing for a
/// row that is what it was. The keys are random, so that rows one after the other touch as many pages whether they
/// come from one thread or from many.
pub fn update(number: u64) -> TopicStatus<'static> {
    let topic_id = fastrand::Rng::with_seed(number).i64(0..TOPICS);
    let number = number as i64;
    TopicStatus { topic_id, status: "running", progress: number % 100, updated_at: number }
}

/// A text of 1 KiB, for a fat row.
pub fn fat_text() -> String {
    "x".repeat(1024)
}

/// Which of the rows with one key that wait in the buffer are written.
#[derive(Clone, Copy)]
pub enum Rows {
    /// Each of them.
    All,
    /// The newest: the producer coalesces.
    Newest,
}

/// A producer that upserts topics.
///
/// # Panics
///
/// When the buffer's table is another one.
pub fn topics(buffer: &WriteBuffer, rows: Rows) -> Producer {
    let table = buffer.table("topic_status").upsert(["topic_id"]);
    let table = match rows {
        Rows::All => table,
        Rows::Newest => table.coalesce(),
    };
    table.producer().expect("a producer")
}

/// Checks that `rows` were accepted since the buffer was opened, and that they are all written.
///
/// # Panics
///
/// When they are not.
pub fn check(buffer: &WriteBuffer, rows: u64) {
    buffer.flush().expect("a flush");
    let stats = buffer.stats();
    assert_eq!((stats.accepted, stats.committed + stats.superseded), (rows, rows), "{stats:?}");
}

/// A sink that takes everything at once, whose tables are all the topics' one.
pub struct Nowhere;

impl Sink for Nowhere {
    fn describe(&mut self, table: &str) -> Result<TableInfo, Error> {
        let columns = ["topic_id", "status", "progress", "updated_at"];
        Ok(columns.into_iter().fold(TableInfo::new(table), TableInfo::column).unique(["topic_id"]))
    }

    fn prepare(&mut self, _: &str) -> Result<StatementInfo, Error> {
        Ok(StatementInfo::default())
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        black_box(batch.len());
        Ok(Applied { transactions: 1, ..Applied::default() })
    }

    /// For a spool, whose rows it would take twice.
    fn books(&mut self, _: &str) -> Result<Option<Books>, Error> {
        Ok(None)
    }
}

/// A new database with the table, in a folder below `parent` that is deleted when it is dropped. Benches give
/// cargo's `CARGO_TARGET_TMPDIR`, which is in the target folder and so on a disk; `/tmp` may be memory.
///
/// # Panics
///
/// When it cannot be made.
pub fn database(parent: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir_in(parent).expect("a folder");
    let path = folder.path().join("bench.db");
    connect(&path).execute_batch(SCHEMA).expect("the table");
    (folder, path)
}

/// A connection with the settings that forebay uses by default.
///
/// # Panics
///
/// When it cannot be opened.
pub fn connect(path: &Path) -> Connection {
    let config = Config::default();
    let connection = Connection::open(path).expect("a connection");
    connection.pragma_update(None, "journal_mode", "WAL").expect("WAL mode");
    let page_bytes: i64 =
        connection.pragma_query_value(None, "page_size", |row| row.get(0)).expect("page_size");
    let settings = [
        ("synchronous", 1),
        ("wal_autocheckpoint", config.max_wal_bytes as i64 / page_bytes),
        ("journal_size_limit", config.max_wal_bytes as i64),
        ("cache_size", -((config.max_cache_bytes / 1024) as i64)),
        ("trusted_schema", 0),
        ("foreign_keys", 1),
    ];
    for (name, value) in settings {
        connection.pragma_update(None, name, value).expect(name);
    }
    connection
}

/// Rows in one statement of the hand-written way: as many as in forebay's largest.
const MANY: usize = 50;

/// The ceiling: one thread, no queue, multi-row upserts written by hand, each statement prepared once.
pub struct ByHand<'c> {
    batch: usize,
    many: usize,
    begin: Statement<'c>,
    upsert_many: Statement<'c>,
    upsert_one: Statement<'c>,
    commit: Statement<'c>,
}

impl<'c> ByHand<'c> {
    /// Prepares transactions of `batch` rows.
    ///
    /// # Panics
    ///
    /// When SQLite refuses.
    pub fn new(connection: &'c Connection, batch: usize) -> Self {
        let prepare = |sql: &str| connection.prepare(sql).expect("a statement");
        let many = MANY.min(batch);
        Self {
            batch,
            many,
            begin: prepare("BEGIN IMMEDIATE"),
            upsert_many: prepare(&upsert(many)),
            upsert_one: prepare(&upsert(1)),
            commit: prepare("COMMIT"),
        }
    }

    /// Writes the updates with these numbers. What is left of the last batch is a transaction too.
    ///
    /// # Panics
    ///
    /// When SQLite refuses.
    pub fn write(&mut self, numbers: Range<u64>) {
        for batch in chunks(numbers, self.batch) {
            self.begin.raw_execute().expect("BEGIN");
            for chunk in chunks(batch, self.many) {
                if chunk.end - chunk.start == self.many as u64 {
                    run(&mut self.upsert_many, chunk);
                } else {
                    chunk.for_each(|number| run(&mut self.upsert_one, number..number + 1));
                }
            }
            self.commit.raw_execute().expect("COMMIT");
        }
    }
}

fn chunks(numbers: Range<u64>, size: usize) -> impl Iterator<Item = Range<u64>> {
    let end = numbers.end;
    numbers.step_by(size).map(move |first| first..end.min(first + size as u64))
}

fn upsert(rows: usize) -> String {
    format!(
        "INSERT INTO topic_status(topic_id, status, progress, updated_at) VALUES {} ON CONFLICT(topic_id) DO \
         UPDATE SET status=excluded.status, progress=excluded.progress, updated_at=excluded.updated_at",
        vec!["(?,?,?,?)"; rows].join(",")
    )
}

fn run(statement: &mut Statement<'_>, numbers: Range<u64>) {
    for (index, number) in numbers.enumerate() {
        let row = update(number);
        let first = index * 4 + 1;
        statement.raw_bind_parameter(first, row.topic_id).expect("a parameter");
        statement.raw_bind_parameter(first + 1, row.status).expect("a parameter");
        statement.raw_bind_parameter(first + 2, row.progress).expect("a parameter");
        statement.raw_bind_parameter(first + 3, row.updated_at).expect("a parameter");
    }
    statement.raw_execute().expect("an upsert");
}

/// Has `threads` threads share the numbers and call `work` with each. Returns when the first of them began and
/// when the last ended; starting the threads comes before that.
///
/// # Panics
///
/// When `work` does.
pub fn share(threads: u64, numbers: Range<u64>, work: impl Fn(u64) + Sync) -> Range<Instant> {
    let ready = Barrier::new(threads as usize);
    let run = |thread: u64| {
        let numbers = (numbers.start + thread..numbers.end).step_by(threads as usize);
        ready.wait();
        let start = Instant::now();
        numbers.for_each(&work);
        start..Instant::now()
    };
    let spans: Vec<_> = std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread that worked")).collect()
    });
    let start = spans.iter().map(|span| span.start).min().expect("a thread");
    let end = spans.iter().map(|span| span.end).max().expect("a thread");
    start..end
}

/// Rows that were asked for so far, over all samples of a bench.
#[derive(Default)]
pub struct Count(Cell<u64>);

impl Count {
    /// The numbers of the next `rows`.
    pub fn next(&self, rows: u64) -> Range<u64> {
        let start = self.0.get();
        self.0.set(start + rows);
        start..start + rows
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.0.get()
    }
}
