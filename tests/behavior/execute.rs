//! `execute` runs any one statement, alone and in its turn, and leaves the buffer as it needs to be.

use std::error::Error as _;
use std::time::Duration;

use forebay::{Error, ErrorKind, WriteBuffer};
use rusqlite::Connection;
use serde_json::json;
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
fn it_runs_in_its_turn_between_the_rows_before_and_after_it() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    (0..60).for_each(|id| t.push(&(id, "before")).unwrap());
    buffer.execute("UPDATE t SET v = 'seen'").unwrap();
    (60..70).for_each(|id| t.push(&(id, "after")).unwrap());
    buffer.execute("DELETE FROM t WHERE id % 10 <> 0").unwrap();
    let rows = scratch.column::<String>("SELECT id || v FROM t ORDER BY id");
    assert_eq!(rows, ["0seen", "10seen", "20seen", "30seen", "40seen", "50seen", "60after"]);
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.transactions), (72, 4));
}

#[test]
fn a_field_fits_as_soon_as_its_column_is_there_and_no_longer_than_that() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    let row = json!({"id": 1, "v": 2, "w": 3});
    assert_eq!(t.try_push(&row).unwrap_err().kind(), ErrorKind::UnknownField);
    buffer.execute("ALTER TABLE t ADD COLUMN w").unwrap();
    t.try_push(&row).unwrap();
    t.write(&(2, 3, 4)).unwrap();
    assert_eq!(scratch.column::<i64>("SELECT w FROM t"), [3, 4]);

    buffer.execute("ALTER TABLE t DROP COLUMN w").unwrap();
    let error = t.push(&row).unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::UnknownField, Some("w")));
    assert!(error.to_string().contains("id, v"), "{error}");
    t.write(&json!({"id": 3, "v": 4})).unwrap();
    t.write(&(4, 5)).unwrap();
}

#[test]
fn a_tuple_goes_to_the_columns_that_there_are_now() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    t.write(&(1, 10)).unwrap();
    buffer.execute("ALTER TABLE t RENAME COLUMN v TO value").unwrap();
    t.submit(&(2, 20)).unwrap().wait_timeout(LONG).unwrap();
    assert_eq!(scratch.column::<i64>("SELECT value FROM t ORDER BY id"), [10, 20]);

    buffer.execute("DROP TABLE t").unwrap();
    buffer.execute("CREATE TABLE t(value, id INTEGER PRIMARY KEY)").unwrap();
    t.submit(&(30, 3)).unwrap().wait_timeout(LONG).unwrap();
    assert_eq!(scratch.column::<i64>("SELECT value FROM t"), [30], "the columns' order changed");
}

#[test]
fn a_table_that_was_made_again_with_other_columns_is_seen() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    t.write(&(1, 2)).unwrap();
    buffer.execute("DROP TABLE t").unwrap();
    buffer.execute("CREATE TABLE t(v, more, id)").unwrap();
    t.write(&("v", "more", 1)).unwrap();
    t.write(&json!({"id": 2, "v": "v"})).unwrap();
    let rows = scratch.column::<String>("SELECT v || ifnull(more, '-') || id FROM t");
    assert_eq!(rows, ["vmore1", "v-2"]);
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
fn transaction_control_is_refused() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    for sql in [
        "BEGIN",
        "begin immediate transaction",
        " -- quietly\n BEGIN",
        "COMMIT",
        "END TRANSACTION",
        "ROLLBACK",
        "SAVEPOINT s",
        "RELEASE s",
        "ROLLBACK TO s",
    ] {
        let error = rejected(&buffer, sql, "group()");
        assert!(error.to_string().contains(sql.trim().split('\n').next_back().unwrap().trim()));
    }
    buffer.table("t").insert().producer().unwrap().write(&(1, 2)).unwrap();
    let other = scratch.connection();
    other.execute("INSERT INTO t VALUES (2, 3)", []).expect("no transaction was left open");
}

#[test]
fn two_statements_are_refused_and_neither_runs() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    for sql in [
        "INSERT INTO t VALUES (1, 1); INSERT INTO t VALUES (2, 2)",
        "PRAGMA user_version = 1; PRAGMA user_version = 2",
        "INSERT INTO t VALUES (3, 3); BEGIN",
    ] {
        rejected(&buffer, sql, "several statements");
    }
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t", []), 0);
    assert_eq!(scratch.value::<i64>("PRAGMA user_version", []), 0);
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

#[test]
fn a_statement_that_fails_is_rejected_with_the_databases_words_as_the_cause() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    buffer.execute("INSERT INTO t VALUES (1, 1)").unwrap();
    for (sql, cause, code) in [
        ("CREAT TABLE x(id)", "syntax error", 1),
        ("CREATE TABLE t(id)", "already exists", 1),
        ("DROP TABLE nowhere", "no such table: nowhere", 1),
        ("INSERT INTO t VALUES (2, 2), (1, 1)", "UNIQUE", 1555),
        ("INSERT INTO children VALUES (1, 99)", "FOREIGN KEY", 787),
    ] {
        let error = rejected(&buffer, sql, cause);
        assert!(error.source().is_some(), "{sql}");
        assert_eq!(error.code(), Some(code), "{sql}");
        assert!(error.to_string().contains(&sql[..12]), "{error}");
    }
    assert_eq!(scratch.column::<i64>("SELECT id FROM t"), [1]);
    let stats = buffer.stats();
    assert_eq!((stats.rejected, stats.committed), (5, 1));
    buffer.table("t").insert().producer().unwrap().write(&(2, 2)).unwrap();
}

#[test]
fn the_rows_before_a_statement_that_fails_are_written() {
    let scratch = Scratch::new(TABLE);
    let buffer = scratch.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    (0..10).for_each(|id| t.push(&(id, id)).unwrap());
    buffer.execute("nonsense").unwrap_err();
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t", []), 10);
}
