//! A thread that wakes tasks: closer to their time than the runtime's own timer, which counts in milliseconds.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Instant;

type Alarm = (Instant, Waker);

/// The way to the thread, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Timer(Sender<Alarm>);

impl Timer {
    pub(crate) fn start() -> io::Result<Self> {
        let (sender, alarms) = mpsc::channel();
        thread::Builder::new().name("timer".to_owned()).spawn(move || ring(&alarms))?;
        Ok(Self(sender))
    }

    /// Waits until then.
    pub(crate) fn until(&self, at: Instant) -> impl Future<Output = ()> + Send {
        poll_fn(move |context| {
            // Without its thread nobody would wake the task.
            if Instant::now() >= at || self.0.send((at, context.waker().clone())).is_err() {
                return Poll::Ready(());
            }
            Poll::Pending
        })
    }
}

/// Wakes each task at its time.
fn ring(alarms: &Receiver<Alarm>) {
    let mut waiting = BTreeMap::new();
    for number in 0_u64.. {
        let alarm = match waiting.first_key_value() {
            None => alarms.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some((&(at, _), _)) => {
                alarms.recv_timeout(Instant::saturating_duration_since(&at, Instant::now()))
            }
        };
        match alarm {
            Ok((at, waker)) => {
                // Two may have one time.
                waiting.insert((at, number), waker);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let later = waiting.split_off(&(Instant::now(), u64::MAX));
        mem::replace(&mut waiting, later).into_values().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn every_task_is_woken_and_none_before_its_time() {
        let runtime = Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let timer = Arc::new(Timer::start().unwrap());
        let begun = Instant::now();
        let tasks: Vec<_> = (0..50_u32)
            .map(|number| {
                let timer = Arc::clone(&timer);
                // The latest first, and pairs with one time.
                let at = begun + Duration::from_micros(200) * (50 - number / 2);
                runtime.spawn(async move {
                    timer.until(at).await;
                    Instant::now() >= at
                })
            })
            .collect();
        for task in tasks {
            assert!(runtime.block_on(task).unwrap());
        }
    }
}
