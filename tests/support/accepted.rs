//! What a process that only pushes was told, for those who look after it was killed.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Threads of a child that push.
pub const PUSHERS: i64 = 6;

/// What a child was about to do, or did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Opens the buffer.
    Opening,
    /// Has it open.
    Open,
    /// Closes it.
    Closing,
}

/// The file beside a database in which each thread of its children has a place of its own, for the number of its calls
/// that were accepted. A number is written in one piece: it is there when the child is killed afterwards, and never in part.
pub struct Accepted(File);

const BYTES: u64 = 8;

impl Accepted {
    /// The file of a database, for a child to write into.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub fn open(database: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).open(place(database)).map(Self)
    }

    /// Notes how far the child is.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn phase(&self, phase: Phase) -> io::Result<()> {
        self.write(0, phase as i64)
    }

    /// Notes that so many calls of a thread were accepted. Lives are counted from 1.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn calls(&self, life: i64, thread: i64, calls: i64) -> io::Result<()> {
        self.write(life * PUSHERS + thread, calls)
    }

    /// How far the child was that wrote last.
    ///
    /// # Panics
    ///
    /// When the file cannot be read.
    pub fn last_phase(database: &Path) -> Phase {
        match numbers(database).first() {
            None | Some(0) => Phase::Opening,
            Some(1) => Phase::Open,
            Some(2) => Phase::Closing,
            Some(other) => panic!("no phase is {other}"),
        }
    }

    /// How many calls were accepted of each life and thread of which any was.
    ///
    /// # Panics
    ///
    /// When the file cannot be read.
    pub fn read(database: &Path) -> HashMap<(i64, i64), i64> {
        let places = (0..).map(|place: i64| (place / PUSHERS, place % PUSHERS));
        let calls = places.zip(numbers(database));
        calls.filter(|&((life, _), calls)| life > 0 && calls > 0).collect()
    }

    fn write(&self, place: i64, number: i64) -> io::Result<()> {
        self.0.write_all_at(&number.to_le_bytes(), place.cast_unsigned() * BYTES)
    }
}

fn numbers(database: &Path) -> Vec<i64> {
    let bytes = std::fs::read(place(database)).expect("what was accepted");
    let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    bytes.chunks_exact(BYTES as usize).map(number).collect()
}

fn place(database: &Path) -> PathBuf {
    database.with_extension("accepted")
}
