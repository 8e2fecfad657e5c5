//! A database that rows are only pushed to, with a spool beside it, and what there must be of them whatever became of the
//! processes that pushed.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay::spool::{Inspection, Segment, SegmentState, inspect};
use forebay::{Config, Error, WriteBuffer};
use rusqlite::Connection;

use crate::{Accepted, Scratch, Seen};

/// No key: a row that is written twice is there twice.
const SCHEMA: &str = "
    CREATE TABLE landed(life INTEGER NOT NULL, thread INTEGER NOT NULL, n INTEGER NOT NULL,
                        part INTEGER NOT NULL, text TEXT NOT NULL) STRICT";

/// The format of a segment, as far as a torn tail takes it.
const HEADER: usize = 64;
const ENVELOPE: usize = 16;

/// Rows that are not as promised and are told one by one.
const TOLD: usize = 10;

/// One call of a thread of a child: a row, or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pushed {
    /// Which child of the database it was, counted from 1.
    pub life: i64,
    /// The thread in it.
    pub thread: i64,
    /// The call of that thread, counted from 0.
    pub n: i64,
}

impl Pushed {
    /// How many rows it has: more than one are a group.
    pub fn parts(self) -> i64 {
        if self.n % 5 == 3 { 3 } else { 1 }
    }

    /// A row, as the table takes it.
    pub fn row(self, part: i64) -> (i64, i64, i64, i64, String) {
        (self.life, self.thread, self.n, part, self.text(part))
    }

    /// Whether most of a child's rows are 256 KiB: to copy one takes long enough to be killed meanwhile.
    pub fn has_long_rows(life: i64) -> bool {
        life % 12 == 1
    }

    /// Of any length up to 4 KiB, and in some lives up to 256: rows end anywhere in a page.
    fn text(self, part: i64) -> String {
        let Self { life, thread, n, .. } = self;
        let mixed = (n * 31 + part * 7 + thread * 13 + life) % 64;
        let (shorter, long) = if Self::has_long_rows(life) { (8, 12_800) } else { (58, 200) };
        let words = if mixed < shorter { 1 + mixed % 40 } else { long } as usize;
        format!("{life} {thread} {n} {part}, ").repeat(words)
    }
}

/// The folder of a database's spool.
pub fn spool_of(database: &Path) -> PathBuf {
    database.with_extension("spool")
}

/// Settings of a buffer with a spool whose segments are soon full, and whose files may grow to so many times its memory.
pub fn spooling(database: &Path, max_buffer_bytes: usize, times: usize) -> Config {
    Config {
        batch_size: 10,
        max_transaction_rows: 40,
        linger: Duration::from_millis(2),
        max_buffer_bytes,
        max_batch_bytes: 8 * 1024,
        max_row_bytes: (8 * 1024).max(max_buffer_bytes / 8),
        max_wal_bytes: 256 * 1024,
        spool: Some(spool_of(database)),
        max_spool_bytes: times * max_buffer_bytes,
        ..Config::default()
    }
}

/// A scratch database with a spool beside it. The folder is kept when the test fails.
pub struct Spooled(Scratch);

/// What a process has left in a spool.
#[derive(Debug, Default, Clone, Copy)]
pub struct LeftOver {
    /// Whether the folder has become a spool.
    pub is_spool: bool,
    /// Rows that were accepted, and that the database has not decided.
    pub undecided: u64,
    /// Whether there is the beginning of a row that was never accepted.
    pub is_torn: bool,
}

impl Spooled {
    /// An empty database, and no spool yet.
    pub fn new() -> Self {
        Self(Scratch::new(SCHEMA))
    }

    /// Where the database is.
    pub fn path(&self) -> PathBuf {
        self.0.path()
    }

    /// Opens the buffer, with the spool that is there.
    ///
    /// # Errors
    ///
    /// The buffer's.
    pub fn open(&self) -> Result<WriteBuffer, Error> {
        let config = spooling(&self.path(), 96 * 1024, 16);
        WriteBuffer::builder(self.path()).config(config).open()
    }

    /// Opens the buffer as the application does after its process was killed, waits for what is left, and closes it.
    ///
    /// # Panics
    ///
    /// When one of these fails; with what is in the spool's folder.
    pub fn reopen(&self) {
        self.drain(self.open());
    }

    /// What follows when it has been opened.
    ///
    /// # Panics
    ///
    /// As [`reopen`](Self::reopen).
    pub fn drain(&self, opened: Result<WriteBuffer, Error>) {
        let buffer = opened.unwrap_or_else(|error| self.fail("open", &error));
        buffer.flush().unwrap_or_else(|error| self.fail("flush", &error));
        buffer.close().unwrap_or_else(|error| self.fail("close", &error));
        let inspection = self.inspect().expect("a closed spool is still one");
        let used = inspection.segments.iter().any(|segment| segment.state != SegmentState::Free);
        assert!(inspection.is_closed && !used, "after a clean close: {inspection:#?}");
    }

    fn fail(&self, what: &str, error: &Error) -> ! {
        let files = fs::read_dir(spool_of(&self.path())).into_iter().flatten();
        let files = files.filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name(), entry.metadata().ok()?.len()))
        });
        let files: Vec<_> = files.collect();
        let inspection = inspect(spool_of(&self.path()));
        panic!("cannot {what}: {error:#?}\nthe folder has {files:?}\nand shows {inspection:#?}");
    }

    /// What is in the spool; `None` when there is none yet.
    ///
    /// # Panics
    ///
    /// When a buffer would not open it, or it says that it is in use, which it is not.
    pub fn inspect(&self) -> Option<Inspection> {
        let folder = spool_of(&self.path());
        // An opening may have been killed before it had come so far.
        if !folder.join("spool.json").exists() {
            return None;
        }
        let inspection = inspect(&folder).unwrap_or_else(|error| self.fail("inspect", &error));
        assert!(!inspection.in_use, "nobody uses it: {inspection:#?}");
        assert_eq!(inspection.refusal, None, "it is refused: {inspection:#?}");
        Some(inspection)
    }

    /// What the last process has left. The database is left as it is, too.
    ///
    /// # Panics
    ///
    /// As [`inspect`](Self::inspect), and when the database has decided rows that were not in the spool.
    pub fn left_over(&self) -> LeftOver {
        let Some(inspection) = self.inspect() else { return LeftOver::default() };
        let is_torn = inspection.has_torn_tail;
        if inspection.is_closed {
            return LeftOver { is_spool: true, undecided: 0, is_torn };
        }
        let end = inspection.segments.iter().map(|segment| segment.first_row + segment.rows).max();
        let (key, end) = (inspection.id.as_deref().unwrap_or_default(), end.unwrap_or_default());
        let applied = self.applied(key);
        let undecided = end.checked_sub(applied);
        let undecided = undecided.unwrap_or_else(|| panic!("{applied} of {end}: {inspection:#?}"));
        LeftOver { is_spool: true, undecided, is_torn }
    }

    /// How many rows of this spool the database has decided: read off a copy, for the buffer is to find the log of the
    /// process that was killed.
    fn applied(&self, key: &str) -> u64 {
        let copies = tempfile::tempdir().expect("a folder");
        let copy = copies.path().join("copy.db");
        fs::copy(self.path(), &copy).expect("a copy");
        let log = self.path().with_extension("db-wal");
        if log.exists() {
            fs::copy(log, copy.with_extension("db-wal")).expect("a copy of the log");
        }
        let copy = Connection::open(copy).expect("the copy opens");
        if !has_books(&copy) {
            return 0;
        }
        let applied = "SELECT coalesce(max(applied), 0) FROM _forebay WHERE spool = ?1";
        let applied: i64 = copy.query_row(applied, [key], |row| row.get(0)).expect("the books");
        applied.cast_unsigned()
    }

    /// Puts the beginning of a row, with garbage behind it, where the accepted ones end: as a kill in the middle of an
    /// append leaves it. Returns the file, or `None` when there is no segment for it with rows and room.
    ///
    /// # Panics
    ///
    /// When the file cannot be written, or this is no torn tail afterwards.
    pub fn tear(&self, random: &mut fastrand::Rng) -> Option<PathBuf> {
        let inspection = self.inspect().filter(|inspection| !inspection.is_closed)?;
        let is_used = |segment: &&Segment| segment.state != SegmentState::Free;
        let last = inspection.segments.iter().rfind(is_used)?;
        let at = HEADER + last.bytes;
        let room = last.capacity.checked_sub(at + ENVELOPE)?;
        if last.state != SegmentState::Open || last.rows == 0 {
            return None;
        }
        let file = fs::File::options().read(true).write(true).open(&last.file).expect("the file");
        let mut epoch = [0; 4];
        file.read_exact_at(&mut epoch, 48).expect("its epoch");
        let mut unit = vec![0; 4];
        unit.extend(epoch);
        unit.extend((last.first_row + last.rows).to_le_bytes());
        unit.resize(ENVELOPE + random.usize(0..=room.min(5_000)), 0);
        random.fill(&mut unit[..4]);
        random.fill(&mut unit[ENVELOPE..]);
        file.write_all_at(&unit, at as u64).expect("written");
        let torn = self.inspect().expect("a spool");
        assert!(torn.has_torn_tail, "{} at {at}: {torn:#?}", last.file.display());
        Some(last.file.clone())
    }

    /// Looks at everything in the database after a clean close: of each thread of each life all calls that were accepted
    /// are there, whole, once and in their order, and at most calls that followed at once. Counts what is of `life` and later
    /// ones.
    ///
    /// # Panics
    ///
    /// When anything but a row that is lost or there twice is not as promised.
    pub fn look(&mut self, life: i64) -> Seen {
        let database = Connection::open(self.path()).expect("the database opens");
        let integrity: String = database
            .pragma_query_value(None, "integrity_check", |row| row.get(0))
            .expect("integrity_check runs");
        assert_eq!(integrity, "ok", "integrity_check of {}", self.path().display());
        let mut found = Found::default();
        let mut landed = database
            .prepare(
                "SELECT life, thread, n, part, CASE WHEN life >= ?1 THEN text END FROM landed ORDER BY rowid",
            )
            .expect("the table is there");
        let mut rows = landed.query([life]).expect("the table can be read");
        while let Some(row) = rows.next().expect("the table can be read") {
            let column = |index| row.get::<_, i64>(index).expect("a number");
            let call = Pushed { life: column(0), thread: column(1), n: column(2) };
            let text: Option<String> = row.get(4).expect("a text");
            found.row(call, column(3), text.as_deref());
        }
        let seen = found.end(&Accepted::read(&self.path()), life);
        let decided: i64 = database
            .query_row("SELECT sum(applied) FROM _forebay", [], |row| row.get(0))
            .expect("the books");
        if seen.lost + seen.twice > 0 {
            self.keep();
        }
        let whole = seen.lost + seen.twice > 0 || decided.cast_unsigned() == found.rows;
        assert!(whole, "the books have {decided} rows, the table {}", found.rows);
        seen
    }

    fn keep(&mut self) {
        let folder = self.0.keep();
        let _ = writeln!(io::stderr(), "kept for a look at it: {}", folder.display());
    }
}

impl Default for Spooled {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keep();
        }
    }
}

fn has_books(database: &Connection) -> bool {
    database.table_exists(Some("main"), "_forebay").expect("the schema can be read")
}

/// What the table has shown so far.
#[derive(Default)]
struct Found {
    rows: u64,
    lost: u64,
    twice: u64,
    told: usize,
    /// Of each life and thread the call and the part of it that comes next.
    next: HashMap<(i64, i64), (i64, i64)>,
}

impl Found {
    /// The next row in the table's order. What is missing before it counts as lost, and what comes late as there twice.
    fn row(&mut self, call: Pushed, part: i64, text: Option<&str>) {
        let Pushed { life, thread, n } = call;
        assert!(part < call.parts(), "there is no part {part} of {call:?}");
        if let Some(text) = text {
            assert_eq!(text, call.text(part), "the text of part {part} of {call:?}");
        }
        self.rows += 1;
        let next = *self.next.entry((life, thread)).or_default();
        if (n, part) < next {
            self.twice += 1;
            self.tell(format!("part {part} of {call:?} is there, after all before {next:?}"));
            return;
        }
        if (n, part) > next {
            self.lost += (n - next.0).max(1).cast_unsigned();
            self.tell(format!("part {part} of {call:?} is there, and {next:?} is not before it"));
        }
        let after = if part + 1 < call.parts() { (n, part + 1) } else { (n + 1, 0) };
        self.next.insert((life, thread), after);
    }

    /// Holds the ends against what was accepted.
    fn end(&mut self, accepted: &HashMap<(i64, i64), i64>, life: i64) -> Seen {
        for (&(life, thread), &calls) in accepted {
            let (next, _) = self.next.get(&(life, thread)).copied().unwrap_or_default();
            if next < calls {
                self.lost += (calls - next).cast_unsigned();
                self.tell(format!(
                    "thread {thread} of life {life}: {calls} were accepted, {next} are there"
                ));
            }
        }
        for (&(life, thread), &(next, part)) in &self.next {
            assert_eq!(part, 0, "parts of the last group, {next}, of thread {thread} of {life}");
            // The kill comes between the call's return and the note of it, at the worst.
            let calls = accepted.get(&(life, thread)).copied().unwrap_or_default();
            assert!(next <= calls + 1, "thread {thread} of life {life}: {next} of {calls}");
        }
        let new = self.next.iter().filter(|((of, _), _)| *of >= life);
        let rows = new.map(|(&(life, thread), &(next, _))| {
            (0..next).map(|n| Pushed { life, thread, n }.parts().cast_unsigned()).sum::<u64>()
        });
        Seen { rows: rows.sum(), lost: self.lost, twice: self.twice }
    }

    fn tell(&mut self, what: String) {
        self.told += 1;
        if self.told <= TOLD {
            let _ = writeln!(io::stderr(), "{what}");
        }
    }
}
