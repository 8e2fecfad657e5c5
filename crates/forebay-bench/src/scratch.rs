//! The folder in which a run has its databases, and which goes with it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::{Error, Result};

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
        let database = self.path().join("trial.db");
        copy(&template, &database)?;
        Ok(database)
    }

    /// Removes what the last trial has left, so that it takes no room.
    pub(crate) fn clear(&self) -> Result<()> {
        for ending in ["", "-wal", "-shm", "-journal"] {
            let path = self.path().join(format!("trial.db{ending}"));
            match fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::of_file("remove", &path, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
