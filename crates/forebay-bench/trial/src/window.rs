//! The phases of a trial: warm-up, the time that is measured, the end.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::{Error, Request, Result, WorkerKind};

/// The time between two looks for a commit.
const STEP: Duration = Duration::from_micros(500);
/// How long a commit is waited for at the most, before and after the time.
const PATIENCE: Duration = Duration::from_secs(1);

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

    pub(crate) fn enter(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }
}

/// What was measured between the warm-up and the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) time: Duration,
    pub(crate) rows: u64,
}

/// Leads the workers through the phases and counts the rows committed in the one that is measured, from one commit to
/// another, so that no part of a transaction is counted. Ends early with a worker's failure.
pub(crate) fn measure(
    request: &Request,
    window: &Window,
    failures: &mpsc::Receiver<Error>,
    committed: impl Fn() -> u64,
) -> Result<Measured> {
    let wait = |time: Duration| match failures.recv_timeout(time) {
        Ok(failure) => Err(failure),
        Err(_) => Ok(()),
    };
    // Rows so far, when that was, and whether it was at a commit.
    let edge = |at_commit: bool| {
        let (before, since) = (committed(), Instant::now());
        let (mut rows, mut at) = (before, since);
        while at_commit && rows == before && at - since < PATIENCE {
            wait(STEP)?;
            (rows, at) = (committed(), Instant::now());
        }
        Ok::<_, Error>((rows, at, rows != before))
    };
    let measure = || {
        wait(request.warm_up)?;
        window.enter(Phase::Measured);
        // Many processes write by turns: at its own commits each would count only its turn, as if it were always that.
        let (before, begun, at_commit) = edge(request.workers.kind != WorkerKind::Processes)?;
        wait(request.time)?;
        // The first after the time, not the last within it: that one would leave out the longest pauses. From a
        // moment at which there was no commit it would count rows of a time that was not measured.
        let (after, ended, _) = edge(at_commit)?;
        Ok(Measured { time: ended - begun, rows: after - before })
    };
    let measured = measure();
    window.enter(Phase::Over);
    measured
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::request::tests::request;

    /// Leads a trial in which every look sees what `committed` says to its number.
    fn measured(request: &Request, committed: impl Fn(u64) -> u64) -> Measured {
        let looks = AtomicU64::new(0);
        let (_fail, failures) = mpsc::channel();
        let look = || committed(looks.fetch_add(1, Ordering::Relaxed));
        let measured = measure(request, &Window::default(), &failures, look).unwrap();
        assert!(measured.time >= request.time);
        measured
    }

    #[test]
    fn rows_are_counted_from_one_commit_to_another() {
        let request = request(Duration::from_millis(2));
        // A transaction of 100 rows is seen at looks 3 and 7: the first after the warm-up, and the first after the time.
        let of_look = [0, 0, 0, 100, 100, 100, 100, 200];
        assert_eq!(measured(&request, |look| of_look[look.min(7) as usize]).rows, 100);
    }

    #[test]
    fn rows_of_one_process_of_many_are_counted_within_the_time() {
        let mut request = request(Duration::from_millis(2));
        request.workers.kind = WorkerKind::Processes;
        assert_eq!(measured(&request, |look| look).rows, 1);
    }

    #[test]
    fn where_nothing_is_committed_a_trial_ends_all_the_same() {
        assert_eq!(measured(&request(Duration::from_millis(2)), |_| 5).rows, 0);
    }

    #[test]
    fn a_failure_ends_a_trial_for_all() {
        let (fail, failures) = mpsc::channel();
        fail.send("no".into()).unwrap();
        let window = Window::default();
        let failed = measure(&request(Duration::from_secs(3_600)), &window, &failures, || 0);
        assert_eq!(failed.unwrap_err().to_string(), "no");
        assert_eq!(window.phase(), Phase::Over);
    }
}
