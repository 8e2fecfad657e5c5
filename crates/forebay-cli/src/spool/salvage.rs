//! `forebay spool salvage`: a damaged spool is set aside, and what can be read of it is kept.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use forebay::spool::{self, Inspection, Salvaged, Unread};
use forebay_bench::Stop;

use super::args::Salvage;
use super::report::{counted, rows};
use super::{books, folder, replay};
use crate::doctor::shell::{quoted, visible};
use crate::failure::{Exit, Failure, Result};
use crate::kept::print;
use crate::screen::Screen;
use crate::signals;

/// Salvages a spool. A signal ends it before it has begun, or comes after it: it takes no longer than to copy the folder.
pub(super) fn run(args: &Salvage, screen: &Screen) -> Result<Exit> {
    let stop = Stop::default();
    let stopper = stop.clone();
    let signalled = signals::heed(move || stopper.stop())?;
    let interrupted = || Ok(signalled.signal_on_its_way().map_or(Exit::Failed, Exit::Interrupted));
    let seen = folder::look(&args.folder)?;
    folder::refuse_in_use(&args.folder, &seen)?;
    folder::refuse_other_owner(&args.folder)?;
    let database = match args.without_database {
        true => None,
        false => Some(database(args, &seen)?),
    };
    // From now on no process writes its rows, so that what the database says of them still holds when they are kept.
    let salvage = spool::Salvage::begin(&args.folder)?;
    let mut applied = None;
    if let Some(database) = &database {
        let asked = books::ask(database, salvage.id(), &stop);
        if stop.is_stopped() {
            return interrupted();
        }
        let known = asked.map_err(|why| or_without(books::unread(database, why)))?;
        applied = Some(known.ok_or_else(|| unknown(database))?);
    }
    // Its name before it is set aside.
    let old = fs::canonicalize(&args.folder).unwrap_or_else(|_| args.folder.clone());
    let salvaged = salvage.finish(applied)?;
    print(&told(&args.folder, &old, database.as_deref(), &salvaged))?;
    if stop.is_stopped() {
        return interrupted();
    }
    let exit = if salvaged.unread.is_empty() { Exit::Success } else { Exit::Warned };
    if !args.replay {
        return Ok(exit);
    }
    print("\n")?;
    match replay::run(&args.folder, database.as_deref(), false, screen)? {
        Exit::Success => Ok(exit),
        other => Ok(other),
    }
}

fn database(args: &Salvage, seen: &Inspection) -> Result<PathBuf> {
    books::needed(&args.folder, args.database.as_deref(), seen).map_err(or_without)
}

fn or_without(failure: Failure) -> Failure {
    failure.or_hint("--without-database keeps every row that can be read, also those that it has")
}

fn unknown(database: &Path) -> Failure {
    let message = format!(
        "the database {} knows nothing of this spool, so it is not the one that it was used with",
        database.display()
    );
    or_without(Failure::new(message).hint("name that one with --database"))
}

/// What became of it.
fn told(folder: &Path, old: &Path, database: Option<&Path>, salvaged: &Salvaged) -> String {
    let Salvaged { set_aside, kept, applied, unread, .. } = salvaged;
    let mut text = format!("{}: salvaged\n\n", visible(&folder.to_string_lossy()));
    let mut line = |name: &str, told: &str| {
        // A string takes whatever is written to it.
        let _ = writeln!(text, "  {name:<11}{}", visible(told));
    };
    let aside = quoted(set_aside);
    line("set aside", &format!("{aside}, with all its bytes"));
    line("kept", &format!("{}, in {}", rows(*kept), quoted(folder)));
    if let Some(database) = database {
        line("applied", &format!("{} that {} has already", rows(*applied), database.display()));
    }
    match unread.len() as u64 {
        0 => line("unread", "nothing: every part could be read"),
        parts => line("unread", &format!("{} that could not be read:", counted(parts, "part"))),
    }
    for part in unread {
        line("", &told_part(part, old));
    }
    let database = match database {
        Some(database) => format!(" --database {}", quoted(database)),
        None => String::new(),
    };
    let word = quoted(folder);
    let next = match kept {
        0 => "no row is left to write; the application can open its buffer again".to_owned(),
        _ => format!(
            "`forebay spool replay {word}{database}` writes the rows that were kept, or the application when it opens its buffer"
        ),
    };
    let _ = writeln!(text, "\n{next}");
    text
}

/// A part that could not be read: where, how much, whose rows, why.
fn told_part(part: &Unread, old: &Path) -> String {
    let file = match part.file.strip_prefix(old) {
        Ok(rest) if rest.as_os_str().is_empty() => "the folder".to_owned(),
        Ok(rest) => rest.display().to_string(),
        Err(_) => part.file.display().to_string(),
    };
    let bytes =
        part.bytes.as_ref().map(|bytes| format!(", bytes {} to {}", bytes.start, bytes.end));
    let concerned = match (part.first_row, part.last_row) {
        (None, _) => String::new(),
        (Some(first), None) => format!(", row {first} and those after it"),
        (Some(first), Some(last)) if first == last => format!(", row {first}"),
        (Some(first), Some(last)) => format!(", rows {first} to {last}"),
    };
    format!("{file}{}{concerned}: {}", bytes.unwrap_or_default(), part.why)
}
