//! A scratch folder with a SQLite database in it, looked at with a connection of its own.

use std::path::PathBuf;
use std::time::Duration;

use forebay::{Builder, Config, Error, Value, WriteBuffer};
use rusqlite::types::FromSql;
use rusqlite::{Connection, Params};

use crate::either::{Database, Kind, Session};

/// A folder that is removed in the end, with a database in it.
pub struct Scratch {
    folder: tempfile::TempDir,
}

impl Scratch {
    /// An empty database that `schema` has been run on.
    ///
    /// # Panics
    ///
    /// When the folder or the database cannot be made.
    pub fn new(schema: &str) -> Self {
        let scratch = Self { folder: tempfile::tempdir().expect("a scratch folder") };
        scratch.connection().execute_batch(schema).expect("the schema");
        scratch
    }

    /// Where the database is.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }

    /// Leaves the folder where it is, which is returned.
    pub fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    /// A connection beside the buffer's, which waits for no lock.
    ///
    /// # Panics
    ///
    /// When it cannot be opened.
    pub fn connection(&self) -> Connection {
        let connection = Connection::open(self.path()).expect("a second connection");
        // Only to say that the log is one that is there may meet somebody's lock.
        connection.busy_timeout(Duration::from_secs(5)).expect("a timeout");
        connection.pragma_update(None, "journal_mode", "WAL").expect("WAL");
        connection.busy_timeout(Duration::ZERO).expect("a timeout");
        connection
    }

    /// A buffer in front of it, with the default settings.
    ///
    /// # Panics
    ///
    /// When it does not open.
    pub fn buffer(&self) -> WriteBuffer {
        self.builder().open().expect("a buffer")
    }

    /// A builder of such a buffer; its batches linger for an hour, so that nothing but the test makes them due.
    pub fn builder(&self) -> Builder {
        let hour = Duration::from_secs(3_600);
        WriteBuffer::builder(self.path()).config(Config { linger: hour, ..Config::default() })
    }

    /// The one value that a query gives.
    ///
    /// # Panics
    ///
    /// When it gives none, or one of another type.
    pub fn value<T: FromSql>(&self, sql: &str, parameters: impl Params) -> T {
        self.connection().query_row(sql, parameters, |row| row.get(0)).expect(sql)
    }

    /// All values of a query's first column.
    ///
    /// # Panics
    ///
    /// When one is of another type.
    pub fn column<T: FromSql>(&self, sql: &str) -> Vec<T> {
        let connection = self.connection();
        let mut statement = connection.prepare(sql).expect(sql);
        let rows = statement.query_map([], |row| row.get(0)).expect(sql);
        rows.map(|value| value.expect(sql)).collect()
    }
}

impl Database for Scratch {
    const KIND: Kind = Kind::Sqlite;

    type Session = Connection;

    fn new(schema: &str) -> Self {
        Self::new(schema)
    }

    fn builder(&self, config: Config, patience: Duration) -> Builder {
        WriteBuffer::builder(self.path()).config(Config { busy_timeout: patience, ..config })
    }

    fn session(&self) -> Connection {
        let session = self.connection();
        session.busy_timeout(Duration::from_secs(30)).expect("a timeout");
        // What it writes need not survive the test.
        session.pragma_update(None, "synchronous", "OFF").expect("a setting");
        session
    }

    fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        rows(&self.connection(), sql)
    }

    fn is_waiting(&self, buffer: &WriteBuffer) -> bool {
        buffer.stats().busy_time > Duration::ZERO
    }

    fn code(error: &Error) -> String {
        error.code().expect("an error of SQLite's has a code").to_string()
    }
}

impl Session for Connection {
    fn run(&mut self, sql: &str) {
        self.execute_batch(sql).expect(sql);
    }

    fn unit(&mut self, statements: &[String]) -> Option<Vec<u64>> {
        let run = |sql: &String| self.execute(sql, ()).map(|rows| rows as u64).ok();
        if let [statement] = statements {
            return run(statement).map(|rows| vec![rows]);
        }
        self.execute_batch("BEGIN").expect("a transaction");
        let changed = statements.iter().map(run).collect::<Option<_>>();
        // What refused it may have ended the transaction.
        if !self.is_autocommit() {
            let end = if changed.is_some() { "COMMIT" } else { "ROLLBACK" };
            self.execute_batch(end).expect("nothing is deferred");
        }
        changed
    }

    fn lock(&mut self, _: &str) {
        self.run("BEGIN IMMEDIATE");
    }
}

fn rows(connection: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut statement = connection.prepare(sql).expect(sql);
    let columns = statement.column_count();
    let rows =
        statement.query_map((), |row| (0..columns).map(|at| Ok(value(row.get(at)?))).collect());
    rows.expect(sql).map(|row| row.expect(sql)).collect()
}

fn value(value: rusqlite::types::Value) -> Value {
    match value {
        rusqlite::types::Value::Null => Value::Null,
        rusqlite::types::Value::Integer(integer) => Value::Integer(integer),
        rusqlite::types::Value::Real(real) => Value::Real(real),
        rusqlite::types::Value::Text(text) => Value::Text(text),
        rusqlite::types::Value::Blob(bytes) => Value::Blob(bytes),
    }
}
