//! What results go to. Files and folders are opened before a run, so that it is not run in vain, and removed
//! again if it does not come about.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result, because};

/// Prints to standard output.
///
/// # Errors
///
/// When it cannot be written, unless whoever reads it has closed it.
pub fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever closed standard output does not want it.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// A file that is there, with what it held before.
pub struct Kept {
    path: PathBuf,
    file: File,
    /// It was not there before, and nothing is in it yet.
    is_to_go: bool,
}

impl Kept {
    /// Opens a file without touching what it holds. `option` is what named it.
    ///
    /// # Errors
    ///
    /// When it cannot be written there.
    pub fn open(option: &str, path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true);
        let opened = match options.clone().create_new(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                options.open(path).map(|file| (file, false))
            }
            made => made.map(|file| (file, true)),
        };
        let (file, is_to_go) = opened.map_err(|error| cannot(option, "write", path, &error))?;
        Ok(Self { path: path.to_owned(), file, is_to_go })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has it hold this and nothing else.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&mut self, text: &str) -> Result<()> {
        self.replace(text).map_err(|error| {
            Failure::new(format!("cannot write {}: {}", self.path.display(), because(&error)))
        })
    }

    fn replace(&mut self, text: &str) -> io::Result<()> {
        // What is no file, such as a pipe, has no length.
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.file.write_all(text.as_bytes())?;
        self.is_to_go = false;
        Ok(())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.is_to_go {
            // An empty file is no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Folders that were made.
#[derive(Default)]
pub struct Folders(Vec<PathBuf>);

impl Folders {
    /// Makes a folder and those above it that are not there. `option` is what named it.
    ///
    /// # Errors
    ///
    /// When one cannot be made.
    pub fn make(&mut self, option: &str, folder: &Path) -> Result<()> {
        self.add(folder).map_err(|error| cannot(option, "make the folder", folder, &error))
    }

    fn add(&mut self, folder: &Path) -> io::Result<()> {
        let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
        let missing: Vec<_> = folder.ancestors().take_while(is_missing).collect();
        for path in missing.into_iter().rev() {
            fs::create_dir(path)?;
            self.0.push(path.to_owned());
        }
        Ok(())
    }

    /// Leaves them where they are.
    pub fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            // One that holds something stays.
            let _ = fs::remove_dir(path);
        }
    }
}

fn cannot(option: &str, what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("{option}: cannot {what} {}: {}", path.display(), because(error)))
        .hint("nothing was run; name another place")
}
