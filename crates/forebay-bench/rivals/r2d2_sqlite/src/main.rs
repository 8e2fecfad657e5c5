//! r2d2_sqlite: a pool of connections from which each thread takes one for each row.

#[path = "../../connection.rs"]
mod connection;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};

use forebay_trial::{
    Contender, Cursor, Outcome, Report, Request, Result, Start, Tally, Topics, Worker, Written,
    locked_versions, run_threads, serve,
};
use r2d2::Pool;
use r2d2_sqlite::{SqliteConnectionManager, rusqlite};

/// The library's own default.
const CONNECTIONS: u32 = 10;

fn main() -> ExitCode {
    serve(run)
}

fn run(request: &Request, start: Start) -> Result<Outcome> {
    run_threads(request, start, &Rival::open(request)?)
}

struct Rival {
    /// None once it is dropped, which closes its connections.
    pool: Mutex<Option<Pool<SqliteConnectionManager>>>,
    sql: String,
    topics: Topics,
    tally: Tally,
}

impl Rival {
    fn open(request: &Request) -> Result<Self> {
        let settings = request.settings.clone();
        let manager = SqliteConnectionManager::file(&request.database)
            .with_init(move |new| connection::set(new, &settings));
        let pool = Pool::builder().max_size(request.connections(CONNECTIONS)?).build(manager)?;
        connection::check(&*pool.get()?, &request.settings)?;
        let sql = request.target.sql.clone();
        Ok(Self {
            pool: Mutex::new(Some(pool)),
            sql,
            topics: request.topics()?,
            tally: Tally::default(),
        })
    }
}

impl Rival {
    fn pool(&self) -> MutexGuard<'_, Option<Pool<SqliteConnectionManager>>> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contender for Rival {
    type Worker<'a> = RivalWorker<'a>;

    fn versions(&self) -> BTreeMap<String, String> {
        let mut versions =
            locked_versions(include_str!("../Cargo.lock"), &["r2d2", "r2d2_sqlite", "rusqlite"]);
        versions.insert("sqlite".to_owned(), rusqlite::version().to_owned());
        versions
    }

    fn worker(&self, index: u32) -> Result<RivalWorker<'_>> {
        let pool = self.pool().as_ref().ok_or("the pool is closed")?.clone();
        Ok(RivalWorker { rival: self, pool, cursor: self.topics.cursor(index) })
    }

    fn finish(&self) -> Result<Report> {
        // The workers' clones have gone with them.
        drop(self.pool().take());
        Ok(self.tally.report())
    }
}

struct RivalWorker<'a> {
    rival: &'a Rival,
    pool: Pool<SqliteConnectionManager>,
    cursor: Cursor<'a>,
}

impl Worker for RivalWorker<'_> {
    fn write(&mut self, number: u64) -> Result<Written> {
        let row = self.cursor.row(number);
        let written = self.pool.get().map_err(Failure::Pool).and_then(|connection| {
            connection::write(&connection, &self.rival.sql, row).map_err(Failure::Write)
        });
        self.rival.tally.count(written, |failure| match failure {
            // All connections are in use, by threads that wait for the lock.
            Failure::Pool(_) => true,
            Failure::Write(error) => connection::is_locked(error),
        })
    }
}

/// Why a row was not written.
enum Failure {
    Pool(r2d2::Error),
    Write(rusqlite::Error),
}

impl From<Failure> for forebay_trial::Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Pool(error) => error.into(),
            Failure::Write(error) => error.into(),
        }
    }
}
