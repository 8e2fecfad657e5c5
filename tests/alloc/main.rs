//! What a push allocates: nothing, once it is warm. The counter counts the calling thread alone; what the writer's
//! thread allocates is counted in `tests/instructions`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

use std::collections::BTreeMap;
use std::time::Duration;

use allocation_counter::measure;
use forebay::{
    Applied, Batch, Config, Error, Producer, Sink, SinkError, StatementInfo, TableInfo, WriteBuffer,
};
use serde::Serialize;
use support::Gate;

#[derive(Serialize)]
struct Topic<'a> {
    id: i64,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<i64>,
}

const ROWS: i64 = 10_000;

/// Pushes until the scratch memory and both segments have the size that they will need.
fn warm_up(buffer: &WriteBuffer, push: impl Fn(i64)) {
    for _ in 0..3 {
        (0..2 * ROWS).for_each(&push);
        buffer.flush().unwrap();
    }
}

fn open(gate: &Gate) -> (WriteBuffer, Producer) {
    let config =
        Config { batch_size: 1_000_000, linger: Duration::from_secs(3_600), ..Config::default() };
    // Many rows fit the buffer and none makes a batch due: the count is the producer's alone.
    let config = Config { max_transaction_rows: 1_000_000, max_buffer_bytes: 1 << 30, ..config };
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let topics = buffer.table("topics").upsert(["id"]).producer().unwrap();
    (buffer, topics)
}

#[test]
fn a_push_of_a_struct_allocates_nothing() {
    let gate = Gate::open();
    let (buffer, topics) = open(&gate);
    let push = |id: i64| {
        let at = (id % 2 == 0).then_some(id);
        topics.push(&Topic { id, status: "running with some text", at }).unwrap();
    };
    warm_up(&buffer, push);
    let counted = measure(|| (0..ROWS).for_each(push));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

#[test]
fn a_push_of_a_tuple_or_a_map_allocates_nothing() {
    let gate = Gate::open();
    let (buffer, topics) = open(&gate);
    let maps: Vec<_> =
        (0..100_i64).map(|id| BTreeMap::from([("status", id), ("id", id), ("at", id)])).collect();
    let push = |id: i64| {
        topics.push(&(id, "running", id)).unwrap();
        topics.push(&maps[(id % 100) as usize]).unwrap();
    };
    warm_up(&buffer, push);
    let counted = measure(|| (0..ROWS).for_each(push));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

#[test]
fn a_submit_allocates_nothing_either() {
    let gate = Gate::open();
    let (buffer, topics) = open(&gate);
    let mut receipts = Vec::with_capacity(ROWS as usize);
    let submit_all = |receipts: &mut Vec<_>| {
        (0..ROWS).for_each(|id| receipts.push(topics.submit(&(id, "running", id)).unwrap()));
    };
    for _ in 0..3 {
        submit_all(&mut receipts);
        buffer.flush().unwrap();
        receipts.clear();
    }
    let counted = measure(|| submit_all(&mut receipts));
    assert_eq!(counted.count_total, 0, "{counted:?}");
    buffer.flush().unwrap();
}

/// Takes everything at once and keeps nothing; a thread that waits for its row commits it.
struct Nowhere;

impl Sink for Nowhere {
    fn describe(&mut self, table: &str) -> Result<TableInfo, Error> {
        Ok(TableInfo::new(table).column("id").column("status").unique(["id"]))
    }

    fn prepare(&mut self, _: &str) -> Result<StatementInfo, Error> {
        Ok(StatementInfo::default())
    }

    fn apply(&mut self, _: &Batch<'_>) -> Result<Applied, SinkError> {
        Ok(Applied { transactions: 1, ..Applied::default() })
    }

    fn commits_on_caller(&self) -> bool {
        true
    }
}

#[test]
fn a_write_that_its_caller_commits_allocates_once_at_most() {
    let config = Config { linger: Duration::from_secs(3_600), ..Config::default() };
    let buffer = WriteBuffer::with_sink(Nowhere, config).unwrap();
    let topics = buffer.table("topics").upsert(["id"]).producer().unwrap();
    let write = |id: i64| topics.write(&(id, "running")).unwrap();
    (0..ROWS).for_each(write);
    // The writer has the sink at first. Once a row was all there is, each is.
    while buffer.stats().commits_on_caller == 0 {
        write(0);
    }
    let warm = buffer.stats().commits_on_caller;
    let counted = measure(|| (0..ROWS).for_each(write));
    // For each batch: whoever may have to decide its rows without the holder of the sink shares the segment with him.
    assert!(counted.count_total <= ROWS as u64, "{counted:?}");
    assert_eq!(buffer.stats().commits_on_caller - warm, ROWS as u64);
}

/// The counter counts: without this the others could pass by counting nothing.
#[test]
fn the_counter_sees_an_allocation() {
    assert_eq!(measure(|| drop(Box::new(1))).count_total, 1);
}
