//! The smallest contender: each worker has a connection, and each row is a transaction.
//!
//! `contender --lose` acknowledges every 100th row, the first among them, without writing it, so that one can see that
//! such a trial is void. Where few keys are updated over and over, later rows may hide that.

use std::collections::BTreeMap;
use std::process::ExitCode;

use forebay_trial::{
    Contender, Cursor, Report, Request, Result, Tally, Topics, Worker, Written, run_threads, serve,
};
use rusqlite::{Connection, ErrorCode};

struct Direct {
    request: Request,
    topics: Topics,
    tally: Tally,
    /// Rows with a number that this divides are lost.
    lost: Option<u64>,
}

struct DirectWorker<'a> {
    shared: &'a Direct,
    connection: Connection,
    cursor: Cursor<'a>,
}

fn main() -> ExitCode {
    let lost = std::env::args().any(|argument| argument == "--lose").then_some(100);
    serve(|request, start| {
        let (request, topics) = (request.clone(), request.topics()?);
        let direct = Direct { request, topics, tally: Tally::default(), lost };
        run_threads(&direct.request, start, &direct)
    })
}

impl Contender for Direct {
    type Worker<'a> = DirectWorker<'a>;

    fn versions(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("sqlite".to_owned(), rusqlite::version().to_owned())])
    }

    fn worker(&self, index: u32) -> Result<DirectWorker<'_>> {
        let connection = Connection::open(&self.request.database)?;
        connection.busy_timeout(self.request.settings.busy_timeout)?;
        for (name, value) in self.request.settings.pragmas() {
            connection.pragma_update(None, name, value)?;
        }
        Ok(DirectWorker { shared: self, connection, cursor: self.topics.cursor(index) })
    }

    fn finish(&self) -> Result<Report> {
        Ok(self.tally.report())
    }
}

impl Worker for DirectWorker<'_> {
    fn write(&mut self, number: u64) -> Result<Written> {
        let row = self.cursor.row(number);
        if self.shared.lost.is_some_and(|every| number.is_multiple_of(every)) {
            return Ok(Written::Done);
        }
        let mut statement = self.connection.prepare_cached(&self.shared.request.target.sql)?;
        let values = (row.topic_id, row.status, row.progress, row.updated_at);
        self.shared.tally.count(statement.execute(values).map(drop), |error| {
            matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            )
        })
    }
}
