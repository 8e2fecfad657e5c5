//! Rows on their way: which line each came from, until the database has decided it.
//!
//! Rows are decided in the order in which they were submitted, so the front of the queue is always the next.

use std::collections::VecDeque;
use std::path::Path;

use forebay::{ErrorKind, Receipt};

use crate::failure::Result;
use crate::load::rejects::Rejects;
use crate::load::summary::Summary;

/// Rows that are not decided yet, and what became of the others.
pub(super) struct Ledger {
    waiting: VecDeque<Waiting>,
    /// The bytes of their lines, one behind the other, where they may be needed for the rejects file.
    lines: VecDeque<u8>,
    /// The lines that did not become rows.
    pub(super) rejects: Rejects,
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

struct Waiting {
    receipt: Receipt,
    line: u64,
    bytes: usize,
}

impl Ledger {
    /// Begins with nothing.
    pub(super) fn new(rejects: Rejects) -> Self {
        Self {
            waiting: VecDeque::new(),
            lines: VecDeque::new(),
            rejects,
            read: 0,
            refused: 0,
            read_lines: 0,
            decided_lines: 0,
            is_finished: false,
            is_broken_off: false,
        }
    }

    /// A record that cannot be a row.
    pub(super) fn refuse(&mut self, line: u64, raw: &[u8], why: &dyn std::fmt::Display) {
        self.read += 1;
        self.refused += 1;
        self.read_lines = line;
        self.rejects.add(line, raw, why);
    }

    /// A row that the buffer has accepted.
    pub(super) fn submitted(&mut self, line: u64, raw: &[u8], receipt: Receipt) {
        self.read += 1;
        self.read_lines = line;
        let bytes = if self.rejects.keeps_lines() { raw.len() } else { 0 };
        self.lines.extend(&raw[..bytes]);
        self.waiting.push_back(Waiting { receipt, line, bytes });
    }

    /// Looks at what has been decided. With `interrupted`, rows that were not written are no rejects: they
    /// are in the input, to be loaded again.
    pub(super) fn settle(&mut self, interrupted: bool) {
        while let Some(first) = self.waiting.front()
            && let Some(decided) = first.receipt.decided()
        {
            let Waiting { line, bytes, .. } = *first;
            let raw = self.lines.drain(..bytes);
            self.is_broken_off |=
                matches!(&decided, Err(error) if error.kind() != ErrorKind::Rejected);
            match decided {
                Ok(()) => drop(raw),
                Err(error) if interrupted && error.kind() == ErrorKind::Unwritten => drop(raw),
                Err(error) => {
                    let raw: Vec<u8> = raw.collect();
                    self.rejects.add(line, &raw, &format_args!("{error:#}"));
                }
            }
            if !self.is_broken_off {
                self.decided_lines = line;
            }
            self.waiting.pop_front();
        }
    }

    /// Looks a last time, when all rows are decided, and sums up.
    ///
    /// # Errors
    ///
    /// When the rejects file cannot be written.
    pub(super) fn finish(&mut self, interrupted: bool, summary: &mut Summary) -> Result<()> {
        self.settle(interrupted);
        self.is_finished = true;
        if !self.is_broken_off {
            self.decided_lines = self.read_lines;
        }
        let finished = self.rejects.finish();
        summary.read = self.read;
        summary.rejected = self.refused;
        summary.decided_lines = self.decided_lines;
        summary.rejects = self.rejects.file().map(Path::to_owned);
        finished
    }
}
