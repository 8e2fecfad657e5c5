//! The mutex, condvar and threads that loom and shuttle have in common.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

#[cfg(forebay_loom)]
use ::loom as checker;
#[cfg(forebay_shuttle)]
use ::shuttle as checker;

pub(crate) use checker::sync::atomic::{AtomicBool, AtomicU64, Ordering};
pub(crate) use checker::thread::yield_now;
pub(crate) use checker::thread_local;

#[cfg(forebay_loom)]
pub(crate) use super::loom::{Thread, current, now, park};
#[cfg(forebay_loom)]
use super::loom::{may_pass, pass};
#[cfg(forebay_shuttle)]
pub(crate) use super::shuttle::{Thread, current, now, park};
#[cfg(forebay_shuttle)]
use super::shuttle::{may_pass, pass};

#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(checker::sync::Mutex<T>);
pub(crate) struct MutexGuard<'a, T>(&'a Mutex<T>, Option<checker::sync::MutexGuard<'a, T>>);
pub(crate) struct Condvar(checker::sync::Condvar);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(checker::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(self, Some(self.locked()))
    }

    /// Waits all the same: whoever fails to get it does so in a forked child, of which there is none here.
    pub(crate) fn try_lock_for(&self, _moment: Duration) -> Option<MutexGuard<'_, T>> {
        Some(self.lock())
    }

    fn locked(&self) -> checker::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.1.as_deref().expect("the guard is only empty inside Condvar::wait")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.1.as_deref_mut().expect("the guard is only empty inside Condvar::wait")
    }
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self(checker::sync::Condvar::new())
    }

    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        let inner = guard.1.take().expect("the guard is only empty inside Condvar::wait");
        guard.1 = Some(self.0.wait(inner).unwrap_or_else(PoisonError::into_inner));
    }

    /// May return before either: whoever calls looks at the state and the clock again.
    pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, deadline: Instant) {
        if !may_pass(deadline) {
            return self.wait(guard);
        }
        guard.1 = None;
        pass(deadline);
        guard.1 = Some(guard.0.locked());
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

pub(crate) fn park_until(deadline: Instant) {
    if may_pass(deadline) { pass(deadline) } else { park() }
}

pub(crate) type JoinHandle = checker::thread::JoinHandle<()>;

pub(crate) fn spawn<F>(_name: &str, run: F) -> io::Result<JoinHandle>
where
    F: FnOnce() + Send + 'static,
{
    Ok(checker::thread::spawn(run))
}
