//! Batches that are given up: their rows say so, and the next batches are written.

use std::time::Duration;

use forebay::{Config, ErrorKind, Retry};
use support::{Database, LONG, Session, eventually, lingering, on_both_sinks};

on_both_sinks!(a_batch_that_is_given_up_is_unwritten_and_the_next_ones_are_written);

fn a_batch_that_is_given_up_is_unwritten_and_the_next_ones_are_written<D: Database>() {
    let database = D::new("CREATE TABLE t(id INTEGER)");
    let moment = Duration::from_millis(1);
    let retry =
        Retry { max_retries: 1, delay: moment, pause: moment, give_up: Some(Duration::ZERO) };
    let config = Config { retry, ..lingering() };
    let buffer = database.builder(config, Duration::from_millis(10)).open().unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    t.write(&(0,)).unwrap();
    let mut other = database.session();
    for round in 1..=3 {
        other.lock("t");
        for id in [10, 20] {
            let mut receipt = t.submit(&(id + round,)).unwrap();
            let _ = buffer.flush();
            let error = receipt.wait_timeout(LONG).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unwritten, "{error:#}");
        }
        other.unlock();
        t.write(&(round,)).unwrap();
    }
    eventually("it is not paused any more", || matches!(buffer.health(), forebay::Health::Running));
    assert_eq!(database.column::<i64>("SELECT id FROM t ORDER BY id"), [0, 1, 2, 3]);
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.unwritten, stats.unknown), (4, 6, 0));
}
