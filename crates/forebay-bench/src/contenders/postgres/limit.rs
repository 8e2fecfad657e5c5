//! `limit`: one thread, no queue, multi-row statements by hand, each a transaction. It writes the rows of all workers in turn,
//! a batch of each, as the one for SQLite does. A statement must not have a key twice, so of rows with one key it has the newest.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use forebay_trial::{
    Cursor, Report, Request, Result, Row, Server, Target, TaskContender, TaskWorker, Written,
};
use serde_json::json;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Statement};

use super::{Source, connect, failed, versions};

/// Parameters in one statement at the most, by the protocol.
const PARAMETERS: usize = 65_535;

/// What its one worker does, and has done.
pub(super) struct Limit {
    server: Server,
    target: Target,
    rows: usize,
    topics: Source,
    workers: u32,
    done: Arc<Done>,
}

/// What is counted.
#[derive(Default)]
struct Done {
    committed: AtomicU64,
    superseded: AtomicU64,
    transactions: AtomicU64,
    acknowledged: Mutex<Vec<u64>>,
}

/// The request with the pace of its calls, which are batches, where it has one.
pub(super) fn paced(request: &Request) -> Result<Request> {
    let batch = batch(request)? as f64;
    Ok(Request { rate: request.rate.map(|rows| rows / batch), ..request.clone() })
}

fn batch(request: &Request) -> Result<usize> {
    let rows = request.options["batch"].as_u64().filter(|&rows| rows > 0);
    Ok(rows.ok_or("limit needs a batch size")? as usize)
}

impl Limit {
    pub(super) async fn new(request: &Request, server: &Server, topics: Source) -> Result<Self> {
        Ok(Self {
            server: server.clone(),
            target: request.target.clone(),
            rows: batch(request)?,
            topics,
            workers: request.workers.total,
            done: Arc::default(),
        })
    }
}

impl TaskContender for Limit {
    type Worker = LimitWorker;

    fn versions(&self) -> BTreeMap<String, String> {
        versions(&self.server)
    }

    async fn worker(&self, _: u32) -> Result<LimitWorker> {
        Ok(LimitWorker {
            client: connect(&self.server).await?,
            target: self.target.clone(),
            statements: HashMap::new(),
            rows: self.rows,
            cursors: (0..self.workers).map(|worker| (self.topics.cursor(worker), 0)).collect(),
            turn: 0,
            batch: Vec::new(),
            done: Arc::clone(&self.done),
        })
    }

    fn committed(&self) -> Option<u64> {
        Some(self.done.committed.load(Ordering::Relaxed))
    }

    async fn finish(&self) -> Result<Report> {
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let superseded = of(&self.done.superseded);
        let committed = of(&self.done.committed) - superseded;
        let acknowledged = self.done.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Report {
            transactions: Some(of(&self.done.transactions)),
            acknowledged: Some(acknowledged.clone()),
            details: json!({ "stats": { "committed": committed, "superseded": superseded } }),
            ..Report::default()
        })
    }
}

/// The worker, each of whose calls is a transaction.
pub(super) struct LimitWorker {
    client: Client,
    target: Target,
    /// By how many rows they have.
    statements: HashMap<usize, Statement>,
    /// Rows of a batch.
    rows: usize,
    /// The rows of each worker, and how many of them are written.
    cursors: Vec<(Cursor<'static>, u64)>,
    /// Whose turn it is.
    turn: usize,
    batch: Vec<Row<'static>>,
    done: Arc<Done>,
}

impl LimitWorker {
    /// Takes a batch of the worker whose turn it is, and leaves out what a newer row of the same key replaces.
    fn take(&mut self) {
        let (cursor, written) = &mut self.cursors[self.turn];
        self.batch.clear();
        let mut places = HashMap::new();
        for number in *written..*written + self.rows as u64 {
            let row = cursor.row(number);
            if self.target.key.is_empty() {
                self.batch.push(row);
                continue;
            }
            let place = *places.entry(row.topic_id).or_insert(self.batch.len());
            match self.batch.get_mut(place) {
                Some(older) => *older = row,
                None => self.batch.push(row),
            }
        }
        *written += self.rows as u64;
        self.turn = (self.turn + 1) % self.cursors.len();
    }

    /// Runs one statement with some rows of the batch.
    async fn execute(&mut self, rows: std::ops::Range<usize>) -> Result<()> {
        let count = rows.len();
        if !self.statements.contains_key(&count) {
            let sql = self.target.numbered_statement(count);
            let statement = self.client.prepare(&sql).await.map_err(failed)?;
            self.statements.insert(count, statement);
        }
        let parameters: Vec<&(dyn ToSql + Sync)> = self.batch[rows]
            .iter()
            .flat_map(|row| -> [&(dyn ToSql + Sync); 4] {
                [&row.topic_id, &row.status, &row.progress, &row.updated_at]
            })
            .collect();
        self.client.execute(&self.statements[&count], &parameters).await.map_err(failed)?;
        Ok(())
    }

    /// Runs the statements of the batch: one, which is a transaction alone, as long as its parameters fit.
    async fn write_batch(&mut self) -> Result<()> {
        let most = PARAMETERS / self.target.columns.len();
        let rows = self.batch.len();
        if rows <= most {
            return self.execute(0..rows).await;
        }
        self.client.batch_execute("BEGIN").await.map_err(failed)?;
        for first in (0..rows).step_by(most) {
            self.execute(first..rows.min(first + most)).await?;
        }
        self.client.batch_execute("COMMIT").await.map_err(failed)
    }
}

impl TaskWorker for LimitWorker {
    async fn write(&mut self, _: u64) -> Result<Written> {
        self.take();
        self.write_batch().await?;
        let left_out = self.rows - self.batch.len();
        self.done.superseded.fetch_add(left_out as u64, Ordering::Relaxed);
        self.done.transactions.fetch_add(1, Ordering::Relaxed);
        self.done.committed.fetch_add(self.rows as u64, Ordering::Relaxed);
        Ok(Written::Done)
    }

    async fn finish(self) -> Result<()> {
        let acknowledged = self.cursors.iter().map(|(_, rows)| *rows).collect();
        *self.done.acknowledged.lock().unwrap_or_else(PoisonError::into_inner) = acknowledged;
        Ok(())
    }
}
