//! Flush is a barrier: everything accepted before it is decided when it returns.

use std::time::Duration;

use forebay::{Config, Error, ErrorKind, SinkError, WriteBuffer};
use support::Gate;

fn lingering() -> Config {
    Config { linger: Duration::from_secs(3_600), ..Config::default() }
}

#[test]
fn flush_returns_when_everything_before_it_is_decided() {
    let gate = Gate::closed();
    let buffer =
        WriteBuffer::with_sink(gate.sink(), Config { batch_size: 2, ..lingering() }).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    let receipts: Vec<_> = (0..5).map(|id| topics.submit(&(id, "x", 0)).unwrap()).collect();
    std::thread::scope(|scope| {
        let flushed = scope.spawn(|| buffer.flush());
        gate.await_arrival();
        assert!(!flushed.is_finished());
        gate.open_up();
        flushed.join().unwrap().unwrap();
    });
    assert!(receipts.iter().all(|receipt| matches!(receipt.decided(), Some(Ok(())))));
}

#[test]
fn flush_of_nothing_returns_at_once() {
    let gate = Gate::closed();
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    buffer.flush().unwrap();
    buffer.flush().unwrap();
    assert!(gate.calls().is_empty());
}

#[test]
fn flush_waits_for_a_batch_that_is_being_written() {
    let gate = Gate::closed();
    let buffer =
        WriteBuffer::with_sink(gate.sink(), Config { batch_size: 1, ..lingering() }).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.push(&(1, "x", 0)).unwrap();
    gate.await_arrival();
    let mut flushed = Box::pin(buffer.flush_async());
    assert!(futures::FutureExt::now_or_never(&mut flushed).is_none());
    gate.open_up();
    futures::executor::block_on(flushed).unwrap();
    assert_eq!(buffer.stats().committed, 1);
}

#[test]
fn dead_letters_have_been_delivered_when_flush_returns() {
    let gate = Gate::open();
    gate.fail(1, &SinkError::unknown(Error::new(ErrorKind::Unavailable, "cut")));
    let letters = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&letters);
    let buffer = WriteBuffer::builder_with_sink(gate.sink())
        .config(lingering())
        .on_reject(move |letter| seen.lock().push(letter.error.kind()))
        .open()
        .unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.push(&(1, "x", 0)).unwrap();
    buffer.flush().unwrap();
    assert_eq!(*letters.lock(), [ErrorKind::Unknown]);
}

#[test]
fn flush_says_so_when_the_buffer_has_failed() {
    let gate = Gate::open();
    gate.fail(1, &SinkError::fatal(Error::new(ErrorKind::Corrupt, "the file is damaged")));
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.push(&(1, "x", 0)).unwrap();
    let error = buffer.flush().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert_eq!(
        format!("{error:#}"),
        "the buffer for gate failed and accepts nothing: the file is damaged"
    );
}

#[test]
fn a_batch_that_fills_while_its_first_row_lingers_is_due_at_once() {
    let gate = Gate::open();
    let buffer =
        WriteBuffer::with_sink(gate.sink(), Config { batch_size: 5, ..lingering() }).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    // Often, for the writer must have gone back to sleep by the time that the others come.
    for batch in 1..=200 {
        topics.push(&(0, "x", 0)).unwrap();
        buffer.describe("topics").unwrap();
        (1..5).for_each(|id| topics.push(&(id, "x", 0)).unwrap());
        gate.await_calls(batch);
    }
    assert_eq!(buffer.stats().triggers.count, 200);
}
