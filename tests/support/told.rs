//! What a child process tells of the rows that it writes: one line of JSON on standard output for each thing it knows.

use std::io::{self, Write};

use forebay::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

/// A line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Told {
    /// The receipt of the row, or the group, with this id has answered.
    Answered(i64, Answer),
    /// The row was pushed, and nobody holds a receipt.
    Pushed(i64),
    /// The row came back as a dead letter.
    Letter(i64, Answer),
    /// The row with this id was not accepted.
    Refused(i64, Answer),
    /// The buffer is closed, and this is the last line.
    Closed {
        /// How the buffer was before: empty when it wrote rows.
        trouble: String,
        /// Its counters.
        stats: serde_json::Value,
        /// How often the last of the failpoints failed that were set.
        failures: u64,
    },
}

/// What a row's receipt said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Answer {
    /// It is in the database.
    Ok,
    /// The database refused it.
    Rejected,
    /// Nobody knows.
    Unknown,
    /// It was given up.
    Unwritten,
    /// It came from a buffer that had failed.
    Failed,
    /// It took too long.
    TimedOut,
    /// Anything else.
    Other,
}

impl Told {
    /// Says it. A pipe that nobody reads ends the process.
    ///
    /// # Panics
    ///
    /// When nobody reads.
    pub fn say(&self) {
        let mut line = serde_json::to_string(self).expect("a line of JSON");
        line.push('\n');
        // One write: whoever kills this process finds the line whole, or not at all.
        io::stdout().lock().write_all(line.as_bytes()).expect("somebody reads");
    }
}

impl Answer {
    /// What a receipt said, in one word.
    pub fn of<T>(result: &Result<T, Error>) -> Self {
        match result.as_ref().map_err(Error::kind) {
            Ok(_) => Self::Ok,
            Err(ErrorKind::Rejected) => Self::Rejected,
            Err(ErrorKind::Unknown) => Self::Unknown,
            Err(ErrorKind::Unwritten) => Self::Unwritten,
            Err(ErrorKind::Failed) => Self::Failed,
            Err(ErrorKind::TimedOut) => Self::TimedOut,
            Err(_) => Self::Other,
        }
    }
}

/// What the rows of the child are like. The id of each says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One row.
    Plain,
    /// Three rows, in two tables, that belong together.
    Group,
    /// A row that the database refuses.
    Bad,
    /// A row that it refuses only at COMMIT.
    Orphan,
    /// A row that a statement writes which runs alone.
    Executed,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Plain, Self::Group, Self::Bad, Self::Orphan, Self::Executed];

    /// The tables that the rows go to.
    pub const SCHEMA: &str = "
        CREATE TABLE parents(id INTEGER PRIMARY KEY);
        CREATE TABLE landed(
            id INTEGER NOT NULL CHECK(id % 5 <> 2),
            parent INTEGER REFERENCES parents(id) DEFERRABLE INITIALLY DEFERRED
        ) STRICT;
        CREATE TABLE also(id INTEGER NOT NULL) STRICT;";

    /// The id of the row that is the `number`th of all.
    pub fn id(self, number: i64) -> i64 {
        let kind = Self::ALL.iter().position(|kind| *kind == self).expect("all are there");
        number * Self::ALL.len() as i64 + kind as i64
    }

    /// What the row with this id is like.
    ///
    /// # Panics
    ///
    /// When there can be no such row.
    pub fn of(id: i64) -> Self {
        Self::ALL[usize::try_from(id).expect("no id is negative") % Self::ALL.len()]
    }

    /// Whether the database takes such rows.
    pub fn is_good(self) -> bool {
        !matches!(self, Self::Bad | Self::Orphan)
    }
}
