//! What makes a batch due, and that each trigger is counted.

use std::time::Duration;

use forebay::{Config, Producer, WriteBuffer};
use support::Gate;

const HOUR: Duration = Duration::from_secs(3_600);

fn buffer(gate: &Gate, config: Config) -> (WriteBuffer, Producer) {
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let topics = buffer.table("topics").upsert(["id"]).producer().unwrap();
    (buffer, topics)
}

fn push(topics: &Producer, ids: std::ops::Range<i64>) {
    for id in ids {
        topics.push(&(id, "running", 0)).unwrap();
    }
}

#[test]
fn the_classic_batch_sizes_commit_when_they_are_full() {
    for batch_size in [1, 10, 400] {
        let gate = Gate::open();
        let config = Config { batch_size, linger: HOUR, ..Config::default() };
        let (buffer, topics) = buffer(&gate, config);
        push(&topics, 0..batch_size as i64);
        gate.await_calls(1);
        assert_eq!(gate.ids(), [(0..batch_size as i64).collect::<Vec<_>>()]);
        assert_eq!(buffer.stats().triggers.count, 1);
    }
}

#[test]
fn one_row_less_than_the_batch_size_waits() {
    let gate = Gate::open();
    let (buffer, topics) =
        buffer(&gate, Config { batch_size: 10, linger: HOUR, ..Config::default() });
    push(&topics, 0..9);
    // The writer has been woken by the first row and has gone back to sleep: it answers an errand first.
    buffer.table("audit").insert().producer().unwrap();
    assert!(gate.calls().is_empty());
    push(&topics, 9..10);
    gate.await_calls(1);
}

#[test]
fn bytes_make_a_batch_due_and_limit_it() {
    let gate = Gate::open();
    let config =
        Config { max_batch_bytes: 4_096, batch_size: 4_000, linger: HOUR, ..Config::default() };
    let (buffer, topics) = buffer(&gate, config);
    let status = "x".repeat(1_000);
    for id in 0..5 {
        topics.push(&(id, &status, 0)).unwrap();
    }
    gate.await_calls(1);
    assert_eq!(gate.ids()[0], [0, 1, 2]);
    assert_eq!(buffer.stats().triggers.bytes, 1);
}

#[test]
fn linger_ends_the_wait_of_a_row_that_nobody_awaits() {
    let gate = Gate::open();
    let config = Config { linger: Duration::from_millis(1), ..Config::default() };
    let (buffer, topics) = buffer(&gate, config);
    push(&topics, 0..1);
    gate.await_calls(1);
    assert_eq!(buffer.stats().triggers.linger, 1);
}

#[test]
fn no_linger_commits_whatever_is_there() {
    let gate = Gate::open();
    let (buffer, topics) = buffer(&gate, Config { linger: Duration::ZERO, ..Config::default() });
    push(&topics, 0..1);
    gate.await_calls(1);
    assert_eq!(buffer.stats().triggers.linger, 1);
}

#[test]
fn a_row_that_somebody_awaits_does_not_linger_and_takes_the_others_along() {
    let gate = Gate::open();
    let (buffer, topics) = buffer(&gate, Config { linger: HOUR, ..Config::default() });
    push(&topics, 0..3);
    topics.write(&(3, "done", 0)).unwrap();
    assert_eq!(gate.ids(), [[0, 1, 2, 3]]);
    assert_eq!(buffer.stats().triggers.receipt, 1);
}

#[test]
fn a_receipt_that_nobody_awaits_triggers_nothing() {
    let gate = Gate::open();
    let (buffer, topics) = buffer(&gate, Config { linger: HOUR, ..Config::default() });
    let receipt = topics.submit(&(1, "running", 0)).unwrap();
    buffer.table("audit").insert().producer().unwrap();
    assert!(receipt.decided().is_none());
    assert!(gate.calls().is_empty());
}

#[test]
fn flush_and_close_are_triggers_of_their_own() {
    let gate = Gate::open();
    let (buffer, topics) = buffer(&gate, Config { linger: HOUR, ..Config::default() });
    push(&topics, 0..1);
    buffer.flush().unwrap();
    push(&topics, 1..2);
    buffer.close().unwrap();
    let triggers = buffer.stats().triggers;
    assert_eq!((triggers.flush, triggers.close), (1, 1));
}

#[test]
fn what_gathers_while_a_commit_runs_is_the_next_batch() {
    let gate = Gate::closed();
    let (buffer, topics) =
        buffer(&gate, Config { batch_size: 10, linger: HOUR, ..Config::default() });
    push(&topics, 0..10);
    gate.await_arrival();
    push(&topics, 10..35);
    gate.open_up();
    buffer.flush().unwrap();
    assert_eq!(gate.ids(), [(0..10).collect::<Vec<_>>(), (10..35).collect()]);
}

#[test]
fn a_backlog_is_cut_at_max_transaction_rows() {
    let gate = Gate::closed();
    let config =
        Config { batch_size: 10, max_transaction_rows: 20, linger: HOUR, ..Config::default() };
    let (buffer, topics) = buffer(&gate, config);
    push(&topics, 0..10);
    gate.await_arrival();
    push(&topics, 10..60);
    gate.open_up();
    buffer.flush().unwrap();
    let lengths: Vec<_> = gate.ids().iter().map(Vec::len).collect();
    assert_eq!(lengths, [10, 20, 20, 10]);
}
