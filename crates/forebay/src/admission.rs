//! Admission: rows into the log, now or when there is room.

use std::borrow::Cow;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::error::{Error, Result};
use crate::queue::Shared;
use crate::receipt::{Outcome, Receipt};
use crate::state::Life;
use crate::wait;

/// Why rows were not admitted.
pub(crate) enum Refused {
    Full,
    Because(Error),
}

/// A place in the log.
pub(crate) struct Admitted {
    pub(crate) rows: Range<u64>,
    pub(crate) outcome: Option<Arc<Outcome>>,
}

/// Resolves when the rows are in the log, or the buffer has ended.
pub(crate) struct Admission<'a> {
    shared: Arc<Shared>,
    frames: Cow<'a, [u8]>,
    rows: usize,
    receipt: bool,
    ticket: Option<u64>,
}

impl<'a> Admission<'a> {
    pub(crate) fn new(
        shared: Arc<Shared>,
        frames: impl Into<Cow<'a, [u8]>>,
        rows: usize,
        receipt: bool,
    ) -> Self {
        Self { shared, frames: frames.into(), rows, receipt, ticket: None }
    }
}

impl Future for Admission<'_> {
    type Output = Result<Option<Receipt>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        wait::note_executor(context.waker());
        let this = &mut *self;
        let shared = Arc::clone(&this.shared);
        shared.poll_admit(this, context.waker()).map_ok(|admitted| admitted.receipt(&shared))
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if self.ticket.is_some() && self.shared.check_process().is_ok() {
            let mut state = self.shared.lock();
            if !state.room.leave(self.ticket) {
                // It was this one's turn, and it has taken it or gives it up.
                let next = state.next_for_room();
                drop(state);
                next.wake();
            }
        }
    }
}

impl Admitted {
    /// The receipt for these rows, if one was asked for.
    pub(crate) fn receipt(self, shared: &Arc<Shared>) -> Option<Receipt> {
        self.outcome.map(|outcome| Receipt::new(Arc::clone(shared), outcome, self.rows))
    }
}

impl Shared {
    /// As [`admit`](Self::admit), and has the waker woken when there may be room.
    fn poll_admit(&self, rows: &mut Admission<'_>, waker: &Waker) -> Poll<Result<Admitted>> {
        match self.admit(&rows.frames, rows.rows, rows.receipt) {
            Ok(admitted) => return Poll::Ready(Ok(admitted)),
            Err(Refused::Because(error)) => return Poll::Ready(Err(error)),
            Err(Refused::Full) => self.may_wait("push into the full buffer")?,
        }
        let mut state = self.lock();
        // Room may have come since; to look again costs less than to miss it.
        let full = !state.has_room(rows.frames.len()) && matches!(state.life, Life::Open);
        if full {
            state.room.register(&mut rows.ticket, 0, waker);
            state.press();
        } else {
            waker.wake_by_ref();
        }
        self.wake_writer(state, full);
        Poll::Pending
    }
}
