//! Cuts a segment into batches: how far one transaction goes, and which of its rows are left out.
//!
//! Invariants. A batch is a contiguous stretch of the log, so the rows before its end are decided when it
//! is. A row that a newer one supersedes is in the same batch as the newer one. A group is never split.
//! The memory for cutting is bounded by the rows of a batch, not by those of the segment.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::batch::{Row, RowRef, read_row};
use crate::merge::{Newest, SUPERSEDED};
use crate::row::{MORE, ValueRef};
use crate::segment::{Cursor, Segment};
use crate::shape::{Operation, Shape};
use crate::sink::ColumnType;

/// Bytes that one row of a batch may cost here. Its reference, of which there are up to twice as many as rows
/// before they are squeezed, in a vector that doubles; its new place while they are; and its entry in the
/// index, at worst just after that has doubled: 32 + 16 + 40.
pub(crate) const BYTES_PER_ROW: usize = 96;

/// Cuts batches; keeps its memory from one to the next.
pub(crate) struct Cutter {
    max_rows: usize,
    max_bytes: usize,
    rows: Vec<RowRef>,
    newest: Newest,
}

/// Whether rows that a newer one supersedes are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merging {
    On,
    /// After the database refused one of the rows that superseded others: it might have accepted these.
    Off,
}

/// A stretch of the log that commits as one transaction.
pub(crate) struct Cut {
    /// Where the next batch begins.
    pub(crate) end: Cursor,
    /// Rows in the stretch that a newer row supersedes.
    pub(crate) superseded: usize,
}

impl Cutter {
    pub(crate) fn new(max_rows: usize, max_bytes: usize) -> Self {
        Self { max_rows, max_bytes, rows: Vec::new(), newest: Newest::default() }
    }

    /// The rows of the last cut, in the order in which they are to be applied.
    pub(crate) fn rows(&self) -> &[RowRef] {
        &self.rows
    }

    /// Cuts the batch that begins at `start`; there must be a row.
    pub(crate) fn cut(
        &mut self,
        segment: &Segment,
        shapes: &[Arc<Shape>],
        start: Cursor,
        merging: Merging,
    ) -> Cut {
        self.rows.clear();
        self.newest.clear();
        let bytes = segment.bytes();
        let mut end = start;
        let (mut live, mut live_bytes) = (0, 0);
        let mut stretch = None;
        while end.offset < bytes.len() {
            let (unit_rows, unit_bytes) = unit(segment, end.offset);
            let row = read_row(bytes, end.offset, shapes);
            let alone = *row.shape().target().operation() == Operation::Execute;
            let coalesce = merging == Merging::On
                && unit_rows == 1
                && row.shape().target().coalesce
                && !row.has_null_key();

            let this_stretch = coalesce.then(|| row.shape().id());
            if stretch != this_stretch {
                stretch = this_stretch;
                self.newest.begin_stretch(self.rows.len());
            }
            let older =
                if coalesce { self.newest.find(&row, bytes, shapes, &self.rows) } else { None };
            let added = unit_rows - usize::from(older.is_some());
            let full =
                live + added > self.max_rows || live_bytes + unit_bytes > self.max_bytes || alone;
            if live > 0 && full {
                break;
            }

            if let Some(slot) = older {
                let bytes_freed =
                    read_row(bytes, self.rows[slot].offset as usize, shapes).frame_len();
                self.rows[slot] = SUPERSEDED;
                live_bytes -= bytes_freed;
            }
            if coalesce {
                self.newest.set(&row, older, bytes, shapes, &self.rows);
            }
            for (offset, frame) in segment.frames_from(end.offset).take(unit_rows) {
                self.rows.push(RowRef { offset: offset as u32, ordinal: end.ordinal as u32 });
                end = Cursor { offset: offset + frame.length, ordinal: end.ordinal + 1 };
            }
            live += added;
            live_bytes += unit_bytes;
            if alone {
                break;
            }
            if self.rows.len() > 2 * self.max_rows.max(live) {
                self.newest.squeeze(&mut self.rows);
            }
        }
        self.rows.retain(|row| *row != SUPERSEDED);
        self.sort(bytes, shapes);
        Cut { end, superseded: end.ordinal - start.ordinal - self.rows.len() }
    }

    /// Sorts the rows of unordered producers by key, within each run of one shape.
    fn sort(&mut self, bytes: &[u8], shapes: &[Arc<Shape>]) {
        let at = row_reader(bytes, shapes);
        if !self.rows.iter().any(|row| at(row).shape().target().unordered) {
            return;
        }
        let rows = &mut self.rows[..];
        let mut start = 0;
        while start < rows.len() {
            let in_group = |place: usize| {
                at(&rows[place]).is_joined_to_next()
                    || place > 0 && at(&rows[place - 1]).is_joined_to_next()
            };
            let shape = at(&rows[start]).shape().id();
            let sortable = |place: usize| {
                let row = at(&rows[place]);
                row.shape().id() == shape && has_sortable_key(&row) && !in_group(place)
            };
            let run = (start..rows.len()).take_while(|&place| sortable(place)).count();
            let end = start + run.max(1);
            rows[start..end]
                .sort_unstable_by(|a, b| by_key(&at(a), &at(b)).then(a.ordinal.cmp(&b.ordinal)));
            start = end;
        }
    }
}

fn row_reader<'s>(bytes: &'s [u8], shapes: &'s [Arc<Shape>]) -> impl Fn(&RowRef) -> Row<'s> + Copy {
    move |row| read_row(bytes, row.offset as usize, shapes)
}

/// Rows and bytes of the row or group that begins at `offset`.
fn unit(segment: &Segment, offset: usize) -> (usize, usize) {
    let (mut rows, mut bytes) = (0, 0);
    for (_, frame) in segment.frames_from(offset) {
        rows += 1;
        bytes += frame.length;
        if frame.flags & MORE == 0 {
            break;
        }
    }
    (rows, bytes)
}

/// Whether the row may change places with its neighbours: an unordered one whose key the database compares
/// as its bytes say. A number sent as text, say, stays where it is.
fn has_sortable_key(row: &Row<'_>) -> bool {
    let shape = row.shape();
    shape.target().unordered
        && shape.key_types().iter().zip(row.key_values()).all(|(column_type, value)| match value {
            ValueRef::Integer(_) => column_type.is_number(),
            ValueRef::Text(_) => *column_type == ColumnType::Text,
            _ => false,
        })
}

/// The order of an index on the key, for rows with sortable keys.
fn by_key(a: &Row<'_>, b: &Row<'_>) -> Ordering {
    let pairs = a.key_values().zip(b.key_values());
    pairs
        .map(|pair| match pair {
            (ValueRef::Integer(a), ValueRef::Integer(b)) => a.cmp(&b),
            (ValueRef::Text(a), ValueRef::Text(b)) => a.cmp(b),
            _ => Ordering::Equal,
        })
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}
