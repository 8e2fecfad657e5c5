//! What a load waits for, when it does not go on.

use std::time::{Duration, Instant};

use forebay::{Health, Stats};

/// How long nothing is committed before it is worth a word.
const PATIENCE: Duration = Duration::from_millis(900);

/// Watches the counters.
pub(crate) struct Waiting {
    decided: u64,
    busy: Duration,
    since: Instant,
}

impl Waiting {
    /// Begins to watch.
    pub(crate) fn new() -> Self {
        Self { decided: 0, busy: Duration::ZERO, since: Instant::now() }
    }

    /// What the load waits for now, if it does.
    pub(crate) fn look(&mut self, stats: &Stats, health: &Health) -> Option<String> {
        let decided = stats.committed + stats.superseded + stats.rejected;
        if decided != self.decided || stats.pending == 0 {
            *self = Self { decided, busy: stats.busy_time, since: Instant::now() };
            return None;
        }
        let seconds = self.since.elapsed().as_secs();
        match health {
            Health::Paused(cause) => Some(format!("paused for {seconds} s: {cause}")),
            _ if self.since.elapsed() < PATIENCE => None,
            _ if stats.busy_time > self.busy => {
                Some(format!("waiting for another connection's lock, {seconds} s"))
            }
            _ => Some(format!("waiting for the database, {seconds} s")),
        }
    }
}
