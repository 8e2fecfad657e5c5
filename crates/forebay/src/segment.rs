//! A segment of the row log: encoded rows in the order they were accepted, in one run of bytes.

use std::sync::Arc;
use std::time::Instant;

use crate::receipt::Outcome;
use crate::row::Frame;

/// The first allocation of a segment.
const SMALLEST: usize = 4 * 1024;

/// Encoded rows, one after the other. Filled by producers under the queue's lock, then only read.
pub(crate) struct Segment {
    bytes: Vec<u8>,
    max_bytes: usize,
    rows: usize,
    first_seq: u64,
    /// When the first row came.
    oldest: Option<Instant>,
    /// Where the receipts of these rows find out.
    outcome: Arc<Outcome>,
}

/// A place between two rows of a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Bytes before it.
    pub(crate) offset: usize,
    /// Rows before it.
    pub(crate) ordinal: usize,
}

impl Segment {
    /// An empty segment that never allocates more than `max_bytes`.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            bytes: Vec::new(),
            max_bytes,
            rows: 0,
            first_seq: 0,
            oldest: None,
            outcome: Arc::new(Outcome::new(0)),
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn allocated(&self) -> usize {
        self.bytes.capacity()
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.oldest
    }

    pub(crate) fn outcome(&self) -> &Arc<Outcome> {
        &self.outcome
    }

    /// The sequence number of the row with this ordinal.
    pub(crate) fn seq(&self, ordinal: usize) -> u64 {
        self.first_seq + ordinal as u64
    }

    /// The sequence number after the last row.
    pub(crate) fn end_seq(&self) -> u64 {
        self.seq(self.rows)
    }

    /// The place after the last row.
    pub(crate) fn end(&self) -> Cursor {
        Cursor { offset: self.bytes.len(), ordinal: self.rows }
    }

    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.bytes.len() + bytes <= self.max_bytes
    }

    /// Appends encoded rows; there must be room. `now` is asked for the first of them only.
    pub(crate) fn append(&mut self, frames: &[u8], rows: usize, now: impl FnOnce() -> Instant) {
        debug_assert!(self.has_room(frames.len()));
        let needed = self.bytes.len() + frames.len();
        if needed > self.bytes.capacity() {
            self.grow(needed);
        }
        if self.rows == 0 {
            self.oldest = Some(now());
        }
        self.bytes.extend_from_slice(frames);
        self.rows += rows;
    }

    /// Doubles, but never past the limit: what `Vec` does by itself would overshoot it.
    #[cold]
    fn grow(&mut self, needed: usize) {
        let capacity = (2 * self.bytes.capacity()).max(needed).max(SMALLEST).min(self.max_bytes);
        self.bytes.reserve_exact(capacity - self.bytes.len());
    }

    /// Empties the segment for rows from `first_seq` on; keeps its memory.
    pub(crate) fn restart(&mut self, first_seq: u64) {
        self.bytes.clear();
        self.rows = 0;
        self.first_seq = first_seq;
        self.oldest = None;
        match Arc::get_mut(&mut self.outcome) {
            Some(outcome) => outcome.restart(first_seq),
            None => self.outcome = Arc::new(Outcome::new(first_seq)),
        }
    }

    /// The frames from a place on, each with its offset.
    pub(crate) fn frames_from(&self, offset: usize) -> impl Iterator<Item = (usize, Frame)> {
        let mut offset = offset;
        std::iter::from_fn(move || {
            if offset >= self.bytes.len() {
                return None;
            }
            let frame = Frame::read(&self.bytes[offset..]);
            let start = offset;
            offset += frame.length;
            Some((start, frame))
        })
    }
}
