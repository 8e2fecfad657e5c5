//! `channel`: one thread that writes what comes through a channel, one row in each transaction.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use forebay::rusqlite::{self, Connection};
use forebay_trial::{Contender, Error, Mode, Report, Request, Result, Worker, Written};

use super::connection::{connect, versions};
use crate::rows::{Bind, Row, Source};

/// Rows that wait in the channel at the most.
const CAPACITY: usize = 4_096;

/// A row, and who waits for it. The sender goes when the row is committed, or will never be.
type Job<S> = (<<S as Source>::Row as Row>::Owned, Option<SyncSender<()>>);

/// The way to the thread that writes, and the thread.
type Writer<S> = (SyncSender<Job<S>>, JoinHandle<rusqlite::Result<()>>);

/// A thread that writes.
pub(super) struct Channel<S: Source> {
    mode: Mode,
    source: &'static S,
    told: Arc<Told>,
    writer: Mutex<Option<Writer<S>>>,
}

/// What the thread tells the others.
#[derive(Default)]
struct Told {
    committed: AtomicU64,
    /// Why it has ended early; there before the first worker can notice that it has.
    failure: OnceLock<String>,
}

impl Told {
    fn fail(&self, error: &rusqlite::Error) {
        // There is one failure, the first.
        let _ = self.failure.set(error.to_string());
    }

    fn why(&self) -> Error {
        let why = self.failure.get().map_or("it has ended", String::as_str);
        format!("the thread that writes has failed: {why}").into()
    }
}

impl<S: Source> Channel<S> {
    pub(super) fn new(request: &Request, source: &'static S) -> Result<Self> {
        let (sender, jobs) = sync_channel(CAPACITY);
        let (connection, sql) = (connect(request)?, request.target.sql.clone());
        let told = Arc::new(Told::default());
        let tell = Arc::clone(&told);
        let thread = thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || write_all::<S>(&connection, &sql, &jobs, &tell))?;
        Ok(Self { mode: request.mode, source, told, writer: Mutex::new(Some((sender, thread))) })
    }
}

fn write_all<S: Source>(
    connection: &Connection,
    sql: &str,
    jobs: &Receiver<Job<S>>,
    told: &Told,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(sql).inspect_err(|error| told.fail(error))?;
    for (row, reply) in jobs {
        let written = row.bind(&mut statement).and_then(|()| statement.raw_execute());
        written.inspect_err(|error| told.fail(error))?;
        told.committed.fetch_add(1, Ordering::Relaxed);
        if let Some(reply) = reply {
            // A worker that failed does not wait.
            let _ = reply.send(());
        }
    }
    Ok(())
}

impl<S: Source> Contender for Channel<S> {
    type Worker<'a> = ChannelWorker<S>;

    fn versions(&self) -> BTreeMap<String, String> {
        versions()
    }

    fn worker(&self, index: u32) -> Result<ChannelWorker<S>> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let (sender, _) = writer.as_ref().ok_or("the thread that writes has ended")?;
        Ok(ChannelWorker {
            mode: self.mode,
            sender: sender.clone(),
            told: Arc::clone(&self.told),
            cursor: self.source.cursor(index),
        })
    }

    fn committed(&self) -> Option<u64> {
        (self.mode == Mode::Push).then(|| self.told.committed.load(Ordering::Relaxed))
    }

    fn finish(&self) -> Result<Report> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((sender, thread)) = writer {
            drop(sender);
            thread.join().map_err(|_| "the thread that writes panicked")??;
        }
        Ok(Report {
            transactions: Some(self.told.committed.load(Ordering::Relaxed)),
            ..Report::default()
        })
    }
}

/// A worker that hands its rows to the thread.
pub(super) struct ChannelWorker<S: Source> {
    mode: Mode,
    sender: SyncSender<Job<S>>,
    told: Arc<Told>,
    cursor: S::Cursor,
}

impl<S: Source> Worker for ChannelWorker<S> {
    fn write(&mut self, number: u64) -> Result<Written> {
        let row = S::row(&mut self.cursor, number).to_owned_row();
        let (reply, done) = match self.mode {
            Mode::Push => (None, None),
            Mode::Await => {
                let (reply, done) = sync_channel(1);
                (Some(reply), Some(done))
            }
        };
        self.sender.send((row, reply)).map_err(|_| self.told.why())?;
        if let Some(done) = done {
            done.recv().map_err(|_| self.told.why())?;
        }
        Ok(Written::Done)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use forebay_trial::Topics;

    use super::super::tests::{THREE_ROWS, request, topics};
    use super::*;

    /// What three workers and the end say when the table refuses the fourth row.
    fn failures(mode: Mode) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let request = Request { mode, ..request(folder.path(), THREE_ROWS) };
        let channel = Channel::<Topics>::new(&request, topics(&request)).unwrap();
        let failure = |index| {
            let mut worker = channel.worker(index).unwrap();
            (0..).find_map(|number| worker.write(number).err()).unwrap().to_string()
        };
        let mut failures: Vec<_> = thread::scope(|scope| {
            let workers: Vec<_> = (0..3).map(|index| scope.spawn(move || failure(index))).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        failures.push(channel.finish().unwrap_err().to_string());
        failures
    }

    #[test]
    fn a_row_that_the_table_refuses_fails_every_worker_with_the_reason() {
        for mode in [Mode::Push, Mode::Await] {
            for failure in failures(mode) {
                assert!(failure.contains("no room"), "{failure}");
            }
        }
    }
}
