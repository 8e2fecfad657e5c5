//! Who holds the sink, and what he does with it: take a segment, cut it into batches, write each, retry,
//! tell the receipts.
//!
//! Normally the writer's thread holds the sink. A thread that waits for a row which is all there is may
//! take it and make one attempt; whatever goes wrong there it hands to the writer. Invariant: a batch is
//! decided (receipts told, rows counted) once, by whoever holds the sink, after the sink's answer.
//! Only when he cannot answer, because he panicked or `close` ran out of time, the rows are decided without
//! him ([`abandon`]), and what he says later is dropped.

use std::error::Error as StdError;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::batch::{Batch, Entry};
use crate::cut::{Cut, Cutter, Merging};
use crate::decide::{Ledger, Log, decide_batch, decide_rest};
use crate::ending::closed;
use crate::error::{Error, ErrorKind, Result};
use crate::persist::{Fate, attempt, persist};
use crate::queue::{Job, Shared, run_errand};
use crate::reject::{DeadLetter, Letters};
use crate::segment::{Cursor, Segment};
use crate::shape::{Operation, Shape};
use crate::sink::{Applied, Sink};
use crate::sync;
use crate::wait::Holding;

/// The name of the writer's thread.
pub(crate) const THREAD: &str = "forebay-writer";

/// The sink and what belongs to its holder.
pub(crate) struct Worker {
    sink: Box<dyn Sink>,
    commits_on_caller: bool,
    /// Under which name the sink keeps books where there is no spool.
    books: Option<String>,
    cutter: Cutter,
    shapes: Vec<Arc<Shape>>,
    letters: Letters,
    /// Since when the sink has been down.
    paused: Option<Instant>,
}

/// Why the writer stops before everything is written.
enum Stop {
    /// `close` has run out of time, or the buffer fails: `why` is what a push gets from now on, the others
    /// are for the rows of the batch at hand and for those behind it.
    Ending { why: Error, batch: Error, rest: Error },
    /// The rows have been decided without him.
    Abandoned,
}

/// Delivers the dead letters that an earlier process may not have come to, before the buffer is anybody's.
pub(crate) fn tell(shared: &Shared, untold: &[DeadLetter]) {
    if untold.is_empty() {
        return;
    }
    let mut worker = shared.lock().take_worker();
    let holding = Holding::sink_of(shared.id());
    untold.iter().for_each(|letter| worker.letters.deliver(shared, letter));
    drop(holding);
    shared.return_sink(worker);
}

/// The writer's thread.
pub(crate) fn run(shared: &Arc<Shared>) {
    let _ending = Ending(shared);
    let _holding = Holding::sink_of(shared.id());
    if catch_unwind(AssertUnwindSafe(|| serve(shared))).is_err() {
        abandon_after_panic(shared, None);
    }
}

/// Whatever happens on the writer's thread, whoever waits for its end is told.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        for errand in self.0.writer_ends() {
            run_errand(errand, Err(closed()));
        }
        self.0.publish_metrics();
    }
}

/// Serves the buffer until it ends. The sink is dropped, and the connection with it, before anybody is
/// told: after `close` the files are the application's.
fn serve(shared: &Arc<Shared>) {
    loop {
        match shared.next_job() {
            Job::Errand(mut worker, errand) => {
                run_errand(errand, Ok(worker.sink.as_mut()));
                shared.return_sink(worker);
            }
            Job::Write(mut worker) => match worker.write(shared) {
                Ok(()) => shared.return_sink(worker),
                Err(stop) => {
                    worker.stop(shared, stop);
                    return drop(worker);
                }
            },
            Job::Exit(worker) => return drop(worker),
        }
    }
}

/// One attempt to commit the rows that the calling thread waits for, on that thread, if they are all
/// there is. If not, the writer is asked for them.
pub(crate) fn commit_on_caller(shared: &Arc<Shared>, rows: &Range<u64>) {
    let Some(mut worker) = shared.take_sink_for(rows) else { return };
    let holding = Holding::sink_of(shared.id());
    let untidy = catch_unwind(AssertUnwindSafe(|| {
        worker.write_once(shared);
        shared.publish_metrics();
        worker.sink.is_untidy()
    }));
    drop(holding);
    match untidy {
        Err(_) => return abandon_after_panic(shared, Some(worker)),
        // Nobody's commit should wait for the house-keeping, the caller's least of all.
        Ok(true) => shared.send(Box::new(|sink| {
            if let Ok(sink) = sink {
                sink.tidy();
            }
        })),
        Ok(false) => {}
    }
    shared.return_sink(worker);
}

impl Worker {
    pub(crate) fn new(sink: Box<dyn Sink>, cutter: Cutter, letters: Letters) -> Self {
        let (commits_on_caller, books) = (sink.commits_on_caller(), sink.books_name());
        Self { sink, commits_on_caller, books, cutter, shapes: Vec::new(), letters, paused: None }
    }

    /// Whether texts may have NUL characters in them.
    pub(crate) fn takes_nul(&self) -> bool {
        self.sink.takes_nul()
    }

    pub(crate) fn commits_on_caller(&self) -> bool {
        self.paused.is_none() && self.commits_on_caller
    }

    /// Writes the segment in flight, batch by batch.
    fn write(&mut self, shared: &Arc<Shared>) -> Result<(), Stop> {
        let (segment, mut start, mut failed) = shared.in_flight().ok_or(Stop::Abandoned)?;
        shared.shapes.refresh(&mut self.shapes);
        self.load(shared, &segment)?;
        let mut unmerged_until = 0;
        while start.ordinal < segment.rows() {
            let merging = if start.ordinal < unmerged_until { Merging::Off } else { Merging::On };
            let cut = self.cutter.cut(&segment, &self.shapes, start, merging);
            shared.begin_batch(cut.end);
            if failed.is_none() && start.ordinal >= unmerged_until {
                // Not when it is begun a second time.
                shared.metrics.begin(self.cutter.rows().len(), segment.oldest());
            }
            let Self { sink, books, cutter, shapes, paused, .. } = self;
            let batch = Batch::new(segment.bytes(), cutter.rows(), shapes, cut.superseded)
                .with_entry(entry(shared, books.as_deref(), &segment, start..cut.end));
            let fate = persist(sink.as_mut(), &batch, shared, paused, failed.take());
            let ledger = match fate {
                Fate::Applied(applied) => self.settle(shared, &segment, &cut, applied),
                Fate::Unmerge => {
                    unmerged_until = cut.end.ordinal;
                    continue;
                }
                Fate::Lost(error) => {
                    let rows = segment.seq(start.ordinal)..segment.seq(cut.end.ordinal);
                    Ledger::of_trouble(rows, error)
                }
                Fate::Failed { batch, rest, cause } => {
                    return Err(Stop::Ending { why: failure(shared, &cause), batch, rest });
                }
                Fate::OutOfTime { batch, rest } => {
                    return Err(Stop::Ending { why: closed(), batch, rest });
                }
            };
            if !self.publish(shared, &segment, start..cut.end, ledger) {
                return Err(Stop::Abandoned);
            }
            start = cut.end;
            self.sink.tidy();
            shared.publish_metrics();
            while let Some(errand) = shared.next_errand() {
                run_errand(errand, Ok(self.sink.as_mut()));
            }
        }
        drop(segment);
        shared.recycle();
        Ok(())
    }

    /// Reads the rows of an earlier process, which may have to be tried again. What is read and is not what was written fails
    /// the buffer.
    fn load(&mut self, shared: &Shared, segment: &Segment) -> Result<(), Stop> {
        let mut is_told = false;
        while let Err(cause) = segment.load() {
            let passes = cause.source().is_some_and(<dyn StdError>::is::<io::Error>);
            let why = match passes {
                true if !shared.is_overdue() => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::error!(
                            "writing to {} is paused, and tried every {:?}: {cause:#}",
                            shared.name(),
                            shared.config.retry.pause
                        );
                    }
                    shared.lock().paused = Some(cause);
                    shared.rest(sync::now() + shared.config.retry.pause, self.sink.as_mut());
                    continue;
                }
                true => closed(),
                false => failure(shared, &cause),
            };
            let left = "the buffer ended before this row was written";
            let rest = shared.unwritten(left, Some(cause));
            return Err(Stop::Ending { why, batch: rest.clone(), rest });
        }
        if is_told {
            shared.lock().paused = None;
        }
        Ok(())
    }

    /// One attempt at the segment in flight, whose rows, being for one receipt, make one batch. An error
    /// is the writer's to deal with.
    fn write_once(&mut self, shared: &Arc<Shared>) {
        let Some((segment, start, _)) = shared.in_flight() else { return };
        shared.shapes.refresh(&mut self.shapes);
        let cut = self.cutter.cut(&segment, &self.shapes, start, Merging::Off);
        shared.begin_batch(cut.end);
        let rows = self.cutter.rows();
        shared.metrics.begin(rows.len(), segment.oldest());
        let batch = Batch::new(segment.bytes(), rows, &self.shapes, cut.superseded)
            .with_entry(entry(shared, self.books.as_deref(), &segment, start..cut.end));
        let applied = match attempt(self.sink.as_mut(), &batch, shared) {
            Ok(applied) => applied,
            Err(error) => {
                failpoint!(BeforeHandover);
                return shared.hand_over(error);
            }
        };
        let ledger = self.settle(shared, &segment, &cut, applied);
        self.publish(shared, &segment, start..cut.end, ledger);
        if cut.end.ordinal == segment.rows() {
            drop(segment);
            shared.recycle();
        }
    }

    /// Makes of the sink's answer what each row of the batch is told.
    fn settle(
        &mut self,
        shared: &Shared,
        segment: &Segment,
        cut: &Cut,
        applied: Applied,
    ) -> Ledger {
        let batch = Batch::new(segment.bytes(), self.cutter.rows(), &self.shapes, cut.superseded);
        if matches!(batch.row(0).shape().target().operation(), Operation::Execute) {
            look_at_tables(self.sink.as_mut(), shared);
        }
        Ledger::of_batch(segment, &batch, self.cutter.rows(), cut.superseded, applied)
    }

    /// Tells the receipts, the dead letters and the counters. False when somebody has done so already.
    fn publish(
        &mut self,
        shared: &Shared,
        segment: &Segment,
        rows: Range<Cursor>,
        ledger: Ledger,
    ) -> bool {
        failpoint!(BeforeResolving);
        let Self { shapes, letters, .. } = self;
        let deliver = &mut |letter| deliver(shared, letters, letter);
        let decided = decide_batch(shared, Log { segment, shapes }, rows, ledger, deliver);
        failpoint!(AfterResolving);
        decided
    }

    /// Decides all rows that are left. The door is closed first: whoever is told that the buffer has failed
    /// will find it so.
    fn stop(&mut self, shared: &Shared, stop: Stop) {
        let Stop::Ending { why, batch, rest } = stop else { return };
        let Some(segments) = shared.end(why) else { return };
        let Self { shapes, letters, .. } = self;
        shared.shapes.refresh(shapes);
        for segment in segments {
            // Nobody else decides these rows: whatever panics on the way of a dead letter must not keep them from it.
            let deliver = &mut |letter| {
                let _ = catch_unwind(AssertUnwindSafe(|| deliver(shared, letters, letter)));
            };
            decide_rest(shared, segment, shapes, &batch, &rest, deliver);
        }
        shared.all_decided();
    }
}

/// What the sink enters in its books of a batch, where there is a spool or it keeps books without one.
fn entry<'s>(
    shared: &'s Shared,
    books: Option<&'s str>,
    segment: &Segment,
    rows: Range<Cursor>,
) -> Option<Entry<'s>> {
    let spool = shared.spool.as_ref().map_or(books, |spool| Some(spool.key()))?;
    let (start, end) = (segment.seq(rows.start.ordinal), segment.seq(rows.end.ordinal));
    Some(Entry { spool, start, end, first_seq: segment.seq(0) })
}

/// What `close` ran out of time for, `close` hands back or sees to, unless it has given up waiting for this too.
fn deliver(shared: &Shared, letters: &mut Letters, letter: DeadLetter) {
    let late = shared.signals.patience_ended() && letter.error.kind() != ErrorKind::Rejected;
    let letter = if late { shared.leave(letter) } else { Some(letter) };
    if let Some(letter) = letter {
        letters.deliver(shared, &letter);
    }
}

/// After `execute` the tables may have changed: looks at those that producers write to again.
fn look_at_tables(sink: &mut dyn Sink, shared: &Shared) {
    for stream in shared.streams() {
        if stream.target().operation().writes_a_table() {
            // A table that is gone is found out, and said, when its next rows are written.
            match sink.describe(stream.target().table()) {
                Ok(info) => stream.update(info),
                // A database that does not answer would be waited for once for each table.
                Err(error) if error.kind() == ErrorKind::Open => return,
                Err(_) => (),
            }
        }
    }
}

/// Decides all rows without the holder of the sink, who is gone or does not come back: the batch that the
/// sink has is unknown, everything else unwritten. The rows that no receipt is held for are left for
/// `close` to hand back. False when somebody else decides them already.
pub(crate) fn abandon(shared: &Shared, why: Error, cause: &Error) -> bool {
    let Some(rest) = shared.end(why) else { return false };
    let unknown = shared.in_doubt(cause);
    let unwritten = shared.unwritten("this row was not written", Some(cause.clone()));
    let mut shapes = Vec::new();
    shared.shapes.refresh(&mut shapes);
    let mut letters = Vec::new();
    for rest in rest {
        let letters = &mut |letter| letters.push(letter);
        decide_rest(shared, rest, &shapes, &unknown, &unwritten, letters);
    }
    shared.abandoned(letters);
    shared.publish_metrics();
    true
}

/// Nothing is logged before everybody is told, and a waiting thread has given the sink back: it may be the log's subscriber
/// that panics.
fn abandon_after_panic(shared: &Shared, worker: Option<Box<Worker>>) {
    let bug = "the writer panicked outside of a commit: a bug in forebay, in its sink or in a subscriber of its log";
    let cause = Error::new(ErrorKind::Panicked, bug);
    abandon(shared, failure(shared, &cause), &cause);
    if let Some(worker) = worker {
        shared.return_sink(worker);
    }
    tracing::error!(database = shared.name(), "{cause}");
}

fn failure(shared: &Shared, cause: &Error) -> Error {
    let message = format!("the buffer for {} failed and accepts nothing", shared.name());
    cause.retold(ErrorKind::Failed, message)
}
