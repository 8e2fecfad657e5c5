//! Workers on threads write until SIGINT or SIGTERM; then the rest is written, or kept in a file.
//!
//! ```text
//! cargo run -p forebay --example graceful_shutdown [DATABASE]     and Ctrl-C
//! ```
//!
//! After the signal the workers stop first, then the buffer closes within a time that the supervisor
//! grants. Rows that cannot be written by then, because another process holds the lock, go to the file for
//! dead letters beside the database. Without DATABASE the database is a temporary one.

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use std::{env, thread};

use forebay::{Config, ErrorKind, Producer, Rejects, Stats, WriteBuffer};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const WORKERS: usize = 8;
/// Less than the supervisor waits before it kills: systemd 90 s, Docker 10 s.
const GRANTED: Duration = Duration::from_secs(8);
const MOMENT: Duration = Duration::from_millis(100);
const CREATE: &str =
    "CREATE TABLE IF NOT EXISTS jobs(id INTEGER PRIMARY KEY, status TEXT NOT NULL)";

/// What a run did.
pub struct Report {
    /// What closing the buffer said.
    pub closed: forebay::Result<()>,
    /// The buffer's counters after that.
    pub stats: Stats,
}

fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let signals = signals()?;
    let folder = tempfile::tempdir()?;
    let database = env::args_os().nth(1).map(PathBuf::from);
    let database = database.unwrap_or_else(|| folder.path().join("jobs.db"));
    Ok(run(&database, &signals, GRANTED, &mut io::stdout())?.closed?)
}

/// From now on SIGINT and SIGTERM do not end the process but arrive here.
pub fn signals() -> io::Result<Receiver<i32>> {
    let (sender, receiver) = channel();
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || signals.forever().try_for_each(|signal| sender.send(signal)));
    Ok(receiver)
}

/// Works until a signal comes or no worker can go on, closes within `granted`, and tells `out` what became of
/// the rows.
pub fn run(
    database: &Path,
    signals: &Receiver<i32>,
    granted: Duration,
    out: &mut dyn Write,
) -> Result<Report, Box<dyn Error>> {
    let file = Some(database.with_extension("dead.ndjson"));
    let rejects = Rejects { file, ..Rejects::default() };
    let config = Config { close_timeout: granted, rejects, ..Config::default() };
    let buffer = WriteBuffer::builder(database).config(config).open()?;
    buffer.execute(CREATE)?;
    let jobs = &buffer.table("jobs").upsert(["id"]).producer()?;
    let (stop, next) = (&AtomicBool::new(false), &AtomicI64::new(0));
    writeln!(out, "{WORKERS} workers write to {}; Ctrl-C ends them", database.display())?;
    let ends = thread::scope(|scope| {
        let workers = [(); WORKERS].map(|()| scope.spawn(move || work(jobs, stop, next)));
        let working = || workers.iter().any(|worker| !worker.is_finished());
        while signals.recv_timeout(MOMENT) == Err(RecvTimeoutError::Timeout) && working() {}
        stop.store(true, Ordering::Relaxed);
        workers.map(|worker| worker.join().expect("no worker panics"))
    });
    writeln!(out, "the workers have stopped")?;
    for error in ends.into_iter().filter_map(Result::err) {
        writeln!(out, "a worker could not hand over its last row: {error:#}")?;
    }

    let closed = buffer.close();
    let stats = buffer.stats();
    writeln!(out, "accepted {}, committed {}", stats.accepted, stats.committed)?;
    if let Err(error) = &closed {
        writeln!(out, "{error:#}")?;
    }
    Ok(Report { closed, stats })
}

/// One job after the other, until told to stop. A job that has begun is finished.
fn work(jobs: &Producer, stop: &AtomicBool, next: &AtomicI64) -> forebay::Result<()> {
    loop {
        let id = next.fetch_add(1, Ordering::Relaxed);
        put(jobs, (id, "running"), stop)?;
        thread::park_timeout(Duration::from_millis(1)); // the job itself
        put(jobs, (id, "done"), stop)?;
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}

/// Waits for room in a full buffer as long as it takes, but not for long once the end has come.
fn put(jobs: &Producer, row: (i64, &str), stop: &AtomicBool) -> forebay::Result<()> {
    loop {
        match jobs.push_timeout(&row, MOMENT) {
            Err(error) if error.kind() == ErrorKind::TimedOut && !stop.load(Ordering::Relaxed) => {}
            end => return end,
        }
    }
}
