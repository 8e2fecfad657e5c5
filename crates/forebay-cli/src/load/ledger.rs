//! Rows on their way: which line each came from, until the database has decided it.
//!
//! Rows are decided in the order in which they were submitted, so the front of the queue is always the next.

use std::collections::VecDeque;

use forebay::{ErrorKind, Receipt};

use crate::load::rejects::Rejects;

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
    pub(super) refused: u64,
}

struct Waiting {
    receipt: Receipt,
    line: u64,
    bytes: usize,
}

impl Ledger {
    /// Begins with nothing.
    pub(super) fn new(rejects: Rejects) -> Self {
        Self { waiting: VecDeque::new(), lines: VecDeque::new(), rejects, read: 0, refused: 0 }
    }

    /// A record that cannot be a row.
    pub(super) fn refuse(&mut self, line: u64, raw: &[u8], why: &dyn std::fmt::Display) {
        self.read += 1;
        self.refused += 1;
        self.rejects.add(line, raw, why);
    }

    /// A row that the buffer has accepted.
    pub(super) fn submitted(&mut self, line: u64, raw: &[u8], receipt: Receipt) {
        self.read += 1;
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
            match decided {
                Ok(()) => drop(raw),
                Err(error) if interrupted && error.kind() == ErrorKind::Unwritten => drop(raw),
                Err(error) => {
                    let raw: Vec<u8> = raw.collect();
                    self.rejects.add(line, &raw, &format_args!("{error:#}"));
                }
            }
            self.waiting.pop_front();
        }
    }
}
