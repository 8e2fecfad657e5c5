//! Flush, close and drop: what was accepted is in the database when they return, or is handed back.

use std::thread;
use std::time::Duration;

use forebay::{Config, ErrorKind, Retry, Value, WriteBuffer};
use support::{Database, Session, adds_up, lingering, on_both_sinks};

use crate::eventually;

on_both_sinks!(
    what_was_accepted_before_a_flush_is_there_after_it,
    close_writes_the_rest,
    dropping_the_last_handle_writes_the_rest,
    rows_that_cannot_be_written_in_time_are_handed_back_and_are_not_there,
    closing_works_from_async_code,
    many_small_batches_add_up,
);

const TABLE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)";

fn count(database: &impl Database) -> i64 {
    database.value("SELECT count(*) FROM t")
}

fn what_was_accepted_before_a_flush_is_there_after_it<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    buffer.flush().unwrap();
    for round in 0..5 {
        let receipts: Vec<_> =
            (0..100).map(|id| t.submit(&(round * 100 + id, "x")).unwrap()).collect();
        buffer.flush().unwrap();
        assert!(receipts.iter().all(|receipt| matches!(receipt.decided(), Some(Ok(())))));
        assert_eq!(count(&database), 100 * (round + 1));
    }
}

fn close_writes_the_rest<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    (0..1_000).for_each(|id| t.push(&(id, "x")).unwrap());
    buffer.close().unwrap();
    assert_eq!(count(&database), 1_000);
    assert_eq!(t.push(&(1_000, "x")).unwrap_err().kind(), ErrorKind::Closed);
    assert!(adds_up(&buffer.stats()), "{:?}", buffer.stats());
    buffer.close().unwrap();
}

fn dropping_the_last_handle_writes_the_rest<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    drop(buffer);
    (0..1_000).for_each(|id| t.push(&(id, "x")).unwrap());
    drop(t);
    assert_eq!(count(&database), 1_000);
}

fn rows_that_cannot_be_written_in_time_are_handed_back_and_are_not_there<D: Database>() {
    let database = D::new(TABLE);
    let hour = Duration::from_secs(3_600);
    let retry = Retry { delay: Duration::ZERO, pause: hour, ..Retry::default() };
    let config = Config { batch_size: 2, retry, ..lingering() };
    let buffer = database.builder(config, Duration::from_millis(10)).open().unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    let mut other = database.session();
    other.lock("t");
    (0..5).for_each(|id| t.push(&(id, "x")).unwrap());
    let receipt = t.submit(&(5, "x")).unwrap();
    eventually("the buffer is paused", || buffer.stats().pauses == 1);
    let report = buffer.close_within(Duration::ZERO).unwrap();
    other.unlock();
    let ids: Vec<_> = report.leftovers.iter().map(|letter| letter.fields[0].1.clone()).collect();
    assert_eq!(ids, (0..5).map(Value::Integer).collect::<Vec<_>>());
    assert!(report.leftovers.iter().all(|letter| letter.error.kind() == ErrorKind::Unwritten));
    assert_eq!(receipt.wait().unwrap_err().kind(), ErrorKind::Unwritten);
    assert_eq!(report.stats.unwritten, 6);
    assert!(adds_up(&report.stats), "{:?}", report.stats);
    assert_eq!(count(&database), 0);
}

fn closing_works_from_async_code<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    for workers in [1, 2] {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(workers).build().unwrap();
        let (t, buffer) = (t.clone(), buffer.clone());
        let id = workers as i64 * 10;
        runtime.block_on(async move {
            t.push_async(&(id, "x")).await.unwrap();
            buffer.flush_async().await.unwrap();
            t.submit_async(&(id + 1, "x")).await.unwrap().await.unwrap();
            t.push_async(&(id + 2, "x")).await.unwrap();
            if workers == 2 {
                buffer.close_async().await.unwrap();
            }
        });
    }
    assert_eq!(count(&database), 6);
}

fn many_small_batches_add_up<D: Database>() {
    let database = D::new(TABLE);
    let config = Config { batch_size: 3, linger: Duration::ZERO, ..Config::default() };
    let buffer: WriteBuffer = database.builder(config, Duration::from_secs(30)).open().unwrap();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    thread::scope(|scope| {
        for worker in 0..4_i64 {
            let (t, buffer) = (&t, &buffer);
            scope.spawn(move || {
                for id in 0..100 {
                    t.push(&(worker * 100 + id, "x")).unwrap();
                    if id % 10 == 0 {
                        buffer.flush().unwrap();
                    }
                }
            });
        }
    });
    buffer.close().unwrap();
    assert_eq!(count(&database), 400);
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.rejected), (400, 0));
    assert!(stats.transactions >= 10, "{stats:?}");
    assert!(adds_up(&stats), "{stats:?}");
}
