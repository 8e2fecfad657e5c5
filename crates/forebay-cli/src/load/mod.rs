//! `forebay load`: a thread reads records and hands them to the buffer, another waits for signals; the main thread
//! shows how far it is, and at the end has everything decided and sums up.

pub mod columns;
mod create;
mod header;
pub mod input;
mod job;
mod ledger;
pub mod records;
mod rejects;
pub mod row;
mod summary;
mod waiting;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use forebay::{Health, WriteBuffer};

use self::job::Job;
use self::summary::{Summary, grouped};
use self::waiting::Waiting;
use crate::args;
use crate::failure::{Exit, Failure, Result};
use crate::screen::Screen;
use crate::signals;

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
    signals::watch(screen, {
        let (events, reading) = (events.clone(), Arc::clone(&reading));
        move |signal| {
            reading.load(Ordering::Relaxed) && events.send(Event::Signal(signal)).is_ok()
        }
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
        let read = job.pump();
        // The main thread is there until it has heard of this.
        let _ = events.send(Event::Read(read));
    });
    reader.map_err(|error| Failure::new(format!("cannot start a thread: {error}")))?;

    let ended = wait(&happened, screen, &buffer, &bytes);
    let (read, signal) = match ended {
        Event::Read(read) => (read, None),
        Event::Signal(signal) => {
            screen.line("ending: what was read is being committed; once more stops at once");
            (Ok(()), Some(signal))
        }
    };
    let closed = buffer.close_within(buffer.config().close_timeout);
    screen.end_progress();
    let after = closed.map_or_else(|_| buffer.stats(), |report| report.stats);
    // The reader holds the ledger only while it hands over a row, which a closed buffer refuses.
    let mut ledger = ledger.lock();
    ledger.settle(signal.is_some());
    let finished = ledger.rejects.finish();
    summary.read = ledger.read;
    summary.rejected = ledger.refused;
    summary.rejects = ledger.rejects.file().map(Path::to_owned);
    summary.interrupted = signal.is_some();
    summary.count(&before, &after);
    summary.time(begun.elapsed());
    print(&summary, args.json);
    if let Health::Failed(cause) = buffer.health() {
        return Err(cause.into());
    }
    read?;
    finished?;
    Ok(match signal {
        Some(signal) => Exit::Interrupted(signal),
        None if summary.unwritten + summary.unknown > 0 => Exit::Failed,
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
) -> Event {
    let begun = Instant::now();
    let mut waiting = Waiting::new();
    loop {
        match happened.recv_timeout(TICK) {
            Ok(event) => return event,
            Err(RecvTimeoutError::Disconnected) => {
                return Event::Read(Err(Failure::new("the reading thread panicked")));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let stats = buffer.stats();
        let rows = stats.committed + stats.superseded;
        let rate = rows as f64 / begun.elapsed().as_secs_f64();
        let mut message = format!("{} rows, {} rows/s", grouped(rows), grouped(rate as u64));
        if let Some(what) = waiting.look(&stats, &buffer.health()) {
            message.push_str(", ");
            message.push_str(&what);
        }
        screen.progress(bytes.load(Ordering::Relaxed), message);
    }
}

fn print(summary: &Summary, json: bool) {
    let text = if json {
        serde_json::to_string(summary).unwrap_or_default() + "\n"
    } else {
        summary.to_string()
    };
    // Whoever closed standard output does not want it.
    let _ = io::stdout().write_all(text.as_bytes());
}
