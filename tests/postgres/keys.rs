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
