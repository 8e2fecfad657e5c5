//! The child whose wall clock jumps: everything that waits for a time does so by the monotonic clock.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use forebay::{Config, ErrorKind, Producer, Retry, WriteBuffer};
use rusqlite::Connection;

/// How often everything is tried.
const TURNS: i64 = 5;
/// A wait that has no other end than its time.
const SHORT: Duration = Duration::from_millis(20);
/// Ids in each turn.
const IDS: i64 = 10;

/// A clock that goes by itself shows no two times so far apart here.
const JUMP: Duration = Duration::from_secs(60);

struct Clock {
    buffer: WriteBuffer,
    landed: Producer,
    other: Connection,
    jumps: u64,
    last: SystemTime,
}

/// Tries everything that has to do with time, and says how often the wall clock has jumped meanwhile.
pub(crate) fn run(database: &Path) {
    let config = Config {
        linger: SHORT,
        busy_timeout: SHORT,
        close_timeout: SHORT,
        retry: Retry { max_retries: 3, delay: SHORT / 20, pause: SHORT / 4, give_up: None },
        ..Config::default()
    };
    let buffer = WriteBuffer::builder(database).config(config).open().unwrap();
    let mut clock = Clock {
        landed: buffer.table("landed").insert().producer().unwrap(),
        buffer,
        other: Connection::open(database).unwrap(),
        jumps: 0,
        last: SystemTime::now(),
    };
    crate::say("ticking");
    for turn in 0..TURNS {
        clock.lingers(turn);
        clock.waits_for_the_lock(turn);
    }
    clock.closes();
    crate::say(&clock.jumps.to_string());
}

impl Clock {
    /// Blocks until something is so. Without a limit: the parent has one.
    fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            thread::park_timeout(Duration::from_millis(1));
            let now = SystemTime::now();
            let apart = now.duration_since(self.last).unwrap_or_else(|past| past.duration());
            self.jumps += u64::from(apart > JUMP);
            self.last = now;
        }
    }

    /// Rows that nobody waits for are committed when their linger is over, and not before the clock has jumped.
    fn lingers(&mut self, turn: i64) {
        let before = self.buffer.stats();
        let begun = Instant::now();
        (0..5).for_each(|id| self.landed.push(&(IDS * turn + id,)).unwrap());
        while begun.elapsed() < SHORT / 2 {
            thread::park_timeout(Duration::from_millis(1));
        }
        self.until(|clock| clock.buffer.stats().committed == before.committed + 5);
        lasted(begun);
        let after = self.buffer.stats();
        assert!(after.triggers.linger > before.triggers.linger, "{after:?}");
    }

    /// A lock is waited for, the batch tried again, and paused; a receipt is waited for as long as it is told to.
    fn waits_for_the_lock(&mut self, turn: i64) {
        let before = self.buffer.stats();
        self.until(|clock| clock.other.execute_batch("BEGIN IMMEDIATE").is_ok());
        let mut receipt = self.landed.submit(&(IDS * turn + 5,)).unwrap();
        let begun = Instant::now();
        let timed_out = receipt.wait_timeout(SHORT).unwrap_err();
        assert_eq!(timed_out.kind(), ErrorKind::TimedOut, "{timed_out:#}");
        lasted(begun);
        self.until(|clock| clock.buffer.stats().pauses > before.pauses);
        assert!(self.buffer.stats().retries - before.retries >= 3);
        self.other.execute_batch("COMMIT").unwrap();
        receipt.wait().unwrap();
    }

    /// With the lock held, a close ends when its time is over, and hands back what is left.
    fn closes(&mut self) {
        self.until(|clock| clock.other.execute_batch("BEGIN IMMEDIATE").is_ok());
        self.landed.push(&(IDS * TURNS,)).unwrap();
        let begun = Instant::now();
        let report = self.buffer.close_within(SHORT).unwrap();
        lasted(begun);
        assert_eq!(report.leftovers.len(), 1, "{:?}", report.stats);
        self.other.execute_batch("COMMIT").unwrap();
    }
}

/// What waits for its time does not end before it.
fn lasted(begun: Instant) {
    let lasted = begun.elapsed();
    assert!(lasted >= SHORT, "it ended after {lasted:?} of {SHORT:?}");
}
