//! Without `--fix` nothing changes: no byte, no time of a file, no name in the folder.

use std::fs;
use std::process::Command;
use std::time::SystemTime;

use crate::support::Folder;
use crate::{ROWS, doctor, half_written, killed, without_wal};

/// The folder's files, each with its sum and when it was written to. Read by another process: to close a file here would
/// drop the locks of the test's own connections.
fn files(folder: &Folder) -> Vec<(String, String, SystemTime)> {
    let mut files: Vec<_> = fs::read_dir(folder.path("")).unwrap().map(Result::unwrap).collect();
    files.sort_by_key(fs::DirEntry::file_name);
    let file = |entry: fs::DirEntry| {
        let sum = Command::new("cksum").arg(entry.path()).output().unwrap();
        assert!(sum.status.success(), "{sum:?}");
        let name = entry.file_name().into_string().unwrap();
        let written = entry.metadata().unwrap().modified().unwrap();
        (name, String::from_utf8(sum.stdout).unwrap(), written)
    };
    files.into_iter().map(file).collect()
}

#[track_caller]
fn leaves_alone(folder: &Folder) {
    let before = files(folder);
    doctor(folder, "app.db");
    assert_eq!(files(folder), before);
    doctor(folder, "app.db --full");
    assert_eq!(files(folder), before);
}

#[test]
fn a_database_that_nobody_has_open() {
    leaves_alone(&Folder::with(ROWS));
    leaves_alone(&without_wal(ROWS));
}

#[test]
fn a_database_that_others_have_open() {
    for folder in [Folder::with(ROWS), without_wal(ROWS)] {
        let other = folder.connection();
        other.execute_batch("UPDATE t SET v = 'w'; BEGIN; SELECT * FROM t LIMIT 1").unwrap();
        leaves_alone(&folder);
        other.execute_batch("ROLLBACK; BEGIN IMMEDIATE; UPDATE t SET v = 'x'").unwrap();
        leaves_alone(&folder);
    }
}

#[test]
fn what_a_killed_process_has_left() {
    let folder = Folder::with(ROWS);
    let other = folder.connection();
    other.execute_batch("UPDATE t SET v = 'w'").unwrap();
    let left = killed(&folder);
    leaves_alone(&left);
    fs::remove_file(left.path("app.db-shm")).unwrap();
    leaves_alone(&left);
    let folder = without_wal(ROWS);
    let other = folder.connection();
    half_written(&other);
    leaves_alone(&killed(&folder));
}

#[test]
fn what_is_damaged_or_empty() {
    let folder = without_wal(ROWS);
    let mut bytes = fs::read(folder.path("app.db")).unwrap();
    bytes[5_000..].fill(0xFF);
    folder.write("app.db", bytes);
    leaves_alone(&folder);
    folder.write("app.db", "");
    leaves_alone(&folder);
}
