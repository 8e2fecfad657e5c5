//! tokio-rusqlite: one connection, on a thread of its own, which all tasks call.

#[path = "../../connection.rs"]
mod connection;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use forebay_trial::{
    Cursor, Outcome, Report, Request, Result, Start, Tally, TaskContender, TaskWorker, Topics,
    Written, locked_versions, run_tasks, serve,
};
use tokio_rusqlite::{Connection, Error, rusqlite};

fn main() -> ExitCode {
    serve(run)
}

fn run(request: &Request, start: Start) -> Result<Outcome> {
    run_tasks(request, start, Rival::open(request))
}

struct Rival {
    connection: Connection,
    sql: Arc<str>,
    topics: &'static Topics,
    tally: Arc<Tally>,
}

impl Rival {
    async fn open(request: &Request) -> Result<Self> {
        let connection = Connection::open(&request.database).await?;
        let settings = request.settings.clone();
        let set = move |new: &mut rusqlite::Connection| {
            connection::set(new, &settings)?;
            connection::check(new, &settings)
        };
        connection.call_raw(set).await??;
        Ok(Self {
            connection,
            sql: request.target.sql.as_str().into(),
            topics: Box::leak(Box::new(request.topics()?)),
            tally: Arc::default(),
        })
    }
}

impl TaskContender for Rival {
    type Worker = RivalWorker;

    fn versions(&self) -> BTreeMap<String, String> {
        let lock = include_str!("../Cargo.lock");
        let mut versions = locked_versions(lock, &["rusqlite", "tokio", "tokio-rusqlite"]);
        versions.insert("sqlite".to_owned(), rusqlite::version().to_owned());
        versions
    }

    async fn worker(&self, index: u32) -> Result<RivalWorker> {
        Ok(RivalWorker {
            connection: self.connection.clone(),
            sql: Arc::clone(&self.sql),
            cursor: self.topics.cursor(index),
            tally: Arc::clone(&self.tally),
        })
    }

    async fn finish(&self) -> Result<Report> {
        self.connection.clone().close().await?;
        Ok(self.tally.report())
    }
}

struct RivalWorker {
    connection: Connection,
    sql: Arc<str>,
    cursor: Cursor<'static>,
    tally: Arc<Tally>,
}

impl TaskWorker for RivalWorker {
    async fn write(&mut self, number: u64) -> Result<Written> {
        let (row, sql) = (self.cursor.row(number), Arc::clone(&self.sql));
        let written = self.connection.call(move |open| connection::write(open, &sql, row)).await;
        self.tally.count(
            written,
            |error| matches!(error, Error::Error(error) if connection::is_locked(error)),
        )
    }
}
