//! Of rows with one key the newest is written, in its own place, and nothing is lost by it.

use std::time::Duration;

use forebay::{
    Applied, Config, Error, ErrorKind, Producer, Rejection, SinkError, Value, WriteBuffer,
};
use support::Gate;

fn buffer(gate: &Gate) -> (WriteBuffer, Producer) {
    let config = Config { linger: Duration::from_secs(3_600), ..Config::default() };
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let topics = buffer.table("topics").upsert(["id"]).coalesce().producer().unwrap();
    (buffer, topics)
}

#[test]
fn the_newest_row_of_a_key_stays_in_its_own_place() {
    let gate = Gate::open();
    let (buffer, topics) = buffer(&gate);
    for (id, status) in [(1, "a"), (2, "a"), (1, "b"), (3, "a"), (2, "b"), (1, "c")] {
        topics.push(&(id, status, 0)).unwrap();
    }
    buffer.flush().unwrap();
    let rows: Vec<_> =
        gate.written().into_iter().map(|row| (row.id(), row.values[1].clone())).collect();
    let text = |text: &str| Value::Text(text.to_owned());
    assert_eq!(rows, [(3, text("a")), (2, text("b")), (1, text("c"))]);
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.superseded), (3, 3));
}

#[test]
fn a_batch_of_few_keys_takes_any_number_of_updates() {
    let gate = Gate::closed();
    let (buffer, topics) = buffer(&gate);
    topics.push(&(-1, "first", 0)).unwrap();
    let flushed = std::thread::scope(|scope| {
        let flushed = scope.spawn(|| buffer.flush());
        gate.await_arrival();
        for step in 0..50_000_i64 {
            topics.push(&(step % 400, "running", step)).unwrap();
        }
        gate.open_up();
        flushed.join().unwrap()
    });
    flushed.unwrap();
    buffer.close().unwrap();
    let last = &gate.ids()[gate.ids().len() - 1];
    assert!(gate.calls().len() <= 3);
    assert_eq!(last.len(), 400);
    assert_eq!(buffer.stats().superseded, 50_000 - 400);
    for row in gate.written().iter().skip(1) {
        let Value::Integer(step) = row.values[2] else { panic!("{row:?}") };
        assert!(step >= 50_000 - 400, "an older row was written last: {row:?}");
    }
}

#[test]
fn a_superseded_row_is_acknowledged_with_the_row_that_superseded_it() {
    let gate = Gate::closed();
    let (_buffer, topics) = buffer(&gate);
    let older = topics.submit(&(1, "a", 0)).unwrap();
    let newer = topics.submit(&(1, "b", 0)).unwrap();
    std::thread::scope(|scope| {
        let waited = scope.spawn(|| newer.wait());
        gate.await_arrival();
        assert!(older.decided().is_none());
        gate.open_up();
        waited.join().unwrap().unwrap();
    });
    older.wait().unwrap();
}

#[test]
fn any_other_row_ends_the_stretch() {
    let gate = Gate::open();
    let (buffer, topics) = buffer(&gate);
    let audit = buffer.table("audit").insert().producer().unwrap();
    topics.push(&(1, "a", 0)).unwrap();
    audit.push(&(100,)).unwrap();
    topics.push(&(1, "b", 0)).unwrap();
    let in_group = buffer.group(|group| group.add(&topics, &(1, "c", 0))).unwrap();
    topics.push(&(1, "d", 0)).unwrap();
    topics.push(&(1, "e", 0)).unwrap();
    in_group.wait().unwrap();
    // A group of one row is a row like any other.
    assert_eq!(gate.ids(), [[1, 100, 1]]);
    assert_eq!(buffer.stats().superseded, 3);
}

#[test]
fn a_group_of_several_rows_is_never_merged() {
    let gate = Gate::open();
    let (buffer, topics) = buffer(&gate);
    topics.push(&(1, "a", 0)).unwrap();
    let group = buffer
        .group(|group| {
            group.add(&topics, &(1, "b", 0))?;
            group.add(&topics, &(1, "c", 0))
        })
        .unwrap();
    topics.push(&(1, "d", 0)).unwrap();
    group.wait().unwrap();
    assert_eq!(gate.ids(), [[1, 1, 1, 1]]);
}

#[test]
fn when_a_row_of_a_merged_batch_is_refused_the_batch_is_written_again_unmerged() {
    let gate = Gate::open();
    gate.answer(|batch| {
        assert!(batch.is_merged());
        Err(SinkError::unmerge(Error::new(ErrorKind::Rejected, "no")))
    });
    gate.answer(|batch| {
        assert!(!batch.is_merged());
        let error = Error::new(ErrorKind::Rejected, "no");
        Ok(Applied { rejected: vec![Rejection { row: 3, error }], transactions: 1, unchanged: 0 })
    });
    let (buffer, topics) = buffer(&gate);
    let first = topics.submit(&(1, "a", 0)).unwrap();
    let second = topics.submit(&(1, "b", 0)).unwrap();
    topics.push(&(2, "a", 0)).unwrap();
    let newest = topics.submit(&(1, "c", 0)).unwrap();
    assert_eq!(newest.wait().unwrap_err().kind(), ErrorKind::Rejected);
    first.wait().unwrap();
    second.wait().unwrap();
    assert_eq!(gate.ids(), [[1, 1, 2, 1]]);
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.superseded, stats.rejected), (3, 0, 1));
}
