//! A trial under way: what its workers share, and what they do beside their calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Instant;

use crate::pace::Pace;
use crate::serve::Start;
use crate::usage::{Usage, peak_memory_bytes};
use crate::window::{Measured, Phase, Window, measure};
use crate::{Error, Latencies, Outcome, Report, Request, Result, WorkerKind, Written};

/// Of a worker's calls every so manyth is timed, where nobody waits and nothing sets the pace: two looks at the clock
/// take as long as such a call. It has no divisor in common with the batch sizes, so that calls which fill a batch
/// are among them.
const SAMPLED: u64 = 17;

/// What all workers see.
#[derive(Debug)]
pub(crate) struct Course {
    request: Request,
    pub(crate) window: Window,
    progress: Box<[Progress]>,
    timed_every: u64,
    used: Usage,
    begun: Instant,
    fail: Sender<Error>,
}

/// What a worker has done so far, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Progress {
    acknowledged: AtomicU64,
    given_up: AtomicU64,
}

impl Course {
    /// Says that everything is open, and begins when the word comes. Gives where the workers' failures come out.
    pub(crate) fn begin(
        request: &Request,
        start: Start,
        returns_early: bool,
    ) -> Result<(Arc<Self>, Receiver<Error>)> {
        start.wait()?;
        Ok(Self::new(request, returns_early))
    }

    fn new(request: &Request, returns_early: bool) -> (Arc<Self>, Receiver<Error>) {
        let (fail, failures) = mpsc::channel();
        let course = Self {
            request: request.clone(),
            window: Window::default(),
            progress: (0..request.workers.count).map(|_| Progress::default()).collect(),
            timed_every: if returns_early && request.rate.is_none() { SAMPLED } else { 1 },
            used: Usage::now(),
            begun: Instant::now(),
            fail,
        };
        (Arc::new(course), failures)
    }

    /// The calls of the worker in this place of the process.
    pub(crate) fn calls(self: &Arc<Self>, place: u32) -> Calls {
        Calls {
            course: Arc::clone(self),
            place: place as usize,
            pace: Pace::of(&self.request, self.request.workers.first + place, self.begun),
            made: 0,
            number: 0,
            latency: Latencies::new(),
        }
    }

    /// Leads the workers, and waits for them with `joined`: it gives what each has left, or an error for one that has
    /// panicked. Rows are counted by `committed`, where a call that returns does not say so itself.
    pub(crate) fn lead<E>(
        &self,
        failures: &Receiver<Error>,
        committed: impl Fn() -> Option<u64>,
        joined: impl Iterator<Item = Result<Option<Latencies>, E>>,
    ) -> Result<(Measured, Latencies)> {
        let acknowledged = || self.sum(|worker| &worker.acknowledged);
        let count = || committed().unwrap_or_else(acknowledged);
        let measured = measure(&self.request, &self.window, failures, count);
        let mut latency = Latencies::new();
        for of_worker in joined {
            if let Some(of_worker) = of_worker.map_err(|_| "a worker panicked")? {
                latency.merge(&of_worker);
            }
        }
        // One that failed in the end is heard of only now.
        match failures.try_recv() {
            Ok(failure) => Err(failure),
            Err(_) => Ok((measured?, latency)),
        }
    }

    /// Puts together what the trial has shown.
    pub(crate) fn outcome(
        &self,
        workers: WorkerKind,
        versions: BTreeMap<String, String>,
        (measured, latency): (Measured, Latencies),
        mut report: Report,
    ) -> Outcome {
        let used = Usage::now().since(self.used);
        report.given_up += self.sum(|worker| &worker.given_up);
        let of_worker = |worker: &Progress| worker.acknowledged.load(Ordering::Relaxed);
        let acknowledged = report.acknowledged.take();
        Outcome {
            workers,
            versions,
            seconds: measured.time.as_secs_f64(),
            rows: measured.rows,
            acknowledged: acknowledged
                .unwrap_or_else(|| self.progress.iter().map(of_worker).collect()),
            latency,
            timed_every: self.timed_every,
            cpu_seconds: used.cpu_seconds,
            peak_memory_bytes: peak_memory_bytes(),
            written_bytes: used.written_bytes,
            report,
        }
    }

    /// The sum of one number over all workers.
    fn sum(&self, what: impl Fn(&Progress) -> &AtomicU64) -> u64 {
        self.progress.iter().map(|worker| what(worker).load(Ordering::Relaxed)).sum()
    }
}

/// One worker's calls: when each is due, whether it is timed, what became of it.
#[derive(Debug)]
pub(crate) struct Calls {
    course: Arc<Course>,
    place: usize,
    pace: Option<Pace>,
    made: u64,
    number: u64,
    latency: Latencies,
}

/// When a call began that is timed.
#[must_use = "the call's end is told with it"]
pub(crate) struct Begun(Option<Instant>);

impl Calls {
    /// Blocks until the next call is due; `None` when the trial is over.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Begun> {
        let intended = match self.pace {
            Some(pace) => Some(pace.wait(self.made, &self.course.window)?),
            None => None,
        };
        self.begin(intended)
    }

    /// The same for a task. With a rate it needs a timer.
    #[cfg(feature = "tasks")]
    pub(crate) async fn next_async(
        &mut self,
        timer: Option<&crate::timer::Timer>,
    ) -> Option<Begun> {
        let intended = match self.pace.zip(timer) {
            Some((pace, timer)) => {
                Some(pace.wait_async(self.made, &self.course.window, timer).await?)
            }
            None => None,
        };
        self.begin(intended)
    }

    fn begin(&mut self, intended: Option<Instant>) -> Option<Begun> {
        if self.course.window.phase() == Phase::Over {
            return None;
        }
        let is_timed = self.made.is_multiple_of(self.course.timed_every);
        self.made += 1;
        Some(Begun(is_timed.then(|| intended.unwrap_or_else(Instant::now))))
    }

    /// The number of the row to write.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// How many calls were begun.
    #[cfg(feature = "tasks")]
    pub(crate) fn made(&self) -> u64 {
        self.made
    }

    /// Counts a call that has returned. Its time counts unless it was over within the warm-up: a call that blocks
    /// through the whole of the measured time is what one wants to hear of.
    #[inline]
    pub(crate) fn end(&mut self, begun: Begun, written: Written) {
        let progress = &self.course.progress[self.place];
        match written {
            Written::Done => {
                self.number += 1;
                progress.acknowledged.store(self.number, Ordering::Relaxed);
            }
            Written::GivenUp => {
                progress.given_up.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(begun) = begun.0
            && self.course.window.phase() != Phase::WarmUp
        {
            self.latency.record(begun.elapsed());
        }
    }

    /// What the worker leaves: the latencies of its calls, or a failure that whoever leads the trial is told.
    pub(crate) fn finish(self, done: Result<()>) -> Option<Latencies> {
        match done {
            Ok(()) => Some(self.latency),
            Err(error) => {
                // Who leads the trial may have stopped listening.
                let _ = self.course.fail.send(error);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::request::tests::request;

    /// The calls of the first worker.
    fn calls(returns_early: bool) -> (Arc<Course>, Calls) {
        let (course, _) = Course::new(&request(Duration::from_millis(100)), returns_early);
        let calls = course.calls(0);
        (course, calls)
    }

    #[test]
    fn a_call_is_timed_unless_it_was_over_within_the_warm_up() {
        let (course, mut calls) = calls(false);
        let begun = calls.next().unwrap();
        calls.end(begun, Written::Done);
        assert_eq!(calls.latency.count(), 0);
        for phase in [Phase::Measured, Phase::Over] {
            course.window.enter(Phase::WarmUp);
            let begun = calls.next().unwrap();
            course.window.enter(phase);
            calls.end(begun, Written::GivenUp);
        }
        assert_eq!(calls.latency.count(), 2);
        assert_eq!(calls.number(), 1);
        assert!(calls.next().is_none());
    }

    #[test]
    fn calls_that_fill_a_batch_are_among_those_that_are_timed() {
        for batch in [10, 100, 400, 4_000] {
            let (course, mut calls) = calls(true);
            course.window.enter(Phase::Measured);
            let mut timed = 0;
            for _ in 0..batch * SAMPLED {
                let fills = calls.number() % batch == batch - 1;
                let begun = calls.next().unwrap();
                timed += u64::from(fills && begun.0.is_some());
                calls.end(begun, Written::Done);
            }
            assert_eq!(timed, 1, "{batch}");
            assert_eq!(calls.latency.count(), batch);
        }
    }
}
