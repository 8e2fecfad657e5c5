//! Getting one batch into the database, however often it takes.
//!
//! A busy database is tried again after growing delays, then counts as paused; one that is down is
//! paused at once. A paused batch is kept and tried at a slow pace until it is written, `give_up` is
//! over, or `close` runs out of time. The batch never changes between attempts.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::config::Retry;
use crate::error::{Error, ErrorKind};
use crate::queue::Shared;
use crate::sink::{Applied, Sink, SinkError, Verdict};
use crate::stats::count_of_rows;
use crate::sync;

/// The longest delay between two retries, however many there are.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// What became of a batch.
pub(crate) enum Fate {
    Applied(Applied),
    /// Its rows are to be written again with none left out.
    Unmerge,
    /// Its rows are lost to the buffer, for the reason given; the buffer goes on.
    Lost(Error),
    /// The buffer fails.
    Failed {
        batch: Error,
        rest: Error,
        cause: Error,
    },
    /// The buffer closes and there is no time left.
    OutOfTime {
        batch: Error,
        rest: Error,
    },
}

/// Gives a batch to the sink. After a panic nobody knows how far the sink had come.
pub(crate) fn attempt(
    sink: &mut dyn Sink,
    batch: &Batch<'_>,
    shared: &Shared,
) -> Result<Applied, SinkError> {
    failpoint!(BeforeBatch);
    let apply = || shared.metrics.time(&shared.signals, || sink.apply(batch));
    catch_unwind(AssertUnwindSafe(apply)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        let text = text.unwrap_or_else(|| "no message".to_owned());
        Err(SinkError::lost(Error::new(
            ErrorKind::Panicked,
            format!("the writer panicked: {text}"),
        )))
    })
}

/// Writes a batch, trying again as the settings say. `failed` is the answer to an attempt made already;
/// `paused` is since when the sink has been down, kept from batch to batch.
pub(crate) fn persist(
    sink: &mut dyn Sink,
    batch: &Batch<'_>,
    shared: &Shared,
    paused: &mut Option<Instant>,
    failed: Option<SinkError>,
) -> Fate {
    let table = batch.row(0).shape().target().table();
    let rows = || count_of_rows(batch.len() as u64);
    let policy = &shared.config.retry;
    let mut retries = 0;
    let mut answer = failed.map(Err);
    let mut cause = None;
    // Set while the last answer has left open whether the batch is committed.
    let mut doubt: Option<Error> = None;
    loop {
        if answer.is_none() && shared.is_overdue() {
            let why = "the buffer was closed before this row was written";
            let rest = shared.unwritten(why, cause);
            let batch = doubt.map_or_else(|| rest.clone(), |cause| shared.in_doubt(&cause));
            return Fate::OutOfTime { batch, rest };
        }
        let error = match answer.take().unwrap_or_else(|| attempt(sink, batch, shared)) {
            Ok(applied) => {
                if let Some(since) = paused.take() {
                    let waited = sync::now() - since;
                    shared.lock().paused = None;
                    tracing::info!(
                        table,
                        "writing to {} resumed after {}s, nothing lost",
                        shared.name(),
                        waited.as_secs()
                    );
                }
                return Fate::Applied(applied);
            }
            Err(error) => error,
        };
        let code = error.error.code();
        doubt = (error.verdict == Verdict::Doubt).then(|| error.error.clone());
        let pause = match error.verdict {
            Verdict::Unmerge => return Fate::Unmerge,
            Verdict::Lost | Verdict::Fail => {
                tracing::error!(
                    table,
                    rows = batch.len(),
                    code,
                    "writing to {} failed: {:#}",
                    shared.name(),
                    error.error
                );
                let cause = error.error;
                let why = "the buffer failed before this row was written";
                let rest = shared.unwritten(why, Some(cause.clone()));
                let lost = error.verdict == Verdict::Lost;
                let batch = if lost { shared.in_doubt(&cause) } else { rest.clone() };
                return Fate::Failed { batch, rest, cause };
            }
            Verdict::Unknown => {
                tracing::error!(
                    table,
                    rows = batch.len(),
                    code,
                    "whether {} for {table} were committed is not known and they are not written again: {:#}",
                    rows(),
                    error.error
                );
                let message = format!(
                    "whether this row is in {} is not known: look before writing it again",
                    shared.name()
                );
                return Fate::Lost(error.error.retold(ErrorKind::Unknown, message));
            }
            Verdict::Retry | Verdict::Doubt if paused.is_none() && retries < policy.max_retries => {
                retries += 1;
                let delay = delay(policy, retries);
                tracing::warn!(
                    table,
                    rows = batch.len(),
                    attempt = retries,
                    delay = delay.as_secs_f64(),
                    code,
                    "{} in {table}, retry {retries}/{} after {:.2}s",
                    error.error,
                    policy.max_retries,
                    delay.as_secs_f64(),
                );
                delay
            }
            Verdict::Retry | Verdict::Doubt | Verdict::Pause => {
                let since = *paused.get_or_insert_with(|| {
                    tracing::error!(
                        table,
                        rows = batch.len(),
                        code,
                        "writing to {} is paused, the rows are kept and tried every {:?}: {:#}",
                        shared.name(),
                        policy.pause,
                        error.error
                    );
                    let mut state = shared.lock();
                    state.stats.pauses += 1;
                    sync::now()
                });
                shared.lock().paused = Some(error.error.clone());
                if policy.give_up.is_some_and(|limit| sync::now() - since >= limit) {
                    tracing::error!(
                        table,
                        rows = batch.len(),
                        code,
                        "gave up {} for {table}: {:#}",
                        rows(),
                        error.error
                    );
                    let why = "the buffer gave up on this row";
                    // The next batch gets its own time.
                    *paused = None;
                    shared.lock().paused = None;
                    return Fate::Lost(match doubt {
                        Some(cause) => shared.in_doubt(&cause),
                        None => shared.unwritten(why, Some(error.error)),
                    });
                }
                policy.pause
            }
        };
        failpoint!(BeforeRetry);
        cause = Some(error.error);
        shared.lock().stats.retries += 1;
        shared.publish_metrics();
        shared.rest(sync::now() + pause, sink);
    }
}

/// The delay before a retry: twice the one before, give or take a tenth so that processes spread out.
fn delay(policy: &Retry, retry: u32) -> Duration {
    let delay = policy.delay.saturating_mul(1 << (retry - 1)).min(LONGEST_DELAY);
    delay.mul_f64(0.9 + 0.2 * fastrand::f64())
}
