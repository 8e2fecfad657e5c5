//! The phases of a trial: warm-up, the time that is measured, the end.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::{Error, Request, Result};

/// Calls between two whose latency is taken, where nobody waits: taking it costs as much as such a call.
const SAMPLED: u64 = 16;

/// What the workers are to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    WarmUp,
    Measured,
    Over,
}

/// The phase, as all workers see it.
#[derive(Debug, Default)]
pub(crate) struct Window(AtomicU8);

impl Window {
    pub(crate) fn phase(&self) -> Phase {
        match self.0.load(Ordering::Relaxed) {
            0 => Phase::WarmUp,
            1 => Phase::Measured,
            _ => Phase::Over,
        }
    }

    fn enter(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }
}

/// What a worker has done so far, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Progress {
    pub(crate) acknowledged: AtomicU64,
    pub(crate) given_up: AtomicU64,
}

/// The sum of one number over all workers.
pub(crate) fn sum(workers: &[Progress], what: impl Fn(&Progress) -> &AtomicU64) -> u64 {
    workers.iter().map(|worker| what(worker).load(Ordering::Relaxed)).sum()
}

/// What was measured between the warm-up and the end.
pub(crate) struct Measured {
    pub(crate) time: Duration,
    pub(crate) rows: u64,
}

/// Leads the workers through the phases and counts the rows committed in the one that is measured. Ends early with a
/// worker's failure.
pub(crate) fn measure(
    request: &Request,
    window: &Window,
    failures: &mpsc::Receiver<Error>,
    committed: impl Fn() -> u64,
) -> Result<Measured> {
    let wait = |time: Duration| match failures.recv_timeout(time) {
        Ok(failure) => {
            window.enter(Phase::Over);
            Err(failure)
        }
        Err(_) => Ok(()),
    };
    let look = || (committed(), Instant::now());
    wait(request.warm_up)?;
    window.enter(Phase::Measured);
    let (before, begun) = look();
    wait(request.time)?;
    let (after, ended) = look();
    window.enter(Phase::Over);
    Ok(Measured { time: ended - begun, rows: after - before })
}

/// Which of a worker's calls are timed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing(u64);

impl Timing {
    /// All, but where nobody waits and nothing sets the pace.
    pub(crate) fn of(request: &Request, returns_early: bool) -> Self {
        Self(if returns_early && request.rate.is_none() { SAMPLED } else { 1 })
    }

    pub(crate) fn is_due(self, call: u64) -> bool {
        call.is_multiple_of(self.0)
    }
}
