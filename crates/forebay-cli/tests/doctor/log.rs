//! The write-ahead log: on or off, in use, left by a killed process, large, held by a reader; journals that are left.

use std::fs;
use std::process::id;

use crate::support::Folder;
use crate::{ROWS, doctor, half_written, killed, without_wal};

/// Makes the log larger by 50 MiB.
const FIFTY: &str = "PRAGMA wal_autocheckpoint=0; CREATE TABLE IF NOT EXISTS large(b BLOB);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 50)
    INSERT INTO large SELECT zeroblob(1024 * 1024) FROM c;";

#[test]
fn wal_is_off() {
    let found = doctor(&without_wal(ROWS), "app.db");
    assert!(found.of("wal").starts_with("warning: off: "), "{found:#?}");
    assert_eq!(found.fix("wal"), "`forebay doctor --fix app.db`");
    assert_eq!(found.all("wal_size"), [""; 0]);
}

#[test]
fn wal_is_on_and_works() {
    let folder = Folder::with(ROWS);
    let works = "ok: on, and it works: -wal and -shm could be made, and are removed again";
    assert_eq!(doctor(&folder, "app.db").of("wal"), works);
    let _other = folder.connection();
    assert_eq!(doctor(&folder, "app.db").of("wal"), works, "it has opened no file yet");
    _other.execute_batch("UPDATE t SET v = 'w'").unwrap();
    let found = doctor(&folder, "app.db");
    assert_eq!(found.of("wal"), "ok: on, and in use: -wal and -shm are there, and open");
    assert!(found.of("wal_size").starts_with("ok: "), "{found:#?}");
}

#[test]
fn a_log_that_a_killed_process_has_left_is_kept_and_read() {
    let folder = Folder::with(ROWS);
    let other = folder.connection();
    other.execute_batch("CREATE TABLE in_the_log(a)").unwrap();
    let left = killed(&folder);
    let found = doctor(&left, "app.db");
    assert!(found.of("wal").contains("what was committed is kept in it"), "{found:#?}");
    assert!(found.of("tables").ends_with(": in_the_log"), "{found:#?}");
    fs::remove_file(left.path("app.db-shm")).unwrap();
    let found = doctor(&left, "app.db");
    assert!(found.of("wal").starts_with("warning: on, but -wal has no -shm"), "{found:#?}");
    assert!(found.of("contents").contains("before -wal is put in order"), "{found:#?}");
}

#[test]
fn a_large_log_is_told_with_who_reads() {
    let folder = Folder::with(ROWS);
    let reader = folder.connection();
    reader.execute_batch("BEGIN; SELECT * FROM t LIMIT 1").unwrap();
    let writer = folder.connection();
    writer.execute_batch(FIFTY).unwrap();
    // A write buffer with a limit of 40 MiB has such a log where reads overlap.
    let size = doctor(&folder, "app.db").of("wal_size");
    assert!(size.starts_with("ok: 50"), "{size}");
    writer.execute_batch(FIFTY).unwrap();
    let found = doctor(&folder, "app.db");
    let size = found.of("wal_size");
    assert!(size.starts_with("warning: the log is large: 101 MiB"), "{size}");
    assert!(
        size.contains("reading at this moment: ") && size.contains(&id().to_string()),
        "{size}"
    );
    assert!(found.fix("wal_size").starts_with("end that transaction"), "{found:#?}");
    reader.execute_batch("ROLLBACK").unwrap();
    let found = doctor(&folder, "app.db");
    assert!(found.of("wal_size").ends_with("nobody is reading at this moment"), "{found:#?}");
}

#[test]
fn a_transaction_that_was_broken_off_is_told_of() {
    let folder = without_wal(ROWS);
    let other = folder.connection();
    half_written(&other);
    // One that is under way has such a journal too.
    assert_eq!(doctor(&folder, "app.db").all("journal"), [""; 0]);
    let left = killed(&folder);
    let found = doctor(&left, "app.db");
    assert!(found.of("journal").starts_with("warning: a process has died"), "{found:#?}");
    assert!(found.of("contents").contains("is rolled back, which writes"), "{found:#?}");
    assert_eq!(found.of("lock"), "ok: nobody is writing at this moment");
}

#[test]
fn a_journal_that_is_done_with_is_no_finding() {
    let folder = without_wal(ROWS);
    folder.connection().execute_batch("PRAGMA journal_mode=PERSIST; UPDATE t SET v = 'w'").unwrap();
    assert!(folder.path("app.db-journal").exists());
    let found = doctor(&folder, "app.db");
    assert_eq!((found.all("journal"), found.all("contents")), (Vec::new(), Vec::new()));
}
