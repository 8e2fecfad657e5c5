//! What a program runs with: parking_lot and std.

use std::io;
use std::thread;
use std::time::Instant;

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(crate) use std::thread::{Thread, current, park, yield_now};
pub(crate) use std::thread_local;

pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn park_until(deadline: Instant) {
    thread::park_timeout(deadline.saturating_duration_since(now()));
}

pub(crate) type JoinHandle = thread::JoinHandle<()>;

pub(crate) fn spawn<F>(name: &str, run: F) -> io::Result<JoinHandle>
where
    F: FnOnce() + Send + 'static,
{
    thread::Builder::new().name(name.to_owned()).spawn(run)
}
