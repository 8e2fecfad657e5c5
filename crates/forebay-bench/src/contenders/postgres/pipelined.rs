//! `pipelined`: one connection for all workers, one row in each transaction. Statements go out before the replies to those
//! before them have come.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use forebay_trial::{
    Cursor, Error, Mode, Report, Request, Result, Row, Server, TaskContender, TaskWorker, Written,
};
use tokio::sync::Mutex;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Statement};

use super::{Source, connect, failed, versions, write};

/// Rows that nobody waits for and whose replies have not come, at the most, and as many that have not been sent.
const CAPACITY: usize = 2_048;

/// A row that was sent, until its reply comes.
type Sent = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// One connection, and who waits for the replies where the workers do not.
pub(super) struct Pipelined {
    server: Server,
    mode: Mode,
    topics: Source,
    line: Arc<Line>,
    /// Where rows go that nobody waits for, until the end.
    pipe: Mutex<Option<Pipe>>,
}

/// The way to the task that sends rows, and the task.
type Pipe = (Sender<Row<'static>>, JoinHandle<()>);

/// The connection.
struct Line {
    client: Client,
    statement: Statement,
    committed: AtomicU64,
    failure: OnceLock<String>,
}

impl Pipelined {
    pub(super) async fn open(request: &Request, server: &Server, topics: Source) -> Result<Self> {
        let client = connect(server).await?;
        let statement =
            client.prepare(&request.target.numbered_statement(1)).await.map_err(failed)?;
        let (committed, failure) = (AtomicU64::new(0), OnceLock::new());
        let line = Arc::new(Line { client, statement, committed, failure });
        let (sender, rows) = channel(CAPACITY);
        let task = tokio::spawn(Arc::clone(&line).send_all(rows));
        let pipe = Mutex::new(Some((sender, task)));
        Ok(Self { server: server.clone(), mode: request.mode, topics, line, pipe })
    }
}

impl Line {
    async fn write(self: Arc<Self>, row: Row<'static>) -> Result<()> {
        write(&self.client, &self.statement, &row).await?;
        self.committed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Sends rows until there are no more, and waits for their replies.
    async fn send_all(self: Arc<Self>, mut rows: Receiver<Row<'static>>) {
        let mut sent: VecDeque<Sent> = VecDeque::new();
        loop {
            let done = tokio::select! {
                row = rows.recv(), if sent.len() < CAPACITY => match row {
                    Some(row) => send(Arc::clone(&self).write(row), &mut sent).await,
                    None => break,
                },
                done = async { sent[0].as_mut().await }, if !sent.is_empty() => {
                    sent.pop_front();
                    done
                }
            };
            if let Err(error) = done {
                return self.fail(&error);
            }
        }
        for row in sent {
            if let Err(error) = row.await {
                return self.fail(&error);
            }
        }
    }

    fn fail(&self, error: &Error) {
        // There is one failure, the first.
        let _ = self.failure.set(error.to_string());
    }

    fn why(&self) -> Error {
        self.failure.get().map_or("the task that sends rows has ended", String::as_str).into()
    }
}

/// Sends a row, which it does when it is first polled, so that rows go in the order in which they have come.
async fn send(
    row: impl Future<Output = Result<()>> + Send + 'static,
    sent: &mut VecDeque<Sent>,
) -> Result<()> {
    let mut row: Sent = Box::pin(row);
    match poll_fn(|context| Poll::Ready(row.as_mut().poll(context))).await {
        Poll::Ready(done) => done,
        Poll::Pending => {
            sent.push_back(row);
            Ok(())
        }
    }
}

impl TaskContender for Pipelined {
    type Worker = PipelinedWorker;

    fn versions(&self) -> BTreeMap<String, String> {
        versions(&self.server)
    }

    async fn worker(&self, index: u32) -> Result<PipelinedWorker> {
        let pipe = self.pipe.lock().await;
        let (sender, _) = pipe.as_ref().ok_or("the trial is over")?;
        let sender = (self.mode == Mode::Push).then(|| sender.clone());
        Ok(PipelinedWorker {
            line: Arc::clone(&self.line),
            sender,
            cursor: self.topics.cursor(index),
        })
    }

    fn committed(&self) -> Option<u64> {
        (self.mode == Mode::Push).then(|| self.line.committed.load(Ordering::Relaxed))
    }

    async fn finish(&self) -> Result<Report> {
        if let Some((sender, task)) = self.pipe.lock().await.take() {
            drop(sender);
            task.await?;
        }
        if self.line.failure.get().is_some() {
            return Err(self.line.why());
        }
        let transactions = Some(self.line.committed.load(Ordering::Relaxed));
        Ok(Report { transactions, ..Report::default() })
    }
}

/// A worker, which waits for its reply, or for room.
pub(super) struct PipelinedWorker {
    line: Arc<Line>,
    /// Where nobody waits.
    sender: Option<Sender<Row<'static>>>,
    cursor: Cursor<'static>,
}

impl TaskWorker for PipelinedWorker {
    async fn write(&mut self, number: u64) -> Result<Written> {
        let row = self.cursor.row(number);
        match &self.sender {
            Some(sender) => sender.send(row).await.map_err(|_| self.line.why())?,
            None => Arc::clone(&self.line).write(row).await?,
        }
        Ok(Written::Done)
    }
}
