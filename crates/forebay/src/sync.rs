//! The only file that names a mutex, condvar or thread: parking_lot and std, or loom's models of them.
//!
//! With `--cfg forebay_loom` the same code runs under loom, which tries every interleaving. There a
//! clock does not move and a timed wait never times out: a model that needs a timer has a thread for it.

#[cfg(not(forebay_loom))]
mod real {
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
}

#[cfg(forebay_loom)]
mod model {
    use std::io;
    use std::ops::{Deref, DerefMut};
    use std::sync::{Arc, Mutex as StdMutex, OnceLock};
    use std::time::Instant;

    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    pub(crate) use loom::thread::yield_now;
    pub(crate) use loom::thread_local;

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);
    pub(crate) struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().unwrap_or_else(|poison| poison.into_inner())))
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_deref().expect("the guard is only empty inside Condvar::wait")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_deref_mut().expect("the guard is only empty inside Condvar::wait")
        }
    }

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }

        pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let inner = guard.0.take().expect("the guard is only empty inside Condvar::wait");
            guard.0 = Some(self.0.wait(inner).unwrap_or_else(|poison| poison.into_inner()));
        }

        pub(crate) fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, _deadline: Instant) {
            self.wait(guard);
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    pub(crate) fn now() -> Instant {
        static START: OnceLock<Instant> = OnceLock::new();
        *START.get_or_init(Instant::now)
    }

    pub(crate) fn park_until(_deadline: Instant) {
        park();
    }

    /// A thread that parks. loom's own `unpark` also wakes a thread that waits for a mutex, and its token
    /// is lost on one; so the token is kept here, and loom hears of it when the thread is parked.
    pub(crate) struct Thread(Arc<Parking>);

    struct Parking {
        thread: loom::thread::Thread,
        state: StdMutex<Token>,
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Token {
        None,
        Given,
        Parked,
    }

    thread_local! {
        static PARKING: Arc<Parking> = Arc::new(Parking {
            thread: loom::thread::current(),
            state: StdMutex::new(Token::None),
        });
    }

    impl Parking {
        fn replace(&self, token: Token) -> Token {
            let mut state = self.state.lock().unwrap_or_else(|poison| poison.into_inner());
            std::mem::replace(&mut *state, token)
        }
    }

    impl Thread {
        pub(crate) fn unpark(&self) {
            if self.0.replace(Token::Given) == Token::Parked {
                self.0.thread.unpark();
            }
        }
    }

    pub(crate) fn current() -> Thread {
        Thread(PARKING.with(Arc::clone))
    }

    pub(crate) fn park() {
        let parking = PARKING.with(Arc::clone);
        if parking.replace(Token::Parked) != Token::Given {
            loom::thread::park();
        }
        parking.replace(Token::None);
    }

    pub(crate) type JoinHandle = loom::thread::JoinHandle<()>;

    pub(crate) fn spawn<F>(_name: &str, run: F) -> io::Result<JoinHandle>
    where
        F: FnOnce() + Send + 'static,
    {
        Ok(loom::thread::spawn(run))
    }
}

/// The time after `timeout`; `None`, for ever, when no clock will show it.
pub(crate) fn after(timeout: std::time::Duration) -> Option<std::time::Instant> {
    now().checked_add(timeout)
}

#[cfg(forebay_loom)]
pub(crate) use model::*;
#[cfg(not(forebay_loom))]
pub(crate) use real::*;
