//! What a test needs of a database when its promise is every sink's: SQLite's and PostgreSQL's.

use std::time::Duration;

use forebay::{Builder, Config, Error, Value, WriteBuffer};

/// Which database a test meets, for what they word or number differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A SQLite file.
    Sqlite,
    /// A PostgreSQL server's.
    Postgres,
}

/// A database that a test writes to through a buffer and looks into beside it. It goes when this is dropped.
pub trait Database: Sized {
    /// Which it is.
    const KIND: Kind;

    /// Another session with it.
    type Session: Session;

    /// A database that `schema` has been run on, which is written in SQLite's names of types.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    fn new(schema: &str) -> Self;

    /// A builder of a buffer in front of it. Each of its tries gives up on a lock after `patience`.
    ///
    /// # Panics
    ///
    /// When it cannot be opened.
    fn builder(&self, config: Config, patience: Duration) -> Builder;

    /// Another session, beside the buffer's.
    ///
    /// # Panics
    ///
    /// When there is none to be had.
    fn session(&self) -> Self::Session;

    /// What a query gives.
    ///
    /// # Panics
    ///
    /// When it fails.
    fn rows(&self, sql: &str) -> Vec<Vec<Value>>;

    /// Whether the buffer's own session waits for a lock.
    fn is_waiting(&self, buffer: &WriteBuffer) -> bool;

    /// Of two things that of this database.
    fn either<T>(sqlite: T, postgres: T) -> T {
        match Self::KIND {
            Kind::Sqlite => sqlite,
            Kind::Postgres => postgres,
        }
    }

    /// The number that the database gives an error.
    ///
    /// # Panics
    ///
    /// When it is none of the database's.
    fn code(error: &Error) -> String;

    /// A buffer in front of it whose batches linger for an hour, so that nothing but the test makes them due.
    ///
    /// # Panics
    ///
    /// When it does not open.
    fn buffer(&self) -> WriteBuffer {
        self.builder(lingering(), Duration::from_secs(30)).open().expect("a buffer")
    }

    /// All values of a query's first column.
    ///
    /// # Panics
    ///
    /// When it fails, or one is of another type.
    fn column<T: FromValue>(&self, sql: &str) -> Vec<T> {
        let first = |row: Vec<Value>| row.into_iter().next().expect("a column");
        self.rows(sql).into_iter().map(|row| typed(sql, first(row))).collect()
    }

    /// The one value that a query gives.
    ///
    /// # Panics
    ///
    /// When it gives none, or several, or one of another type.
    fn value<T: FromValue>(&self, sql: &str) -> T {
        let mut values = self.column(sql);
        assert_eq!(values.len(), 1, "{sql} gives one value");
        values.remove(0)
    }

    /// Runs statements in a session of their own.
    ///
    /// # Panics
    ///
    /// When one of them fails.
    fn run(&self, sql: &str) {
        self.session().run(sql);
    }
}

/// A session beside the buffer's.
pub trait Session: Send {
    /// Runs statements; it waits for locks.
    ///
    /// # Panics
    ///
    /// When one of them fails.
    fn run(&mut self, sql: &str);

    /// Runs statements in a transaction of their own: how many rows each has changed, or `None` when the database refused
    /// one, and with it all.
    fn unit(&mut self, statements: &[String]) -> Option<Vec<u64>>;

    /// Begins a transaction that nobody can write to these tables beside.
    ///
    /// # Panics
    ///
    /// When it cannot.
    fn lock(&mut self, table: &str);

    /// Ends it.
    ///
    /// # Panics
    ///
    /// When there is none.
    fn unlock(&mut self) {
        self.run("COMMIT");
    }
}

/// Settings with which nothing but the test makes a batch due.
pub fn lingering() -> Config {
    Config { linger: Duration::from_secs(3_600), ..Config::default() }
}

/// What a value of a database is to a test.
pub trait FromValue: Sized {
    /// `None` when it is of another type.
    fn of(value: Value) -> Option<Self>;
}

impl FromValue for Value {
    fn of(value: Value) -> Option<Self> {
        Some(value)
    }
}

impl FromValue for i64 {
    fn of(value: Value) -> Option<Self> {
        if let Value::Integer(integer) = value { Some(integer) } else { None }
    }
}

impl FromValue for f64 {
    fn of(value: Value) -> Option<Self> {
        if let Value::Real(real) = value { Some(real) } else { None }
    }
}

impl FromValue for String {
    fn of(value: Value) -> Option<Self> {
        if let Value::Text(text) = value { Some(text) } else { None }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn of(value: Value) -> Option<Self> {
        if let Value::Null = value { Some(None) } else { T::of(value).map(Some) }
    }
}

fn typed<T: FromValue>(sql: &str, value: Value) -> T {
    let what = format!("{sql} gives {value:?}, which is of another type");
    T::of(value).expect(&what)
}

/// Makes each of the promises a test of both sinks: `sqlite::…` and `postgres::…`.
#[macro_export]
macro_rules! on_both_sinks {
    ($($promise:ident),* $(,)?) => {
        mod sqlite {
            $(#[test] fn $promise() { super::$promise::<$crate::Scratch>() })*
        }

        mod postgres {
            $(#[test] fn $promise() { super::$promise::<$crate::Postgres>() })*
        }
    };
}
