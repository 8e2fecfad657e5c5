//! The child that is killed: opens the buffer, loads it from 16 threads, closes it, and begins anew.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use forebay::{Config, Error, ErrorKind, Producer, SqliteSink, WriteBuffer};
use support::{Entry, EntryKind, Ledger, PARTS, Step, Surrounded};

use crate::recorded::Recorded;

/// Threads that wait for each of their rows, and as many that only push.
const THREADS: i64 = 8;
/// Every so many calls a thread that only pushes flushes.
const FLUSH_EVERY: i64 = 61;

/// What a thread needs.
struct Load {
    buffer: WriteBuffer,
    landed: Producer,
    parts: Producer,
    newest: Producer,
    ledger: Arc<Ledger>,
}

/// Loads the database until killed. `life` is larger than any that its rows carry.
pub(crate) fn run(database: &Path, life: i64, seed: u64, max_wal_bytes: usize) {
    let mut random = fastrand::Rng::with_seed(seed);
    let ledger = Arc::new(Ledger::append(database).unwrap());
    ledger.step(&Step::Opening).unwrap();
    crate::say("opening");
    // Lives of one child are told apart too: calls are counted from 0 in each.
    for life in life.. {
        let load = Load::open(database, max_wal_bytes, &ledger);
        ledger.step(&Step::Opened).unwrap();
        load.cycle(life, Duration::from_millis(random.u64(5..80)));
        ledger.step(&Step::Opening).unwrap();
    }
}

impl Load {
    fn open(database: &Path, max_wal_bytes: usize, ledger: &Arc<Ledger>) -> Self {
        // With a small log checkpoints, too, are there all the time.
        let config = Config { linger: Duration::from_millis(2), max_wal_bytes, ..crate::small() };
        let sink = SqliteSink::open(database, &config).unwrap();
        let sink = Surrounded::new(sink, Recorded(Arc::clone(ledger)));
        let buffer = WriteBuffer::with_sink(sink, config).unwrap();
        Self {
            landed: buffer.table("landed").insert().producer().unwrap(),
            parts: buffer.table("parts").insert().producer().unwrap(),
            newest: buffer.table("newest").upsert(["thread"]).coalesce().producer().unwrap(),
            ledger: Arc::clone(ledger),
            buffer,
        }
    }

    /// Loads the buffer, and closes it under load.
    fn cycle(&self, life: i64, load: Duration) {
        thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || self.wait_for_each(life, thread));
            }
            let pushing: Vec<_> = (THREADS..2 * THREADS)
                .map(|thread| scope.spawn(move || self.push(life, thread)))
                .collect();
            let end = Instant::now() + load;
            while let Some(rest) = end.checked_duration_since(Instant::now()) {
                thread::park_timeout(rest);
            }
            self.ledger.step(&Step::Closing).unwrap();
            self.buffer.close().unwrap();
            self.ledger.step(&Step::Closed).unwrap();
            // A clean close promises what was only pushed, too.
            for last in pushing.into_iter().filter_map(|thread| thread.join().unwrap()) {
                self.ledger.acknowledge(last).unwrap();
            }
        });
    }

    fn wait_for_each(&self, life: i64, thread: i64) {
        for entry in (0..).map(|n| Entry::new(life, thread, n)) {
            let receipt = match entry.kind() {
                EntryKind::Single => self.landed.submit(&(entry.0, entry.text())),
                EntryKind::Newest => self.newest.submit(&(entry.thread(), entry.0)),
                EntryKind::Group => self.buffer.group(|group| self.fill(group, entry)),
            };
            if is_closed(&receipt) {
                return;
            }
            receipt.unwrap().wait().unwrap();
            self.ledger.acknowledge(entry).unwrap();
        }
    }

    /// Returns the last entry that was accepted.
    fn push(&self, life: i64, thread: i64) -> Option<Entry> {
        let mut last = None;
        for entry in (0..).map(|n| Entry::new(life, thread, n)) {
            let pushed = match entry.kind() {
                EntryKind::Single => self.landed.push(&(entry.0, entry.text())),
                EntryKind::Newest => self.newest.push(&(entry.thread(), entry.0)),
                EntryKind::Group => self.buffer.group(|group| self.fill(group, entry)).map(drop),
            };
            if is_closed(&pushed) {
                break;
            }
            pushed.unwrap();
            last = Some(entry);
            if entry.n() % FLUSH_EVERY == 0 {
                self.buffer.flush().unwrap();
                self.ledger.acknowledge(entry).unwrap();
            }
        }
        last
    }

    fn fill(&self, group: &mut forebay::Group<'_>, entry: Entry) -> Result<(), Error> {
        group.add(&self.landed, &(entry.0, entry.text()))?;
        (0..PARTS).try_for_each(|part| group.add(&self.parts, &(entry.0, part)))
    }
}

fn is_closed<T>(result: &Result<T, Error>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Closed)
}
