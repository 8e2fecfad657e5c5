//! batch-aint-one over rusqlite: each batch is one transaction on one connection.

#[path = "../../connection.rs"]
mod connection;

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use batch_aint_one::error::BatchResult;
use batch_aint_one::{BatchError, Batcher, BatchingPolicy, Limits, Processor};
use forebay_trial::{
    Cursor, Error, Mode, Outcome, Report, Request, Result, Row, Start, TaskContender, TaskWorker,
    Topics, Written, locked_versions, run_tasks, serve,
};
use rusqlite::{self, Connection, TransactionBehavior};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::{block_in_place, unconstrained};

/// Rows that wait for their outputs at the most, of all workers in mode push.
const CAPACITY: usize = 4_096;
/// Rows of a statement. Those that are left of a batch are written one by one, so that two statements stay prepared.
const ROWS: usize = 50;

fn main() -> ExitCode {
    serve(run)
}

fn run(request: &Request, start: Start) -> Result<Outcome> {
    run_tasks(request, start, Rival::open(request))
}

/// Writes batches on one connection.
#[derive(Clone)]
struct Writer(Arc<Shared>);

struct Shared {
    connection: Arc<Mutex<Connection>>,
    one: String,
    several: String,
    rows: AtomicU64,
    transactions: AtomicU64,
    lock_errors: AtomicU64,
}

impl Processor for Writer {
    type Key = ();
    type Input = Row<'static>;
    type Output = ();
    type Error = Arc<rusqlite::Error>;
    type Resources = OwnedMutexGuard<Connection>;

    async fn acquire_resources(&self, (): ()) -> Result<Self::Resources, Self::Error> {
        Ok(Arc::clone(&self.0.connection).lock_owned().await)
    }

    async fn process(
        &self,
        (): (),
        rows: impl Iterator<Item = Row<'static>> + Send,
        mut connection: Self::Resources,
    ) -> Result<Vec<()>, Self::Error> {
        block_in_place(|| self.0.write(&mut connection, rows)).map_err(Arc::new)
    }
}

impl Shared {
    fn write(
        &self,
        connection: &mut Connection,
        rows: impl Iterator<Item = Row<'static>>,
    ) -> rusqlite::Result<Vec<()>> {
        let rows: Vec<_> = rows.collect();
        let batch = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let chunks = rows.chunks_exact(ROWS);
        let left = chunks.remainder();
        for chunk in chunks {
            self.write_several(&batch, chunk)?;
        }
        for &row in left {
            connection::write(&batch, &self.one, row)?;
        }
        batch.commit()?;
        self.rows.fetch_add(rows.len() as u64, Ordering::Relaxed);
        self.transactions.fetch_add(1, Ordering::Relaxed);
        Ok(vec![(); rows.len()])
    }

    fn write_several(&self, connection: &Connection, rows: &[Row<'_>]) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(&self.several)?;
        for (first, row) in (1..).step_by(Topics::COLUMNS.len()).zip(rows) {
            statement.raw_bind_parameter(first, row.topic_id)?;
            statement.raw_bind_parameter(first + 1, row.status)?;
            statement.raw_bind_parameter(first + 2, row.progress)?;
            statement.raw_bind_parameter(first + 3, row.updated_at)?;
        }
        statement.raw_execute().map(drop)
    }
}

struct Rival {
    batcher: Batcher<Writer>,
    writer: Writer,
    mode: Mode,
    /// Rows of each worker that wait for their outputs at the most.
    ahead: usize,
    topics: &'static Topics,
}

impl Rival {
    async fn open(request: &Request) -> Result<Self> {
        let connection = Connection::open(&request.database)?;
        connection::set(&connection, &request.settings)?;
        connection::check(&connection, &request.settings)?;
        let writer = Writer(Arc::new(Shared {
            connection: Arc::new(Mutex::new(connection)),
            one: request.target.sql.clone(),
            several: request.target.statement(ROWS),
            rows: AtomicU64::default(),
            transactions: AtomicU64::default(),
            lock_errors: AtomicU64::default(),
        }));
        let workers = request.workers.count.max(1) as usize;
        let ahead = match request.mode {
            Mode::Push => CAPACITY.div_ceil(workers),
            Mode::Await => 1,
        };
        // Batches follow one another, and each takes all rows that wait by then. None is ever refused.
        let limits = Limits::builder()
            .max_key_concurrency(1)
            .max_batch_size(workers * ahead)
            .max_key_queued_items(workers * ahead)
            .build();
        let batcher = Batcher::builder()
            .name("rows")
            .processor(writer.clone())
            .limits(limits)
            .batching_policy(BatchingPolicy::Immediate)
            .build();
        let topics = Box::leak(Box::new(request.topics()?));
        Ok(Self { batcher, writer, mode: request.mode, ahead, topics })
    }
}

impl TaskContender for Rival {
    type Worker = RivalWorker;

    fn versions(&self) -> BTreeMap<String, String> {
        let lock = include_str!("../Cargo.lock");
        let mut versions = locked_versions(lock, &["batch-aint-one", "rusqlite", "tokio"]);
        versions.insert("sqlite".to_owned(), rusqlite::version().to_owned());
        versions
    }

    async fn worker(&self, index: u32) -> Result<RivalWorker> {
        Ok(RivalWorker {
            batcher: self.batcher.clone(),
            writer: self.writer.clone(),
            mode: self.mode,
            ahead: self.ahead,
            cursor: self.topics.cursor(index),
            handed_over: VecDeque::new(),
        })
    }

    fn committed(&self) -> Option<u64> {
        (self.mode == Mode::Push).then(|| self.writer.0.rows.load(Ordering::Relaxed))
    }

    async fn finish(&self) -> Result<Report> {
        let worker = self.batcher.worker_handle();
        worker.shut_down().await;
        worker.wait_for_shutdown().await;
        connection::close(&mut *self.writer.0.connection.lock().await)?;
        Ok(Report {
            transactions: Some(self.writer.0.transactions.load(Ordering::Relaxed)),
            lock_errors: self.writer.0.lock_errors.load(Ordering::Relaxed),
            ..Report::default()
        })
    }
}

type Output = BatchResult<(), Arc<rusqlite::Error>>;
type Failure = BatchError<Arc<rusqlite::Error>>;
type Pending = Pin<Box<dyn Future<Output = Output> + Send>>;

struct RivalWorker {
    batcher: Batcher<Writer>,
    writer: Writer,
    mode: Mode,
    ahead: usize,
    cursor: Cursor<'static>,
    /// The outputs of rows for which nobody waits yet.
    handed_over: VecDeque<Pending>,
}

impl RivalWorker {
    /// Hands a row over. Its output is looked at later: dropping it could take the row back.
    async fn push(&mut self, row: Row<'static>) -> Result<Written> {
        if self.handed_over.len() == self.ahead
            && let Some(oldest) = self.handed_over.pop_front()
        {
            oldest.await.map_err(why)?;
        }
        let batcher = self.batcher.clone();
        // Polled once, the row is in the batcher's queue, which has room. A runtime that makes it wait there for its
        // turn would have rows overtake one another.
        let mut output: Pending =
            Box::pin(unconstrained(async move { batcher.add((), row).await }));
        match poll_fn(|context| Poll::Ready(output.as_mut().poll(context))).await {
            Poll::Ready(output) => output.map_err(why)?,
            Poll::Pending => self.handed_over.push_back(output),
        }
        Ok(Written::Done)
    }
}

impl TaskWorker for RivalWorker {
    async fn write(&mut self, number: u64) -> Result<Written> {
        let row = self.cursor.row(number);
        if self.mode == Mode::Push {
            return self.push(row).await;
        }
        match self.batcher.add((), row).await {
            Ok(()) => Ok(Written::Done),
            Err(BatchError::BatchFailed(error)) if connection::is_locked(&error) => {
                self.writer.0.lock_errors.fetch_add(1, Ordering::Relaxed);
                Ok(Written::GivenUp)
            }
            Err(error) => Err(why(error)),
        }
    }

    async fn finish(self) -> Result<()> {
        for output in self.handed_over {
            output.await.map_err(why)?;
        }
        Ok(())
    }
}

/// The error of the batch's transaction, where there is one: that of the batch does not tell it.
fn why(failure: Failure) -> Error {
    failure.inner().map_or_else(Error::from, Error::from)
}
