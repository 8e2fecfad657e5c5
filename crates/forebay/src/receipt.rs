//! Receipts, and the outcome that the receipts of one segment share.
//!
//! Invariant: `decided` only grows, and is stored after the troubles of the rows below it; so whoever
//! sees its row decided sees its trouble too. A row is decided by whoever holds the queue's lock.

use std::future::Future;
use std::ops::Range;
use std::panic::RefUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::queue::Shared;
use crate::sync::{self, AtomicU64, Mutex, Ordering};
use crate::wait::{self, WaitList, Woken};
use crate::writer;

/// What became of the rows of one segment.
pub(crate) struct Outcome {
    /// The rows before this sequence number are decided.
    decided: AtomicU64,
    inner: Mutex<Inner>,
}

/// What changes under its lock changes without calling out.
impl RefUnwindSafe for Outcome {}

#[derive(Default)]
struct Inner {
    waiting: WaitList,
    /// In the log's order.
    troubles: Vec<Trouble>,
    dropped: Dropped,
}

/// Rows whose receipt was dropped before they were decided; in the log's order where they are looked up.
#[derive(Clone, Default)]
pub(crate) struct Dropped(Vec<Range<u64>>);

impl Dropped {
    pub(crate) fn contains(&self, seq: u64) -> bool {
        let first = self.0.partition_point(|rows| rows.end <= seq);
        self.0.get(first).is_some_and(|rows| rows.contains(&seq))
    }

    /// Receipts are mostly dropped in their rows' order: one range for all of them.
    fn add(&mut self, rows: Range<u64>) {
        match self.0.last_mut() {
            Some(last) if last.end == rows.start => last.end = rows.end,
            _ => self.0.push(rows),
        }
    }
}

/// Rows that are not in the database, or not known to be, and why.
#[derive(Clone)]
pub(crate) struct Trouble {
    pub(crate) rows: Range<u64>,
    pub(crate) error: Error,
}

impl Outcome {
    pub(crate) fn new(first_seq: u64) -> Self {
        Self { decided: AtomicU64::new(first_seq), inner: Mutex::default() }
    }

    /// Back to the start, for a segment whose receipts are all gone.
    pub(crate) fn restart(&mut self, first_seq: u64) {
        *self = Self::new(first_seq);
    }

    /// Whether the row is decided.
    pub(crate) fn is_decided(&self, seq: u64) -> bool {
        self.decided.load(Ordering::Acquire) > seq
    }

    /// What became of the rows, if they are decided. Also in a forked child, unless the fork met the lock held.
    fn look(&self, rows: &Range<u64>, shared: &Shared) -> Option<Result<()>> {
        if !self.is_decided(rows.end - 1) {
            return None;
        }
        let inner = match shared.lock_in_this_process(&self.inner) {
            Ok(inner) => inner,
            Err(forked) => return Some(Err(forked)),
        };
        let first = inner.troubles.partition_point(|trouble| trouble.rows.end <= rows.start);
        let trouble = inner.troubles.get(first).filter(|trouble| trouble.rows.start < rows.end);
        Some(trouble.map_or(Ok(()), |trouble| Err(trouble.error.clone())))
    }

    /// Decides the rows before `decided`. Returns whom to wake.
    pub(crate) fn decide(&self, decided: u64, troubles: &[Trouble]) -> Woken {
        let mut inner = self.inner.lock();
        inner.troubles.extend_from_slice(troubles);
        self.decided.store(decided, Ordering::Release);
        inner.waiting.reached(decided)
    }

    /// The rows whose receipt was dropped before they were decided. Final once they are decided.
    pub(crate) fn dropped(&self) -> Dropped {
        let mut dropped = self.inner.lock().dropped.clone();
        dropped.0.sort_unstable_by_key(|rows| rows.start);
        dropped
    }

    /// Polls for the row before `end` to be decided.
    pub(crate) fn poll_decided(
        &self,
        ticket: &mut Option<u64>,
        end: u64,
        waker: &Waker,
    ) -> Poll<()> {
        if self.is_decided(end - 1) {
            return Poll::Ready(());
        }
        let mut inner = self.inner.lock();
        if self.is_decided(end - 1) {
            return Poll::Ready(());
        }
        inner.waiting.register(ticket, end, waker);
        Poll::Pending
    }

    fn leave(&self, ticket: Option<u64>) {
        if ticket.is_some() {
            self.inner.lock().waiting.leave(ticket);
        }
    }

    fn drop_receipt(&self, rows: Range<u64>) {
        let mut inner = self.inner.lock();
        if self.is_decided(rows.end - 1) {
            return;
        }
        inner.dropped.add(rows);
    }
}

/// A claim on a row's fate: resolves when the database has decided the row.
///
/// `Ok` means that the row is in a committed transaction, with the durability that
/// [`Durability`](crate::Durability) states. A future too; it needs no runtime. To wait makes the row's
/// batch due at once: nobody who waits is made to linger. A receipt that is dropped changes nothing
/// for its row, which then counts as pushed without one; dropped once the row is decided, it has had the answer, and
/// nobody else is told.
#[must_use = "a receipt says whether the row was written; use push when nobody asks"]
pub struct Receipt {
    shared: Arc<Shared>,
    outcome: Arc<Outcome>,
    rows: Range<u64>,
    ticket: Option<u64>,
    asked: bool,
}

impl Receipt {
    pub(crate) fn new(shared: Arc<Shared>, outcome: Arc<Outcome>, rows: Range<u64>) -> Self {
        Self { shared, outcome, rows, ticket: None, asked: false }
    }

    /// The receipt of an empty group.
    pub(crate) fn of_nothing(shared: Arc<Shared>) -> Self {
        Self::new(shared, Arc::new(Outcome::new(0)), 0..0)
    }

    /// Blocks until the row is decided.
    ///
    /// When nothing else is pending or about to come, the calling thread commits the row itself instead of paying for
    /// two thread switches.
    ///
    /// # Errors
    ///
    /// [`Rejected`](ErrorKind::Rejected): the database refused the row.
    /// [`Unknown`](ErrorKind::Unknown): whether it is there is not known.
    /// [`Unwritten`](ErrorKind::Unwritten): the buffer closed, failed or gave up before its turn.
    /// [`Spooled`](ErrorKind::Spooled): the same with a [spool](crate::Config::spool), in which the row is; also where it
    /// would be unknown. Whoever opens the spool next writes it.
    /// [`WouldDeadlock`](ErrorKind::WouldDeadlock): called on the thread that writes, such as from
    /// `on_reject`; the row is written all the same. [`Forked`](ErrorKind::Forked): called in a child process; the parent writes it.
    pub fn wait(mut self) -> Result<()> {
        if self.decided().is_none() {
            self.shared.may_wait("wait for a receipt")?;
            writer::commit_on_caller(&self.shared, &self.rows);
            self.asked = true;
        }
        wait::block_on_soon(self, None, |receipt| &receipt.shared.turns)
            .expect("without a deadline the wait ends with an answer")
    }

    /// Blocks until the row is decided, for `timeout` at the most. The receipt can be waited for again.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and [`TimedOut`](ErrorKind::TimedOut).
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<()> {
        if self.decided().is_none() {
            self.shared.may_wait("wait for a receipt")?;
        }
        wait::block_on_soon(&mut *self, sync::after(timeout), |receipt| &receipt.shared.turns)
            .unwrap_or_else(|| {
                Err(Error::new(
                    ErrorKind::TimedOut,
                    format!(
                        "{} has not decided the row after {timeout:?}; wait again, or ask health()",
                        self.shared.name()
                    ),
                ))
            })
    }

    /// What became of the row, if it is decided. Neither blocks nor makes its batch due.
    pub fn decided(&self) -> Option<Result<()>> {
        if self.rows.is_empty() {
            Some(Ok(()))
        } else {
            self.outcome.look(&self.rows, &self.shared)
        }
    }
}

impl Future for Receipt {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        if let Some(decided) = this.decided() {
            return Poll::Ready(decided);
        }
        wait::note_executor(context.waker());
        if !this.asked || this.ticket.is_some() {
            // First of all: in a child the locks may be held for ever, also of a receipt that was polled before the fork.
            this.shared.may_wait("wait for a receipt")?;
        }
        if this.outcome.poll_decided(&mut this.ticket, this.rows.end, context.waker()).is_pending()
        {
            if !this.asked {
                this.asked = true;
                this.shared.ask_for(this.rows.end - 1);
            }
            return Poll::Pending;
        }
        Poll::Ready(this.decided().unwrap_or(Ok(())))
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if !self.rows.is_empty()
            && !self.outcome.is_decided(self.rows.end - 1)
            && self.shared.check_process().is_ok()
        {
            self.outcome.leave(self.ticket);
            self.outcome.drop_receipt(self.rows.clone());
        }
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receipt")
            .field("rows", &self.rows)
            .field("decided", &self.decided())
            .finish_non_exhaustive()
    }
}

/// Resolves when every row before a point in the log is decided, whatever became of it.
pub(crate) struct Barrier {
    outcome: Arc<Outcome>,
    end: u64,
    ticket: Option<u64>,
}

impl Barrier {
    pub(crate) fn new(outcome: Arc<Outcome>, end: u64) -> Self {
        Self { outcome, end, ticket: None }
    }
}

impl Future for Barrier {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        wait::note_executor(context.waker());
        let this = &mut *self;
        this.outcome.poll_decided(&mut this.ticket, this.end, context.waker())
    }
}

impl Drop for Barrier {
    fn drop(&mut self) {
        self.outcome.leave(self.ticket);
    }
}

#[cfg(all(test, feature = "sqlite", not(any(forebay_loom, forebay_shuttle))))]
mod tests {
    use std::sync::Arc;

    use fork::{Fork, fork, waitpid};

    use super::{Outcome, Receipt};
    use crate::buffer::WriteBuffer;
    use crate::error::ErrorKind;

    #[test]
    fn a_child_forked_while_the_outcome_was_locked_is_told_though_the_row_is_decided() {
        let folder = tempfile::tempdir().unwrap();
        let buffer = WriteBuffer::open(folder.path().join("app.db")).unwrap();
        let outcome = Arc::new(Outcome::new(0));
        drop(outcome.decide(1, &[]));
        let receipt = Receipt::new(Arc::clone(buffer.shared()), Arc::clone(&outcome), 0..1);
        let held = outcome.inner.lock();
        match fork().unwrap() {
            Fork::Child => {
                let told = receipt.wait().is_err_and(|error| error.kind() == ErrorKind::Forked);
                std::process::exit(i32::from(!told));
            }
            Fork::Parent(child) => assert_eq!(waitpid(child).unwrap(), 0, "it was not told"),
        }
        drop(held);
        receipt.wait().expect("the parent is told that it is there");
    }
}
