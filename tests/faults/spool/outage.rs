//! A database that is locked for a minute while many workers push: what they push gathers in files, not in memory.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::{Outage, Seen, Trial, is_full};

use super::{Place, lock};
use crate::load::lasts;

const WORKERS: i64 = 80;

/// What memory may grow by, whatever gathers: the index of a batch, caches, and the stacks of the workers.
const MEMORY: u64 = 32 << 20;

#[test]
fn a_lock_of_a_minute_fails_no_push_and_what_gathers_is_not_in_memory() {
    let (held, rows) = if is_full() { (60, 5_000_000) } else { (2, 200_000) };
    Trial::of(
        13,
        "another process holds the lock for a minute, with a spool",
        format!(
            "80 threads push {rows} rows while a process has a write transaction open for {held} s; the settings are the default ones. \
             The memory of the process that pushes grows by less than 32 MiB"
        ),
    )
    .rounds(1, 1)
    .patience(Duration::from_secs(600))
    .run(move |_| {
        let place = Place::new(Seen::SCHEMA);
        let mut child = Command::new(env!("CARGO_BIN_EXE_fault-child"))
            .arg("outage")
            .arg(place.path())
            .args([WORKERS, rows].map(|number| number.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut next = || lines.next().expect("it goes on").unwrap();
        assert_eq!(next(), "open");
        let lock = lock(&place.path());
        let locked = Instant::now();
        writeln!(input, "locked").unwrap();
        assert_eq!(next(), "pushed");
        lasts(Duration::from_secs(held).saturating_sub(locked.elapsed()));
        writeln!(input, "over").unwrap();
        let pending: i64 = next().parse().unwrap();
        let written: i64 =
            lock.query_row("SELECT count(*) FROM landed", [], |row| row.get(0)).unwrap();
        assert_eq!((pending, written), (rows, 1), "nobody could write");
        drop(lock);
        writeln!(input, "released").unwrap();
        let told: Outage = serde_json::from_str(&next()).unwrap();
        assert!(child.wait().unwrap().success());
        let rate = told.pending as f64 / told.draining.as_secs_f64();
        let _ = writeln!(io::stderr(), "{told:#?}: {rate:.0} rows/s were written after the lock");
        assert_eq!(told.committed, rows as u64 + 1);
        let grown = told.most_memory - told.memory;
        assert!(grown < MEMORY, "memory has grown by {grown} bytes");
        Seen { rows: told.committed, ..Seen::in_table(&place.path(), 0..=rows) }
    });
}
