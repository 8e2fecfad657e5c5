//! What is to be done about each table, found out before anything is written.

use super::destination::Destination;
use super::progress::Progress;
use super::source::{Listed, Source};
use super::table::Table;
use super::target::{Found, Target};
use crate::failure::{Failure, Result};
use crate::sql::{quoted, text};

/// A table to be copied.
pub(super) struct Plan {
    pub(super) table: Table,
    pub(super) begin: Begin,
    /// Rows that it has.
    pub(super) rows: u64,
}

/// How its copy begins.
pub(super) enum Begin {
    /// The table is made.
    Make,
    /// It is there, and all rows are written to it, although an earlier run has written some for this reason.
    Fill(Destination, Option<&'static str>),
    /// It is there, and the rows from here on are written to it.
    GoOn(Destination, Progress),
}

/// What is there in PostgreSQL.
struct There {
    to: Destination,
    progress: Option<Progress>,
    is_empty: bool,
}

impl Plan {
    /// Looks at both sides.
    ///
    /// # Errors
    ///
    /// When the table cannot be copied, or what is there is not of this copy.
    pub(super) fn of(
        source: &Source,
        target: &Target,
        listed: &Listed,
        from_start: bool,
    ) -> Result<Self> {
        let read = |error| source.failed(error);
        let table = Table::read(source.connection(), listed).map_err(read)?;
        table.check()?;
        let sql = format!("SELECT count(*) FROM main.{}", quoted(&table.name));
        let rows = source.connection().query_row(&sql, [], |row| row.get(0).map(i64::unsigned_abs));
        let rows = rows.map_err(read)?;
        let begin = match target.find(&table.name)? {
            None => Begin::Make,
            Some(found) => {
                let there = There::look(target, &table, found)?;
                there.begin(source, &table, from_start)?
            }
        };
        Ok(Self { table, begin, rows })
    }
}

impl There {
    fn look(target: &Target, table: &Table, found: Found) -> Result<Self> {
        let to = Destination::of(table, found)?;
        let rights: &[_] = if to.key.is_some() { &["INSERT", "UPDATE"] } else { &["INSERT"] };
        target.check_rights(&to.name, rights)?;
        let progress = target.progress(&to.name)?;
        let is_empty = target.is_empty(&to.name)?;
        Ok(Self { to, progress, is_empty })
    }

    fn begin(self, source: &Source, table: &Table, from_start: bool) -> Result<Begin> {
        let (name, quoted) = (&self.to.name, quoted(&self.to.name));
        let Some(progress) = self.progress.filter(|_| !self.is_empty) else {
            return if self.is_empty {
                Ok(Begin::Fill(self.to, None))
            } else {
                Err(Failure::new(format!(
                    "the table {name} in PostgreSQL has rows that no copy has written"
                ))
                .hint(format!("copy into an empty table: TRUNCATE {quoted}, or rename it")))
            };
        };
        let can_repeat = self.to.key.is_some();
        if progress.source != source.identity {
            return Err(Failure::new(format!(
                "the table {name} in PostgreSQL has rows of another database, {}",
                progress.source
            ))
            .hint(format!(
                "if that is the same one, moved: UPDATE _forebay_copy SET source = {} WHERE target = {}",
                text(&source.identity),
                text(name)
            )));
        }
        if from_start && !can_repeat {
            return Err(Failure::new(format!(
                "--from-start would write rows of {name} twice, which has no key to know them by"
            ))
            .hint(format!("empty it first: TRUNCATE {quoted}")));
        }
        let is_beginning = progress.last.is_empty();
        if from_start || (is_beginning && can_repeat) {
            return Ok(Begin::Fill(self.to, None));
        }
        let passed = if is_beginning {
            0
        } else {
            table
                .order
                .rows_up_to(source.connection(), &table.name, &progress.last)
                .map_err(|error| source.failed(error))?
        };
        if passed == progress.passed && !is_beginning {
            Ok(Begin::GoOn(self.to, progress))
        } else if can_repeat {
            let why = "rows have come or gone in SQLite where it was copied before: all are written again";
            Ok(Begin::Fill(self.to, Some(why)))
        } else {
            Err(Failure::new(format!(
                "{name} has changed in SQLite since its copy was begun, and without a key its rows cannot be told apart"
            ))
            .hint(format!("begin again: TRUNCATE {quoted} in PostgreSQL")))
        }
    }
}
