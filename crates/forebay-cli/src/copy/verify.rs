//! Whether both tables are the same in the end: how many rows they have, and what their values come to.

use std::fmt;

use forebay_bench::Stop;
use serde::Serialize;

use super::args::Verify;
use super::destination::Destination;
use super::plan::Plan;
use super::progress::Progress;
use super::source::Source;
use super::target::Target;
use super::value::Sum;
use super::writing::{hash, values_from};
use crate::failure::{Failure, Result};
use crate::sql::{named, quoted};
use crate::words::grouped;

/// What a comparison found.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    /// Rows that the table in PostgreSQL should have: those of SQLite's that were not rejected.
    pub(super) expected_rows: u64,
    /// Rows that it has.
    pub(super) target_rows: u64,
    /// The checksums, where they were made.
    pub(super) checksums: Option<Checksums>,
    /// Whether all that was compared is equal.
    pub(super) is_equal: bool,
}

/// The sums over all rows of both tables, each by the same program, of the values as PostgreSQL has them.
#[derive(Debug, Serialize)]
pub(super) struct Checksums {
    source: String,
    target: String,
    /// Columns that are in neither, because PostgreSQL writes their values in a form of its own.
    pub(super) left_out: Vec<String>,
}

/// Compares a table that is copied.
pub(super) fn compare(
    how: Verify,
    (source, target): (&Source, &Target),
    (plan, to): (&Plan, &Destination),
    progress: &Progress,
    stop: &Stop,
) -> Result<Option<Compared>> {
    match how {
        Verify::None => Ok(None),
        Verify::Count => {
            let (expected_rows, target_rows) =
                (plan.rows.saturating_sub(progress.rejected), target.count(&to.name)?);
            let is_equal = expected_rows == target_rows;
            Ok(Some(Compared { expected_rows, target_rows, checksums: None, is_equal }))
        }
        Verify::Checksum if to.compared().is_empty() => {
            compare(Verify::Count, (source, target), (plan, to), progress, stop)
        }
        Verify::Checksum => {
            let here = sum(source, plan, to, stop)?.without(&progress.refused);
            let there = target.sum(to)?;
            let checksums = Checksums {
                source: here.told(),
                target: there.told(),
                left_out: to.not_compared(),
            };
            Ok(Some(Compared {
                expected_rows: here.rows,
                target_rows: there.rows,
                checksums: Some(checksums),
                is_equal: here == there,
            }))
        }
    }
}

/// What SQLite's rows come to that fit.
fn sum(source: &Source, plan: &Plan, to: &Destination, stop: &Stop) -> Result<Sum> {
    let table = &plan.table;
    let names: Vec<_> = table.columns.iter().map(|column| &column.name).collect();
    let sql = format!("SELECT {} FROM main.{}", named(&names), quoted(&table.name));
    let read = |error| source.failed(error);
    let mut statement = source.connection().prepare(&sql).map_err(read)?;
    let mut rows = statement.query([]).map_err(read)?;
    let mut sum = Sum::default();
    while let Some(row) = rows.next().map_err(read)? {
        if let Ok(values) = values_from(plan, to, row, 0) {
            sum.add(&hash(to, &values));
        }
        if stop.is_stopped() {
            return Err(Failure::new("stopped"));
        }
    }
    Ok(sum)
}

impl Compared {
    /// Why the copy is not what it should be.
    pub(super) fn difference(&self, table: &str, has_key: bool) -> Option<Failure> {
        if self.is_equal {
            return None;
        }
        let Self { expected_rows, target_rows, .. } = self;
        let what = if expected_rows == target_rows {
            "as many rows as it should, and other values in them".to_owned()
        } else {
            format!("{} rows instead of {}", grouped(*target_rows), grouped(*expected_rows))
        };
        // What SQLite does not have any more is not taken away by writing the others again.
        let again = if has_key && target_rows <= expected_rows {
            "--from-start writes all rows again".to_owned()
        } else {
            format!("begin again: TRUNCATE {} in PostgreSQL", quoted(table))
        };
        Some(Failure::new(format!("the table {table} in PostgreSQL has {what}")).hint(format!(
            "did somebody write to it, or change or delete rows in SQLite that were copied before? {again}"
        )))
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.checksums, self.is_equal) {
            (Some(_), true) => f.write_str("counts and checksums are equal")?,
            (None, true) => f.write_str("counts are equal")?,
            (Some(_), false) if self.expected_rows == self.target_rows => {
                f.write_str("THE CHECKSUMS DIFFER")?;
            }
            (_, false) => f.write_str("THE COUNTS DIFFER")?,
        }
        match &self.checksums {
            Some(sums) if !sums.left_out.is_empty() => {
                write!(f, " (the checksums without {})", sums.left_out.join(", "))
            }
            _ => Ok(()),
        }
    }
}
