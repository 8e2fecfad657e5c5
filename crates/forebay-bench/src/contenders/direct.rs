//! `rollback`, `direct` and `retry`: a connection for each worker, one row in each transaction.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use forebay::rusqlite::{self, Connection};
use forebay_trial::{Contender, Report, Request, Result, Worker, Written};

use super::connection::{connect_waiting, is_locked, versions};
use crate::rows::{Row, Source};

/// Retries, each after twice the delay of the one before.
const RETRIES: u32 = 5;
/// The delay before the first.
const DELAY: Duration = Duration::from_millis(100);

/// A connection for each worker, whose lock SQLite waits for, or the worker by hand.
pub(super) struct Direct<S: 'static> {
    request: Request,
    source: &'static S,
    by_hand: bool,
    transactions: AtomicU64,
    lock_errors: AtomicU64,
    retries: AtomicU64,
}

impl<S: Source> Direct<S> {
    /// Waits for the lock in SQLite, for as long as the request's busy timeout.
    pub(super) fn new(request: &Request, source: &'static S) -> Self {
        let none = AtomicU64::default;
        Self {
            request: request.clone(),
            source,
            by_hand: false,
            transactions: none(),
            lock_errors: none(),
            retries: none(),
        }
    }

    /// Never waits in SQLite; sleeps and tries again, five times.
    pub(super) fn with_retries(request: &Request, source: &'static S) -> Self {
        Self { by_hand: true, ..Self::new(request, source) }
    }
}

impl<S: Source> Contender for Direct<S> {
    type Worker<'a> = DirectWorker<'a, S>;

    fn versions(&self) -> BTreeMap<String, String> {
        versions()
    }

    fn worker(&self, index: u32) -> Result<DirectWorker<'_, S>> {
        let patience =
            if self.by_hand { Duration::ZERO } else { self.request.settings.busy_timeout };
        let connection = connect_waiting(&self.request, patience)?;
        let cursor = self.source.cursor(index);
        Ok(DirectWorker { shared: self, connection, cursor, over: None, transactions: 0 })
    }

    fn finish(&self) -> Result<Report> {
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Ok(Report {
            transactions: Some(of(&self.transactions)),
            lock_errors: of(&self.lock_errors),
            retries: of(&self.retries),
            ..Report::default()
        })
    }
}

/// A worker with its connection.
pub(super) struct DirectWorker<'a, S: Source> {
    shared: &'a Direct<S>,
    connection: Connection,
    cursor: S::Cursor,
    /// When the trial will be over, from the first write on.
    over: Option<Instant>,
    transactions: u64,
}

impl<S: Source> DirectWorker<'_, S> {
    fn attempt(&mut self, number: u64) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(&self.shared.request.target.sql)?;
        S::row(&mut self.cursor, number).bind(&mut statement, 1)?;
        statement.raw_execute().map(drop)
    }

    /// When the trial will be over, of which the first write is the beginning.
    fn over(&mut self) -> Instant {
        let Request { warm_up, time, .. } = self.shared.request;
        *self.over.get_or_insert_with(|| Instant::now() + warm_up + time)
    }

    /// Sleeps before a retry; wakes up for a last one when the trial is over.
    fn sleep(&mut self, delay: Duration) {
        let (over, now) = (self.over(), Instant::now());
        // The end may be late by a little, in which nobody should spin.
        let until = over.max(now + DELAY / 100).min(now + delay);
        while let Some(left) =
            until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            thread::park_timeout(left);
        }
    }
}

impl<S: Source> Worker for DirectWorker<'_, S> {
    fn write(&mut self, number: u64) -> Result<Written> {
        let retries = if self.shared.by_hand { RETRIES } else { 0 };
        self.over();
        for retry in 0..=retries {
            match self.attempt(number) {
                Ok(()) => {
                    self.transactions += 1;
                    return Ok(Written::Done);
                }
                Err(error) if is_locked(&error) => {
                    self.shared.lock_errors.fetch_add(1, Ordering::Relaxed);
                    if retry < retries {
                        self.shared.retries.fetch_add(1, Ordering::Relaxed);
                        self.sleep(DELAY * 2_u32.pow(retry));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Written::GivenUp)
    }

    fn finish(self) -> Result<()> {
        self.shared.transactions.fetch_add(self.transactions, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::plan;

    #[test]
    fn the_end_of_a_trial_counts_from_the_first_write_not_from_the_first_lock() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("topics.db");
        let plan = plan();
        plan.workload.make(plan.row, &database, "wal").unwrap();
        let named = |name: &str| plan.contenders.iter().find(|one| one.name() == name).unwrap();
        let request = plan.request(named("retry"), plan.modes[0], database);
        let topics: &'static _ = Box::leak(Box::new(request.topics().unwrap()));
        let retry = Direct::with_retries(&request, topics);
        let mut worker = retry.worker(0).unwrap();
        assert_eq!(worker.over, None);
        assert_eq!(worker.write(0).unwrap(), Written::Done);
        assert!(worker.over.is_some());
    }
}
