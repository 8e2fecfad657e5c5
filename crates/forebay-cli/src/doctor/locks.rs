//! Who holds which lock: asked of the system, so that nobody has to wait for the asking.

use std::fs::File;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use forebay_bench::Stop;
use forebay_bench::untouched::{State, beside, state};
use rustix::process::{Flock, FlockType, Pid, fcntl_getlk};

use super::file::Database;
use super::finding::Finding;
use super::process::{self, Process};
use crate::failure::because;

const CHECK: &str = "lock";
/// How long a lock is looked at that somebody holds.
const TIME: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(10);
const END_READ: &str =
    "COMMIT, ROLLBACK, or finish its SELECT (one that is not read to its end holds the lock too)";

/// The bytes of the database file that SQLite locks: <https://sqlite.org/fileformat2.html#the_lock_byte_page>.
const PENDING: Bytes = Bytes(0x4000_0000, 1);
const RESERVED: Bytes = Bytes(0x4000_0001, 1);
const SHARED: Bytes = Bytes(0x4000_0002, 510);
/// The same of the `-shm` file: <https://sqlite.org/walformat.html#wal_locks>.
const LOG_WRITE: Bytes = Bytes(120, 1);
const LOG_READ: std::ops::Range<u64> = 123..128;
const LOG_OPEN: Bytes = Bytes(128, 1);

/// Where a stretch begins, and its length.
struct Bytes(u64, u64);

/// The locks on a database at one moment.
#[derive(Debug, Default, Clone)]
pub(super) struct Locks {
    /// Who writes, or has begun a transaction in order to.
    pub(super) writer: Option<Process>,
    /// Who keeps everybody else out, also those who read.
    pub(super) excluder: Option<Process>,
    /// Who reads, and keeps somebody else from committing who has begun to, without WAL.
    pub(super) in_commits_way: Option<Process>,
    /// Who is in a transaction that reads, one of each of SQLite's five locks for that.
    pub(super) readers: Vec<Process>,
    /// Whether somebody has the log open; `None` where that is not known.
    pub(super) log_is_open: Option<bool>,
}

impl Locks {
    /// Asks for them. This process must not have the database open: to close a file drops the locks that the process has
    /// on it.
    pub(super) fn look(database: &Database) -> io::Result<Self> {
        let file = File::open(&database.real)?;
        let excluder = writing(&file, &SHARED)?;
        let mut locks = Self { writer: excluder, excluder, ..Self::default() };
        for bytes in [RESERVED, PENDING] {
            locks.writer = locks.writer.or(writing(&file, &bytes)?);
        }
        if !database.is_in_wal_mode() {
            let reader = any(&file, &SHARED)?.filter(|_| excluder.is_none());
            let commits = writing(&file, &PENDING)?;
            // The system names one of those who read, which may be the one who commits.
            locks.in_commits_way = reader.filter(|reader| commits.is_some_and(|it| it != *reader));
            locks.readers.extend(reader);
            return Ok(locks);
        }
        locks.log_is_open = Some(false);
        let log = match File::open(beside(&database.real, "-shm")) {
            Ok(log) => log,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(locks),
            Err(error) => return Err(error),
        };
        locks.writer = locks.writer.or(writing(&log, &LOG_WRITE)?);
        for byte in LOG_READ {
            locks.readers.extend(any(&log, &Bytes(byte, 1))?);
        }
        locks.readers.sort();
        locks.readers.dedup();
        locks.log_is_open = Some(any(&log, &LOG_OPEN)?.is_some());
        Ok(locks)
    }

    /// Who keeps a writer from committing.
    fn in_the_way(&self, database: &Database) -> Option<Process> {
        let reader = self.readers.first().filter(|_| !database.is_in_wal_mode());
        self.writer.or(reader.copied())
    }
}

/// Who has these bytes locked for writing.
fn writing(file: &File, bytes: &Bytes) -> io::Result<Option<Process>> {
    holder(file, bytes, FlockType::ReadLock)
}

/// Who has them locked in any way.
fn any(file: &File, bytes: &Bytes) -> io::Result<Option<Process>> {
    holder(file, bytes, FlockType::WriteLock)
}

/// Whose lock would be in the way of one of this type. The system has no number for a process of another container,
/// and one below zero for a lock that belongs to an open file or to another machine.
fn holder(
    file: &File,
    &Bytes(start, length): &Bytes,
    wanted: FlockType,
) -> io::Result<Option<Process>> {
    let wanted = Flock { start, length, ..Flock::from(wanted) };
    let held = fcntl_getlk(file, &wanted)?;
    let number = |lock: Flock| lock.pid.map(Pid::as_raw_pid).filter(|id| *id > 0);
    Ok(held.map(|lock| Process(number(lock))))
}

/// Looks at the locks, and when somebody is in the way of a writer again and again until nobody is, for a second at the
/// most.
pub(super) fn watch(database: &Database, stop: &Stop) -> (Locks, Finding) {
    let begun = Instant::now();
    let before = states(database);
    let mut locks = match Locks::look(database) {
        Ok(locks) => locks,
        Err(error) => {
            let seen = format!("who holds a lock cannot be seen: {}", because(&error));
            let fix = format!("`fuser -v {}` names who has it open", database.word());
            return (Locks::default(), Finding::note(CHECK, seen, fix));
        }
    };
    let Some(first) = locks.in_the_way(database) else {
        return (locks, Finding::ok(CHECK, "nobody is writing at this moment"));
    };
    let mut seen = vec![first];
    while begun.elapsed() < TIME && !stop.is_stopped() {
        thread::park_timeout(STEP);
        let Ok(now) = Locks::look(database) else { break };
        let Some(next) = now.in_the_way(database) else {
            let seconds = begun.elapsed().as_secs_f64();
            let did = if locks.writer.is_some() { "writing" } else { "reading" };
            let told = format!(
                "{first} was {did}, and no longer {seconds:.2} s later; nobody is writing now"
            );
            return (now, Finding::ok(CHECK, told));
        };
        locks.in_commits_way = locks.in_commits_way.filter(|it| now.in_commits_way == Some(*it));
        if !seen.contains(&next) {
            seen.push(next);
        }
    }
    let time = begun.elapsed();
    let finding = match seen.as_slice() {
        [only] if states(database) == before => held(&locks, *only, time),
        seen => busy(&locks, seen, time),
    };
    (locks, finding)
}

/// What shows that transactions end.
fn states(database: &Database) -> [Option<State>; 2] {
    ["", "-wal"].map(|ending| state(&beside(&database.real, ending)))
}

/// Transactions that follow each other.
fn busy(locks: &Locks, seen: &[Process], time: Duration) -> Finding {
    let does =
        if locks.writer.is_some() { "wrote" } else { "read, which keeps writers from committing," };
    let told = format!(
        "busy: somebody {does} at every look for {:.1} s: {}",
        time.as_secs_f64(),
        process::listed(seen)
    );
    let fix = "set a busy timeout on every connection, and let one process write for all, in few transactions";
    Finding::warning(CHECK, told, fix)
}

/// One transaction that was there whenever it was looked at.
fn held(locks: &Locks, by: Process, time: Duration) -> Finding {
    let told = |what: &str| {
        let seconds = time.as_secs_f64();
        format!("locked: {by} {what}, at every look for {seconds:.1} s")
    };
    if locks.excluder.is_some() {
        let what = "keeps everybody out (`BEGIN EXCLUSIVE`, or `PRAGMA locking_mode=EXCLUSIVE`)";
        Finding::error(CHECK, told(what), by.end("COMMIT, ROLLBACK, or close the connection"))
    } else if let Some(reader) = locks.in_commits_way {
        let what = format!("is committing, and waits for {reader}, which reads");
        Finding::error(CHECK, told(&what), reader.end(END_READ))
    } else if locks.writer.is_some() {
        let what = "is in a transaction that writes";
        Finding::error(CHECK, told(what), by.end("COMMIT or ROLLBACK"))
    } else {
        let what = "is in a transaction that reads, and without WAL nobody can commit meanwhile";
        Finding::error(CHECK, told(what), by.end(END_READ))
    }
}
