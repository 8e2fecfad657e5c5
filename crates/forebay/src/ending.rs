//! The end of a buffer: closing, failing, and who decides the rows that are left.
//!
//! Whoever takes the rows out of the state, with [`Shared::end`], decides them, and only he; the door is
//! closed in the same breath.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::{Error, ErrorKind, Result};
use crate::queue::{Errand, Shared, run_errand};
use crate::reject::DeadLetter;
use crate::segment::Segment;
use crate::state::{InFlight, Life, State};
use crate::stats::count_of_rows;
use crate::sync::MutexGuard;

/// Of the lost rows, those that the file for dead letters has.
#[derive(Default)]
pub(crate) struct Kept {
    rows: u64,
    /// Those among them that are not decided yet, and so do not count as lost.
    pub(crate) undecided: u64,
    before_closing: u64,
}

impl Shared {
    /// Refuses new rows from now on and has the rest written.
    pub(crate) fn begin_close(&self) {
        let mut state = self.lock();
        if matches!(state.life, Life::Open) {
            state.life = Life::Closing { overdue: false };
            state.lost_before_closing = state.stats.unwritten + state.stats.unknown;
            state.kept.before_closing = state.kept.rows - state.kept.undecided;
        }
        let blocked = state.room.all();
        self.wake_writer(state, true);
        self.growing.notify_one();
        blocked.wake();
    }

    /// There is no time left to write the rest.
    pub(crate) fn end_patience(&self) {
        self.signals.end_patience();
        let mut state = self.lock();
        if let Life::Closing { overdue } = &mut state.life {
            *overdue = true;
        }
        self.wake_writer(state, true);
    }

    /// The writer's thread ends. Returns the errands that nobody will run.
    pub(crate) fn writer_ends(&self) -> VecDeque<Errand> {
        let mut state = self.lock();
        // Who committed on his own thread may have given the sink back after the writer had looked for it.
        while let Some(worker) = state.worker.take() {
            drop(state);
            let _ = catch_unwind(AssertUnwindSafe(|| drop(worker)));
            state = self.lock();
        }
        state.writer_ended = true;
        let errands = std::mem::take(&mut state.errands);
        if matches!(state.life, Life::Ended(_)) {
            // Whoever has ended it decides the rows, and may still be at it.
            let closers = state.closers.all();
            self.let_go_of_abandoned(state);
            closers.wake();
        } else {
            state.life = Life::Ended(closed());
            let blocked = state.room.all();
            self.reckon(state);
            blocked.wake();
        }
        errands
    }

    /// The sink is dropped that a waiting thread had, which has come back after the writer has ended.
    pub(crate) fn sink_is_gone(&self) {
        let mut state = self.lock();
        state.is_sink_out = false;
        self.let_go_of_abandoned(state);
    }

    /// Lets others have the spool of rows that were decided without the holder of the sink, unless one is still to come back:
    /// he may commit until then.
    fn let_go_of_abandoned(&self, state: MutexGuard<'_, State>) {
        if state.abandoned && !state.is_sink_out {
            self.let_go_of_spool(state, false);
        }
    }

    /// Lets others have the spool, which holds nothing when all its rows are decided.
    fn let_go_of_spool(&self, mut state: MutexGuard<'_, State>, is_empty: bool) {
        let Some(spool) = &self.spool else { return };
        let files = state.let_go_of_files();
        drop(state);
        drop(files);
        spool.close(is_empty);
    }

    /// Every row is decided: holds the counters, which were added up batch by batch, against the log, whose end is the
    /// count of rows accepted. Then tells whoever waits for that.
    fn reckon<'s>(&'s self, mut state: MutexGuard<'s, State>) {
        let (accepted, decided) = (state.accepted(), state.stats.decided());
        let unaccounted = accepted.abs_diff(decided);
        state.stats.unaccounted = unaccounted;
        if self.spool.is_some() {
            let is_empty = unaccounted == 0 && state.stats.spooled == 0;
            // Whoever has not come back may still commit: until then nobody else is to open it.
            if !state.abandoned || (state.writer_ended && !state.is_sink_out) {
                self.let_go_of_spool(state, is_empty);
                state = self.lock();
            }
            if is_empty {
                state.growth.bytes = 0;
            }
        }
        state.all_decided = true;
        let closers = state.closers.all();
        drop(state);
        closers.wake();
        if unaccounted == 0 {
            return;
        }
        tracing::error!(
            rows = unaccounted,
            "the buffer for {} ended with {accepted} rows accepted and {decided} decided, which is a bug of forebay: \
             look which rows the database has",
            self.name()
        );
        // To panic while the thread panics would end the process.
        debug_assert!(std::thread::panicking(), "{accepted} rows accepted, {decided} decided");
    }

    /// Accepts nothing any more, and takes out the rows that are left, for the caller to decide. `None`
    /// when somebody else has done so.
    pub(crate) fn end(&self, why: Error) -> Option<Vec<InFlight>> {
        let mut state = self.lock();
        if matches!(state.life, Life::Ended(_)) {
            return None;
        }
        state.life = Life::Ended(why.clone());
        let mut empty = Segment::new(self.config.segment_bytes());
        empty.restart(state.open.end_seq());
        let open = std::mem::replace(&mut state.open, empty);
        let waiting = std::mem::take(&mut state.waiting).into_iter().chain([open]);
        let rest = state.in_flight.take().into_iter().chain(waiting.map(InFlight::new));
        let rest: Vec<_> = rest.filter(|segment| segment.segment.rows() > 0).collect();
        if let Some(InFlight { segment, .. }) = rest.last() {
            state.last = (Arc::clone(segment.outcome()), segment.end_seq());
        }
        let errands = std::mem::take(&mut state.errands);
        let blocked = state.room.all();
        self.wake_writer(state, true);
        self.growing.notify_one();
        blocked.wake();
        for errand in errands {
            run_errand(errand, Err(why.clone()));
        }
        Some(rest)
    }

    /// The rows have been decided without the holder of the sink; `close` hands these back.
    pub(crate) fn abandoned(&self, mut letters: Vec<DeadLetter>) {
        let mut state = self.lock();
        state.leftovers.get_or_insert_default().append(&mut letters);
        state.abandoned = true;
        self.reckon(state);
    }

    /// Leaves a row for `close` to hand back. Returns it when `close` has not waited for it.
    pub(crate) fn leave(&self, letter: DeadLetter) -> Option<DeadLetter> {
        let mut state = self.lock();
        let Some(leftovers) = &mut state.leftovers else { return Some(letter) };
        leftovers.push(letter);
        None
    }

    /// The rows that were left; after that there are none.
    pub(crate) fn take_leftovers(&self) -> Vec<DeadLetter> {
        self.lock().leftovers.take().unwrap_or_default()
    }

    /// Whether a close has returned that the holder of the sink did not come back for.
    pub(crate) fn was_closed_without_the_writer(&self) -> bool {
        let state = self.lock();
        state.abandoned && state.leftovers.is_none()
    }

    /// The holder of the sink has decided every row that was left.
    pub(crate) fn all_decided(&self) {
        self.reckon(self.lock());
    }

    pub(crate) fn has_writer_ended(&self) -> bool {
        self.lock().writer_ended
    }

    /// Counts a dead letter that the file has taken, or could not take.
    pub(crate) fn count_letter(&self, letter: &DeadLetter, kept: bool) {
        let mut state = self.lock();
        if !kept {
            state.stats.letters_unkept += 1;
        } else if letter.error.kind() != ErrorKind::Rejected {
            state.kept.rows += 1;
            state.kept.undecided += 1;
        }
    }

    /// Rows that the closing buffer could not write, and how many of them are in the file for dead letters.
    pub(crate) fn lost_in_closing(&self) -> (u64, u64) {
        let state = self.lock();
        let lost = state.stats.unwritten + state.stats.unknown - state.lost_before_closing;
        (lost, (state.kept.rows - state.kept.before_closing).min(lost))
    }

    /// Fails when the buffer has failed.
    pub(crate) fn check_running(&self) -> Result<()> {
        match &self.lock().life {
            Life::Ended(error) if error.kind() == ErrorKind::Failed => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Fails when rows were left in the spool.
    pub(crate) fn check_spooled(&self, rows: u64) -> Result<()> {
        let Some(spool) = self.spool.as_ref().filter(|_| rows > 0) else { return Ok(()) };
        let message = format!(
            "closing {} left {} in the spool {}, not lost: they are written when that is opened again, or where the database is SQLite by `forebay spool replay`; \
             a longer close_timeout, which was {:?}, gives more time",
            self.name(),
            count_of_rows(rows),
            spool.folder().display(),
            self.config.close_timeout
        );
        let error = Error::new(ErrorKind::Spooled, message);
        Err(match self.lock().paused.clone() {
            Some(cause) => error.because(cause),
            None => error,
        })
    }

    /// Whether `close` has run out of time.
    pub(crate) fn is_overdue(&self) -> bool {
        matches!(self.lock().life, Life::Closing { overdue: true } | Life::Ended(_))
    }
}

impl Shared {
    /// What a row is told that this buffer does not write any more. With a spool it is kept.
    pub(crate) fn unwritten(&self, why: &str, cause: Option<Error>) -> Error {
        let (kind, message) = match &self.spool {
            Some(spool) => (
                ErrorKind::Spooled,
                format!(
                    "{why} to {}: it is in the spool {} and is written when that is opened again; do not write it anew",
                    self.name(),
                    spool.folder().display()
                ),
            ),
            None => (ErrorKind::Unwritten, format!("{why} to {}", self.name())),
        };
        match cause {
            Some(cause) => cause.retold(kind, message),
            None => Error::new(kind, message),
        }
    }

    /// What a row is told whose commit was asked for and not answered when the buffer ended. With a spool whoever opens it
    /// next finds out.
    pub(crate) fn in_doubt(&self, cause: &Error) -> Error {
        if self.spool.is_some() {
            let why = "the buffer ended before it was known whether this row was written";
            return self.unwritten(why, Some(cause.clone()));
        }
        let message = format!(
            "whether this row is in {} is not known: look before writing it again",
            self.name()
        );
        cause.retold(ErrorKind::Unknown, message)
    }
}

/// What a push gets from a buffer that is closing or closed.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the buffer is closed and accepts nothing")
}

/// Resolves when the buffer has ended.
pub(crate) struct End<'a> {
    shared: &'a Shared,
    /// Also when every row is decided but the sink is not let go of yet.
    at_decision: bool,
    ticket: Option<u64>,
}

impl<'a> End<'a> {
    /// When every row is decided, the writer's thread has ended and the sink is gone, or was given up.
    pub(crate) fn of(shared: &'a Shared) -> Self {
        Self { shared, at_decision: false, ticket: None }
    }

    /// When every row is decided.
    pub(crate) fn of_the_rows_of(shared: &'a Shared) -> Self {
        Self { shared, at_decision: true, ticket: None }
    }
}

impl Future for End<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut state = this.shared.lock();
        let ended = state.writer_ended || state.abandoned || this.at_decision;
        // The writer may go while somebody else still decides the rows.
        if ended && state.all_decided {
            return Poll::Ready(());
        }
        state.closers.register(&mut this.ticket, 0, context.waker());
        Poll::Pending
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.shared.lock().closers.leave(self.ticket);
    }
}

#[cfg(all(test, not(forebay_loom)))]
mod tests {
    use crate::batch::Batch;
    use crate::buffer::WriteBuffer;
    use crate::config::Config;
    use crate::error::ErrorKind;
    use crate::sink::{Applied, Sink, SinkError, StatementInfo, TableInfo};

    struct Nowhere;

    impl Sink for Nowhere {
        fn describe(&mut self, table: &str) -> crate::Result<TableInfo> {
            Ok(TableInfo::new(table).column("id"))
        }

        fn prepare(&mut self, _: &str) -> crate::Result<StatementInfo> {
            Ok(StatementInfo::default())
        }

        fn apply(&mut self, _: &Batch<'_>) -> Result<Applied, SinkError> {
            Ok(Applied::default())
        }
    }

    #[test]
    fn a_row_that_is_counted_nowhere_is_found_in_the_end() {
        let buffer = WriteBuffer::with_sink(Nowhere, Config::default()).unwrap();
        let rows = buffer.table("t").insert().producer().unwrap();
        (0..3).for_each(|id| rows.write(&(id,)).unwrap());
        buffer.shared().lock().stats.committed -= 1;
        let error = buffer.close().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unknown);
        assert!(error.to_string().contains("are off by 1 row"), "{error}");
        let stats = buffer.stats();
        assert_eq!(
            (stats.pending, stats.unaccounted),
            (0, 1),
            "one is from the log, one from the sum"
        );
    }
}
