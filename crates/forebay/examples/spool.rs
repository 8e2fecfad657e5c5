//! A worker that only pushes is killed; the next run finds its rows in the spool and writes them.
//!
//! ```text
//! cargo run -p forebay --features spool --example spool [DATABASE]
//! ```
//!
//! The worker is this program again, as a process of its own. When it has pushed for a while somebody locks the database; it
//! pushes on, and is ended by `kill -9`. The rows have no key, so one that was written twice would be there twice. Without
//! DATABASE the database is a temporary one.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::{env, fs};

use forebay::rusqlite::Connection;
use forebay::{Config, WriteBuffer, spool};
use serde::Serialize;

const CREATE: &str = "CREATE TABLE IF NOT EXISTS events(n INTEGER NOT NULL, what TEXT NOT NULL)";
/// Rows that the worker has pushed when the database is locked, and when it is killed, at the least.
const LOCKED: u64 = 10_000;
const ENOUGH: u64 = 20_000;

#[derive(Serialize)]
struct Event<'a> {
    n: u64,
    what: &'a str,
}

/// What a run saw.
pub struct Report {
    /// Rows of which the worker could still say that they were accepted.
    pub pushed: u64,
    /// Rows that were in the spool, and not in the database.
    pub replayed: u64,
    /// The rows that are in the table in the end, in its order.
    pub rows: Vec<u64>,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [role, database] = arguments.as_slice()
        && role == "worker"
    {
        work(Path::new(database), &mut io::stdout())?;
        return Ok(ExitCode::SUCCESS);
    }
    let folder = tempfile::tempdir()?;
    let database = arguments.first().map(PathBuf::from);
    let database = database.unwrap_or_else(|| folder.path().join("events.db"));
    let mut worker = Command::new(env::current_exe()?);
    worker.arg("worker").arg(&database);
    let report = run(&database, worker, &mut io::stdout())?;
    Ok(if is_whole(&report) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// These two lines are all that a spool takes.
fn open(database: &Path) -> forebay::Result<WriteBuffer> {
    let config = Config { spool: Some(database.with_extension("spool")), ..Config::default() };
    WriteBuffer::builder(database).config(config).open()
}

/// Pushes until it is killed, and says so after each row. It waits for none of them.
pub fn work(database: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let buffer = open(database)?;
    let events = buffer.table("events").insert().producer()?;
    for n in 0.. {
        events.push(&Event { n, what: "something that will not happen again" })?;
        writeln!(out, "pushed {n}")?;
    }
    Ok(())
}

/// Starts the worker, kills it, opens what it left, and tells `out` what became of its rows.
pub fn run(
    database: &Path,
    mut worker: Command,
    out: &mut dyn Write,
) -> Result<Report, Box<dyn Error>> {
    let other = Connection::open(database)?;
    other.execute_batch(&format!("{CREATE}; DELETE FROM events"))?;
    let mut worker = worker.stdout(Stdio::piped()).spawn()?;
    let said = BufReader::new(worker.stdout.take().ok_or("the worker has no output")?);
    let mut pushed = 0;
    for line in said.lines() {
        if let Some(n) = line?.strip_prefix("pushed ") {
            pushed = n.parse::<u64>()? + 1;
        }
        match pushed {
            LOCKED => other.execute_batch("BEGIN IMMEDIATE")?,
            ENOUGH => worker.kill()?, // SIGKILL; what it says until then is read to its end
            _ => {}
        }
    }
    other.execute_batch("ROLLBACK")?;
    writeln!(out, "the worker pushed {pushed} rows: {}", worker.wait()?)?;

    let left = spool::inspect(database.with_extension("spool"))?;
    let kept: u64 = left.tables.iter().map(|table| table.rows).sum();
    writeln!(out, "the spool has {kept} rows, a part of which may be in the database")?;

    let buffer = open(database)?;
    let replayed = buffer.stats().replayed;
    writeln!(out, "the next run has {replayed} of them to write")?;
    buffer.close()?;
    let files = fs::read_dir(database.with_extension("spool"))?.count();
    writeln!(out, "written; {files} files are left in the spool's folder, with no row in them")?;

    let mut query = other.prepare("SELECT n FROM events ORDER BY rowid")?;
    let rows = query.query_map([], |row| row.get::<_, i64>(0).map(i64::cast_unsigned))?;
    let report = Report { pushed, replayed, rows: rows.collect::<Result<_, _>>()? };
    match is_whole(&report) {
        true => writeln!(out, "equal: every row that was pushed is there once, in its order")?,
        false => writeln!(out, "not equal: {pushed} were pushed, {} are there", report.rows.len())?,
    }
    Ok(report)
}

/// All that were pushed, without a gap; the last of them perhaps pushed, and no longer told.
fn is_whole(report: &Report) -> bool {
    let there = report.rows.len() as u64;
    report.rows.iter().copied().eq(0..there) && (report.pushed..=report.pushed + 1).contains(&there)
}
