//! What producers meet when the database cannot keep up: a small buffer in front of a lock that somebody else holds.
//!
//! ```text
//! cargo run -p forebay --example back_pressure
//! ```
//!
//! `try_push` says Full, `push_timeout` gives up, `push` blocks its thread, `push_async` only its task. When the
//! lock is released every row that was accepted is written. The database is a temporary one.

use std::error::Error;
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use forebay::rusqlite::Connection;
use forebay::{Config, ErrorKind, Stats, WriteBuffer};
use tokio::runtime::Builder;
use tokio::task::yield_now;

/// What a run did.
pub struct Report {
    /// What `try_push` and `push_timeout` said of the rows that they did not take.
    pub refused: [ErrorKind; 2],
    /// Rows that some call has taken.
    pub taken: u32,
    /// Rows that the table holds in the end.
    pub written: u32,
    /// The buffer's counters after it was closed.
    pub stats: Stats,
}

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let folder = tempfile::tempdir()?;
    run(&folder.path().join("app.db"), &mut io::stdout())?;
    Ok(())
}

/// Fills a buffer behind a locked database, releases the lock, and tells `out` what every call did.
pub fn run(database: &Path, out: &mut dyn Write) -> Result<Report, Box<dyn Error>> {
    let config = Config {
        linger: Duration::ZERO,
        max_buffer_bytes: 16 * 1_024,
        max_batch_bytes: 4_096,
        max_row_bytes: 4_096,
        batch_size: 10,
        max_transaction_rows: 20,
        ..Config::default()
    };
    let buffer = WriteBuffer::builder(database).config(config).open()?;
    buffer.execute("CREATE TABLE readings(id INTEGER PRIMARY KEY, reading TEXT)")?;
    let readings = &buffer.table("readings").insert().producer()?;
    let reading = "x".repeat(1_000);
    let row = |id: u32| (id, &reading);

    let elsewhere = Connection::open(database)?;
    elsewhere.execute_batch("BEGIN IMMEDIATE")?;
    readings.push(&row(0))?;
    while buffer.stats().busy_waits == 0 {
        thread::yield_now(); // until the writer waits for the lock, with the first row in its hands
    }
    let mut taken = 1;
    let full = loop {
        match readings.try_push(&row(taken)) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    writeln!(out, "try_push      took {} rows, then: {full}", taken - 1)?;
    let late = readings.push_timeout(&row(taken), Duration::from_millis(20));
    let late = late.expect_err("nobody makes room");
    writeln!(out, "push_timeout  {late}")?;

    // A call that finds no room is counted, which is how the others here know that it waits.
    let turned_away = || buffer.stats().full;
    thread::scope(|scope| {
        let before = turned_away();
        let blocked = scope.spawn(|| readings.push(&row(taken)));
        while turned_away() == before {
            thread::yield_now();
        }
        writeln!(out, "push          waits, and its thread with it")?;

        let before = turned_away();
        let release = async {
            while turned_away() == before {
                yield_now().await;
            }
            writeln!(
                out,
                "push_async    waits, while its thread goes on and has the lock released"
            )?;
            elsewhere.execute_batch("COMMIT")?;
            Ok::<_, Box<dyn Error>>(())
        };
        let row = row(taken + 1);
        let (pushed, released) = Builder::new_current_thread()
            .build()?
            .block_on(async { tokio::join!(readings.push_async(&row), release) });
        released?;
        pushed?;
        Ok::<_, Box<dyn Error>>(blocked.join().expect("a push does not panic")?)
    })?;
    taken += 2;

    buffer.close()?;
    let stats = buffer.stats();
    let written = elsewhere.query_row("SELECT count(*) FROM readings", [], |row| row.get(0))?;
    writeln!(out, "in the end    {taken} rows were taken, {written} are in the table")?;
    Ok(Report { refused: [full.kind(), late.kind()], taken, written, stats })
}
