//! Waiting for a lock that another connection holds.
//!
//! SQLite's own handler sleeps 1, 2, 5, 10 … 100 ms, longer the longer it has waited: whoever came last
//! looks most often and wins. Here all who wait for less than a quarter of a second look as often, which is fairer between
//! processes and has shorter tails. Only a lock that is held for longer than that, by no writer like this one, is looked
//! at less often, to spare the processor.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::signals::Signals;
use crate::sync::Mutex;

/// When a wait is worth a line in the log.
const WARN_AFTER: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(10)];

/// Microseconds between two looks, as long as the lock is likely to go round among writers like this one, and after that.
const SHORT: Range<u64> = 50..150;
const LONG: Range<u64> = 1_000..5_000;
/// When it is no longer likely.
const SOON: Duration = Duration::from_millis(250);

/// How long house-keeping waits for readers.
const BRIEF: Duration = Duration::from_millis(50);

/// The wait that a connection is in, or was in last.
#[derive(Clone)]
pub(super) struct Waiting(Arc<Mutex<Wait>>);

struct Wait {
    begun: Instant,
    /// Lines in the log so far.
    warned: usize,
    /// For house-keeping: short, and nobody's business.
    brief: bool,
}

impl Waiting {
    /// Has the connection wait for locks up to `timeout`, or until the buffer's patience ends.
    pub(super) fn install(
        connection: &mut Connection,
        path: &Path,
        timeout: Duration,
        signals: &Arc<Signals>,
    ) -> Self {
        let waiting =
            Self(Arc::new(Mutex::new(Wait { begun: Instant::now(), warned: 0, brief: false })));
        let database = path.display().to_string();
        let (signals, shared) = (Arc::clone(signals), waiting.clone());
        let handler = move |times: i32| {
            let mut wait = shared.0.lock();
            if times == 0 {
                wait.begun = Instant::now();
                wait.warned = 0;
                if !wait.brief {
                    signals.count_wait();
                }
            }
            if wait.begun.elapsed() >= if wait.brief { BRIEF } else { timeout } {
                return false;
            }
            let before = Instant::now();
            let pause = if before - wait.begun < SOON { SHORT } else { LONG };
            let pause = Duration::from_micros(fastrand::u64(pause));
            let go_on = signals.sleep(pause.min(timeout));
            if !wait.brief {
                signals.add_wait_time(before.elapsed());
                wait.warn(&database);
            }
            go_on
        };
        connection.busy_handler(Some(handler)).expect("setting a busy handler cannot fail");
        waiting
    }

    /// Runs something that waits for nobody longer than [`BRIEF`].
    pub(super) fn briefly<T>(&self, run: impl FnOnce() -> T) -> T {
        self.0.lock().brief = true;
        let result = run();
        self.0.lock().brief = false;
        result
    }

    /// After a commit: tells the end of a wait that the log has told the beginning of.
    pub(super) fn end(&self, database: &Path) {
        let mut wait = self.0.lock();
        if wait.warned > 0 {
            wait.warned = 0;
            let waited = wait.begun.elapsed().as_secs_f64();
            tracing::info!(waited, "got the lock of {} after {waited:.1}s", database.display());
        }
    }
}

impl Wait {
    fn warn(&mut self, database: &str) {
        let waited = self.begun.elapsed();
        if WARN_AFTER.get(self.warned).is_some_and(|after| waited >= *after) {
            self.warned += 1;
            let waited = waited.as_secs_f64();
            tracing::warn!(
                database,
                waited,
                "has waited {waited:.1}s for the lock of {database}, which another connection holds"
            );
        }
    }
}
