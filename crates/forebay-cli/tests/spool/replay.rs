//! `replay`: what it writes, what it tells, and that what it does not write stays in the spool.

use std::time::{Duration, Instant};

use crate::said;
use crate::sample::{self, ID};

const REPLAY: &str = "forebay spool replay app.spool --database app.db";

#[test]
fn rows_are_written_once_and_the_spool_is_empty_afterwards() {
    let folder = sample::folder(40, &[9, 5], 43);
    let ran = folder.run(REPLAY).exits(0);
    let told = "app.spool → app.db
  replayed               11
  written                11
  rejected                0
  left                    0
the spool is empty
";
    assert_eq!(ran.out, told, "{ran:?}");
    // Rows 40 to 42 were written by the process that was killed, and are not again.
    assert_eq!(folder.rows("SELECT min(id), max(id), count(*) FROM states"), ["43, 53, 8"]);
    assert_eq!(folder.count("notes"), 3);
    assert_eq!(folder.rows(&format!("SELECT applied FROM _forebay WHERE spool = '{ID}'")), ["54"]);
    let seen = folder.run("forebay spool inspect app.spool --json").exits(0).summary();
    assert_eq!((seen["is_closed"].as_bool(), seen["rows"].as_u64()), (Some(true), Some(0)));
    let again = folder.run(REPLAY).exits(0);
    assert_eq!(again.out, "the spool app.spool is empty: nothing is left to write\n");
}

#[test]
fn a_database_that_knows_nothing_of_the_spool_is_adopted_when_that_is_said() {
    let folder = sample::folder(40, &[9, 5], 43);
    folder.connection().execute_batch("DELETE FROM _forebay; DELETE FROM states").unwrap();
    let refused = folder.run(REPLAY).exits(3);
    assert!(refused.errors.contains("knows nothing of it"), "{refused:?}");
    assert!(refused.errors.contains("--adopt"), "{refused:?}");
    let ran = folder.run(&format!("{REPLAY} --adopt")).exits(0);
    assert!(ran.out.contains("written                14"), "{ran:?}");
    assert_eq!(folder.rows("SELECT min(id), max(id) FROM states"), ["40, 53"]);
}

/// Gives a spool to another user.
mod needs_root {
    use super::*;

    #[test]
    fn a_spool_of_another_users_is_left_alone() {
        let folder = sample::folder(40, &[9, 5], 43);
        let chown =
            |path: &str, user| std::os::unix::fs::chown(folder.path(path), Some(user), None);
        chown("app.spool/spool.json", 4_711).unwrap();
        for task in ["replay", "salvage"] {
            let line = format!("forebay spool {task} app.spool --database app.db");
            let ran = folder.run(&line).exits(3);
            assert!(ran.errors.contains("belongs to user 4711, and this is user 0"), "{ran:?}");
            assert!(ran.errors.contains("sudo -u '#4711' forebay spool"), "{ran:?}");
        }
        folder.run("forebay spool inspect app.spool --database app.db").exits(0);
        chown("app.spool/spool.json", 0).unwrap();
        chown("app.spool", 4_711).unwrap();
        folder.run(REPLAY).exits(0);
    }
}

#[test]
fn rows_that_the_database_refuses_are_kept_in_a_table_of_their_own_and_told() {
    let folder = sample::folder(0, &[9], 0);
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON states WHEN new.id IN (4, 5)
        BEGIN SELECT RAISE(ABORT, 'no'); END";
    folder.connection().execute_batch(refuse).unwrap();
    let told = said(&folder, REPLAY);
    assert!(told.contains("\nexit 1\n") && told.contains("the spool is empty\n"), "{told}");
    let seqs = folder.rows(&format!("SELECT seq FROM _forebay_rejected WHERE spool = '{ID}'"));
    assert_eq!(seqs, ["4", "5"]);
    let command = told.split('`').nth(1).expect("how they are looked at");
    let letters = format!("SELECT letter FROM _forebay_rejected WHERE spool = '{ID}'");
    assert_eq!(command, format!("sqlite3 app.db \"{letters}\""));
}

#[test]
fn refused_rows_of_which_the_application_may_not_have_heard_are_counted() {
    let folder = sample::folder(0, &[9], 0);
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON states WHEN new.id IN (4, 5)
        BEGIN SELECT RAISE(ABORT, 'no'); END";
    folder.connection().execute_batch(refuse).unwrap();
    let ran = folder.run(REPLAY).exits(1);
    assert!(!ran.out.contains("untold"), "these it has told of itself: {ran:?}");
    // As if the application had been killed after its last batch, of row 5 on.
    std::fs::remove_dir_all(folder.path("app.spool")).unwrap();
    sample::write(&folder.path("app.spool"), 0, &[9]);
    folder.connection().execute_batch("UPDATE _forebay SET told = 5").unwrap();
    let ran = folder.run(REPLAY).exits(0);
    let untold = ran.out.lines().find(|line| line.contains("untold")).unwrap_or_default();
    assert!(untold.contains(" 1  refused before"), "{ran:?}");
    assert!(untold.contains("FROM _forebay_rejected WHERE spool"), "{ran:?}");
}

#[test]
fn a_replay_that_is_interrupted_leaves_the_rest_in_the_spool() {
    let folder = sample::folder(0, &[9], 0);
    // A trigger that takes its time: the lock would keep the buffer from being opened.
    let slow = "CREATE TRIGGER slow BEFORE INSERT ON states BEGIN
        SELECT count(*) FROM (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT i FROM c); END";
    folder.connection().execute_batch(slow).unwrap();
    let mut replay = folder.start(REPLAY);
    let until = Instant::now() + Duration::from_secs(20);
    let look = || folder.run("forebay spool inspect app.spool --json").summary();
    // The last thing in opening a spool is that it is opened once more; then the first of its rows is at hand.
    while look()["epoch"] != 4 {
        assert!(Instant::now() < until, "it never opened the spool");
        std::thread::yield_now();
    }
    let connection = folder.connection();
    connection.busy_timeout(Duration::ZERO).unwrap();
    while connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok() {
        assert!(Instant::now() < until, "it never wrote a row");
        std::thread::yield_now();
    }
    replay.signal("INT");
    let told = replay.wait_for("stay");
    assert!(told.starts_with("ending: what is not written stays in the spool"), "{told}");
    let ran = replay.finish().exits(130);
    assert!(ran.out.contains("in the spool"), "{ran:?}");
    folder.connection().execute_batch("DROP TRIGGER slow").unwrap();
    let ran = folder.run(REPLAY).exits(0);
    assert!(ran.out.contains("the spool is empty"), "{ran:?}");
    assert_eq!((folder.count("states"), folder.count("notes")), (6, 3));
}

#[test]
fn a_salvage_replays_at_once_where_it_is_told_to() {
    let folder = sample::folder(40, &[9, 5, 4], 43);
    sample::damage(&folder.path("app.spool"), 2);
    let told = said(&folder, "forebay spool salvage app.spool --database app.db --replay");
    assert!(told.contains("\nexit 1\n"), "a row is lost: {told}");
    assert!(told.contains("the spool is empty\n"), "{told}");
    let lost = folder.count("states") + folder.count("notes");
    assert_eq!(lost, 14, "{told}");
    let sound = sample::folder(0, &[4], 0);
    let told = said(&sound, "forebay spool salvage app.spool --replay");
    assert!(told.contains("\nexit 0\n"), "nothing is lost: {told}");
}
