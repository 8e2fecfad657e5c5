//! What a load did, for people and for programs.

use std::fmt;
use std::time::Duration;

use forebay::Stats;
use serde::Serialize;

use crate::failure::Failure;
use crate::words::{count, grouped};

/// The sum of a load. Every record read is counted once in committed, superseded, rejected, unwritten or unknown.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    /// Where the records came from.
    pub(super) input: String,
    /// The database.
    pub(super) into: String,
    /// The table.
    pub(super) table: String,
    /// Records read.
    pub(super) read: u64,
    /// Rows in committed transactions.
    pub(super) committed: u64,
    /// Rows left out for a newer one with the same key (`--coalesce`).
    pub(super) superseded: u64,
    /// Of the committed rows, those that changed nothing.
    pub(super) unchanged: u64,
    /// Records that are not in the table, for a reason of their own.
    pub(super) rejected: u64,
    /// Rows that were read and not written, because the load ended before.
    pub(super) unwritten: u64,
    /// Rows of which it is not known whether they are in the table.
    pub(super) unknown: u64,
    /// Transactions that it took.
    pub(super) transactions: u64,
    /// Rows in each, on average.
    pub(super) rows_per_transaction: f64,
    /// Waits for the lock of the database, which another connection held.
    pub(super) busy_waits: u64,
    /// Seconds spent in them.
    pub(super) busy_seconds: f64,
    /// Transactions that were tried again.
    pub(super) retries: u64,
    /// Seconds from the first record to the last commit.
    pub(super) seconds: f64,
    /// Records read in each second.
    pub(super) rows_per_second: f64,
    /// The input's line up to which it is decided what became of every record.
    pub(super) decided_lines: u64,
    /// Whether a signal ended the load before the input did.
    pub(super) interrupted: bool,
    /// Where the rejected lines are.
    pub(super) rejects: Option<String>,
    /// Why the load failed, if it did.
    pub(super) error: Option<String>,
}

impl Summary {
    /// A load of which nothing has been counted yet.
    pub(super) fn new(input: &str, into: &str, table: &str) -> Self {
        let (input, into, table) = (input.to_owned(), into.to_owned(), table.to_owned());
        Self { input, into, table, ..Self::default() }
    }

    /// Takes over what the buffer counted: of rows and transactions what came after `before`, of waits and retries
    /// all.
    pub(super) fn count(&mut self, before: &Stats, after: &Stats) {
        self.committed = after.committed - before.committed;
        self.superseded = after.superseded - before.superseded;
        self.unchanged = after.unchanged - before.unchanged;
        self.rejected += after.rejected - before.rejected;
        self.unwritten = after.unwritten - before.unwritten;
        self.unknown = after.unknown - before.unknown;
        self.transactions = after.transactions - before.transactions;
        self.busy_waits = after.busy_waits;
        self.busy_seconds = rounded(after.busy_time.as_secs_f64());
        self.retries = after.retries;
        if self.transactions > 0 {
            self.rows_per_transaction = rounded(self.committed as f64 / self.transactions as f64);
        }
    }

    /// Why rows that were read are not in the table, or may not be.
    pub(super) fn loss(&self) -> Option<Failure> {
        let rows = |number| count(number, "row");
        let why = if self.interrupted {
            "the time for closing (close_timeout) ran out"
        } else {
            "they were given up (retry.give_up)"
        };
        if self.unknown > 0 {
            let unknown = rows(self.unknown);
            let message = format!("of {unknown} it is not known whether the database has them");
            Some(Failure::new(message).hint("look before you load them again"))
        } else if self.unwritten > 0 {
            Some(Failure::new(format!("{} were read and not written: {why}", rows(self.unwritten))))
        } else {
            None
        }
    }

    /// Takes over how long it took.
    pub(super) fn time(&mut self, took: Duration) {
        self.seconds = rounded(took.as_secs_f64());
        self.rows_per_second = (self.read as f64 / took.as_secs_f64().max(1e-9)).round();
    }
}

/// To a thousandth.
fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.interrupted { ", interrupted" } else { "" };
        writeln!(f, "{} → {}, table {}{end}", self.input, self.into, self.table)?;
        let mut line = |name: &str, number: String, note: String| {
            let note = if note.is_empty() { note } else { format!("  {note}") };
            writeln!(f, "  {name:<13}{number:>12}{note}")
        };
        let none = String::new;
        let lines = format!("decided up to line {}", grouped(self.decided_lines));
        let is_partial = self.interrupted || self.error.is_some();
        line("read", grouped(self.read), if is_partial { lines } else { none() })?;
        line("committed", grouped(self.committed), none())?;
        line("superseded", grouped(self.superseded), none())?;
        line("unchanged", grouped(self.unchanged), none())?;
        let rejects = self.rejects.as_ref().map_or_else(none, |file| format!("see {file}"));
        line("rejected", grouped(self.rejected), rejects)?;
        if self.unwritten > 0 {
            line("not written", grouped(self.unwritten), none())?;
        }
        if self.unknown > 0 {
            line("unknown", grouped(self.unknown), "look before you load them again".to_owned())?;
        }
        let each = format!("{:.1} rows each", self.rows_per_transaction);
        let each = if self.transactions > 0 { each } else { none() };
        line("transactions", grouped(self.transactions), each)?;
        let waited = format!("{:.1} s in all", self.busy_seconds);
        line(
            "busy waits",
            grouped(self.busy_waits),
            if self.busy_waits > 0 { waited } else { none() },
        )?;
        line("retries", grouped(self.retries), none())?;
        let rate = format!("{} rows/s", grouped(self.rows_per_second as u64));
        line("time", format!("{:.2} s", self.seconds), rate)
    }
}
