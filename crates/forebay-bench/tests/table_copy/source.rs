//! The database that is copied, and the files beside it, stay as they are; those who use it are not held up.

use std::fs;
use std::path::Path;
use std::time::Duration;

use forebay::rusqlite::Connection;
use forebay_bench::tune::{TableCopy, Writing};
use forebay_bench::{ErrorKind, Stop};

use crate::{Database, TOPICS, number, open, stopped, texts};

fn leaves_alone(database: &Database) {
    let before = database.files();
    let copy = database.copy("t");
    assert_eq!(copy.rows(), 1_000);
    let folder = copy.folder().to_owned();
    assert_eq!(
        folder.parent().unwrap(),
        fs::canonicalize(database.folder.path()).unwrap(),
        "the same disk"
    );
    drop(copy);
    assert!(!folder.exists());
    assert_eq!(database.files(), before);
    database.refusal("no_such_table", Writing::Upsert);
    drop(database.copy_of("t", Writing::Insert).unwrap());
    assert_eq!(database.files(), before);
}

#[test]
fn a_database_with_a_rollback_journal_and_its_folder_stay_as_they_are() {
    leaves_alone(&Database::with("DELETE", TOPICS));
    leaves_alone(&Database::with("PERSIST", TOPICS));
}

#[test]
fn a_database_in_wal_mode_that_nobody_has_open_and_its_folder_stay_as_they_are() {
    let database = Database::with("WAL", TOPICS);
    assert_eq!(database.files().len(), 1, "the log goes with the last connection");
    leaves_alone(&database);
}

#[test]
fn a_database_in_wal_mode_that_others_have_open_and_its_log_stay_as_they_are() {
    let database = Database::with("WAL", TOPICS);
    let other = database.connection();
    other.execute_batch("UPDATE t SET n = n + 1").unwrap();
    assert_eq!(database.files().len(), 3);
    leaves_alone(&database);
    // Also while a transaction is being written, of which nothing is copied.
    other.execute_batch("BEGIN IMMEDIATE; DELETE FROM t WHERE id > 10").unwrap();
    leaves_alone(&database);
    other.execute_batch("ROLLBACK").unwrap();
}

#[test]
fn a_log_that_a_killed_process_has_left_is_read_and_kept() {
    let database = Database::with("WAL", TOPICS);
    let other = database.connection();
    other.execute_batch("UPDATE t SET v = 'newest'").unwrap();
    let left = Database { folder: tempfile::tempdir().unwrap() };
    for ending in ["", "-wal", "-shm"] {
        let name = format!("app.db{ending}");
        fs::copy(database.folder.path().join(&name), left.folder.path().join(&name)).unwrap();
    }
    let index = || fs::read(left.folder.path().join("app.db-shm")).unwrap();
    let before = index();
    leaves_alone(&left);
    assert_eq!(index(), before, "nobody has the log open, and its index is made again in memory");
    let copy = left.copy("t");
    assert_eq!(texts(&open(&copy), "SELECT DISTINCT v FROM t"), ["newest"]);
    drop(copy);
    fs::remove_file(left.folder.path().join("app.db-shm")).unwrap();
    let before = left.files();
    assert!(
        left.refusal("t", Writing::Upsert).contains("one that runs has the database for itself")
    );
    assert_eq!(left.files(), before);
}

/// Copies while a thread writes.
fn disturbs_no_writer(journal_mode: &str) {
    let database = Database::with(journal_mode, TOPICS);
    let path = database.path();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let connection = Connection::open(path).unwrap();
        let mut written = 0;
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            connection.execute("UPDATE t SET n = n + 1 WHERE id = 1", []).unwrap();
            written += 1;
        }
        written
    });
    for _ in 0..5 {
        let copy = database.copy("t");
        assert_eq!(texts(&open(&copy), "PRAGMA integrity_check"), ["ok"]);
        assert_eq!(copy.rows(), 1_000);
    }
    drop(stop);
    let written: i64 = writer.join().unwrap();
    assert_eq!(number(&database.connection(), "SELECT n FROM t WHERE id = 1"), 7 + written);
    assert_eq!(database.files().len(), 1);
}

#[test]
fn a_writer_at_work_meanwhile_is_not_disturbed() {
    disturbs_no_writer("WAL");
    disturbs_no_writer("DELETE");
}

#[test]
fn a_database_without_a_log_can_be_written_as_soon_as_its_rows_are_read() {
    let database =
        Database::with("DELETE", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, n INTEGER)");
    let connection = database.connection();
    // The index is cheap for the source, and takes the copy longer than the writer below waits.
    connection
        .execute_batch(
            "CREATE INDEX slow ON t(v);
             WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 50000)
             INSERT INTO t SELECT i, NULL, 0 FROM c;
             PRAGMA writable_schema=ON;
             UPDATE sqlite_schema SET sql = 'CREATE INDEX slow ON t(length(hex(zeroblob(1000000 + id))))'
             WHERE name = 'slow';",
        )
        .unwrap();
    let stop = Stop::default();
    let (choice, told) = (database.choice("t", Writing::Upsert), stop.clone());
    let copying = std::thread::spawn(move || TableCopy::make(&choice, &told).map(drop));
    // By the time the copy has its folder, its source is being read.
    while database.names().iter().all(|name| !name.starts_with(".forebay-tune-")) {
        assert!(!copying.is_finished());
        std::thread::yield_now();
    }
    connection.busy_timeout(Duration::from_secs(20)).unwrap();
    let written = connection.execute("UPDATE t SET n = 1 WHERE id = 1", []);
    stop.stop();
    assert_eq!(copying.join().unwrap().unwrap_err().kind(), ErrorKind::Stopped);
    assert_eq!(written, Ok(1));
}

#[test]
fn a_journal_that_is_left_from_before_wal_mode_makes_no_difference() {
    // As the modes TRUNCATE and PERSIST leave one.
    for journal in [Vec::new(), vec![0; 512]] {
        let database = Database::with("WAL", TOPICS);
        fs::write(database.folder.path().join("app.db-journal"), journal).unwrap();
        leaves_alone(&database);
    }
}

#[test]
fn a_transaction_that_was_broken_off_is_told_of_and_not_rolled_back() {
    let (rollback, wal) = (Database::with("DELETE", TOPICS), Database::with("WAL", TOPICS));
    let other = rollback.connection();
    let change = "PRAGMA cache_size=1; BEGIN; UPDATE t SET v = printf('%.*c', 5000, 'x')";
    other.execute_batch(change).unwrap();
    let left = Database { folder: tempfile::tempdir().unwrap() };
    let journal = rollback.folder.path().join("app.db-journal");
    fs::copy(rollback.path(), left.path()).unwrap();
    for database in [&left, &wal] {
        fs::copy(&journal, database.folder.path().join("app.db-journal")).unwrap();
        let before = database.files();
        let told = database.refusal("t", Writing::Upsert);
        assert!(told.contains("has ended in the middle of a transaction"), "{told}");
        assert_eq!(database.files(), before);
    }
}

#[test]
fn a_lock_is_waited_for_until_told_to_stop() {
    let database = Database::with("DELETE", TOPICS);
    let other = database.connection();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let before = database.files();
    let error = TableCopy::make(&database.choice("t", Writing::Upsert), &stopped()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stopped);
    let told = database.refusal("t", Writing::Upsert);
    assert!(told.contains("another process holds its lock") && told.contains("fuser"), "{told}");
    assert_eq!(database.files(), before);
}

mod needs_root {
    use std::process::Command;

    use super::*;

    /// A file that can only be read, also by root, in a folder that can be written.
    struct ReadOnly<'a>(&'a Path);

    impl<'a> ReadOnly<'a> {
        fn make(path: &'a Path) -> Self {
            let mount = |arguments: &[&str]| {
                let ran = Command::new("mount").args(arguments).arg(path).output().unwrap();
                let why = String::from_utf8_lossy(&ran.stderr);
                assert!(ran.status.success(), "this test needs root (TESTS_WITHOUT_ROOT=1): {why}");
            };
            mount(&["--bind", path.to_str().unwrap()]);
            let made = Self(path);
            mount(&["-o", "remount,bind,ro"]);
            made
        }
    }

    impl Drop for ReadOnly<'_> {
        fn drop(&mut self) {
            // Lazily: what is still open in it must not keep it mounted.
            let _ = Command::new("umount").arg("-l").arg(self.0).status();
        }
    }

    #[test]
    fn a_database_in_wal_mode_that_may_not_be_written_gets_no_files_beside_it() {
        let database = Database::with("WAL", TOPICS);
        let path = database.path();
        let _mount = ReadOnly::make(&path);
        leaves_alone(&database);
    }
}
