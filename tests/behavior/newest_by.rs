//! With `newest_by` an older row never overwrites a newer one, in whatever order they come.

use forebay::{ErrorKind, Producer, WriteBuffer};
use serde::Serialize;
use serde_json::json;
use support::Scratch;

/// Versions of one row: `at` says how new each is, `v` which it is.
struct Versions {
    scratch: Scratch,
    buffer: WriteBuffer,
    t: Producer,
}

#[derive(Serialize)]
struct Version<T> {
    id: i64,
    at: T,
    v: i64,
}

impl Versions {
    /// `at` is declared as the given type.
    fn of(declared: &str) -> Self {
        Self::made(declared, false)
    }

    fn coalesced(declared: &str) -> Self {
        Self::made(declared, true)
    }

    fn made(declared: &str, coalesce: bool) -> Self {
        let scratch =
            Scratch::new(&format!("CREATE TABLE t(id INTEGER PRIMARY KEY, at {declared}, v)"));
        let buffer = scratch.buffer();
        let upsert = buffer.table("t").upsert(["id"]).newest_by("at");
        let t = if coalesce { upsert.coalesce() } else { upsert }.producer().unwrap();
        Self { scratch, buffer, t }
    }

    fn push<T: Serialize>(&self, at: T, v: i64) {
        self.t.push(&Version { id: 1, at, v }).unwrap();
    }

    /// The version that is in the table, after one more commit.
    fn stored(&self) -> i64 {
        self.buffer.flush().unwrap();
        self.scratch.value("SELECT v FROM t WHERE id = 1", [])
    }
}

#[test]
fn an_older_row_never_overwrites_a_newer_one() {
    let versions = Versions::of("INTEGER");
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

#[test]
fn a_tie_overwrites() {
    let versions = Versions::of("INTEGER");
    versions.push(20, 1);
    versions.push(20, 2);
    assert_eq!(versions.stored(), 2);
    versions.push(20, 3);
    assert_eq!(versions.stored(), 3);
}

#[test]
fn a_stored_null_is_oldest_and_a_pushed_one_overwrites_nothing_newer() {
    let versions = Versions::of("INTEGER");
    versions.push(None::<i64>, 1);
    assert_eq!(versions.stored(), 1);
    versions.push(None::<i64>, 2);
    assert_eq!(versions.stored(), 2, "NULL meets NULL");
    versions.push(Some(i64::MIN), 3);
    assert_eq!(versions.stored(), 3);
    versions.push(None::<i64>, 4);
    assert_eq!(versions.stored(), 3);
}

#[test]
fn numbers_of_both_kinds_are_compared_as_numbers() {
    for declared in ["INTEGER", "REAL", "NUMERIC", "TIMESTAMP"] {
        let versions = Versions::of(declared);
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

#[test]
fn text_is_compared_as_text() {
    for declared in ["TEXT", "VARCHAR(30)"] {
        let versions = Versions::of(declared);
        versions.push("2024-02-28T23:59:59Z", 1);
        versions.push("2024-02-03T00:00:00Z", 2);
        assert_eq!(versions.stored(), 1, "{declared}");
        versions.push("2024-10-01T00:00:00Z", 3);
        versions.push(None::<&str>, 4);
        versions.push("", 5);
        assert_eq!(versions.stored(), 3, "{declared}");
    }
}

#[test]
fn a_value_of_another_type_is_refused_at_the_push() {
    let blob = serde_bytes::Bytes::new(b"5");
    let number = Versions::of("INTEGER");
    let text = Versions::of("TEXT");
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

#[test]
fn a_column_that_takes_any_type_cannot_be_compared() {
    for table in [
        "t(id INTEGER PRIMARY KEY, at)",
        "t(id INTEGER PRIMARY KEY, at BLOB)",
        "t(id INTEGER PRIMARY KEY, at ANY) STRICT",
    ] {
        let scratch = Scratch::new(&format!("CREATE TABLE {table}"));
        let buffer = scratch.buffer();
        let error = buffer.table("t").upsert(["id"]).newest_by("at").producer().unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::Schema, Some("at")), "{table}");
        let message = error.to_string();
        assert!(message.contains("`at`") && message.contains("INTEGER"), "{message}");
        let error = buffer.table("t").upsert(["id"]).newest_by("when").producer().unwrap_err();
        assert!(error.to_string().contains("`when`"), "{error}");
        assert!(error.to_string().contains("id, at"), "{error}");
    }
}

#[test]
fn rows_that_were_too_old_are_counted_as_unchanged() {
    let versions = Versions::of("INTEGER");
    for (id, at) in [(1, 5), (1, 4), (2, 5), (1, 6), (2, 5), (2, 1)] {
        versions.t.push(&(id, at, 0)).unwrap();
    }
    let receipt = versions.t.submit(&(1, 0, 0)).unwrap();
    versions.buffer.flush().unwrap();
    assert!(receipt.decided().unwrap().is_ok(), "the database has decided it");
    let stats = versions.buffer.stats();
    assert_eq!((stats.committed, stats.unchanged, stats.rejected), (7, 3, 0));
}

#[test]
fn rows_that_were_too_old_are_counted_in_large_statements_too() {
    let versions = Versions::of("INTEGER");
    for id in 0..120 {
        versions.t.push(&(id, 10, 0)).unwrap();
    }
    versions.buffer.flush().unwrap();
    for id in 0..120 {
        versions.t.push(&(id, 10 + id % 3 - 1, 1)).unwrap();
    }
    versions.buffer.flush().unwrap();
    assert_eq!(versions.buffer.stats().unchanged, 40);
    assert_eq!(versions.scratch.value::<i64>("SELECT sum(v) FROM t", []), 80);
}

#[test]
fn coalesced_integers_merge_and_the_newest_wins() {
    let versions = Versions::coalesced("INTEGER");
    for (v, at) in [20, 10, 30, 30, 25].into_iter().enumerate() {
        versions.push(at, v as i64);
    }
    assert_eq!(versions.stored(), 3, "the later one of the tie");
    let stats = versions.buffer.stats();
    assert!(stats.superseded > 0, "{stats:?}");
    assert_eq!(stats.committed + stats.superseded, 5);
    assert_eq!(versions.scratch.value::<i64>("SELECT at FROM t", []), 30);
}

#[test]
fn coalesced_rows_in_order_are_one_row_in_the_end() {
    let versions = Versions::coalesced("INTEGER");
    (0..100).for_each(|at| versions.push(at, at));
    assert_eq!(versions.stored(), 99);
    assert_eq!(versions.buffer.stats().superseded, 99);
}

#[test]
fn coalesced_text_reals_and_nulls_are_left_to_the_database() {
    let text = Versions::coalesced("TEXT");
    for (v, at) in ["2024-02", "2024-01", "2024-03", "2024-02"].into_iter().enumerate() {
        text.push(at, v as i64);
    }
    assert_eq!(text.stored(), 2);
    assert_eq!(text.buffer.stats().superseded, 0);

    let number = Versions::coalesced("INTEGER");
    for (v, at) in [json!(3), json!(null), json!(2.5), json!(3.5), json!(1)].iter().enumerate() {
        number.push(at, v as i64);
    }
    assert_eq!(number.stored(), 3);
    assert_eq!(number.buffer.stats().superseded, 0);
}
