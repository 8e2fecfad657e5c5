//! What a process that may be killed at any moment leaves to those who look afterwards: files that it only appends to.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What one call handed over, told by the number that its rows carry: which life of the child, thread and call it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry(pub i64);

/// What an entry's call was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A row of the table `landed`.
    Single,
    /// A row of `newest`, which coalesces: one for each thread.
    Newest,
    /// A group: a row of `landed` and [`PARTS`] of `parts`.
    Group,
}

/// Rows of `parts` in each group.
pub const PARTS: i64 = 3;

impl Entry {
    /// The entry of call `n` of a thread.
    pub fn new(life: i64, thread: i64, n: i64) -> Self {
        Self(life << 40 | thread << 32 | n)
    }

    /// Which child, or cycle of one, it was.
    pub fn life(self) -> i64 {
        self.0 >> 40
    }

    /// The thread in it.
    pub fn thread(self) -> i64 {
        self.0 >> 32 & 0xff
    }

    /// The call of that thread.
    pub fn n(self) -> i64 {
        self.0 & 0xffff_ffff
    }

    /// What the call was.
    pub fn kind(self) -> EntryKind {
        match self.n() % 4 {
            1 => EntryKind::Newest,
            3 => EntryKind::Group,
            _ => EntryKind::Single,
        }
    }

    /// What the row's text must be: of any length up to 600 bytes, so that rows end anywhere in a page.
    pub fn text(self) -> String {
        format!("{:x} ", self.0).repeat(1 + (self.0 % 50) as usize)
    }
}

/// What the child was about to do, or had done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Opens the buffer.
    Opening,
    /// Has opened it.
    Opened,
    /// Gives a batch to SQLite. These are its rows in `landed`.
    Applying(Vec<Entry>),
    /// SQLite said that they are committed.
    Applied,
    /// SQLite said that they are not.
    Failed,
    /// Copies the log into the database.
    Tidying,
    /// Has copied it.
    Tidied,
    /// Closes the buffer.
    Closing,
    /// Has closed it.
    Closed,
}

/// The files beside a database that say what its child has done.
pub struct Ledger {
    acknowledged: File,
    steps: File,
}

impl Ledger {
    /// The ledger of a database, for a child to append to.
    ///
    /// # Errors
    ///
    /// When the files cannot be opened.
    pub fn append(database: &Path) -> io::Result<Self> {
        let open = |path| OpenOptions::new().create(true).append(true).open(path);
        Ok(Self { acknowledged: open(acknowledged(database))?, steps: open(steps(database))? })
    }

    /// Notes that an entry was acknowledged.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn acknowledge(&self, entry: Entry) -> io::Result<()> {
        (&self.acknowledged).write_all(&entry.0.to_le_bytes())
    }

    /// Notes a step.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn step(&self, step: &Step) -> io::Result<()> {
        let entries: &[Entry] = if let Step::Applying(entries) = step { entries } else { &[] };
        let mut record = vec![tag(step)];
        record.extend((entries.len() as u32).to_le_bytes());
        record.extend(entries.iter().flat_map(|entry| entry.0.to_le_bytes()));
        (&self.steps).write_all(&record)
    }

    /// Everything that was acknowledged so far.
    ///
    /// # Panics
    ///
    /// When the file cannot be read.
    pub fn acknowledged(database: &Path) -> Vec<Entry> {
        let bytes = std::fs::read(acknowledged(database)).expect("what was acknowledged");
        bytes.chunks_exact(8).map(entry).collect()
    }

    /// The steps so far. A record that the kill has cut short is of a step that was not begun.
    ///
    /// # Panics
    ///
    /// When the file cannot be read, or holds something else.
    pub fn steps(database: &Path) -> Vec<Step> {
        let path = steps(database);
        if !path.exists() {
            return Vec::new();
        }
        let bytes = std::fs::read(path).expect("the child's steps");
        let mut rest = &bytes[..];
        let mut found = Vec::new();
        while let [tag, a, b, c, d, more @ ..] = rest {
            let length = 8 * u32::from_le_bytes([*a, *b, *c, *d]) as usize;
            let Some(entries) = more.get(..length) else { break };
            found.push(read(*tag, entries.chunks_exact(8).map(entry).collect()));
            rest = &more[length..];
        }
        found
    }
}

fn acknowledged(database: &Path) -> PathBuf {
    database.with_extension("acknowledged")
}

fn steps(database: &Path) -> PathBuf {
    database.with_extension("steps")
}

fn entry(bytes: &[u8]) -> Entry {
    Entry(i64::from_le_bytes(bytes.try_into().expect("eight bytes")))
}

fn tag(step: &Step) -> u8 {
    match step {
        Step::Opening => b'o',
        Step::Opened => b'O',
        Step::Applying(_) => b'a',
        Step::Applied => b'A',
        Step::Failed => b'F',
        Step::Tidying => b't',
        Step::Tidied => b'T',
        Step::Closing => b'c',
        Step::Closed => b'C',
    }
}

fn read(tag: u8, entries: Vec<Entry>) -> Step {
    match tag {
        b'o' => Step::Opening,
        b'O' => Step::Opened,
        b'a' => Step::Applying(entries),
        b'A' => Step::Applied,
        b'F' => Step::Failed,
        b't' => Step::Tidying,
        b'T' => Step::Tidied,
        b'c' => Step::Closing,
        b'C' => Step::Closed,
        other => panic!("no step begins with {other}"),
    }
}
