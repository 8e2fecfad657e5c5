//! Where the database lies: the filesystem, and who may do what with its files.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use forebay::SqliteSink;
use forebay_bench::host::filesystem;
use forebay_bench::report::units::bytes;
use forebay_bench::untouched::beside;
use rustix::fs::{Access, StatVfsMountFlags, access, statvfs};
use rustix::process::geteuid;

use super::file::Database;
use super::finding::Finding;
use super::shell::quoted;

const FILESYSTEM: &str = "filesystem";
const PERMISSIONS: &str = "permissions";
/// Room on the disk below which it counts as nearly full: what the log of a write buffer may take, and some more.
const ROOM: u64 = 64 << 20;
/// Filesystems by the beginning of their names, what is to be known of them, and what to do.
const KINDS: [(&str, &str, &str); 6] = [
    ("tmpfs", IN_MEMORY, MOVE),
    ("ramfs", IN_MEMORY, MOVE),
    ("overlay", "as a rule a container's own: the database goes with the container", MOVE),
    ("virtiofs", SHARED, LOCAL),
    ("vboxsf", SHARED, LOCAL),
    ("fuse", SHARED, LOCAL),
];
const SHARED: &str =
    "which may be shared with another machine, where WAL cannot work and locks may not";
const LOCAL: &str = "move it to a local disk if that is so";
const IN_MEMORY: &str = "which is memory: the database goes when the machine stops";
const MOVE: &str = "move it to a disk, or a volume, if it is to stay";
/// Bits of a file's mode.
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_ENTER: u32 = 0o001;
const STICKY: u32 = 0o1000;

/// What the filesystem is, and whether it can be written.
pub(super) fn filesystem_findings(database: &Database) -> Vec<Finding> {
    let folder = database.folder();
    let name = filesystem(folder);
    if let Some(network) = SqliteSink::network_filesystem(folder) {
        let seen =
            format!("a network filesystem ({network}), where WAL cannot work and locks may not");
        let fix = "move it to a local disk of the machine whose processes use it";
        return vec![Finding::error(FILESYSTEM, seen, fix)];
    }
    let mut findings = Vec::new();
    let is_read_only = |path: &Path| {
        statvfs(path).is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::RDONLY))
    };
    if is_read_only(folder) || is_read_only(&database.real) {
        let seen = format!("{name}, mounted read-only: nothing can be written");
        let fix = format!(
            "mount it for writing: `findmnt -T {}` names the mount",
            quoted(&database.real)
        );
        findings.push(Finding::error(FILESYSTEM, seen, fix));
    }
    let left = statvfs(folder).map_or(u64::MAX, |disk| disk.f_bavail * disk.f_frsize);
    let room = bytes(left as f64);
    if left < ROOM {
        let seen = format!("{name}, nearly full: {room} left");
        let fix = "make room, or move the database: when the disk is full nothing is committed";
        findings.push(Finding::warning(FILESYSTEM, seen, fix));
    } else if let Some((what, fix)) = known(&name) {
        findings.push(Finding::note(FILESYSTEM, format!("{name}, {what}; {room} left"), fix));
    } else if findings.is_empty() {
        findings.push(Finding::ok(FILESYSTEM, format!("{name}; {room} left")));
    }
    findings
}

/// What is to be known of filesystems of this name, and what to do.
fn known(name: &str) -> Option<(&'static str, &'static str)> {
    let (_, what, fix) = KINDS.iter().find(|(kind, ..)| name.starts_with(kind))?;
    Some((what, fix))
}

/// Whether the folder is, or may be, shared with another machine, where WAL does not work.
pub(super) fn may_be_shared(folder: &Path) -> bool {
    SqliteSink::network_filesystem(folder).is_some() || is_shared(&filesystem(folder))
}

/// The first of its files, or its folder, that this user may not write to.
pub(super) fn unwritable(database: &Database) -> Option<PathBuf> {
    let cannot = |path: &Path, what| path.exists() && access(path, what).is_err();
    let file = ["", "-wal", "-shm", "-journal"]
        .into_iter()
        .find(|ending| cannot(&beside(&database.real, ending), Access::WRITE_OK));
    let folder = database.folder();
    let no_files = cannot(folder, Access::WRITE_OK | Access::EXEC_OK);
    file.map(|ending| beside(&database.shown, ending)).or(no_files.then(|| folder.to_owned()))
}

/// The command that mends it, with who has to run it.
pub(super) fn command_to_fix(database: &Database) -> String {
    let command = format!("forebay doctor --fix {}", database.word());
    let owner = database.file.uid();
    match unwritable(database) {
        Some(_) if !geteuid().is_root() && geteuid().as_raw() != owner => {
            format!("as user {owner}: `sudo -u '#{owner}' {command}`")
        }
        _ => format!("`{command}`"),
    }
}

fn is_shared(name: &str) -> bool {
    known(name).is_some_and(|(what, _)| what == SHARED)
}

/// What this user may do, and what everybody may.
pub(super) fn permissions(database: &Database) -> Vec<Finding> {
    let mut findings = Vec::new();
    let owner = database.file.uid();
    for ending in ["", "-wal", "-shm"] {
        let path = beside(&database.real, ending);
        let Ok(file) = fs::metadata(&path) else { continue };
        let shown = beside(&database.shown, ending);
        let (name, word) = (shown.display(), quoted(&shown));
        if let Some(cannot) = denied(&path) {
            let seen = format!("this user may not {cannot} {name} ({})", told(&file));
            let (user, may_owner) = (file.uid(), file.mode() & 0o600 == 0o600);
            let fix = match may_owner && geteuid().as_raw() != user {
                true => format!(
                    "run as user {user} (`sudo -u '#{user}'`), or give the file and its folder a group that both are in, with g+rw"
                ),
                false => format!("run as its owner, or `chmod u+rw {word}` as them"),
            };
            findings.push(Finding::error(PERMISSIONS, seen, fix));
        }
        if file.mode() & OTHERS_WRITE != 0 {
            let seen = format!("every user may write to {name} ({})", told(&file));
            findings.push(Finding::warning(PERMISSIONS, seen, format!("`chmod o-w {word}`")));
        } else if ending.is_empty() && file.mode() & OTHERS_READ != 0 && all_may_enter(database) {
            let seen = format!("every user may read {name} ({})", told(&file));
            let fix = format!("if its rows are nobody's business: `chmod o-r {word}`");
            findings.push(Finding::note(PERMISSIONS, seen, fix));
        }
        if file.uid() != owner {
            let seen = format!(
                "{name} belongs to another user than the database ({} and {owner}), who may be kept out",
                file.uid()
            );
            let fix = format!("`chown {owner} {word}` as root; run all that use it as one user");
            findings.push(Finding::warning(PERMISSIONS, seen, fix));
        }
    }
    findings.extend(of_folder(database.folder()));
    if findings.is_empty() {
        let seen = format!("this user may read and write it ({})", told(&database.file));
        findings.push(Finding::ok(PERMISSIONS, seen));
    }
    findings
}

fn of_folder(folder: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (name, word) = (folder.display(), quoted(folder));
    if access(folder, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let seen =
            format!("this user may not make files in {name}, as a write to the database has to");
        let fix = format!("give this user the right to write there: `ls -ld {word}`");
        findings.push(Finding::error(PERMISSIONS, seen, fix));
    }
    let mode = fs::metadata(folder).map_or(0, |folder| folder.mode());
    if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
        let seen = format!("every user may remove or replace files in {name}");
        findings.push(Finding::warning(PERMISSIONS, seen, format!("`chmod o-w {word}`")));
    }
    findings
}

/// What this user may not do with a file.
fn denied(path: &Path) -> Option<&'static str> {
    let may = |what| access(path, what).is_ok();
    match (may(Access::READ_OK), may(Access::WRITE_OK)) {
        (true, true) => None,
        (true, false) => Some("write to"),
        (false, _) => Some("read"),
    }
}

/// Whether every user gets as far as to the file.
fn all_may_enter(database: &Database) -> bool {
    let may_enter =
        |folder: &Path| fs::metadata(folder).is_ok_and(|folder| folder.mode() & OTHERS_ENTER != 0);
    database.folder().ancestors().all(may_enter)
}

/// The mode and owner of a file.
pub(super) fn told(file: &Metadata) -> String {
    format!("mode {:03o}, user {}", file.mode() & 0o777, file.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wal_is_left_off_where_another_machine_may_have_the_file_too() {
        for name in ["virtiofs", "vboxsf", "fuse.sshfs"] {
            assert!(is_shared(name), "{name}");
        }
        for name in ["ext4", "tmpfs", "overlay", "unknown"] {
            assert!(!is_shared(name), "{name}");
        }
    }
}
