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

    /// When call number `call` is meant to begin.
    pub(crate) fn intended(&self, call: u64) -> Instant {
        let place = call * self.workers + self.worker;
        self.begun + Duration::from_secs_f64(place as f64 * self.step)
    }

    /// Blocks until then, and tells when that was; `None` if the trial was over before.
    pub(crate) fn wait(&self, call: u64, window: &Window) -> Option<Instant> {
        let intended = self.intended(call);
        loop {
            if window.phase() == Phase::Over {
                return None;
            }
            let left = intended.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(intended);
            }
            thread::park_timeout(left.min(LOOK));
        }
    }

    /// The same for a task.
    #[cfg(feature = "tasks")]
    pub(crate) async fn wait_async(&self, call: u64, window: &Window) -> Option<Instant> {
        let intended = self.intended(call);
        loop {
            if window.phase() == Phase::Over {
                return None;
            }
            let left = intended.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(intended);
            }
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }
}
