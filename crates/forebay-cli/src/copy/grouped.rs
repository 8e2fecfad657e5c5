//! Rows of a table without a key: in groups, each in one transaction with how far it comes, so that none is there twice.

use forebay::rusqlite::Rows;
use forebay::{Error, ErrorKind, Receipt};

use super::progress::{Progress, Step};
use super::writing::{Misfit, Writing, is_about_the_row, overtaken, values};
use crate::failure::{Failure, Result};
use crate::sql::named;

/// Rows in a group. Each is waited for, so that fewer cost time; and it is one transaction, so that more gain little.
const GROUP: u64 = 2_000;

/// The part of what a group may take that is filled: the row that comes next must have room, too.
const FILLED: usize = 4;

impl Writing<'_> {
    /// Writes a group of rows and waits for it; `false` at the end.
    pub(super) fn group(&mut self, rows: &mut Rows<'_>) -> Result<bool> {
        let begun = self.progress.clone();
        let mut misfits = Vec::new();
        let mut failure = None;
        let mut is_last = false;
        let buffer = self.ends.buffer;
        let receipt = buffer.group(|group| {
            let mut bytes = 0;
            while self.progress.passed - begun.passed < GROUP
                && bytes < buffer.config().max_row_bytes / FILLED
            {
                // Nothing of the group is written then.
                let failed = |why| {
                    failure = Some(why);
                    Error::new(ErrorKind::Failed, "the rows cannot be read")
                };
                let Some(row) = self.next(rows).map_err(failed)? else {
                    is_last = true;
                    break;
                };
                let (number, place) = self.pass(row).map_err(|why| {
                    failure = Some(why);
                    Error::new(ErrorKind::Failed, "the rows cannot be read")
                })?;
                match values(self.plan, self.to, row) {
                    Err(misfit) => misfits.push((number, place, misfit)),
                    Ok(values) => {
                        bytes += values.iter().map(super::value::Value::size).sum::<usize>();
                        group.add(&self.rows, &self.cells(&values))?;
                    }
                }
            }
            let rejected = self.progress.rejected + misfits.len() as u64;
            let step = self.progress.step(&self.to.name, Some(&begun.last));
            let step = Step { rejected, ..step };
            group.add(&self.steps, &step)
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        match receipt.and_then(Receipt::wait) {
            Ok(()) => self.reject_all(misfits)?,
            Err(error) if is_about_the_row(error.kind()) => self.one_by_one(begun)?,
            Err(error) => {
                self.unwritten += self.progress.passed - begun.passed;
                return Err(error.into());
            }
        }
        Ok(!is_last)
    }

    fn reject_all(&mut self, misfits: Vec<(u64, String, Misfit)>) -> Result<()> {
        for (number, place, misfit) in misfits {
            self.reject(number, &place, &misfit, false)?;
        }
        Ok(())
    }

    /// Writes the rows of a group that was refused again, each in a group of its own, to find out which of them are.
    fn one_by_one(&mut self, begun: Progress) -> Result<()> {
        let (table, source) = (&self.plan.table, self.ends.source);
        let is_at_begin =
            self.ends.target.progress(&self.to.name)?.is_some_and(|now| now.last == begun.last);
        let count = self.progress.passed - begun.passed;
        if !is_at_begin {
            self.unwritten += count;
            return Err(overtaken(&table.name));
        }
        let columns: Vec<_> = table.columns.iter().map(|column| &column.name).collect();
        let after = Some(begun.last.as_str()).filter(|place| !place.is_empty());
        let sql =
            table.order.query(&table.name, &named(&columns), after) + &format!(" LIMIT {count}");
        let failed = |error| source.failed(error);
        let mut statement = source.connection().prepare(&sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut committed = begun.last.clone();
        self.ends.read.fetch_sub(count, std::sync::atomic::Ordering::Relaxed);
        self.progress = begun;
        while let Some(row) = self.next(&mut rows)? {
            let (number, place) = self.pass(row)?;
            let values = match values(self.plan, self.to, row) {
                Ok(values) => values,
                Err(misfit) => {
                    self.reject(number, &place, &misfit, false)?;
                    continue;
                }
            };
            let receipt = self.ends.buffer.group(|group| {
                group.add(&self.rows, &self.cells(&values))?;
                group.add(&self.steps, &self.progress.step(&self.to.name, Some(&committed)))
            });
            match receipt.and_then(Receipt::wait) {
                Ok(()) => committed = place,
                Err(error) if is_about_the_row(error.kind()) => {
                    self.reject(number, &place, &format_args!("{error:#}"), true)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        if committed != self.progress.last {
            let receipt = self.steps.submit(&self.progress.step(&self.to.name, Some(&committed)));
            receipt.and_then(Receipt::wait).map_err(Failure::from)?;
        }
        Ok(())
    }
}
