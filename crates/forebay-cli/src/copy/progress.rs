//! How far a copy has come: a row in PostgreSQL for each table, written by the same writer as the table's rows.
//!
//! It is written when all rows before the place that it names are decided, and those that were refused are counted: it may lag
//! behind, and never runs ahead. A copy goes on from there. To write all rows again would be simpler, and take as long as all
//! that went before.
//!
//! Rows of a table with a key are upserts, so that to go on from a place that lags behind writes some of them twice and has them once.
//! Rows of a table without one go in groups, each in one transaction with this row, and the row only moves on from the place where the
//! group began: of two groups that begin at one place the database refuses the second, such as one of a killed process that arrives
//! late.

use serde::Serialize;

use super::value::Sum;

/// The table that these rows are in.
pub(super) const TABLE: &str = "_forebay_copy";

/// Whether it is there.
pub(super) const IS_THERE: &str = "SELECT to_regclass('_forebay_copy') IS NOT NULL";

/// Makes the table.
pub(super) const CREATE: &str = "CREATE TABLE IF NOT EXISTS _forebay_copy (target text PRIMARY KEY, source text NOT NULL, \
     last_place text NOT NULL, passed bigint NOT NULL, rejected bigint NOT NULL, refused bigint NOT NULL, refused_sum text NOT NULL)";

/// Begins a copy anew.
pub(super) const BEGIN: &str = "INSERT INTO _forebay_copy (target, source, last_place, passed, rejected, refused, \
     refused_sum) VALUES ($1, $2, '', 0, 0, 0, '0') ON CONFLICT (target) DO UPDATE SET source = excluded.source, \
     last_place = '', passed = 0, rejected = 0, refused = 0, refused_sum = '0'";

/// Reads how far one has come.
pub(super) const READ: &str = "SELECT source, last_place, passed, rejected, refused, refused_sum FROM _forebay_copy WHERE target = $1";

/// Moves it on, whatever it was.
pub(super) const MOVE: &str = "UPDATE _forebay_copy SET last_place = :place, passed = :passed, rejected = :rejected, \
     refused = :refused, refused_sum = :refused_sum WHERE target = :target";

/// Moves it on from one place, or fails: the column takes no NULL.
pub(super) const MOVE_FROM: &str = "UPDATE _forebay_copy SET last_place = CASE WHEN last_place = :before THEN :place END, \
     passed = :passed, rejected = :rejected, refused = :refused, refused_sum = :refused_sum WHERE target = :target";

/// How far a copy had come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Progress {
    /// The database that it reads.
    pub(super) source: String,
    /// The place of the last row, or nothing.
    pub(super) last: String,
    /// Rows up to there.
    pub(super) passed: u64,
    /// Those of them that were rejected.
    pub(super) rejected: u64,
    /// Those of the rejected that were sent, and refused by the database: nothing but this tells them from rows that it has.
    pub(super) refused: Sum,
}

impl Progress {
    /// That of a copy that begins.
    pub(super) fn fresh(source: String) -> Self {
        Self { source, last: String::new(), passed: 0, rejected: 0, refused: Sum::default() }
    }

    /// The next step of a copy that has come as far as this, from the place `before`, or from whatever place it was at.
    pub(super) fn step<'a>(&'a self, target: &'a str, before: Option<&'a str>) -> Step<'a> {
        let Self { last: place, passed, rejected, refused, .. } = self;
        Step {
            before,
            place,
            passed: *passed,
            rejected: *rejected,
            refused: refused.rows,
            refused_sum: refused.told(),
            target,
        }
    }
}

/// The parameters of [`MOVE`] and [`MOVE_FROM`].
#[derive(Debug, Serialize)]
pub(super) struct Step<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<&'a str>,
    pub(super) place: &'a str,
    pub(super) passed: u64,
    pub(super) rejected: u64,
    pub(super) refused: u64,
    pub(super) refused_sum: String,
    pub(super) target: &'a str,
}
