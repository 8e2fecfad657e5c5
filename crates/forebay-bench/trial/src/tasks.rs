//! Workers as tokio tasks.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use tokio::runtime::Builder;

use crate::pace::Pace;
use crate::serve::Start;
use crate::threads::outcome;
use crate::usage::Usage;
use crate::window::{Phase, Progress, Timing, Window, measure, sum};
use crate::{Latencies, Outcome, Report, Request, Result, WorkerKind, Written};

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
    let (first, count) = (request.workers.first, request.workers.count);
    let progress: Arc<[Progress]> = (0..count).map(|_| Progress::default()).collect();
    let window = Arc::new(Window::default());
    let contender = Arc::new(runtime.block_on(make)?);
    let timing = Timing::of(request, contender.committed().is_some());
    let mut workers = Vec::new();
    for index in first..first + count {
        workers.push(runtime.block_on(contender.worker(index))?);
    }
    start.wait()?;
    let (used, begun) = (Usage::now(), Instant::now());
    let (fail, failures) = mpsc::channel();
    let mut tasks = Vec::new();
    for (place, worker) in workers.into_iter().enumerate() {
        let pace = Pace::of(request, first + place as u32, begun);
        let (fail, window, progress) = (fail.clone(), Arc::clone(&window), Arc::clone(&progress));
        tasks.push(runtime.spawn(async move {
            work(worker, &progress[place], &window, pace, timing).await.map_err(|error| {
                // Who leads the trial may have stopped listening.
                let _ = fail.send(error);
            })
        }));
    }
    let acknowledged = || sum(&progress, |worker| &worker.acknowledged);
    let measured =
        measure(request, &window, &failures, || contender.committed().unwrap_or_else(acknowledged));
    let mut latency = Latencies::new();
    for task in tasks {
        match runtime.block_on(task) {
            Ok(Ok(of_worker)) => latency.merge(&of_worker),
            Ok(Err(())) => {}
            Err(_) => return Err("a worker panicked".into()),
        }
    }
    let measured = measured?;
    if let Ok(failure) = failures.try_recv() {
        return Err(failure);
    }
    let report = runtime.block_on(contender.finish())?;
    let versions = contender.versions();
    Ok(outcome(WorkerKind::Tasks, versions, &measured, &progress, latency, used, report))
}

/// One worker's loop.
async fn work(
    mut worker: impl TaskWorker,
    progress: &Progress,
    window: &Window,
    pace: Option<Pace>,
    timing: Timing,
) -> Result<Latencies> {
    let mut latency = Latencies::new();
    let mut number = 0;
    for call in 0.. {
        let mut intended = None;
        if let Some(pace) = pace {
            let Some(then) = pace.wait_async(call, window).await else { break };
            intended = Some(then);
        }
        let phase = window.phase();
        if phase == Phase::Over {
            break;
        }
        let timed = phase == Phase::Measured && timing.is_due(call);
        let begun = timed.then(|| intended.unwrap_or_else(Instant::now));
        match worker.write(number).await? {
            Written::Done => {
                number += 1;
                progress.acknowledged.store(number, Ordering::Relaxed);
            }
            Written::GivenUp => {
                progress.given_up.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(begun) = begun {
            latency.record(begun.elapsed());
        }
        if call % YIELD == YIELD - 1 {
            tokio::task::yield_now().await;
        }
    }
    worker.finish().await?;
    Ok(latency)
}
