//! Waiting for what a buffer does in its own time, and failing when it does not.

use std::thread;
use std::time::{Duration, Instant};

use forebay::{Error, Health, WriteBuffer};

/// Longer than anything takes in a test that does not hang.
pub const LONG: Duration = Duration::from_secs(20);

/// Blocks until something is so.
///
/// # Panics
///
/// When it is not before long.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not after {LONG:?}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Blocks until the buffer is paused, and says why it is.
///
/// # Panics
///
/// When it is not before long, or ends instead.
pub fn paused(buffer: &WriteBuffer) -> Error {
    let mut cause = None;
    eventually("the buffer is paused", || match buffer.health() {
        Health::Paused(error) => {
            cause = Some(error);
            true
        }
        Health::Running => false,
        other => panic!("the buffer is {other:?}"),
    });
    cause.expect("it was found")
}
