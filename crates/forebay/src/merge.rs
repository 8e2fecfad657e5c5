//! Coalescing: which of the rows with one key is the newest, while a batch is cut.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::batch::{Row, RowRef, read_row};
use crate::row::ValueRef;
use crate::shape::Shape;

/// A row reference whose row has been superseded.
pub(crate) const SUPERSEDED: RowRef = RowRef { offset: u32::MAX, ordinal: u32::MAX };

/// For each key of the present stretch, the newest row of the batch that has it.
///
/// Rows of earlier stretches stay in the table and are told apart by their slot: one entry per row at
/// the most, and nothing to clear when producers alternate.
#[derive(Default)]
pub(crate) struct Newest {
    slots: HashTable<Entry>,
    hasher: DefaultHashBuilder,
    stretch: usize,
    moved: Vec<u32>,
}

struct Entry {
    hash: u64,
    slot: u32,
}

impl Newest {
    pub(crate) fn clear(&mut self) {
        if !self.slots.is_empty() {
            self.slots.clear();
        }
        self.stretch = 0;
    }

    /// The rows before `slot` are out of reach from now on.
    pub(crate) fn begin_stretch(&mut self, slot: usize) {
        self.stretch = slot;
    }

    fn hash(&self, row: &Row<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for part in row.key() {
            hasher.write(part);
        }
        hasher.finish()
    }

    fn is<'r>(
        &self,
        row: &'r Row<'_>,
        hash: u64,
        bytes: &'r [u8],
        shapes: &'r [Arc<Shape>],
        rows: &'r [RowRef],
    ) -> impl FnMut(&Entry) -> bool + use<'r> {
        let stretch = self.stretch;
        move |entry| {
            let slot = entry.slot as usize;
            entry.hash == hash
                && slot >= stretch
                && read_row(bytes, rows[slot].offset as usize, shapes).key().eq(row.key())
        }
    }

    /// The slot of the row that `row` supersedes.
    pub(crate) fn find(
        &self,
        row: &Row<'_>,
        bytes: &[u8],
        shapes: &[Arc<Shape>],
        rows: &[RowRef],
    ) -> Option<usize> {
        let hash = self.hash(row);
        let slot = self.slots.find(hash, self.is(row, hash, bytes, shapes, rows))?.slot as usize;
        let older = read_row(bytes, rows[slot].offset as usize, shapes);
        supersedes(row, &older).then_some(slot)
    }

    /// Makes `row`, about to be pushed, the newest of its key.
    pub(crate) fn set(
        &mut self,
        row: &Row<'_>,
        older: Option<usize>,
        bytes: &[u8],
        shapes: &[Arc<Shape>],
        rows: &[RowRef],
    ) {
        let slot = rows.len() as u32;
        let hash = self.hash(row);
        if let Some(older) = older {
            let entry = self.slots.find_mut(hash, |entry| entry.slot as usize == older);
            entry.expect("the older row was found by this entry").slot = slot;
            return;
        }
        let known = self.is(row, hash, bytes, shapes, rows);
        match self.slots.find_mut(hash, known) {
            Some(entry) => entry.slot = slot,
            None => {
                self.slots.insert_unique(hash, Entry { hash, slot }, |entry| entry.hash);
            }
        }
    }

    /// Takes the superseded rows out of `rows`.
    pub(crate) fn squeeze(&mut self, rows: &mut Vec<RowRef>) {
        self.moved.clear();
        let mut kept = 0;
        for row in rows.iter() {
            self.moved.push(kept);
            kept += u32::from(*row != SUPERSEDED);
        }
        for entry in &mut self.slots {
            entry.slot = self.moved[entry.slot as usize];
        }
        self.stretch = self.moved.get(self.stretch).map_or(kept, |&slot| slot) as usize;
        rows.retain(|row| *row != SUPERSEDED);
    }
}

/// Whether a row makes an older one with its key superfluous. With `newest_by` the database decides
/// which of two is newest; only where both are integers its answer is known beforehand.
fn supersedes(row: &Row<'_>, older: &Row<'_>) -> bool {
    let Some(position) = row.shape().newest() else {
        return true;
    };
    match (row.values().nth(position), older.values().nth(position)) {
        (Some(ValueRef::Integer(new)), Some(ValueRef::Integer(old))) => new >= old,
        _ => false,
    }
}
