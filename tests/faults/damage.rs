//! Files that something else writes garbage to.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;

use forebay::{Config, ErrorKind, Health, WriteBuffer};
use support::{Scratch, Seen, Trial, adds_up};

use crate::load::{Load, eventually, is_because};
use crate::process::{Other, run};

/// Each insert reads a page that was not read for a while: there are 2,000, and a row goes to any of them.
const SPREAD: &str = "
    CREATE TABLE landed(id INTEGER NOT NULL) STRICT;
    CREATE INDEX spread ON landed(printf('%0400d', (id * 2654435761) & 4294967295));
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
        INSERT INTO landed SELECT -i FROM n;";

/// As little in memory as there can be. Each row costs so many pages that those who await theirs would fall ever further
/// behind those who only push.
fn forgetful() -> Config {
    Config {
        max_wal_bytes: 64 * 1024,
        max_cache_bytes: 64 * 1024,
        max_buffer_bytes: 320 * 1024,
        max_batch_bytes: 32 * 1024,
        max_row_bytes: 4 * 1024,
        max_transaction_rows: 400,
        ..Config::default()
    }
}

/// Another process does it: to close one of these files would drop the locks of this one.
fn overwrite(file: &Path, offset: &str, length: &str) {
    let words: [&OsStr; 4] =
        ["overwrite".as_ref(), file.as_ref(), offset.as_ref(), length.as_ref()];
    Other::start(&words).end();
}

/// What `overwrite` damages: another process copies it, for the same reason.
fn copy_head(from: &Path, to: &Path) {
    let (mut input, mut output) = (OsString::from("if="), OsString::from("of="));
    input.push(from);
    output.push(to);
    run("dd", &[&input, &output, "bs=100".as_ref(), "count=1".as_ref(), "conv=notrunc".as_ref()]);
}

#[test]
fn nothing_is_acknowledged_after_sqlite_has_found_the_database_damaged() {
    Trial::of(
        5,
        "pages are overwritten until SQLite finds one",
        "another process writes garbage over most pages, under load. What is acknowledged until SQLite reads one is damaged \
         with the file and not counted as lost; what is acknowledged after the buffer has failed is",
    )
    .rounds(2, 12)
    .run(|_| {
        let scratch = Scratch::new(SPREAD);
        let buffer = WriteBuffer::builder(scratch.path()).config(forgetful()).open().unwrap();
        let mut before = 0;
        let done = Load::run(&buffer, |load| {
            overwrite(&scratch.path(), "4096", "6000000");
            eventually("it is noticed", || matches!(buffer.health(), Health::Failed(_)));
            before = load.done().acknowledged.len() + Load::AWAITING;
        });
        done.failed_because(&buffer, ErrorKind::Corrupt);
        let stats = buffer.stats();
        assert_eq!((stats.retries, stats.rejected), (0, 0), "it is not tried again: {stats:?}");
        let late = done.acknowledged.len().saturating_sub(before) as u64;
        Seen { rows: stats.accepted, lost: late, twice: 0 }
    });
}

/// Tries garbage at the head of a file, which SQLite reads when it opens the file, and not while it is the only one there.
fn is_survived(fault: &'static str, how: &'static str, suffix: &'static str, length: &'static str) {
    Trial::of(5, fault, how).rounds(2, 20).run(move |_| {
        let scratch = Scratch::new(Seen::SCHEMA);
        let path = scratch.path();
        let buffer = WriteBuffer::builder(&path).config(forgetful()).open().unwrap();
        let done = Load::run(&buffer, |load| {
            let mut file = path.clone().into_os_string();
            file.push(suffix);
            overwrite(file.as_ref(), "0", length);
            // The next checkpoint writes the page anew, and the log begins anew after it.
            let enough = buffer.stats().transactions + 200;
            eventually("more is written, or nothing at all", || {
                !load.done().errors.is_empty() || buffer.stats().transactions > enough
            });
        });
        done.all_landed(&buffer, &path)
    });
}

#[test]
fn a_head_that_was_overwritten_is_written_anew() {
    is_survived(
        "the head of the file is overwritten",
        "another process writes garbage over the first 100 bytes, under load: the next checkpoint writes them anew, and every \
         row is there",
        "",
        "100",
    );
}

#[test]
fn the_head_of_a_log_that_was_overwritten_is_written_anew() {
    is_survived(
        "the head of the `-wal` is overwritten",
        "another process writes garbage over its first 32 bytes, under load: the log begins anew, and every row is there",
        "-wal",
        "32",
    );
}

#[test]
fn a_buffer_that_must_open_its_database_again_and_cannot_fails_or_waits() {
    Trial::of(
        5,
        "the file is gone or overwritten when it is opened again",
        "the folder is renamed, or the head of the file is garbage, while `execute` of a PRAGMA has the connection opened again; \
         both are undone when the buffer has failed",
    )
    .rounds(4, 40)
    .run(|round| {
        let scratch = Scratch::new(Seen::SCHEMA);
        let path = scratch.path();
        let buffer = WriteBuffer::builder(&path).config(forgetful()).open().unwrap();
        let done = Load::run(&buffer, |_| {});
        buffer.flush().unwrap();
        let folder = path.parent().unwrap();
        let (away, head) = (folder.with_extension("old"), folder.join("head"));
        let is_garbage = round % 2 == 0;
        let kind = if is_garbage {
            scratch.connection().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
            copy_head(&path, &head);
            overwrite(&path, "0", "100");
            ErrorKind::Corrupt
        } else {
            fs::rename(folder, &away).unwrap();
            ErrorKind::DatabaseMoved
        };
        // Which may be done, and what comes after it not.
        let told = buffer.execute("PRAGMA busy_timeout").and_then(|()| buffer.execute("SELECT 1"));
        let error = told.unwrap_err();
        assert!(is_because(&error, kind), "{error:?}");
        assert!(is_because(&buffer.close().unwrap_err(), kind));
        assert!(adds_up(&buffer.stats()), "{:?}", buffer.stats());
        if is_garbage {
            copy_head(&head, &path);
        } else {
            fs::rename(&away, folder).unwrap();
        }
        let promised = done.acknowledged.into_iter().chain(done.pushed);
        Seen { rows: buffer.stats().accepted, ..Seen::in_table(&path, promised) }
    });
}
