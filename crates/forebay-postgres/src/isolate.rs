//! Finding the rows that the database refuses, so that the others commit.
//!
//! The batch runs again in one transaction. A stretch of rows that is refused goes back to its savepoint and is halved, until it is one
//! unit, a row or a group, which is refused. What only COMMIT checks is found by having it checked early: halves of the batch are tried until the
//! units are found that violate it, and each of these has another chance with all others in place. Then the transaction is taken back to its
//! beginning, and the units that stay are written in the log's order.

use std::collections::BTreeMap;
use std::ops::Range;

use forebay::{Applied, Batch, Error, ErrorKind, Rejection};

use crate::apply::{Work, begin};
use crate::books::Bookkeeping;
use crate::fault::{Failure, Fault, Verdict};
use crate::run::{Repeats, calls};

type Unit = Range<usize>;

/// When the constraints are checked that a row of the batch violates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checks {
    AtOnce,
    AtCommit,
}

/// Writes all rows of the batch that the database accepts.
pub(crate) async fn write(
    work: &mut Work<'_>,
    batch: &Batch<'_>,
    checks: Checks,
) -> Result<Applied, Failure> {
    let mut checks = checks;
    loop {
        let fault = match attempt(work, batch, checks).await {
            Ok(applied) => return Ok(applied),
            Err(fault) => fault,
        };
        match work.undo(fault).await? {
            Fault::Deferred(_) if checks == Checks::AtOnce => checks = Checks::AtCommit,
            fault => return Err(fault.into()),
        }
    }
}

async fn attempt(work: &mut Work<'_>, batch: &Batch<'_>, checks: Checks) -> Result<Applied, Fault> {
    if let Some(applied) = begin(work, batch).await? {
        return Ok(applied);
    }
    let table = batch.row(0).shape().target().table();
    let mut isolation = Isolation { work, batch, table, refused: BTreeMap::new(), unchanged: 0 };
    let mut units: Vec<Unit> = batch.units().collect();
    let mut late = BTreeMap::new();
    if checks == Checks::AtCommit {
        isolation.control("SAVEPOINT forebay_start").await?;
        // What was refused because of a late one may be good without it, or late itself: until no more are found.
        loop {
            isolation.write(&units).await?;
            isolation.control("ROLLBACK TO forebay_start").await?;
            let refused = std::mem::take(&mut isolation.refused);
            let tried = units.iter().filter(|unit| !refused.contains_key(&unit.start));
            isolation.without_violations(tried.cloned().collect()).await?;
            isolation.control("ROLLBACK TO forebay_start").await?;
            let found = std::mem::take(&mut isolation.refused);
            if found.is_empty() {
                break;
            }
            units.retain(|unit| !found.contains_key(&unit.start));
            late.extend(found);
        }
        isolation.unchanged = 0;
    }
    isolation.write(&units).await?;
    isolation.refused.extend(late);
    let Isolation { work, refused, unchanged, .. } = isolation;
    let rejected = refused.into_iter().map(|(row, error)| Rejection { row, error }).collect();
    let applied = Applied { rejected, unchanged, transactions: 1 };
    Bookkeeping::keep(work, batch, &applied.rejected).await?;
    work.commit(batch, applied).await
}

struct Isolation<'a, 'w> {
    work: &'a mut Work<'w>,
    batch: &'a Batch<'a>,
    table: &'a str,
    /// The first row of each unit that is refused, and why.
    refused: BTreeMap<usize, Error>,
    unchanged: u64,
}

impl Isolation<'_, '_> {
    async fn control(&mut self, sql: &str) -> Result<(), Failure> {
        self.work.control(sql, self.table).await
    }

    /// Writes the units, without those that are refused.
    async fn write(&mut self, units: &[Unit]) -> Result<(), Failure> {
        let mut todo = stretches(units);
        todo.reverse();
        while let Some(part) = todo.pop() {
            match self.try_part(&part, false).await? {
                Ok(unchanged) => self.unchanged += unchanged,
                Err(error) if part.len() == 1 => {
                    self.refused.insert(part[0].start, error);
                }
                Err(_) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    todo.push(second.to_vec());
                    todo.push(first.to_vec());
                }
            }
        }
        Ok(())
    }

    /// Writes some units in a savepoint of their own, and takes them back when they are refused. How many of their rows changed nothing.
    async fn try_part(
        &mut self,
        part: &[Unit],
        checks_all: bool,
    ) -> Result<Result<u64, Error>, Failure> {
        if self.work.signals.patience_ended() {
            let why = "the buffer closed while the bad rows of a batch were looked for";
            return Err(Failure::new(Verdict::Busy, Error::new(ErrorKind::Busy, why)));
        }
        self.control("SAVEPOINT forebay_rows").await?;
        match self.run(part, checks_all).await {
            Ok(unchanged) => {
                self.control("RELEASE forebay_rows").await?;
                Ok(Ok(unchanged))
            }
            Err(Fault::Batch(failure)) => Err(failure),
            Err(Fault::Row(error) | Fault::Deferred(error)) => {
                self.control("ROLLBACK TO forebay_rows").await?;
                self.control("RELEASE forebay_rows").await?;
                Ok(Err(error))
            }
        }
    }

    async fn run(&mut self, part: &[Unit], checks_all: bool) -> Result<u64, Fault> {
        let mut unchanged = 0;
        for rows in contiguous(part) {
            let calls = calls(self.work, self.batch, rows, Repeats::WriteAll).await?;
            unchanged += self.work.send(self.batch, calls).await?;
        }
        if checks_all {
            let check = self.work.session.client().batch_execute("SET CONSTRAINTS ALL IMMEDIATE");
            let checked = self.work.answer(check).await;
            checked.map_err(|trouble| self.work.judge(&trouble, self.table))?;
            self.control("SET CONSTRAINTS ALL DEFERRED").await?;
        }
        Ok(unchanged)
    }

    /// Refuses the units that cannot commit together with the others.
    async fn without_violations(&mut self, units: Vec<Unit>) -> Result<(), Failure> {
        self.control("SET CONSTRAINTS ALL DEFERRED").await?;
        let mut late: Vec<(Unit, Error)> = Vec::new();
        let mut todo = vec![units];
        while let Some(part) = todo.pop().filter(|part| !part.is_empty()) {
            match self.try_part(&part, true).await? {
                Ok(_) => (),
                Err(error) if part.len() == 1 => late.push((part[0].clone(), error)),
                Err(_) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    todo.push(second.to_vec());
                    todo.push(first.to_vec());
                }
            }
        }
        // A child may come before its parent, and one late unit may need another: go round until nothing more fits. To and fro: a
        // chain of them is then through in one round, whichever way it goes.
        loop {
            let before = late.len();
            for (unit, _) in std::mem::take(&mut late).into_iter().rev() {
                match self.try_part(std::slice::from_ref(&unit), true).await? {
                    Ok(_) => (),
                    Err(error) => late.push((unit, error)),
                }
            }
            if late.is_empty() || late.len() == before {
                break;
            }
        }
        // What is left may be good together only, such as two rows that refer to each other; in the order in which they are written then.
        late.sort_by_key(|(unit, _)| unit.start);
        let together: Vec<Unit> = late.iter().map(|(unit, _)| unit.clone()).collect();
        if late.len() > 1 && self.try_part(&together, true).await?.is_ok() {
            late.clear();
        }
        self.refused.extend(late.into_iter().map(|(unit, error)| (unit.start, error)));
        Ok(())
    }
}

/// Parts that are tried as one: single rows in a row, or one group.
fn stretches(units: &[Unit]) -> Vec<Vec<Unit>> {
    let mut parts: Vec<Vec<Unit>> = Vec::new();
    let mut open = false;
    for unit in units {
        let single = unit.len() == 1;
        match parts.last_mut() {
            Some(part) if open && single => part.push(unit.clone()),
            _ => parts.push(vec![unit.clone()]),
        }
        open = single;
    }
    parts
}

/// The units' rows, in as few stretches as they make.
fn contiguous(units: &[Unit]) -> Vec<Range<usize>> {
    let mut stretches: Vec<Range<usize>> = Vec::new();
    for unit in units {
        match stretches.last_mut() {
            Some(last) if last.end == unit.start => last.end = unit.end,
            _ => stretches.push(unit.clone()),
        }
    }
    stretches
}
