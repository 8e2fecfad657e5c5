//! The programs of a PostgreSQL server that is installed, and the user they run as, for they refuse to run as root.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where `initdb`, `pg_ctl` and `postgres` are.
pub(crate) struct Programs {
    folder: PathBuf,
    user: Option<User>,
}

/// Who runs them, when this process is root's.
struct User {
    uid: u32,
    gid: u32,
}

/// The programs that a server is made, started and stopped with.
const NEEDED: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

impl Programs {
    /// Looks for them on `PATH`, where Debian puts them, and where `pg_config` says.
    ///
    /// # Panics
    ///
    /// When they are nowhere: what needs a server has not been tested without one.
    pub(crate) fn find() -> Self {
        let found = candidates().into_iter().find(|folder| has_all(folder));
        let folder = found.expect(
            "there is no PostgreSQL server to test with: initdb, pg_ctl and postgres are neither on PATH, nor in \
             /usr/lib/postgresql/*/bin, nor where pg_config says; run tests/postgres/install as root, or install the \
             package postgresql (Debian, Ubuntu), postgresql-server (Fedora) or postgresql@17 (Homebrew)",
        );
        Self { folder, user: rustix::process::geteuid().is_root().then(User::find) }
    }

    /// One of them, to be run by who may. What it is started with must not be what the test's own runner waits for.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.folder.join(name));
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid);
        }
        command.current_dir("/").stdin(Stdio::null()).process_group(0);
        command.env("LC_ALL", "C");
        command
    }

    /// Gives a file or folder to who runs the server.
    ///
    /// # Panics
    ///
    /// When that is not allowed.
    pub(crate) fn give(&self, path: &Path) {
        if let Some(User { uid, gid }) = self.user {
            chown(path, Some(uid), Some(gid)).expect("root may give a file away");
        }
    }
}

impl User {
    /// The server's own user where its package has made one, else nobody.
    fn find() -> Self {
        let found = ["postgres", "nobody"].into_iter().find_map(|name| {
            let id = |which| number(&run(Command::new("id").args([which, name])).ok()?);
            Some(Self { uid: id("-u")?, gid: id("-g")? })
        });
        found.expect("a server does not run as root, and there is no user `postgres` or `nobody`")
    }
}

/// The folders that may hold them, the newest server first.
fn candidates() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|entry| entry.path()).collect();
    versions.sort_by_key(|folder| {
        let name = folder.file_name().and_then(OsStr::to_str);
        std::cmp::Reverse(name.and_then(|name| name.parse::<u32>().ok()))
    });
    folders.extend(versions.into_iter().map(|version| version.join("bin")));
    let configured = run(Command::new("pg_config").arg("--bindir"));
    folders.extend(configured.ok().map(|folder| PathBuf::from(folder.trim())));
    folders
}

fn has_all(folder: &Path) -> bool {
    NEEDED.iter().all(|name| folder.join(name).is_file())
}

fn number(text: &str) -> Option<u32> {
    text.trim().parse().ok()
}

/// What a command printed.
///
/// # Errors
///
/// What it said when it failed, or why it could not be run.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{command:?} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{command:?} ended with {}: {said}", output.status))
}
