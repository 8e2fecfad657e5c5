//! Finding the rows that the database refuses, so that the others commit.
//!
//! The batch runs again with a savepoint around every statement. A statement that fails goes back to its
//! savepoint and is run again one unit (a row or a group) at a time: only then is it known that the rows
//! before the bad one are as they were, for a conflict clause FAIL keeps what its statement had done. A
//! transaction that is gone after an error (ROLLBACK from a conflict clause or a trigger) begins again
//! without the unit that ended it. Whatever happens, the rows that stay commit in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rusqlite::Connection;
use rusqlite::ffi::SQLITE_CONSTRAINT_COMMITHOOK;

use super::apply::{Statements, begin, commit, control, roll_back, run_length};
use super::books::Bookkeeping;
use super::fault::{Fault, Stage};
use super::sql::Texts;
use crate::batch::Batch;
use crate::error::{Error, ErrorKind};
use crate::signals::Signals;
use crate::sink::{Applied, Rejection, SinkError};

type Unit = Range<usize>;

/// Writes all rows of the batch that the database accepts.
pub(super) fn write(
    connection: &mut Connection,
    batch: &Batch<'_>,
    texts: &mut Texts,
    books: &mut Bookkeeping,
    signals: &Signals,
) -> Result<Applied, SinkError> {
    let mut isolation = Isolation {
        connection,
        batch,
        texts,
        books,
        refused: BTreeMap::new(),
        violators: BTreeMap::new(),
        suspects: BTreeSet::new(),
        signals,
    };
    let mut units: Vec<Unit> = batch.units().collect();
    match isolation.attempt(&units, Mode::Commit)? {
        End::Committed(applied) => Ok(applied),
        End::Deferred(_) => {
            units = isolation.without_deferred_violations(&units)?;
            match isolation.attempt(&units, Mode::Commit)? {
                End::Committed(applied) => Ok(applied),
                // The lock was free between the rehearsals: somebody has changed what the rows refer to.
                End::Deferred(error) => Err(SinkError::busy(error)),
            }
        }
    }
}

struct Isolation<'a> {
    connection: &'a mut Connection,
    batch: &'a Batch<'a>,
    texts: &'a mut Texts,
    books: &'a mut Bookkeeping,
    /// The first row of each unit that was refused in the present attempt, and why. Another attempt may
    /// come to another verdict: what refused a row may itself be gone.
    refused: BTreeMap<usize, Error>,
    /// The first row of each unit that violates a deferred foreign key, and how.
    violators: BTreeMap<usize, Error>,
    /// The first row of each unit that is to run alone, because a statement with them ended the transaction.
    suspects: BTreeSet<usize>,
    signals: &'a Signals,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Commit,
    /// Up to the point where COMMIT has checked the foreign keys, and then back.
    Rehearse,
}

enum End {
    Committed(Applied),
    /// A deferred foreign key is violated.
    Deferred(Error),
}

enum Ran {
    Done {
        unchanged: u64,
    },
    Refused(Error),
    /// Refused, and the transaction with all its rows is gone.
    Gone(Error),
}

impl Isolation<'_> {
    /// Runs the units that are not refused, as often as it takes until the transaction lasts to its end.
    fn attempt(&mut self, units: &[Unit], mode: Mode) -> Result<End, SinkError> {
        self.refused.clear();
        loop {
            if self.signals.patience_ended() {
                let why = "the buffer closed while the bad rows of a batch were looked for";
                return Err(SinkError::busy(Error::new(ErrorKind::Busy, why)));
            }
            let ran = self.run_all(units, mode);
            if !matches!(ran, Ok(Some(End::Committed(_)))) || mode == Mode::Rehearse {
                roll_back(self.connection)?;
            }
            if let Some(end) = ran? {
                return Ok(end);
            }
        }
    }

    /// One transaction. `None` when it was gone before its end, and more is known for the next one.
    fn run_all(&mut self, units: &[Unit], mode: Mode) -> Result<Option<End>, SinkError> {
        let table = self.batch.row(0).shape().target().table();
        begin(self.connection, table)?;
        if mode == Mode::Commit
            && let Some(applied) = self.books.enter(self.connection, self.batch)?
        {
            return Ok(Some(End::Committed(applied)));
        }
        let mut unchanged = 0;
        let mut next = 0;
        while next < units.len() {
            let chunk = self.chunk(&units[next..]);
            next += chunk.len();
            match self.run(&chunk)? {
                Ran::Done { unchanged: some } => unchanged += some,
                Ran::Refused(error) if chunk.len() == 1 => self.refuse(&chunk[0], error),
                Ran::Gone(error) if chunk.len() == 1 => {
                    self.refuse(&chunk[0], error);
                    return Ok(None);
                }
                Ran::Gone(_) => {
                    self.suspects.extend(chunk.iter().map(|unit| unit.start));
                    return Ok(None);
                }
                Ran::Refused(_) => {
                    for unit in chunk {
                        match self.run(std::slice::from_ref(&unit))? {
                            Ran::Done { unchanged: some } => unchanged += some,
                            Ran::Refused(error) => self.refuse(&unit, error),
                            Ran::Gone(error) => {
                                self.refuse(&unit, error);
                                return Ok(None);
                            }
                        }
                    }
                }
            }
        }
        let end = match mode {
            Mode::Commit => self.commit(unchanged),
            Mode::Rehearse => self.rehearse_commit(table).map(|()| Applied::default()),
        };
        match end {
            Ok(applied) => Ok(Some(End::Committed(applied))),
            Err(Fault::Deferred(error)) => Ok(Some(End::Deferred(error))),
            Err(Fault::Row(error)) => Err(SinkError::busy(error)),
            Err(Fault::Batch(error)) => Err(error),
        }
    }

    /// The units at the start of `units` that one statement takes; refused ones are passed over.
    fn chunk(&self, units: &[Unit]) -> Vec<Unit> {
        let first = &units[0];
        let alone = |unit: &Unit| {
            unit.len() > 1
                || self.suspects.contains(&unit.start)
                || self.refused.contains_key(&unit.start)
        };
        if alone(first) {
            return vec![first.clone()];
        }
        // Consecutive single rows of one shape: rows that are not in `units` end the chunk.
        let single = units
            .iter()
            .enumerate()
            .take(super::sql::SIZES[0])
            .take_while(|(index, unit)| !alone(unit) && unit.start == first.start + index)
            .count();
        let run = run_length(self.batch, first.start..first.start + single);
        let size = super::sql::size(
            self.batch.row(first.start).shape(),
            run,
            super::open::max_parameters(self.connection),
        );
        units[..size].to_vec()
    }

    /// Runs a chunk in a savepoint of its own.
    fn run(&mut self, chunk: &[Unit]) -> Result<Ran, SinkError> {
        if chunk.len() == 1 && self.refused.contains_key(&chunk[0].start) {
            return Ok(Ran::Done { unchanged: 0 });
        }
        let rows = chunk[0].start..chunk[chunk.len() - 1].end;
        let table = self.batch.row(rows.start).shape().target().table();
        failpoint!(BeforeSavepoint, self.connection, Stage::Step, table);
        self.control("SAVEPOINT forebay_rows", table)?;
        failpoint!(AfterSavepoint, self.connection, Stage::Step, table);
        match self.run_rows(rows, chunk.len() > 1) {
            Ok(unchanged) => {
                failpoint!(BeforeRelease, self.connection, Stage::Step, table);
                self.control("RELEASE forebay_rows", table)?;
                Ok(Ran::Done { unchanged })
            }
            Err(Fault::Batch(error)) => Err(error),
            Err(Fault::Row(error) | Fault::Deferred(error)) if self.connection.is_autocommit() => {
                Ok(Ran::Gone(error))
            }
            Err(Fault::Row(error) | Fault::Deferred(error)) => {
                failpoint!(BeforeRollbackTo, self.connection, Stage::Step, table);
                self.control("ROLLBACK TO forebay_rows", table)?;
                failpoint!(AfterRollbackTo, self.connection, Stage::Step, table);
                self.control("RELEASE forebay_rows", table)?;
                Ok(Ran::Refused(error))
            }
        }
    }

    /// A statement that no row can make fail.
    fn control(&self, sql: &str, table: &str) -> Result<(), SinkError> {
        Ok(control(self.connection, sql, Stage::Step, table)?)
    }

    fn run_rows(&mut self, rows: Range<usize>, one_statement: bool) -> Result<u64, Fault> {
        let mut statements = Statements::new(self.connection, self.texts);
        if one_statement {
            return statements.run(self.batch, rows);
        }
        rows.map(|row| statements.run(self.batch, row..row + 1)).sum()
    }

    fn refuse(&mut self, unit: &Unit, error: Error) {
        self.refused.insert(unit.start, error);
    }

    /// COMMIT, with the refused rows in the books.
    fn commit(&mut self, unchanged: u64) -> Result<Applied, Fault> {
        let mut refused = self.refused.clone();
        refused.extend(self.violators.clone());
        let rejected = refused.into_iter().map(|(row, error)| Rejection { row, error }).collect();
        let applied = Applied { rejected, unchanged, transactions: 1 };
        Bookkeeping::keep(self.connection, self.batch, &applied.rejected)?;
        self.books.commit(self.connection, self.batch, applied)
    }

    /// COMMIT with a hook that turns it into a rollback, after the foreign keys have been checked.
    fn rehearse_commit(&mut self, table: &str) -> Result<(), Fault> {
        let hooked = |connection: &mut Connection, on: bool| {
            let hook = on.then_some(|| true);
            connection.commit_hook(hook).expect("setting a commit hook cannot fail");
        };
        failpoint!(BeforeRehearsal, self.connection, Stage::Commit, table);
        hooked(self.connection, true);
        let end = commit(self.connection, table);
        hooked(self.connection, false);
        failpoint!(AfterRehearsal);
        match end {
            Err(Fault::Deferred(error)) if error.code() == Some(SQLITE_CONSTRAINT_COMMITHOOK) => {
                Ok(())
            }
            end => end,
        }
    }

    /// The units that can commit together. Halves the rest until the units are found that cannot, then
    /// gives each of these another chance with all the others there: a child may come before its parent.
    fn without_deferred_violations(&mut self, units: &[Unit]) -> Result<Vec<Unit>, SinkError> {
        let mut good: Vec<Unit> = Vec::new();
        let mut late: Vec<(Unit, Error)> = Vec::new();
        let mut todo = vec![units.to_vec()];
        while let Some(part) = todo.pop() {
            match self.rehearse(&good, &part)? {
                None => good = merged(&good, &part),
                Some(error) if part.len() == 1 => late.push((part[0].clone(), error)),
                Some(_) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    todo.push(second.to_vec());
                    todo.push(first.to_vec());
                }
            }
        }
        // A late unit may need another: go round until nothing more fits. To and fro: a chain of them is then through in one
        // round, whichever way it goes.
        loop {
            let before = late.len();
            let mut still_late = Vec::new();
            for (unit, _) in std::mem::take(&mut late).into_iter().rev() {
                let part = [unit];
                match self.rehearse(&good, &part)? {
                    None => good = merged(&good, &part),
                    Some(error) => still_late.push((part[0].clone(), error)),
                }
            }
            late = still_late;
            if late.is_empty() || late.len() == before {
                break;
            }
        }
        // What is left may be good together only, such as two rows that refer to each other.
        let together: Vec<Unit> = late.iter().map(|(unit, _)| unit.clone()).collect();
        if late.len() > 1 && self.rehearse(&good, &together)?.is_none() {
            good = merged(&good, &together);
            late.clear();
        }
        self.violators.extend(late.into_iter().map(|(unit, error)| (unit.start, error)));
        Ok(good)
    }

    /// Whether the units could commit: the violation if not.
    fn rehearse(&mut self, good: &[Unit], part: &[Unit]) -> Result<Option<Error>, SinkError> {
        match self.attempt(&merged(good, part), Mode::Rehearse)? {
            End::Committed(_) => Ok(None),
            End::Deferred(error) => Ok(Some(error)),
        }
    }
}

/// Both lists in the order of the log.
fn merged(a: &[Unit], b: &[Unit]) -> Vec<Unit> {
    let mut units: Vec<Unit> = a.iter().chain(b).cloned().collect();
    units.sort_unstable_by_key(|unit| unit.start);
    units
}

/// For statements that no row can make fail.
impl From<Fault> for SinkError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Batch(error) => error,
            Fault::Row(error) | Fault::Deferred(error) => Self::busy(error),
        }
    }
}
