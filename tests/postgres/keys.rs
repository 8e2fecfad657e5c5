//! Keys that PostgreSQL takes for one, though they are not written alike.

use serde_json::json;
use support::{Database, Postgres};

#[test]
fn keys_that_differ_and_are_equal_to_the_database_keep_the_newest_row() {
    let schema = "CREATE COLLATION alike (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE TABLE numbers(k NUMERIC PRIMARY KEY, v TEXT);
        CREATE TABLE words(k TEXT COLLATE alike PRIMARY KEY, v TEXT);
        CREATE TABLE days(k DATE PRIMARY KEY, v TEXT);
        CREATE TABLE ids(k UUID PRIMARY KEY, v TEXT);
        CREATE TABLE reals(k DOUBLE PRECISION PRIMARY KEY, v TEXT);
        CREATE TABLE integers(k INT PRIMARY KEY, v TEXT)";
    let database = Postgres::new(schema);
    let id = "00112233-4455-6677-8899-aabbccddeeff";
    for (table, one, other) in [
        ("numbers", json!("1"), json!("1.00")),
        ("words", json!("Word"), json!("wORD")),
        ("days", json!("2026-12-01"), json!("1 December 2026")),
        ("ids", json!(id), json!(id.to_uppercase())),
        ("reals", json!(0.0), json!(-0.0)),
        ("integers", json!(7), json!("7")),
    ] {
        let buffer = database.buffer();
        let upsert = buffer.table(table).upsert(["k"]).producer().unwrap();
        let update = buffer.table(table).update(["k"]).producer().unwrap();
        let delete = buffer.table(table).delete(["k"]).producer().unwrap();
        upsert.push(&json!({"k": one, "v": "first"})).unwrap();
        upsert.push(&json!({"k": other, "v": "second"})).unwrap();
        upsert.push(&json!({"k": one, "v": "third"})).unwrap();
        buffer.flush().unwrap();
        let values = |expected: &[&str], what: &str| {
            let found = database.column::<String>(&format!("SELECT v FROM {table}"));
            assert_eq!(found, expected, "{table}, {what}");
        };
        values(&["third"], "upserted");
        update.push(&json!({"k": one, "v": "fourth"})).unwrap();
        update.push(&json!({"k": other, "v": "fifth"})).unwrap();
        buffer.flush().unwrap();
        values(&["fifth"], "updated");
        delete.push(&json!({"k": other})).unwrap();
        upsert.push(&json!({"k": one, "v": "sixth"})).unwrap();
        buffer.flush().unwrap();
        values(&["sixth"], "made again");
        assert_eq!(buffer.stats().rejected, 0, "{table}");
    }
}

#[test]
fn a_group_with_keys_that_are_not_written_alike_is_written_and_its_later_row_wins() {
    let spellings = [
        ("NUMERIC", "1", "1.00"),
        ("UUID", "00112233-4455-6677-8899-aabbccddeeff", "00112233-4455-6677-8899-AABBCCDDEEFF"),
        ("TIMESTAMPTZ", "2026-12-01 12:00:00+00", "2026-12-01T13:00:00+01:00"),
        ("INET", "127.0.0.1", "127.0.0.1/32"),
        ("INTERVAL", "1 day", "24:00:00"),
        ("CHAR(4)", "a", "a   "),
        ("TEXT", "the same", "the same"),
    ];
    for (declared, one, other) in spellings {
        for coalesces in [false, true] {
            let database =
                Postgres::new(&format!("CREATE TABLE t(k {declared} PRIMARY KEY, v TEXT)"));
            let buffer = database.buffer();
            let upsert = buffer.table("t").upsert(["k"]);
            let upsert = if coalesces { upsert.coalesce() } else { upsert }.producer().unwrap();
            let group = |rows: [(&str, &str); 2]| {
                buffer.group(|group| rows.iter().try_for_each(|row| group.add(&upsert, row)))
            };
            upsert.push(&(one, "alone")).unwrap();
            let first = group([(one, "first"), (other, "second")]).unwrap();
            let second = group([(other, "third"), (one, "fourth")]).unwrap();
            buffer.flush().unwrap();
            first.wait().unwrap_or_else(|error| panic!("{declared}: {error:#}"));
            second.wait().unwrap_or_else(|error| panic!("{declared}: {error:#}"));
            assert_eq!(database.column::<String>("SELECT v FROM t"), ["fourth"], "{declared}");
            assert_eq!(buffer.stats().rejected, 0, "{declared}");
        }
    }
}

#[test]
fn keys_that_are_null_and_not_distinct_are_one_key() {
    for (declared, coalesces) in
        [("INT", false), ("INT", true), ("NUMERIC", false), ("TEXT", false)]
    {
        let database = Postgres::new(&format!(
            "CREATE TABLE t(k {declared}, v TEXT, UNIQUE NULLS NOT DISTINCT (k))"
        ));
        let buffer = database.buffer();
        let upsert = buffer.table("t").upsert(["k"]);
        let upsert = if coalesces { upsert.coalesce() } else { upsert }.producer().unwrap();
        let null = json!(null);
        let receipts = ["first", "second"].map(|v| upsert.submit(&(&null, v)).unwrap());
        let group = buffer.group(|group| {
            ["third", "fourth"].iter().try_for_each(|v| group.add(&upsert, &(&null, v)))
        });
        buffer.flush().unwrap();
        receipts.into_iter().for_each(|receipt| receipt.wait().unwrap());
        group.unwrap().wait().unwrap_or_else(|error| panic!("{declared}: {error:#}"));
        assert_eq!(database.column::<String>("SELECT v FROM t"), ["fourth"], "{declared}");
    }
}
