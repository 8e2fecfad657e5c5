//! The spool's folder: is it one, and who has it open.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use forebay::spool::{self, Inspection};
use rustix::process::geteuid;

use crate::doctor::process;
use crate::doctor::shell::quoted;
use crate::failure::{Failure, Result, because};

/// Looks into a folder, in which there must be a spool.
pub(super) fn look(folder: &Path) -> Result<Inspection> {
    let name = folder.display();
    let setting = "name the folder of the setting `spool`";
    let file = fs::metadata(folder).map_err(|error| unseen(folder, &error))?;
    if !file.is_dir() {
        return Err(Failure::new(format!("{name} is no folder")).hint(setting));
    }
    fs::read_dir(folder).map_err(|error| unseen(folder, &error))?;
    Ok(spool::inspect(folder)?)
}

fn unseen(folder: &Path, error: &std::io::Error) -> Failure {
    let failure = |why: String| {
        Failure::new(format!("cannot look into the spool {}: {why}", folder.display()))
    };
    match error.kind() {
        ErrorKind::PermissionDenied => failure(format!(
            "this user ({}) may not do that",
            geteuid().as_raw()
        ))
        .hint(format!("run this as the user of the application: `ls -ld {}`", quoted(folder))),
        ErrorKind::NotFound => failure("there is no such folder".to_owned())
            .hint("name the folder of the setting `spool`"),
        _ => failure(because(error)),
    }
}

/// Refuses a spool that a process has open.
pub(super) fn refuse_in_use(folder: &Path, seen: &Inspection) -> Result<()> {
    if !seen.in_use {
        return Ok(());
    }
    let (name, word) = (folder.display(), quoted(folder));
    Err(Failure::new(format!("the spool {name} is in use by {}", user(folder))).hint(format!(
        "that process writes its rows; if it is to go, end it first; `forebay spool inspect {word}` looks at it meanwhile"
    )))
}

/// Refuses to write to a spool of another user's, also for root: the application could not open what this user has made there.
pub(super) fn refuse_other_owner(folder: &Path) -> Result<()> {
    // The folder may have been made for the application by another.
    let file = fs::metadata(folder.join("spool.json")).or_else(|_| fs::metadata(folder));
    let owner = file.map_err(|error| unseen(folder, &error))?.uid();
    let user = geteuid().as_raw();
    if owner == user {
        return Ok(());
    }
    let message = format!(
        "the spool {} belongs to user {owner}, and this is user {user}: the application could not open the files that this would make there",
        folder.display()
    );
    Err(Failure::new(message)
        .hint(format!("run this as that user: `sudo -u '#{owner}' forebay spool …`")))
}

/// Who has a spool open, in words.
pub(super) fn user(folder: &Path) -> String {
    let users = process::users(&[folder.join("lock")]).map(|users| users.processes);
    match users.as_deref() {
        None | Some([]) => "a process that does not show its files to this user".to_owned(),
        Some(processes) => process::listed(processes),
    }
}
