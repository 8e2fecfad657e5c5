//! Why a spool cannot be used, said with file, bytes and rows, and what to do.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) bytes: Range<usize>,
    /// The rows concerned, as far as they are known.
    pub(crate) rows: Option<Range<u64>>,
    pub(crate) why: String,
}

impl Damage {
    pub(crate) fn new(bytes: Range<usize>, why: impl Into<String>) -> Self {
        Self { bytes, rows: None, why: why.into() }
    }

    pub(crate) fn of_rows(self, rows: Range<u64>) -> Self {
        Self { rows: Some(rows), ..self }
    }

    /// The refusal of the spool for it.
    pub(crate) fn refuse(&self, path: &Path) -> Error {
        let Range { start, end } = self.bytes;
        let rows = match &self.rows {
            Some(rows) => format!(", {}", row_range(rows)),
            None => String::new(),
        };
        damaged(path, format_args!("bytes {start} to {end}{rows}: {}", self.why))
    }
}

/// Rows in words; they are numbered from 0 in the order in which they were accepted.
pub(crate) fn row_range(rows: &Range<u64>) -> String {
    match rows.end.saturating_sub(rows.start) {
        _ if rows.end == u64::MAX => format!("row {} and those after it", rows.start),
        1 => format!("row {}", rows.start),
        _ => format!("rows {} to {}", rows.start, rows.end.saturating_sub(1)),
    }
}

/// A file, or a folder, that does not say what it must.
pub(crate) fn damaged(path: &Path, what: impl std::fmt::Display) -> Error {
    let folder = folder_of(path);
    let message = format!(
        "the spool is damaged: {}, {what}; nothing was changed; `forebay spool salvage {}` sets the folder aside and keeps what can \
         be read",
        path.display(),
        folder.display(),
    );
    Error::new(ErrorKind::Spool, message).with_field("spool")
}

/// Something of a later version.
pub(crate) fn newer(path: &Path, format: u64, ours: u32) -> Error {
    let message = format!(
        "the spool was written by a newer forebay: {} has format {format}, this version reads format {ours}; nothing was changed; \
         open it with that version",
        path.display(),
    );
    Error::new(ErrorKind::Spool, message).with_field("spool")
}

pub(crate) fn unreadable(path: &Path, cause: io::Error) -> Error {
    let message = format!(
        "cannot read {} of the spool; nothing was changed; see to it that this user can read it, and open the buffer again",
        path.display()
    );
    Error::new(ErrorKind::Spool, message).with_field("spool").because(cause)
}

pub(crate) fn unwritable(path: &Path, cause: io::Error) -> Error {
    let remedy = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room on the disk that the spool is on"
        }
        _ => "see to it that this user can write there",
    };
    let message = format!("cannot write {} of the spool: {remedy}", path.display());
    Error::new(ErrorKind::Spool, message).with_field("spool").because(cause)
}

/// The spool's folder, of itself or of a file in it.
fn folder_of(path: &Path) -> PathBuf {
    if path.is_dir() {
        return path.to_owned();
    }
    path.parent().unwrap_or(path).to_owned()
}
