//! What can be read of a spool that is damaged: runs of whole units, and a word on everything else.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::definition::Definitions;
use super::files;
use super::format::{
    ALIGNMENT, FORMAT, HEADER, Header, PUBLISHED, Unit, outline, read_unit, u64_at,
};
use super::identity::Identity;
use super::image::{BadState, State, check_unit};
use super::refusal::{Damage, newer};
use crate::error::Result;

/// Units of one file that follow on each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) file: usize,
    pub(super) epoch: u32,
    pub(super) bytes: Range<usize>,
    pub(super) rows: Range<u64>,
}

/// A file, or a part of one, that cannot be read.
#[derive(Debug)]
pub(super) struct Hole {
    pub(super) path: PathBuf,
    pub(super) damage: Damage,
}

/// All that a folder's segments still say.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) files: Vec<PathBuf>,
    pub(super) runs: Vec<Run>,
    pub(super) holes: Vec<Hole>,
    pub(super) definitions: BTreeMap<u32, Definitions>,
    /// The epoch in which the spool was open last.
    pub(super) in_force: u32,
    /// The largest epoch that anything is of.
    pub(super) last_epoch: u32,
    /// The largest sequence number that a header begins with.
    pub(super) last_start: u64,
    /// Whether the segment is there that rows were appended to.
    pub(super) has_open: bool,
}

/// Which spool most of a folder's headers say that it is, and the last epoch of it.
pub(super) fn most_likely(folder: &Path) -> Result<Option<(u128, u32)>> {
    let mut votes: BTreeMap<u128, (usize, u32)> = BTreeMap::new();
    for (_, path) in files::list(folder)?.segments {
        let header = fs::read(&path).ok().and_then(|bytes| Header::read(&bytes).ok());
        if let Some(header) = header {
            let (votes, epoch) = votes.entry(header.spool).or_default();
            (*votes, *epoch) = (*votes + 1, header.epoch.max(*epoch));
        }
    }
    let most = votes.into_iter().max_by_key(|(_, (votes, _))| *votes);
    Ok(most.map(|(spool, (_, epoch))| (spool, epoch)))
}

/// Reads everything, one segment at a time.
pub(super) fn gather(folder: &Path, identity: &Identity) -> Result<Gathered> {
    let listed = files::list(folder)?;
    let mut all = Gathered { in_force: identity.epoch, ..Gathered::default() };
    let mut epochs: Vec<_> = listed.shapes.iter().map(|(epoch, _)| *epoch).collect();
    epochs.dedup();
    for epoch in epochs {
        all.last_epoch = all.last_epoch.max(epoch);
        let definitions = Definitions::read(folder, epoch).unwrap_or_else(|error| {
            let [path, _] = files::shapes(folder, epoch);
            all.holes.push(Hole { path, damage: Damage::new(0..0, error.to_string()) });
            Definitions::default()
        });
        all.definitions.insert(epoch, definitions);
    }
    for (_, path) in listed.segments {
        all.files.push(path.clone());
        match fs::read(&path) {
            Ok(bytes) => all.read(&path, &bytes, identity.spool)?,
            Err(error) => all.hole(&path, Damage::new(0..0, error.to_string())),
        }
    }
    all.settle();
    Ok(all)
}

/// Where units are to be looked for, and what is known of them.
struct Region {
    bytes: Range<usize>,
    epoch: Option<u32>,
    /// The sequence number that they begin with.
    first: Option<u64>,
    /// Whether rows were accepted up to its end, and not only up to somewhere in it.
    is_exact: bool,
}

impl Gathered {
    fn hole(&mut self, path: &Path, damage: Damage) {
        self.holes.push(Hole { path: path.to_owned(), damage });
    }

    pub(super) fn read(&mut self, path: &Path, bytes: &[u8], spool: u128) -> Result<()> {
        let header = match State::read(bytes) {
            Ok(State::Free) => return Ok(()),
            Ok(State::Used { header, sealed, .. }) => {
                if header.spool == spool && !sealed && header.epoch >= self.in_force {
                    self.has_open = true;
                }
                Some(header)
            }
            Err(BadState::Newer(format)) => return Err(newer(path, u64::from(format), FORMAT)),
            Err(BadState::Damaged(damage)) => {
                self.hole(path, damage);
                Header::read(bytes).ok()
            }
        };
        if header.is_some_and(|header| header.spool != spool) {
            self.hole(path, Damage::new(0..bytes.len(), "it belongs to another spool"));
            return Ok(());
        }
        if let Some(header) = header {
            self.last_epoch = self.last_epoch.max(header.epoch);
            self.last_start = self.last_start.max(header.first_seq);
        }
        self.walk(path, bytes, &region(bytes, header));
        Ok(())
    }

    /// Goes through a region, and begins anew at the next unit after each that cannot be read.
    fn walk(&mut self, path: &Path, bytes: &[u8], region: &Region) {
        let end = region.bytes.end.min(bytes.len());
        let file = self.files.len() - 1;
        let (mut at, mut from) = (region.bytes.start, region.bytes.start);
        let mut seq = region.first;
        while at < end {
            let unit = read_unit(&bytes[..end], at).filter(|unit| {
                region.epoch.is_none_or(|epoch| epoch == unit.epoch)
                    && seq.is_none_or(|seq| seq <= unit.seq)
            });
            let Some(unit) = unit else {
                at = if at == from { beyond(&bytes[..end], at, seq) } else { at + ALIGNMENT };
                continue;
            };
            if from < at || seq.is_some_and(|seq| seq < unit.seq) {
                self.gap(path, from..at, seq.map(|seq| seq..unit.seq));
            }
            let start = std::mem::replace(&mut at, unit.end);
            (from, seq) = (at, Some(unit.seq + unit.rows));
            self.unit(path, bytes, file, start, &unit);
        }
        let is_lost = from < region.bytes.end && region.is_exact;
        if is_lost || bytes[from.min(end)..end].iter().any(|&byte| byte != 0) {
            self.gap(path, from..region.bytes.end, seq.map(|seq| seq..u64::MAX));
        }
    }

    fn gap(&mut self, path: &Path, bytes: Range<usize>, rows: Option<Range<u64>>) {
        let damage = Damage::new(bytes, "no whole row is there");
        self.hole(path, Damage { rows, ..damage });
    }

    fn unit(&mut self, path: &Path, bytes: &[u8], file: usize, start: usize, unit: &Unit) {
        let none = Definitions::default();
        let known = self.definitions.get(&unit.epoch).unwrap_or(&none);
        if let Err(damage) = check_unit(bytes, unit, known, |_, _| {}) {
            return self.hole(path, damage);
        }
        self.last_epoch = self.last_epoch.max(unit.epoch);
        let rows = unit.seq..unit.seq + unit.rows;
        match self.runs.last_mut() {
            Some(run)
                if (run.file, run.epoch, run.bytes.end, run.rows.end)
                    == (file, unit.epoch, start, unit.seq) =>
            {
                (run.bytes.end, run.rows.end) = (unit.end, rows.end);
            }
            _ => self.runs.push(Run { file, epoch: unit.epoch, bytes: start..unit.end, rows }),
        }
    }

    /// Puts the runs in order; of rows that are there more than once, one is left, or none when it is not known which.
    fn settle(&mut self) {
        let order = |run: &Run| (run.rows.start, Reverse(run.epoch), run.file);
        self.runs.sort_by_key(order);
        let mut end = 0;
        let mut is_twice = false;
        for run in &self.runs {
            is_twice |= run.rows.start < end;
            end = end.max(run.rows.end);
        }
        if is_twice {
            let mut units: Vec<_> = self.runs.iter().flat_map(|run| self.units_of(run)).collect();
            units.sort_by_key(order);
            self.runs = self.resolve(units);
        }
    }

    /// A run as runs of one unit each.
    pub(super) fn units_of(&self, run: &Run) -> Vec<Run> {
        let bytes = fs::read(&self.files[run.file]).unwrap_or_default();
        let mut at = run.bytes.start;
        let mut units = Vec::new();
        while at < run.bytes.end
            && let Some(unit) = read_unit(&bytes, at)
        {
            let rows = unit.seq..unit.seq + unit.rows;
            units.push(Run { bytes: at..unit.end, rows, ..*run });
            at = unit.end;
        }
        units
    }

    /// A later epoch's row is the right one: it shows that the other was never accepted. Of one epoch they must be equal.
    fn resolve(&mut self, units: Vec<Run>) -> Vec<Run> {
        let mut kept: Vec<(Run, bool)> = Vec::new();
        'units: for unit in units {
            while let Some((last, is_disputed)) = kept.last_mut()
                && unit.rows.start < last.rows.end
            {
                if unit.epoch > last.epoch {
                    kept.pop();
                    continue;
                }
                if unit.epoch == last.epoch && (*is_disputed || !self.are_equal(&unit, last)) {
                    *is_disputed = true;
                    last.rows.end = last.rows.end.max(unit.rows.end);
                    let why = "another row of the same number is in another place";
                    let damage = Damage::new(unit.bytes.clone(), why).of_rows(unit.rows.clone());
                    let path = self.files[unit.file].clone();
                    self.holes.push(Hole { path, damage });
                }
                continue 'units;
            }
            kept.push((unit, false));
        }
        let (disputed, kept): (Vec<_>, Vec<_>) = kept.into_iter().partition(|(_, is)| *is);
        for (run, _) in disputed {
            let why = "another row of the same number is in another place";
            let damage = Damage::new(run.bytes, why).of_rows(run.rows);
            let path = self.files[run.file].clone();
            self.holes.push(Hole { path, damage });
        }
        kept.into_iter().map(|(run, _)| run).collect()
    }

    fn are_equal(&self, one: &Run, other: &Run) -> bool {
        let read = |run: &Run| {
            let mut bytes = vec![0; run.bytes.len()];
            let file = File::open(&self.files[run.file]).ok()?;
            file.read_exact_at(&mut bytes, run.bytes.start as u64).ok()?;
            Some(bytes)
        };
        let one = read(one);
        one.is_some() && one == read(other)
    }
}

/// Where to look on behind a unit that cannot be read: behind all of it, where its lengths lead to its end or to a unit that follows on
/// it, for there may be anything in a row, also what looks like a unit. Else at the next place where one may begin.
fn beyond(bytes: &[u8], at: usize, seq: Option<u64>) -> usize {
    let follows = |unit: &Unit| {
        let is_next = |next: Unit| seq.is_some() && next.seq.checked_sub(unit.rows) == seq;
        unit.end == bytes.len() || read_unit(bytes, unit.end).is_some_and(is_next)
    };
    outline(bytes, at).filter(follows).map_or(at + ALIGNMENT, |unit| unit.end)
}

/// Up to where rows were accepted, as far as the header can be believed.
fn region(bytes: &[u8], header: Option<Header>) -> Region {
    let Some(header) = header else {
        let bytes = HEADER..bytes.len().max(HEADER);
        return Region { bytes, epoch: None, first: None, is_exact: false };
    };
    let end = header.end(u64_at(bytes, PUBLISHED.start)).map(|end| end as usize);
    let end = end.filter(|end| (HEADER..=header.capacity as usize).contains(end));
    Region {
        bytes: HEADER..end.unwrap_or(bytes.len()),
        epoch: Some(header.epoch),
        first: Some(header.first_seq),
        is_exact: end.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Frame, put_blob};
    use crate::spool::format::{check_of, envelope};

    fn unit(seq: u64, blob: &[u8]) -> Vec<u8> {
        let mut frames = Vec::new();
        let start = Frame::begin(&mut frames);
        put_blob(&mut frames, blob);
        Frame::finish(&mut frames, start, 0, 0);
        let mut unit = envelope(check_of(&frames), 1, seq).to_vec();
        unit.extend(frames);
        unit.resize(unit.len().next_multiple_of(ALIGNMENT), 0);
        unit
    }

    #[test]
    fn nothing_is_looked_for_in_a_damaged_row_whose_end_is_known() {
        for padding in 0..8 {
            let forged = [vec![0; padding], unit(6, b"forged")].concat();
            let (first, second) = (unit(5, &forged), unit(6, b"true"));
            let end = first.len();
            let mut bytes = [first, second].concat();
            bytes[ALIGNMENT * 3 - 1] ^= 1;
            assert_eq!(read_unit(&bytes, 0), None, "{padding}");
            assert_eq!(beyond(&bytes, 0, Some(5)), end, "{padding}");
            assert_eq!(beyond(&bytes[..end], 0, Some(5)), end, "{padding}: nothing follows it");
            assert_eq!(beyond(&bytes, 0, Some(4)), ALIGNMENT, "{padding}: another row follows it");
        }
    }
}
