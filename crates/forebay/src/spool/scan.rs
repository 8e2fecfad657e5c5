//! All that a spool holds, verified before anything is done with it; what is not perfect is refused.

use std::collections::BTreeSet;
use std::collections::hash_map::{Entry, HashMap};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::definition::{Definition, Definitions};
use super::files;
use super::format::{FORMAT, HEADER, Header, Unit};
use super::identity::Identity;
use super::image::{BadState, State, check_unit, is_torn, units};
use super::refusal::{Damage, damaged, newer, row_range, unreadable};
use crate::error::{Error, ErrorKind, Result};
use crate::row::{Frame, RECEIPT};

/// What a spool's folder holds.
#[derive(Debug)]
pub(crate) struct Scan {
    /// The segments that hold rows, in the order of these.
    pub(crate) segments: Vec<Found>,
    /// The rows of all of them, without a gap; empty, at the next row, when all is decided. `None` after a clean close.
    pub(crate) rows: Option<Range<u64>>,
    pub(crate) torn: Option<Torn>,
    /// The largest number that a segment has.
    pub(crate) last_number: u32,
    /// What nobody needs: files that were never finished, free segments, and those of an opening that did not come to its
    /// end; after a clean close all segments.
    pub(crate) leftovers: Vec<PathBuf>,
    /// What nobody needs once the next epoch's identity is written: other segments without rows, and shapes.
    pub(crate) others: Vec<PathBuf>,
}

/// A segment that holds rows.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) number: u32,
    pub(crate) epoch: u32,
    pub(crate) rows: Range<u64>,
    /// The numbers of the shapes that its rows have.
    pub(crate) shapes: BTreeSet<u16>,
    /// The file's length.
    pub(crate) bytes: usize,
}

/// A row that was being appended when the process ended. It was never accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Torn {
    pub(crate) path: PathBuf,
    pub(crate) at: usize,
}

/// A segment in use, with or without rows.
struct Segment {
    found: Found,
    header: Header,
    end: usize,
    sealed: bool,
    is_torn: bool,
}

/// Reads every segment, one at a time.
///
/// # Errors
///
/// [`ErrorKind::Spool`] at the first thing that is not as a process leaves it, however it ends: with the file, the
/// bytes and the rows concerned. Nothing is changed.
pub(crate) fn scan(folder: &Path, identity: &Identity) -> Result<Scan> {
    let listed = files::list(folder)?;
    let mut definitions = HashMap::new();
    let mut used = Vec::new();
    let mut leftovers = listed.unfinished;
    for (number, path) in listed.segments {
        match read(&path, number, identity, &mut definitions)? {
            Some(segment) => used.push(segment),
            None => leftovers.push(path),
        }
    }
    used.sort_by_key(|segment| (segment.found.rows.start, segment.found.rows.end));
    let (torn, rows) = if identity.open {
        check_order(&used)?;
        let last = check_last(folder, identity, &used)?;
        let at = last.end;
        let torn = last.is_torn.then(|| Torn { path: last.found.path.clone(), at });
        (torn, Some(used[0].found.rows.start..last.found.rows.end))
    } else {
        (None, None)
    };
    let (segments, empty): (Vec<_>, Vec<_>) =
        used.into_iter().partition(|segment| !segment.found.rows.is_empty());
    let mut others: Vec<_> = empty.into_iter().map(|segment| segment.found.path).collect();
    let segments: Vec<_> = segments.into_iter().map(|segment| segment.found).collect();
    let unused = |epoch: &u32| {
        *epoch <= identity.epoch && segments.iter().all(|segment| segment.epoch != *epoch)
    };
    others.extend(listed.shapes.into_iter().filter(|(epoch, _)| unused(epoch)).map(|(_, p)| p));
    let last_number = listed.last_number;
    Ok(Scan { segments, rows, torn, last_number, leftovers, others })
}

/// Reads a segment; `None` when it holds nothing that matters. What was closed has been decided to its end: of that it matters
/// only whether it is the same spool's, and of its time.
fn read(
    path: &Path,
    number: u32,
    identity: &Identity,
    definitions: &mut HashMap<u32, Definitions>,
) -> Result<Option<Segment>> {
    let bytes = fs::read(path).map_err(|error| unreadable(path, error))?;
    let state = match State::read(&bytes) {
        Err(BadState::Damaged(_)) if !identity.open => return Ok(None),
        state => readable(path, state)?,
    };
    let State::Used { header, end, sealed } = state else { return Ok(None) };
    if header.spool != identity.spool {
        return Err(damaged(path, "which belongs to another spool"));
    }
    if header.epoch > identity.epoch {
        // Made by an opening that did not come to its end.
        return match end {
            HEADER => Ok(None),
            _ => {
                Err(damaged(path, "which holds rows of an epoch that spool.json does not know of"))
            }
        };
    }
    if !identity.open {
        return Ok(None);
    }
    if header.number != number {
        let what = format!("which is segment {} by its header", header.number);
        return Err(damaged(path, what));
    }
    let known = match definitions.entry(header.epoch) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(unknown) => {
            unknown.insert(Definitions::read(path.parent().unwrap_or(path), header.epoch)?)
        }
    };
    let mut seq = header.first_seq;
    let mut shapes = BTreeSet::new();
    for unit in units(&bytes, header, end) {
        let unit = unit.map_err(|damage| damage.refuse(path))?;
        let note = |definition: &Definition, _| {
            shapes.insert(definition.number);
        };
        check_unit(&bytes, &unit, known, note).map_err(|damage| damage.refuse(path))?;
        seq += unit.rows;
    }
    let found = Found {
        path: path.to_owned(),
        number,
        epoch: header.epoch,
        rows: header.first_seq..seq,
        shapes,
        bytes: bytes.len(),
    };
    let is_torn = is_torn(&bytes, header, end, seq);
    Ok(Some(Segment { found, header, end, sealed, is_torn }))
}

fn readable(path: &Path, state: Result<State, BadState>) -> Result<State> {
    state.map_err(|bad| match bad {
        BadState::Newer(format) => newer(path, u64::from(format), FORMAT),
        BadState::Damaged(damage) => damage.refuse(path),
    })
}

/// One segment's rows follow on the other's; all but the last are full and sealed, but for one that was about to be.
fn check_order(used: &[Segment]) -> Result<()> {
    for pair in used.windows(2) {
        let [one, next] = pair else { continue };
        let (rows, after) = (&one.found.rows, &next.found.rows);
        if after.start < rows.end {
            let what = format!(
                "which has {} that {} has too",
                row_range(&(after.start..rows.end.min(after.end).max(after.start + 1))),
                one.found.path.display()
            );
            return Err(damaged(&next.found.path, what));
        }
        if after.start > rows.end {
            let what = format!("before which {} are missing", row_range(&(rows.end..after.start)));
            return Err(damaged(&next.found.path, what));
        }
        if next.header.epoch < one.header.epoch {
            return Err(damaged(&next.found.path, "which is of an earlier epoch than its rows"));
        }
        let is_swap = next.found.rows.is_empty() || next.header.epoch > one.header.epoch;
        if !one.sealed && !is_swap {
            return Err(damaged(&one.found.path, "which is open, though other rows follow it"));
        }
    }
    Ok(())
}

/// The segment that rows were appended to.
fn check_last<'s>(folder: &Path, identity: &Identity, used: &'s [Segment]) -> Result<&'s Segment> {
    let open = used.last().filter(|last| !last.sealed && last.header.epoch == identity.epoch);
    open.ok_or_else(|| match used.last() {
        None => damaged(folder, "in which the segment is missing that rows were appended to"),
        Some(last) => {
            let rows = last.found.rows.end;
            let what =
                format!("after which a segment is missing: that with row {rows} and what follows");
            damaged(&last.found.path, what)
        }
    })
}

/// Where the replay of [these rows](Scan::rows) begins, given how many the database has decided, `None` when it has never heard of this spool.
///
/// # Errors
///
/// [`ErrorKind::Spool`] when spool and database do not belong together, or are not of one time.
pub(crate) fn check(
    folder: &Path,
    rows: Option<&Range<u64>>,
    applied: Option<u64>,
    database: &str,
) -> Result<u64> {
    let folder = folder.display();
    let refuse = |message: String| Err(Error::new(ErrorKind::Spool, message).with_field("spool"));
    let Some(rows) = rows else { return Ok(applied.unwrap_or(0)) };
    let Some(applied) = applied else {
        if rows.is_empty() {
            return Ok(rows.end);
        }
        return refuse(format!(
            "the spool {folder} holds {} of another database: {database} knows nothing of it; nothing was changed; open the \
             database that it was used with, or another folder",
            row_range(rows)
        ));
    };
    if applied < rows.start {
        return refuse(format!(
            "{database} has an earlier state than the spool {folder} goes on from, as after a backup was restored: {} are in \
             neither; nothing was changed; bring back the newer database, or have `forebay spool salvage {folder}` keep \
             {} and go on without the missing ones",
            row_range(&(applied..rows.start)),
            if rows.is_empty() { "the spool".to_owned() } else { row_range(rows) },
        ));
    }
    if applied > rows.end {
        return refuse(format!(
            "the spool {folder} is older than {database}, which has {applied} of its rows: the spool ends before row {}; nothing was \
             changed; bring back the newer spool, or open another folder",
            rows.end
        ));
    }
    Ok(applied)
}

impl Found {
    /// The rows from `from` on as plain frames, with the numbers that `shapes` gives for an epoch's, and nobody waiting
    /// for a receipt.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Spool`] when the file is no longer what it was, when a shape has no number, or when `from` is not
    /// where a row or group begins.
    pub(crate) fn load(
        &self,
        from: u64,
        shapes: &dyn Fn(u32, u16) -> Option<u16>,
    ) -> Result<Vec<u8>> {
        let bytes = fs::read(&self.path).map_err(|error| unreadable(&self.path, error))?;
        let changed = || damaged(&self.path, "which has changed since it was looked at");
        let State::Used { header, end, .. } = readable(&self.path, State::read(&bytes))? else {
            return Err(changed());
        };
        let mut frames = Vec::with_capacity(end);
        let (mut seq, mut begins) = (header.first_seq, from <= header.first_seq);
        for unit in units(&bytes, header, end) {
            let unit = unit.map_err(|damage| damage.refuse(&self.path))?;
            begins |= unit.seq == from;
            seq = unit.seq + unit.rows;
            if unit.seq >= from {
                let map = |number| shapes(header.epoch, number);
                copy_frames(&bytes, &unit, map, &mut frames)
                    .map_err(|damage| damage.refuse(&self.path))?;
            }
        }
        if (header.number, header.epoch, header.first_seq..seq)
            != (self.number, self.epoch, self.rows.clone())
        {
            return Err(changed());
        }
        if !begins && from < seq {
            let what =
                format!("in which row {from}, that the database comes to next, is inside a group");
            return Err(damaged(&self.path, what));
        }
        Ok(frames)
    }
}

/// Appends a unit's frames with other shape numbers and without the flag of a receipt.
pub(crate) fn copy_frames(
    bytes: &[u8],
    unit: &Unit,
    shapes: impl Fn(u16) -> Option<u16>,
    frames: &mut Vec<u8>,
) -> Result<(), Damage> {
    let mut at = unit.frames.start;
    while at < unit.frames.end {
        let head = Frame::read(&bytes[at..]);
        let Some(shape) = shapes(head.shape) else {
            let why = format!("what shape {} means is not known", head.shape);
            return Err(
                Damage::new(unit.frames.clone(), why).of_rows(unit.seq..unit.seq + unit.rows)
            );
        };
        let start = frames.len();
        frames.extend_from_slice(&bytes[at..at + head.length]);
        Frame::finish(frames, start, shape, head.flags & !RECEIPT);
        at += head.length;
    }
    Ok(())
}
