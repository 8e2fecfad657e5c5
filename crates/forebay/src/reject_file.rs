//! The file for dead letters: opened, appended to, rotated by size, and made again when somebody moved it.
//!
//! Other buffers and processes may have the same file open. Every line is one write to the file's end; only
//! to rotate takes a lock, which is tried and never waited for.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::config::Rejects;
use crate::error::{Error, ErrorKind, Result};
use crate::reject::DeadLetter;
use crate::reject_line::line;
use crate::stats::count_of_rows;
use crate::sync;

/// How often the half of a line is looked at, to see whether the rest comes.
const LOOKS: usize = 10;

/// The time from one look to the next.
const MOMENT: Duration = Duration::from_millis(1);

/// A file for dead letters that is open.
pub(crate) struct RejectFile {
    path: PathBuf,
    file: File,
    max_bytes: u64,
    max_files: usize,
    /// The size beyond which the file is rotated: `max_bytes`, or more when that has failed.
    rotate_at: u64,
    /// Rows that could not be written since one could.
    missing: u64,
    /// Whether the file that is open is not the one at the path, because that cannot be opened.
    astray: bool,
    /// What was found at the path and left alone. It stays open: see [`open`].
    foreign: ManuallyDrop<Option<File>>,
}

impl RejectFile {
    /// `None` when the settings name no file.
    pub(crate) fn open(settings: &Rejects) -> Result<Option<Self>> {
        let Some(mut path) = settings.file.clone() else { return Ok(None) };
        let opened = open(&path).and_then(|opened| match opened {
            Opened::File(file) => Ok(file),
            Opened::Foreign(foreign) => {
                std::mem::forget(foreign);
                Err(holds_something_else())
            }
        });
        let file = opened.map_err(|error| {
            let message = format!("cannot write dead letters to {} (rejects.file)", path.display());
            Error::new(ErrorKind::Open, message).with_field("rejects.file").because(error)
        })?;
        // To rotate renames the file, not a link to it.
        if path.is_symlink()
            && let Ok(target) = fs::canonicalize(&path)
        {
            path = target;
        }
        let max_bytes = settings.max_bytes as u64;
        Ok(Some(Self {
            path,
            file,
            max_bytes,
            max_files: settings.max_files,
            rotate_at: max_bytes,
            missing: 0,
            astray: false,
            foreign: ManuallyDrop::new(None),
        }))
    }

    /// Where it is, symbolic links resolved.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a dead letter. Where that fails the log says so, once until it succeeds again. Returns whether
    /// it is there.
    pub(crate) fn keep(&mut self, letter: &DeadLetter) -> bool {
        match self.append(letter) {
            Ok(()) => {
                self.tell_missing();
                true
            }
            Err(error) => {
                self.missing += 1;
                if self.missing == 1 {
                    let path = self.path.display();
                    tracing::error!(
                        table = letter.table,
                        "cannot write dead letters to {path}: {error}; until that is over only on_reject is given \
                         them, if there is one"
                    );
                }
                false
            }
        }
    }

    fn tell_missing(&mut self) {
        let missing = std::mem::take(&mut self.missing);
        if missing > 0 {
            let rows = count_of_rows(missing);
            let path = self.path.display();
            tracing::warn!(rows = missing, "{rows} in all could not be written to {path}");
        }
    }

    fn append(&mut self, letter: &DeadLetter) -> io::Result<()> {
        let mut line = line(letter, SystemTime::now())?;
        if !is_at(&self.file, &self.path) {
            self.open_again()?;
        }
        let mut length = self.file.metadata()?.len();
        if length > 0 && length + line.len() as u64 > self.rotate_at {
            self.rotate(length)?;
            length = self.file.metadata()?.len();
        }
        if length > 0 && !self.ends_with_a_line() {
            line.insert(0, b'\n');
        }
        self.file.write_all(&line)
    }

    /// Goes on with the file that is open when the one at the path cannot be had: a line is found wherever that was
    /// moved to, unless it was deleted.
    fn open_again(&mut self) -> io::Result<()> {
        match self.open_path() {
            Ok(file) => {
                self.file = file;
                self.rotate_at = self.max_bytes;
                self.astray = false;
                Ok(())
            }
            Err(error) if has_name(&self.file) => {
                if !std::mem::replace(&mut self.astray, true) {
                    let path = self.path.display();
                    tracing::error!(
                        "cannot open {path} again: {error}; until that is over dead letters go on to the file that was \
                         there, which was moved"
                    );
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn open_path(&mut self) -> io::Result<File> {
        if !self.foreign.as_ref().is_some_and(|foreign| is_at(foreign, &self.path)) {
            match open(&self.path)? {
                Opened::File(file) => return Ok(file),
                Opened::Foreign(foreign) => self.foreign = ManuallyDrop::new(Some(foreign)),
            }
        }
        Err(holds_something_else())
    }

    /// Whether the last line is whole, so that the next can follow it. Half a line may be one that another
    /// buffer is writing, page by page: unless it is this one's own it is looked at again for a while. Where
    /// the answer is wrong there is an empty line.
    fn ends_with_a_line(&mut self) -> bool {
        let looks = if self.missing > 0 { 1 } else { LOOKS };
        (0..looks).any(|look| {
            if look > 0 {
                sync::park_until(sync::now() + MOMENT);
            }
            let mut last = [0];
            let found = self.file.seek(SeekFrom::End(-1));
            found.and_then(|_| self.file.read_exact(&mut last)).is_ok() && last == *b"\n"
        })
    }

    /// Sets the file aside and begins a new one. Goes on with the old one where that fails.
    fn rotate(&mut self, length: u64) -> io::Result<()> {
        if let Err(TryLockError::WouldBlock) = self.file.try_lock() {
            // Another buffer is at it: this line still fits the old file.
            return Ok(());
        }
        // Another buffer may have been faster.
        let shifted = if is_at(&self.file, &self.path) { self.shift() } else { Ok(None) };
        // Closing would unlock it too, were it not for processes that were forked.
        let _ = self.file.unlock();
        let path = self.path.display();
        match shifted {
            Ok(deleted) => {
                if let Some(deleted) = deleted {
                    let deleted = deleted.display();
                    tracing::warn!(
                        "{deleted} was deleted, to keep no more than {} files of dead letters beside {path}",
                        self.max_files
                    );
                }
                self.open_again()
            }
            Err(error) => {
                self.rotate_at = length + self.max_bytes;
                tracing::error!("{path} cannot be rotated, so it goes on growing: {error}");
                Ok(())
            }
        }
    }

    /// Renames the file to the number 1, and those before it each to the next number, up to the first that is
    /// free. Returns the file that was overwritten, if none was.
    fn shift(&self) -> io::Result<Option<PathBuf>> {
        let free = (1..self.max_files).find(|&number| !exists(&self.numbered(number)));
        let last = free.unwrap_or(self.max_files);
        let deleted = Some(self.numbered(last)).filter(|file| exists(file));
        for number in (1..last).rev() {
            fs::rename(self.numbered(number), self.numbered(number + 1))?;
        }
        fs::rename(&self.path, self.numbered(1))?;
        Ok(deleted)
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

impl Drop for RejectFile {
    fn drop(&mut self) {
        self.tell_missing();
    }
}

/// What opening a path gave.
enum Opened {
    File(File),
    Foreign(File),
}

/// Opens a file to append to it, and makes it if there is none. One that holds something else is left alone, and never
/// closed: it may be a database that this process has open, and to close it would drop SQLite's locks on it.
fn open(path: &Path) -> io::Result<Opened> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    let metadata = file.metadata()?;
    #[cfg(unix)]
    if std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type()) {
        return Err(io::Error::other("it is a pipe, which nobody may read"));
    }
    let mut first = [0];
    // A path that was mistaken, for the database's own say, must not cost what is there. A line that was to
    // follow half a line begins with a line's end.
    let foreign = metadata.is_file() && file.read(&mut first)? == 1 && !b"{\n".contains(&first[0]);
    Ok(if foreign { Opened::Foreign(file) } else { Opened::File(file) })
}

fn holds_something_else() -> io::Error {
    io::Error::other("there is a file that holds something else")
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Whether an open file is the one at a path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (open, there) = (file.metadata().map(inode), fs::metadata(path).map(inode));
    matches!((open, there), (Ok(open), Ok(there)) if open == there)
}

/// Whether an open file is still in some folder.
#[cfg(unix)]
fn has_name(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
}

/// Elsewhere a file that is open cannot be deleted.
#[cfg(not(unix))]
fn has_name(_: &File) -> bool {
    true
}

/// Elsewhere a file is taken for the one that is open as long as there is one.
#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    exists(path)
}
