//! Waiting, once for threads and tasks alike: everything that blocks is a future, and a thread that
//! waits is a future's waker that unparks it.
//!
//! Invariant: whoever registers a waker does so under the lock that the state changes under, and looks
//! at the state after registering; so no wake-up falls between a look and a sleep.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use crate::sync::{self, AtomicBool, Ordering, Thread};
use crate::turns::Turns;

/// Wakers that wait for a number to be reached.
#[derive(Default)]
pub(crate) struct WaitList {
    next_ticket: u64,
    waiting: Vec<Waiter>,
}

struct Waiter {
    ticket: u64,
    until: u64,
    waker: Waker,
    /// A thread in [`block_on`], which will look when it is woken. Of a task nobody knows that.
    is_thread: bool,
}

impl WaitList {
    /// Has `waker` woken when `until` is reached. `ticket` is the caller's place in the list: `None`
    /// before its first call.
    pub(crate) fn register(&mut self, ticket: &mut Option<u64>, until: u64, waker: &Waker) {
        if let Some(waiter) =
            ticket.and_then(|ticket| self.waiting.iter_mut().find(|w| w.ticket == ticket))
        {
            waiter.waker.clone_from(waker);
            waiter.is_thread = is_own(waker);
            return;
        }
        // Whoever was woken in vain has waited longest.
        let place = if ticket.is_some() { 0 } else { self.waiting.len() };
        let ticket = *ticket.get_or_insert(self.next_ticket);
        self.next_ticket = self.next_ticket.max(ticket + 1);
        let (waker, is_thread) = (waker.clone(), is_own(waker));
        self.waiting.insert(place, Waiter { ticket, until, waker, is_thread });
    }

    /// Gives up a place. False when it was not there any more: whoever had it has been woken.
    pub(crate) fn leave(&mut self, ticket: Option<u64>) -> bool {
        let index = ticket.and_then(|ticket| self.waiting.iter().position(|w| w.ticket == ticket));
        index.map(|index| self.waiting.remove(index)).is_some()
    }

    /// Takes out everyone who waits for `reached` or less; the caller wakes them, outside its lock.
    pub(crate) fn reached(&mut self, reached: u64) -> Woken {
        Woken(
            self.waiting
                .extract_if(.., |waiter| waiter.until <= reached)
                .map(|waiter| waiter.waker)
                .collect(),
        )
    }

    /// Takes out all tasks, and of the threads so many that have waited longest.
    pub(crate) fn first(&mut self, mut threads: usize) -> Woken {
        let is_due = |waiter: &mut Waiter| {
            let is_due = !waiter.is_thread || threads > 0;
            threads -= usize::from(waiter.is_thread && is_due);
            is_due
        };
        Woken(self.waiting.extract_if(.., is_due).map(|waiter| waiter.waker).collect())
    }

    /// Takes out everyone.
    pub(crate) fn all(&mut self) -> Woken {
        self.reached(u64::MAX)
    }
}

/// Wakers taken out of a list.
#[must_use = "whoever is in it sleeps until woken"]
pub(crate) struct Woken(Vec<Waker>);

impl Woken {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}

/// A thread that waits.
struct Parker {
    thread: Thread,
    notified: AtomicBool,
}

impl Parker {
    fn new() -> Arc<Self> {
        Arc::new(Self { thread: sync::current(), notified: AtomicBool::new(false) })
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        // Not a plain store, which loom may order before a swap that did not see it.
        self.notified.swap(true, Ordering::Release);
        self.thread.unpark();
    }
}

// Without const initializers, which loom's macro does not know.
sync::thread_local! {
    static PARKER: Arc<Parker> = Parker::new();
    #[cfg_attr(not(any(forebay_loom, forebay_shuttle)), expect(clippy::missing_const_for_thread_local))]
    static HELD: RefCell<Vec<usize>> = RefCell::new(Vec::new());
    #[cfg_attr(not(any(forebay_loom, forebay_shuttle)), expect(clippy::missing_const_for_thread_local))]
    static POLLED: Cell<bool> = Cell::new(false);
}

/// Runs a future of this crate on the calling thread until it is ready or the deadline has come.
pub(crate) fn block_on<F: Future>(future: F, deadline: Option<Instant>) -> Option<F::Output> {
    drive(future, deadline, |_, _| {})
}

/// The same for what takes microseconds as a rule: gives turns away before it parks.
pub(crate) fn block_on_soon<F: Future>(
    future: F,
    deadline: Option<Instant>,
    turns: impl Fn(&F) -> &Turns,
) -> Option<F::Output> {
    drive(future, deadline, |future, parker| {
        let is_late = || deadline.is_some_and(|deadline| sync::now() >= deadline);
        turns(future).give_until(|| parker.notified.load(Ordering::Relaxed) || is_late());
    })
}

fn drive<F: Future>(
    future: F,
    deadline: Option<Instant>,
    before_parking: impl Fn(&F, &Parker),
) -> Option<F::Output> {
    // A thread that is ending has lost its own.
    let parker = PARKER.try_with(Arc::clone).unwrap_or_else(|_| Parker::new());
    let waker = Waker::from(Arc::clone(&parker));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        before_parking(&future, &parker);
        while !parker.notified.swap(false, Ordering::Acquire) {
            match deadline {
                None => sync::park(),
                Some(deadline) if sync::now() >= deadline => return None,
                Some(deadline) => sync::park_until(deadline),
            }
        }
    }
}

/// Marks the calling thread as the one that holds a sink, until dropped.
pub(crate) struct Holding(());

impl Holding {
    pub(crate) fn sink_of(buffer: usize) -> Self {
        let _ = HELD.try_with(|held| held.borrow_mut().push(buffer));
        Self(())
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let _ = HELD.try_with(|held| held.borrow_mut().pop());
    }
}

/// Whether the calling thread holds the sink of this buffer: to wait for it would be to wait for itself.
pub(crate) fn holds_sink_of(buffer: usize) -> bool {
    HELD.try_with(|held| held.borrow().contains(&buffer)).unwrap_or(false)
}

/// Whether a waker is that of the calling thread in [`block_on`].
fn is_own(waker: &Waker) -> bool {
    PARKER
        .try_with(|parker| std::ptr::eq(waker.data().cast(), Arc::as_ptr(parker)))
        .unwrap_or(false)
}

/// Notes that an executor polls this crate's futures on the calling thread.
pub(crate) fn note_executor(waker: &Waker) {
    if !is_own(waker) {
        let _ = POLLED.try_with(|polled| polled.set(true));
    }
}

/// Whether the calling thread looks like one of an async runtime: it polled a future of ours, or its name
/// says so. Only `Drop` asks, to choose between waiting for the last rows and leaving them to the writer.
pub(crate) fn on_executor() -> bool {
    let name = std::thread::current().name().is_some_and(|name| {
        ["tokio-", "async-std/", "smol-", "actix-", "rayon"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    });
    name || POLLED.try_with(Cell::get).unwrap_or(false)
}
