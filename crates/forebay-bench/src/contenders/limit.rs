//! `limit`: one thread, no queue, hand-written multi-row transactions. Nothing that has to take rows from somebody can
//! be faster. It writes the rows of all workers in turn, a batch of each: a worker that hands over rows without waiting
//! gets about as many into the queue before the next has its turn, and rows that lie close together cost less.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use forebay::rusqlite::{self, Connection};
use forebay_trial::{Contender, Report, Request, Result, Worker, Written};

use super::connection::{connect, versions};
use crate::rows::{Row, Source};

/// Rows in one statement at the most.
const ROWS: usize = 50;

/// The one worker's connection, and what it does with it.
pub(super) struct Limit<S: 'static> {
    connection: Mutex<Option<Connection>>,
    batch: usize,
    many: String,
    one: String,
    source: &'static S,
    workers: u32,
    committed: AtomicU64,
    transactions: AtomicU64,
    acknowledged: Mutex<Vec<u64>>,
}

impl<S: Source> Limit<S> {
    pub(super) fn new(request: &Request, source: &'static S) -> Result<Self> {
        let batch = request.options["batch"].as_u64().ok_or("limit needs a batch size")? as usize;
        Ok(Self {
            connection: Mutex::new(Some(connect(request)?)),
            batch,
            many: request.target.statement(ROWS.min(batch)),
            one: request.target.sql.clone(),
            source,
            workers: request.workers.total,
            committed: AtomicU64::new(0),
            transactions: AtomicU64::new(0),
            acknowledged: Mutex::default(),
        })
    }
}

impl<S: Source> Contender for Limit<S> {
    type Worker<'a> = LimitWorker<'a, S>;

    fn versions(&self) -> BTreeMap<String, String> {
        versions()
    }

    fn worker(&self, _: u32) -> Result<LimitWorker<'_, S>> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(LimitWorker {
            shared: self,
            connection: connection.ok_or("limit has one worker")?,
            cursors: (0..self.workers).map(|worker| (self.source.cursor(worker), 0)).collect(),
            turn: 0,
            rows: Vec::with_capacity(ROWS),
            in_transaction: 0,
        })
    }

    fn committed(&self) -> Option<u64> {
        Some(self.committed.load(Ordering::Relaxed))
    }

    fn finish(&self) -> Result<Report> {
        let acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Report {
            transactions: Some(self.transactions.load(Ordering::Relaxed)),
            acknowledged: Some(acknowledged.clone()),
            ..Report::default()
        })
    }
}

/// The worker.
pub(super) struct LimitWorker<'a, S: Source> {
    shared: &'a Limit<S>,
    connection: Connection,
    /// The rows of each worker, and how many of them were taken.
    cursors: Vec<(S::Cursor, u64)>,
    /// Whose turn it is.
    turn: usize,
    /// Rows for the next statement.
    rows: Vec<S::Row>,
    /// Rows of the open transaction, those for the next statement among them.
    in_transaction: usize,
}

impl<S: Source> LimitWorker<'_, S> {
    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.raw_execute().map(drop)
    }

    /// Writes the rows that are there, in one statement if they fill it.
    fn execute(&mut self) -> rusqlite::Result<()> {
        let full = self.rows.len() == ROWS.min(self.shared.batch);
        let (sql, step) =
            if full { (&self.shared.many, self.rows.len()) } else { (&self.shared.one, 1) };
        let mut statement = self.connection.prepare_cached(sql)?;
        let columns = statement.parameter_count() / step;
        for chunk in self.rows.chunks(step) {
            for (place, row) in chunk.iter().enumerate() {
                row.bind(&mut statement, place * columns + 1)?;
            }
            statement.raw_execute()?;
        }
        drop(statement);
        self.rows.clear();
        Ok(())
    }

    fn commit(&mut self) -> rusqlite::Result<()> {
        self.execute()?;
        self.run("COMMIT")?;
        self.shared.transactions.fetch_add(1, Ordering::Relaxed);
        self.shared.committed.fetch_add(self.in_transaction as u64, Ordering::Relaxed);
        self.in_transaction = 0;
        self.turn = (self.turn + 1) % self.cursors.len();
        Ok(())
    }
}

impl<S: Source> Worker for LimitWorker<'_, S> {
    fn write(&mut self, _: u64) -> Result<Written> {
        if self.in_transaction == 0 {
            self.run("BEGIN IMMEDIATE")?;
        }
        let (cursor, number) = &mut self.cursors[self.turn];
        self.rows.push(S::row(cursor, *number));
        *number += 1;
        self.in_transaction += 1;
        if self.in_transaction == self.shared.batch {
            self.commit()?;
        } else if self.rows.len() == ROWS.min(self.shared.batch) {
            self.execute()?;
        }
        Ok(Written::Done)
    }

    fn finish(mut self) -> Result<()> {
        if self.in_transaction > 0 {
            self.commit()?;
        }
        let acknowledged = self.cursors.iter().map(|(_, rows)| *rows).collect();
        *self.shared.acknowledged.lock().unwrap_or_else(PoisonError::into_inner) = acknowledged;
        Ok(())
    }
}
