//! `spool.json`: which spool a folder holds, how often it was opened, and for which database.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::files;
use super::format::FORMAT;
use super::refusal::{damaged, newer, unreadable, unwritable};
use super::step;
use crate::error::{Error, Result};

const NAME: &str = files::IDENTITY;
const UNCHECKED: &str = "does not match its own check";

/// Which spool it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Drawn when there is no row that a database is to have; with [`key`](Self::key) the database keeps its books under it.
    pub(crate) spool: u128,
    /// How often it was opened.
    pub(crate) epoch: u32,
    /// Whether segments of this epoch are in use; not after a clean close.
    pub(crate) open: bool,
    /// The name of the sink that its rows are for.
    pub(crate) database: String,
    /// Which boot of the machine it was opened in, where the system tells.
    pub(crate) boot: Option<String>,
}

/// What a look at a folder's identity shows.
pub(super) enum Look {
    Nothing,
    Whole(Identity),
    /// With what the file is or does.
    Damaged(String),
}

/// The file's JSON.
#[derive(Serialize, Deserialize)]
struct Text {
    format: u32,
    spool: String,
    epoch: u32,
    open: bool,
    database: String,
    boot: Option<String>,
    /// CRC-32C of the same JSON with this field empty, as 8 hex digits.
    check: String,
}

impl Identity {
    /// Reads it; `None` when the folder has none, nor a segment: a new spool writes this file before its first segment.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Spool`](crate::ErrorKind::Spool) when it cannot be read, is damaged, is of a newer format, or is
    /// missing beside segments.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        match Self::look(folder)? {
            Look::Nothing => Ok(None),
            Look::Whole(identity) => Ok(Some(identity)),
            Look::Damaged(what) => Err(Self::damaged(folder, what)),
        }
    }

    /// Reads it, with what a salvage gets over told apart.
    pub(super) fn look(folder: &Path) -> Result<Look> {
        let path = folder.join(NAME);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let listed = files::list(folder)?;
                let Some((_, segment)) = listed.segments.first() else { return Ok(Look::Nothing) };
                let what = format!("is missing: it says whose rows are in {}", segment.display());
                return Ok(Look::Damaged(what));
            }
            Err(error) => return Err(unreadable(&path, error)),
        };
        let json: serde_json::Value = match serde_json::from_slice(&bytes) {
            Ok(json) => json,
            Err(error) => {
                let what = format!("is not JSON: {error}");
                return Ok(Look::Damaged(what));
            }
        };
        let format = json.get("format").and_then(serde_json::Value::as_u64);
        let text: Option<Text> = serde_json::from_value(json).ok();
        if let Some(format) = format.filter(|format| *format > u64::from(FORMAT)) {
            // A version that only reads like a later one: the check is that of ours.
            let ours = text.map(|text| Text { format: FORMAT, ..text }.into_identity());
            if ours.flatten().is_none() {
                return Err(newer(&path, format, FORMAT));
            }
            return Ok(Look::Damaged(UNCHECKED.to_owned()));
        }
        Ok(match text.and_then(Text::into_identity) {
            Some(identity) => Look::Whole(identity),
            None => Look::Damaged(UNCHECKED.to_owned()),
        })
    }

    /// The refusal of a spool whose file is damaged.
    pub(super) fn damaged(folder: &Path, what: impl fmt::Display) -> Error {
        damaged(&folder.join(NAME), format_args!("which {what}"))
    }

    /// Writes it in the place of the one that is there, in one step.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Spool`](crate::ErrorKind::Spool) with the path; the file that was there is still there then.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(NAME);
        let unfinished = files::unfinished(&path);
        let text = Text::of(self);
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
            file.write_all(serde_json::to_string(&text)?.as_bytes())?;
            file.sync_all()?;
            step();
            fs::rename(&unfinished, &path)?;
            step();
            Ok(())
        };
        write().map_err(|error| unwritable(&path, error))
    }

    /// What the database keeps its books under: 32 hex digits.
    pub(crate) fn key(&self) -> String {
        key(self.spool)
    }
}

/// What the database keeps the books of this spool under.
pub(super) fn key(spool: u128) -> String {
    format!("{spool:032x}")
}

impl Text {
    fn of(identity: &Identity) -> Self {
        let mut text = Self {
            format: FORMAT,
            spool: identity.key(),
            epoch: identity.epoch,
            open: identity.open,
            database: identity.database.clone(),
            boot: identity.boot.clone(),
            check: String::new(),
        };
        text.check = text.crc();
        text
    }

    fn crc(&self) -> String {
        let json = serde_json::to_vec(self).expect("strings and numbers");
        format!("{:08x}", crc32c::crc32c(&json))
    }

    fn into_identity(mut self) -> Option<Identity> {
        let check = std::mem::take(&mut self.check);
        if self.format != FORMAT || self.crc() != check {
            return None;
        }
        let spool = u128::from_str_radix(&self.spool, 16).ok()?;
        let Self { epoch, open, database, boot, .. } = self;
        Some(Identity { spool, epoch, open, database, boot })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn identity() -> Identity {
        let (database, boot) = ("data/app.db".to_owned(), Some("a-boot".to_owned()));
        Identity { spool: 0xFEED << 64 | 7, epoch: 3, open: true, database, boot }
    }

    #[test]
    fn it_is_read_as_it_was_written_and_replaced_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Identity::read(folder.path()).expect("nothing there"), None);
        identity().write(folder.path()).expect("writes");
        assert_eq!(Identity::read(folder.path()).expect("reads"), Some(identity()));
        let closed = Identity { open: false, boot: None, epoch: 4, ..identity() };
        closed.write(folder.path()).expect("writes again");
        assert_eq!(Identity::read(folder.path()).expect("reads"), Some(closed));
        assert_eq!(identity().key(), "000000000000feed0000000000000007");
    }

    #[test]
    fn a_newer_format_is_refused_with_both_numbers() {
        let folder = tempfile::tempdir().expect("a folder");
        let later = r#"{"format":12,"what":"nobody knows"}"#;
        fs::write(folder.path().join(NAME), later).expect("writes");
        let error = Identity::read(folder.path()).expect_err("newer");
        assert_eq!(error.kind(), ErrorKind::Spool);
        assert!(
            error.to_string().contains("has format 12, this version reads format 1"),
            "{error}"
        );
    }

    #[test]
    fn a_folder_with_segments_and_no_identity_is_no_new_spool() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("segment-00000001"), b"rows").expect("writes");
        let error = Identity::read(folder.path()).expect_err("something is missing");
        assert!(error.to_string().contains("spool.json"), "{error}");
    }
}
