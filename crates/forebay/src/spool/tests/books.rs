//! A database that has nothing but books, and lives of a process that uses a spool with it.

use std::collections::HashMap;
use std::path::Path;

use super::sample::{Plain, definitions};
use crate::batch::Batch;
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::row::{Frame, MORE, RECEIPT, ValueRef, Values, put_integer};
use crate::shape::Shapes;
use crate::sink::{Applied, Books, Sink, SinkError, StatementInfo, TableInfo};
use crate::spool::file::SegmentFile;
use crate::spool::identity::Identity;
use crate::spool::{Opened, Recovered, Spool, check_of};

/// The books, which outlive the process.
#[derive(Debug, Clone, Default)]
pub(in crate::spool) struct Database {
    pub(in crate::spool) applied: HashMap<String, u64>,
}

impl Database {
    /// One that has this many rows of the spool in the folder.
    pub(in crate::spool) fn of(folder: &Path, applied: u64) -> Self {
        let identity = Identity::read(folder).expect("reads").expect("a spool");
        Self { applied: HashMap::from([(identity.key(), applied)]) }
    }
}

impl Sink for Database {
    fn describe(&mut self, table: &str) -> Result<TableInfo> {
        Err(Error::new(ErrorKind::Schema, format!("{table} is not there")))
    }

    fn prepare(&mut self, _: &str) -> Result<StatementInfo> {
        Err(Error::new(ErrorKind::Statement, "there are only books"))
    }

    fn apply(&mut self, _: &Batch<'_>) -> Result<Applied, SinkError> {
        Err(SinkError::fatal(Error::new(ErrorKind::Unavailable, "there are only books")))
    }

    fn books(&mut self, spool: &str) -> Result<Option<Books>> {
        Ok(self.applied.get(spool).copied().map(Books::new))
    }

    fn open_books(&mut self, spool: &str, applied: u64) -> Result<()> {
        let before = self.applied.insert(spool.to_owned(), applied);
        assert_eq!(before, None, "books that are there are not opened again");
        Ok(())
    }

    fn name(&self) -> String {
        "books.db".to_owned()
    }
}

/// Settings for a spool of small files.
pub(in crate::spool) fn config(folder: &Path) -> Config {
    let config = Config {
        spool: Some(folder.to_owned()),
        batch_size: 1,
        max_transaction_rows: 1,
        max_buffer_bytes: 8 * 1024,
        max_batch_bytes: 1024,
        max_row_bytes: 2048,
        ..Config::default()
    };
    config.check().expect("settings");
    config
}

/// What the rows are that a test pushes.
#[derive(Debug, Clone, Copy)]
pub(in crate::spool) enum Shape {
    States,
    Notes,
}

/// A process that has a spool open.
pub(in crate::spool) struct Life {
    pub(in crate::spool) opened: Opened,
    pub(in crate::spool) shapes: Shapes,
    /// The number of the next row.
    pub(in crate::spool) next: u64,
    ids: [u16; 2],
    /// Where the open segment begins.
    first_seq: u64,
    more: Vec<SegmentFile>,
}

impl Life {
    pub(in crate::spool) fn open(folder: &Path, database: &mut Database) -> Result<Self> {
        let shapes = Shapes::new();
        let mut opened = Spool::open(&config(folder), database, &shapes)?;
        let rows: usize = opened.recovered.iter().map(Recovered::rows).sum();
        let next = opened.first_seq + rows as u64;
        let ids = [0, 1].map(|at| {
            let shape = shapes.restore(&definitions(0)[at]).expect("a shape");
            opened.journal.note(&shape).expect("noted");
            shape.id()
        });
        Ok(Self { opened, shapes, next, ids, first_seq: next, more: Vec::new() })
    }

    /// Pushes a row, or a group.
    pub(in crate::spool) fn push(&mut self, rows: &[Shape]) -> Vec<Plain> {
        let (mut frames, mut plain) = (Vec::new(), Vec::new());
        for (at, shape) in rows.iter().enumerate() {
            let seq = self.next + at as u64;
            let (id, definition) = match shape {
                Shape::States => (self.ids[0], &definitions(0)[0]),
                Shape::Notes => (self.ids[1], &definitions(0)[1]),
            };
            let start = Frame::begin(&mut frames);
            for value in 0..definition.values() as i64 {
                put_integer(&mut frames, seq as i64 * 100 + value);
            }
            let more = if at + 1 < rows.len() { MORE } else { 0 };
            Frame::finish(&mut frames, start, id, more | RECEIPT);
            let values = Values::of_frame(&frames[start..]).map(ValueRef::to_value).collect();
            plain.push((seq, definition.target.table().to_owned(), values));
        }
        assert!(self.opened.open.has_room(frames.len()));
        self.opened.open.append(&frames, check_of(&frames), self.next);
        self.next += rows.len() as u64;
        plain
    }

    /// The rows of an earlier process, as they are given to the writer.
    pub(in crate::spool) fn recovered(&self) -> Vec<Plain> {
        let mut shapes = Vec::new();
        self.shapes.refresh(&mut shapes);
        let mut rows = Vec::new();
        let mut seq = self.opened.first_seq;
        for recovered in &self.opened.recovered {
            assert_eq!(recovered.first_seq(), seq, "they are dense");
            let frames = recovered.load().expect("loads");
            let mut rest = &frames[..];
            while !rest.is_empty() {
                let head = Frame::read(rest);
                assert_eq!(head.flags & RECEIPT, 0, "nobody waits for it any more");
                let table = shapes[usize::from(head.shape)].target().table().to_owned();
                let values = Values::of_frame(&rest[..head.length]).map(ValueRef::to_value);
                rows.push((seq, table, values.collect()));
                (rest, seq) = (&rest[head.length..], seq + 1);
            }
            assert_eq!(seq, recovered.first_seq() + recovered.rows() as u64);
        }
        rows
    }

    /// The database decides all rows before `end`.
    pub(in crate::spool) fn apply(&self, database: &mut Database, end: u64) {
        let applied = database.applied.get_mut(self.opened.spool.key()).expect("books");
        assert!(*applied <= end && end <= self.next, "{applied} {end} {}", self.next);
        *applied = end;
    }

    /// Takes the spare segment for the open one.
    pub(in crate::spool) fn swap(&mut self) {
        self.opened.spare.restart(self.next);
        self.opened.open.seal();
        std::mem::swap(&mut self.opened.open, &mut self.opened.spare);
        self.first_seq = self.next;
    }

    /// Where the open segment begins.
    pub(in crate::spool) fn open_from(&self) -> u64 {
        self.first_seq
    }

    /// The rows of the sealed segment are decided: it is the spare one again.
    pub(in crate::spool) fn free_sealed(&mut self) {
        self.opened.spare.free();
    }

    /// Where the first recovered file's rows end.
    pub(in crate::spool) fn recovered_end(&self) -> Option<u64> {
        let first = self.opened.recovered.first()?;
        Some(first.first_seq() + first.rows() as u64)
    }

    pub(in crate::spool) fn delete_recovered(&mut self) {
        self.opened.recovered.remove(0).delete();
    }

    /// Makes more files, and takes one away again.
    pub(in crate::spool) fn grow(&mut self) {
        for _ in 0..2 {
            self.more.push(self.opened.spool.make().expect("a file"));
        }
        self.more.remove(0).delete();
    }

    pub(in crate::spool) fn close(self) {
        self.opened.spool.close(true);
    }
}
