//! `forebay spool replay`: the rows of a spool are written to its database, without the application.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use forebay::spool::{self, Inspection};
use forebay::{Config, Health, Sink, SqliteSink, Stats, WriteBuffer};
use forebay_bench::Stop;
use forebay_bench::untouched::Unreadable;

use super::report::rows;
use super::{books, folder};
use crate::doctor::shell::{quoted, visible};
use crate::failure::{Exit, Failure, Result};
use crate::kept::print;
use crate::load::waiting::Waiting;
use crate::screen::Screen;
use crate::signals;
use crate::words::grouped;

/// How often the progress is looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long a replay that is ended by a signal waits for the transaction at hand. What is not written stays in the spool.
const GRACE: Duration = Duration::from_secs(1);
/// What a signal before the first row is told to have come before.
const BEFORE: &str = "anything was written; the spool is as it was";
const MIB: usize = 1024 * 1024;
/// Steps of the progress bar.
const STEPS: u32 = 1_000;

/// Writes what is in a spool.
pub(super) fn run(
    folder: &Path,
    database: Option<&Path>,
    adopt: bool,
    screen: &Screen,
) -> Result<Exit> {
    let (ends, ended) = mpsc::channel();
    let (stop, is_opening) = (Stop::default(), Arc::new(AtomicBool::new(false)));
    let at_once = "what was not written is in the spool";
    let signalled = signals::watch(screen, at_once, BEFORE, {
        let (stop, is_opening) = (stop.clone(), Arc::clone(&is_opening));
        move || {
            stop.stop();
            // When nobody waits any more the replay has ended.
            let _ = ends.send(());
            // Which waits for locks, and has nothing to end in good order.
            !is_opening.load(Ordering::Relaxed)
        }
    })?;
    let task = Task::begin(folder, database, adopt, &stop);
    is_opening.store(true, Ordering::Relaxed);
    if stop.is_stopped() {
        screen.line(format_args!("stopped before {BEFORE}"));
        return Ok(signalled.signal_on_its_way().map_or(Exit::Failed, Exit::Interrupted));
    }
    let Some(task) = task? else {
        print(&format!("the spool {} is empty: nothing is left to write\n", shown(folder)))?;
        return Ok(Exit::Success);
    };
    // No row is pushed: the segments that a buffer makes for new ones need not be large, and the disk may be nearly full.
    let config = Config {
        spool: Some(folder.to_owned()),
        max_buffer_bytes: 4 * MIB,
        max_batch_bytes: MIB,
        max_row_bytes: MIB,
        ..Config::default()
    };
    task.adopt()?;
    let letters = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&letters);
    let builder = WriteBuffer::builder(&task.database).config(config);
    let builder = builder.on_reject(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let buffer = builder.open()?;
    is_opening.store(false, Ordering::Relaxed);
    let is_interrupted = wait(&buffer, &ended, screen);
    let patience = if is_interrupted { GRACE } else { buffer.config().close_timeout };
    let closed = buffer.close_within(patience);
    screen.end_progress();
    let stats = closed.map_or_else(|_| buffer.stats(), |report| report.stats);
    let health = buffer.health();
    drop(buffer);
    // Those of its own rows, and those that an earlier process may not have told of.
    let untold = letters.load(Ordering::Relaxed).saturating_sub(stats.rejected);
    task.tell(&stats, untold, health, is_interrupted.then(|| signalled.signal()).flatten())
}

/// Waits until all is written, or no more is to be: whether a signal has come.
fn wait(buffer: &WriteBuffer, ended: &mpsc::Receiver<()>, screen: &Screen) -> bool {
    let begun = Instant::now();
    let mut waiting = Waiting::new();
    loop {
        let (stats, health) = (buffer.stats(), buffer.health());
        if stats.pending == 0 || matches!(health, Health::Failed(_)) {
            return false;
        }
        let done = stats.accepted - stats.pending;
        let rate = done as f64 / begun.elapsed().as_secs_f64().max(1e-9);
        let mut message = format!(
            "{} of {} rows, {} rows/s",
            grouped(done),
            grouped(stats.accepted),
            grouped(rate as u64)
        );
        if let Some(what) = waiting.look(&stats, &health) {
            message = format!("{what}; {message}");
        }
        let step = u64::from(STEPS) * done / stats.accepted.max(1);
        screen.step(u32::try_from(step).unwrap_or(STEPS), STEPS, message);
        if ended.recv_timeout(TICK).is_ok() {
            screen.line("ending: what is not written stays in the spool; once more stops at once");
            return true;
        }
    }
}

fn shown(path: &Path) -> String {
    visible(&path.to_string_lossy())
}

/// A spool and the database that it goes with.
struct Task {
    folder: PathBuf,
    database: PathBuf,
    /// Which spool it is.
    id: Option<String>,
    /// The first row of a spool that the database is to be told of.
    adopts: Option<u64>,
}

impl Task {
    /// Looks at both before anything is changed; `None` when there is nothing to write.
    fn begin(
        folder: &Path,
        given: Option<&Path>,
        adopt: bool,
        stop: &Stop,
    ) -> Result<Option<Self>> {
        let seen = folder::look(folder)?;
        folder::refuse_in_use(folder, &seen)?;
        folder::refuse_other_owner(folder)?;
        if let Some(refusal) = &seen.refusal {
            return Err(Failure::new(refusal.clone()));
        }
        let database = books::needed(folder, given, &seen)?;
        let is_known = check(&seen, &database, adopt, stop)?;
        let first = seen.segments.iter().filter(|segment| segment.rows > 0).map(|s| s.first_row);
        let adopts = first.min().filter(|_| adopt && !is_known);
        let (folder, id) = (folder.to_owned(), seen.id);
        Ok((!seen.is_closed).then_some(Self { folder, database, id, adopts }))
    }

    /// Has a database that knows nothing of the spool keep its books, from its first row on.
    fn adopt(&self) -> Result<()> {
        let (Some(first), Some(id)) = (self.adopts, &self.id) else { return Ok(()) };
        Ok(SqliteSink::open(&self.database, &Config::default())?.open_books(id, first)?)
    }

    /// Tells what became of the rows.
    fn tell(
        &self,
        stats: &Stats,
        untold: u64,
        health: Health,
        signal: Option<i32>,
    ) -> Result<Exit> {
        let left = stats.spooled + stats.pending;
        let name = shown(&self.database);
        let mut text = format!("{} → {name}\n", shown(&self.folder));
        let mut line = |what: &str, number: u64, note: String| {
            let note = if note.is_empty() { note } else { format!("  {note}") };
            text.push_str(&format!("  {what:<13}{:>12}{note}\n", grouped(number)));
        };
        line("replayed", stats.replayed, String::new());
        line("written", stats.committed, String::new());
        if stats.superseded > 0 {
            line("superseded", stats.superseded, "by newer rows with the same key".to_owned());
        }
        let kept = format!("kept in the table _forebay_rejected: `{}`", self.query());
        let rejected = if stats.rejected == 0 { String::new() } else { kept.clone() };
        line("rejected", stats.rejected, rejected);
        if untold > 0 {
            let before = "refused before, and the application may not have been told";
            line("untold", untold, format!("{before}; {kept}"));
        }
        if stats.unknown > 0 {
            line("unknown", stats.unknown, "look whether the database has them".to_owned());
        }
        line("left", left, if left > 0 { "in the spool".to_owned() } else { String::new() });
        // It was looked at before; what cannot be read any more is not empty.
        let is_empty = left == 0 && spool::inspect(&self.folder).is_ok_and(|seen| seen.is_closed);
        if is_empty {
            text.push_str("the spool is empty\n");
        }
        print(&text)?;
        match (health, signal) {
            (Health::Failed(cause), _) => Err(Failure::from(cause).hint(self.again())),
            (_, Some(signal)) if left > 0 => Ok(Exit::Interrupted(signal)),
            _ if left > 0 => {
                let message = format!("{} could not be written", rows(left));
                Err(Failure::new(message).hint(self.again()))
            }
            _ if !is_empty => {
                let message = "all rows are written, but the spool could not be cleared";
                Err(Failure::new(message)
                    .hint("the application clears it when it opens its buffer"))
            }
            _ if stats.rejected + stats.unknown > 0 => Ok(Exit::Rejected),
            _ => Ok(Exit::Success),
        }
    }

    /// How the refused rows are looked at.
    fn query(&self) -> String {
        let of = self.id.as_ref().map(|id| format!(" WHERE spool = '{id}'")).unwrap_or_default();
        let sql = format!("SELECT letter FROM _forebay_rejected{of}");
        format!("sqlite3 {} \"{sql}\"", quoted(&self.database))
    }

    fn again(&self) -> String {
        let (folder, database) = (quoted(&self.folder), quoted(&self.database));
        format!(
            "what is not written is in the spool: `forebay doctor {database}` says what is wrong; then \
             `forebay spool replay {folder} --database {database}`"
        )
    }
}

/// Refuses a database that a buffer would refuse, or make anew. One that cannot be read without being changed, or is locked, is
/// left to the buffer, which waits. Whether it may know of the spool.
fn check(seen: &Inspection, database: &Path, adopt: bool, stop: &Stop) -> Result<bool> {
    let Some(id) = &seen.id else { return Ok(true) };
    match books::ask(database, id, stop) {
        Ok(None) if adopt => Ok(false),
        Ok(applied) => match seen.mismatch(&database.to_string_lossy(), applied) {
            Some(why) if applied.is_none() => Err(Failure::new(why).hint(
                "--database names the one that it was used with; --adopt takes this one, as after a backup from before the spool \
                 was first used",
            )),
            Some(why) => Err(Failure::new(why)),
            None => Ok(true),
        },
        Err(Unreadable::Locked | Unreadable::LogAlone | Unreadable::BrokenOff) if !adopt => Ok(true),
        Err(why) => Err(books::unread(database, why)),
    }
}
