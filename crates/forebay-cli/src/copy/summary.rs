//! What a copy did, for people and for programs.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::verify::Compared;
use crate::words::{count, grouped};

/// The sum of a copy.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    /// The SQLite database.
    pub(super) from: String,
    /// The PostgreSQL database, without its password.
    pub(super) into: String,
    /// The tables that were begun, in their order.
    pub(super) tables: Vec<Done>,
    /// Rows that this run has passed, of all tables.
    pub(super) rows: u64,
    /// Seconds that it took, with the comparison.
    pub(super) seconds: f64,
    /// Rows that were copied in each second, without the comparison.
    pub(super) rows_per_second: f64,
    /// Transactions that were tried again.
    pub(super) retries: u64,
    /// Where the rejected rows are.
    pub(super) rejects: Option<String>,
    /// Whether a signal ended it early.
    pub(super) interrupted: bool,
    /// Why it failed, if it did.
    pub(super) error: Option<String>,
}

/// What became of one table.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    /// Its name in SQLite.
    pub(super) table: String,
    /// Its name in PostgreSQL.
    pub(super) target: String,
    /// Whether this run made it.
    pub(super) created: bool,
    /// Rows that it has in SQLite.
    pub(super) source_rows: u64,
    /// Rows that earlier runs had passed.
    pub(super) resumed_after: u64,
    /// Those of them that were rejected.
    pub(super) rejected_before: u64,
    /// Rows that this run has passed, those that were rejected among them.
    pub(super) passed: u64,
    /// Rows that are not copied for a reason of their own, also those of earlier runs.
    pub(super) rejected: u64,
    /// What the table in PostgreSQL does not have.
    pub(super) left_out: Vec<String>,
    /// Whether all rows were passed.
    pub(super) is_whole: bool,
    /// How both tables compare.
    pub(super) compared: Option<Compared>,
}

impl Summary {
    /// Takes over how long it took, and how long rows were written.
    pub(super) fn time(&mut self, took: Duration, writing: Duration) {
        self.seconds = (took.as_secs_f64() * 1e3).round() / 1e3;
        self.rows_per_second = (self.rows as f64 / writing.as_secs_f64().max(1e-9)).round();
    }

    /// Rows that were rejected.
    pub(super) fn rejected(&self) -> u64 {
        self.tables.iter().map(|table| table.rejected).sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.interrupted { ", interrupted" } else { "" };
        writeln!(f, "{} → {}{end}", self.from, self.into)?;
        let width = self.tables.iter().map(|done| done.table.chars().count()).max().unwrap_or(0);
        for done in &self.tables {
            writeln!(f, "  {:<width$}  {done}", done.table, width = width.max(11))?;
        }
        if self.rejected() > 0
            && let Some(file) = &self.rejects
        {
            writeln!(f, "  {:<11}  see {file}", "rejected")?;
        }
        let width = width.max(11);
        write!(f, "  {:<width$}  {:.2} s", "time", self.seconds)?;
        let was_copied = |done: &Done| done.passed > done.rejected - done.rejected_before;
        if self.tables.iter().any(was_copied) {
            write!(f, "  {} rows/s", grouped(self.rows_per_second as u64))?;
        }
        writeln!(f)
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed = self.resumed_after + self.passed;
        let (copied, before) = (
            passed.saturating_sub(self.rejected),
            self.resumed_after.saturating_sub(self.rejected_before),
        );
        let there = self.compared.as_ref().map_or(copied, |compared| compared.target_rows);
        if there < copied {
            write!(f, "{} of {} are there", grouped(there), counted(copied))?;
        } else if self.is_whole {
            write!(f, "{} copied", counted(copied))?;
        } else {
            write!(f, "{} of {}", grouped(copied), counted(self.source_rows))?;
        }
        if before > 0 && there >= copied {
            write!(f, ", {} of them before", grouped(before))?;
        }
        if self.rejected > 0 {
            write!(f, ", {} rejected", grouped(self.rejected))?;
        }
        match &self.compared {
            Some(compared) => write!(f, "; {compared}"),
            None => Ok(()),
        }
    }
}

/// `1 row`, `2,000 rows`.
pub(super) fn counted(rows: u64) -> String {
    if rows == 1 { count(rows, "row") } else { format!("{} rows", grouped(rows)) }
}
