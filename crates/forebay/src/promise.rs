//! One value from one thread to another: how an errand's result comes back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::sync::Mutex;
use crate::wait;

struct Slot<T> {
    state: Mutex<State<T>>,
}

enum State<T> {
    Waiting(Option<Waker>),
    Kept(T),
    Broken,
}

/// The giving end; dropping it breaks the promise.
pub(crate) struct Promise<T>(Arc<Slot<T>>);

/// The receiving end: a future of the value, or of `None` when the promise was broken.
pub(crate) struct Promised<T>(Arc<Slot<T>>);

/// Makes both ends.
pub(crate) fn promise<T>() -> (Promise<T>, Promised<T>) {
    let slot = Arc::new(Slot { state: Mutex::new(State::Waiting(None)) });
    (Promise(Arc::clone(&slot)), Promised(slot))
}

impl<T> Promise<T> {
    pub(crate) fn keep(self, value: T) {
        self.resolve(State::Kept(value));
    }

    fn resolve(&self, state: State<T>) {
        let mut slot = self.0.state.lock();
        if let State::Waiting(waker) = &mut *slot {
            let waker = waker.take();
            *slot = state;
            drop(slot);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.resolve(State::Broken);
    }
}

impl<T> Future for Promised<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        wait::note_executor(context.waker());
        let mut slot = self.0.state.lock();
        match std::mem::replace(&mut *slot, State::Broken) {
            State::Kept(value) => Poll::Ready(Some(value)),
            State::Broken => Poll::Ready(None),
            State::Waiting(_) => {
                *slot = State::Waiting(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}
