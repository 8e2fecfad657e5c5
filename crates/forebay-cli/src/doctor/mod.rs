//! `forebay doctor`: looks at a database, tells what is wrong with what to do about it, and with `--fix` does what is safe.

pub mod args;
mod contents;
mod file;
mod finding;
mod fix;
mod locks;
mod log;
mod place;
pub(crate) mod process;
mod report;
pub(crate) mod shell;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use forebay_bench::Stop;
use forebay_bench::untouched::Untouched;
use terminal_size::{Width, terminal_size_of};

use crate::failure::{Exit, Failure, Result};
use crate::kept::print;
use crate::screen::Screen;
use crate::signals;
use args::Doctor;
use contents::Depth;
use file::Database;
use finding::{Finding, Level};
use report::Report;

/// How long a lock is waited for: that nobody seemed to hold, and by `--fix`.
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks at a database and tells what it has found.
///
/// # Errors
///
/// When signals cannot be watched, or the findings cannot be printed. What is wrong with the database is a finding.
pub fn run(args: &Doctor, screen: &Screen) -> Result<Exit> {
    let stop = Stop::default();
    let stopper = stop.clone();
    let signalled = signals::heed(move || stopper.stop())?;
    let depth = if args.full { Depth::Full } else { Depth::Quick };
    let mut look = Look::at(&args.database, None, depth, &stop);
    let mut changes = Vec::new();
    if let (Some(database), true, false) = (&look.database, args.fix, stop.is_stopped()) {
        changes = fix::fix(database, &look.findings, &stop);
        look = Look::at(&args.database, Some(database), depth, &stop);
    }
    if stop.is_stopped() {
        for change in changes {
            screen.line(change);
        }
        return Ok(signalled.signal_on_its_way().map_or(Exit::Failed, Exit::Interrupted));
    }
    let version = look.database.as_ref().and_then(Database::version_name);
    let name = args.database.to_string_lossy().into_owned();
    let report = Report::new(name, version, changes, look.findings);
    print(&if args.json { json(&report)? } else { report.text(width()) })?;
    Ok(match report.worst() {
        Level::Ok | Level::Note => Exit::Success,
        Level::Warning => Exit::Warned,
        Level::Error => Exit::Failed,
    })
}

fn json(report: &Report) -> Result<String> {
    let text = serde_json::to_string_pretty(report)
        .map_err(|error| Failure::new(format!("cannot make JSON: {error}")))?;
    Ok(text + "\n")
}

/// Columns of the terminal, if standard output is one.
fn width() -> Option<usize> {
    let (Width(columns), _) = terminal_size_of(io::stdout())?;
    io::stdout().is_terminal().then_some(columns.into())
}

/// A database and what was found.
struct Look {
    /// `None` when it is none.
    database: Option<Database>,
    findings: Vec<Finding>,
}

impl Look {
    /// Looks at everything. What is asked of the system comes first: files that are closed while SQLite has them open would
    /// take its locks with them. `before` is the database as it was before `--fix`.
    fn at(name: &Path, before: Option<&Database>, depth: Depth, stop: &Stop) -> Self {
        let database = match Database::find(name) {
            Ok(database) => database,
            Err(finding) => return Self { database: None, findings: vec![finding] },
        };
        let (locks, lock) = locks::watch(&database, stop);
        let mut findings = vec![database.finding()];
        findings.extend(database.other_names());
        findings.extend([lock, log::open(&database)]);
        let mut rest = Vec::from_iter(log::size(&database, &locks));
        rest.extend(log::journal(&database));
        rest.push(log::busy_timeout());
        rest.extend(place::filesystem_findings(&database));
        rest.extend(place::permissions(&database));
        rest.push(database.writer(before));
        let patience = if locks.excluder.is_some() { Duration::ZERO } else { PATIENCE };
        // This may make files beside the database, which are no finding.
        let opened = Untouched::open(name, patience, stop);
        findings.push(log::wal(&database, &locks, opened.as_ref()));
        findings.extend(rest);
        let contents = |why| contents::unread("contents", &database, &why);
        match opened {
            Err(why) => findings.push(contents(why)),
            Ok(mut untouched) => {
                findings.extend(contents::check(&mut untouched, &database, depth, stop));
                findings.extend(untouched.close().err().map(contents));
            }
        }
        Self { database: Some(database), findings }
    }
}
