//! The folder in which a run has its databases, and which goes with it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::{Error, Result};

/// The database of a trial. What belongs to it, its log and the spools of its contender, has a longer name.
const TRIAL: &str = "trial.db";

/// A folder that is removed with all that is in it when it is dropped.
pub(crate) struct Scratch {
    folder: TempDir,
    /// Databases as they are before a trial, by journal mode.
    templates: HashMap<&'static str, PathBuf>,
}

/// Makes a folder in `parent`, which is called `name` in messages, if there is room for so many bytes.
pub(crate) fn folder(parent: &Path, prefix: &str, name: &str, space: u64) -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(parent).map_err(|error| {
        let why = match error.kind() {
            ErrorKind::NotFound => "it is not there".to_owned(),
            ErrorKind::NotADirectory => "it is no folder".to_owned(),
            ErrorKind::PermissionDenied => "this user may not write there".to_owned(),
            ErrorKind::ReadOnlyFilesystem => "it is read-only".to_owned(),
            ErrorKind::StorageFull => "the disk is full".to_owned(),
            _ => error.to_string(),
        };
        Error::new(format!("cannot make a folder for the databases in {name}: {why}"))
            .with_hint("name another one with --dir")
    })?;
    let free =
        rustix::fs::statvfs(parent).map(|disk| disk.f_bavail * disk.f_frsize).unwrap_or(u64::MAX);
    if free < space {
        let (free, space) = (free >> 20, space >> 20);
        return Err(Error::new(format!(
            "there is no space: {name} has {free} MiB left, and the databases of this run may take {space} MiB"
        ))
        .with_hint("name a folder on another disk with --dir"));
    }
    Ok(folder)
}

/// Copies a database for a trial, and waits until it is on the disk: what the system writes back later would be in
/// the way of what is measured.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = fs::copy(from, to).and_then(|_| File::open(to)?.sync_all());
    copied.map_err(|error| Error::of_file("copy the database to", to, &error))
}

impl Scratch {
    /// Makes a folder in `parent`, if there is room for so many bytes.
    pub(crate) fn new(parent: &Path, space: u64) -> Result<Self> {
        let folder = folder(parent, ".forebay-bench-", &parent.display().to_string(), space)?;
        Ok(Self { folder, templates: HashMap::new() })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A fresh database for a trial, in the place of the last one, copied from what `make` makes once.
    pub(crate) fn database(
        &mut self,
        journal_mode: &'static str,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let template = if let Some(template) = self.templates.get(journal_mode) {
            template.clone()
        } else {
            let template = self.path().join(format!("template-{journal_mode}.db"));
            make(&template)?;
            self.templates.insert(journal_mode, template.clone());
            template
        };
        self.clear()?;
        let database = self.path().join(TRIAL);
        copy(&template, &database)?;
        Ok(database)
    }

    /// Removes what the last trial has left, so that it takes no room.
    pub(crate) fn clear(&self) -> Result<()> {
        let unreadable = |error| Error::of_file("look into", self.path(), &error);
        for entry in fs::read_dir(self.path()).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let name = path.file_name().map(OsStr::as_encoded_bytes);
            if !name.is_some_and(|name| name.starts_with(TRIAL.as_bytes())) {
                continue;
            }
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match removed {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::of_file("remove", &path, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_trial_has_left_is_removed_and_its_template_stays() {
        let parent = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(parent.path(), 0).unwrap();
        let make = |path: &Path| {
            fs::write(path, "rows").unwrap();
            Ok(())
        };
        let database = scratch.database("wal", make).unwrap();
        fs::write(scratch.path().join("trial.db-wal"), "log").unwrap();
        let spool = scratch.path().join("trial.db-spool-0");
        fs::create_dir(&spool).unwrap();
        fs::write(spool.join("segment-1"), "rows").unwrap();
        scratch.clear().unwrap();
        let left = fs::read_dir(scratch.path()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["template-wal.db"]);
        assert!(!database.exists());
    }
}
