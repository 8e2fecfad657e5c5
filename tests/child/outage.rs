//! The child whose workers push on and on while the database is locked.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use forebay::{Config, WriteBuffer};
use serde::Serialize;
use support::{Outage, adds_up, spool_of};

/// How often the memory is looked at.
const SAMPLED: Duration = Duration::from_millis(20);

#[derive(Serialize)]
struct Row {
    id: i64,
}

/// Has so many workers push so many rows, waits for a line on standard input, then until all are written, and tells what there is to
/// tell.
pub(crate) fn push(database: &Path, workers: i64, rows: i64) {
    let config =
        Config { spool: Some(spool_of(database)), max_spool_bytes: 1 << 30, ..Config::default() };
    let buffer = WriteBuffer::builder(database).config(config).open().unwrap();
    let landed = buffer.table("landed").insert().producer().unwrap();
    landed.write(&Row { id: 0 }).unwrap();
    crate::say("open");
    // The database is locked from here on.
    wait_for_a_line();
    let memory = anonymous_bytes();
    let most_memory = AtomicU64::new(memory);
    let over = AtomicBool::new(false);
    let mut told = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                most_memory.fetch_max(anonymous_bytes(), Ordering::Relaxed);
                thread::park_timeout(SAMPLED);
            }
        });
        let begun = Instant::now();
        thread::scope(|scope| {
            for worker in 0..workers {
                let landed = &landed;
                scope.spawn(move || {
                    let own = (1 + worker..=rows).step_by(workers as usize);
                    own.for_each(|id| landed.push(&Row { id }).unwrap());
                });
            }
        });
        let (pushing, held) = (begun.elapsed(), buffer.stats());
        crate::say("pushed");
        wait_for_a_line();
        // The lock is held until this is told.
        let waiting = buffer.stats().pending;
        crate::say(&waiting.to_string());
        wait_for_a_line();
        let released = Instant::now();
        buffer.flush().unwrap();
        let left = buffer.stats().pending;
        assert_eq!(left, 0, "a flush waits for all of them");
        over.store(true, Ordering::Relaxed);
        Outage {
            pushing,
            draining: released.elapsed(),
            pending: waiting,
            full: held.full,
            spool_bytes: held.spool_bytes,
            committed: 0,
            memory,
            most_memory: 0,
        }
    });
    buffer.close().unwrap();
    let stats = buffer.stats();
    assert!(adds_up(&stats), "{stats:?}");
    (told.committed, told.most_memory) = (stats.committed, most_memory.into_inner());
    crate::say(&serde_json::to_string(&told).unwrap());
}

/// Ends the process when there is nobody any more to say it.
fn wait_for_a_line() {
    assert!(io::stdin().read_line(&mut String::new()).unwrap() > 0, "the parent has gone");
}

/// Bytes that are this process's alone and in no file.
fn anonymous_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}
