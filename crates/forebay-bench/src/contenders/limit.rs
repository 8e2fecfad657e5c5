//! `limit`: one thread, no queue, hand-written multi-row transactions. Nothing that has to take rows from somebody can
//! be faster. It writes the rows of all workers in turn, a batch of each: a worker that hands over rows without waiting
//! gets about as many into the queue before the next has its turn, and rows that lie close together cost less.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use forebay::rusqlite::{self, Connection, Statement};
use forebay_trial::{Contender, Report, Request, Result, Target, Worker, Written};

use super::connection::{close, connect, versions};
use crate::rows::{Row, Source};

/// Rows in one statement at the most. With 100 and 200 the rates were the same, and the CPU time was a little more.
const ROWS: usize = 50;
/// Parameters in one statement at the most, as SQLite is built.
const PARAMETERS: usize = 32_766;

/// The one worker's connection, and what it does with it.
pub(super) struct Limit<S: 'static> {
    connection: Mutex<Option<Connection>>,
    batch: Batch,
    source: &'static S,
    workers: u32,
    committed: AtomicU64,
    transactions: AtomicU64,
    acknowledged: Mutex<Vec<u64>>,
}

/// The statements of a transaction.
struct Batch {
    rows: usize,
    /// Parameters of a row.
    columns: usize,
    /// Rows of each statement but for the last.
    step: usize,
    full: String,
    /// What is left, if anything.
    rest: Option<String>,
}

impl Batch {
    fn new(rows: usize, target: &Target) -> Self {
        let columns = target.columns.len();
        let step = (PARAMETERS / columns.max(1)).min(ROWS).clamp(1, rows);
        let rest = rows % step;
        Self {
            rows,
            columns,
            step,
            full: target.statement(step),
            rest: (rest > 0).then(|| target.statement(rest)),
        }
    }
}

impl<S: Source> Limit<S> {
    pub(super) fn new(request: &Request, source: &'static S) -> Result<Self> {
        let rows = request.options["batch"].as_u64().filter(|&rows| rows > 0);
        let rows = rows.ok_or("limit needs a batch size")? as usize;
        Ok(Self {
            connection: Mutex::new(Some(connect(request)?)),
            batch: Batch::new(rows, &request.target),
            source,
            workers: request.workers.total,
            committed: AtomicU64::new(0),
            transactions: AtomicU64::new(0),
            acknowledged: Mutex::default(),
        })
    }

    /// Rows that each call of its worker writes.
    pub(super) fn rows_per_call(&self) -> usize {
        self.batch.rows
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

/// The worker, each of whose calls is a transaction. So it looks its statements up once for all of their rows.
pub(super) struct LimitWorker<'a, S: Source> {
    shared: &'a Limit<S>,
    connection: Connection,
    /// The rows of each worker, and how many of them are written.
    cursors: Vec<(S::Cursor, u64)>,
    /// Whose turn it is.
    turn: usize,
}

impl<S: Source> LimitWorker<'_, S> {
    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.raw_execute().map(drop)
    }

    /// Writes a batch of the rows of the worker whose turn it is.
    fn write_batch(&mut self) -> rusqlite::Result<()> {
        let batch = &self.shared.batch;
        let mut full = self.connection.prepare_cached(&batch.full)?;
        for _ in 0..batch.rows / batch.step {
            execute::<S>(&mut full, &mut self.cursors[self.turn], batch.step, batch.columns)?;
        }
        if let Some(rest) = &batch.rest {
            let mut rest = self.connection.prepare_cached(rest)?;
            let rows = batch.rows % batch.step;
            execute::<S>(&mut rest, &mut self.cursors[self.turn], rows, batch.columns)?;
        }
        Ok(())
    }
}

/// Runs a statement with the next rows.
fn execute<S: Source>(
    statement: &mut Statement<'_>,
    (cursor, written): &mut (S::Cursor, u64),
    rows: usize,
    columns: usize,
) -> rusqlite::Result<()> {
    for place in 0..rows {
        S::row(cursor, *written).bind(statement, place * columns + 1)?;
        *written += 1;
    }
    statement.raw_execute().map(drop)
}

impl<S: Source> Worker for LimitWorker<'_, S> {
    fn write(&mut self, _: u64) -> Result<Written> {
        let rows = self.shared.batch.rows;
        if rows == 1 {
            // A statement alone is a transaction of its own.
            self.write_batch()?;
        } else {
            self.run("BEGIN IMMEDIATE")?;
            self.write_batch()?;
            self.run("COMMIT")?;
        }
        self.turn = (self.turn + 1) % self.cursors.len();
        self.shared.transactions.fetch_add(1, Ordering::Relaxed);
        self.shared.committed.fetch_add(rows as u64, Ordering::Relaxed);
        Ok(Written::Done)
    }

    fn finish(self) -> Result<()> {
        let acknowledged = self.cursors.iter().map(|(_, rows)| *rows).collect();
        *self.shared.acknowledged.lock().unwrap_or_else(PoisonError::into_inner) = acknowledged;
        close(Some(self.connection))
    }
}

#[cfg(test)]
mod tests {
    use forebay_trial::Topics;
    use serde_json::json;

    use super::super::tests::{ANY_ROWS, request, topics};
    use super::*;

    #[test]
    fn each_call_is_a_transaction_of_as_many_rows_as_were_asked_for() {
        for batch in [1_u64, 10, 49, 50, 51, 4_000] {
            let folder = tempfile::tempdir().unwrap();
            let options = json!({ "batch": batch });
            let request = Request { options, ..request(folder.path(), ANY_ROWS) };
            let limit = Limit::<Topics>::new(&request, topics(&request)).unwrap();
            let mut worker = limit.worker(0).unwrap();
            for number in 0..4 {
                worker.write(number).unwrap();
                assert_eq!(limit.committed(), Some((number + 1) * batch));
            }
            worker.finish().unwrap();
            let report = limit.finish().unwrap();
            assert_eq!(report.acknowledged, Some(vec![2 * batch, batch, batch]));
            assert_eq!(report.transactions, Some(4));
            let connection = Connection::open(&request.database).unwrap();
            let count = "SELECT count(*) FROM topic_status";
            let rows: i64 = connection.query_row(count, [], |row| row.get(0)).unwrap();
            assert_eq!(rows.cast_unsigned(), 4 * batch);
        }
    }
}
