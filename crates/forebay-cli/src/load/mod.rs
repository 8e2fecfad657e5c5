//! `forebay load`: one thread reads bytes, another makes rows of them and hands them to the buffer, a third waits for
//! signals; the main thread shows how far it is, and at the end has everything decided and sums up.

pub mod columns;
mod create;
pub mod feed;
mod header;
mod inference;
pub mod input;
mod job;
mod ledger;
mod paths;
pub mod records;
pub(crate) mod rejects;
pub mod row;
pub(crate) mod settings;
mod summary;
pub(crate) mod waiting;

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use forebay::{Health, Stats, WriteBuffer};
use parking_lot::Mutex;

use self::job::Job;
use self::ledger::Ledger;
use self::summary::Summary;
use self::waiting::Waiting;
use crate::args;
use crate::failure::{Exit, Failure, Result};
use crate::screen::Screen;
use crate::signals::{self, Signalled};
use crate::words::grouped;

/// How often the progress is shown.
const TICK: Duration = Duration::from_millis(200);

/// What the main thread waits for.
enum Event {
    Signal,
    Read(Result<()>),
}

/// Runs the command.
///
/// # Errors
///
/// When the load could not begin. What went wrong later is told with the summary.
pub fn run(args: &args::Load, screen: &Screen) -> Result<Exit> {
    let (events, happened) = mpsc::channel();
    // Before there is anything to end in good order, a signal ends the process.
    let begun = Arc::new(AtomicBool::new(false));
    let at_once = "what was not committed yet is not in the table";
    let signalled = signals::watch(screen, at_once, "anything was loaded", {
        let (events, begun) = (events.clone(), Arc::clone(&begun));
        move || {
            // When nobody waits any more the load has ended.
            let _ = events.send(Event::Signal);
            begun.load(Ordering::Relaxed)
        }
    })?;
    let mut job = Job::begin(args, screen, &signalled)?;
    begun.store(true, Ordering::Relaxed);
    let load = Running {
        begun: Instant::now(),
        before: job.buffer.stats(),
        buffer: job.buffer.clone(),
        ledger: Arc::clone(&job.ledger),
        bytes: Arc::clone(&job.bytes),
        screen: screen.clone(),
        signalled,
    };
    let summary = Summary::new(&job.input, &job.into, job.columns.table());
    screen.begin_progress(job.size);
    let reader = thread::Builder::new().name("reader".to_owned());
    let reader = reader.spawn(move || {
        let read = catch_unwind(AssertUnwindSafe(|| job.pump()));
        let bug = || Err(Failure::new("the thread that reads panicked, which is a bug in forebay"));
        // The main thread is there until it has heard of this.
        let _ = events.send(Event::Read(read.unwrap_or_else(|_| bug())));
    });
    reader.map_err(|error| Failure::new(format!("cannot start a thread: {error}")))?;
    match load.wait(&happened) {
        Event::Read(read) => load.finish(read, summary, args.json),
        Event::Signal => {
            screen.line("ending: what was read is being committed; once more stops at once");
            load.finish(Ok(()), summary, args.json)
        }
    }
}

/// A load under way, as the main thread sees it.
struct Running {
    begun: Instant,
    /// What the buffer had counted before.
    before: Stats,
    buffer: WriteBuffer,
    ledger: Arc<Mutex<Ledger>>,
    /// Bytes of the input read so far.
    bytes: Arc<AtomicU64>,
    screen: Screen,
    signalled: Signalled,
}

impl Running {
    /// Shows how far it is until something happens.
    fn wait(&self, happened: &mpsc::Receiver<Event>) -> Event {
        let mut waiting = Waiting::new();
        loop {
            if let Ok(event) = happened.recv_timeout(TICK) {
                return event;
            }
            // Where lines come slowly the reader does not look for long.
            if let Some(mut ledger) = self.ledger.try_lock() {
                ledger.settle();
                // A failure stays until the end, which tells it.
                let _ = ledger.rejects.flush();
            }
            let stats = self.buffer.stats();
            let rows = stats.committed + stats.superseded;
            let rate = rows as f64 / self.begun.elapsed().as_secs_f64();
            let rows = format!("{} rows, {} rows/s", grouped(rows), grouped(rate as u64));
            let message = match waiting.look(&stats, &self.buffer.health()) {
                Some(what) => format!("{what}; {rows}"),
                None => rows,
            };
            self.screen.progress(self.bytes.load(Ordering::Relaxed), message);
        }
    }

    /// Has everything decided that was read, sums up, and tells how the load has ended.
    fn finish(&self, read: Result<()>, mut summary: Summary, json: bool) -> Result<Exit> {
        let closed = self.buffer.close_within(self.buffer.config().close_timeout);
        self.screen.end_progress();
        let after = closed.map_or_else(|_| self.buffer.stats(), |report| report.stats);
        // Ctrl-C also ends whoever wrote into the pipe: the end of the input may have been heard of first.
        let signal = self.signalled.signal();
        // The reader holds the ledger only while it hands over a row, which a closed buffer refuses.
        let finished = self.ledger.lock().finish(&mut summary);
        summary.interrupted = signal.is_some();
        summary.count(&self.before, &after);
        summary.time(self.begun.elapsed());
        let failed = match self.buffer.health() {
            Health::Failed(cause) => Some(Failure::from(cause)),
            _ => read.and(finished).err().or_else(|| summary.loss()),
        };
        summary.error = failed.as_ref().map(|failure| failure.message().to_owned());
        print(&summary, json)?;
        match (failed, signal) {
            (Some(failure), _) => Err(failure),
            (None, Some(signal)) => Ok(Exit::Interrupted(signal)),
            (None, None) if summary.rejected > 0 => Ok(Exit::Rejected),
            (None, None) => Ok(Exit::Success),
        }
    }
}

fn print(summary: &Summary, json: bool) -> Result<()> {
    let failed = |error| Failure::new(format!("cannot write to standard output: {error}"));
    let text = if json {
        serde_json::to_string(summary).map_err(|error| failed(error.into()))? + "\n"
    } else {
        summary.to_string()
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever closed standard output does not want it.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(error)),
        _ => Ok(()),
    }
}
