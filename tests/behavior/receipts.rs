//! What a receipt tells, to threads and to tasks.

use std::time::Duration;

use forebay::{Applied, Config, Error, ErrorKind, Rejection, SinkError, WriteBuffer};
use futures::FutureExt;
use support::Gate;

fn lingering() -> Config {
    Config { linger: Duration::from_secs(3_600), ..Config::default() }
}

#[test]
fn a_receipt_resolves_after_the_commit_and_not_before() {
    let gate = Gate::closed();
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    let mut receipt = topics.submit(&(1, "x", 0)).unwrap();
    assert!((&mut receipt).now_or_never().is_none());
    gate.await_arrival();
    assert!(receipt.decided().is_none());
    gate.open_up();
    receipt.wait().unwrap();
}

#[test]
fn receipts_of_the_first_batch_do_not_wait_for_the_second() {
    let gate = Gate::closed();
    let config = Config { batch_size: 1, max_transaction_rows: 1, ..lingering() };
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.push(&(0, "x", 0)).unwrap();
    gate.await_arrival();
    let first = topics.submit(&(1, "x", 0)).unwrap();
    let second = topics.submit(&(2, "x", 0)).unwrap();
    gate.pass(2);
    first.wait().unwrap();
    assert!(second.decided().is_none());
    gate.pass(1);
    second.wait().unwrap();
}

#[test]
fn a_rejected_row_fails_its_own_receipt_and_no_other() {
    let gate = Gate::open();
    gate.answer(|_| {
        let error = Error::new(ErrorKind::Rejected, "topics refused a row")
            .with_code(2067)
            .with_table("topics");
        Ok(Applied { rejected: vec![Rejection { row: 1, error }], transactions: 1, unchanged: 0 })
    });
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    let receipts: Vec<_> = (0..3).map(|id| topics.submit(&(id, "x", 0)).unwrap()).collect();
    buffer.flush().unwrap();
    let outcomes: Vec<_> = receipts.into_iter().map(forebay::Receipt::wait).collect();
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
    let error = outcomes[1].as_ref().unwrap_err();
    assert_eq!(
        (error.kind(), error.code(), error.table()),
        (ErrorKind::Rejected, Some(2067), Some("topics"))
    );
}

#[test]
fn an_unknown_outcome_is_told_as_such_and_the_rows_are_not_written_again() {
    let gate = Gate::open();
    gate.fail(
        1,
        &SinkError::unknown(Error::new(
            ErrorKind::Unavailable,
            "the disk answered with an I/O error",
        )),
    );
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    let error = topics.write(&(1, "x", 0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown);
    assert_eq!(
        format!("{error:#}"),
        "whether this row is in gate is not known: look before writing it again: \
         the disk answered with an I/O error"
    );
    topics.write(&(2, "x", 0)).unwrap();
    assert_eq!(gate.ids(), [[2]]);
    assert_eq!(buffer.stats().unknown, 1);
}

#[test]
fn wait_timeout_can_be_repeated() {
    let gate = Gate::closed();
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    let mut receipt = topics.submit(&(1, "x", 0)).unwrap();
    let error = receipt.wait_timeout(Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    gate.open_up();
    receipt.wait_timeout(Duration::from_secs(60)).unwrap();
    receipt.wait().unwrap();
}

#[test]
fn a_dropped_receipt_leaves_its_row_alone() {
    let gate = Gate::open();
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    drop(topics.submit(&(1, "x", 0)).unwrap());
    let mut cancelled = topics.submit(&(2, "x", 0)).unwrap();
    assert!((&mut cancelled).now_or_never().is_none());
    drop(cancelled);
    buffer.close().unwrap();
    assert_eq!(gate.ids().concat(), [1, 2]);
}

/// Writes rows until one was committed on this thread: the writer may still be putting the sink back after
/// it was asked for the table. Returns how many batches that took.
fn until_the_writer_sleeps(buffer: &WriteBuffer, topics: &forebay::Producer, gate: &Gate) -> usize {
    while buffer.stats().commits_on_caller == 0 {
        topics.write(&(0, "x", 0)).unwrap();
    }
    gate.calls().len()
}

#[test]
fn a_lone_waiter_commits_its_own_row_on_its_own_thread() {
    let gate = Gate::open().commits_on_caller();
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    let before = until_the_writer_sleeps(&buffer, &topics, &gate);
    let here = std::thread::current().name().unwrap_or_default().to_owned();
    assert_eq!(gate.calls()[before - 1].thread, here);
    // Not when another row is there too, with a timeout, or from a future.
    topics.push(&(2, "x", 0)).unwrap();
    topics.write(&(3, "x", 0)).unwrap();
    topics.submit(&(4, "x", 0)).unwrap().wait_timeout(Duration::from_secs(60)).unwrap();
    futures::executor::block_on(topics.submit(&(5, "x", 0)).unwrap()).unwrap();
    assert_eq!(buffer.stats().commits_on_caller, 1);
    assert!(gate.calls()[before..].iter().all(|call| call.thread == "forebay-writer"));
}

#[test]
fn what_goes_wrong_on_the_waiters_thread_the_writer_puts_right() {
    let gate = Gate::open().commits_on_caller();
    let mut config = lingering();
    config.retry.delay = Duration::ZERO;
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    let before = until_the_writer_sleeps(&buffer, &topics, &gate);
    gate.fail(2, &SinkError::busy(Error::new(ErrorKind::Busy, "database locked")));
    topics.write(&(1, "x", 0)).unwrap();
    let calls = gate.calls().split_off(before);
    let threads: Vec<_> = calls.into_iter().map(|call| call.thread == "forebay-writer").collect();
    assert_eq!(threads, [false, true, true]);
    assert_eq!(buffer.stats().retries, 2);
}

#[test]
fn a_panic_on_the_waiters_thread_is_its_error_and_the_buffers_end() {
    let gate = Gate::open().commits_on_caller();
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    until_the_writer_sleeps(&buffer, &topics, &gate);
    gate.answer(|_| panic!("a bug"));
    let error = topics.write(&(1, "x", 0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown);
    assert!(format!("{error:#}").ends_with("the writer panicked: a bug"), "{error:#}");
    assert_eq!(topics.push(&(2, "x", 0)).unwrap_err().kind(), ErrorKind::Failed);
    assert_eq!(buffer.close().unwrap_err().kind(), ErrorKind::Failed);
}
