//! The programs of a PostgreSQL server that is installed, and who may run them: they refuse to run as root.

use std::env;
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result};

/// Folders that have one folder for each version, with the programs in its `bin`: Debian's.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Folders that have the programs: Fedora's, and where the source puts them.
const OTHERS: [&str; 2] = ["/usr/bin", "/usr/local/pgsql/bin"];
/// Who runs the server where this process is root's: the user that packages make for it, else nobody.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// The programs of a server.
#[derive(Debug)]
pub struct Programs {
    folder: PathBuf,
    /// Who runs them, where this process may not.
    user: Option<User>,
}

#[derive(Debug)]
struct User {
    name: &'static str,
    uid: u32,
    gid: u32,
}

impl Programs {
    /// Looks for them: on `PATH`, then where packages put them, the newest version first.
    ///
    /// # Errors
    ///
    /// When they are not installed, or when this is root and there is no other user to run them.
    pub fn find() -> Result<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = env::split_paths(&path).chain(versions()).chain(OTHERS.map(PathBuf::from));
        let folder = first_with_all(folders)?;
        let user = if rustix::process::geteuid().is_root() { Some(user()?) } else { None };
        Ok(Self { folder, user })
    }

    /// One of them, as a path.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Has a command run as the user that the server has.
    pub(super) fn hand(&self, command: &mut Command) {
        if let Some(User { uid, gid, .. }) = self.user {
            command.uid(uid).gid(gid);
        }
    }

    /// Gives a folder to that user.
    pub(super) fn give(&self, folder: &Path) -> Result<()> {
        let Some(User { uid, gid, .. }) = self.user else { return Ok(()) };
        chown(folder, Some(uid), Some(gid))
            .map_err(|error| Error::of_file("give to the server's user", folder, &error))
    }

    /// Who runs the server, where that is not this user.
    pub(super) fn user(&self) -> Option<&'static str> {
        self.user.as_ref().map(|user| user.name)
    }
}

/// The first of these folders that has all that is needed.
fn first_with_all(mut folders: impl Iterator<Item = PathBuf>) -> Result<PathBuf> {
    let has = |folder: &Path, name: &str| folder.join(name).is_file();
    let found = folders.find(|folder| has(folder, "initdb") && has(folder, "postgres"));
    found.ok_or_else(missing)
}

fn missing() -> Error {
    Error::new(format!(
        "there is no PostgreSQL server to measure: its programs initdb and postgres are neither on PATH nor in {VERSIONS}"
    ))
    .with_hint(
        "install the package postgresql (postgresql-server in some distributions), or name a server that runs with \
         --url postgres://USER@HOST/DATABASE",
    )
}

/// Where each version has its programs, the newest first.
fn versions() -> Vec<PathBuf> {
    let entries = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| {
        let number: f64 = entry.file_name().to_str()?.parse().ok()?;
        Some((number, entry.path().join("bin")))
    });
    let mut versions: Vec<_> = numbered.collect();
    versions.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    versions.into_iter().map(|(_, folder)| folder).collect()
}

/// Who runs the server for root.
fn user() -> Result<User> {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = USERS.into_iter().find_map(|name| {
        let mut fields = users
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?
            .split(':')
            .skip(1);
        Some(User { name, uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    });
    found.ok_or_else(|| {
        Error::new("a PostgreSQL server does not run as root, and there is neither a user postgres nor a user nobody")
            .with_hint("run forebay as another user, or name a server that runs with --url")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_server_it_is_told_what_to_install() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("initdb"), "").unwrap();
        let error = first_with_all(std::iter::once(folder.path().to_owned())).unwrap_err();
        assert!(
            error.to_string().contains("initdb and postgres are neither on PATH nor in"),
            "{error}"
        );
        let hint = error.hint().unwrap();
        assert!(
            hint.contains("install the package postgresql") && hint.contains("--url"),
            "{hint}"
        );
        fs::write(folder.path().join("postgres"), "").unwrap();
        assert_eq!(
            first_with_all(std::iter::once(folder.path().to_owned())).unwrap(),
            folder.path()
        );
    }
}
