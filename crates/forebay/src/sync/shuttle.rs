//! What shuttle has otherwise, which tries some of very many interleavings: a clock that moves when somebody waits for it.
//!
//! A wait for less than [`LONG`] may time out at any moment, and moves the clock to its end. A longer one never does: so
//! whoever is not woken is found.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread::yield_now;

pub(crate) use shuttle::thread::{Thread, current, park};

const LONG: Duration = Duration::from_secs(10);

/// Turns that a wait that may time out takes, on average.
const TURNS: u32 = 16;

thread_local! {
    /// All threads of an execution run on the same one.
    static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

pub(crate) fn now() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now) + PASSED.get()
}

/// Whether a deadline may ever come.
pub(super) fn may_pass(deadline: Instant) -> bool {
    deadline < now() + LONG
}

/// Gives way to the others; it may be that the deadline has come then.
pub(super) fn pass(deadline: Instant) {
    yield_now();
    if thread_rng().gen_ratio(1, TURNS) {
        PASSED.set(PASSED.get() + deadline.saturating_duration_since(now()));
    }
}
