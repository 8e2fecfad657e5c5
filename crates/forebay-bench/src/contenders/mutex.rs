//! `mutex`: one connection that all workers take in turn, one row in each transaction.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use forebay::rusqlite::Connection;
use forebay_trial::{Contender, Report, Request, Result, Worker, Written};

use super::connection::{connect, versions};
use crate::rows::{Row, Source};

/// One connection behind a mutex.
pub(super) struct Shared<S: 'static> {
    connection: Mutex<(Connection, u64)>,
    sql: String,
    source: &'static S,
}

impl<S: Source> Shared<S> {
    pub(super) fn new(request: &Request, source: &'static S) -> Result<Self> {
        let connection = Mutex::new((connect(request)?, 0));
        Ok(Self { connection, sql: request.target.sql.clone(), source })
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
        let (_, transactions) = &*self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Report { transactions: Some(*transactions), ..Report::default() })
    }
}

/// A worker that takes the connection for each row.
pub(super) struct SharedWorker<'a, S: Source> {
    shared: &'a Shared<S>,
    cursor: S::Cursor,
}

impl<S: Source> Worker for SharedWorker<'_, S> {
    fn write(&mut self, number: u64) -> Result<Written> {
        let mut guard = self.shared.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let (connection, transactions) = &mut *guard;
        let mut statement = connection.prepare_cached(&self.shared.sql)?;
        S::row(&mut self.cursor, number).bind(&mut statement, 1)?;
        statement.raw_execute()?;
        *transactions += 1;
        Ok(Written::Done)
    }
}
