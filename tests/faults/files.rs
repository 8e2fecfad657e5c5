//! Files that are deleted, moved or replaced while they are open.

use std::fs;
use std::path::{Path, PathBuf};

use forebay::{Config, ErrorKind, Health, WriteBuffer};
use rusqlite::Connection;
use support::{Scratch, Seen, Trial};

use crate::load::{LONG, Load, eventually};
use crate::process::{Other, run};

/// The files of a database by names that no fault touches: what was acknowledged must be in them.
struct Kept(tempfile::TempDir);

impl Kept {
    fn of(path: &Path) -> Self {
        let kept = Self(tempfile::tempdir().unwrap());
        fs::hard_link(path, kept.path()).unwrap();
        fs::hard_link(beside(path, "-wal"), beside(&kept.path(), "-wal")).unwrap();
        kept
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("kept.db")
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Those whose commit was through already may be told of it a moment later.
fn acknowledged_or_about_to_be(load: &Load<'_>) -> usize {
    load.done().acknowledged.len() + Load::AWAITING
}

/// Tries a fault after which the files are not the ones at the database's path any more.
fn is_noticed(fault: &'static str, how: &'static str, damage: fn(&Path)) {
    Trial::of(10, fault, how).rounds(3, 40).run(move |_| {
        let scratch = Scratch::new(Seen::SCHEMA);
        // The log comes round while it is tried.
        let config = Config { max_wal_bytes: 128 * 1024, ..Config::default() };
        let buffer = WriteBuffer::builder(scratch.path()).config(config).open().unwrap();
        let folder = scratch.path().parent().unwrap().to_owned();
        let (mut kept, mut before) = (None, 0);
        let done = Load::run(&buffer, |load| {
            kept = Some(Kept::of(&scratch.path()));
            load.goes_on();
            damage(&scratch.path());
            before = acknowledged_or_about_to_be(load);
            eventually("it is noticed", || matches!(buffer.health(), Health::Failed(_)));
        });
        // Most faults leave the folder where it is.
        let _ = fs::rename(beside(&folder, ".old"), folder);
        done.failed_because(&buffer, ErrorKind::DatabaseMoved);
        // The files that it went on writing to are these: a late row is in them, and lost to everybody else.
        let late = done.acknowledged.len().saturating_sub(before) as u64;
        let seen = Seen::in_table(&kept.unwrap().path(), done.acknowledged);
        Seen { rows: buffer.stats().accepted, lost: seen.lost + late, ..seen }
    });
}

#[test]
fn nothing_is_acknowledged_after_the_file_was_deleted() {
    is_noticed("the file is deleted", "unlink under load", |path| fs::remove_file(path).unwrap());
}

#[test]
fn nothing_is_acknowledged_after_the_file_was_moved_away() {
    is_noticed("the file is moved away", "rename under load", |path| {
        fs::rename(path, beside(path, ".old")).unwrap();
    });
}

#[test]
fn nothing_is_acknowledged_after_another_database_took_the_place_of_the_file() {
    is_noticed("the file is replaced", "another database renamed over it under load", |path| {
        let other = beside(path, ".other");
        Connection::open(&other).unwrap().execute_batch(Seen::SCHEMA).unwrap();
        fs::rename(other, path).unwrap();
    });
}

#[test]
fn nothing_is_acknowledged_after_the_folder_was_renamed() {
    is_noticed("its folder is renamed", "rename under load, and back in the end", |path| {
        let folder = path.parent().unwrap();
        fs::rename(folder, beside(folder, ".old")).unwrap();
    });
}

#[test]
fn nothing_is_acknowledged_after_the_log_was_deleted() {
    is_noticed("the `-wal` is deleted", "unlink under load", |path| {
        fs::remove_file(beside(path, "-wal")).unwrap();
    });
}

#[test]
fn nothing_is_acknowledged_after_the_log_was_replaced() {
    is_noticed("the `-wal` is replaced", "an empty file renamed over it under load", |path| {
        fs::write(beside(path, ".empty"), "").unwrap();
        fs::rename(beside(path, ".empty"), beside(path, "-wal")).unwrap();
    });
}

#[test]
fn nothing_is_acknowledged_after_the_index_of_the_log_was_deleted() {
    is_noticed("the `-shm` is deleted", "unlink under load", |path| {
        fs::remove_file(beside(path, "-shm")).unwrap();
    });
}

#[test]
fn nothing_is_acknowledged_after_the_log_and_its_index_were_deleted() {
    is_noticed("the `-wal` and the `-shm` are deleted", "unlink under load", |path| {
        fs::remove_file(beside(path, "-wal")).unwrap();
        fs::remove_file(beside(path, "-shm")).unwrap();
    });
}

#[test]
fn what_another_process_writes_after_the_index_of_the_log_was_deleted_is_kept_too() {
    Trial::of(
        10,
        "the `-shm` is deleted, and another process writes",
        "unlink under load; the process makes a `-shm` of its own, with locks of its own, and is killed",
    )
    .rounds(3, 20)
    .run(|_| {
        let scratch = Scratch::new(Seen::SCHEMA);
        let buffer = WriteBuffer::open(scratch.path()).unwrap();
        let done = Load::run(&buffer, |_| {
            fs::remove_file(beside(&scratch.path(), "-shm")).unwrap();
            Other::start(&["write".as_ref(), scratch.path().as_os_str()]).kill();
        });
        done.failed_because(&buffer, ErrorKind::DatabaseMoved);
        let theirs = (1..=Other::WRITTEN).map(|id| -id);
        let promised = theirs.chain(done.acknowledged);
        Seen { rows: buffer.stats().accepted, ..Seen::in_table(&scratch.path(), promised) }
    });
}

#[test]
fn nothing_is_acknowledged_after_a_backup_was_copied_over_the_file() {
    Trial::of(
        10,
        "a backup is copied over the file",
        "`cp` of a smaller one under load, but not into a checkpoint: the same inode, so only a file that is suddenly smaller than \
         its pages shows it. What was acknowledged before is overwritten by the backup and not counted as lost; what comes after is",
    )
    .rounds(3, 20)
    .run(|_| {
        let scratch = Scratch::new(Seen::SCHEMA);
        let (path, backup) = (scratch.path(), beside(&scratch.path(), ".backup"));
        let other = scratch.connection();
        other.busy_timeout(LONG).unwrap();
        other.execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
        let buffer = WriteBuffer::open(&path).unwrap();
        let mut before = 0;
        let done = Load::run(&buffer, |load| {
            let size = |path: &Path| fs::metadata(path).unwrap().len();
            eventually("the database has grown", || {
                load.goes_on();
                // After this the log begins anew: what was in it is in the file alone.
                other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
                // Some of its pages are not written again, and not in the backup.
                size(&path) > size(&backup) + 8 * 4_096
            });
            load.goes_on();
            run("cp", &[backup.as_ref(), path.as_ref()]);
            before = acknowledged_or_about_to_be(load);
            eventually("it is noticed", || matches!(buffer.health(), Health::Failed(_)));
        });
        done.failed_because(&buffer, ErrorKind::Corrupt);
        let late = done.acknowledged.len().saturating_sub(before) as u64;
        Seen { rows: buffer.stats().accepted, lost: late, twice: 0 }
    });
}

#[test]
fn a_database_that_is_vacuumed_is_not_taken_for_one_that_was_overwritten() {
    let ballast = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) \
                   INSERT INTO other SELECT zeroblob(4000) FROM n";
    let scratch = Scratch::new(&format!("{}; CREATE TABLE other(v)", Seen::SCHEMA));
    let config = Config { max_wal_bytes: 64 * 1024, ..Config::default() };
    let buffer = WriteBuffer::builder(scratch.path()).config(config).open().unwrap();
    let other = scratch.connection();
    other.busy_timeout(LONG).unwrap();
    let done = Load::run(&buffer, |load| {
        let size = || fs::metadata(scratch.path()).unwrap().len();
        for _ in 0..5 {
            other.execute_batch(ballast).unwrap();
            eventually("the database grows", || {
                load.goes_on();
                size() > 2_000_000
            });
            other.execute_batch("DELETE FROM other; VACUUM").unwrap();
            eventually("the database shrinks", || {
                load.goes_on();
                size() < 1_000_000
            });
        }
    });
    let seen = done.all_landed(&buffer, &scratch.path());
    assert_eq!((seen.lost, seen.twice), (0, 0));
}

#[test]
fn a_backup_of_an_empty_table_copied_over_the_file_is_noticed_by_the_next_row() {
    let scratch = Scratch::new(Seen::SCHEMA);
    let (path, backup) = (scratch.path(), beside(&scratch.path(), ".backup"));
    let other = scratch.connection();
    other.execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    let buffer = WriteBuffer::open(&path).unwrap();
    let landed = buffer.table("landed").insert().producer().unwrap();
    for id in 0..20_000 {
        landed.push(&(id,)).unwrap();
    }
    buffer.flush().unwrap();
    other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    // The log has the last leaf of the table alone: its root is in the file, and so is the first page.
    landed.write(&(20_000,)).unwrap();
    run("cp", &[backup.as_ref(), path.as_ref()]);
    let error = landed.write(&(20_001,)).unwrap_err();
    assert!(crate::load::is_because(&error, ErrorKind::Corrupt), "{error:?}");
}
