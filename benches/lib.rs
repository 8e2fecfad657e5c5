//! What the benches share: the row, the database, and the hand-written way to beat.

use std::path::Path;

use rusqlite::Connection;
use serde::Serialize;

/// The classic row: the status of a topic.
#[derive(Serialize)]
pub struct TopicStatus<'a> {
    /// One of [`TOPICS`] keys.
    pub topic_id: i64,
    /// A short text.
    pub status: &'a str,
    /// A number that changes with every update.
    pub progress: i64,
    /// Milliseconds of some clock.
    pub updated_at: i64,
}

/// Keys that are updated over and over.
pub const TOPICS: i64 = 400;

/// The table that [`TopicStatus`] goes to.
pub const SCHEMA: &str = "CREATE TABLE topic_status(
    topic_id INTEGER PRIMARY KEY, status TEXT NOT NULL, progress INTEGER NOT NULL, updated_at INTEGER NOT NULL)";

/// The update with this number.
pub fn update(number: i64) -> TopicStatus<'static> {
    TopicStatus {
        topic_id: number * 7 % TOPICS,
        status: "running",
        progress: number % 100,
        updated_at: number,
    }
}

/// A new database in `folder` with the table in it.
///
/// # Panics
///
/// When it cannot be made.
pub fn database(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("bench.db");
    if !path.exists() {
        connect(&path).execute_batch(SCHEMA).expect("the table");
    }
    path
}

/// A connection with the settings that forebay uses by default.
///
/// # Panics
///
/// When it cannot be opened.
pub fn connect(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("a connection");
    let settings = [("journal_mode", "WAL"), ("synchronous", "NORMAL"), ("cache_size", "-16384")];
    for (name, value) in settings.into_iter().chain([("wal_autocheckpoint", "10240")]) {
        connection
            .pragma_update_and_check(None, name, value, |_| Ok(()))
            .or_else(ignore_no_row)
            .expect(name);
    }
    connection.set_prepared_statement_cache_capacity(64);
    connection
}

/// Some pragmas answer with a row and some do not.
fn ignore_no_row(error: rusqlite::Error) -> rusqlite::Result<()> {
    if matches!(error, rusqlite::Error::QueryReturnedNoRows) { Ok(()) } else { Err(error) }
}

/// Rows in one statement of the hand-written way.
const ROWS: usize = 50;

/// The ceiling: one thread, no queue, hand-written multi-row upserts, `batch` rows for each transaction.
///
/// # Panics
///
/// When SQLite refuses.
pub fn write_by_hand(connection: &Connection, numbers: std::ops::Range<i64>, batch: usize) {
    let sql = |rows: usize| {
        format!(
            "INSERT INTO topic_status(topic_id, status, progress, updated_at) VALUES {} ON CONFLICT(topic_id) DO \
             UPDATE SET status=excluded.status, progress=excluded.progress, updated_at=excluded.updated_at",
            vec!["(?,?,?,?)"; rows].join(",")
        )
    };
    let (many, one) = (sql(ROWS), sql(1));
    let numbers: Vec<i64> = numbers.collect();
    for batch in numbers.chunks(batch) {
        connection
            .prepare_cached("BEGIN IMMEDIATE")
            .and_then(|mut begin| begin.execute([]))
            .expect("BEGIN");
        let mut chunks = batch.chunks_exact(ROWS);
        let mut statement = connection.prepare_cached(&many).expect("a statement");
        for chunk in &mut chunks {
            bind(&mut statement, chunk);
            statement.raw_execute().expect("an upsert");
        }
        let mut statement = connection.prepare_cached(&one).expect("a statement");
        for number in chunks.remainder() {
            bind(&mut statement, std::slice::from_ref(number));
            statement.raw_execute().expect("an upsert");
        }
        connection
            .prepare_cached("COMMIT")
            .and_then(|mut commit| commit.execute([]))
            .expect("COMMIT");
    }
}

fn bind(statement: &mut rusqlite::Statement<'_>, numbers: &[i64]) {
    for (index, number) in numbers.iter().enumerate() {
        let row = update(*number);
        let first = index * 4 + 1;
        statement.raw_bind_parameter(first, row.topic_id).expect("a parameter");
        statement.raw_bind_parameter(first + 1, row.status).expect("a parameter");
        statement.raw_bind_parameter(first + 2, row.progress).expect("a parameter");
        statement.raw_bind_parameter(first + 3, row.updated_at).expect("a parameter");
    }
}
