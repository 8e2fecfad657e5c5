//! `direct`: a connection for each worker, one row in each transaction.

use std::collections::BTreeMap;

use forebay_trial::{
    Cursor, Report, Request, Result, Server, Tally, TaskContender, TaskWorker, Written,
};
use std::sync::Arc;
use tokio_postgres::{Client, Statement};

use super::{Source, connect, versions, write};

/// What all workers share.
pub(super) struct Direct {
    server: Server,
    sql: String,
    topics: Source,
    tally: Arc<Tally>,
}

impl Direct {
    pub(super) async fn new(request: &Request, server: &Server, topics: Source) -> Result<Self> {
        let sql = request.target.numbered_statement(1);
        Ok(Self { server: server.clone(), sql, topics, tally: Arc::default() })
    }
}

impl TaskContender for Direct {
    type Worker = DirectWorker;

    fn versions(&self) -> BTreeMap<String, String> {
        versions(&self.server)
    }

    async fn worker(&self, index: u32) -> Result<DirectWorker> {
        let client = connect(&self.server).await?;
        let statement = client.prepare(&self.sql).await.map_err(super::failed)?;
        let tally = Arc::clone(&self.tally);
        Ok(DirectWorker { client, statement, cursor: self.topics.cursor(index), tally })
    }

    async fn finish(&self) -> Result<Report> {
        Ok(self.tally.report())
    }
}

/// A worker with its connection.
pub(super) struct DirectWorker {
    client: Client,
    statement: Statement,
    cursor: Cursor<'static>,
    tally: Arc<Tally>,
}

impl TaskWorker for DirectWorker {
    async fn write(&mut self, number: u64) -> Result<Written> {
        let row = self.cursor.row(number);
        let written = write(&self.client, &self.statement, &row).await;
        // A server has rows wait for each other's locks.
        self.tally.count(written, |_| false)
    }
}
