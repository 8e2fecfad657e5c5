//! Disks that are full: the spool's, or the database's with the spool on another.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use forebay::{Config, Error, ErrorKind, Health, Retry, WriteBuffer};
use rusqlite::Connection;
use serde_json::json;
use support::{Mount, Seen, Trial, adds_up, is_full, spooling};

use super::{Row, contents, lock, rows_of};
use crate::load::eventually;

/// A database and its spool, one of which is on a small disk.
struct Disk {
    mount: Mount,
    elsewhere: tempfile::TempDir,
    has_spool: bool,
}

impl Disk {
    fn of_spool(schema: &str) -> Self {
        Self::new(4 << 20, true, schema)
    }

    fn of_database() -> Self {
        Self::new(16 << 20, false, "")
    }

    fn new(bytes: usize, has_spool: bool, schema: &str) -> Self {
        let elsewhere = tempfile::tempdir().unwrap();
        let disk = Self { mount: Mount::tmpfs(bytes), elsewhere, has_spool };
        let schema = format!("PRAGMA journal_mode = WAL; {}; {schema}", Seen::SCHEMA);
        Connection::open(disk.database()).unwrap().execute_batch(&schema).unwrap();
        disk
    }

    fn database(&self) -> PathBuf {
        let folder = if self.has_spool { self.elsewhere.path() } else { self.mount.path() };
        folder.join("app.db")
    }

    fn spool(&self) -> PathBuf {
        let folder = if self.has_spool { self.mount.path() } else { self.elsewhere.path() };
        folder.join("spool")
    }

    /// Segments of 46 KiB or so, many more than there is room for on the small disk.
    fn config(&self) -> Config {
        let moment = Duration::from_millis(1);
        Config {
            spool: Some(self.spool()),
            retry: Retry { max_retries: 1, delay: moment, pause: moment, give_up: None },
            ..spooling(&self.database(), 96 * 1024, 500)
        }
    }

    fn open(&self) -> Result<WriteBuffer, Error> {
        WriteBuffer::builder(self.database()).config(self.config()).open()
    }

    fn ballast(&self) -> PathBuf {
        self.mount.path().join("ballast")
    }

    /// Writes until there is no room for another byte.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        while ballast.write_all(&[0; 4_096]).is_ok() {}
    }

    fn segments(&self) -> usize {
        let names = contents(&self.spool()).into_iter().map(|(name, _)| name);
        names.filter(|name| name.to_string_lossy().starts_with("segment-")).count()
    }

    fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    /// Closes the buffer, and looks for everything below this id.
    fn all_landed(&self, buffer: &WriteBuffer, next: i64) -> Seen {
        buffer.close().unwrap();
        let stats = buffer.stats();
        assert!(adds_up(&stats) && stats.committed == stats.accepted, "{stats:?}");
        Seen { rows: stats.accepted, ..Seen::in_table(&self.database(), 0..next) }
    }
}

fn times() -> i64 {
    if is_full() { 20 } else { 4 }
}

/// Fails unless it says that the spool's disk is full.
fn says_so(error: &Error, kind: ErrorKind) {
    let text = format!("{error:#}");
    assert_eq!(error.kind(), kind, "{text}");
    assert!(text.contains("make room on the disk that the spool is on"), "{text}");
    assert!(text.contains("No space left on device"), "{text}");
}

/// What pushes are told when the spool's disk is full, again and again in one life.
fn fills_the_spools_disk() -> Seen {
    let disk = Disk::of_spool("");
    let buffer = disk.open().unwrap();
    let rows = rows_of(&buffer);
    // A list of fields that is not known yet takes room of its own.
    rows.push(&Row { id: 0 }).unwrap();
    let mut next = 1;
    for time in 0..times() {
        // What was decided may still be on its way out.
        eventually("what is not needed is removed", || disk.segments() <= 3);
        let lock = lock(&disk.database());
        disk.fill();
        // A segment that was just decided may still become free.
        eventually("the spool's disk is full for those who push", || {
            let told = loop {
                match rows.try_push(&Row { id: next }) {
                    Ok(()) => next += 1,
                    Err(error) => break error,
                }
            };
            let late = rows.push_timeout(&Row { id: next }, Duration::from_millis(10));
            next += i64::from(late.is_ok());
            let is_why = |error: &Error| format!("{error:#}").contains("make room");
            let Some(late) = late.err().filter(|late| is_why(late) && is_why(&told)) else {
                return false;
            };
            says_so(&told, ErrorKind::Full);
            says_so(&late, ErrorKind::TimedOut);
            true
        });
        let full = buffer.stats().full;
        thread::scope(|scope| {
            let blocked = [0, 1, 2].map(|ahead| {
                let (rows, id) = (&rows, next + ahead);
                scope.spawn(move || rows.push(&Row { id }))
            });
            eventually("they wait", || buffer.stats().full >= full + 3);
            assert!(blocked.iter().all(|blocked| !blocked.is_finished()));
            // The room comes on the disk, or in the segments that are there.
            let lock = if time % 2 == 0 {
                disk.make_room();
                Some(lock)
            } else {
                drop(lock);
                None
            };
            blocked.into_iter().for_each(|blocked| blocked.join().unwrap().unwrap());
            drop(lock);
        });
        next += 3;
        buffer.flush().unwrap();
        if time % 2 == 1 {
            disk.make_room();
        }
        assert!(matches!(buffer.health(), Health::Running));
    }
    disk.all_landed(&buffer, next)
}

/// A new list of fields is noted in a file of the spool's: where there is no room for it the row is not accepted.
fn fills_the_definitions_disk() -> Seen {
    let names: Vec<_> = (0..14).map(|n| format!("c{n}{}", "x".repeat(400))).collect();
    let disk = Disk::of_spool(&format!("CREATE TABLE wide({})", names.join(", ")));
    let buffer = disk.open().unwrap();
    let wide = buffer.table("wide").insert().producer().unwrap();
    let row = |n: usize| {
        let fields = names[..=n].iter().map(|name| (name.clone(), json!(n)));
        serde_json::Value::Object(fields.collect())
    };
    disk.fill();
    let refused = (0..names.len()).find_map(|n| Some((n, wide.push(&row(n)).err()?)));
    let (first, error) = refused.expect("there is no room for all of them");
    says_so(&error, ErrorKind::Spool);
    disk.make_room();
    (first..names.len()).for_each(|n| wide.push(&row(n)).unwrap());
    buffer.close().unwrap();
    let filled: Vec<String> = names.iter().map(|name| format!("({name} IS NOT NULL)")).collect();
    let database = Connection::open(disk.database()).unwrap();
    let sql = format!("SELECT count(*), sum({}) FROM wide", filled.join(" + "));
    let found = database.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let there = names.len() as i64;
    assert_eq!(found, (there, there * (there + 1) / 2));
    Seen { rows: there as u64, ..Seen::default() }
}

/// A disk that is full when a buffer is opened, with rows that were left or with none, or is closed.
fn is_full_at_open_and_close(round: usize) -> Seen {
    let disk = Disk::of_spool("");
    let mut next = 0;
    if round % 2 == 1 {
        let buffer = disk.open().unwrap();
        let rows = rows_of(&buffer);
        let lock = lock(&disk.database());
        next = 5_000;
        (0..next).for_each(|id| rows.push(&Row { id }).unwrap());
        buffer.close_within(Duration::ZERO).unwrap();
        drop(lock);
    }
    disk.fill();
    let error = disk.open().map(drop).unwrap_err();
    says_so(&error, ErrorKind::Spool);
    let text = error.to_string();
    assert!(text.contains(&disk.spool().display().to_string()), "{text}");
    disk.make_room();
    if next == 0 {
        assert_eq!(disk.segments(), 0, "room is taken for nothing");
    }

    let buffer = disk.open().unwrap();
    assert_eq!(buffer.stats().replayed, next as u64);
    rows_of(&buffer).push(&Row { id: next }).unwrap();
    disk.fill();
    buffer.flush().unwrap();
    buffer.close().unwrap();
    disk.make_room();
    let buffer = disk.open().unwrap();
    assert_eq!(buffer.stats().replayed, 0, "all was written");
    rows_of(&buffer).push(&Row { id: next + 1 }).unwrap();
    let seen = disk.all_landed(&buffer, next + 2);
    assert_eq!(fs::read_dir(disk.spool()).unwrap().count(), 2, "spool.json and the lock");
    Seen { rows: next as u64 + 2, ..seen }
}

/// The database cannot grow, and the spool can.
fn fills_the_databases_disk() -> Seen {
    let disk = Disk::of_database();
    let buffer = disk.open().unwrap();
    let rows = rows_of(&buffer);
    let mut next = 0;
    for _ in 0..times() {
        disk.fill();
        let begun = next;
        // Many times what is kept in memory.
        while next < begun + 20_000 {
            rows.try_push(&Row { id: next })
                .or_else(|error| {
                    assert_eq!(error.kind(), ErrorKind::Full, "{error:#}");
                    rows.push(&Row { id: next })
                })
                .unwrap();
            next += 1;
        }
        eventually("the buffer is paused", || match buffer.health() {
            Health::Paused(cause) => format!("{cause:#}").contains("the disk is full"),
            _ => false,
        });
        let stats = buffer.stats();
        assert!(stats.pending > 10_000, "{stats:?}");
        assert!(stats.spool_bytes > 4 * 96 * 1024, "the spool has grown: {stats:?}");
        disk.make_room();
        buffer.flush().unwrap();
        assert!(matches!(buffer.health(), Health::Running));
        assert_eq!(buffer.stats().committed, next as u64);
    }
    disk.all_landed(&buffer, next)
}

mod needs_root {
    use super::*;

    #[test]
    fn a_full_disk_of_the_spools_is_told_to_those_who_push_and_nothing_is_lost() {
        Trial::of(
            29,
            "spool: its disk is full",
            "a tmpfs of 4 MiB filled 20 times in one buffer's life, while the database is locked; room comes on the disk, or by \
             rows that are written",
        )
        .rounds(1, 2)
        .run(|_| fills_the_spools_disk());
    }

    #[test]
    fn a_full_disk_takes_no_new_list_of_fields_and_no_row_of_it() {
        Trial::of(
            29,
            "spool: its disk is full when a new list of fields is noted",
            "a tmpfs of 4 MiB filled to the last byte, then 14 lists of fields",
        )
        .rounds(1, 20)
        .run(|_| fills_the_definitions_disk());
    }

    #[test]
    fn a_full_disk_of_the_spools_is_named_by_whoever_opens_it() {
        Trial::of(
            29,
            "spool: its disk is full at open, and at close",
            "with rows that a process left there, or with nothing, on a tmpfs filled to the last byte",
        )
        .rounds(2, 40)
        .run(is_full_at_open_and_close);
    }

    #[test]
    fn a_full_disk_of_the_databases_keeps_nobody_from_pushing_into_a_spool() {
        Trial::of(
            29,
            "the database's disk is full, with a spool on another",
            "a tmpfs of 16 MiB filled 20 times in one buffer's life, 20,000 rows pushed each time",
        )
        .rounds(1, 2)
        .run(|_| fills_the_databases_disk());
    }
}
