//! Coalescing loses nothing, whatever the database refuses.

use support::{Database, on_both_sinks};

on_both_sinks!(
    what_came_after_a_refused_row_is_not_overwritten_by_what_came_before,
    rows_whose_key_is_null_are_never_merged,
    a_refused_newest_row_leaves_the_table_as_if_nothing_had_been_merged,
);

fn what_came_after_a_refused_row_is_not_overwritten_by_what_came_before<D: Database>() {
    let database = D::new("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT NOT NULL)");
    let buffer = database.buffer();
    let merged = buffer.table("t").upsert(["id"]).coalesce().producer().unwrap();
    let other = buffer.table("t").upsert(["id"]).producer().unwrap();
    let gone = buffer.table("t").delete(["id"]).producer().unwrap();
    for id in [1, 2] {
        merged.push(&(id, Some("old"))).unwrap();
        merged.push(&(id, None::<&str>)).unwrap();
    }
    other.push(&(1, "newest")).unwrap();
    gone.push(&(2,)).unwrap();
    merged.push(&(3, Some("a"))).unwrap();
    merged.push(&(3, Some("b"))).unwrap();
    let group = buffer.group(|group| {
        group.add(&merged, &(3, Some("c")))?;
        group.add(&merged, &(4, None::<&str>))
    });
    assert!(group.unwrap().wait().is_err());
    let rows = database.column::<String>("SELECT id || name FROM t ORDER BY id");
    assert_eq!(rows, ["1newest", "3b"]);
}

fn rows_whose_key_is_null_are_never_merged<D: Database>() {
    let database = D::new("CREATE TABLE t(id INTEGER UNIQUE, n INTEGER)");
    let buffer = database.buffer();
    let t = buffer.table("t").upsert(["id"]).coalesce().producer().unwrap();
    for n in 0..3 {
        t.push(&(None::<i64>, n)).unwrap();
    }
    buffer.close().unwrap();
    assert_eq!(database.column::<i64>("SELECT n FROM t ORDER BY n"), [0, 1, 2]);
}

fn a_refused_newest_row_leaves_the_table_as_if_nothing_had_been_merged<D: Database>() {
    let database = D::new("CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER CHECK (n < 100))");
    let buffer = database.buffer();
    let t = buffer.table("t").upsert(["id"]).coalesce().producer().unwrap();
    for (id, n) in [(1, 1), (2, 1), (1, 2), (1, 200), (2, 2)] {
        t.push(&(id, n)).unwrap();
    }
    buffer.close().unwrap();
    assert_eq!(database.column::<i64>("SELECT n FROM t ORDER BY id"), [2, 2]);
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.superseded, stats.rejected), (4, 0, 1));
}
