//! Workers as threads.

use std::collections::BTreeMap;
use std::thread::{self, ScopedJoinHandle};

use crate::course::{Calls, Course};
use crate::serve::Start;
use crate::window::Phase;
use crate::{Latencies, Outcome, Report, Request, Result, WorkerKind, Workers, Written};

/// Whoever writes rows by calls that block.
pub trait Contender: Sync {
    /// What a thread writes with.
    type Worker<'a>: Worker
    where
        Self: 'a;

    /// The libraries that do the work, with their versions.
    fn versions(&self) -> BTreeMap<String, String>;

    /// Makes what worker `index` of all writes with. The workers are made one after the other, before the trial begins.
    ///
    /// # Errors
    ///
    /// When it cannot be made: a connection that does not open.
    fn worker(&self, index: u32) -> Result<Self::Worker<'_>>;

    /// Rows committed so far, where a call that returns does not say so itself.
    fn committed(&self) -> Option<u64> {
        None
    }

    /// Waits until everything is committed, and says what was counted. All workers have finished.
    ///
    /// # Errors
    ///
    /// When a row that was handed over could not be committed.
    fn finish(&self) -> Result<Report>;
}

/// What a thread writes with.
pub trait Worker: Send {
    /// Writes row `number`: the one after the last, or the same again after it was given up.
    ///
    /// # Errors
    ///
    /// When it cannot be written, for another reason than a lock. The trial ends.
    fn write(&mut self, number: u64) -> Result<Written>;

    /// Commits what is left.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    fn finish(self) -> Result<()>
    where
        Self: Sized,
    {
        Ok(())
    }
}

/// Runs a trial whose workers are threads.
///
/// # Errors
///
/// Those of the contender, and when not all threads can be started.
pub fn run_threads(request: &Request, start: Start, contender: &impl Contender) -> Result<Outcome> {
    let Workers { first, count, .. } = request.workers;
    let mut workers = Vec::new();
    for index in first..first + count {
        workers.push(contender.worker(index)?);
    }
    let (course, failures) = Course::begin(request, start, contender.committed().is_some())?;
    let seen = thread::scope(|scope| {
        let mut threads = Vec::new();
        for (place, worker) in (0..).zip(workers) {
            let calls = course.calls(place);
            let thread = thread::Builder::new().spawn_scoped(scope, move || work(worker, calls));
            threads.push(thread.map_err(|error| {
                // Those that run would write for ever.
                course.window.enter(Phase::Over);
                format!("cannot start thread {} of {count}: {error}", place + 1)
            })?);
        }
        let joined = threads.into_iter().map(ScopedJoinHandle::join);
        course.lead(&failures, || contender.committed(), joined)
    })?;
    let versions = contender.versions();
    let report = contender.finish()?;
    Ok(course.outcome(WorkerKind::Threads, versions, seen, report))
}

/// One worker's loop.
fn work(mut worker: impl Worker, mut calls: Calls) -> Option<Latencies> {
    let mut write_all = || {
        while let Some(begun) = calls.next() {
            let written = worker.write(calls.number())?;
            calls.end(begun, written);
        }
        Ok(())
    };
    let done = write_all().and_then(|()| worker.finish());
    calls.finish(done)
}
