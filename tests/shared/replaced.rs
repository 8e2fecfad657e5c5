//! Rows whose key a newer row of their batch has: what they may do, and how they count.
//!
//! A sink may leave such a row out where that does not show in the table. It counts as committed like the newer row, whose values are there.
//! What it does not promise is that the row would have been accepted: one that the database would refuse is rejected where the sink has tried it, and
//! committed where it has not.

use support::{Database, on_both_sinks};

use crate::refused;

on_both_sinks!(
    rows_with_a_newer_one_in_their_batch_are_committed_and_neither_superseded_nor_unchanged,
    a_bad_row_with_a_newer_one_in_its_batch_never_shows_whether_it_is_tried_or_not,
    a_row_that_only_a_group_replaces_is_there_when_the_group_is_refused,
);

const TABLE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v INTEGER CHECK (v < 100))";

fn rows_with_a_newer_one_in_their_batch_are_committed_and_neither_superseded_nor_unchanged<
    D: Database,
>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    let receipts: Vec<_> = (0..30).map(|v| t.submit(&(v % 3, v)).unwrap()).collect();
    buffer.flush().unwrap();
    assert!(refused(&receipts).is_empty());
    assert_eq!(database.column::<i64>("SELECT v FROM t ORDER BY id"), [27, 28, 29]);
    let stats = buffer.stats();
    assert_eq!((stats.accepted, stats.committed), (30, 30));
    assert_eq!((stats.superseded, stats.unchanged, stats.transactions), (0, 0, 1));
}

fn a_bad_row_with_a_newer_one_in_its_batch_never_shows_whether_it_is_tried_or_not<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    // The first two rows of the key 1 are replaced; the first of them is bad.
    let write = |values: [i64; 3], other: i64| {
        let mut receipts: Vec<_> = values.map(|v| t.submit(&(1, v)).unwrap()).into();
        receipts.push(t.submit(&(2, other)).unwrap());
        buffer.flush().unwrap();
        refused(&receipts)
    };
    assert_eq!(write([200, 1, 2], 3), D::either(vec![0], vec![]));
    assert_eq!(database.column::<i64>("SELECT v FROM t ORDER BY id"), [2, 3]);
    // Whenever a row is refused all of its batch are tried, each for itself.
    assert_eq!(write([200, 4, 5], 200), [0, 3]);
    assert_eq!(database.column::<i64>("SELECT v FROM t ORDER BY id"), [5, 3]);
    assert_eq!(write([6, 7, 200], 8), [2], "a newest row that is bad replaces nothing");
    assert_eq!(database.column::<i64>("SELECT v FROM t ORDER BY id"), [7, 8]);
}

fn a_row_that_only_a_group_replaces_is_there_when_the_group_is_refused<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    let single = t.submit(&(1, 1)).unwrap();
    let group = buffer.group(|group| {
        group.add(&t, &(1, 2))?;
        group.add(&t, &(2, 200))
    });
    buffer.flush().unwrap();
    assert_eq!(refused(&[single, group.unwrap()]), [1]);
    assert_eq!(database.column::<i64>("SELECT v FROM t"), [1]);
}
