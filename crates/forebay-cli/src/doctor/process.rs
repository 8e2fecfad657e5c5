//! Processes: their names, and which of them have a file open.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

/// A process; `None` is one whose number cannot be seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process(pub(super) Option<i32>);

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(id) = self.0 else {
            return f.write_str("a process that cannot be seen from here");
        };
        match fs::read_to_string(format!("/proc/{id}/comm")) {
            Ok(name) => write!(f, "{} (pid {id})", name.trim_end_matches('\n')),
            Err(_) => write!(f, "pid {id}"),
        }
    }
}

impl Process {
    /// How a transaction of it is ended, which the process can do itself by what is said first.
    pub(crate) fn end(self, have_it: &str) -> String {
        let Some(id) = self.0 else {
            return format!(
                "have it {have_it}, or end it; outside of this container, or on the machine that it runs on, its number may be seen"
            );
        };
        let owner = fs::metadata(format!("/proc/{id}")).map_or(0, |process| process.uid());
        let sudo = if geteuid().is_root() || geteuid().as_raw() == owner { "" } else { "sudo " };
        format!("have it {have_it}, or end it, which rolls back: `{sudo}kill {id}`")
    }
}

/// Those that have a file open.
pub(crate) struct Users {
    pub(crate) processes: Vec<Process>,
    /// Some belong to other users, and do not show what they have open.
    pub(crate) some_are_hidden: bool,
}

/// Finds those that have one of these files open; `None` where the system has no /proc.
pub(crate) fn users(files: &[PathBuf]) -> Option<Users> {
    let inode = |path: &Path| fs::metadata(path).ok().map(|file| (file.dev(), file.ino()));
    let wanted: Vec<_> = files.iter().filter_map(|path| inode(path)).collect();
    let mut users = Users { processes: Vec::new(), some_are_hidden: false };
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        match fs::read_dir(entry.path().join("fd")) {
            Ok(open) => {
                let is_wanted =
                    |path: PathBuf| inode(&path).is_some_and(|file| wanted.contains(&file));
                if open.flatten().any(|open| is_wanted(open.path())) {
                    users.processes.push(Process(Some(id)));
                }
            }
            // One that has ended meanwhile hides nothing.
            Err(_) => users.some_are_hidden |= entry.path().exists(),
        }
    }
    users.processes.sort();
    Some(users)
}

/// Processes in a sentence.
pub(crate) fn listed(processes: &[Process]) -> String {
    processes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
