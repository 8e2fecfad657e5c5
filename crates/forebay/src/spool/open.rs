//! Opening a folder: all that is in it is verified, then a new epoch begins.
//!
//! A process may be killed between any two steps, and again in the next opening. What it leaves is opened again, with the
//! same rows:
//!
//! 1. *The folder, the lock, the verdict.* Up to here nothing in the folder changes but for the lock's file.
//! 2. *Leftovers go.* Free segments and unfinished files mean nothing; so do all segments of a spool that was closed. A
//!    segment that an opening restarted without getting further is of an epoch that is not in force, and empty. It
//!    has to go before that very epoch comes into force, now: the row that it begins at is this opening's too, unless the
//!    spool was closed and the database is another one.
//! 3. *The identity of a new spool*, closed at row 0: of a folder that had none, and of one that was closed. It is written when no segment of another spool is left, and before there is any of its own, without
//!    which a folder with segments is one whose identity is missing.
//! 4. *Two segment files*, free, with numbers above all that there were. They are leftovers to the next opening. So are the
//!    definitions of the new epoch, which are begun anew.
//! 5. *The books are opened*, if the database has never heard of the spool. No row is undecided then, so that what they say
//!    is what [`check`] comes to without them.
//! 6. *The first segment is restarted* at the next row, with the new epoch: free, until its header is whole; then an
//!    empty segment of an epoch that is not in force.
//! 7. *The identity* with the new epoch, open, takes the place of the old one in one step. Before it, the old epoch's last
//!    segment is the open one. After it the new segment is: it is unsealed, of that epoch, begins where the rows before it end,
//!    and has the largest number, so that it also comes after an empty one there. The segment before it may be unsealed, for
//!    the one that follows is of a later epoch.
//! 8. *Segments go whose rows are all decided*, from the first on, so that what is left has no gap and begins at or before
//!    the first undecided row. Then other empty ones, which lie where a segment ends. A file that cannot be removed fails the
//!    opening: an empty segment that stayed would be a gap as soon as those around it are gone.
//!
//! Rows are accepted after all of this, into a segment of the epoch in force.

use std::collections::HashMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::rand::{GetRandomFlags, getrandom};

use super::definition::{Definitions, Journal};
use super::file::SegmentFile;
use super::format::{HEADER, unit_bytes};
use super::identity::Identity;
use super::lock::Lock;
use super::map::Birthmark;
use super::refusal::{damaged, row_range, unreadable, unwritable};
use super::scan::{Found, Scan, check, scan};
use super::{Hold, Opened, Recovered, Spool, step};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::filesystem::network_filesystem;
use crate::shape::Shapes;
use crate::sink::Sink;
use crate::sync::Mutex;

/// Files are multiples of this.
const PAGE: usize = 4096;

/// The new numbers of shapes, by their epochs and old numbers.
pub(super) type Renumbered = HashMap<(u32, u16), u16>;

impl Spool {
    /// Opens the spool that the settings name, which they do.
    ///
    /// The shapes of rows that an earlier process left are restored into `shapes`. Blocks for the time that it takes to read all
    /// of the spool, and to reserve two files.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Spool`] when the folder cannot be used, what is in it is damaged, of another database or in use, or
    /// there is no room; what the sink says of its books; [`ErrorKind::TooManyShapes`]. No row is lost.
    pub(crate) fn open(config: &Config, sink: &mut dyn Sink, shapes: &Shapes) -> Result<Opened> {
        let folder = config.spool.as_deref().expect("a spool is opened where one is set");
        let folder = &make_folder(folder)?;
        check_place(folder)?;
        let lock = Lock::take(folder)?;
        let there = Identity::read(folder)?;
        let old = match &there {
            Some(open) if open.open => open.clone(),
            closed => draw(folder, sink, closed.as_ref().map_or(0, |closed| closed.epoch))?,
        };
        let found = scan(folder, there.as_ref().unwrap_or(&old))?;
        let key = old.key();
        let books = sink.books(&key)?;
        let applied = books.as_ref().map(|books| books.applied);
        let first_seq = check(folder, found.rows.as_ref(), applied, &sink.name())?;
        let next = found.rows.as_ref().map_or(first_seq, |rows| rows.end);
        let boot = boot();
        warn(folder, &old, boot.as_deref(), &found);
        let (decided, left) = part(found.segments, first_seq);
        let recovered = recover(folder, left, first_seq, shapes)?;

        let was_open = old.open;
        let epoch = old.epoch.checked_add(1);
        let epoch = epoch.ok_or_else(|| damaged(folder, "which has no epoch left"))?;
        remove(found.leftovers)?;
        if !was_open {
            old.write(folder)?;
        }
        let identity = Identity { epoch, open: true, database: sink.name(), boot, ..old };
        let spool = Spool {
            folder: folder.clone(),
            capacity: capacity(config),
            birthmark: birthmark(folder)?,
            key,
            identity,
            hold: Mutex::new(Some(Hold { last_number: found.last_number, lock })),
        };
        let mut open = spool.make()?;
        let spare = spool.make().inspect_err(|_| discard(&[&open]))?;
        let begun = spool.begin(&mut open, next, || match applied {
            Some(_) => Ok(()),
            None => sink.open_books(&spool.key, first_seq),
        });
        let journal = begun.inspect_err(|_| discard(&[&open, &spare]))?;
        remove(decided)?;
        remove(found.others)?;
        let untold = books.map(|books| books.untold).unwrap_or_default();
        Ok(Opened { spool, journal, first_seq, recovered, open, spare, untold })
    }

    /// Has the new epoch begin, at the row `next`.
    fn begin(
        &self,
        open: &mut SegmentFile,
        next: u64,
        open_books: impl FnOnce() -> Result<()>,
    ) -> Result<Journal> {
        let journal = Journal::create(&self.folder, self.identity.epoch)?;
        open_books()?;
        step();
        open.restart(next);
        step();
        self.identity.write(&self.folder)?;
        Ok(journal)
    }
}

/// Makes the folder if it is not there, for its owner alone. It keeps its place when the process changes its directory.
fn make_folder(folder: &Path) -> Result<PathBuf> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !folder.is_dir() {
                return Err(unusable(
                    folder,
                    "it is a file: name a folder for the setting `spool`",
                ));
            }
        }
        Err(error)
            if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) =>
        {
            let parent = folder.parent().unwrap_or(folder).display();
            let why = format!("{parent} is no folder: make it one, or name another place");
            return Err(unusable(folder, &why).because(error));
        }
        Err(error) => return Err(unwritable(folder, error)),
    }
    step();
    fs::canonicalize(folder).map_err(|error| unreadable(folder, error))
}

/// Refuses filesystems that cannot keep what a mapping needs.
fn check_place(folder: &Path) -> Result<()> {
    if let Some(kind) = network_filesystem(folder) {
        let why = format!(
            "it lies on a network filesystem ({kind}), where neither locks nor mapped files are sure: put it on a local disk"
        );
        return Err(unusable(folder, &why));
    }
    let place = rustix::fs::statfs(folder);
    let place = place.map_err(|error| unreadable(folder, error.into()))?;
    match faulty_filesystem(place.f_type as u32) {
        None => Ok(()),
        Some((kind, what)) => {
            let why = format!("it lies on {kind}, which {what}: put it on ext4, XFS or tmpfs");
            Err(unusable(folder, &why))
        }
    }
}

/// A filesystem on which a store to a mapped file can fail, by its magic number of statfs(2).
fn faulty_filesystem(magic: u32) -> Option<(&'static str, &'static str)> {
    let copies = "writes to another place each time, so that a full disk ends the process though room was reserved";
    let foreign = "leaves it to another program whether a mapped file can be written";
    Some(match magic {
        0x9123_683E => ("Btrfs", copies),
        0xCA45_1A4E => ("bcachefs", copies),
        0x2FC1_2FC1 => ("ZFS", copies),
        0x0000_3434 => ("NILFS", copies),
        0x6573_5546 => ("FUSE", foreign),
        0x786F_4256 => ("a folder shared by VirtualBox", foreign),
        0xBACB_ACBC => ("a folder shared by VMware", foreign),
        _ => return None,
    })
}

fn unusable(folder: &Path, why: &str) -> Error {
    let message = format!("cannot keep a spool in {}: {why}", folder.display());
    Error::new(ErrorKind::Spool, message).with_field("spool")
}

/// That of a spool which there was none of before. One that was closed does not go on either: of another database, of a restored one, or
/// of a copy of the folder the next rows would have the numbers of others, which the books already count as decided.
fn draw(folder: &Path, sink: &dyn Sink, epoch: u32) -> Result<Identity> {
    let mut drawn = [0; 16];
    let random = getrandom(&mut drawn, GetRandomFlags::empty());
    random.map_err(|error| unwritable(folder, error.into()))?;
    let spool = u128::from_ne_bytes(drawn);
    let database = sink.name();
    Ok(Identity { spool, epoch, open: false, database, boot: None })
}

/// Which boot of the machine this is.
fn boot() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(boot.trim().to_owned())
}

/// Says what has been found that somebody may want to know.
fn warn(folder: &Path, identity: &Identity, boot: Option<&str>, found: &Scan) {
    if let (true, Some(then), Some(now)) = (identity.open, identity.boot.as_deref(), boot)
        && then != now
    {
        tracing::warn!(
            "the machine was restarted while the spool {} was open: rows that were pushed last may be lost, for a spool survives the \
             end of a process, not of the machine; what is there is whole",
            folder.display()
        );
    }
    if let Some(torn) = &found.torn {
        tracing::warn!(
            "a row was being pushed to {} when the process ended, at byte {}: it was not accepted, and is left out",
            torn.path.display(),
            torn.at
        );
    }
    if let Some(rows) = found.rows.as_ref().filter(|rows| !rows.is_empty()) {
        let (folder, rows) = (folder.display(), row_range(rows));
        tracing::info!("the spool {folder} holds {rows} of an earlier process");
    }
}

/// Parts the files whose rows are all decided from the others.
fn part(segments: Vec<Found>, first_seq: u64) -> (Vec<PathBuf>, Vec<Found>) {
    let (decided, left): (Vec<_>, Vec<_>) =
        segments.into_iter().partition(|segment| segment.rows.end <= first_seq);
    (decided.into_iter().map(|segment| segment.path).collect(), left)
}

/// Makes ready what is to be written first: restores its shapes, of which equal ones get one number.
fn recover(
    folder: &Path,
    segments: Vec<Found>,
    first_seq: u64,
    shapes: &Shapes,
) -> Result<Vec<Recovered>> {
    let mut numbers = Renumbered::new();
    let mut meanings = HashMap::new();
    let mut definitions: Option<(u32, Definitions)> = None;
    for found in &segments {
        let known = match definitions.take() {
            Some((epoch, known)) if epoch == found.epoch => known,
            _ => Definitions::read(folder, found.epoch)?,
        };
        for &number in &found.shapes {
            // The scan has seen it there.
            let definition = known.find(number).ok_or_else(|| {
                damaged(&found.path, format!("in which what shape {number} means is not known"))
            })?;
            let meaning = definition.meaning();
            let id = match meanings.get(&meaning) {
                Some(&id) => id,
                None => {
                    let id = shapes.restore(definition)?.id();
                    meanings.insert(meaning, id);
                    id
                }
            };
            numbers.insert((found.epoch, number), id);
        }
        definitions = Some((found.epoch, known));
    }
    let numbers = Arc::new(numbers);
    let recovered: Vec<_> = segments
        .into_iter()
        .map(|found| Recovered { from: first_seq, shapes: Arc::clone(&numbers), found })
        .collect();
    // Where the database comes next may be inside a group: that is found out before rows are accepted.
    if let Some(first) = recovered.first().filter(|first| first.found.rows.start < first_seq) {
        first.load()?;
    }
    Ok(recovered)
}

/// The bytes of a file: a segment's, and enough for the largest unit, in whole pages.
fn capacity(config: &Config) -> u32 {
    let largest = HEADER + unit_bytes(config.max_row_bytes);
    let bytes = config.segment_bytes().max(largest).next_multiple_of(PAGE);
    u32::try_from(bytes).expect("a buffer has at most 4 GiB, and a segment less than half of it")
}

fn birthmark(folder: &Path) -> Result<Birthmark> {
    Birthmark::new().map_err(|error| {
        let why = "this system cannot tell a forked process from its parent, for which it takes Linux 4.14 or newer";
        unusable(folder, why).because(error)
    })
}

/// Removes the files of an opening that has failed; the next one removes what is left.
fn discard(files: &[&SegmentFile]) {
    for file in files {
        let _ = fs::remove_file(file.path());
    }
}

fn remove(paths: Vec<PathBuf>) -> Result<()> {
    for path in paths {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(unwritable(&path, error));
            }
            _ => step(),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filesystems_on_which_a_store_can_fail_are_known() {
        for (magic, name) in [(0x9123_683E, "Btrfs"), (0x2FC1_2FC1, "ZFS"), (0x6573_5546, "FUSE")] {
            assert_eq!(faulty_filesystem(magic).expect("known").0, name);
        }
        // ext4, XFS, tmpfs, overlayfs.
        for magic in [0xEF53, 0x5846_5342, 0x0102_1994, 0x794C_7630] {
            assert_eq!(faulty_filesystem(magic), None);
        }
    }
}
