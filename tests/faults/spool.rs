//! A spool that is damaged, strange, full, wanted by two, that meets bad rows, or is all that there is for a minute.

mod damage;
mod full;
mod outage;
mod replay;
mod strange;

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use forebay::{Config, Error, ErrorKind, Producer, Stats, WriteBuffer};
use rusqlite::Connection;
use serde::Serialize;
use support::{Accepted, Scratch, Seen, Spooled, Trial, adds_up, spool_of, spooling};

/// What must take no time at all takes less than this on any machine.
const LONG: Duration = Duration::from_secs(20);

#[derive(Serialize)]
struct Row {
    id: i64,
}

/// A database with the table `landed`, and a spool beside it of many small segments.
struct Place {
    scratch: Scratch,
}

impl Place {
    /// With such a database.
    fn new(schema: &str) -> Self {
        Self { scratch: Scratch::new(schema) }
    }

    /// With the rows of these ids, of which the first `decided` are in the database and the others were left in the spool.
    fn left(decided: i64, ids: i64) -> Self {
        let place = Self::new(Seen::SCHEMA);
        let buffer = place.open().unwrap();
        let rows = rows_of(&buffer);
        let push = |id| rows.push(&Row { id }).unwrap();
        (0..decided).for_each(push);
        buffer.flush().unwrap();
        let lock = lock(&place.path());
        (decided..ids).for_each(push);
        let stats = buffer.close_within(Duration::ZERO).unwrap().stats;
        assert!(adds_up(&stats) && stats.spooled == (ids - decided) as u64, "{stats:?}");
        drop(lock);
        place
    }

    fn path(&self) -> PathBuf {
        self.scratch.path()
    }

    fn folder(&self) -> PathBuf {
        spool_of(&self.path())
    }

    /// Segments of 4 KiB, with 80 rows or so.
    fn config(&self) -> Config {
        Config {
            max_transaction_rows: 10,
            max_batch_bytes: 1_024,
            max_row_bytes: 1_024,
            ..spooling(&self.path(), 8_192, 200)
        }
    }

    fn open(&self) -> Result<WriteBuffer, Error> {
        WriteBuffer::builder(self.path()).config(self.config()).open()
    }

    /// Why it does not open, which changes nothing.
    fn refusal(&self) -> String {
        let before = contents(&self.folder());
        let error = self.open().map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Spool, "{error:#}");
        assert_eq!(contents(&self.folder()), before, "a byte was changed");
        format!("{error:#}")
    }

    /// Opens the buffer, waits for what was left, and closes it.
    fn drain(&self) -> Stats {
        let buffer = self.open().unwrap();
        buffer.flush().unwrap();
        buffer.close().unwrap();
        let stats = buffer.stats();
        assert!(adds_up(&stats), "{stats:?}");
        stats
    }

    /// What there is of the ids below `ids`, each of which was accepted; in their order.
    fn look(&self, ids: i64) -> Seen {
        let landed: Vec<i64> = self.scratch.column("SELECT id FROM landed ORDER BY rowid");
        assert!(landed.is_sorted(), "out of order");
        Seen { rows: ids as u64, ..Seen::in_table(&self.path(), 0..ids) }
    }
}

fn rows_of(buffer: &WriteBuffer) -> Producer {
    buffer.table("landed").insert().producer().unwrap()
}

/// Keeps everybody else from writing to a database.
fn lock(database: &Path) -> Connection {
    let connection = Connection::open(database).unwrap();
    connection.busy_timeout(LONG).unwrap();
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    connection
}

/// The files of a spool but for its lock, each with a digest of what is in it.
fn contents(folder: &Path) -> Vec<(PathBuf, u64)> {
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths
        .filter(|path| path.file_name().is_some_and(|name| name != "lock"))
        .map(|path| {
            let mut hasher = DefaultHasher::new();
            fs::read(&path).unwrap().hash(&mut hasher);
            (PathBuf::from(path.file_name().unwrap()), hasher.finish())
        })
        .collect();
    files.sort();
    files
}

/// A process that has the spool open, and pushes.
struct Holder(Child);

impl Holder {
    /// Starts it and waits until rows were accepted.
    fn start(spooled: &Spooled, seed: u64) -> Self {
        let database = spooled.path();
        let child = Command::new(env!("CARGO_BIN_EXE_fault-child"))
            .arg("spool")
            .arg(&database)
            .args(["1".to_owned(), seed.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut holder = Self(child);
        while !database.with_extension("accepted").exists() || Accepted::read(&database).is_empty()
        {
            assert_eq!(holder.0.try_wait().unwrap(), None, "it has ended");
            thread::park_timeout(Duration::from_millis(1));
        }
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Has it ended already, this fails, and nothing is amiss.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_second_process_is_refused_the_spool_at_once_and_has_it_when_the_first_dies() {
    let slowest = Arc::new([const { AtomicU64::new(0) }; 2]);
    let [refusals, openings] = [0, 1].map(|which| {
        let slowest = Arc::clone(&slowest);
        move |took: Duration| slowest[which].fetch_max(took.as_micros() as u64, Ordering::Relaxed)
    });
    let how = "a process tries to open the spool of one under load, which is then killed";
    let trial = Trial::of(30, "spool: two processes open the same one", how).rounds(5, 100);
    trial.run(move |round| {
        let mut spooled = Spooled::new();
        let mut holder = Holder::start(&spooled, round as u64);
        let begun = Instant::now();
        let refused = spooled.open().map(drop).unwrap_err();
        refusals(begun.elapsed());
        assert!(begun.elapsed() < LONG, "the refusal took {:?}", begun.elapsed());
        assert_eq!(refused.kind(), ErrorKind::Spool, "{refused:#?}");
        let (text, folder) = (refused.to_string(), spool_of(&spooled.path()));
        assert!(text.contains("in use by another process"), "{text}");
        assert!(text.contains(&folder.display().to_string()), "{text}");
        assert_eq!(holder.0.try_wait().unwrap(), None, "the first goes on");

        let killed = Instant::now();
        holder.0.kill().unwrap();
        let opened = loop {
            match spooled.open() {
                Err(error) if error.kind() == ErrorKind::Spool && killed.elapsed() < LONG => {
                    assert_eq!(error.to_string(), text);
                    thread::park_timeout(Duration::from_millis(1));
                }
                opened => break opened,
            }
        };
        openings(killed.elapsed());
        drop(holder);
        spooled.drain(opened);
        spooled.look(1)
    });
    let [refusal, opening] =
        [0, 1].map(|which| Duration::from_micros(slowest[which].load(Ordering::Relaxed)));
    let _ = writeln!(
        io::stderr(),
        "the slowest refusal took {refusal:?}, the slowest opening {opening:?} from the kill"
    );
}
