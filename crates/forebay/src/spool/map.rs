//! A file in memory: the only unsafe code of this workspace.
//!
//! **Who else can change the bytes.** A reference to mapped bytes is sound while nobody changes them behind it. The file is
//! made by this process with mode 0600, in a folder whose [lock](super::lock) it holds, under a name of its own; all of
//! forebay that looks at it from outside reads it with read(2). Within the process, what writes takes `&mut self`. A program
//! that writes into another's spool regardless has the rights of its user, and could as well write into its memory.
//!
//! **A file that is cut short.** Whoever truncates it takes the pages away from under the mapping: the next access there is a
//! SIGBUS, and the process dies. Rows that are published in what is left survive; the next opening refuses the file, as
//! damaged, for it is not as long as its header says. A disk that is full cannot do the same, for the room was reserved when
//! the file was made; that is why filesystems are refused on which a reservation does not hold.
//!
//! **What survives a kill.** A store to a shared mapping changes the page cache itself, which belongs to the system. A process
//! is killed between two instructions: what it stored before is there, what it would have stored after is not, in the
//! order of the program. So it is enough that the compiler keeps the order: [`Map::store_word`] leaves all writes before it
//! before it, and all after it after it.
#![allow(unsafe_code, reason = "a file is mapped, and a page marked, by nothing else")]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use memmap2::{MmapMut, MmapOptions};
use rustix::mm::{Advice, madvise};

/// A mapped file, shared with the page cache.
#[derive(Debug)]
pub(super) struct Map {
    bytes: MmapMut,
}

impl Map {
    /// Maps the first `length` bytes of a file, which it must have and keep.
    pub(super) fn of(file: &File, length: usize) -> io::Result<Self> {
        // SAFETY: nobody else writes to the file or cuts it short; see the module's documentation.
        let bytes = unsafe { MmapOptions::new().len(length).map_mut(file) }?;
        Ok(Self { bytes })
    }

    /// Has all pages there and writable, so that the first write to each finds it so. Without it, as on Linux before 5.14,
    /// each such write takes a page fault.
    pub(super) fn populate(&self) {
        let _ = self.bytes.advise(memmap2::Advice::PopulateWrite);
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// Writes bytes, which mean nothing before they are published.
    #[inline]
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Stores a word in one piece, little-endian, at a multiple of 8: after all that was written before, and before all that
    /// is written afterwards.
    #[inline]
    pub(super) fn store_word(&mut self, at: usize, word: u64) {
        assert!(at.is_multiple_of(size_of::<u64>()), "a word at {at}");
        let place = self.bytes[at..at + size_of::<u64>()].as_mut_ptr();
        // SAFETY: eight bytes of the mapping, borrowed mutably. A mapping begins at a page, so they are aligned as `at` is.
        let place = unsafe { AtomicU64::from_ptr(place.cast()) };
        place.store(word.to_le(), Ordering::Release);
        compiler_fence(Ordering::SeqCst);
    }
}

/// What tells a process forked from the one that made it: such a process finds a page of zeros.
#[derive(Debug)]
pub(super) struct Birthmark {
    page: MmapMut,
}

impl Birthmark {
    /// # Errors
    ///
    /// When the system cannot wipe a page at a fork, as Linux before 4.14.
    pub(super) fn new() -> io::Result<Self> {
        let mut page = MmapMut::map_anon(1)?;
        // SAFETY: the page is private to this mapping and holds nothing yet; that a child finds it zeroed breaks no rule of
        // Rust's, for it is only read as below.
        unsafe { madvise(page.as_mut_ptr().cast(), page.len(), Advice::LinuxWipeOnFork) }?;
        page[0] = 1;
        Ok(Self { page })
    }

    /// Whether this process is a child of the one that made it, or of a child: one read of memory.
    #[inline]
    pub(super) fn is_of_a_child(&self) -> bool {
        // SAFETY: the byte is in the mapping, and nobody writes it while it can be read: the system wipes it before a child
        // runs. Volatile, for nothing in the program says that it changes.
        unsafe { ptr::read_volatile(self.page.as_ptr()) == 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt;

    use fork::{Fork, fork, waitpid};

    use super::*;

    #[test]
    fn what_is_written_is_in_the_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(4096).expect("a length");
        let mut map = Map::of(file.as_file(), 4096).expect("mapped");
        map.write(4000, b"here");
        map.store_word(8, 0x0102_0304_0506_0708);
        let bytes = fs::read(file.path()).expect("bytes");
        assert_eq!(bytes[4000..4004], *b"here");
        assert_eq!(bytes[8..16], [8, 7, 6, 5, 4, 3, 2, 1]);
        file.as_file().write_all_at(b"there", 100).expect("writes");
        assert_eq!((map.len(), map.bytes(100..105)), (4096, &b"there"[..]));
    }

    #[test]
    fn a_write_to_pages_that_are_there_takes_no_fault() {
        const PAGES: usize = 64;
        let faults = || {
            let stat = fs::read_to_string("/proc/thread-self/stat").expect("the thread's state");
            let (_, fields) = stat.rsplit_once(')').expect("its name");
            fields.split_whitespace().nth(7).and_then(|field| field.parse().ok()).expect("a count")
        };
        let taken = |is_populated: bool| -> usize {
            let file = tempfile::tempfile().expect("a file");
            file.set_len(PAGES as u64 * 4096).expect("a length");
            let mut map = Map::of(&file, PAGES * 4096).expect("mapped");
            if is_populated {
                map.populate();
            }
            let before: usize = faults();
            (0..PAGES).for_each(|page| map.write(page * 4096, b"here"));
            faults() - before
        };
        let (without, with) = (taken(false), taken(true));
        assert!(with < PAGES / 4 && without >= PAGES, "{with} faults, and {without} without");
    }

    #[test]
    #[should_panic(expected = "a word at 12")]
    fn a_word_is_stored_in_one_piece() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(4096).expect("a length");
        Map::of(&file, 4096).expect("mapped").store_word(12, 1);
    }

    #[test]
    fn a_child_and_its_child_know_that_they_are() {
        let birthmark = Birthmark::new().expect("a page");
        assert!(!birthmark.is_of_a_child());
        match fork().expect("forks") {
            Fork::Child => {
                let is_known = birthmark.is_of_a_child();
                let of_its_child = match fork().expect("forks") {
                    Fork::Child => std::process::exit(i32::from(!birthmark.is_of_a_child())),
                    Fork::Parent(child) => waitpid(child),
                };
                let passed = is_known && of_its_child.is_ok_and(|status| status == 0);
                std::process::exit(i32::from(!passed));
            }
            Fork::Parent(child) => assert_eq!(waitpid(child).expect("a status"), 0),
        }
        assert!(!birthmark.is_of_a_child(), "the parent still is none");
    }
}
