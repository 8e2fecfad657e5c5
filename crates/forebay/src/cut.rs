//! Cuts a segment into batches: how far one transaction goes, and which of its rows are left out.
//!
//! Invariants. A batch is a contiguous stretch of the log, so the rows before its end are decided when it
//! is. A row that a newer one supersedes is in the same batch as the newer one. A group is never split.
//! The memory for cutting is bounded by the rows of a batch, not by those of the segment.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::batch::{Row, RowRef, read_row};
use crate::merge::{Newest, SUPERSEDED};
use crate::row::{Frame, MORE, ValueRef};
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

/// How the rows of a shape are cut. Looked up when another shape comes, for most rows are like the one before.
#[derive(Default)]
struct Treatment {
    shape: Option<u16>,
    /// Each is a batch of its own.
    alone: bool,
    coalesce: bool,
    sort: bool,
}

impl Treatment {
    fn of(shape: &Shape) -> Self {
        let target = shape.target();
        Self {
            shape: Some(shape.id()),
            alone: matches!(target.operation(), Operation::Execute),
            coalesce: target.coalesce,
            sort: target.unordered,
        }
    }
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
        let (bytes, spacing) = (segment.bytes(), segment.spacing());
        let mut end = start;
        let (mut live, mut live_bytes) = (0, 0);
        let mut stretch = None;
        let mut treatment = Treatment::default();
        let mut sortable = false;
        while end.offset < bytes.len() {
            let frame = Frame::read(&bytes[end.offset..]);
            if treatment.shape != Some(frame.shape) {
                treatment = Treatment::of(&shapes[usize::from(frame.shape)]);
                sortable |= treatment.sort;
            }
            let single = frame.flags & MORE == 0;
            let (unit_rows, unit_bytes) =
                if single { (1, frame.length) } else { unit(segment, end.offset) };
            let row = || Row::new(bytes, end.offset, frame, shapes);
            let may_merge = merging == Merging::On && treatment.coalesce && single;
            let hash = if may_merge { self.newest.hash(&row()) } else { None };

            let this_stretch = hash.and(treatment.shape);
            if stretch != this_stretch {
                stretch = this_stretch;
                self.newest.begin_stretch(self.rows.len());
            }
            let known = hash.map(|hash| self.newest.look(hash, &row(), bytes, shapes, &self.rows));
            let older = known.as_ref().and_then(|known| known.older);
            let added = unit_rows - usize::from(older.is_some());
            let full = live + added > self.max_rows
                || live_bytes + unit_bytes > self.max_bytes
                || treatment.alone;
            if live > 0 && full {
                break;
            }

            if let Some(slot) = older {
                let offset = self.rows[slot].offset as usize;
                live_bytes -= Frame::read(&bytes[offset..]).length;
                self.rows[slot] = SUPERSEDED;
            }
            if let Some(known) = known {
                known.now(self.rows.len());
            }
            if single {
                self.rows.push(RowRef { offset: end.offset as u32, ordinal: end.ordinal as u32 });
                let next = spacing.next(end.offset + frame.length, frame.flags);
                end = Cursor { offset: next, ordinal: end.ordinal + 1 };
            } else {
                for (offset, frame) in segment.frames_from(end.offset).take(unit_rows) {
                    self.rows.push(RowRef { offset: offset as u32, ordinal: end.ordinal as u32 });
                    let next = spacing.next(offset + frame.length, frame.flags);
                    end = Cursor { offset: next, ordinal: end.ordinal + 1 };
                }
            }
            live += added;
            live_bytes += unit_bytes;
            if treatment.alone {
                break;
            }
            if self.rows.len() > 2 * self.max_rows.max(live) {
                self.newest.squeeze(&mut self.rows);
            }
        }
        if live < self.rows.len() {
            self.rows.retain(|row| *row != SUPERSEDED);
        }
        if sortable {
            self.sort(bytes, shapes);
        }
        Cut { end, superseded: end.ordinal - start.ordinal - self.rows.len() }
    }

    /// Sorts the rows of unordered producers by key, within each run of one shape.
    fn sort(&mut self, bytes: &[u8], shapes: &[Arc<Shape>]) {
        let at = row_reader(bytes, shapes);
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
