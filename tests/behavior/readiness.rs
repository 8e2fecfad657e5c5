//! Readiness: yes while rows are written, and otherwise why not, without waiting.

use std::error::Error as _;
use std::time::Duration;

use forebay::{Config, Error, ErrorKind, Producer, Retry, SinkError, WriteBuffer};
use support::Gate;

const HOUR: Duration = Duration::from_secs(3_600);

/// A buffer that writes whatever is there at once.
fn open(gate: &Gate) -> (WriteBuffer, Producer) {
    let retry = Retry { pause: Duration::from_millis(1), ..Retry::default() };
    let config = Config { linger: Duration::ZERO, retry, ..Config::default() };
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    (buffer, topics)
}

fn full() -> SinkError {
    SinkError::down(Error::new(ErrorKind::Unavailable, "the disk is full").with_code(13))
}

#[test]
fn a_buffer_with_nothing_to_write_is_ready() {
    let (buffer, topics) = open(&Gate::open());
    buffer.ready(Duration::ZERO).unwrap();
    topics.push(&(1, "x", 0)).unwrap();
    buffer.flush().unwrap();
    buffer.ready(Duration::ZERO).unwrap();
    assert_eq!(buffer.stats().oldest_pending, None);
    assert_eq!(buffer.health().to_string(), "running");
}

#[test]
fn a_row_that_waits_too_long_for_its_commit_makes_the_buffer_unready() {
    let gate = Gate::closed();
    let (buffer, topics) = open(&gate);
    topics.push(&(1, "x", 0)).unwrap();
    gate.await_arrival();
    topics.push(&(2, "x", 0)).unwrap();
    let error = buffer.ready(Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let text = error.to_string();
    assert!(text.starts_with("the oldest of 2 rows for gate has waited for "), "{text}");
    assert!(text.contains("longer than 0ns: see whether somebody holds the database's lock"));
    assert_eq!(buffer.health().to_string(), "running", "to wait is not to be down");
    buffer.ready(HOUR).unwrap();

    let young = buffer.stats().oldest_pending.unwrap();
    while buffer.stats().oldest_pending.unwrap() <= young {
        std::thread::yield_now();
    }
    gate.open_up();
    buffer.flush().unwrap();
    buffer.ready(Duration::ZERO).unwrap();
}

#[test]
fn a_row_that_only_lingers_has_an_age_too() {
    let config = Config { linger: HOUR, ..Config::default() };
    let buffer = WriteBuffer::with_sink(Gate::open().sink(), config).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.push(&(1, "x", 0)).unwrap();
    assert!(buffer.stats().oldest_pending.is_some());
    buffer.ready(HOUR).unwrap();
}

#[test]
fn a_paused_buffer_is_unready_for_the_reason_of_its_pause_and_ready_again_after_it() {
    let gate = Gate::closed();
    gate.fail(1, &full());
    let (buffer, topics) = open(&gate);
    topics.push(&(1, "x", 0)).unwrap();
    gate.pass(1);
    gate.await_calls(1);
    gate.await_arrival();
    let error = buffer.ready(HOUR).unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, Some(13)));
    assert_eq!(error.to_string(), "writing to gate is paused, 1 row kept and tried again");
    assert_eq!(error.source().unwrap().to_string(), "the disk is full");
    assert_eq!(buffer.health().to_string(), "paused: the disk is full");

    gate.open_up();
    buffer.flush().unwrap();
    buffer.ready(Duration::ZERO).unwrap();
}

#[test]
fn a_failed_buffer_is_unready_with_its_cause() {
    let gate = Gate::open();
    gate.fail(1, &SinkError::fatal(Error::new(ErrorKind::Corrupt, "the file is damaged")));
    let (buffer, topics) = open(&gate);
    topics.write(&(1, "x", 0)).unwrap_err();
    let error = buffer.ready(HOUR).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert!(format!("{error:#}").ends_with(": the file is damaged"), "{error:#}");
    assert_eq!(buffer.health().to_string(), format!("failed: {error:#}"));
    assert_eq!(buffer.stats().oldest_pending, None);
}

#[test]
fn a_buffer_is_unready_from_the_moment_that_it_begins_to_close() {
    let gate = Gate::closed();
    let (buffer, topics) = open(&gate);
    topics.push(&(1, "x", 0)).unwrap();
    gate.await_arrival();
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| buffer.close());
        while topics.try_push(&(2, "x", 0)).is_ok() {
            std::thread::yield_now();
        }
        assert_eq!(buffer.ready(HOUR).unwrap_err().kind(), ErrorKind::Closed);
        gate.open_up();
        closing.join().unwrap().unwrap();
    });
    assert_eq!(buffer.ready(HOUR).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(buffer.health().to_string(), "closed");
}
