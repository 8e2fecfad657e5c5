//! The names of the contenders that come with forebay, for each sink.

use super::{DIRECT, PIPELINED};
use crate::error::{Error, Result};
use crate::sink::Sink;

/// Who is checkpointed at the size that SQLite has by default says so after its batch size.
pub(super) const DEFAULT_CHECKPOINT_NAME: &str = "default-checkpoint";
/// Those without a batch size, and what they are.
const SQLITE: [(&str, &str); 5] = [
    ("rollback", "a connection for each worker, one row in a transaction, rollback journal"),
    (DIRECT, "a connection for each worker, one row in a transaction, WAL"),
    ("retry", "the same without SQLite's waiting, 5 retries after 0.1 to 1.6 s"),
    ("mutex", "one connection behind a mutex, one row in a transaction"),
    ("channel", "one thread that writes, behind a channel, one row in a transaction"),
];
/// The same on a PostgreSQL server.
const POSTGRES: [(&str, &str); 2] = [
    (DIRECT, "a connection for each worker, one row in a transaction"),
    (
        PIPELINED,
        "one connection for all, one row in a transaction, each sent before the replies to those before it have come",
    ),
];
/// What buffers may have after their batch size: rows with one key are merged, a batch is sorted by key, rows are kept in files
/// until they are committed.
pub(super) const OF_BUFFERS: [&str; 3] = ["coalesce", "unordered", "spool"];

impl Sink {
    /// The contenders without a batch size, and what they are.
    pub(super) fn plain(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Sqlite => &SQLITE,
            Self::Postgres => &POSTGRES,
        }
    }

    /// What buffers may have after their batch size.
    fn of_buffers(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &OF_BUFFERS,
            Self::Postgres => &OF_BUFFERS[..1],
        }
    }

    /// Whether a buffer can be all of these at once, each said once.
    pub(super) fn are_of_buffers(self, variants: &[&str]) -> bool {
        let known = self.of_buffers();
        let is_once = |(place, name)| known.contains(name) && !variants[..place].contains(name);
        variants.iter().enumerate().all(is_once)
    }

    /// Says which contenders there are.
    pub(super) fn unknown(self, name: &str) -> Error {
        let plain: Vec<_> = self.plain().iter().map(|(name, _)| *name).collect();
        let (whose, variants) = match self {
            Self::Sqlite => (
                "",
                "limit also with +default-checkpoint, forebay with +coalesce, +unordered and +spool",
            ),
            Self::Postgres => (" for --sink postgres", "forebay also with +coalesce"),
        };
        Error::of_arguments(format!(
            "there is no contender {name:?}{whose}: it must be {}, limit@ROWS, forebay@ROWS or forebay; {variants}",
            plain.join(", ")
        ))
    }
}

pub(super) fn batch_size(name: &str, text: &str) -> Result<usize> {
    match text.parse() {
        Ok(batch @ 1..=100_000) => Ok(batch),
        _ => Err(Error::of_arguments(format!(
            "in contender {name:?} the batch size must be 1 to 100000 rows"
        ))),
    }
}
