//! The spool: segments of the row log in memory-mapped files, so that accepted rows survive the process.

#[cfg(any(test, fuzzing))]
mod any_bytes;
mod definition;
mod file;
mod files;
mod format;
mod gather;
mod identity;
mod image;
mod inspect;
mod lock;
mod map;
mod open;
mod rebuild;
mod refusal;
mod salvage;
mod scan;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub use any_bytes::check_segment;
pub(crate) use definition::{Definition, Journal};
pub(crate) use file::SegmentFile;
pub(crate) use format::{after_unit, check_of};
pub use inspect::{Inspection, Segment, SegmentState, Table, inspect};
pub use salvage::{Salvage, Salvaged, Unread, salvage};

use self::format::Header;
use self::identity::Identity;
use self::lock::Lock;
use self::map::Birthmark;
use self::open::Renumbered;
use self::refusal::damaged;
use self::scan::Found;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::DeadLetter;
use crate::sync::Mutex;

/// A spool that a buffer has open.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    key: String,
    /// Of the epoch in force.
    identity: Identity,
    /// Of the files that it makes, in bytes.
    capacity: u32,
    birthmark: Birthmark,
    /// Held while a segment is made, so that none appears when it is closed.
    hold: Mutex<Option<Hold>>,
}

/// What whoever has the spool open has of it.
#[derive(Debug)]
struct Hold {
    /// The largest number that a segment has.
    last_number: u32,
    lock: Lock,
}

/// What was in a spool, and what a buffer begins with.
pub(crate) struct Opened {
    pub(crate) spool: Spool,
    /// Of the new epoch.
    pub(crate) journal: Journal,
    /// Rows before it are decided.
    pub(crate) first_seq: u64,
    /// To be written first, in this order. Their rows are dense from `first_seq` on.
    pub(crate) recovered: Vec<Recovered>,
    /// In use, for the row after the recovered ones.
    pub(crate) open: SegmentFile,
    /// Free.
    pub(crate) spare: SegmentFile,
    /// Refused rows of which nobody may have been told.
    pub(crate) untold: Vec<DeadLetter>,
}

/// Rows of an earlier process in a file of theirs, loaded when their turn comes.
#[derive(Debug)]
pub(crate) struct Recovered {
    found: Found,
    /// Rows before it are decided.
    from: u64,
    shapes: Arc<Renumbered>,
}

impl Spool {
    /// What the database keeps its books under.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Where it is, from the root on.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The capacity of the files that it makes, in bytes.
    pub(crate) fn segment_bytes(&self) -> usize {
        self.capacity as usize
    }

    /// Makes another segment, which is free. Blocks while room is reserved.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Spool`](crate::ErrorKind::Spool) with the cause, when there is no room for it.
    pub(crate) fn make(&self) -> Result<SegmentFile> {
        let mut hold = self.hold.lock();
        let Some(Hold { last_number, lock }) = &mut *hold else {
            let message = format!("the spool {} is closed", self.folder.display());
            return Err(Error::new(ErrorKind::Closed, message));
        };
        lock.check(&self.folder)?;
        let number = last_number.checked_add(1);
        let number = number
            .ok_or_else(|| damaged(&self.folder, "in which no number is left for a segment"))?;
        *last_number = number;
        let Identity { spool, epoch, .. } = self.identity;
        let header = Header { number, spool, first_seq: 0, epoch, capacity: self.capacity };
        let file = SegmentFile::create(&self.folder, header)?;
        // It is made because rows come faster than they are written. Those of an opening are not, for few rows may ever come.
        file.populate();
        Ok(file)
    }

    /// Whether its folder is still where it was. Else nothing there may be removed: another process may have it, whose files have the
    /// names of ours.
    pub(crate) fn is_in_place(&self) -> bool {
        let hold = self.hold.lock();
        hold.as_ref().is_some_and(|hold| hold.lock.check(&self.folder).is_ok())
    }

    /// Whether this process is a child of the one that opened it: then it must not write to the files. One read of memory.
    #[inline]
    pub(crate) fn is_forked(&self) -> bool {
        self.birthmark.is_of_a_child()
    }

    /// Lets another process open it. When every row `is_decided`, what is not needed any more is removed; errors are logged, for
    /// the next opening copes.
    pub(crate) fn close(&self, is_decided: bool) {
        if self.is_forked() {
            // The files are the parent's.
            return;
        }
        let Some(hold) = self.hold.lock().take() else { return };
        if is_decided {
            self.remove_all(&hold.lock);
        }
        hold.lock.release();
    }

    fn remove_all(&self, lock: &Lock) {
        let closed = Identity { open: false, ..self.identity.clone() };
        // While it says that it is open its segments must be there.
        let listed = lock
            .check(&self.folder)
            .and_then(|()| closed.write(&self.folder))
            .and_then(|()| files::list(&self.folder));
        let files = match listed {
            Ok(files) => files,
            Err(error) => return tracing::warn!("the spool could not be closed: {error:#}"),
        };
        let numbered = files.segments.into_iter().chain(files.shapes).map(|(_, path)| path);
        for path in numbered.chain(files.unfinished) {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(
                    "cannot remove {}, which is not needed any more: it takes up room until the spool is opened again: {error}",
                    path.display()
                );
            }
            step();
        }
    }
}

impl Recovered {
    /// The number of the first row that is not decided.
    pub(crate) fn first_seq(&self) -> u64 {
        self.found.rows.start.max(self.from)
    }

    /// How many rows there are from it on.
    pub(crate) fn rows(&self) -> usize {
        (self.found.rows.end - self.first_seq()) as usize
    }

    /// The length of the file.
    pub(crate) fn file_bytes(&self) -> usize {
        self.found.bytes
    }

    /// Reads these rows: plain frames, with the numbers that their shapes have in this process, and nobody waiting for a receipt.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Spool`](crate::ErrorKind::Spool) when the file is no longer what it was.
    pub(crate) fn load(&self) -> Result<Vec<u8>> {
        let number = |epoch, number| self.shapes.get(&(epoch, number)).copied();
        self.found.load(self.from, &number)
    }

    /// Removes the file, whose rows are decided, as all before them. False, and logged, when it fails: then the file says that
    /// it is free, where it can still be written, for its rows would be out of place beside later ones.
    pub(crate) fn delete(self) -> bool {
        let path = &self.found.path;
        let error = match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => error,
            _ => {
                step();
                return true;
            }
        };
        let freed = file::free(path).is_ok();
        tracing::warn!(
            "cannot remove {}, whose rows are decided: {}: {error}",
            path.display(),
            if freed {
                "it takes up room until the spool is opened again"
            } else {
                "remove it before the spool is opened again"
            }
        );
        false
    }
}

/// Where the tests have a process end.
#[cfg(not(test))]
#[inline]
fn step() {}
#[cfg(test)]
use tests::kills::step;

#[cfg(test)]
mod tests;
