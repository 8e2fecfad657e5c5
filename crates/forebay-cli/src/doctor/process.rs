//! Processes: their names, and which of them have a file open.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A process; `None` is one whose number cannot be seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Process(pub(super) Option<i32>);

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

/// Those that have a file open.
pub(super) struct Users {
    pub(super) processes: Vec<Process>,
    /// Some belong to other users, and do not show what they have open.
    pub(super) some_are_hidden: bool,
}

/// Finds those that have one of these files open; `None` where the system has no /proc.
pub(super) fn users(files: &[PathBuf]) -> Option<Users> {
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
pub(super) fn listed(processes: &[Process]) -> String {
    processes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
