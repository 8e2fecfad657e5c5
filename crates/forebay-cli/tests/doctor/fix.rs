//! `--fix`: what it does, what it leaves alone, and that it looks again.

use std::fs;

use crate::support::Folder;
use crate::{Found, ROWS, doctor, half_written, killed, without_wal};

#[track_caller]
fn level<'a>(found: &'a Found, check: &str) -> &'a str {
    let finding = found.findings().iter().find(|finding| finding["check"] == check);
    finding.unwrap_or_else(|| panic!("{found:#?}"))["level"].as_str().unwrap()
}

#[test]
fn wal_is_turned_on_and_the_second_look_counts() {
    let folder = without_wal(ROWS);
    crate::make_private(&folder.path("app.db"));
    assert_eq!(doctor(&folder, "app.db").text("worst"), "warning");
    let found = doctor(&folder, "app.db --fix");
    assert_eq!(
        found.changes(),
        [
            "turned WAL on",
            "ran PRAGMA optimize, which keeps statistics for queries in sqlite_stat1"
        ]
    );
    assert_eq!((level(&found, "wal"), found.text("worst")), ("ok", "note"));
    assert_eq!(folder.rows("PRAGMA journal_mode"), ["'wal'"]);
    assert_eq!(folder.count("t"), 100);
}

#[test]
fn what_cannot_be_done_is_told_and_stays_a_finding() {
    let folder = without_wal(ROWS);
    let lock = folder.lock();
    let found = doctor(&folder, "app.db --fix");
    assert!(
        found.changes()[0].starts_with("could not turn WAL on: another process has it locked"),
        "{found:#?}"
    );
    assert_eq!((level(&found, "wal"), level(&found, "lock")), ("warning", "error"));
    lock.execute_batch("ROLLBACK").unwrap();
    let exclusive = folder.connection();
    exclusive.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let found = doctor(&folder, "app.db --fix");
    assert!(found.changes()[0].starts_with("nothing was done: another process"), "{found:#?}");
}

#[test]
fn what_a_killed_process_has_left_is_put_in_order() {
    let folder = Folder::with(ROWS);
    let other = folder.connection();
    other.execute_batch("UPDATE t SET v = 'committed'").unwrap();
    let left = killed(&folder);
    let found = doctor(&left, "app.db --fix");
    assert!(found.changes()[0].starts_with("opened the log that a process had left"), "{found:#?}");
    assert_eq!(level(&found, "wal"), "ok");
    assert_eq!(left.rows("SELECT DISTINCT v FROM t"), ["'committed'"]);

    let folder = without_wal(ROWS);
    let other = folder.connection();
    half_written(&other);
    let left = killed(&folder);
    let found = doctor(&left, "app.db --fix");
    assert!(found.changes()[0].starts_with("rolled back the transaction"), "{found:#?}");
    assert_eq!(level(&found, "integrity"), "ok");
    assert_eq!(left.rows("SELECT DISTINCT v FROM t"), ["'v'"]);
}

#[test]
fn a_fix_is_no_clean_bill_for_the_version_that_wrote_before() {
    let folder = without_wal(ROWS);
    let mut bytes = fs::read(folder.path("app.db")).unwrap();
    bytes[96..100].copy_from_slice(&3_040_001_i32.to_be_bytes());
    folder.write("app.db", bytes);
    let found = doctor(&folder, "app.db --fix");
    let told = "warning: 3.40.1 wrote its header before this --fix, which in WAL mode can";
    assert!(found.of("sqlite").starts_with(told), "{found:#?}");
    let found = doctor(&folder, "app.db");
    assert!(found.of("sqlite").contains("may have been a --fix of this command"), "{found:#?}");
}

#[test]
fn a_large_log_is_cut_unless_somebody_reads() {
    let folder = Folder::with(ROWS);
    let (reader, writer) = (folder.connection(), folder.connection());
    reader.execute_batch("BEGIN; SELECT * FROM t LIMIT 1").unwrap();
    let large = "PRAGMA wal_autocheckpoint=0; CREATE TABLE large(b BLOB);
        WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 90)
        INSERT INTO large SELECT zeroblob(1024 * 1024) FROM c;";
    writer.execute_batch(large).unwrap();
    let found = doctor(&folder, "app.db --fix");
    assert!(
        found.changes()[0].starts_with("could not cut the log: somebody reads or writes; "),
        "{found:#?}"
    );
    assert_eq!(level(&found, "wal_size"), "warning");
    reader.execute_batch("ROLLBACK").unwrap();
    let found = doctor(&folder, "app.db --fix");
    assert_eq!(found.changes()[0], "copied the log back and cut it");
    assert_eq!(level(&found, "wal_size"), "ok");
    assert_eq!(writer.query_row("SELECT count(*) FROM large", [], |row| row.get(0)), Ok(90));
}

#[test]
fn statistics_are_made_of_some_rows_and_not_of_all() {
    // The first of the index are all different; of all rows, four are equal.
    let schema = "CREATE TABLE t(id INTEGER PRIMARY KEY, v INTEGER); CREATE INDEX by_v ON t(v);
        WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 20000)
        INSERT INTO t SELECT i, min(i, 5000) FROM c;";
    let folder = Folder::with(schema);
    doctor(&folder, "app.db --fix");
    let equal = "SELECT substr(stat, instr(stat, ' ') + 1) FROM sqlite_stat1";
    assert_eq!(folder.rows(equal), ["'1'"]);
    folder.connection().execute_batch("ANALYZE").unwrap();
    assert_eq!(folder.rows(equal), ["'4'"], "where all are read");
}

#[test]
fn a_damaged_database_is_not_touched() {
    let folder = without_wal(ROWS);
    let mut bytes = fs::read(folder.path("app.db")).unwrap();
    let page = bytes.len() - 4_096;
    bytes[page..].fill(0xFF);
    folder.write("app.db", &bytes);
    let found = doctor(&folder, "app.db --fix");
    assert!(found.changes()[0].starts_with("nothing was done: "), "{found:#?}");
    assert_eq!(fs::read(folder.path("app.db")).unwrap(), bytes);
}

#[test]
fn what_is_no_database_is_not_made_one() {
    let folder = without_wal("");
    folder.write("empty.db", "");
    assert_eq!(doctor(&folder, "empty.db --fix").changes(), [""; 0]);
    assert_eq!(doctor(&folder, "missing.db --fix").changes(), [""; 0]);
    assert_eq!(fs::read(folder.path("empty.db")).unwrap(), b"");
    assert!(!folder.path("missing.db").exists());
}
