//! A real dpkg log, written by 80 threads at once: the table ends with the last state of every package.
//!
//! ```text
//! cargo run --release -p forebay --example package_states [LOG [DATABASE]]
//! ```
//!
//! Each package belongs to one worker, which pushes the package's status lines as upserts, in the log's
//! order. All workers share one buffer and one producer. At the end the table is held against the log.
//! Without DATABASE the database is a temporary one; a DATABASE stays, and its table is emptied first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Barrier;
use std::time::Instant;
use std::{env, fs, thread};

use forebay::rusqlite::{self, Connection};
use forebay::{Producer, Stats, Triggers, WriteBuffer};
use serde::Serialize;

const LOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/dpkg.log");
const WORKERS: usize = 80;
const CREATE: &str = "CREATE TABLE IF NOT EXISTS package_state(package TEXT PRIMARY KEY, \
                      state TEXT NOT NULL, version TEXT NOT NULL, at TEXT NOT NULL)";

/// One status line of the log, which is one row; it borrows from the log.
#[derive(Serialize)]
struct PackageState<'a> {
    package: &'a str,
    state: &'a str,
    version: &'a str,
    at: &'a str,
}

/// Each package with its row, told as `installed 252.38-1~deb12u1 at 2025-06-24 14:36:25`.
type States = BTreeMap<String, String>;

/// What a run did.
pub struct Report {
    /// Packages that the log has status lines of.
    pub packages: usize,
    /// Status lines, each of which was pushed as a row.
    pub status_lines: usize,
    /// Packages whose row is not what the log says last.
    pub differing: usize,
    /// The buffer's counters after it was closed.
    pub stats: Stats,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let log = arguments.next().unwrap_or_else(|| PathBuf::from(LOG));
    let folder = tempfile::tempdir()?;
    let database = arguments.next().unwrap_or_else(|| folder.path().join("packages.db"));
    let report = run(&log, &database, &mut io::stdout())?;
    Ok(if report.differing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes the log's status lines to the database, compares, and tells `out` what happened.
pub fn run(log: &Path, database: &Path, out: &mut dyn Write) -> Result<Report, Box<dyn Error>> {
    let text = fs::read_to_string(log)
        .map_err(|error| format!("cannot read the log {}: {error}", log.display()))?;
    let expected = last_states(&text);
    if expected.is_empty() {
        return Err(format!("the log {} has no status lines: is it dpkg's?", log.display()).into());
    }
    let workers = share_out(&text);
    let status_lines = workers.iter().map(Vec::len).sum();

    let begun = Instant::now();
    let set_up = set_up(database)?;
    let buffer = WriteBuffer::open(database)?;
    let states = buffer.table("package_state").upsert(["package"]).producer()?;
    push_all(&workers, &states)?;
    // flush waits for a lock as long as it takes, close only for close_timeout.
    buffer.flush()?;
    let took = begun.elapsed();
    buffer.close()?;
    let stats = buffer.stats();

    let Stats { committed, transactions, .. } = &stats;
    let Triggers { count, bytes, linger, flush, close, .. } = stats.triggers;
    writeln!(
        out,
        "log             {}\n\
         lines read      {}, {status_lines} of them status lines\n\
         packages        {}\n\
         workers         {WORKERS}\n\
         rows committed  {committed}\n\
         transactions    {transactions}, of {:.0} rows on average\n\
         triggers        count {count}, bytes {bytes}, linger {linger}, flush {flush}, close {close}\n\
         waits for lock  {}, {:.1} s in all\n\
         time taken      {took:.1?}, from making the table to the last commit",
        log.display(),
        text.lines().count(),
        expected.len(),
        stats.rows_per_transaction(),
        set_up.busy_waits + stats.busy_waits,
        (set_up.busy_time + stats.busy_time).as_secs_f64(),
    )?;
    let differing = compare(&expected, &stored_states(database)?, out)?;
    Ok(Report { packages: expected.len(), status_lines, differing, stats })
}

/// Gives every package to one worker, in turn, with its status lines in the log's order.
fn share_out(log: &str) -> Vec<Vec<PackageState<'_>>> {
    let mut workers: Vec<Vec<_>> = (0..WORKERS).map(|_| Vec::new()).collect();
    let mut owners = HashMap::new();
    for row in log.lines().filter_map(status_line) {
        let next = owners.len() % WORKERS;
        let owner = *owners.entry(row.package).or_insert(next);
        workers[owner].push(row);
    }
    workers
}

/// Reads `2025-06-24 14:36:25 status unpacked libsystemd0:amd64 252.36-1~deb12u1`; other kinds are none.
fn status_line(line: &str) -> Option<PackageState<'_>> {
    let (at, event) = line.split_at_checked("2025-06-24 14:36:25".len())?;
    let (state, package_and_version) = event.strip_prefix(" status ")?.split_once(' ')?;
    let (package, version) = package_and_version.split_once(' ')?;
    Some(PackageState { package, state, version, at })
}

/// In a buffer of its own, so that the counters of the other are of the log's rows alone.
fn set_up(database: &Path) -> forebay::Result<Stats> {
    let buffer = WriteBuffer::open(database)?;
    buffer.execute(CREATE)?;
    buffer.execute("DELETE FROM package_state")?;
    buffer.close()?;
    Ok(buffer.stats())
}

fn push_all(workers: &[Vec<PackageState<'_>>], states: &Producer) -> forebay::Result<()> {
    // Without it the first workers would be done before the last ones begin.
    let start = &Barrier::new(workers.len());
    thread::scope(|scope| {
        let work = |rows: &[PackageState<'_>]| {
            start.wait();
            rows.iter().try_for_each(|row| states.push(row))
        };
        let threads: Vec<_> = workers.iter().map(|rows| scope.spawn(move || work(rows))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no worker panics"))
    })
}

/// What the table should hold, found without anything that the workers use.
fn last_states(log: &str) -> States {
    let mut last = States::new();
    for line in log.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [date, time, "status", state, package, version] = words[..] {
            last.insert(package.to_owned(), format!("{state} {version} at {date} {time}"));
        }
    }
    last
}

fn stored_states(database: &Path) -> rusqlite::Result<States> {
    Connection::open(database)?
        .prepare("SELECT package, state || ' ' || version || ' at ' || at FROM package_state")?
        .query_map((), |row| row.try_into())?
        .collect()
}

/// Returns how many packages differ, whether missing, too many or in another state.
fn compare(expected: &States, stored: &States, out: &mut dyn Write) -> io::Result<usize> {
    let packages = expected.keys().chain(stored.keys());
    let differing: BTreeSet<_> =
        packages.filter(|&package| expected.get(package) != stored.get(package)).collect();
    for &package in &differing {
        let row =
            |rows: &States| rows.get(package).cloned().unwrap_or_else(|| "nothing".to_owned());
        writeln!(out, "{package}: the log says {}, the table {}", row(expected), row(stored))?;
    }
    let all = format!("every one of the {} packages", expected.len());
    match differing.len() {
        0 => writeln!(out, "equal: {all} has the state of its last line in the log")?,
        some => writeln!(out, "not equal: {some} packages differ")?,
    }
    Ok(differing.len())
}
