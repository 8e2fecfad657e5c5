//! The folder that figures, charts and a page are kept in.

use std::path::Path;

use forebay_bench::tune::Tuning;

use crate::failure::{Failure, Result};
use crate::kept::{Folders, Kept};

/// The figures.
const FIGURES: &str = "tuning.json";

/// Files that are open, in a folder that is there.
pub(super) struct Outputs {
    files: Vec<(&'static str, Kept)>,
    /// Dropped after the files in it.
    folders: Folders,
}

impl Outputs {
    /// Makes the folder, and opens all files that there may be.
    ///
    /// # Errors
    ///
    /// When something cannot be written. Nothing is left behind then.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let option = "--output";
        let mut all = Self { files: Vec::new(), folders: Folders::default() };
        all.folders.make(option, folder)?;
        for name in Tuning::FILES.into_iter().chain([FIGURES]) {
            all.files.push((name, Kept::open(option, &folder.join(name))?));
        }
        Ok(all)
    }

    /// Writes those that the tuning has.
    ///
    /// # Errors
    ///
    /// When one cannot be written.
    pub(super) fn write(mut self, tuning: &Tuning, toml: &str) -> Result<()> {
        let figures = serde_json::to_string_pretty(tuning)
            .map_err(|error| Failure::new(format!("cannot make JSON: {error}")))?;
        let mut texts = tuning.files(toml)?;
        texts.push((FIGURES, figures + "\n"));
        for (name, kept) in &mut self.files {
            if let Some((_, text)) = texts.iter().find(|(of, _)| of == name) {
                kept.write(text)?;
            }
        }
        self.folders.keep();
        Ok(())
    }
}
