//! 80 threads take 400 topics each from queued through running to done, while 8 readers poll the table.
//!
//! ```text
//! cargo run --release -p forebay --example topic_status [DATABASE]
//! ```
//!
//! One half of the workers awaits each update's receipt, the other half pushes. Nobody meets a lock error,
//! also when another process holds the lock of DATABASE for a while. Without DATABASE the database is a
//! temporary one; a DATABASE stays, and its table is emptied first.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};
use std::{env, thread};

use forebay::rusqlite::{self, Connection, OpenFlags};
use forebay::{Producer, Receipt, Stats, WriteBuffer};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;

const WORKERS: i64 = 80;
const TOPICS_EACH: i64 = 400;
const READERS: usize = 8;
const POLL: Duration = Duration::from_millis(100);
const STEPS: [(&str, i64); 5] =
    [("queued", 0), ("running", 25), ("running", 50), ("running", 75), ("done", 100)];
const CREATE: &str = "CREATE TABLE IF NOT EXISTS topic_status(topic_id INTEGER PRIMARY KEY, \
                      status TEXT NOT NULL, progress INTEGER NOT NULL, updated_by INTEGER NOT NULL)";

#[derive(Serialize)]
struct TopicStatus<'a> {
    topic_id: i64,
    status: &'a str,
    progress: i64,
    updated_by: i64,
}

/// What a run did.
pub struct Report {
    /// Rows that are missing or not what their worker wrote last.
    pub differing: usize,
    /// Errors that workers and readers met, of whatever kind.
    pub errors: usize,
    /// The buffer's counters after it was closed.
    pub stats: Stats,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let folder = tempfile::tempdir()?;
    let database = env::args_os().nth(1).map(PathBuf::from);
    let database = database.unwrap_or_else(|| folder.path().join("topics.db"));
    let report = run(&database, &mut io::stdout())?;
    let good = report.differing == 0 && report.errors == 0;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Has the topics driven and read, compares, and tells `out` what happened.
pub fn run(database: &Path, out: &mut dyn Write) -> Result<Report, Box<dyn Error>> {
    let begun = Instant::now();
    let set_up = set_up(database)?;
    let buffer = WriteBuffer::open(database)?;
    let topics = &buffer.table("topic_status").upsert(["topic_id"]).producer()?;
    let latencies = &Mutex::new(Histogram::new(3)?);
    let connect = |_| Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let readers = (0..READERS).map(connect).collect::<Result<Vec<_>, _>>()?;
    // Held for as long as there is something to read about.
    let working = &Mutex::new(());
    let (worker_errors, answers) = thread::scope(|scope| {
        let at_work = working.lock();
        let read = |connection| scope.spawn(move || read(&connection, working));
        let readers: Vec<_> = readers.into_iter().map(read).collect();
        let work = |worker| scope.spawn(move || work(worker, topics, latencies));
        let workers: Vec<_> = (0..WORKERS).map(work).collect();
        let mut errors = join(workers);
        // flush waits for a lock as long as it takes, close only for close_timeout.
        errors.extend(buffer.flush().err());
        drop(at_work);
        (errors, join(readers))
    });
    let took = begun.elapsed();
    buffer.close()?;

    let stats = buffer.stats();
    let Stats { accepted, committed, transactions, .. } = &stats;
    let latencies = latencies.lock();
    let latency = |quantile| Duration::from_micros(latencies.value_at_quantile(quantile));
    let reader_errors: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    writeln!(
        out,
        "topics          {}, {TOPICS_EACH} for each of {WORKERS} workers\n\
         updates         {accepted} accepted, {committed} committed, {} awaited\n\
         transactions    {transactions}, of {:.0} rows on average\n\
         awaited         p50 {:.1?}, p99 {:.1?}, max {:.1?}\n\
         reads           {} by {READERS} readers\n\
         errors          {} met by workers, {} by readers\n\
         waits for lock  {}, {:.1} s in all\n\
         retries         {}\n\
         time taken      {took:.1?}, from making the table to the last commit",
        WORKERS * TOPICS_EACH,
        latencies.len(),
        stats.rows_per_transaction(),
        latency(0.5),
        latency(0.99),
        latency(1.0),
        answers.len(),
        worker_errors.len(),
        reader_errors.len(),
        set_up.busy_waits + stats.busy_waits,
        (set_up.busy_time + stats.busy_time).as_secs_f64(),
        set_up.retries + stats.retries,
    )?;
    let first = worker_errors.first().map(|error| format!("{error:#}"));
    if let Some(error) = first.or(reader_errors.first().map(ToString::to_string)) {
        writeln!(out, "first error     {error}")?;
    }
    let differing = compare(database, out)?;
    Ok(Report { differing, errors: worker_errors.len() + reader_errors.len(), stats })
}

/// In a buffer of its own, so that the counters of the other are of the updates alone.
fn set_up(database: &Path) -> forebay::Result<Stats> {
    let buffer = WriteBuffer::open(database)?;
    buffer.execute(CREATE)?;
    buffer.execute("DELETE FROM topic_status")?;
    buffer.close()?;
    Ok(buffer.stats())
}

/// Takes a worker's topics from queued to done, one after the other; every second worker awaits.
fn work(worker: i64, topics: &Producer, latencies: &Mutex<Histogram<u64>>) -> Vec<forebay::Error> {
    let mut errors = Vec::new();
    for topic_id in worker * TOPICS_EACH..(worker + 1) * TOPICS_EACH {
        for (status, progress) in STEPS {
            let update = TopicStatus { topic_id, status, progress, updated_by: worker };
            let answer = if worker % 2 == 0 {
                let begun = Instant::now();
                let decided = topics.submit(&update).and_then(Receipt::wait);
                *latencies.lock() += begun.elapsed().as_micros() as u64;
                decided
            } else {
                topics.push(&update)
            };
            errors.extend(answer.err());
        }
    }
    errors
}

/// Asks again and again how many topics are in each status, until `working` is free.
fn read(connection: &Connection, working: &Mutex<()>) -> Vec<rusqlite::Result<Vec<(String, i64)>>> {
    let mut answers = Vec::new();
    while working.try_lock_for(POLL).is_none() {
        answers.push(count_by_status(connection));
    }
    answers
}

fn count_by_status(connection: &Connection) -> rusqlite::Result<Vec<(String, i64)>> {
    connection
        .prepare_cached("SELECT status, count(*) FROM topic_status GROUP BY status")?
        .query_map((), |row| row.try_into())?
        .collect()
}

/// All that the threads bring back.
fn join<T>(threads: Vec<ScopedJoinHandle<'_, Vec<T>>>) -> Vec<T> {
    threads.into_iter().flat_map(|thread| thread.join().expect("no thread panics")).collect()
}

/// Returns how many rows are missing from the table or should not be there.
fn compare(database: &Path, out: &mut dyn Write) -> Result<usize, Box<dyn Error>> {
    let written: BTreeSet<String> = (0..WORKERS * TOPICS_EACH)
        .map(|topic_id| format!("topic {topic_id} done 100 by {}", topic_id / TOPICS_EACH))
        .collect();
    let sql = "SELECT format('topic %d %s %d by %d', topic_id, status, progress, updated_by)
               FROM topic_status";
    let found: BTreeSet<String> = Connection::open(database)?
        .prepare(sql)?
        .query_map((), |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let missing = written.difference(&found).map(|row| format!("missing: {row}"));
    let wrong = found.difference(&written).map(|row| format!("wrong: {row}"));
    let differing: Vec<_> = missing.chain(wrong).collect();
    for row in differing.iter().take(20) {
        writeln!(out, "{row}")?;
    }
    let topics = written.len();
    match differing.len() {
        0 => writeln!(out, "equal: every one of the {topics} topics is done, by its worker")?,
        some => writeln!(out, "not equal: {some} rows are missing or wrong")?,
    }
    Ok(differing.len())
}
