//! A database of a test's own on the shared server, looked at with a client of its own.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use forebay::Value;
use parking_lot::Mutex;
use postgres::types::Type;
use postgres::{Client, NoTls, SimpleQueryMessage, SimpleQueryRow};

use super::Cluster;

/// A database that is dropped in the end.
pub struct Postgres {
    cluster: &'static Cluster,
    name: String,
    client: Mutex<Client>,
}

impl Postgres {
    /// An empty database on the shared server, that `schema` has been run on.
    ///
    /// # Panics
    ///
    /// When there is no server, or it does not take the schema.
    pub fn new(schema: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let (cluster, name) = (Cluster::shared(), format!("test_{}_{number}", process::id()));
        maintain(cluster, &format!("CREATE DATABASE {name}"));
        let client = cluster.config(&name).connect(NoTls).expect("a new database");
        let database = Self { cluster, name, client: Mutex::new(client) };
        database.run(schema);
        database
    }

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

    /// Runs statements.
    ///
    /// # Panics
    ///
    /// When one of them fails.
    pub fn run(&self, sql: &str) {
        let sql = dialect(sql);
        self.client.lock().batch_execute(&sql).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// What a query gives.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        rows(&mut self.client.lock(), sql)
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

/// SQL that was written for SQLite, with the names that PostgreSQL has for its types.
pub(crate) fn dialect(sql: &str) -> String {
    let mut translated = String::with_capacity(sql.len());
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = sql;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        translated.push_str(match word {
            "INTEGER" => "BIGINT",
            "REAL" => "DOUBLE PRECISION",
            "BLOB" => "BYTEA",
            "STRICT" => "",
            other => other,
        });
        let next = after.find(is_of_word).unwrap_or(after.len());
        translated.push_str(&after[..next]);
        rest = &after[next..];
    }
    translated
}
