//! A segment of the row log: encoded rows in the order they were accepted, in one run of bytes.
//!
//! The bytes are in memory; or, with a spool, in a mapped file, in which every row or group has an envelope before it that
//! tells a later process that it is whole. Whoever walks the rows steps over it by [`Spacing`]; nobody else knows of it.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::error::Result;
use crate::receipt::Outcome;
use crate::row::{Frame, MORE};
use crate::spool::{self, Recovered, SegmentFile};

/// The first allocation of a segment.
const SMALLEST: usize = 4 * 1024;

/// Encoded rows, one after the other. Filled by producers under the queue's lock, then only read.
pub(crate) struct Segment {
    store: Store,
    rows: usize,
    first_seq: u64,
    /// When the first row came; of an earlier process's rows, when they were taken over.
    oldest: Option<Instant>,
    /// Where the receipts of these rows find out.
    outcome: Arc<Outcome>,
}

/// Where a segment's bytes are. With a tag of its own: each push asks for it several times, and to read it out of the fields takes longer.
#[repr(u8)]
enum Store {
    Memory {
        bytes: Vec<u8>,
        max_bytes: usize,
    },
    /// A spool's file that this process appends to.
    Mapped(SegmentFile),
    /// A spool's file that an earlier process has left: read when its turn comes.
    Recovered {
        rows: Recovered,
        bytes: OnceLock<Vec<u8>>,
    },
}

/// A place between two rows of a segment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Bytes before it.
    pub(crate) offset: usize,
    /// Rows before it.
    pub(crate) ordinal: usize,
}

/// How far apart the rows of a segment are.
#[derive(Clone, Copy)]
pub(crate) struct Spacing {
    has_envelopes: bool,
}

impl Spacing {
    /// Where the row begins that follows on one that ends at `end` and has these flags.
    #[inline]
    pub(crate) fn next(self, end: usize, flags: u16) -> usize {
        if cfg!(feature = "spool") && self.has_envelopes && flags & MORE == 0 {
            spool::after_unit(end)
        } else {
            end
        }
    }
}

impl Segment {
    /// An empty segment in memory that never allocates more than `max_bytes`.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self::of(Store::Memory { bytes: Vec::new(), max_bytes }, 0)
    }

    /// A segment in a file that holds nothing, or has been restarted at `first_seq`.
    pub(crate) fn mapped(file: SegmentFile, first_seq: u64) -> Self {
        Self::of(Store::Mapped(file), first_seq)
    }

    /// The rows that an earlier process has left in a file.
    pub(crate) fn recovered(rows: Recovered, now: Instant) -> Self {
        let (first_seq, count) = (rows.first_seq(), rows.rows());
        let store = Store::Recovered { rows, bytes: OnceLock::new() };
        Self { rows: count, oldest: Some(now), ..Self::of(store, first_seq) }
    }

    fn of(store: Store, first_seq: u64) -> Self {
        let outcome = Arc::new(Outcome::new(first_seq));
        Self { store, rows: 0, first_seq, oldest: None, outcome }
    }

    /// The bytes of all rows; none of an earlier process's rows before they are [loaded](Self::load).
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.store {
            Store::Memory { bytes, .. } => bytes,
            Store::Mapped(file) => file.bytes(),
            Store::Recovered { bytes, .. } => bytes.get().map_or(&[], Vec::as_slice),
        }
    }

    pub(crate) fn spacing(&self) -> Spacing {
        Spacing { has_envelopes: matches!(self.store, Store::Mapped(_)) }
    }

    /// Reads the rows of an earlier process, which takes the time of reading a file.
    pub(crate) fn load(&self) -> Result<()> {
        if let Store::Recovered { rows, bytes } = &self.store
            && bytes.get().is_none()
        {
            let _ = bytes.set(rows.load()?);
        }
        Ok(())
    }

    /// Bytes of memory that it has allocated.
    pub(crate) fn allocated(&self) -> usize {
        match &self.store {
            Store::Memory { bytes, .. } => bytes.capacity(),
            Store::Mapped(_) => 0,
            Store::Recovered { bytes, .. } => bytes.get().map_or(0, Vec::capacity),
        }
    }

    /// Bytes of its file.
    pub(crate) fn file_bytes(&self) -> usize {
        match &self.store {
            Store::Memory { .. } => 0,
            Store::Mapped(file) => file.len(),
            Store::Recovered { rows, .. } => rows.file_bytes(),
        }
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
        Cursor { offset: self.used(), ordinal: self.rows }
    }

    /// Bytes that the rows take.
    #[inline]
    pub(crate) fn used(&self) -> usize {
        match &self.store {
            Store::Mapped(file) => file.used(),
            _ => self.bytes().len(),
        }
    }

    #[inline]
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        match &self.store {
            Store::Memory { bytes: used, max_bytes } => used.len() + bytes <= *max_bytes,
            Store::Mapped(file) => file.has_room(bytes),
            Store::Recovered { .. } => false,
        }
    }

    /// Whether another segment may soon be needed.
    pub(crate) fn is_half_full(&self) -> bool {
        match &self.store {
            Store::Mapped(file) => file.used() >= file.len() / 2,
            _ => false,
        }
    }

    /// Appends the encoded rows of one unit, whose [check](spool::check_of) a spool keeps; there must be room. `now` is
    /// asked for the first of them only.
    #[inline]
    pub(crate) fn append(
        &mut self,
        frames: &[u8],
        check: u32,
        rows: usize,
        now: impl FnOnce() -> Instant,
    ) {
        debug_assert!(self.has_room(frames.len()));
        if self.rows == 0 {
            self.oldest = Some(now());
        }
        let seq = self.end_seq();
        match &mut self.store {
            Store::Memory { bytes, max_bytes } => {
                let needed = bytes.len() + frames.len();
                if needed > bytes.capacity() {
                    grow(bytes, needed, *max_bytes);
                }
                bytes.extend_from_slice(frames);
            }
            Store::Mapped(file) => file.append(frames, check, seq),
            Store::Recovered { .. } => unreachable!("it has no room"),
        }
        self.rows += rows;
    }

    /// Empties the segment for rows from `first_seq` on; keeps its memory.
    pub(crate) fn restart(&mut self, first_seq: u64) {
        match &mut self.store {
            Store::Memory { bytes, .. } => bytes.clear(),
            Store::Mapped(file) => file.restart(first_seq),
            Store::Recovered { .. } => {
                unreachable!("its file is deleted when its rows are decided")
            }
        }
        self.rows = 0;
        self.first_seq = first_seq;
        self.oldest = None;
        match Arc::get_mut(&mut self.outcome) {
            Some(outcome) => outcome.restart(first_seq),
            None => self.outcome = Arc::new(Outcome::new(first_seq)),
        }
    }

    /// Says, in its file, that another segment follows.
    pub(crate) fn seal(&mut self) {
        if let Store::Mapped(file) = &mut self.store {
            file.seal();
        }
    }

    /// Every row is decided: its file need not keep them. False when it cannot be used again.
    pub(crate) fn free(&mut self) -> bool {
        match &mut self.store {
            Store::Memory { .. } => true,
            Store::Mapped(file) => {
                file.free();
                true
            }
            Store::Recovered { .. } => false,
        }
    }

    /// Removes its file. False when it is still there.
    pub(crate) fn delete(self) -> bool {
        match self.store {
            Store::Memory { .. } => true,
            Store::Mapped(file) => file.delete(),
            Store::Recovered { rows, .. } => rows.delete(),
        }
    }

    /// The frames from a place on, each with its offset.
    pub(crate) fn frames_from(&self, offset: usize) -> impl Iterator<Item = (usize, Frame)> {
        let (bytes, spacing) = (self.bytes(), self.spacing());
        let mut offset = offset;
        std::iter::from_fn(move || {
            if offset >= bytes.len() {
                return None;
            }
            let frame = Frame::read(&bytes[offset..]);
            let start = offset;
            offset = spacing.next(start + frame.length, frame.flags);
            Some((start, frame))
        })
    }
}

/// Doubles, but never past the limit: what `Vec` does by itself would overshoot it.
#[cold]
fn grow(bytes: &mut Vec<u8>, needed: usize, max_bytes: usize) {
    let capacity = (2 * bytes.capacity()).max(needed).max(SMALLEST).min(max_bytes);
    bytes.reserve_exact(capacity - bytes.len());
}
