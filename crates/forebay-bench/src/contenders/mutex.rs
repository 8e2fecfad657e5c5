//! `mutex`: one connection that all workers take in turn, one row in each transaction.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use forebay::rusqlite::Connection;
use forebay_trial::{Contender, Report, Request, Result, Worker, Written};

use super::connection::{close, connect, versions};
use crate::rows::{Row, Source};

/// One connection behind a mutex.
pub(super) struct Shared<S: 'static> {
    held: Mutex<Held>,
    sql: String,
    source: &'static S,
}

/// What the mutex is for.
struct Held {
    /// None once it is closed.
    connection: Option<Connection>,
    transactions: u64,
}

impl<S: Source> Shared<S> {
    pub(super) fn new(request: &Request, source: &'static S) -> Result<Self> {
        let held = Held { connection: Some(connect(request)?), transactions: 0 };
        Ok(Self { held: Mutex::new(held), sql: request.target.sql.clone(), source })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Source> Contender for Shared<S> {
    type Worker<'a> = SharedWorker<'a, S>;

    fn versions(&self) -> BTreeMap<String, String> {
        versions()
    }

    fn worker(&self, index: u32) -> Result<SharedWorker<'_, S>> {
        Ok(SharedWorker { shared: self, cursor: self.source.cursor(index) })
    }

    fn finish(&self) -> Result<Report> {
        let mut held = self.lock();
        close(held.connection.take())?;
        Ok(Report { transactions: Some(held.transactions), ..Report::default() })
    }
}

/// A worker that takes the connection for each row.
pub(super) struct SharedWorker<'a, S: Source> {
    shared: &'a Shared<S>,
    cursor: S::Cursor,
}

impl<S: Source> Worker for SharedWorker<'_, S> {
    fn write(&mut self, number: u64) -> Result<Written> {
        let mut held = self.shared.lock();
        let connection = held.connection.as_ref().ok_or("the connection is closed")?;
        let mut statement = connection.prepare_cached(&self.shared.sql)?;
        S::row(&mut self.cursor, number).bind(&mut statement, 1)?;
        statement.raw_execute()?;
        drop(statement);
        held.transactions += 1;
        Ok(Written::Done)
    }
}
