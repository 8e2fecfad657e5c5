//! A database of a test's own on the shared server, looked at with a client of its own.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use forebay::{Builder, Config, Error, Value, WriteBuffer};
use forebay_postgres::PostgresOptions;
use parking_lot::Mutex;
use postgres::types::Type;
use postgres::{Client, NoTls, SimpleQueryMessage, SimpleQueryRow};

use super::Cluster;
use crate::either::{Database, Kind, Session};

/// A database on the shared server that is dropped in the end.
pub struct Postgres {
    cluster: &'static Cluster,
    name: String,
    client: Mutex<Client>,
}

impl Postgres {
    /// Where it is.
    pub fn url(&self) -> String {
        self.cluster.url(&self.name)
    }

    /// The same by TCP.
    pub fn tcp_url(&self) -> String {
        self.cluster.tcp_url(&self.name)
    }

    /// Another client, beside the one that looks.
    ///
    /// # Panics
    ///
    /// When it cannot connect.
    pub fn connect(&self) -> Client {
        self.cluster.config(&self.name).connect(NoTls).expect("a second client")
    }
}

impl Database for Postgres {
    const KIND: Kind = Kind::Postgres;

    type Session = Client;

    fn new(schema: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let (cluster, name) = (Cluster::shared(), format!("test_{}_{number}", process::id()));
        maintain(cluster, &format!("CREATE DATABASE {name}"));
        let client = cluster.config(&name).connect(NoTls).expect("a new database");
        let database = Self { cluster, name, client: Mutex::new(client) };
        database.run(schema);
        database
    }

    fn builder(&self, config: Config, patience: Duration) -> Builder {
        let options = PostgresOptions { lock_timeout: patience, ..PostgresOptions::default() };
        let sink = options.connect(&self.url()).expect("a sink");
        WriteBuffer::builder_with_sink(sink).config(config)
    }

    fn session(&self) -> Client {
        self.connect()
    }

    fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        rows(&mut self.client.lock(), sql)
    }

    fn run(&self, sql: &str) {
        self.client.lock().run(sql);
    }

    fn is_waiting(&self, _: &WriteBuffer) -> bool {
        let waits = "SELECT 1 FROM pg_locks JOIN pg_database ON database = pg_database.oid \
                     WHERE datname = current_database() AND NOT granted";
        !self.rows(waits).is_empty()
    }

    fn code(error: &Error) -> String {
        error.sqlstate().expect("an error of PostgreSQL's has a SQLSTATE").to_owned()
    }
}

impl Drop for Postgres {
    /// A database that somebody still uses goes, too: their sessions are ended.
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        let maintenance = self.cluster.config("postgres").connect(NoTls);
        // It goes with the server if not now.
        let _ = maintenance.map(|mut client| client.batch_execute(&drop));
    }
}

fn maintain(cluster: &Cluster, sql: &str) {
    let mut client = cluster.config("postgres").connect(NoTls).expect("the shared server");
    client.batch_execute(sql).expect("a superuser may do that");
}

/// A query's rows, with every value as forebay has it: numbers as numbers, and what it has no type for as text.
///
/// # Panics
///
/// When it fails.
pub(crate) fn rows(client: &mut Client, sql: &str) -> Vec<Vec<Value>> {
    let prepared = client.prepare(sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let types: Vec<Type> = prepared.columns().iter().map(|column| column.type_().clone()).collect();
    let messages = client.simple_query(sql).expect("a query that could be prepared");
    let row = |row: SimpleQueryRow| {
        let cell = |(place, of)| row.get(place).map_or(Value::Null, |text| value(of, text));
        types.iter().enumerate().map(cell).collect()
    };
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(found) => Some(row(found)),
        _ => None,
    });
    rows.collect()
}

/// A value from the text that the server writes for it.
fn value(of: &Type, text: &str) -> Value {
    let number = || text.parse().expect("the server writes numbers so that they can be read");
    match *of {
        Type::INT2 | Type::INT4 | Type::INT8 => {
            Value::Integer(text.parse().expect("an integer is one"))
        }
        Type::FLOAT4 | Type::FLOAT8 => Value::Real(number()),
        Type::NUMERIC => text.parse().map_or_else(|_| Value::Real(number()), Value::Integer),
        Type::BOOL => Value::Integer(i64::from(text == "t")),
        Type::BYTEA => Value::Blob(bytes(text)),
        _ => Value::Text(text.to_owned()),
    }
}

/// The bytes of `\x` and two digits for each.
fn bytes(text: &str) -> Vec<u8> {
    let digits = text.strip_prefix("\\x").expect("bytea_output is hex");
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}
