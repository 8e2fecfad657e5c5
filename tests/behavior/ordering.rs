//! Rows reach the database in the order in which they were accepted, whatever their producer.

use std::time::Duration;

use forebay::{Config, WriteBuffer};
use support::{Gate, Scratch, Written};

#[test]
fn producers_of_one_buffer_keep_their_order() {
    let gate = Gate::open();
    let buffer = WriteBuffer::with_sink(gate.sink(), Config::default()).unwrap();
    let topics = buffer.table("topics").upsert(["id"]).producer().unwrap();
    let inserts = buffer.table("topics").insert().producer().unwrap();
    let audit = buffer.statement("INSERT INTO audit VALUES (:what)").unwrap();
    for id in 0..300_i64 {
        match id % 3 {
            0 => topics.push(&(id, "a", 0)).unwrap(),
            1 => inserts.push(&(id, "b", 0)).unwrap(),
            _ => audit.push(&(id,)).unwrap(),
        }
    }
    buffer.close().unwrap();
    let ids: Vec<_> = gate.written().iter().map(Written::id).collect();
    assert_eq!(ids, (0..300).collect::<Vec<_>>());
}

#[test]
fn eighty_threads_each_see_their_own_rows_in_order() {
    let gate = Gate::open();
    let config = Config { batch_size: 10, linger: Duration::ZERO, ..Config::default() };
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let topics = buffer.table("topics").upsert(["id"]).producer().unwrap();
    std::thread::scope(|scope| {
        for worker in 0..80_i64 {
            let topics = topics.clone();
            scope.spawn(move || {
                for step in 0..100_i64 {
                    topics.push(&(worker * 1_000 + step, "running", 0)).unwrap();
                }
            });
        }
    });
    buffer.close().unwrap();
    let ids: Vec<_> = gate.written().iter().map(Written::id).collect();
    assert_eq!(ids.len(), 8_000);
    for worker in 0..80 {
        let own: Vec<_> =
            ids.iter().filter(|id| *id / 1_000 == worker).map(|id| id % 1_000).collect();
        assert_eq!(own, (0..100).collect::<Vec<_>>());
    }
}

#[test]
fn unordered_sorts_a_batch_by_key_and_keeps_the_order_of_equal_keys() {
    let gate = Gate::open();
    let config = Config { linger: Duration::from_secs(3_600), ..Config::default() };
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let topics = buffer.table("topics").upsert(["id"]).unordered().producer().unwrap();
    for (id, at) in [(5, 0), (-3, 1), (9, 2), (5, 3), (0, 4), (5, 5)] {
        topics.push(&(id, "x", at)).unwrap();
    }
    buffer.close().unwrap();
    let keys: Vec<_> =
        gate.written().into_iter().map(|row| (row.id(), row.values[2].clone())).collect();
    let expected = [(-3, 1), (0, 4), (5, 0), (5, 3), (5, 5), (9, 2)];
    assert_eq!(keys, expected.map(|(id, at)| (id, forebay::Value::Integer(at))));
}

#[test]
fn unordered_rows_do_not_cross_rows_of_others_or_groups() {
    let gate = Gate::open();
    let config = Config { linger: Duration::from_secs(3_600), ..Config::default() };
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let topics = buffer.table("topics").upsert(["id"]).unordered().producer().unwrap();
    let ordered = buffer.table("topics").insert().producer().unwrap();
    topics.push(&(9, "x", 0)).unwrap();
    topics.push(&(8, "x", 0)).unwrap();
    ordered.push(&(100, "x", 0)).unwrap();
    topics.push(&(7, "x", 0)).unwrap();
    let grouped = buffer.group(|group| {
        group.add(&topics, &(6, "x", 0))?;
        group.add(&topics, &(5, "x", 0))
    });
    topics.push(&(4, "x", 0)).unwrap();
    topics.push(&(3, "x", 0)).unwrap();
    grouped.unwrap().wait().unwrap();
    assert_eq!(gate.ids(), [[8, 9, 100, 7, 6, 5, 3, 4]]);
    assert_eq!(gate.calls()[0].units, [1, 1, 1, 1, 2, 1, 1]);
}

#[test]
fn unordered_rows_that_the_database_takes_for_one_keep_their_order() {
    let scratch = Scratch::new(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER);
         CREATE TABLE words(word TEXT COLLATE NOCASE UNIQUE, n INTEGER);",
    );
    let buffer = scratch.buffer();
    let t = buffer.table("t").upsert(["id"]).unordered().producer().unwrap();
    t.push(&("1", 1)).unwrap();
    t.push(&(1, 2)).unwrap();
    t.push(&(0, 3)).unwrap();
    t.push(&("0", 4)).unwrap();
    buffer.flush().unwrap();
    assert_eq!(scratch.column::<i64>("SELECT n FROM t ORDER BY id"), [4, 2]);
    let error = buffer.table("words").upsert(["word"]).unordered().producer().unwrap_err();
    assert!(error.to_string().contains("BINARY"), "{error}");
}
