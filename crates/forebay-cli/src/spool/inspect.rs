//! `forebay spool inspect`: what is in a spool, and what of it the database has.

use forebay_bench::Stop;

use super::args::Inspect;
use super::report::Report;
use super::{books, folder};
use crate::failure::{Exit, Failure, Result};
use crate::kept::print;
use crate::signals;

/// Looks and tells. The spool comes first: what the database has of it meanwhile is only more.
pub(super) fn run(args: &Inspect) -> Result<Exit> {
    let stop = Stop::default();
    let stopper = stop.clone();
    let signalled = signals::heed(move || stopper.stop())?;
    let seen = folder::look(&args.folder)?;
    let database = books::database(args.database.as_deref(), &seen)?;
    let mut unread = None;
    let mut unasked = match seen.database.as_str() {
        _ if seen.id.is_none() => "no database can be asked about it".to_owned(),
        "" => "no database was asked: --database says where it is".to_owned(),
        named => format!("{named} is not there, as seen from here: --database says where it is"),
    };
    let mut found = None;
    if let (Some(database), Some(id)) = (&database, &seen.id) {
        match books::ask(database, id, &stop) {
            Ok(applied) => {
                found = Some(books::Books::new(&seen, database, applied));
            }
            Err(why) => {
                let why = books::unread(database, why);
                unasked = why.message().to_owned();
                unread = Some(why);
            }
        }
    }
    if stop.is_stopped() {
        return Ok(signalled.signal_on_its_way().map_or(Exit::Failed, Exit::Interrupted));
    }
    let report = Report::new(&args.folder, &seen, found.as_ref());
    print(&if args.json { json(&report)? } else { report.text(&args.folder, &unasked) })?;
    match unread.filter(|_| args.database.is_some()) {
        Some(unread) => Err(unread),
        None if report.is_sound() => Ok(Exit::Success),
        None => Ok(Exit::Failed),
    }
}

fn json(report: &Report<'_>) -> Result<String> {
    let text = serde_json::to_string_pretty(report)
        .map_err(|error| Failure::new(format!("cannot make JSON: {error}")))?;
    Ok(text + "\n")
}
