//! What a buffer and its producers hold, and its end: closing it, or dropping the last of them.

use std::panic::RefUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use crate::ending::{End, closed};
use crate::error::{Error, ErrorKind, Result};
use crate::queue::Shared;
use crate::reject::{DeadLetter, keep_leftovers};
use crate::stats::{Stats, count_of_rows};
use crate::sync::{self, JoinHandle, Mutex};
use crate::wait;
use crate::writer;

/// How long `close` waits, past its deadline, for a sink that has been told to give up.
const GRACE: Duration = Duration::from_millis(250);

/// How long `close` waits, after that, for the rows to be decided: no database is waited for, but `on_reject` is.
const DECIDING: Duration = Duration::from_secs(30);

/// How long a drop on a thread of an async runtime waits for the last rows.
const BRIEF: Duration = Duration::from_millis(100);

/// What the buffer and its producers hold: when the last one goes, the buffer closes.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) writer: Mutex<Option<JoinHandle>>,
    /// Of a buffer that was opened by a path.
    #[cfg(feature = "sqlite")]
    pub(crate) readers: Option<crate::Readers>,
}

/// As for what it shares.
impl RefUnwindSafe for Handle {}

/// What [`WriteBuffer::close_within`](crate::WriteBuffer::close_within) found at the end.
#[derive(Debug)]
#[non_exhaustive]
pub struct CloseReport {
    /// The rows that were not written in time and that no receipt is held for, in their order. A row
    /// whose commit did not return in time is here with [`ErrorKind::Unknown`]. None with a [spool](crate::Config::spool),
    /// where they stay: [`Stats::spooled`] counts them.
    pub leftovers: Vec<DeadLetter>,
    /// The final counters.
    pub stats: Stats,
}

impl Handle {
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn close(&self, timeout: Duration) -> CloseReport {
        let report = close(&self.shared, timeout);
        if self.shared.has_writer_ended()
            && let Some(writer) = self.writer.lock().take()
        {
            // It has said its last word; an error would be a panic after that.
            let _ = writer.join();
        }
        report
    }
}

/// Has the rest written, within `timeout`, and decides what is left then.
fn close(shared: &Shared, timeout: Duration) -> CloseReport {
    shared.begin_close();
    let ended = |patience| wait::block_on(End::of(shared), sync::after(patience)).is_some();
    if !ended(timeout) {
        shared.end_patience();
        if !ended(GRACE) {
            let cause = format!("the database did not answer within {timeout:?}");
            let cause = Error::new(ErrorKind::TimedOut, cause);
            if !writer::abandon(shared, closed(), &cause) {
                // They are being decided, which takes as long as there are rows, or dead letters to deliver.
                wait::block_on(End::of_the_rows_of(shared), sync::after(DECIDING));
            }
        }
    }
    CloseReport { leftovers: shared.take_leftovers(), stats: shared.stats() }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let shared = &self.shared;
        if shared.check_process().is_err() {
            // The parent's writer holds the sink, or its share in it: it is never dropped here.
            return;
        }
        if shared.has_writer_ended() {
            // It was closed before, and whoever did that was told; or it failed, and nobody has asked.
            keep_leftovers(shared, &shared.take_leftovers());
            return;
        }
        if shared.was_closed_without_the_writer() {
            // He has not come back, and whoever closed it was told.
            return;
        }
        let timeout = shared.config.close_timeout;
        let holds_sink = wait::holds_sink_of(shared.id());
        if !holds_sink && !wait::on_executor() {
            return log_close(shared, self.close(timeout));
        }
        shared.begin_close();
        let brief = sync::after(BRIEF.min(timeout));
        if !holds_sink && wait::block_on(End::of(shared), brief).is_some() {
            return log_close(shared, self.close(timeout));
        }
        tracing::warn!(
            rows = shared.stats().pending,
            "the buffer for {} was dropped on a thread that must not wait, with rows to be written: the writer goes \
             on, but not past the end of the process; call close_async() and await it",
            shared.name()
        );
        let shared = Arc::clone(shared);
        let closer = move || log_close(&shared, close(&shared, timeout));
        if let Err(error) = sync::spawn("forebay-close", closer) {
            tracing::error!("{}", no_thread(&error));
        }
    }
}

/// For a close that nobody takes the result of.
fn log_close(shared: &Shared, report: CloseReport) {
    if let Err(error) = report.into_result(shared) {
        tracing::error!("closing the buffer for {}: {error:#}", shared.name());
    }
}

impl CloseReport {
    /// For a caller who does not take the rows back.
    pub(crate) fn into_result(self, shared: &Shared) -> Result<()> {
        keep_leftovers(shared, &self.leftovers);
        shared.check_running()?;
        if self.stats.unaccounted > 0 {
            let (name, rows) = (shared.name(), count_of_rows(self.stats.unaccounted));
            let message = format!(
                "the counters of {name} are off by {rows} after closing, a bug of forebay: look which rows are there"
            );
            return Err(Error::new(ErrorKind::Unknown, message));
        }
        let (lost, kept) = shared.lost_in_closing();
        if lost == 0 {
            return shared.check_spooled(self.stats.spooled);
        }
        let kept = match &shared.config.rejects.file {
            Some(file) => format!(" ({kept} of them kept in {})", file.display()),
            None => String::new(),
        };
        let advice = if shared.signals.patience_ended() {
            format!(
                "make close_timeout, which was {:?}, longer, or call close_within instead, which hands them back",
                shared.config.close_timeout
            )
        } else {
            "they were given up after retry.give_up, or their commit was not answered; the log says which"
                .to_owned()
        };
        let (name, rows) = (shared.name(), count_of_rows(lost));
        let message = format!("closing {name} left {rows} not written{kept}: {advice}");
        let error = Error::new(ErrorKind::Unwritten, message);
        Err(match shared.lock().paused.clone() {
            Some(cause) => error.because(cause),
            None => error,
        })
    }
}

pub(crate) fn no_thread(error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Open, format!("cannot start the writer's thread: {error}"))
}
