//! Coalescing: which of the rows with one key is the newest, while a batch is cut.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable, hash_table};

use crate::batch::{Row, RowRef, read_row};
use crate::row::is_null;
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

pub(crate) struct Entry {
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

    /// The hash of the row's key; none if a value of it is NULL, which is like no other value, not even itself.
    #[inline]
    pub(crate) fn hash(&self, row: &Row<'_>) -> Option<u64> {
        let mut hasher = self.hasher.build_hasher();
        for part in row.key() {
            if is_null(part) {
                return None;
            }
            hasher.write(part);
        }
        Some(hasher.finish())
    }

    /// Looks up the newest row with the key of this one, which has this hash.
    #[inline]
    pub(crate) fn look(
        &mut self,
        hash: u64,
        row: &Row<'_>,
        bytes: &[u8],
        shapes: &[Arc<Shape>],
        rows: &[RowRef],
    ) -> Known<'_> {
        let stretch = self.stretch;
        let at = |slot: u32| read_row(bytes, rows[slot as usize].offset as usize, shapes);
        let is_known = |known: &Entry| {
            known.hash == hash && known.slot as usize >= stretch && at(known.slot).has_key_of(row)
        };
        let entry = self.slots.entry(hash, is_known, |known| known.hash);
        let older = match &entry {
            hash_table::Entry::Occupied(entry) => {
                let slot = entry.get().slot;
                row.supersedes(|| at(slot)).then_some(slot as usize)
            }
            hash_table::Entry::Vacant(_) => None,
        };
        Known { hash, entry, older }
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

/// What is known of a key.
pub(crate) struct Known<'n> {
    hash: u64,
    entry: hash_table::Entry<'n, Entry>,
    /// The slot of a row that the one looked up supersedes.
    pub(crate) older: Option<usize>,
}

impl Known<'_> {
    /// From now on its newest row is the one in this slot.
    pub(crate) fn now(self, slot: usize) {
        let newest = Entry { hash: self.hash, slot: slot as u32 };
        match self.entry {
            hash_table::Entry::Occupied(mut entry) => *entry.get_mut() = newest,
            hash_table::Entry::Vacant(entry) => drop(entry.insert(newest)),
        }
    }
}
