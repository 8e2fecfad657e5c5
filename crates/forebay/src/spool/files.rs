//! The names of the files in a spool's folder.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::refusal::unreadable;
use crate::error::Result;

const SEGMENT: &str = "segment-";
const SHAPES: &str = "shapes-";
const COPY: &str = ".copy";
const UNFINISHED: &str = ".new";

/// The file that says which spool it is.
pub(super) const IDENTITY: &str = "spool.json";

/// What a folder has, each kind in the order of its numbers.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Segments, with the numbers that their names say.
    pub(crate) segments: Vec<(u32, PathBuf)>,
    /// Definitions of shapes and their copies, with the epochs that their names say.
    pub(crate) shapes: Vec<(u32, PathBuf)>,
    /// Files that were never finished.
    pub(crate) unfinished: Vec<PathBuf>,
    /// The largest number of a segment, finished or not.
    pub(crate) last_number: u32,
}

/// The path of the segment with this number.
pub(crate) fn segment(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{SEGMENT}{number:08}"))
}

/// The paths of the definitions of an epoch's shapes.
pub(crate) fn shapes(folder: &Path, epoch: u32) -> [PathBuf; 2] {
    ["", COPY].map(|copy| folder.join(format!("{SHAPES}{epoch:08}{copy}")))
}

/// The path of a file while it is being made.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.into()
}

/// Looks at all names in the folder; what is none of the spool's is left out.
pub(crate) fn list(folder: &Path) -> Result<Files> {
    let mut files = Files::default();
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
    for entry in entries {
        let path = entry.map_err(|error| unreadable(folder, error))?.path();
        let Some(name) = path.file_name().and_then(OsStr::to_str) else { continue };
        if let Some(finished) = name.strip_suffix(UNFINISHED) {
            let number = number(finished, SEGMENT);
            files.last_number = files.last_number.max(number.unwrap_or(0));
            if number.is_some() || finished == IDENTITY {
                files.unfinished.push(path);
            }
        } else if let Some(number) = number(name, SEGMENT) {
            files.last_number = files.last_number.max(number);
            files.segments.push((number, path));
        } else if let Some(epoch) = number_of_shapes(name) {
            files.shapes.push((epoch, path));
        }
    }
    files.segments.sort();
    files.shapes.sort();
    files.unfinished.sort();
    Ok(files)
}

fn number(name: &str, prefix: &str) -> Option<u32> {
    let digits = name.strip_prefix(prefix)?;
    (digits.len() >= 8).then(|| digits.parse().ok())?
}

fn number_of_shapes(name: &str) -> Option<u32> {
    number(name.strip_suffix(COPY).unwrap_or(name), SHAPES)
}
