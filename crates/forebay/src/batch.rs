//! A batch: the rows of one transaction, as a sink reads them.

use std::ops::Range;
use std::sync::Arc;

use crate::reject::DeadLetter;
use crate::row::{Frame, MORE, ValueRef, Values};
use crate::shape::Shape;
use crate::sink::Rejection;

/// The rows of one transaction, in the order in which they are to be applied.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    bytes: &'a [u8],
    rows: &'a [RowRef],
    shapes: &'a [Arc<Shape>],
    superseded: usize,
    entry: Option<Entry<'a>>,
}

/// What a sink that keeps [books](crate::Sink::books) enters of a batch: its stretch of a spool's rows. The same
/// batch, given again, has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<'a> {
    /// The spool, or the [name](crate::Sink::books_name) that the sink has given.
    pub spool: &'a str,
    /// How many of its rows must be applied before this batch.
    pub start: u64,
    /// How many of them are, after it: those that are left out because newer ones are here count too.
    pub end: u64,
    /// The sequence number of the first row of the segment that the batch was cut from.
    pub(crate) first_seq: u64,
}

/// Where a row stands in its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowRef {
    pub(crate) offset: u32,
    pub(crate) ordinal: u32,
}

/// A row of a batch.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    shape: &'a Arc<Shape>,
    frame: &'a [u8],
    flags: u16,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(
        bytes: &'a [u8],
        rows: &'a [RowRef],
        shapes: &'a [Arc<Shape>],
        superseded: usize,
    ) -> Self {
        Self { bytes, rows, shapes, superseded, entry: None }
    }

    /// The same batch, of which books are kept.
    pub(crate) fn with_entry(self, entry: Option<Entry<'a>>) -> Self {
        Self { entry, ..self }
    }

    /// What is to be entered in the books in the batch's transaction, if its rows come from a spool or the sink keeps books
    /// [without one](crate::Sink::books_name).
    pub fn entry(&self) -> Option<Entry<'a>> {
        self.entry
    }

    /// How many rows there are; at least one.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row: never, in a batch that a sink is given.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether rows were left out because newer ones with their keys are here. If the database refuses a
    /// row of such a batch, the sink takes everything back and returns [`SinkError::unmerge`](crate::SinkError::unmerge).
    pub fn is_merged(&self) -> bool {
        self.superseded > 0
    }

    /// The row at a position.
    ///
    /// # Panics
    ///
    /// When `position` is not less than [`len`](Self::len).
    pub fn row(&self, position: usize) -> Row<'a> {
        read_row(self.bytes, self.rows[position].offset as usize, self.shapes)
    }

    /// The [number](Shape::id) of the shape of the row at a position: all that runs of alike rows are found by.
    ///
    /// # Panics
    ///
    /// When `position` is not less than [`len`](Self::len).
    pub fn shape_id(&self, position: usize) -> u16 {
        Frame::read(&self.bytes[self.rows[position].offset as usize..]).shape
    }

    /// The sequence number of the row at a position among those that its [entry](Self::entry) counts.
    ///
    /// # Panics
    ///
    /// When `position` is not less than [`len`](Self::len).
    pub fn seq(&self, position: usize) -> Option<u64> {
        let first = self.entry?.first_seq;
        Some(first + u64::from(self.rows[position].ordinal))
    }

    /// The rows, in order.
    pub fn rows(self) -> impl Iterator<Item = Row<'a>> {
        (0..self.len()).map(move |position| self.row(position))
    }

    /// The positions of rows that commit or are refused together: a group, or a single row.
    pub fn units(self) -> impl Iterator<Item = Range<usize>> {
        let mut start = 0;
        std::iter::from_fn(move || {
            if start == self.len() {
                return None;
            }
            let mut end = start;
            while self.row(end).flags & MORE != 0 && end + 1 < self.len() {
                end += 1;
            }
            let unit = start..end + 1;
            start = unit.end;
            Some(unit)
        })
    }
}

impl<'a> Batch<'a> {
    /// The refused rows that nobody holds a receipt for, each with its [sequence number](Self::seq): what a sink that
    /// keeps books keeps of them. A group is refused whole. Nothing where there is no [entry](Self::entry).
    pub fn letters(self, rejected: &[Rejection]) -> impl Iterator<Item = (u64, DeadLetter)> {
        let mut rejections = rejected.iter().peekable();
        let refused = self.units().filter_map(move |unit| {
            let rejection = rejections.next_if(|rejection| unit.contains(&rejection.row))?;
            Some((unit, rejection.error.clone()))
        });
        refused.flat_map(move |(unit, error)| {
            unit.filter(move |&position| !self.row(position).has_receipt()).filter_map(
                move |position| {
                    let letter = DeadLetter::new(&self.row(position), error.clone());
                    Some((self.seq(position)?, letter))
                },
            )
        })
    }
}

impl std::fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

/// The row whose frame begins at `offset`.
#[inline]
pub(crate) fn read_row<'a>(bytes: &'a [u8], offset: usize, shapes: &'a [Arc<Shape>]) -> Row<'a> {
    Row::new(bytes, offset, Frame::read(&bytes[offset..]), shapes)
}

impl<'a> Row<'a> {
    /// The row whose frame, which has been read, begins at `offset`.
    #[inline]
    pub(crate) fn new(
        bytes: &'a [u8],
        offset: usize,
        frame: Frame,
        shapes: &'a [Arc<Shape>],
    ) -> Self {
        Self {
            shape: &shapes[usize::from(frame.shape)],
            frame: &bytes[offset..offset + frame.length],
            flags: frame.flags,
        }
    }

    /// What the row does, and with which fields.
    pub fn shape(&self) -> &'a Arc<Shape> {
        self.shape
    }

    /// The row's values, in the shape's order.
    pub fn values(&self) -> Values<'a> {
        Values::of_frame(self.frame)
    }

    /// Whether it commits or is refused together with the row that follows.
    pub fn is_joined_to_next(&self) -> bool {
        self.flags & MORE != 0
    }

    /// Whether somebody was given a receipt, which will tell of this row.
    pub fn has_receipt(&self) -> bool {
        self.flags & crate::row::RECEIPT != 0
    }

    pub(crate) fn key_values(&self) -> impl Iterator<Item = ValueRef<'a>> + use<'a> {
        let values = self.values();
        self.shape.key().iter().filter_map(move |&position| values.clone().nth(position))
    }

    /// Whether another row of its shape has its key.
    #[inline]
    pub(crate) fn has_key_of(&self, other: &Row<'_>) -> bool {
        match *self.shape.key() {
            [position] => self.values().slice(position) == other.values().slice(position),
            _ => self.key().eq(other.key()),
        }
    }

    /// Whether the row makes an older one of its shape and with its key superfluous. With `newest_by` the database decides which
    /// of two is newest; only where both are integers its answer is known beforehand.
    #[inline]
    pub fn supersedes<'o>(&self, older: impl FnOnce() -> Row<'o>) -> bool {
        let Some(position) = self.shape.newest() else { return true };
        match (self.values().nth(position), older().values().nth(position)) {
            (Some(ValueRef::Integer(new)), Some(ValueRef::Integer(old))) => new >= old,
            _ => false,
        }
    }

    /// The encoded values of the row's key, one after the other: two rows of a shape have the same key if these are equal.
    #[inline]
    pub fn key(&self) -> impl Iterator<Item = &'a [u8]> {
        let values = self.values();
        self.shape.key().iter().map(move |&position| values.clone().slice(position))
    }
}

impl std::fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Row").field("table", &self.shape.target().table()).finish_non_exhaustive()
    }
}
