//! With `newest_by` an older row never overwrites a newer one, in whatever order they come.

use forebay::{ErrorKind, Producer, WriteBuffer};
use serde::Serialize;
use serde_json::json;
use support::{Database, on_both_sinks};

/// Versions of one row: `at` says how new each is, `v` which it is.
struct Versions<D> {
    database: D,
    buffer: WriteBuffer,
    t: Producer,
}

#[derive(Serialize)]
struct Version<T> {
    id: i64,
    at: T,
    v: i64,
}

impl<D: Database> Versions<D> {
    /// `at` is declared as the given type.
    fn of(declared: &str) -> Self {
        Self::made(declared, false)
    }

    fn coalesced(declared: &str) -> Self {
        Self::made(declared, true)
    }

    fn made(declared: &str, coalesce: bool) -> Self {
        let database =
            D::new(&format!("CREATE TABLE t(id INTEGER PRIMARY KEY, at {declared}, v INTEGER)"));
        let buffer = database.buffer();
        let upsert = buffer.table("t").upsert(["id"]).newest_by("at");
        let t = if coalesce { upsert.coalesce() } else { upsert }.producer().unwrap();
        Self { database, buffer, t }
    }

    fn push<T: Serialize>(&self, at: T, v: i64) {
        self.t.push(&Version { id: 1, at, v }).unwrap();
    }

    /// The version that is in the table, after one more commit.
    fn stored(&self) -> i64 {
        self.buffer.flush().unwrap();
        self.database.value("SELECT v FROM t WHERE id = 1")
    }
}

on_both_sinks!(
    an_older_row_never_overwrites_a_newer_one,
    a_tie_overwrites,
    a_stored_null_is_oldest_and_a_pushed_one_overwrites_nothing_newer,
    numbers_of_both_kinds_are_compared_as_numbers,
    text_is_compared_as_text,
    a_value_of_another_type_is_refused_at_the_push,
    rows_that_were_too_old_are_counted_as_unchanged,
    rows_that_were_too_old_are_counted_in_large_statements_too,
    coalesced_integers_merge_and_the_newest_wins,
    coalesced_rows_in_order_are_one_row_in_the_end,
    coalesced_text_reals_and_nulls_are_left_to_the_database,
);

fn an_older_row_never_overwrites_a_newer_one<D: Database>() {
    let versions = Versions::<D>::of("INTEGER");
    versions.push(20, 1);
    assert_eq!(versions.stored(), 1);
    versions.push(10, 2);
    assert_eq!(versions.stored(), 1);
    versions.push(30, 3);
    assert_eq!(versions.stored(), 3);
    for at in [29, 31, 5, 30, i64::MIN] {
        versions.push(at, at);
    }
    assert_eq!(versions.stored(), 31, "also within one batch");
    versions.push(i64::MAX, 4);
    versions.push(i64::MIN, 5);
    assert_eq!(versions.stored(), 4);
}

fn a_tie_overwrites<D: Database>() {
    let versions = Versions::<D>::of("INTEGER");
    versions.push(20, 1);
    versions.push(20, 2);
    assert_eq!(versions.stored(), 2);
    versions.push(20, 3);
    assert_eq!(versions.stored(), 3);
}

fn a_stored_null_is_oldest_and_a_pushed_one_overwrites_nothing_newer<D: Database>() {
    let versions = Versions::<D>::of("INTEGER");
    versions.push(None::<i64>, 1);
    assert_eq!(versions.stored(), 1);
    versions.push(None::<i64>, 2);
    assert_eq!(versions.stored(), 2, "NULL meets NULL");
    versions.push(Some(i64::MIN), 3);
    assert_eq!(versions.stored(), 3);
    versions.push(None::<i64>, 4);
    assert_eq!(versions.stored(), 3);
}

fn numbers_of_both_kinds_are_compared_as_numbers<D: Database>() {
    // In SQLite every column but one of text or of nothing takes numbers of both kinds.
    let sqlite: &[_] = &["INTEGER", "REAL", "NUMERIC", "TIMESTAMP"];
    for declared in D::either(sqlite, &["REAL", "NUMERIC"]) {
        let versions = Versions::<D>::of(declared);
        versions.push(2, 1);
        versions.push(1.5, 2);
        assert_eq!(versions.stored(), 1, "{declared}");
        versions.push(2.5, 3);
        assert_eq!(versions.stored(), 3, "{declared}");
        versions.push(2, 4);
        versions.push(f64::NEG_INFINITY, 5);
        assert_eq!(versions.stored(), 3, "{declared}");
    }
}

fn text_is_compared_as_text<D: Database>() {
    for declared in ["TEXT", "VARCHAR(30)"] {
        let versions = Versions::<D>::of(declared);
        versions.push("2024-02-28T23:59:59Z", 1);
        versions.push("2024-02-03T00:00:00Z", 2);
        assert_eq!(versions.stored(), 1, "{declared}");
        versions.push("2024-10-01T00:00:00Z", 3);
        versions.push(None::<&str>, 4);
        versions.push("", 5);
        assert_eq!(versions.stored(), 3, "{declared}");
    }
}

fn a_value_of_another_type_is_refused_at_the_push<D: Database>() {
    let blob = serde_bytes::Bytes::new(b"5");
    let number = Versions::<D>::of("INTEGER");
    let text = Versions::<D>::of("TEXT");
    for (error, wanted) in [
        (number.t.push(&Version { id: 1, at: "4", v: 1 }), "a number"),
        (number.t.push(&Version { id: 1, at: blob, v: 1 }), "a number"),
        (number.t.push(&Version { id: 1, at: [4], v: 1 }), "a number"),
        (number.t.push(&(1, "4", 1)), "a number"),
        (text.t.push(&Version { id: 1, at: 4, v: 1 }), "text"),
        (text.t.push(&Version { id: 1, at: 4.5, v: 1 }), "text"),
        (text.t.push(&Version { id: 1, at: blob, v: 1 }), "text"),
    ] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode);
        assert_eq!((error.table(), error.field()), (Some("t"), Some("at")));
        assert!(error.to_string().contains(wanted), "{error}");
    }
    assert_eq!(number.buffer.stats().accepted + text.buffer.stats().accepted, 0);
}

fn rows_that_were_too_old_are_counted_as_unchanged<D: Database>() {
    let versions = Versions::<D>::of("INTEGER");
    for (id, at) in [(1, 5), (1, 4), (2, 5), (1, 6), (2, 5), (2, 1)] {
        versions.t.push(&(id, at, 0)).unwrap();
    }
    let receipt = versions.t.submit(&(1, 0, 0)).unwrap();
    versions.buffer.flush().unwrap();
    assert!(receipt.decided().unwrap().is_ok(), "the database has decided it");
    let stats = versions.buffer.stats();
    assert_eq!((stats.committed, stats.unchanged, stats.rejected), (7, 3, 0));
}

fn rows_that_were_too_old_are_counted_in_large_statements_too<D: Database>() {
    let versions = Versions::<D>::of("INTEGER");
    for id in 0..120 {
        versions.t.push(&(id, 10, 0)).unwrap();
    }
    versions.buffer.flush().unwrap();
    for id in 0..120 {
        versions.t.push(&(id, 10 + id % 3 - 1, 1)).unwrap();
    }
    versions.buffer.flush().unwrap();
    assert_eq!(versions.buffer.stats().unchanged, 40);
    assert_eq!(versions.database.value::<i64>("SELECT sum(v) FROM t"), 80);
}

fn coalesced_integers_merge_and_the_newest_wins<D: Database>() {
    let versions = Versions::<D>::coalesced("INTEGER");
    for (v, at) in [20, 10, 30, 30, 25].into_iter().enumerate() {
        versions.push(at, v as i64);
    }
    assert_eq!(versions.stored(), 3, "the later one of the tie");
    let stats = versions.buffer.stats();
    assert!(stats.superseded > 0, "{stats:?}");
    assert_eq!(stats.committed + stats.superseded, 5);
    assert_eq!(versions.database.value::<i64>("SELECT at FROM t"), 30);
}

fn coalesced_rows_in_order_are_one_row_in_the_end<D: Database>() {
    let versions = Versions::<D>::coalesced("INTEGER");
    (0..100).for_each(|at| versions.push(at, at));
    assert_eq!(versions.stored(), 99);
    assert_eq!(versions.buffer.stats().superseded, 99);
}

fn coalesced_text_reals_and_nulls_are_left_to_the_database<D: Database>() {
    let text = Versions::<D>::coalesced("TEXT");
    for (v, at) in ["2024-02", "2024-01", "2024-03", "2024-02"].into_iter().enumerate() {
        text.push(at, v as i64);
    }
    assert_eq!(text.stored(), 2);
    assert_eq!(text.buffer.stats().superseded, 0);

    // SQLite takes a fraction in any column of numbers.
    let number = Versions::<D>::coalesced(D::either("INTEGER", "REAL"));
    for (v, at) in [json!(3), json!(null), json!(2.5), json!(3.5), json!(1)].iter().enumerate() {
        number.push(at, v as i64);
    }
    assert_eq!(number.stored(), 3);
    assert_eq!(number.buffer.stats().superseded, 0);
}
