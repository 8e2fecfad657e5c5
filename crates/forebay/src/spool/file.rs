//! A segment that this process appends to: a mapped file, used over and over.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FallocateFlags, RenameFlags, fallocate, renameat_with};
use rustix::io::{Errno, retry_on_intr};

use super::files;
use super::format::{
    ALIGNMENT, ENVELOPE, FREE, HEADER, Header, PUBLISHED, SEAL, SEALED, envelope, unit_bytes,
};
use super::map::Map;
use super::refusal::unwritable;
use super::step;
use crate::error::{Error, ErrorKind, Result};

/// A segment in use, or free to be used.
///
/// What a kill leaves of it is in order at any moment: while its header is written anew it says that it is free, and a unit
/// is published by one store after all its bytes.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    path: PathBuf,
    header: Header,
    map: Map,
    /// Where the last unit ends that is published.
    end: usize,
}

impl SegmentFile {
    /// Makes the file of a segment with this header's number, epoch and capacity, free, with all its room reserved.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Spool`] with the path and what to do; nothing is left of the file then.
    pub(super) fn create(folder: &Path, header: Header) -> Result<Self> {
        let path = files::segment(folder, header.number);
        let unfinished = files::unfinished(&path);
        let map = reserve(&unfinished, header.capacity as usize).and_then(|map| {
            // Never in the place of another: should two processes have the folder, that one is in use.
            renameat_with(CWD, &unfinished, CWD, &path, RenameFlags::NOREPLACE)?;
            Ok(map)
        });
        step();
        match map {
            Ok(map) => Ok(Self { path, header, map, end: HEADER }),
            Err(error) => {
                // Where even that fails, the next opening removes it.
                let _ = fs::remove_file(&unfinished);
                Err(unreserved(&path, header.capacity, error))
            }
        }
    }

    /// Has the pages of a file there that is about to be filled.
    pub(super) fn populate(&self) {
        self.map.populate();
    }

    /// The capacity of the file, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is room for one more unit with so many bytes of frames.
    #[inline]
    pub(crate) fn has_room(&self, frames: usize) -> bool {
        unit_bytes(frames) <= self.map.len() - self.end
    }

    /// Bytes of the units that are published.
    #[inline]
    pub(crate) fn used(&self) -> usize {
        self.end - HEADER
    }

    /// Everything from the first frame on, up to where the last unit ends; empty when there is none. After a unit's last
    /// frame come zeros up to a multiple of 8, then the next unit's envelope.
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self.used() {
            0 => &[],
            _ => self.map.bytes(HEADER + ENVELOPE..self.end),
        }
    }

    /// Takes a free segment into use, for rows from `first_seq` on. From now on it is the one that rows are appended to.
    pub(crate) fn restart(&mut self, first_seq: u64) {
        self.free();
        step();
        self.header.first_seq = first_seq;
        let header = self.header.encode();
        self.map.write(PUBLISHED.end, &header[PUBLISHED.end..SEAL.start]);
        step();
        self.map.write(0, &header[..PUBLISHED.start]);
        // With `sealed`, which is zero.
        self.map.write(SEAL.start, &header[SEAL.start..]);
        step();
        self.publish(HEADER);
    }

    /// Appends a unit, for which there must be room: a row or a group, with the [check](super::format::check_of) of its
    /// frames and the number of its first row.
    #[inline]
    pub(crate) fn append(&mut self, frames: &[u8], check: u32, seq: u64) {
        debug_assert!(self.has_room(frames.len()));
        let end = self.end + unit_bytes(frames.len());
        self.map.write(self.end, &envelope(check, self.header.epoch, seq));
        step();
        // What the frames do not cover stays zero.
        self.map.write(end - ALIGNMENT, &[0; ALIGNMENT]);
        self.map.write(self.end + ENVELOPE, frames);
        step();
        self.publish(end);
    }

    /// Says that no more rows come. The next segment is [restarted](Self::restart) before: of a spool that is open one segment
    /// is always unsealed.
    pub(crate) fn seal(&mut self) {
        self.map.write(SEAL.start, &SEALED.to_le_bytes());
    }

    /// Says that its rows are decided. Segments are freed in the order of their rows.
    pub(crate) fn free(&mut self) {
        self.map.store_word(PUBLISHED.start, FREE);
        self.end = HEADER;
    }

    /// Removes the file of a segment whose rows are decided, or that is free. False, and logged, when it fails: a free segment
    /// that stays does no harm, and goes when the spool is opened next.
    pub(crate) fn delete(mut self) -> bool {
        self.free();
        step();
        let removed = fs::remove_file(&self.path);
        if let Err(error) = &removed {
            tracing::warn!(
                "cannot remove {}, which is free: it takes up room until the spool is opened again: {error}",
                self.path.display()
            );
        }
        removed.is_ok()
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    #[inline]
    fn publish(&mut self, end: usize) {
        // A file's capacity is a u32.
        self.map.store_word(PUBLISHED.start, self.header.published(end as u32));
        self.end = end;
    }
}

/// Says of a segment that this process has not mapped that its rows are decided.
pub(super) fn free(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&FREE.to_le_bytes(), PUBLISHED.start as u64)
}

/// Makes a file that is a free segment, with room for all of it on the disk: a store to a mapping cannot fail otherwise than
/// by a SIGBUS.
fn reserve(path: &Path, capacity: usize) -> io::Result<Map> {
    let mut options = OpenOptions::new();
    let file: File = options.read(true).write(true).create_new(true).mode(0o600).open(path)?;
    step();
    retry_on_intr(|| fallocate(&file, FallocateFlags::empty(), 0, capacity as u64))?;
    step();
    let mut map = Map::of(&file, capacity)?;
    map.store_word(PUBLISHED.start, FREE);
    step();
    Ok(map)
}

fn unreserved(path: &Path, capacity: u32, cause: io::Error) -> Error {
    let errno = Errno::from_io_error(&cause);
    if errno == Some(Errno::OPNOTSUPP) {
        let message = format!(
            "cannot make {} of the spool: its filesystem cannot reserve room for a file, without which a full disk would end the \
             process: put the spool on ext4, XFS or tmpfs",
            path.display()
        );
        return Error::new(ErrorKind::Spool, message).with_field("spool").because(cause);
    }
    if matches!(errno, Some(Errno::NOSPC | Errno::DQUOT)) {
        let message = format!(
            "cannot make {} of the spool, which takes {capacity} bytes: make room on the disk that the spool is on, or make \
             max_buffer_bytes smaller",
            path.display()
        );
        return Error::new(ErrorKind::Spool, message).with_field("spool").because(cause);
    }
    unwritable(path, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_makes_no_file_is_told_what_to_do() {
        let path = Path::new("/spool/segment-00000001");
        for (errno, said) in [
            (Errno::NOSPC, "which takes 4096 bytes: make room on the disk"),
            (Errno::DQUOT, "which takes 4096 bytes: make room on the disk"),
            (Errno::OPNOTSUPP, "its filesystem cannot reserve room for a file"),
            (Errno::ROFS, "see to it that this user can write there"),
        ] {
            let error = unreserved(path, 4096, errno.into());
            assert_eq!(error.kind(), ErrorKind::Spool);
            assert!(error.to_string().contains(said), "{error}");
            assert!(error.to_string().contains("/spool/segment-00000001"), "{error}");
        }
    }
}
