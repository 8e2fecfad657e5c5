//! What a contender is asked to do.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Result, Server, Topics, listed, quoted};

/// The version of the protocol.
pub const PROTOCOL: u32 = 1;

/// What a contender is asked to do. The database is there, with its tables, in the journal mode that `settings` names.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// [`PROTOCOL`]; a contender refuses another.
    pub protocol: u32,
    /// Which contender, for a program that is several.
    pub contender: String,
    /// What this contender alone understands.
    #[serde(default)]
    pub options: serde_json::Value,
    /// The database file.
    pub database: PathBuf,
    /// The PostgreSQL server that rows go to instead of a file, of whose own the settings are then. Only contenders that come
    /// with forebay are asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// What every connection that writes must be set to.
    pub settings: Settings,
    /// Where the rows go, and how.
    pub target: Target,
    /// Which rows.
    pub rows: Rows,
    /// Whether the workers wait for their commits.
    pub mode: Mode,
    /// Who writes.
    pub workers: Workers,
    /// Rows in each second that all workers intend to write together (an open loop); without it, as many as they can.
    #[serde(default)]
    pub rate: Option<f64>,
    /// How long they write before anything is measured.
    #[serde(rename = "warm_up_seconds", with = "seconds")]
    pub warm_up: Duration,
    /// How long they are measured.
    #[serde(rename = "seconds", with = "seconds")]
    pub time: Duration,
}

/// What every connection that writes must be set to, so that contenders differ in nothing but what they do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// `wal` or `delete`; the file is in it already.
    pub journal_mode: String,
    /// What a commit survives.
    pub synchronous: Synchronous,
    /// How long a statement waits for a lock.
    #[serde(rename = "busy_timeout_seconds", with = "seconds")]
    pub busy_timeout: Duration,
    /// Page cache of each connection, in KiB.
    pub cache_kib: u32,
    /// Size of the write-ahead log at which it is copied back, in pages.
    pub checkpoint_pages: u32,
}

/// `PRAGMA synchronous`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// In WAL mode a power cut may take the newest commits.
    Normal,
    /// Each commit is flushed.
    Full,
}

impl Synchronous {
    /// As SQLite writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Full => "full",
        }
    }
}

impl Settings {
    /// The pragmas for a connection, names and values. `journal_mode` is not among them: the file keeps it.
    pub fn pragmas(&self) -> [(&'static str, String); 4] {
        [
            ("synchronous", self.synchronous.name().to_uppercase()),
            ("cache_size", format!("-{}", self.cache_kib)),
            ("wal_autocheckpoint", self.checkpoint_pages.to_string()),
            ("foreign_keys", "ON".to_owned()),
        ]
    }

    /// What a connection that is set so answers when it is asked for these pragmas, numbers as text.
    pub fn read_back(&self) -> [(&'static str, String); 6] {
        let synchronous = match self.synchronous {
            Synchronous::Normal => "1",
            Synchronous::Full => "2",
        };
        let [_, cache_size, wal_autocheckpoint, _] = self.pragmas();
        [
            ("journal_mode", self.journal_mode.clone()),
            ("busy_timeout", self.busy_timeout.as_millis().to_string()),
            ("synchronous", synchronous.to_owned()),
            cache_size,
            wal_autocheckpoint,
            ("foreign_keys", "1".to_owned()),
        ]
    }
}

/// The table, and the statement for one row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Target {
    /// The table's name.
    pub table: String,
    /// The columns of a row, in its order.
    pub columns: Vec<String>,
    /// The columns by which a row is an update of another; none where rows are only added.
    pub key: Vec<String>,
    /// The statement for one row, with a parameter `?` for each column.
    pub sql: String,
}

impl Target {
    /// A target with its statement.
    pub fn new(table: &str, columns: &[&str], key: &[&str]) -> Self {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let mut target = Self {
            table: table.to_owned(),
            columns: owned(columns),
            key: owned(key),
            sql: String::new(),
        };
        target.sql = target.statement(1);
        target
    }

    /// The statement for this many rows, with their parameters one row after the other.
    pub fn statement(&self, rows: usize) -> String {
        self.statement_with(rows, |_| "?".to_owned())
    }

    /// The same with numbered parameters, as PostgreSQL takes them: `$1`, `$2`, and so on.
    pub fn numbered_statement(&self, rows: usize) -> String {
        self.statement_with(rows, |number| format!("${number}"))
    }

    fn statement_with(&self, rows: usize, parameter: impl Fn(usize) -> String) -> String {
        let width = self.columns.len();
        let row = |row: usize| {
            let parameters = (row * width + 1..=row * width + width).map(&parameter);
            format!("({})", parameters.collect::<Vec<_>>().join(","))
        };
        let values = (0..rows).map(row).collect::<Vec<_>>().join(",");
        let table = quoted(&self.table);
        let columns = listed(&self.columns);
        let insert = format!("INSERT INTO {table}({columns}) VALUES {values}");
        if self.key.is_empty() {
            return insert;
        }
        let key = listed(&self.key);
        let others = self.columns.iter().filter(|column| !self.key.contains(column));
        let set: Vec<_> =
            others.map(|column| format!("{0}=excluded.{0}", quoted(column))).collect();
        let then = if set.is_empty() {
            "NOTHING".to_owned()
        } else {
            format!("UPDATE SET {}", set.join(","))
        };
        format!("{insert} ON CONFLICT({key}) DO {then}")
    }
}

/// Which rows are written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rows {
    /// The bench's own.
    Topics {
        /// Keys that are updated over and over; without it every row has a new one.
        keys: Option<u64>,
        /// Length of the text in each row; zero for a short word.
        status_bytes: usize,
    },
    /// The rows of a table in another database, over and over.
    Sample {
        /// That database; its table `sample` has the target's columns.
        database: PathBuf,
    },
}

/// Whether a worker waits for its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nobody waits: a row is handed over, and committed some time later. Where a contender has no such way, a call
    /// returns after its commit.
    Push,
    /// Each worker waits for the commit of its row before it goes on.
    Await,
}

impl Mode {
    /// As it is called in arguments and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Await => "await",
        }
    }
}

/// Who writes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Workers {
    /// All of the trial, in all processes.
    pub total: u32,
    /// The first that runs in this process.
    pub first: u32,
    /// How many run in it.
    pub count: u32,
    /// As what. A contender that can only be one of them is that, and says so in its outcome.
    pub kind: WorkerKind,
}

/// What a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerKind {
    /// A thread of one process.
    Threads,
    /// A tokio task of one process.
    Tasks,
    /// A process of its own. The program is started once for each, and each is asked for one worker.
    Processes,
}

impl WorkerKind {
    /// As it is called in arguments and results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Tasks => "tasks",
            Self::Processes => "processes",
        }
    }
}

impl Request {
    /// The rows that are asked for.
    ///
    /// # Errors
    ///
    /// When they are those of a table that the bench does not know.
    pub fn topics(&self) -> Result<Topics> {
        match &self.rows {
            Rows::Topics { keys, status_bytes } => {
                Ok(Topics::new(self.workers.total, *keys, *status_bytes))
            }
            Rows::Sample { .. } => Err(format!(
                "{} writes the bench's own rows only, not those of a table",
                self.contender
            )
            .into()),
        }
    }

    /// How many connections a contender with a pool has: the option `connections`, or so many.
    ///
    /// # Errors
    ///
    /// When the options are something else.
    pub fn connections(&self, default: u32) -> Result<u32> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Options {
            connections: NonZeroU32,
        }
        if self.options.is_null() {
            return Ok(default);
        }
        let options = Options::deserialize(&self.options).map_err(|error| {
            format!("{} has one option, {{\"connections\":10}}: {error}", self.contender)
        })?;
        Ok(options.connections.get())
    }
}

/// Durations as seconds.
mod seconds {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(duration.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One for two workers that are measured this long, after no warm-up.
    pub(crate) fn request(time: Duration) -> Request {
        Request {
            protocol: PROTOCOL,
            contender: "contender".to_owned(),
            options: serde_json::Value::Null,
            database: PathBuf::new(),
            server: None,
            settings: Settings {
                journal_mode: "wal".to_owned(),
                synchronous: Synchronous::Normal,
                busy_timeout: Duration::ZERO,
                cache_kib: 0,
                checkpoint_pages: 0,
            },
            target: Target::new("t", &["id"], &["id"]),
            rows: Rows::Topics { keys: None, status_bytes: 0 },
            mode: Mode::Push,
            workers: Workers { total: 2, first: 0, count: 2, kind: WorkerKind::Threads },
            rate: None,
            warm_up: Duration::ZERO,
            time,
        }
    }

    #[test]
    fn a_statement_has_a_parameter_for_each_column_of_each_row() {
        let target = Target::new("t", &["id", "a\"b"], &["id"]);
        assert_eq!(
            target.statement(2),
            "INSERT INTO \"t\"(\"id\",\"a\"\"b\") VALUES (?,?),(?,?) ON CONFLICT(\"id\") DO UPDATE SET \
             \"a\"\"b\"=excluded.\"a\"\"b\""
        );
        assert_eq!(Target::new("t", &["id"], &[]).sql, "INSERT INTO \"t\"(\"id\") VALUES (?)");
        assert_eq!(
            Target::new("t", &["id", "a"], &[]).numbered_statement(2),
            "INSERT INTO \"t\"(\"id\",\"a\") VALUES ($1,$2),($3,$4)"
        );
    }
}
