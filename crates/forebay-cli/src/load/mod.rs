//! `forebay load`: a thread reads records and hands them to the buffer, another waits for signals; the main thread
//! shows how far it is, and at the end has everything decided and sums up.

pub mod columns;
mod create;
pub mod feed;
mod header;
pub mod input;
mod job;
mod ledger;
mod paths;
pub mod records;
mod rejects;
pub mod row;
mod settings;
mod summary;
mod waiting;

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use forebay::{Health, WriteBuffer};
use parking_lot::Mutex;

use self::job::Job;
use self::ledger::Ledger;
use self::summary::Summary;
use self::waiting::Waiting;
use crate::args;
use crate::failure::{Exit, Failure, Result};
use crate::screen::Screen;
use crate::signals;
use crate::words::grouped;

/// How often the progress is shown.
const TICK: Duration = Duration::from_millis(200);

/// What the main thread waits for.
enum Event {
    Signal(i32),
    Read(Result<()>),
}

/// Runs the command.
///
/// # Errors
///
/// When the load could not begin. What went wrong later is told with the summary.
pub fn run(args: &args::Load, screen: &Screen) -> Result<Exit> {
    let (events, happened) = mpsc::channel();
    // Until the first record is read there is nothing to end in good order.
    let reading = Arc::new(AtomicBool::new(false));
    let signalled = signals::watch(screen, {
        let (events, reading) = (events.clone(), Arc::clone(&reading));
        move |signal| reading.load(Ordering::Relaxed) && events.send(Event::Signal(signal)).is_ok()
    })?;
    let mut job = Job::begin(args, screen)?;
    reading.store(true, Ordering::Relaxed);
    let buffer = job.buffer.clone();
    let begun = Instant::now();
    let before = buffer.stats();
    let ledger = Arc::clone(&job.ledger);
    let bytes = Arc::clone(&job.bytes);
    let mut summary = Summary::new(&job.input, &args.into, job.columns.table());
    screen.begin_progress(job.size);
    let reader = thread::Builder::new().name("reader".to_owned());
    let reader = reader.spawn(move || {
        let read = catch_unwind(AssertUnwindSafe(|| job.pump()));
        let bug = || Err(Failure::new("the thread that reads panicked, which is a bug in forebay"));
        // The main thread is there until it has heard of this.
        let _ = events.send(Event::Read(read.unwrap_or_else(|_| bug())));
    });
    reader.map_err(|error| Failure::new(format!("cannot start a thread: {error}")))?;

    let (read, signal) = match wait(&happened, screen, &buffer, &bytes, &ledger) {
        // Ctrl-C also ends whoever wrote into the pipe: the end of the input may be heard of first.
        Event::Read(read) => (read, signalled.signal()),
        Event::Signal(signal) => {
            screen.line("ending: what was read is being committed; once more stops at once");
            (Ok(()), Some(signal))
        }
    };
    let closed = buffer.close_within(buffer.config().close_timeout);
    screen.end_progress();
    let after = closed.map_or_else(|_| buffer.stats(), |report| report.stats);
    // The reader holds the ledger only while it hands over a row, which a closed buffer refuses.
    let finished = ledger.lock().finish(signal.is_some(), &mut summary);
    summary.interrupted = signal.is_some();
    summary.count(&before, &after);
    summary.time(begun.elapsed());
    let failed = match buffer.health() {
        Health::Failed(cause) => Some(Failure::from(cause)),
        _ => read.and(finished).err(),
    };
    summary.error = failed.as_ref().map(|failure| failure.message().to_owned());
    print(&summary, args.json)?;
    if let Some(failure) = failed {
        return Err(failure);
    }
    Ok(match signal {
        _ if summary.unwritten + summary.unknown > 0 => Exit::Failed,
        Some(signal) => Exit::Interrupted(signal),
        None if summary.rejected > 0 => Exit::Rejected,
        None => Exit::Success,
    })
}

/// Shows how far it is until something happens.
fn wait(
    happened: &mpsc::Receiver<Event>,
    screen: &Screen,
    buffer: &WriteBuffer,
    bytes: &AtomicU64,
    ledger: &Mutex<Ledger>,
) -> Event {
    let begun = Instant::now();
    let mut waiting = Waiting::new();
    loop {
        if let Ok(event) = happened.recv_timeout(TICK) {
            return event;
        }
        // Where lines come slowly the reader does not look for long.
        if let Some(mut ledger) = ledger.try_lock() {
            ledger.settle(false);
        }
        let stats = buffer.stats();
        let rows = stats.committed + stats.superseded;
        let rate = rows as f64 / begun.elapsed().as_secs_f64();
        let rows = format!("{} rows, {} rows/s", grouped(rows), grouped(rate as u64));
        let message = match waiting.look(&stats, &buffer.health()) {
            Some(what) => format!("{what}; {rows}"),
            None => rows,
        };
        screen.progress(bytes.load(Ordering::Relaxed), message);
    }
}

fn print(summary: &Summary, json: bool) -> Result<()> {
    let text = if json {
        serde_json::to_string(summary).unwrap_or_default() + "\n"
    } else {
        summary.to_string()
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever closed standard output does not want it.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
