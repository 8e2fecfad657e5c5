//! Workers as tokio tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::runtime::Builder;

use crate::course::{Calls, Course};
use crate::serve::Start;
use crate::timer::Timer;
use crate::{Latencies, Outcome, Report, Request, Result, WorkerKind, Workers, Written};

/// Calls between two at which a task lets others run, should its calls never wait.
const YIELD: u64 = 16;

/// Whoever writes rows by calls that are awaited.
pub trait TaskContender: Send + Sync + Sized + 'static {
    /// What a task writes with.
    type Worker: TaskWorker;

    /// The libraries that do the work, with their versions.
    fn versions(&self) -> BTreeMap<String, String>;

    /// Makes what worker `index` of all writes with. The workers are made one after the other, before the trial begins.
    ///
    /// # Errors
    ///
    /// When it cannot be made: a connection that does not open.
    fn worker(&self, index: u32) -> impl Future<Output = Result<Self::Worker>> + Send;

    /// Rows committed so far, where a call that returns does not say so itself.
    fn committed(&self) -> Option<u64> {
        None
    }

    /// Waits until everything is committed, and says what was counted. All workers have finished.
    ///
    /// # Errors
    ///
    /// When a row that was handed over could not be committed.
    fn finish(&self) -> impl Future<Output = Result<Report>> + Send;
}

/// What a task writes with.
pub trait TaskWorker: Send + 'static {
    /// Writes row `number`: the one after the last, or the same again after it was given up.
    ///
    /// # Errors
    ///
    /// When it cannot be written, for another reason than a lock. The trial ends.
    fn write(&mut self, number: u64) -> impl Future<Output = Result<Written>> + Send;

    /// Commits what is left.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    fn finish(self) -> impl Future<Output = Result<()>> + Send
    where
        Self: Sized,
    {
        async { Ok(()) }
    }
}

/// Runs a trial whose workers are tasks, on a runtime with a thread for each core. `make` opens the contender on it.
///
/// # Errors
///
/// Those of the contender.
pub fn run_tasks<C: TaskContender>(
    request: &Request,
    start: Start,
    make: impl Future<Output = Result<C>>,
) -> Result<Outcome> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let contender = runtime.block_on(make)?;
    let Workers { first, count, .. } = request.workers;
    let mut workers = Vec::new();
    for index in first..first + count {
        workers.push(runtime.block_on(contender.worker(index))?);
    }
    let timer = request.rate.map(|_| Timer::start().map(Arc::new)).transpose()?;
    let (course, failures) = Course::begin(request, start, contender.committed().is_some())?;
    let task = |(place, worker)| runtime.spawn(work(worker, course.calls(place), timer.clone()));
    let tasks: Vec<_> = (0..).zip(workers).map(task).collect();
    let joined = tasks.into_iter().map(|task| runtime.block_on(task));
    let seen = course.lead(&failures, || contender.committed(), joined)?;
    let report = runtime.block_on(contender.finish())?;
    Ok(course.outcome(WorkerKind::Tasks, contender.versions(), seen, report))
}

/// One worker's loop.
async fn work(
    mut worker: impl TaskWorker,
    mut calls: Calls,
    timer: Option<Arc<Timer>>,
) -> Option<Latencies> {
    let write_all = async {
        while let Some(begun) = calls.next_async(timer.as_deref()).await {
            let written = worker.write(calls.number()).await?;
            calls.end(begun, written);
            if calls.made().is_multiple_of(YIELD) {
                tokio::task::yield_now().await;
            }
        }
        worker.finish().await
    };
    let done = write_all.await;
    calls.finish(done)
}
