//! What the buffer and its sink tell each other outside of batches: how long the sink may go on waiting
//! for a lock, how long it has waited, how large the database's log is.

use std::time::Duration;

use crate::sync::{self, AtomicU64, Condvar, Mutex, Ordering};

/// Shared between a buffer and its sink: patience from the one, counts from the other.
pub struct Signals {
    impatient: Mutex<bool>,
    ended: Condvar,
    waits: AtomicU64,
    wait_nanos: AtomicU64,
    log_bytes: AtomicU64,
}

/// Signals of endless patience, for a sink that no buffer has yet.
impl Default for Signals {
    fn default() -> Self {
        Self {
            impatient: Mutex::new(false),
            ended: Condvar::new(),
            waits: AtomicU64::new(0),
            wait_nanos: AtomicU64::new(0),
            log_bytes: AtomicU64::new(0),
        }
    }
}

impl Signals {
    /// Whether `close` has run out of time: the sink must stop waiting and return.
    pub fn patience_ended(&self) -> bool {
        *self.impatient.lock()
    }

    /// Sleeps for `pause`, or until patience ends; returns whether it is still there.
    pub fn sleep(&self, pause: Duration) -> bool {
        let deadline = sync::now() + pause;
        let mut impatient = self.impatient.lock();
        while !*impatient && sync::now() < deadline {
            self.ended.wait_until(&mut impatient, deadline);
        }
        !*impatient
    }

    /// Counts a wait for a lock that begins.
    pub fn count_wait(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds to the time spent waiting for locks.
    pub fn add_wait_time(&self, waited: Duration) {
        let nanos = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        self.wait_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Tells how large the database's log is.
    pub fn set_log_bytes(&self, bytes: u64) {
        self.log_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn waits(&self) -> (u64, Duration) {
        let nanos = self.wait_nanos.load(Ordering::Relaxed);
        (self.waits.load(Ordering::Relaxed), Duration::from_nanos(nanos))
    }

    pub(crate) fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn end_patience(&self) {
        *self.impatient.lock() = true;
        self.ended.notify_all();
    }
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signals")
            .field("patience_ended", &self.patience_ended())
            .finish_non_exhaustive()
    }
}
