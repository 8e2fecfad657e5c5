//! What a producer meets when the buffer is full, and that its memory is bounded.

use std::time::Duration;

use forebay::{Config, ErrorKind, Producer, WriteBuffer};
use futures::FutureExt;
use support::Gate;

/// A buffer that holds a few rows of a kilobyte.
fn small(gate: &Gate) -> (WriteBuffer, Producer) {
    let config = Config {
        batch_size: 1,
        max_transaction_rows: 20,
        max_buffer_bytes: 16 * 1_024,
        max_batch_bytes: 4_096,
        max_row_bytes: 4_096,
        linger: Duration::ZERO,
        ..Config::default()
    };
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let topics = buffer.table("topics").upsert(["id"]).producer().unwrap();
    (buffer, topics)
}

fn kilobyte() -> String {
    "x".repeat(1_000)
}

/// Fills the buffer behind a batch that is held at the gate. Returns how many rows it has accepted.
fn fill(gate: &Gate, topics: &Producer) -> i64 {
    topics.push(&(0, kilobyte(), 0)).unwrap();
    gate.await_arrival();
    let mut accepted = 1;
    while topics.try_push(&(accepted, kilobyte(), 0)).is_ok() {
        accepted += 1;
    }
    accepted
}

#[test]
fn try_push_says_full_and_loses_nothing_else() {
    let gate = Gate::closed();
    let (buffer, topics) = small(&gate);
    let accepted = fill(&gate, &topics);
    let error = topics.try_push(&(99, kilobyte(), 0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full);
    assert_eq!(error.to_string(), "the buffer for gate is full: the row was not accepted");
    gate.open_up();
    buffer.close().unwrap();
    assert_eq!(gate.written().len() as i64, accepted);
    assert_eq!(buffer.stats().accepted as i64, accepted);
}

#[test]
fn push_timeout_gives_up_and_its_row_is_not_written() {
    let gate = Gate::closed();
    let (buffer, topics) = small(&gate);
    let accepted = fill(&gate, &topics);
    let timeout = Duration::from_millis(1);
    let error = topics.push_timeout(&(99, kilobyte(), 0), timeout).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    gate.open_up();
    buffer.close().unwrap();
    assert_eq!(gate.written().len() as i64, accepted);
}

#[test]
fn push_blocks_until_there_is_room() {
    let gate = Gate::closed();
    let (buffer, topics) = small(&gate);
    let accepted = fill(&gate, &topics);
    std::thread::scope(|scope| {
        for extra in 0..20 {
            let topics = &topics;
            scope.spawn(move || topics.push(&(accepted + extra, kilobyte(), 0)).unwrap());
        }
        while buffer.stats().full == 0 {
            std::thread::yield_now();
        }
        gate.open_up();
    });
    buffer.close().unwrap();
    assert_eq!(gate.written().len() as i64, accepted + 20);
}

#[test]
fn push_async_waits_without_blocking_and_takes_its_row_back_when_dropped() {
    let gate = Gate::closed();
    let (buffer, topics) = small(&gate);
    let accepted = fill(&gate, &topics);
    let mut kept = Box::pin(topics.push_async(&(accepted, kilobyte(), 0)));
    let mut dropped = Box::pin(topics.push_async(&(99, kilobyte(), 0)));
    assert!((&mut kept).now_or_never().is_none());
    assert!((&mut dropped).now_or_never().is_none());
    drop(dropped);
    gate.open_up();
    futures::executor::block_on(kept).unwrap();
    buffer.close().unwrap();
    let mut ids: Vec<_> = gate.ids().concat();
    ids.sort_unstable();
    assert_eq!(ids, (0..=accepted).collect::<Vec<_>>());
}

#[test]
fn the_memory_for_rows_stays_within_its_limit() {
    let gate = Gate::closed();
    let (buffer, topics) = small(&gate);
    fill(&gate, &topics);
    let stats = buffer.stats();
    assert!(stats.buffer_bytes <= 16 * 1_024, "{} bytes", stats.buffer_bytes);
    assert!(
        stats.buffer_bytes > 8 * 1_024,
        "the limit was not even approached: {}",
        stats.buffer_bytes
    );
    gate.open_up();
}

#[test]
fn a_row_or_group_beyond_max_row_bytes_is_refused_with_the_limit() {
    let gate = Gate::open();
    let (buffer, topics) = small(&gate);
    let error = topics.push(&(1, "x".repeat(5_000), 0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(
        error.to_string(),
        "a row for topics is 5031 bytes long, more than max_row_bytes, which is 4096: raise that, or keep \
         large values elsewhere"
    );
    let error = buffer
        .group(|group| (0..5).try_for_each(|id| group.add(&topics, &(id, kilobyte(), 0))))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(buffer.stats().accepted, 0);
}

#[test]
fn a_blocked_push_ends_when_the_buffer_closes() {
    let gate = Gate::closed();
    let (buffer, topics) = small(&gate);
    fill(&gate, &topics);
    std::thread::scope(|scope| {
        let blocked = scope.spawn(|| topics.push(&(99, kilobyte(), 0)));
        while buffer.stats().full < 2 {
            std::thread::yield_now();
        }
        let closing = scope.spawn(|| buffer.close());
        assert_eq!(blocked.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
        gate.open_up();
        closing.join().unwrap().unwrap();
    });
    assert!(!gate.ids().concat().contains(&99));
}
