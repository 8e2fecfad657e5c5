//! 10a and 10c: the memory of a buffer that is full.
//!
//! What is allocated for rows is all that Rust's allocator has given out since the threads stood ready and none had pushed: the
//! segments, the index of a batch, and a little for those who wait, so it is rather too much than too little. SQLite's page
//! cache is C's and not among it. A process has beside that what it had when idle, by the operating system.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use forebay::{Config, ErrorKind, WriteBuffer};
use forebay_benches::{Rows, topics};
use forebay_cli::failure::Result;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::conductor::Conductor;
use crate::database::{self, WIDE};
use crate::ledger;
use crate::parts::{self, Part};
use crate::rounds::{Ingredient, Measured, Plain, Round, Shown, gathered};

const THREADS: u64 = 80;
/// What a process may have beside room for rows and cache.
const BESIDE: u64 = 8 << 20;
/// How long it may take until all wait for room.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(1);
/// In the times of the other trials.
const TRIALS: u32 = 3;

/// What a child is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ask {
    database: PathBuf,
    time: Duration,
}

/// What it has seen, in bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// The most that was allocated beyond what was before the first push.
    allocated: u64,
    /// The most memory that the process had.
    peak: u64,
    /// What it had before the first push.
    idle: u64,
    /// `max_buffer_bytes`.
    room: u64,
    /// `max_cache_bytes`.
    cache: u64,
}

/// Measures both.
pub(crate) fn measure(
    conductor: &Conductor<'_>,
) -> Result<BTreeMap<&'static str, Result<Measured>>> {
    let name = "the memory of a full buffer";
    let rounds = conductor.rounds(name, |_| {
        let folder = conductor.folder()?;
        let database = database::make(folder.path(), WIDE)?;
        let ask = Ask { database, time: conductor.time(TRIALS) };
        Ok(shown(&conductor.ask(name, &Part::Memory(ask))?))
    })?;
    Ok(gathered(rounds))
}

fn shown(seen: &Seen) -> Round {
    let bytes = |name: &str, bytes: u64| Ingredient::new(name, bytes as f64, Plain::Bytes);
    let allocated = bytes("allocated", seen.allocated);
    let above = bytes("peak above idle", seen.peak.saturating_sub(seen.idle));
    let allowed = bytes("allowed", seen.room + seen.cache + BESIDE);
    Round::from([
        ("10a", Ok(Shown::ratio(allocated, bytes("max_buffer_bytes", seen.room)))),
        ("10c", Ok(Shown::ratio(above, allowed))),
    ])
}

/// The child's part: fills a buffer while the database is locked, then has it written while 80 threads push.
pub(crate) fn fill(ask: &Ask) -> parts::Result<Seen> {
    let config = Config::default();
    let (room, cache) = (config.max_buffer_bytes as u64, config.max_cache_bytes as u64);
    let buffer = WriteBuffer::builder(&ask.database).config(config).open()?;
    let producer = topics(&buffer, Rows::All);
    let other = Connection::open(&ask.database)?;
    other.execute_batch("BEGIN IMMEDIATE")?;
    let ready = Barrier::new(THREADS as usize + 1);
    // Until the buffer is closed.
    let push = |thread| {
        let mut random = fastrand::Rng::with_seed(thread);
        ready.wait();
        let mut push = |number| producer.push(&database::update(&mut random, WIDE, number));
        match (0..).try_for_each(&mut push) {
            Err(error) if error.kind() != ErrorKind::Closed => Err(error),
            _ => Ok(()),
        }
    };
    thread::scope(|scope| {
        let push = &push;
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || push(thread))).collect();
        let seen = look(ask, &buffer, &other, &ready);
        buffer.close_within(Duration::ZERO)?;
        parts::join(threads)?;
        let (allocated, idle, peak) = seen?;
        Ok(Seen { allocated, peak, idle, room, cache })
    })
}

/// Allocated, idle and peak.
fn look(
    ask: &Ask,
    buffer: &WriteBuffer,
    other: &Connection,
    ready: &Barrier,
) -> parts::Result<(u64, u64, u64)> {
    let (idle, before) = (status("VmRSS:"), ledger::bytes());
    ready.wait();
    let idle = idle?;
    let begun = Instant::now();
    let mut allocated = 0;
    let mut look = || {
        allocated = allocated.max(ledger::bytes().saturating_sub(before));
        thread::park_timeout(LOOK);
    };
    while buffer.stats().full < THREADS {
        if begun.elapsed() > PATIENCE {
            return Err(format!("the buffer was not full after {PATIENCE:?}").into());
        }
        look();
    }
    other.execute_batch("ROLLBACK")?;
    let until = Instant::now() + ask.time;
    while Instant::now() < until {
        look();
    }
    Ok((allocated, idle, status("VmHWM:")?))
}

/// A size in `/proc/self/status`, in bytes.
fn status(name: &str) -> parts::Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| format!("/proc/self/status has no {name}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_compared_with_what_was_configured() {
        let seen = Seen { allocated: 60, peak: 32 << 20, idle: 8 << 20, room: 80, cache: 16 << 20 };
        let round = shown(&seen);
        assert_eq!(round["10a"].clone().unwrap().number, 0.75);
        let allowed = ((16 << 20) + 80 + BESIDE) as f64;
        assert_eq!(round["10c"].clone().unwrap().number, f64::from(24 << 20) / allowed);
    }

    #[test]
    fn the_systems_figures_are_read() {
        assert!(status("VmHWM:").unwrap() >= 1 << 20);
        assert!(status("VmNone:").is_err());
    }
}
