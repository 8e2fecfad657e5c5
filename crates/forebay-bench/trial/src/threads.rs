//! Workers as threads.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use crate::pace::Pace;
use crate::serve::Start;
use crate::usage::{Usage, peak_memory_bytes};
use crate::window::{Measured, Phase, Progress, Timing, Window, measure, sum};
use crate::{Error, Latencies, Outcome, Report, Request, Result, WorkerKind, Written};

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
/// Those of the contender.
pub fn run_threads(request: &Request, start: Start, contender: &impl Contender) -> Result<Outcome> {
    let (first, count) = (request.workers.first, request.workers.count);
    let progress: Vec<Progress> = (0..count).map(|_| Progress::default()).collect();
    let window = Window::default();
    let timing = Timing::of(request, contender.committed().is_some());
    let mut workers = Vec::new();
    for index in first..first + count {
        workers.push(contender.worker(index)?);
    }
    start.wait()?;
    let (used, begun) = (Usage::now(), Instant::now());
    let (fail, failures) = mpsc::channel();
    let (measured, latency) = thread::scope(|scope| {
        let mut threads = Vec::new();
        for ((worker, progress), index) in workers.into_iter().zip(&progress).zip(first..) {
            let (fail, window, pace) = (fail.clone(), &window, Pace::of(request, index, begun));
            threads.push(thread::Builder::new().spawn_scoped(scope, move || {
                work(worker, progress, window, pace, timing).map_err(|error| {
                    // Who leads the trial may have stopped listening.
                    let _ = fail.send(error);
                })
            })?);
        }
        let acknowledged = || sum(&progress, |worker| &worker.acknowledged);
        let measured = measure(request, &window, &failures, || {
            contender.committed().unwrap_or_else(acknowledged)
        });
        let mut latency = Latencies::new();
        for thread in threads {
            match thread.join() {
                Ok(Ok(of_worker)) => latency.merge(&of_worker),
                Ok(Err(())) => {}
                Err(_) => return Err("a worker panicked".into()),
            }
        }
        Ok::<_, Error>((measured?, latency))
    })?;
    if let Ok(failure) = failures.try_recv() {
        return Err(failure);
    }
    let versions = contender.versions();
    let report = contender.finish()?;
    Ok(outcome(WorkerKind::Threads, versions, &measured, &progress, latency, used, report))
}

/// Puts together what a trial has shown.
pub(crate) fn outcome(
    workers: WorkerKind,
    versions: BTreeMap<String, String>,
    measured: &Measured,
    progress: &[Progress],
    latency: Latencies,
    before: Usage,
    mut report: Report,
) -> Outcome {
    let used = Usage::now().since(before);
    report.given_up += sum(progress, |worker| &worker.given_up);
    let of_worker = |worker: &Progress| worker.acknowledged.load(Ordering::Relaxed);
    let acknowledged = report.acknowledged.take();
    Outcome {
        workers,
        versions,
        seconds: measured.time.as_secs_f64(),
        rows: measured.rows,
        acknowledged: acknowledged.unwrap_or_else(|| progress.iter().map(of_worker).collect()),
        latency,
        cpu_seconds: used.cpu_seconds,
        peak_memory_bytes: peak_memory_bytes(),
        written_bytes: used.written_bytes,
        report,
    }
}

/// One worker's loop.
fn work(
    mut worker: impl Worker,
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
            let Some(then) = pace.wait(call, window) else { break };
            intended = Some(then);
        }
        let phase = window.phase();
        if phase == Phase::Over {
            break;
        }
        let timed = phase == Phase::Measured && timing.is_due(call);
        let begun = timed.then(|| intended.unwrap_or_else(Instant::now));
        match worker.write(number)? {
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
    }
    worker.finish()?;
    Ok(latency)
}
