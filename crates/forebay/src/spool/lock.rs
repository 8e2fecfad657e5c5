//! The lock on a spool's folder, held for life by whoever uses it.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
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
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(|error| unwritable(&path, error))?;
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
            Err(TryLockError::Error(error)) => Err(unwritable(&path, error)),
        }
    }

    /// Lets others take it. To close the file would not do where a process was forked that lives on: it has it open too.
    pub(crate) fn release(self) {
        // The file is closed all the same.
        let _ = self.file.unlock();
    }
}
