//! When a worker's next call is meant to begin, in an open loop.

use std::thread;
use std::time::{Duration, Instant};

use crate::Request;
use crate::window::{Phase, Window};

/// How long a worker waits before it looks whether the trial is over.
const LOOK: Duration = Duration::from_millis(20);

/// The times at which one worker means to begin its calls. All workers take turns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    begun: Instant,
    /// Seconds between two calls of all workers.
    step: f64,
    worker: u64,
    workers: u64,
}

impl Pace {
    /// That of worker `worker` of all, if the request has a rate.
    pub(crate) fn of(request: &Request, worker: u32, begun: Instant) -> Option<Self> {
        let step = 1.0 / request.rate?;
        Some(Self {
            begun,
            step,
            worker: worker.into(),
            workers: request.workers.total.max(1).into(),
        })
    }

    /// When call number `call` is meant to begin; `None` for never, at a rate that is next to nothing.
    fn intended(&self, call: u64) -> Option<Instant> {
        let place = call * self.workers + self.worker;
        let after = Duration::try_from_secs_f64(place as f64 * self.step).ok()?;
        self.begun.checked_add(after)
    }

    /// Blocks until then, and tells when that was; `None` if the trial was over before.
    pub(crate) fn wait(&self, call: u64, window: &Window) -> Option<Instant> {
        let intended = self.intended(call);
        while let Some(pause) = pause(intended, window)? {
            thread::park_timeout(pause);
        }
        intended
    }

    /// The same for a task.
    #[cfg(feature = "tasks")]
    pub(crate) async fn wait_async(
        &self,
        call: u64,
        window: &Window,
        timer: &crate::timer::Timer,
    ) -> Option<Instant> {
        let intended = self.intended(call);
        while let Some(pause) = pause(intended, window)? {
            timer.until(Instant::now() + pause).await;
        }
        intended
    }
}

/// How long to wait before the next look: `Some(None)` when the time has come, `None` when the trial is over.
fn pause(intended: Option<Instant>, window: &Window) -> Option<Option<Duration>> {
    if window.phase() == Phase::Over {
        return None;
    }
    let left = intended.map_or(LOOK, |intended| intended.saturating_duration_since(Instant::now()));
    Some((!left.is_zero()).then(|| left.min(LOOK)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_next_to_nothing_means_never() {
        let pace =
            |rate: f64| Pace { begun: Instant::now(), step: 1.0 / rate, worker: 1, workers: 3 };
        for rate in [1e-300, 0.0, -1.0, 1e-18] {
            assert_eq!(pace(rate).intended(7), None, "{rate}");
        }
        let pace = pace(1_000.0);
        assert_eq!(pace.intended(2), Some(pace.begun + Duration::from_millis(7)));
    }

    #[test]
    fn who_waits_for_the_end_of_time_sees_that_the_trial_is_over() {
        let window = Window::default();
        window.enter(Phase::Over);
        let pace = Pace { begun: Instant::now(), step: f64::INFINITY, worker: 1, workers: 3 };
        assert_eq!(pace.wait(1, &window), None);
    }
}
