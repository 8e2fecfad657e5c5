//! What a thread of a model waits for, where the checker sees it; and an executor made of it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

#[cfg(forebay_loom)]
use loom::sync::{Condvar, Mutex};
#[cfg(forebay_shuttle)]
use shuttle::sync::{Condvar, Mutex};

/// Wakes one thread that waits for it, once for all that it was rung before.
pub struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// One that has not been rung.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { rung: Mutex::new(false), changed: Condvar::new() })
    }

    /// Blocks until it is rung.
    ///
    /// # Panics
    ///
    /// When a thread of the model has.
    pub fn wait(&self) {
        let mut rung = self.rung.lock().expect("nobody panics");
        while !std::mem::take(&mut *rung) {
            rung = self.changed.wait(rung).expect("nobody panics");
        }
    }

    /// Rings it.
    ///
    /// # Panics
    ///
    /// When a thread of the model has.
    pub fn ring(&self) {
        *self.rung.lock().expect("nobody panics") = true;
        self.changed.notify_one();
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
}

/// Polls a future from an executor of the application's, whose wakers are not the crate's own.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let bell = Bell::new();
    let waker = Waker::from(Arc::clone(&bell));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        bell.wait();
    }
}
