//! A table is copied with all that it needs, and its database stays as it is.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod sample;
mod schema;
mod source;

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use forebay::rusqlite::{Connection, OpenFlags};
use forebay_bench::tune::{TableChoice, TableCopy, Writing};
use forebay_bench::{Result, Stop};

/// A database in a folder of its own.
struct Database {
    folder: tempfile::TempDir,
}

impl Database {
    fn with(journal_mode: &str, schema: &str) -> Self {
        let database = Self { folder: tempfile::tempdir().unwrap() };
        let connection = database.connection();
        connection.pragma_update(None, "journal_mode", journal_mode).unwrap();
        connection.execute_batch(schema).unwrap();
        database
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    fn connection(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    fn choice(&self, table: &str, writing: Writing) -> TableChoice {
        let table = table.to_owned();
        TableChoice { database: self.path(), table, writing, keys: 400, folder: None }
    }

    fn copy_of(&self, table: &str, writing: Writing) -> Result<TableCopy> {
        TableCopy::make(&self.choice(table, writing), &Stop::default())
    }

    fn copy(&self, table: &str) -> TableCopy {
        self.copy_of(table, Writing::Upsert)
            .unwrap_or_else(|error| panic!("{error} ({:?})", error.hint()))
    }

    fn refusal(&self, table: &str, writing: Writing) -> String {
        let error = self.copy_of(table, writing).unwrap_err();
        format!("{error}; {}", error.hint().unwrap_or("no hint"))
    }

    /// The names of the files beside the database.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The same with a hash of the bytes of each, but for the shared memory of those who have it open.
    fn files(&self) -> Vec<(String, Option<u64>)> {
        let hash = |name: &String| {
            let mut hasher = DefaultHasher::new();
            fs::read(self.folder.path().join(name)).unwrap().hash(&mut hasher);
            hasher.finish()
        };
        let file = |name: String| {
            let hash = (!name.ends_with("-shm")).then(|| hash(&name));
            (name, hash)
        };
        self.names().into_iter().map(file).collect()
    }
}

/// Told to stop before it has begun.
fn stopped() -> Stop {
    let stop = Stop::default();
    stop.stop();
    stop
}

/// The copy, to look into.
fn open(copy: &TableCopy) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    Connection::open_with_flags(copy.folder().join("table.db"), flags).unwrap()
}

fn texts(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn number(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

const TOPICS: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, n INTEGER);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1000)
    INSERT INTO t SELECT i, 'value ' || i, i * 7 FROM c;";
