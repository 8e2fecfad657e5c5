//! The lock on a spool's folder, held for life by whoever uses it.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::refusal::unwritable;
use crate::error::{Error, ErrorKind, Result};

pub(super) const NAME: &str = "lock";

/// Nobody else uses the spool while this lives.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock, or says at once that another has it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Spool`] when another process, or another buffer of this one, has the spool open.
    pub(crate) fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        loop {
            let lock = Self::take_at(folder, &path)?;
            // The folder may have been set aside since the file was opened: then this is the lock on that one.
            if lock.is_at(&path) {
                return Ok(lock);
            }
        }
    }

    fn take_at(folder: &Path, path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(|error| unwritable(path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => {
                let message = format!(
                    "the spool {} is in use by another process, or by another buffer of this one: give each a folder of its own, or \
                     wait until that one has ended",
                    folder.display()
                );
                Err(Error::new(ErrorKind::Spool, message).with_field("spool"))
            }
            Err(TryLockError::Error(error)) => Err(unwritable(path, error)),
        }
    }

    /// Whether the file at this path is the one that is locked.
    fn is_at(&self, path: &Path) -> bool {
        let inode = |file: io::Result<Metadata>| file.map(|file| (file.dev(), file.ino())).ok();
        let ours = inode(self.file.metadata());
        ours.is_some() && ours == inode(fs::metadata(path))
    }

    /// Fails when the folder at this path is not the one that is locked: another process may have it, whose files have the names of ours.
    pub(super) fn check(&self, folder: &Path) -> Result<()> {
        if self.is_at(&folder.join(NAME)) {
            return Ok(());
        }
        let message = format!(
            "the spool {} is not where it was, or its file `lock` was removed or replaced: no file is made or removed there any more; rows that \
             were accepted are still written to the database",
            folder.display()
        );
        Err(Error::new(ErrorKind::Spool, message).with_field("spool"))
    }

    /// Lets others take it. To close the file would not do where a process was forked that lives on: it has it open too.
    pub(crate) fn release(self) {
        // The file is closed all the same.
        let _ = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_on_a_folder_that_was_set_aside_is_none_on_the_one_in_its_place() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("spool");
        fs::create_dir(&folder).expect("a folder");
        let path = folder.join(NAME);
        let lock = Lock::take(&folder).expect("free");
        assert!(lock.is_at(&path));
        fs::rename(&folder, root.path().join("spool.damaged-1")).expect("renames");
        assert!(!lock.is_at(&path), "there is none");
        assert!(lock.check(&folder).is_err());
        fs::create_dir(&folder).expect("a folder");
        let other = Lock::take(&folder).expect("free");
        assert!(!lock.is_at(&path) && other.is_at(&path));
    }
}
