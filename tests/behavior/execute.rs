//! `execute` runs any one statement, alone and in its turn, and leaves the buffer as it needs to be.

use std::time::Duration;

use forebay::{Error, ErrorKind, WriteBuffer};
use rusqlite::Connection;
use support::Scratch;

const TABLE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v);
                     CREATE TABLE parents(id INTEGER PRIMARY KEY);
                     CREATE TABLE children(id INTEGER PRIMARY KEY, parent REFERENCES parents);
                     CREATE TABLE settings(value)";

/// Nothing here takes so long unless it hangs.
const LONG: Duration = Duration::from_secs(20);

/// What a setting of the buffer's own connection is.
fn setting(scratch: &Scratch, buffer: &WriteBuffer, name: &str) -> String {
    buffer.execute(&format!("INSERT INTO settings SELECT * FROM pragma_{name}")).unwrap();
    let newest = "SELECT CAST(value AS TEXT) FROM settings ORDER BY rowid DESC LIMIT 1";
    scratch.value(newest, [])
}

/// Fails unless the statement is rejected with a message that says `said`.
fn rejected(buffer: &WriteBuffer, sql: &str, said: &str) -> Error {
    let error = buffer.execute(sql).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{sql}: {error:#}");
    assert!(format!("{error:#}").contains(said), "{sql}: {error:#}");
    error
}

#[test]
fn vacuum_analyze_and_harmless_pragmas_work() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    (0..300).for_each(|id| t.push(&(id, "x".repeat(1_000))).unwrap());
    buffer.execute("DELETE FROM t WHERE id < 290").unwrap();
    for sql in [
        "VACUUM",
        "ANALYZE",
        "REINDEX t",
        "PRAGMA optimize",
        "PRAGMA user_version = 7",
        "PRAGMA integrity_check",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "SELECT * FROM t",
        "CREATE INDEX by_v ON t(v); -- and a comment",
        "/* comments */ -- first\n CREATE VIEW seen AS SELECT id FROM t",
    ] {
        buffer.execute(sql).unwrap();
    }
    t.write(&(1_000, "after")).unwrap();
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM seen", []), 11);
    assert_eq!(scratch.value::<i64>("PRAGMA user_version", []), 7);
    assert!(scratch.value::<i64>("PRAGMA page_count", []) < 50, "VACUUM has shrunk it");
}

#[test]
fn a_setting_that_the_buffer_needs_cannot_be_changed() {
    for (sql, name, needed) in [
        ("PRAGMA synchronous = OFF", "synchronous", "1"),
        ("PRAGMA main.synchronous(0)", "synchronous", "1"),
        ("pragma foreign_keys = 0", "foreign_keys", "1"),
        ("/* sly */ PRAGMA trusted_schema = ON", "trusted_schema", "0"),
        ("PRAGMA journal_size_limit = 5", "journal_size_limit", "41943040"),
        ("PRAGMA cache_size = 1", "cache_size", "-16384"),
    ] {
        let scratch = Scratch::new(TABLE);
        let buffer = scratch.buffer();
        // Refused or undone: either will do.
        let _ = buffer.execute(sql);
        assert_eq!(setting(&scratch, &buffer, name), needed, "{sql}");
    }
}

#[test]
fn the_database_stays_in_wal_mode_and_the_buffer_goes_on() {
    for mode in ["DELETE", "TRUNCATE", "MEMORY", "OFF"] {
        let scratch = Scratch::new(TABLE);
        let buffer = scratch.buffer();
        let t = buffer.table("t").insert().producer().unwrap();
        t.write(&(1, 2)).unwrap();
        // With a second name the inode of the -wal lives on, and no other file gets its number.
        let wal = scratch.path().with_file_name("app.db-wal");
        std::fs::hard_link(&wal, scratch.path().with_file_name("kept")).unwrap();
        // Refused or undone: either will do.
        let _ = buffer.execute(&format!("PRAGMA journal_mode = {mode}"));
        for id in 2..5 {
            t.write(&(id, 2)).unwrap();
        }
        let connection = Connection::open(scratch.path()).unwrap();
        let read: String =
            connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(read, "wal", "{mode}");
        assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t", []), 4, "{mode}");
        buffer.close().unwrap();
    }
}

#[test]
fn no_pragma_takes_the_buffers_own_wait_for_locks_away() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    // Refused or undone: either will do.
    let _ = buffer.execute("PRAGMA busy_timeout = 0");
    let other = scratch.connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = std::thread::spawn(move || t.write(&(1, 2)));
    let deadline = std::time::Instant::now() + LONG;
    while buffer.stats().busy_waits == 0 && buffer.stats().retries == 0 {
        assert!(std::time::Instant::now() < deadline, "nobody met the lock");
        std::thread::park_timeout(Duration::from_millis(1));
    }
    let stats = buffer.stats();
    other.execute_batch("ROLLBACK").unwrap();
    waiting.join().unwrap().unwrap();
    assert_eq!((stats.busy_waits, stats.retries), (1, 0), "the lock was waited for");
}

#[test]
fn no_pragma_locks_other_connections_out() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    // Refused or undone: either will do.
    let _ = buffer.execute("PRAGMA locking_mode = EXCLUSIVE");
    t.write(&(1, 2)).unwrap();
    let other = Connection::open(scratch.path()).unwrap();
    other.busy_timeout(Duration::ZERO).unwrap();
    other.execute("INSERT INTO t VALUES (2, 3)", []).expect("the lock is only held for a commit");
    t.write(&(3, 4)).unwrap();
}

#[test]
fn another_file_that_cannot_be_opened_fails_its_statement_and_not_the_buffer() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    let other = scratch.path().with_file_name("other.db");
    std::fs::write(&other, "this is no database, whatever its name says".repeat(50)).unwrap();
    let other = other.display();
    rejected(&buffer, "ATTACH 'no/such/folder/other.db' AS other", "unable to open database");
    rejected(&buffer, "VACUUM INTO 'no/such/folder/other.db'", "unable to open database");
    rejected(&buffer, &format!("ATTACH '{other}' AS other"), "file is not a database");
    buffer.execute("INSERT INTO t VALUES (1, 1)").unwrap();
    assert_eq!(scratch.column::<i64>("SELECT id FROM t"), [1]);
}
