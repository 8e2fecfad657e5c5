//! `forebay copy`: one thread copies tables, another waits for signals; the main thread shows how far it is, and sums up.

mod affinity;
pub mod args;
mod copying;
mod create;
mod destination;
mod grouped;
mod kind;
mod kinds;
mod line;
mod order;
mod plan;
mod progress;
mod source;
mod summary;
mod table;
mod target;
mod value;
mod verify;
mod writing;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use forebay::{Config, Health, WriteBuffer};
use forebay_bench::Stop;

use self::copying::{Copied, Copying, Shown};
use self::plan::Plan;
use self::source::Source;
use self::summary::Summary;
use self::target::Target;
use crate::failure::{Exit, Failure, Result};
use crate::kept;
use crate::load::rejects::Rejects;
use crate::load::settings::Settings;
use crate::load::waiting::Waiting;
use crate::screen::Screen;
use crate::server::{self, Server};
use crate::signals::{self, Signalled};
use crate::sql::quoted;
use crate::words::grouped;
use args::Copy;

/// How often the progress is shown.
const TICK: Duration = Duration::from_millis(200);

/// The settings that a copy has unless the arguments say otherwise: a row must not be left behind that SQLite took, and
/// nobody waits for the one that comes next.
fn usual() -> Config {
    Config {
        max_row_bytes: 16 * 1024 * 1024,
        max_batch_bytes: 16 * 1024 * 1024,
        max_transaction_rows: 20_000,
        ..Config::default()
    }
}

/// What the main thread waits for.
enum Event {
    Signal,
    Copied(Copied),
}

/// Runs the command.
///
/// # Errors
///
/// When the copy could not begin, failed, or is not equal in the end.
pub fn run(args: &Copy, screen: &Screen) -> Result<Exit> {
    let (events, happened) = mpsc::channel();
    let (stop, begun) = (Stop::default(), Arc::new(AtomicBool::new(false)));
    let at_once = "what was committed stays, and the same command goes on from there";
    let signalled = signals::watch(screen, at_once, "anything was copied", {
        let (events, begun, stop) = (events.clone(), Arc::clone(&begun), stop.clone());
        move || {
            stop.stop();
            // When nobody waits any more the copy has ended.
            let _ = events.send(Event::Signal);
            begun.load(Ordering::Relaxed)
        }
    })?;
    let (copying, into) = ready(args, screen, &stop)?;
    begun.store(true, Ordering::Relaxed);
    let running = Running {
        began: Instant::now(),
        buffer: copying.buffer.clone(),
        of: copying.plans.iter().map(|plan| plan.rows).sum(),
        shown: Arc::clone(&copying.shown),
        screen: screen.clone(),
        signalled,
    };
    let from = args.from.display().to_string();
    let summary = Summary { from, into, ..Summary::default() };
    let copier = thread::Builder::new().name("copier".to_owned());
    let copier = copier.spawn(move || {
        let copied = catch_unwind(AssertUnwindSafe(|| copying.run()));
        // The main thread is there until it has heard of this.
        let _ = events.send(Event::Copied(copied.unwrap_or_else(|_| Copied::panicked())));
    });
    copier.map_err(|error| Failure::new(format!("cannot start a thread: {error}")))?;
    let copied = running.wait(&happened);
    running.finish(copied, summary, args.json)
}

/// Opens both sides and looks at all tables.
fn ready(args: &Copy, screen: &Screen, stop: &Stop) -> Result<(Copying, String)> {
    let example = "forebay copy app.db postgres://user@host/database --table topics";
    // A URL is not repeated: it may hold a password.
    if args.from.to_string_lossy().contains("://") {
        let message = "what is copied is a SQLite file, and the first argument is a URL";
        return Err(Failure::of_arguments(message).hint(example));
    }
    if !server::is_url(&args.into) {
        let message = "the second argument is not the URL of a PostgreSQL database";
        return Err(Failure::of_arguments(message).hint(example));
    }
    let server = Server::of(&args.into);
    let settings = Settings { batching: &args.batching, linger: None, is_server: true };
    let config = settings.config(usual())?;
    check(&config)?;
    let source = Source::open(&args.from, stop)?;
    let listed = source.tables()?;
    let mut wanted: Vec<_> = listed.iter().filter(|table| table.kind == "table").collect();
    if !args.all_tables {
        let found = args.table.iter().map(|name| source.find(&listed, name));
        wanted = found.collect::<Result<_>>()?;
        let mut named = HashSet::new();
        wanted.retain(|table| named.insert(&table.name));
    }
    let name = args.from.display().to_string();
    if wanted.is_empty() {
        screen.line(format_args!("{name} has no table: there is nothing to copy"));
    }
    let rejects = Rejects::new(screen.clone(), "row", &name, args.rejects.as_deref())?;
    let target = Target::connect(&server, stop)?;
    target.prepare()?;
    let plans = wanted.into_iter().map(|table| Plan::of(&source, &target, table, args.from_start));
    let plans = plans.collect::<Result<Vec<_>>>()?;
    let buffer = server.buffer(config, true)?;
    target.check_rights("_forebay", target::rights("_forebay"))?;
    let (screen, stop) = (screen.clone(), stop.clone());
    let (verify, shown) = (args.verify, Arc::default());
    let copying = Copying { source, target, buffer, plans, rejects, verify, screen, stop, shown };
    Ok((copying, server.name))
}

/// What says how far a copy has come runs behind its rows only while none of them is given up, or kept elsewhere.
fn check(config: &Config) -> Result<()> {
    let wrong = |setting: &str, hint: &str| {
        let message = format!("the settings have {setting}, which is not for a copy");
        Err(Failure::of_arguments(message).hint(hint))
    };
    if config.retry.give_up.is_some() {
        return wrong(
            "retry.give_up",
            "leave it out: a copy that is ended by Ctrl-C goes on later",
        );
    }
    if config.spool.is_some() {
        return wrong("spool", "leave it out: all rows are in SQLite");
    }
    Ok(())
}

/// The table that a right is lacking on, for which rows wait.
fn right_wanted(health: &Health) -> Option<&str> {
    match health {
        Health::Paused(cause) if cause.sqlstate() == Some("42501") => cause.table(),
        _ => None,
    }
}

/// A copy under way, as the main thread sees it.
struct Running {
    began: Instant,
    buffer: WriteBuffer,
    /// Rows of all tables.
    of: u64,
    shown: Arc<Shown>,
    screen: Screen,
    signalled: Signalled,
}

impl Running {
    /// Shows how far it is until it has ended. At a signal the buffer closes, so that whoever waits for room in it is told.
    fn wait(&self, happened: &mpsc::Receiver<Event>) -> Copied {
        let mut waiting = Waiting::new();
        let mut lacks_right = false;
        loop {
            match happened.recv_timeout(TICK) {
                Ok(Event::Copied(copied)) => return copied,
                Ok(Event::Signal) => {
                    self.screen.line(
                        "ending: rows on their way are being committed; once more stops at once",
                    );
                    // The rows that it hands back are in SQLite, and their receipts say what became of them.
                    let _ = self.buffer.close_within(self.buffer.config().close_timeout);
                }
                // The other end is held by the thread that watches for signals.
                Err(_) => {}
            }
            let health = self.buffer.health();
            let right = right_wanted(&health);
            if let Some(table) = right.filter(|_| !lacks_right) {
                self.screen.line(format_args!(
                    "waiting for the right to write to {table}: GRANT {} ON {}, and it goes on; Ctrl-C ends it",
                    target::rights(table).join(", "),
                    quoted(table)
                ));
            }
            lacks_right = right.is_some();
            let (stats, read) = (self.buffer.stats(), self.shown.read.load(Ordering::Relaxed));
            let rate = stats.committed as f64 / self.began.elapsed().as_secs_f64();
            let rows = format!("{} rows/s", grouped(rate as u64));
            let message = match waiting.look(&stats, &health) {
                _ if self.shown.is_comparing.load(Ordering::Relaxed) => "comparing".to_owned(),
                Some(what) => format!("{what}; {rows}"),
                None => rows,
            };
            self.screen.rows(read.saturating_sub(stats.pending), self.of, message);
        }
    }

    /// Sums up, and tells how the copy has ended.
    fn finish(&self, copied: Copied, mut summary: Summary, json: bool) -> Result<Exit> {
        let closed = self.buffer.close_within(self.buffer.config().close_timeout);
        self.screen.end_progress();
        let stats = closed.map_or_else(|_| self.buffer.stats(), |report| report.stats);
        let signal = self.signalled.signal();
        let Copied { tables, writing, rejects, failed } = copied;
        // What a stop broke off has not failed.
        let is_whole = tables.iter().all(|done| done.is_whole && done.compared.is_some());
        let failed = match self.buffer.health() {
            Health::Failed(cause) => Some(Failure::from(cause)),
            _ => failed.filter(|_| signal.is_none() || is_whole),
        };
        summary.rows = tables.iter().map(|done| done.passed).sum();
        (summary.tables, summary.rejects, summary.retries) = (tables, rejects, stats.retries);
        summary.interrupted = signal.is_some();
        summary.time(self.began.elapsed(), writing);
        summary.error = failed.as_ref().map(|failure| failure.message().to_owned());
        let text = if json {
            let text = serde_json::to_string(&summary);
            text.map_err(|error| Failure::new(format!("cannot write the summary: {error}")))? + "\n"
        } else {
            summary.to_string()
        };
        kept::print(&text)?;
        match (failed, signal) {
            (Some(failure), _) => Err(failure),
            (None, Some(signal)) => {
                self.screen.line("stopped: the same command goes on from here");
                Ok(Exit::Interrupted(signal))
            }
            (None, None) if summary.rejected() > 0 => Ok(Exit::Rejected),
            (None, None) => Ok(Exit::Success),
        }
    }
}
