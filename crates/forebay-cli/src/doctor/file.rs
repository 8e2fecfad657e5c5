//! Is it a database: the path, and the first bytes, which are read before SQLite opens anything.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use forebay::{SqliteSink, rusqlite};
use forebay_bench::report::units::bytes;
use rustix::process::geteuid;

use super::finding::Finding;
use super::place::told;
use super::shell::quoted;
use crate::failure::because;

const CHECK: &str = "file";
const MAGIC: &[u8] = b"SQLite format 3\0";
/// How the file begins that SQLite keeps for a transaction, by the [file format](https://sqlite.org/fileformat2.html).
const JOURNAL: [u8; 8] = [0xD9, 0xD5, 0x05, 0xF9, 0x20, 0xA1, 0x63, 0xD7];
/// The same of a write-ahead log, without its last bit.
const LOG: [u8; 4] = [0x37, 0x7F, 0x06, 0x82];
/// How other files begin, and what is to be done with them.
const OTHERS: [(&[u8], &str, &str); 6] = [
    (b"\x1F\x8B", "it is compressed with gzip", "gunzip --keep --stdout FILE > app.db"),
    (b"\x28\xB5\x2F\xFD", "it is compressed with zstd", "zstd --decompress FILE -o app.db"),
    (b"PK\x03\x04", "it is a zip archive", "unzip FILE"),
    (b"PRAGMA foreign_keys=", "it is a dump, SQL as text", "sqlite3 app.db < FILE"),
    (b"BEGIN TRANSACTION;", "it is a dump, SQL as text", "sqlite3 app.db < FILE"),
    (
        b"** This file contains an SQLite 2",
        "it is of SQLite 2",
        "sqlite FILE .dump | sqlite3 app.db",
    ),
];

/// A database file that is there.
pub(super) struct Database {
    /// As the user named it.
    pub(super) name: PathBuf,
    /// The file itself, which SQLite has the others beside.
    pub(super) real: PathBuf,
    /// The same as the user would name it.
    pub(super) shown: PathBuf,
    pub(super) file: Metadata,
    header: [u8; 100],
}

impl Database {
    /// Looks at it. This process must not have it open: to close a file drops the locks that the process has on it.
    pub(super) fn find(name: &Path) -> Result<Self, Finding> {
        let file = fs::metadata(name).map_err(|error| unseen(name, &error))?;
        if file.is_dir() {
            return Err(Finding::error(CHECK, "it is a folder", "name the database file in it"));
        }
        if !file.is_file() {
            return Err(Finding::error(CHECK, "it is no file", "name the database file"));
        }
        if let Some(finding) = beside_another(name) {
            return Err(finding);
        }
        let mut header = [0; 100];
        let unread = |error: io::Error| unseen(name, &error);
        let real = name.canonicalize().map_err(unread)?;
        let first = File::open(&real).map_err(unread)?.take(100);
        io::copy(&mut { first }, &mut header.as_mut_slice()).map_err(unread)?;
        if file.len() == 0 {
            let seen = "it is empty, which SQLite takes for a new database without tables";
            let fix = "if there should be rows in it, check the path, or restore a backup";
            return Err(Finding::warning(CHECK, seen, fix));
        }
        if !header.starts_with(MAGIC) {
            return Err(other(name, &header));
        }
        let shown = if is_link(name) { real.clone() } else { name.to_owned() };
        let database = Self { name: name.to_owned(), real, shown, file, header };
        let length = database.file.len();
        if length < 512.max(database.page_size()) {
            let seen =
                format!("it begins as a SQLite database, and is cut off after {length} bytes");
            return Err(Finding::error(CHECK, seen, "restore a backup, or copy it again"));
        }
        Ok(database)
    }

    pub(super) fn is_in_wal_mode(&self) -> bool {
        self.header[19] == 2
    }

    pub(super) fn folder(&self) -> &Path {
        self.real.parent().unwrap_or(Path::new("/"))
    }

    /// Its name in a command.
    pub(super) fn word(&self) -> String {
        quoted(&self.name)
    }

    /// The SQLite that wrote the header last, as it numbers itself; older ones than 3.7.0 do not.
    fn version(&self) -> Option<i32> {
        let version = i32::from_be_bytes(self.header[96..].try_into().ok()?);
        (version > 0).then_some(version)
    }

    /// The same as people write it.
    pub(super) fn version_name(&self) -> Option<String> {
        let version = self.version()?;
        let (major, minor, patch) = (version / 1_000_000, version / 1_000 % 1_000, version % 1_000);
        Some(format!("{major}.{minor}.{patch}"))
    }

    /// Bytes of a page.
    fn page_size(&self) -> u64 {
        match u16::from_be_bytes([self.header[16], self.header[17]]) {
            1 => 65_536,
            bytes => bytes.into(),
        }
    }

    /// Its size, and where it is.
    pub(super) fn finding(&self) -> Finding {
        let size = bytes(self.file.len() as f64);
        let link = match is_link(&self.name) {
            true => format!("; the path is a link to {}", self.real.display()),
            false => String::new(),
        };
        let page = self.page_size();
        Finding::ok(CHECK, format!("a SQLite database, {size}, in pages of {page} bytes{link}"))
    }

    /// Other names of the same file. SQLite has -wal and -journal beside the name by which it was opened.
    pub(super) fn other_names(&self) -> Option<Finding> {
        let names = self.file.nlink();
        let seen = format!(
            "it has {names} names (hard links), and -wal and -journal go by name: those who open it by different ones damage it"
        );
        let (folder, word) = (quoted(self.folder()), quoted(&self.real));
        let fix = format!("use one and remove the others: `find {folder} -samefile {word}`");
        (names > 1).then(|| Finding::warning(CHECK, seen, fix))
    }

    /// Which SQLite wrote it last: where `--fix` has written to it since, before that.
    pub(super) fn writer(&self, before: Option<&Self>) -> Finding {
        const CHECK: &str = "sqlite";
        let own = rusqlite::version();
        let when = if before.is_some() { "before this --fix" } else { "last" };
        let writer = before.unwrap_or(self);
        let (Some(version), Some(name)) = (writer.version(), writer.version_name()) else {
            let seen =
                format!("a version before 3.7.0 wrote it {when}, which does not say which it is");
            return Finding::note(CHECK, seen, "use SQLite 3.51.3 or newer in all that writes");
        };
        if !has_wal_reset_bug(version) {
            let seen = match version == rusqlite::version_number() {
                true => format!(
                    "{name} wrote its header {when}, which may have been a --fix of this command; others that write cannot be seen"
                ),
                false => format!(
                    "{name} wrote its header {when}, this command has {own}; others that write cannot be seen"
                ),
            };
            return Finding::ok(CHECK, seen);
        }
        let seen = format!(
            "{name} wrote its header {when}, which in WAL mode can, rarely, lose what two connections write: \
             https://sqlite.org/wal.html#walresetbug (this command has {own})"
        );
        let fix = "use SQLite 3.51.3 or newer in all that writes to it";
        match self.is_in_wal_mode() {
            true => Finding::warning(CHECK, seen, fix),
            false => Finding::note(CHECK, seen, fix),
        }
    }
}

/// Whether a version can lose what was committed when the log is reset while another connection checkpoints. Two older
/// branches have the remedy too.
fn has_wal_reset_bug(version: i32) -> bool {
    let mended = [3_044_006..3_045_000, 3_050_007..3_051_000];
    (3_007_000..SqliteSink::OLDEST_SQLITE).contains(&version)
        && !mended.iter().any(|versions| versions.contains(&version))
}

fn is_link(name: &Path) -> bool {
    fs::symlink_metadata(name).is_ok_and(|file| file.is_symlink())
}

fn unseen(name: &Path, error: &io::Error) -> Finding {
    if let (io::ErrorKind::NotFound, Ok(to)) = (error.kind(), fs::read_link(name)) {
        let seen = format!("it is a link to {}, which is not there", to.display());
        return Finding::error(CHECK, seen, format!("check the link: `ls -l {}`", quoted(name)));
    }
    let folder = match name.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let fix = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!(
                "run this as the user that owns it: `ls -ld {} {}`",
                quoted(folder),
                quoted(name)
            )
        }
        _ => format!("check the path: `ls -l {}`", quoted(folder)),
    };
    let seen = match (error.kind(), fs::metadata(name)) {
        (io::ErrorKind::PermissionDenied, Ok(file)) => {
            format!("this user ({}) may not read it ({})", geteuid().as_raw(), told(&file))
        }
        _ => because(error),
    };
    Finding::error(CHECK, seen, fix)
}

/// What is said of a file that is beside a database, where the database is there.
fn beside_another(name: &Path) -> Option<Finding> {
    let file = name.file_name()?.to_str()?;
    let kinds = [
        ("-wal", "write-ahead log"),
        ("-shm", "index of the write-ahead log"),
        ("-journal", "rollback journal"),
    ];
    kinds.into_iter().find_map(|(ending, kind)| {
        let database = name.with_file_name(file.strip_suffix(ending)?);
        let seen = format!("it is the {kind} of {}, and a part of it", database.display());
        let fix = format!("`forebay doctor {}`; keep the two together", quoted(&database));
        database.is_file().then(|| Finding::error(CHECK, seen, fix))
    })
}

/// What a file is that is no database.
fn other(name: &Path, header: &[u8; 100]) -> Finding {
    let stray = "find the database that it belongs to, which is no longer beside it";
    if header.starts_with(&JOURNAL) {
        return Finding::error(CHECK, "it is the rollback journal of a database", stray);
    }
    if header.starts_with(&LOG[..3]) && header[3] & !1 == LOG[3] {
        return Finding::error(CHECK, "it is the write-ahead log of a database", stray);
    }
    if let Some((_, seen, fix)) = OTHERS.iter().find(|(first, ..)| header.starts_with(first)) {
        let fix = fix.replace("FILE", &quoted(name));
        return Finding::error(CHECK, format!("{seen}, and no database"), format!("`{fix}`"));
    }
    let is_text = |byte: &u8| matches!(byte, 0 | b'\t' | b'\n' | b'\r' | 0x20..0x7F);
    let seen = match header.iter().all(is_text) && header[0] != 0 {
        true => "it is text, and no database",
        false => {
            "it is no SQLite database: it begins otherwise, as one that is encrypted or overwritten does"
        }
    };
    Finding::error(
        CHECK,
        seen,
        format!("check the path, or restore a backup; `file {}` may know it", quoted(name)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_with_the_bug_are_those_that_sqlite_lists() {
        for version in [3_007_000, 3_040_001, 3_044_005, 3_045_000, 3_050_006, 3_051_002] {
            assert!(has_wal_reset_bug(version), "{version}");
        }
        for version in [3_006_023, 3_044_006, 3_050_007, 3_051_003, 3_054_001] {
            assert!(!has_wal_reset_bug(version), "{version}");
        }
    }
}
