//! Rows on their way: which line each came from, until the database has decided it.
//!
//! Rows are decided in the order in which they were submitted, so the front of the queue is always the next.

use std::collections::VecDeque;
use std::fmt::Display;

use forebay::{ErrorKind, Receipt};

use crate::failure::Result;
use crate::load::records::Record;
use crate::load::rejects::Rejects;
use crate::load::summary::Summary;
use crate::signals::Signalled;

/// Bytes of lines that wait for the verdict on their rows.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Rows that are not decided yet, and what became of the others.
pub(super) struct Ledger {
    undecided: VecDeque<Undecided>,
    /// The bytes of their lines, one behind the other, where they may be needed for the rejects file.
    lines: VecDeque<u8>,
    /// The lines that did not become rows.
    pub(super) rejects: Rejects,
    signalled: Signalled,
    /// Records read.
    pub(super) read: u64,
    /// Of them, those that never became rows.
    refused: u64,
    /// The line of the last record read, and the last of those before which all are decided.
    read_lines: u64,
    decided_lines: u64,
    /// It has been summed up: nothing is to be added any more.
    pub(super) is_finished: bool,
    /// A row was not written: the lines behind it do not count as decided.
    is_broken_off: bool,
}

struct Undecided {
    receipt: Receipt,
    /// Its first line, and its last.
    line: u64,
    last: u64,
    bytes: usize,
}

impl Ledger {
    /// Begins with nothing.
    pub(super) fn new(rejects: Rejects, signalled: Signalled) -> Self {
        Self {
            undecided: VecDeque::new(),
            lines: VecDeque::new(),
            rejects,
            signalled,
            read: 0,
            refused: 0,
            read_lines: 0,
            decided_lines: 0,
            is_finished: false,
            is_broken_off: false,
        }
    }

    /// A record that cannot be a row.
    pub(super) fn refuse(&mut self, record: &Record<'_>, why: &dyn Display) {
        self.read_up_to(record.line + record.lines - 1);
        self.refused += 1;
        self.rejects.add(&format_args!("line {}", record.line), record.raw, why);
    }

    /// A line that is no record.
    pub(super) fn refuse_line(&mut self, line: u64, raw: &[u8], why: &dyn Display) {
        self.read_up_to(line);
        self.refused += 1;
        self.rejects.add(&format_args!("line {line}"), raw, why);
    }

    /// A row that the buffer has accepted.
    pub(super) fn submitted(&mut self, record: &Record<'_>, receipt: Receipt) {
        let (line, last) = (record.line, record.line + record.lines - 1);
        self.read_up_to(last);
        let bytes = if self.rejects.keeps_lines() { record.raw.len() } else { 0 };
        self.lines.extend(&record.raw[..bytes]);
        self.undecided.push_back(Undecided { receipt, line, last, bytes });
    }

    /// Whether the lines that it keeps are more than a buffer of rows has room for.
    pub(super) fn is_heavy(&self) -> bool {
        self.lines.len() > MAX_BYTES
    }

    fn read_up_to(&mut self, line: u64) {
        self.read += 1;
        self.read_lines = line;
    }

    /// Looks at what has been decided. Once a signal has come, rows that were not written are no rejects: they are
    /// in the input, to be loaded again.
    pub(super) fn settle(&mut self) {
        let interrupted = self.signalled.signal().is_some();
        while let Some(first) = self.undecided.front()
            && let Some(decided) = first.receipt.decided()
        {
            let Undecided { line, last, bytes, .. } = *first;
            let raw = self.lines.drain(..bytes);
            self.is_broken_off |=
                matches!(&decided, Err(error) if error.kind() != ErrorKind::Rejected);
            match decided {
                Ok(()) => drop(raw),
                Err(error) if interrupted && error.kind() == ErrorKind::Unwritten => drop(raw),
                Err(error) => {
                    let raw: Vec<u8> = raw.collect();
                    let line = format_args!("line {line}");
                    self.rejects.add(&line, &raw, &format_args!("{error:#}"));
                }
            }
            if !self.is_broken_off {
                self.decided_lines = last;
            }
            self.undecided.pop_front();
        }
    }

    /// Looks a last time, when all rows are decided, and sums up.
    ///
    /// # Errors
    ///
    /// When the rejects file cannot be written.
    pub(super) fn finish(&mut self, summary: &mut Summary) -> Result<()> {
        self.settle();
        self.is_finished = true;
        if !self.is_broken_off {
            self.decided_lines = self.read_lines;
        }
        let finished = self.rejects.finish();
        summary.read = self.read;
        summary.rejected = self.refused;
        summary.decided_lines = self.decided_lines;
        summary.rejects = self.rejects.file().map(|file| file.display().to_string());
        finished
    }
}
