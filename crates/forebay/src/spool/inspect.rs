//! `inspect`: what a spool holds, seen from outside, also while a buffer has it open.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{major, minor};
use serde::Serialize;

use super::definition::Definitions;
use super::files;
use super::format::HEADER;
use super::gather::most_likely;
use super::identity::{self, Identity, Look};
use super::image::{BadState, State, check_unit, is_torn, units};
use super::lock;
use super::refusal::{row_range, unreadable};
use super::scan::{check, scan};
use crate::error::{Error, ErrorKind, Result};

/// A file that changes while it is read is read again, so many times at the most.
const READS: usize = 3;

/// What a spool holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// The spool's id: the database keeps its books under it. Where `spool.json` is damaged, that of most segments;
    /// `None` when none says it.
    pub id: Option<String>,
    /// How often it was opened.
    pub epoch: u32,
    /// The database that it is used with.
    pub database: String,
    /// Whether it was closed with all its rows written.
    pub is_closed: bool,
    /// Whether a process has it open, as far as the system tells.
    pub in_use: bool,
    /// Its segments, in the order of their rows.
    pub segments: Vec<Segment>,
    /// What its rows are for. A part of them may be in the database already.
    pub tables: Vec<Table>,
    /// Whether there is the beginning of a row that was never accepted.
    pub has_torn_tail: bool,
    /// Why a buffer would not open it; never while it is in use, when this cannot be told.
    pub refusal: Option<String>,
    #[serde(skip)]
    folder: PathBuf,
    /// Those that a buffer would have to write, or that the database has.
    #[serde(skip)]
    rows: Option<Range<u64>>,
}

impl Inspection {
    /// Why a buffer would not open it with a database that has decided so many of its rows, see [`Books`](crate::Books), and by
    /// `None` knows nothing of it. None where it would, nor where that cannot be told: while it is in use, or damaged.
    pub fn mismatch(&self, database: &str, applied: Option<u64>) -> Option<String> {
        let checked = check(&self.folder, self.rows.as_ref(), applied, database);
        checked.err().map(|error| error.to_string())
    }
}

/// A file of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Segment {
    /// Where it is.
    pub file: PathBuf,
    /// What it is used for.
    pub state: SegmentState,
    /// The number of its first row, counted from 0 over the whole life of the spool.
    pub first_row: u64,
    /// How many rows it has.
    pub rows: u64,
    /// Bytes that they take.
    pub bytes: usize,
    /// The file's length in bytes.
    pub capacity: usize,
    /// The time since it was last changed, by the system's clock.
    pub age: Duration,
    /// What is wrong with it.
    pub damage: Option<String>,
}

/// What a segment is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SegmentState {
    /// Rows are appended to it, or were last.
    Open,
    /// It is full, or closed, and waits to be written.
    Sealed,
    /// It holds nothing.
    Free,
    /// It cannot be read, or not to its end.
    Damaged,
}

/// Rows for one table, or of one statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Table {
    /// Its name; of a statement the start of its text.
    pub table: String,
    /// How many rows there are.
    pub rows: u64,
    /// Bytes that they take, encoded.
    pub bytes: usize,
}

/// Looks at a spool and changes nothing; takes no lock, and keeps nobody waiting. Never shows a row's values.
///
/// ```
/// use forebay::spool;
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let error = spool::inspect(folder).unwrap_err();
/// assert!(error.to_string().contains("there is no spool"));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// [`ErrorKind::Spool`] when there is no spool in the folder, it cannot be read, or a newer forebay has written it.
pub fn inspect(folder: impl AsRef<Path>) -> Result<Inspection> {
    let folder = folder.as_ref();
    let (identity, damage) = match Identity::look(folder)? {
        Look::Nothing => return Err(no_spool(folder)),
        Look::Whole(identity) => (Some(identity), None),
        Look::Damaged(what) => (None, Some(Identity::damaged(folder, what).to_string())),
    };
    let mut in_use = is_locked(folder);
    let mut tables = BTreeMap::new();
    let mut segments = Vec::new();
    let mut has_torn_tail = false;
    for (_, path) in files::list(folder)?.segments {
        let Some(mut looked) = look(folder, &path, identity.as_ref())? else { continue };
        for (table, (rows, bytes)) in std::mem::take(&mut looked.tables) {
            let (all_rows, all_bytes) = tables.entry(table).or_insert((0, 0));
            (*all_rows, *all_bytes) = (*all_rows + rows, *all_bytes + bytes);
        }
        has_torn_tail |= looked.is_torn && !in_use;
        segments.push(looked.segment);
    }
    segments.sort_by_key(|segment| (segment.state == SegmentState::Free, segment.first_row));
    let scan = identity.as_ref().filter(|_| !in_use).map(|identity| scan(folder, identity));
    let (rows, refusal) = match scan {
        Some(Ok(scan)) => (scan.rows, None),
        Some(Err(error)) if changes(folder, &segments) => {
            in_use = true;
            tracing::debug!("it changes while it is looked at, so somebody has it open: {error}");
            (None, None)
        }
        Some(Err(error)) => (None, Some(error.to_string())),
        None => (None, damage),
    };
    let tables = tables.into_iter().map(|(table, (rows, bytes))| Table { table, rows, bytes });
    let id = match &identity {
        Some(identity) => Some(identity.key()),
        None => most_likely(folder)?.map(|(spool, _)| identity::key(spool)),
    };
    Ok(Inspection {
        id,
        epoch: identity.as_ref().map_or(0, |identity| identity.epoch),
        is_closed: identity.as_ref().is_some_and(|identity| !identity.open),
        database: identity.map(|identity| identity.database).unwrap_or_default(),
        in_use,
        segments,
        tables: tables.collect(),
        has_torn_tail,
        refusal,
        folder: folder.to_owned(),
        rows,
    })
}

fn no_spool(folder: &Path) -> Error {
    let message = format!(
        "there is no spool in {}: name the folder of the setting `spool`",
        folder.display()
    );
    Error::new(ErrorKind::Spool, message).with_field("spool")
}

struct Looked {
    segment: Segment,
    tables: BTreeMap<String, (u64, usize)>,
    is_torn: bool,
}

/// Looks at a segment; `None` when it went away meanwhile.
fn look(folder: &Path, path: &Path, identity: Option<&Identity>) -> Result<Option<Looked>> {
    let mut last = None;
    for _ in 0..READS {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(path, error)),
        };
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
        let age = modified.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        let looked = read(folder, path, &bytes, age.unwrap_or_default(), identity)?;
        let is_whole = looked.segment.damage.is_none();
        last = Some(looked);
        if is_whole {
            break;
        }
    }
    Ok(last)
}

fn read(
    folder: &Path,
    path: &Path,
    bytes: &[u8],
    age: Duration,
    identity: Option<&Identity>,
) -> Result<Looked> {
    let segment = Segment {
        file: path.to_owned(),
        state: SegmentState::Free,
        first_row: 0,
        rows: 0,
        bytes: 0,
        capacity: bytes.len(),
        age,
        damage: None,
    };
    let mut looked = Looked { segment, tables: BTreeMap::new(), is_torn: false };
    let (header, end, sealed) = match State::read(bytes) {
        Ok(State::Free) => return Ok(looked),
        Ok(State::Used { header, end, sealed }) => (header, end, sealed),
        Err(BadState::Newer(format)) => {
            looked.damaged(format!("it has format {format}"));
            return Ok(looked);
        }
        Err(BadState::Damaged(damage)) => {
            looked.damaged(damage.why);
            return Ok(looked);
        }
    };
    looked.segment.state = if sealed { SegmentState::Sealed } else { SegmentState::Open };
    looked.segment.first_row = header.first_seq;
    looked.segment.bytes = end - HEADER;
    if identity.is_some_and(|identity| identity.spool != header.spool) {
        looked.damaged("it belongs to another spool".to_owned());
        return Ok(looked);
    }
    let definitions = Definitions::read(folder, header.epoch).unwrap_or_default();
    for unit in units(bytes, header, end) {
        let mut rows = Vec::new();
        let known = unit.and_then(|unit| {
            check_unit(bytes, &unit, &definitions, |definition, length| {
                rows.push((definition.target.table(), length));
            })?;
            Ok(unit)
        });
        match known {
            Ok(unit) => looked.segment.rows += unit.rows,
            Err(damage) => {
                let rows = damage.rows.as_ref().map(row_range).unwrap_or_default();
                let (start, end) = (damage.bytes.start, damage.bytes.end);
                looked.damaged(format!("bytes {start} to {end}, {rows}: {}", damage.why));
                return Ok(looked);
            }
        }
        for (table, length) in rows {
            let (rows, bytes) = looked.tables.entry(table.to_owned()).or_default();
            (*rows, *bytes) = (*rows + 1, *bytes + length);
        }
    }
    looked.is_torn = !sealed && is_torn(bytes, header, end, header.first_seq + looked.segment.rows);
    Ok(looked)
}

impl Looked {
    fn damaged(&mut self, why: String) {
        self.segment.state = SegmentState::Damaged;
        self.segment.damage = Some(why);
    }
}

/// Whether a segment is another than when it was looked at: the system's list of locks leaves out those of processes that cannot be seen
/// from here, as from another container.
fn changes(folder: &Path, segments: &[Segment]) -> bool {
    let Ok(Some(identity)) = Identity::read(folder) else { return false };
    let is_other = |before: &Segment| {
        let now = look(folder, &before.file, Some(&identity)).ok().flatten();
        let before = (before.state, before.first_row, before.rows);
        now.is_none_or(|now| (now.segment.state, now.segment.first_row, now.segment.rows) != before)
    };
    segments.iter().any(is_other)
}

/// Whether somebody holds the lock, read off the system's list: to try it would keep others from it.
fn is_locked(folder: &Path) -> bool {
    let Ok(file) = fs::metadata(folder.join(lock::NAME)) else { return false };
    let device = file.dev();
    let wanted = format!("{:02x}:{:02x}:{}", major(device), minor(device), file.ino());
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    locks.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.any(|word| word == "FLOCK") && words.any(|word| word == wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::lock::Lock;
    use crate::spool::tests::sample::{APPLIED, FIRST, Sample, folder};

    #[test]
    fn it_counts_rows_by_table_and_names_no_value() {
        let folder = folder();
        let sample = Sample::write(folder.path());
        let seen = inspect(folder.path()).expect("a spool");
        let rows: u64 = seen.tables.iter().map(|table| table.rows).sum();
        let all = sample.promised.len() as u64 + APPLIED - FIRST;
        assert_eq!((rows, seen.tables.len(), seen.segments.len()), (all, 2, 4));
        let states: Vec<_> = seen.segments.iter().map(|segment| segment.state).collect();
        let open = SegmentState::Open;
        assert_eq!(states, [SegmentState::Sealed, open, open, SegmentState::Free]);
        assert!(seen.has_torn_tail && !seen.in_use && !seen.is_closed && seen.refusal.is_none());
        let json = serde_json::to_string(&seen).expect("JSON");
        assert!(!json.contains("text of row"), "{json}");
    }

    #[test]
    fn a_spool_in_use_is_looked_at_without_its_lock() {
        let folder = folder();
        Sample::write(folder.path());
        let lock = Lock::take(folder.path()).expect("free");
        assert!(inspect(folder.path()).expect("a spool").in_use);
        let error = Lock::take(folder.path()).expect_err("taken");
        assert!(error.to_string().contains("in use by another process"), "{error}");
        drop(lock);
        assert!(!inspect(folder.path()).expect("a spool").in_use);
    }

    #[test]
    fn a_segment_that_changes_is_seen_to() {
        let folder = folder();
        Sample::write(folder.path());
        let seen = inspect(folder.path()).expect("a spool");
        assert!(!changes(folder.path(), &seen.segments));
        let path = files::segment(folder.path(), 14);
        let good = fs::read(&path).expect("bytes");
        let mut freed = good.clone();
        freed[8..16].fill(0xFF);
        for bytes in [Some(freed), None] {
            match bytes {
                Some(bytes) => fs::write(&path, bytes).expect("writes"),
                None => fs::remove_file(&path).expect("removes"),
            }
            assert!(changes(folder.path(), &seen.segments));
            fs::write(&path, &good).expect("writes");
        }
        assert!(!changes(folder.path(), &seen.segments));
    }

    #[test]
    fn a_damaged_segment_is_named_with_what_is_wrong_and_why_a_buffer_would_not_open_it() {
        let folder = folder();
        Sample::write(folder.path());
        let path = files::segment(folder.path(), 12);
        let mut bytes = fs::read(&path).expect("bytes");
        bytes[HEADER + 40] ^= 1;
        fs::write(&path, bytes).expect("writes");
        let seen = inspect(folder.path()).expect("a spool");
        let damaged: Vec<_> =
            seen.segments.iter().filter(|segment| segment.state == SegmentState::Damaged).collect();
        assert_eq!((damaged.len(), &damaged[0].file), (1, &path));
        assert!(seen.refusal.expect("refused").contains("segment-00000012, bytes 64 to"));
    }
}
