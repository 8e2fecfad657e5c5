//! Processes that are killed with SIGKILL while they write, again and again, and what their database holds afterwards.
//!
//! `CRASH_ROUNDS=5000` runs that many rounds, `CRASH_SEED=7` the same moments as before, as far as the machine lets them be.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod found;
mod spool;
mod victim;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use forebay::WriteBuffer;
use support::{Ledger, Scratch, Seen, Trial};

use found::{Found, Hits, afterwards, look};
use victim::Victim;

const SCHEMA: &str = "
    CREATE TABLE landed(id INTEGER NOT NULL, text TEXT NOT NULL) STRICT;
    CREATE TABLE parts(id INTEGER NOT NULL, part INTEGER NOT NULL) STRICT;
    CREATE TABLE newest(thread INTEGER PRIMARY KEY, id INTEGER NOT NULL) STRICT";

/// Rounds between two fresh databases, by turns: most die once and are looked at, one lives through many kills.
const LIVES: [usize; 3] = [1, 1, 10];

/// A database, and how often its processes were killed.
struct Database {
    scratch: Scratch,
    children: i64,
    rounds_left: usize,
}

/// What lasts from round to round.
struct Course {
    random: Rng,
    database: Option<Database>,
    begun: usize,
    hits: Hits,
}

impl Course {
    fn new() -> Self {
        let seed = number("CRASH_SEED").unwrap_or_else(|| fastrand::u64(..));
        let _ = writeln!(io::stderr(), "CRASH_SEED={seed}");
        let random = Rng::with_seed(seed);
        Self { random, database: None, begun: 0, hits: Hits::default() }
    }

    /// One round: a child is killed under load, and as many more as `kills` says as soon as they open the database.
    fn round(&mut self, max_wal_bytes: usize, kills: usize) -> Seen {
        let mut database = self.database.take().unwrap_or_else(|| {
            let rounds_left = LIVES[self.begun % LIVES.len()];
            self.begun += 1;
            Database { scratch: Scratch::new(SCHEMA), children: 0, rounds_left }
        });
        let path = database.scratch.path();
        let life = 1_000 * (database.children + 1);
        let mut steps = Ledger::steps(&path).len();
        for kill in 0..=kills {
            let moment = match kill {
                // Early ones more often: then there are more of them.
                0 => {
                    Duration::from_millis(1)
                        + Duration::from_millis(149).mul_f64(self.random.f64().powi(2))
                }
                _ => Duration::from_micros(self.random.u64(0..5_000)),
            };
            database.children += 1;
            let life = 1_000 * database.children;
            let victim = Victim::load(&path, life, self.random.u64(..), max_wal_bytes);
            victim.killed_after(moment);
            let all = Ledger::steps(&path);
            self.hits.count(&all[steps..]);
            steps = all.len();
        }
        let found = reopened(&database, life);
        self.hits.count_found(&found);
        database.rounds_left -= 1;
        self.database = (database.rounds_left > 0).then_some(database);
        found.seen
    }
}

/// The database as the application finds it: the buffer opens, takes another row, and everything is as promised.
fn reopened(database: &Database, life: i64) -> Found {
    let path = database.scratch.path();
    let buffer = WriteBuffer::open(&path).unwrap();
    let landed = buffer.table("landed").insert().producer().unwrap();
    let entry = afterwards(database.children);
    landed.write(&(entry.0, entry.text())).unwrap();
    buffer.close().unwrap();
    let found = look(&path, life);
    assert!(found.landed.contains(&entry), "the row that was written afterwards is there");
    found
}

fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

fn rounds(short: usize, full: usize) -> (usize, usize) {
    number("CRASH_ROUNDS").map_or((short, full), |rounds| (rounds, rounds))
}

/// Runs a course of kills and returns what they hit.
fn run(trial: Trial, max_wal_bytes: fn(usize) -> usize, kills: fn(&mut Rng) -> usize) -> Hits {
    let course = Arc::new(Mutex::new(Course::new()));
    let rounds = Arc::clone(&course);
    trial.run(move |index| {
        let mut course = rounds.lock().unwrap();
        let kills = kills(&mut course.random);
        course.round(max_wal_bytes(index), kills)
    });
    let hits = std::mem::take(&mut course.lock().unwrap().hits);
    let _ = writeln!(io::stderr(), "{hits:?}");
    hits
}

#[test]
fn whatever_was_acknowledged_is_there_after_kill_9_at_any_moment() {
    let (short, full) = rounds(300, 1_000);
    let trial = Trial::of(
        14,
        "kill -9 under load",
        "SIGKILL 1 to 150 ms after the buffer began to open, 8 threads awaiting rows and groups and 8 pushing",
    );
    let hits = run(trial.rounds(short, full), |_| 64 * 1024, |_| 0);
    // Few rounds prove little, and are not asked to.
    if short >= 100 {
        assert!(hits.applying > 0, "kills in the middle of a transaction: {hits:?}");
        assert!(hits.tidying > 0, "kills in a checkpoint: {hits:?}");
        assert!(hits.batches_lost > 0, "batches that were in flight and are not there: {hits:?}");
        assert!(hits.unheard > 0, "rows committed whose threads were not told any more: {hits:?}");
        assert!(hits.acknowledged > hits.kills, "children that get on: {hits:?}");
    }
}

#[test]
fn whatever_was_acknowledged_is_there_after_kills_while_the_database_is_opened_and_recovered() {
    let (short, full) = rounds(100, 1_000);
    let trial = Trial::of(
        14,
        "kill -9 again during open and recovery",
        "SIGKILL under load, then 1 to 4 more processes killed 0 to 5 ms after each began to open what the last one left",
    );
    // A small log, and one that takes long to recover.
    let max_wal_bytes = |index| if index % 2 == 0 { 64 * 1024 } else { 64 * 1024 * 1024 };
    let hits = run(trial.rounds(short, full), max_wal_bytes, |random| random.usize(1..=4));
    if short >= 100 {
        assert!(hits.opening > 0, "kills while the database was opened: {hits:?}");
        assert!(hits.opening < hits.kills, "kills at other moments: {hits:?}");
        assert!(hits.acknowledged > hits.kills, "children that get on: {hits:?}");
    }
}
