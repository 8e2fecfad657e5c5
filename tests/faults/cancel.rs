//! Receipts that are dropped and futures that are cancelled, at any moment.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use forebay::{Config, ErrorKind, Producer, WriteBuffer};
use support::{Scratch, Seen, Trial, adds_up};

use crate::claims::RUNTIME;

/// A waker whose clones are counted: one that is kept anywhere was leaked.
#[derive(Default)]
struct Counted(AtomicU64);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls a future so often, then drops it.
fn poll_and_drop<F: Future>(future: F, waker: &Waker, times: usize) -> Poll<F::Output> {
    let mut future = pin!(future);
    for _ in 0..times {
        let polled = future.as_mut().poll(&mut Context::from_waker(waker));
        if polled.is_ready() {
            return polled;
        }
    }
    Poll::Pending
}

/// Puts a row in and loses interest in it. Returns whether it was accepted.
async fn put_and_leave(rows: &Producer, id: i64, waker: &Waker) -> bool {
    let row = &(id,);
    let soon = Duration::from_micros(fastrand::u64(0..300));
    match fastrand::u8(0..9) {
        0 => drop(rows.submit(row).unwrap()),
        1 => assert!(rows.submit(row).unwrap().decided().is_none_or(|told| told.is_ok())),
        2 => {
            let told = rows.submit(row).unwrap().wait_timeout(soon);
            assert!(told.is_ok() || told.unwrap_err().kind() == ErrorKind::TimedOut);
        }
        3 => {
            let _ = poll_and_drop(rows.submit(row).unwrap(), waker, 1);
        }
        4 => {
            let _ = poll_and_drop(rows.submit(row).unwrap(), waker, 3);
        }
        5 => {
            let receipt = rows.submit_async(row).await.unwrap();
            let _ = tokio::time::timeout(soon, receipt).await;
        }
        6 => {
            let receipt = rows.submit_async(row).await.unwrap();
            tokio::select! {
                biased;
                () = tokio::task::yield_now() => {}
                told = receipt => told.unwrap(),
            }
        }
        // Before the row is accepted, which takes it back.
        7 => return poll_and_drop(rows.push_async(row), waker, 2).is_ready(),
        _ => return tokio::time::timeout(soon, rows.submit_async(row)).await.is_ok(),
    }
    true
}

#[test]
fn a_row_whose_receipt_is_dropped_or_cancelled_is_written_and_nothing_of_it_is_kept() {
    Trial::of(
        23,
        "a receipt is dropped, its future is cancelled",
        "at random: dropped, polled and dropped, timed out, lost a `select!`; 4 threads and 4 tasks, a buffer that is full at times",
    )
    .rounds(10, 200)
    .run(|_| {
        let scratch = Scratch::new(Seen::SCHEMA);
        let config = Config {
            batch_size: 20,
            max_transaction_rows: 20,
            max_buffer_bytes: 16_384,
            max_batch_bytes: 4_096,
            max_row_bytes: 1_024,
            linger: Duration::from_micros(100),
            ..Config::default()
        };
        let buffer = WriteBuffer::builder(scratch.path()).config(config).open().unwrap();
        let rows = buffer.table("landed").insert().producer().unwrap();
        let counted = Arc::<Counted>::default();
        let promised = Arc::<Mutex<Vec<i64>>>::default();
        let pushers = (0..8_i64).map(|pusher| {
            let (rows, promised) = (rows.clone(), Arc::clone(&promised));
            let waker = Waker::from(Arc::clone(&counted));
            let (over, ended) = std::sync::mpsc::channel();
            let push = async move {
                for id in (0..150).map(|row| pusher * 1_000 + row) {
                    if put_and_leave(&rows, id, &waker).await {
                        promised.lock().unwrap().push(id);
                    }
                }
                drop(waker);
                over.send(()).unwrap();
            };
            if pusher < 4 {
                thread::spawn(|| RUNTIME.block_on(push));
            } else {
                RUNTIME.spawn(push);
            }
            ended
        });
        for ended in pushers.collect::<Vec<_>>() {
            ended.recv().unwrap();
        }
        buffer.flush().unwrap();
        assert_eq!(Arc::strong_count(&counted), 1, "a waker of a future that is gone is kept");
        buffer.close().unwrap();
        let stats = buffer.stats();
        assert!(adds_up(&stats), "{stats:?}");
        let promised = std::mem::take(&mut *promised.lock().unwrap());
        assert_eq!(stats.accepted, promised.len() as u64, "a row that was taken back is not there");
        Seen { rows: stats.accepted, ..Seen::in_table(&scratch.path(), promised) }
    });
}
