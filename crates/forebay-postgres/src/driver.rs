//! Waiting: the runtime that the sink's calls run on, and how long they may take.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use forebay::{Error, ErrorKind, Result, Signals};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::{Instant, timeout_at};

/// How often a wait looks whether the buffer's patience has ended.
const TICK: Duration = Duration::from_millis(50);

/// A runtime on the thread that holds the sink. The connection's task runs while a call does.
pub(crate) struct Driver(Option<Runtime>);

impl Driver {
    pub(crate) fn new() -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| {
            let message = "cannot make a runtime to talk to PostgreSQL with: are there file descriptors left?";
            Error::new(ErrorKind::Open, message).because(error)
        })?;
        Ok(Self(Some(runtime)))
    }

    /// Runs a call to its end. On a thread that belongs to another runtime, which must not be blocked within, by a thread of its
    /// own; the caller waits all the same.
    pub(crate) fn run<T: Send>(&self, call: impl Future<Output = T> + Send) -> T {
        let runtime = self.0.as_ref().expect("it is there until the driver is dropped");
        if Handle::try_current().is_err() {
            return runtime.block_on(call);
        }
        let ran = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(call)).join());
        ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Driver {
    /// A runtime must not be dropped on a thread of another one, unless it waits for nothing.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Why a wait was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// So long was it waited for.
    After(Duration),
    /// `close` has run out of time.
    Closing,
}

/// Waits for `call`, for `limit` at the most and while the buffer is patient.
pub(crate) async fn within<T>(
    limit: Duration,
    signals: &Signals,
    call: impl Future<Output = T>,
) -> Result<T, GivenUp> {
    let mut call = pin!(call);
    let deadline = Instant::now() + limit;
    loop {
        let tick = (Instant::now() + TICK).min(deadline);
        if let Ok(answer) = timeout_at(tick, &mut call).await {
            return Ok(answer);
        }
        if signals.patience_ended() {
            return Err(GivenUp::Closing);
        }
        if Instant::now() >= deadline {
            return Err(GivenUp::After(limit));
        }
    }
}

/// A call whose answer somebody waits for.
pub(crate) type Call<'c, T> = Pin<Box<dyn Future<Output = T> + Send + 'c>>;

/// Makes all calls before the answer to any is waited for, in their order, which is the order of the answers too. Each answer is
/// waited for as [`within`] does.
pub(crate) async fn pipelined<T>(
    limit: Duration,
    signals: &Signals,
    mut calls: Vec<Call<'_, T>>,
    answers: &mut Vec<T>,
) -> Result<(), GivenUp> {
    // A call is sent when it is first polled.
    let sent = poll_fn(|context| {
        let poll = |call: &mut Call<'_, T>| match call.as_mut().poll(context) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        };
        Poll::Ready(calls.iter_mut().map(poll).collect::<Vec<_>>())
    });
    let early = sent.await;
    for (call, early) in calls.iter_mut().zip(early) {
        answers.push(match early {
            Some(answer) => answer,
            None => within(limit, signals, call).await?,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use super::*;

    #[test]
    fn answers_come_in_the_order_of_the_calls() {
        let driver = Driver::new().unwrap();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let late = async move { receiver.await.unwrap() };
        let last = async move {
            sender.send(1).unwrap();
            2
        };
        let calls: Vec<Call<'_, i32>> = vec![Box::pin(late), Box::pin(ready(7)), Box::pin(last)];
        let (limit, signals, mut answers) =
            (Duration::from_secs(60), Signals::default(), Vec::new());
        driver.run(pipelined(limit, &signals, calls, &mut answers)).unwrap();
        assert_eq!(answers, [1, 7, 2]);
    }

    #[test]
    fn a_call_may_be_waited_for_and_the_driver_dropped_on_the_thread_of_another_runtime() {
        let outer = Builder::new_current_thread().build().unwrap();
        let answer = outer.block_on(async { Driver::new().unwrap().run(async { 5 }) });
        assert_eq!(answer, 5);
    }

    #[test]
    fn a_wait_is_given_up_after_its_limit() {
        let limit = Duration::from_millis(1);
        let signals = Signals::default();
        let never = within(limit, &signals, std::future::pending::<()>());
        assert_eq!(Driver::new().unwrap().run(never), Err(GivenUp::After(limit)));
    }
}
