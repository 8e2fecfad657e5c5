//! What a buffer has done and how it is.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::ending::closed;
use crate::error::{Error, ErrorKind, Result};
use crate::policy::Trigger;
use crate::queue::Shared;
use crate::signals::Signals;
use crate::state::{Life, State};
use crate::sync;

/// Counters of a buffer since it was opened, and gauges of the moment, taken together.
///
/// Always true: `accepted == committed + superseded + rejected + unknown + unwritten + spooled + pending`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Rows that a push, submit, write or group took, and those that were in the spool; an `execute` counts as one.
    pub accepted: u64,
    /// Of these, the rows that an earlier process had left in the spool.
    pub replayed: u64,
    /// Rows that are in a committed transaction.
    pub committed: u64,
    /// Rows left out because a newer row with the same key was in the same batch (`coalesce`).
    pub superseded: u64,
    /// Rows that the database refused.
    pub rejected: u64,
    /// Rows of which it is not known whether they are in the database. With a spool that is found
    /// out, but for an `execute` that cannot run in a transaction.
    pub unknown: u64,
    /// Rows given up: the buffer closed, failed or gave up before they were written. 0 with a spool.
    pub unwritten: u64,
    /// Rows left in the spool, when the buffer closed or failed before they were written: the next one that opens the spool
    /// writes them.
    pub spooled: u64,
    /// Rows accepted and not decided yet.
    pub pending: u64,
    /// Age of the oldest of them; `None` when there is none, or the buffer has ended. Rows that gathered
    /// together count from the first of them until all are decided.
    pub oldest_pending: Option<Duration>,
    /// By how many rows `accepted` and the sum of the others differed when the buffer ended. Always 0: anything else is
    /// a bug of forebay, is logged as an error, and makes [`close`](crate::WriteBuffer::close) fail.
    pub unaccounted: u64,
    /// Of the committed rows, those that changed nothing.
    pub unchanged: u64,
    /// Transactions committed.
    pub transactions: u64,
    /// How often each trigger made the gathered rows due.
    pub triggers: Triggers,
    /// Waits for a lock that somebody else held.
    pub busy_waits: u64,
    /// Time spent in them.
    pub busy_time: Duration,
    /// Batches tried again because the database was busy or could not be written.
    pub retries: u64,
    /// Times that the buffer paused.
    pub pauses: u64,
    /// Attempts to commit made by the thread that waited for the row.
    pub commits_on_caller: u64,
    /// Times that a producer found no room.
    pub full: u64,
    /// Dead letters that the file of [`Config::rejects`](crate::Config::rejects) could not take. `on_reject`, where
    /// there is one, was given them all the same, but for those left when the buffer ended.
    pub letters_unkept: u64,
    /// SQLite: size of the write-ahead log in use, in bytes.
    pub log_bytes: u64,
    /// Bytes allocated for rows, at most `max_buffer_bytes`. With a spool only those of a replay.
    pub buffer_bytes: u64,
    /// Bytes of the spool's files, at most `max_spool_bytes`, unless an earlier process was allowed more.
    pub spool_bytes: u64,
}

/// How often each trigger made the rows due that had gathered. What gathers behind a slow commit may then
/// take several transactions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Triggers {
    /// `batch_size` rows were there.
    pub count: u64,
    /// `max_batch_bytes` bytes were there, or a producer found no room.
    pub bytes: u64,
    /// The first row was `linger` old.
    pub linger: u64,
    /// Somebody waited for a receipt, or called `execute`.
    pub receipt: u64,
    /// Somebody called `flush`.
    pub flush: u64,
    /// The buffer was closing.
    pub close: u64,
}

impl Triggers {
    pub(crate) fn count(&mut self, trigger: Trigger) {
        *match trigger {
            Trigger::Count => &mut self.count,
            Trigger::Bytes => &mut self.bytes,
            Trigger::Linger => &mut self.linger,
            Trigger::Receipt => &mut self.receipt,
            Trigger::Flush => &mut self.flush,
            Trigger::Close => &mut self.close,
        } += 1;
    }
}

impl Stats {
    /// Rows per transaction, on average; 0 before the first.
    pub fn rows_per_transaction(&self) -> f64 {
        if self.transactions == 0 { 0.0 } else { self.committed as f64 / self.transactions as f64 }
    }

    /// Rows that have been decided.
    pub(crate) fn decided(&self) -> u64 {
        self.committed
            + self.superseded
            + self.rejected
            + self.unknown
            + self.unwritten
            + self.spooled
    }
}

/// How a buffer is.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Health {
    /// Rows are written as they come.
    #[default]
    Running,
    /// The database cannot be written. The rows are kept and tried again; producers meet back-pressure
    /// when the buffer is full.
    Paused(Error),
    /// The buffer failed for good and accepts nothing.
    Failed(Error),
    /// The buffer is closed.
    Closed,
}

/// For a log line: the state, and its cause with all of its own.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Paused(cause) => write!(f, "paused: {cause:#}"),
            Self::Failed(cause) => write!(f, "failed: {cause:#}"),
            Self::Closed => f.write_str("closed"),
        }
    }
}

/// How many rows, for a sentence.
pub(crate) fn count_of_rows(rows: u64) -> String {
    if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") }
}

impl State {
    fn stats(&self, signals: &Signals) -> Stats {
        let mut stats = self.stats.clone();
        stats.accepted = self.accepted();
        stats.pending = self.open.end_seq() - self.decided;
        stats.oldest_pending =
            self.oldest().map(|oldest| sync::now().saturating_duration_since(oldest));
        stats.buffer_bytes = self.allocated() as u64;
        stats.spool_bytes = self.growth.bytes as u64;
        (stats.busy_waits, stats.busy_time) = signals.waits();
        stats.log_bytes = signals.log_bytes();
        stats
    }

    fn health(&self) -> Health {
        match (&self.life, &self.paused) {
            (Life::Ended(error), _) if error.kind() == ErrorKind::Failed => {
                Health::Failed(error.clone())
            }
            (Life::Ended(_), _) => Health::Closed,
            (_, Some(cause)) => Health::Paused(cause.clone()),
            (_, None) => Health::Running,
        }
    }
}

impl Shared {
    pub(crate) fn stats(&self) -> Stats {
        self.lock().stats(&self.signals)
    }

    pub(crate) fn health(&self) -> Health {
        self.lock().health()
    }

    /// Both, of one moment.
    pub(crate) fn look(&self) -> (Stats, Health) {
        let state = self.lock();
        (state.stats(&self.signals), state.health())
    }

    /// Fails unless rows are being written, none waiting for longer than `max_delay`.
    pub(crate) fn ready(&self, max_delay: Duration) -> Result<()> {
        self.check_process()?;
        let state = self.lock();
        let paused = match (&state.life, &state.paused) {
            (Life::Ended(error), _) => return Err(error.clone()),
            (Life::Closing { .. }, _) => return Err(closed()),
            (Life::Open, paused) => paused.clone(),
        };
        let oldest = state.oldest();
        let rows = count_of_rows(state.open.end_seq() - state.decided);
        drop(state);
        let name = self.name();
        if let Some(cause) = paused {
            let message = format!("writing to {name} is paused, {rows} kept and tried again");
            return Err(cause.retold(cause.kind(), message));
        }
        let age = oldest.map(|oldest| sync::now().saturating_duration_since(oldest));
        let Some(age) = age.filter(|age| *age > max_delay) else { return Ok(()) };
        Err(Error::new(
            ErrorKind::TimedOut,
            format!(
                "the oldest of {rows} for {name} has waited for {age:.1?}, longer than {max_delay:?}: see \
                 whether somebody holds the database's lock, or its disk is slow"
            ),
        ))
    }
}
