//! Locks that others hold: again and again, for long, between two of our statements, or when they were killed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use forebay::{Config, Retry, WriteBuffer};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use support::{Scratch, Seen, Trial, is_full};

use crate::load::{LONG, Load, Stop, eventually, lasts};
use crate::process::Other;

/// Waits for a lock so shortly that it must be tried again, and soon.
fn impatient() -> Config {
    let moment = Duration::from_millis(1);
    Config {
        busy_timeout: Duration::from_millis(5),
        retry: Retry { delay: moment, pause: moment, ..Retry::default() },
        ..Config::default()
    }
}

/// Something that others do to a database: what, and for how many milliseconds.
fn disturb(other: &Connection, random: &mut fastrand::Rng) {
    let held = Duration::from_millis(random.u64(0..30));
    match random.u8(0..4) {
        0 => {
            // The buffer may have the lock now: then this is no disturbance.
            let _ = other.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
        }
        begin => {
            other.busy_timeout(LONG).unwrap();
            let begin = if begin == 1 { "BEGIN EXCLUSIVE" } else { "BEGIN IMMEDIATE" };
            other.execute_batch(begin).unwrap();
            lasts(held);
            other.execute_batch("INSERT INTO other VALUES (1); COMMIT").unwrap();
            other.busy_timeout(Duration::ZERO).unwrap();
        }
    }
    lasts(Duration::from_millis(random.u64(0..10)));
}

#[test]
fn a_lock_that_comes_and_goes_is_nothing_that_a_producer_sees() {
    Trial::of(
        3,
        "BUSY, again and again",
        "another connection takes the lock 40 times, for up to 30 ms, writes and checkpoints, while the buffer waits for \
         5 ms before it tries again or pauses",
    )
    .rounds(3, 20)
    .run(|round| {
        let scratch = Scratch::new(&format!("{}; CREATE TABLE other(v)", Seen::SCHEMA));
        let buffer = WriteBuffer::builder(scratch.path()).config(impatient()).open().unwrap();
        let done = Load::run(&buffer, |load| {
            let other = scratch.connection();
            let mut random = fastrand::Rng::with_seed(round as u64);
            (0..40).for_each(|_| disturb(&other, &mut random));
            load.goes_on();
        });
        let stats = buffer.stats();
        assert!(stats.busy_waits > 0 && stats.retries > 0, "nobody was in the way: {stats:?}");
        done.all_landed(&buffer, &scratch.path())
    });
}

#[test]
fn a_log_that_a_killed_process_left_is_recovered_by_whoever_comes_first() {
    Trial::of(
        3,
        "a log that a killed process left",
        "a process that writes is killed, and four buffers open what it leaves at once, recover its rows, and write",
    )
    .rounds(3, 40)
    .run(|_| {
        let scratch = Scratch::new(Seen::SCHEMA);
        scratch.connection();
        Other::start(&["write".as_ref(), scratch.path().as_os_str()]).kill();
        let buffers: Vec<WriteBuffer> = thread::scope(|scope| {
            let opening =
                [(); 4].map(|()| scope.spawn(|| WriteBuffer::open(scratch.path()).unwrap()));
            opening.map(|opening| opening.join().unwrap()).into()
        });
        thread::scope(|scope| {
            let loads: Vec<_> = buffers
                .iter()
                .map(|buffer| scope.spawn(move || Load::run(buffer, Load::goes_on)))
                .collect();
            let done: Vec<_> = loads.into_iter().map(|load| load.join().unwrap()).collect();
            let mut seen = Seen::default();
            for (done, buffer) in done.into_iter().zip(&buffers) {
                seen += done.all_landed(buffer, &scratch.path());
            }
            let recovered = (1..=Other::WRITTEN).map(|id| -id);
            seen.lost += Seen::in_table(&scratch.path(), recovered).lost;
            seen
        })
    });
}

/// One read, and a write that relies on it: refused at once when somebody has written in between, whatever the timeout.
fn deferred(other: &mut Connection) -> bool {
    let transaction = other.transaction_with_behavior(TransactionBehavior::Deferred).unwrap();
    transaction.query_row("SELECT count(*) FROM landed", [], |row| row.get::<_, i64>(0)).unwrap();
    lasts(Duration::from_millis(2));
    match transaction.execute("INSERT INTO other VALUES (1)", []) {
        Ok(_) => false,
        Err(rusqlite::Error::SqliteFailure(error, _)) => {
            assert_eq!(error.code, ErrorCode::DatabaseBusy);
            error.extended_code == rusqlite::ffi::SQLITE_BUSY_SNAPSHOT
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn nobody_who_writes_in_between_makes_the_buffer_try_again() {
    Trial::of(
        4,
        "BUSY_SNAPSHOT",
        "a connection that reads, then writes in the same transaction meets it again and again; a buffer between it and two \
         others that write never does, and tries nothing twice",
    )
    .rounds(3, 20)
    .run(|_| {
        let scratch = Scratch::new(&format!("{}; CREATE TABLE other(v)", Seen::SCHEMA));
        let buffer = WriteBuffer::open(scratch.path()).unwrap();
        let over = AtomicBool::new(false);
        let done = Load::run(&buffer, |load| {
            thread::scope(|scope| {
                let _stop = Stop(&over);
                for _ in 0..2 {
                    scope.spawn(|| {
                        let other = scratch.connection();
                        other.busy_timeout(LONG).unwrap();
                        while !over.load(Ordering::Relaxed) {
                            other.execute_batch(
                                "BEGIN IMMEDIATE; INSERT INTO other VALUES (1); COMMIT",
                            )
                            .unwrap();
                            lasts(Duration::from_micros(500));
                        }
                    });
                }
                let mut other = scratch.connection();
                other.busy_timeout(LONG).unwrap();
                let met = (0..100).filter(|_| deferred(&mut other)).count();
                assert!(met > 0, "others have met it {met} times only");
                load.goes_on();
            });
        });
        assert_eq!(buffer.stats().retries, 0, "{:?}", buffer.stats());
        done.all_landed(&buffer, &scratch.path())
    });
}

#[test]
fn a_lock_that_another_process_holds_for_long_fails_no_receipt() {
    Trial::of(
        13,
        "another process holds the lock for a minute",
        if is_full() {
            "a process with a write transaction open for 60 s; the settings are the default ones"
        } else {
            "the same for 2 s, which is long for a buffer that waits for 100 ms before it tries again"
        },
    )
    .rounds(1, 1)
    .patience(Duration::from_secs(120))
    .run(|_| {
        let scratch = Scratch::new(Seen::SCHEMA);
        let mut config = Config::default();
        if !is_full() {
            config.busy_timeout = Duration::from_millis(100);
        }
        let buffer = WriteBuffer::builder(scratch.path()).config(config).open().unwrap();
        let done = Load::run(&buffer, |load| {
            let other = Other::start(&["lock".as_ref(), scratch.path().as_os_str()]);
            let acknowledged = || load.done().acknowledged.len();
            let before = acknowledged();
            lasts(Duration::from_secs(if is_full() { 60 } else { 2 }));
            let held = acknowledged();
            assert!(held <= before + Load::AWAITING, "nobody was in the way");
            let released = Instant::now();
            other.end();
            eventually("a row is acknowledged", || acknowledged() > held);
            assert!(released.elapsed() < Duration::from_secs(10), "{:?}", released.elapsed());
            load.goes_on();
        });
        let stats = buffer.stats();
        assert!(stats.retries > 0, "it was not tried again: {stats:?}");
        done.all_landed(&buffer, &scratch.path())
    });
}
