//! `channel`: one thread that writes what comes through a channel, one row in each transaction.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use forebay::rusqlite::Connection;
use forebay_trial::{Contender, Mode, Report, Request, Result, Worker, Written};

use super::connection::{connect, versions};
use crate::rows::{Bind, Row, Source};

/// Rows that wait in the channel at the most.
const CAPACITY: usize = 4_096;

type Job<S> = (<<S as Source>::Row as Row>::Owned, Option<SyncSender<()>>);

/// The way to the thread that writes, and the thread.
type Writer<S> = (SyncSender<Job<S>>, JoinHandle<Result<()>>);

/// A thread that writes.
pub(super) struct Channel<S: Source> {
    mode: Mode,
    source: &'static S,
    committed: Arc<AtomicU64>,
    writer: Mutex<Option<Writer<S>>>,
}

impl<S: Source> Channel<S> {
    pub(super) fn new(request: &Request, source: &'static S) -> Result<Self> {
        let (sender, jobs) = sync_channel(CAPACITY);
        let (connection, sql) = (connect(request)?, request.target.sql.clone());
        let committed = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&committed);
        let thread = thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || write_all::<S>(&connection, &sql, &jobs, &counter))?;
        Ok(Self {
            mode: request.mode,
            source,
            committed,
            writer: Mutex::new(Some((sender, thread))),
        })
    }
}

fn write_all<S: Source>(
    connection: &Connection,
    sql: &str,
    jobs: &Receiver<Job<S>>,
    committed: &AtomicU64,
) -> Result<()> {
    let mut statement = connection.prepare(sql)?;
    for (row, reply) in jobs {
        row.bind(&mut statement)?;
        statement.raw_execute()?;
        committed.fetch_add(1, Ordering::Relaxed);
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
        let (sender, _) = writer.as_ref().ok_or("the writer has ended")?;
        let reply = (self.mode == Mode::Await).then(|| sync_channel(1));
        Ok(ChannelWorker { sender: sender.clone(), reply, cursor: self.source.cursor(index) })
    }

    fn committed(&self) -> Option<u64> {
        (self.mode == Mode::Push).then(|| self.committed.load(Ordering::Relaxed))
    }

    fn finish(&self) -> Result<Report> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((sender, thread)) = writer {
            drop(sender);
            thread.join().map_err(|_| "the writer panicked")??;
        }
        Ok(Report {
            transactions: Some(self.committed.load(Ordering::Relaxed)),
            ..Report::default()
        })
    }
}

/// A worker that hands its rows to the thread.
pub(super) struct ChannelWorker<S: Source> {
    sender: SyncSender<Job<S>>,
    reply: Option<(SyncSender<()>, Receiver<()>)>,
    cursor: S::Cursor,
}

impl<S: Source> Worker for ChannelWorker<S> {
    fn write(&mut self, number: u64) -> Result<Written> {
        let row = S::row(&mut self.cursor, number).to_owned_row();
        let reply = self.reply.as_ref().map(|(reply, _)| reply.clone());
        self.sender.send((row, reply)).map_err(|_| "the writer has failed")?;
        if let Some((_, done)) = &self.reply {
            done.recv().map_err(|_| "the writer has failed")?;
        }
        Ok(Written::Done)
    }
}
