//! Paths that do not go together: what would otherwise be found out too late, or not at all.

use std::path::{Path, PathBuf};

use crate::args;
use crate::failure::{Failure, Result};
use crate::server;

/// Files that SQLite has beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Checks the paths that were given.
///
/// # Errors
///
/// When the database is not there and is not to be made, and when the rejects file is another file of the load.
pub(super) fn check(args: &args::Load) -> Result<()> {
    let is_server = server::is_url(&args.into);
    if !is_server {
        check_file(args)?;
    }
    let Some(rejects) = &args.rejects else { return Ok(()) };
    let beside = BESIDE.iter().map(|ending| {
        let mut name = args.into.clone().into_os_string();
        name.push(ending);
        PathBuf::from(name)
    });
    let taken = [("the input", args.input.clone()), ("the database", args.into.clone())];
    let taken = taken.into_iter().chain(beside.map(|path| ("a file of the database", path)));
    for (what, path) in taken.filter(|(what, _)| !is_server || *what == "the input") {
        if place(rejects) == place(&path) {
            return Err(Failure::of_arguments(format!(
                "--rejects names {what} itself: name another file"
            )));
        }
    }
    Ok(())
}

fn check_file(args: &args::Load) -> Result<()> {
    let into = args.into.display();
    if args.into.to_string_lossy().contains("://") {
        return Err(Failure::of_arguments(
            "--into takes the path of a SQLite file or a URL of PostgreSQL, and this is another URL",
        )
        .hint("postgres://USER@HOST:PORT/DATABASE"));
    }
    if !args.create && !args.into.exists() {
        return Err(Failure::new(format!("the database {into} is not there"))
            .hint("check the path; --create makes the database and the table"));
    }
    Ok(())
}

/// Where a file is or would be, whichever way it is written.
fn place(path: &Path) -> PathBuf {
    if let Ok(place) = path.canonicalize() {
        return place;
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let parent = parent.canonicalize().unwrap_or_else(|_| parent.to_owned());
    path.file_name().map_or_else(|| parent.clone(), |name| parent.join(name))
}
