//! A replay that meets bad rows, in processes that end in the midst of it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use forebay::Failpoint::{self, *};
use support::{Seen, Trial};

use super::{Place, Row, lock, rows_of};

/// Every seventh row is refused.
const SCHEMA: &str =
    "CREATE TABLE landed(id INTEGER NOT NULL CONSTRAINT seventh CHECK (id % 7 <> 3)) STRICT";
const ROWS: i64 = 400;

/// The steps of a batch with bad rows.
const POINTS: [Failpoint; 14] = [
    BeforeBatch,
    AfterBegin,
    MidBatch,
    BeforeIsolation,
    BeforeSavepoint,
    BeforeRollbackTo,
    AfterRollbackTo,
    BeforeRelease,
    BeforeCommit,
    AfterCommit,
    BeforeResolving,
    AfterDeadLetters,
    AfterResolving,
    BeforeRollback,
];

fn is_bad(id: i64) -> bool {
    id % 7 == 3
}

/// The ids that dead letters were delivered of, in the order in which they were.
fn letters(database: &Path) -> Vec<i64> {
    let lines = fs::read_to_string(database.with_extension("letters")).unwrap_or_default();
    lines.lines().map(|line| line.parse().unwrap()).collect()
}

/// A process that replays what is left, and ends at the given step as soon as so many dead letters were delivered. Returns whether
/// it came to its end.
fn replays(place: &Place, point: Failpoint, after: usize) -> bool {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fault-child"))
        .arg("letters")
        .arg(place.path())
        .args([format!("{point:?}"), after.to_string()])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It ends when this does.
    let input = child.stdin.take();
    let status = child.wait().unwrap();
    drop(input);
    assert!(status.success() || status.signal() == Some(6), "{status:?}");
    status.success()
}

#[test]
fn a_bad_row_in_a_replay_is_told_at_least_once_and_the_replay_goes_on() {
    let aborted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&aborted);
    let trial = Trial::of(
        31,
        "spool: replay meets a bad row",
        "every seventh of 400 rows, and a group, in processes that abort at any step of the writer, again and again, until one replays \
         the rest. What is in the table, in `_forebay_rejected` and in the books is of one time after each of them",
    )
    .rounds(14, 280);
    trial.run(move |round| {
        let place = Place::new(SCHEMA);
        let buffer = place.open().unwrap();
        let rows = rows_of(&buffer);
        let lock = lock(&place.path());
        (0..ROWS).for_each(|id| rows.push(&Row { id }).unwrap());
        let group = [ROWS + 2, ROWS + 1, ROWS + 4].map(|id| Row { id });
        assert!(group.iter().filter(|row| is_bad(row.id)).count() == 1);
        buffer.group(|all| group.iter().try_for_each(|row| all.add(&rows, row))).map(drop).unwrap();
        buffer.close_within(Duration::ZERO).unwrap();
        drop((lock, rows, buffer));

        let mut random = fastrand::Rng::with_seed(round as u64);
        let mut point = POINTS[round % POINTS.len()];
        let mut kills = 0;
        while !replays(&place, point, letters(&place.path()).len() + random.usize(..15)) {
            kills += 1;
            count.fetch_add(1, Ordering::Relaxed);
            assert!(kills < 40, "it gets nowhere");
            let (landed, refused, applied): (i64, i64, i64) = place
                .scratch
                .connection()
                .query_row(
                    "SELECT (SELECT count(*) FROM landed), (SELECT count(*) FROM _forebay_rejected),
                            (SELECT sum(applied) FROM _forebay)",
                    [],
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                )
                .unwrap();
            assert_eq!(landed + refused, applied, "rows, letters and books are of one time");
            // Some steps are never come to again.
            point = *random.choice(&POINTS).unwrap();
        }
        let good = (0..ROWS).filter(|id| !is_bad(*id));
        let mut bad: Vec<i64> = (0..ROWS).filter(|id| is_bad(*id)).collect();
        bad.extend(group.iter().map(|row| row.id));
        let told = letters(&place.path());
        let untold: Vec<_> = bad.iter().filter(|id| !told.contains(id)).collect();
        assert!(untold.is_empty(), "nobody was told of {untold:?}");
        assert!(told.iter().all(|id| bad.contains(id)), "{told:?}");
        let kept: Vec<i64> = place
            .scratch
            .column("SELECT letter ->> '$.fields.id' FROM _forebay_rejected ORDER BY seq");
        assert_eq!(kept, bad);
        let landed: Vec<i64> = place.scratch.column("SELECT id FROM landed ORDER BY rowid");
        assert!(landed.is_sorted(), "out of order");
        Seen { rows: ROWS as u64 + 3, ..Seen::in_table(&place.path(), good) }
    });
    let aborted = aborted.load(Ordering::Relaxed);
    assert!(aborted > POINTS.len(), "only {aborted} processes ended too soon");
    let _ = writeln!(io::stderr(), "{aborted} processes ended too soon");
}
