//! A producer is checked against the tables that there are, and so is every row.

use forebay::{Error, ErrorKind, Producer, Result, Table, TableWrite, WriteBuffer};
use serde_json::json;
use support::Scratch;

/// What is done to a table, up to the producer.
type Make = fn(Table<'_>) -> TableWrite<'_>;

fn insert(table: Table<'_>) -> TableWrite<'_> {
    table.insert()
}

/// Fails unless the producer is refused with a message that says all of `said`.
fn refused(buffer: &WriteBuffer, table: &str, make: Make, said: &[&str]) -> Error {
    let error = make(buffer.table(table)).producer().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema, "{error:#}");
    assert_eq!(error.table(), Some(table), "{error:#}");
    assert_says(&error, said);
    error
}

fn assert_says(error: &Error, said: &[&str]) {
    let message = error.to_string();
    for part in said {
        assert!(message.contains(part), "`{message}` does not say `{part}`");
    }
}

/// The first row's fate, and the values that are in `sql` then.
fn written(
    scratch: &Scratch,
    producer: Result<Producer>,
    row: &impl serde::Serialize,
    sql: &str,
) -> Vec<i64> {
    producer.unwrap().write(row).unwrap();
    scratch.column(sql)
}

#[test]
fn an_empty_database_is_said_to_be_empty() {
    let scratch = Scratch::new("");
    refused(&scratch.buffer(), "topics", insert, &["has no tables", "right file"]);
}

#[test]
fn a_unique_index_of_any_kind_is_a_key() {
    for table in [
        "(k INTEGER PRIMARY KEY, v)",
        "(k INT PRIMARY KEY, v)",
        "(k TEXT PRIMARY KEY, v) WITHOUT ROWID",
        "(k PRIMARY KEY DESC, v)",
        "(k UNIQUE, v)",
        "(k TEXT COLLATE NOCASE UNIQUE, v)",
        "(k ANY PRIMARY KEY, v ANY) STRICT",
        "(k, v); CREATE UNIQUE INDEX made ON t(k)",
        "(k, v); CREATE UNIQUE INDEX made ON t(k COLLATE NOCASE DESC)",
    ] {
        let scratch = Scratch::new(&format!("CREATE TABLE t{table}"));
        let buffer = scratch.buffer();
        let t = buffer.table("t").upsert(["k"]).producer().unwrap();
        for row in [(7, 1), (8, 1), (7, 2)] {
            t.write(&row).unwrap();
        }
        assert_eq!(scratch.column::<i64>("SELECT v FROM t ORDER BY k"), [2, 1], "{table}");
    }
}

#[test]
fn names_are_compared_without_case() {
    let scratch = Scratch::new("CREATE TABLE Topics(Id INTEGER PRIMARY KEY, At INTEGER, vAlUe)");
    let buffer = scratch.buffer();
    let topics = buffer.table("tOPICS").upsert(["ID"]).newest_by("AT").coalesce().producer();
    let row = json!({"iD": 7, "aT": 1, "VALUE": 5});
    let sql = "SELECT value FROM topics";
    assert_eq!(written(&scratch, topics, &row, sql), [5]);
    let update = buffer.table("TOPICS").update(["id"]).producer();
    assert_eq!(written(&scratch, update, &json!({"ID": 7, "value": 6}), sql), [6]);
    let twice = buffer.table("topics").insert().producer().unwrap();
    let error = twice.push(&json!({"id": 8, "ID": 9})).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert_says(&error, &["twice"]);
}

#[test]
fn a_view_with_an_instead_of_trigger_can_be_inserted_into() {
    let scratch = Scratch::new(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v);
         CREATE VIEW doubled AS SELECT id, 2 * v AS v FROM t;
         CREATE TRIGGER halve INSTEAD OF INSERT ON doubled BEGIN INSERT INTO t VALUES (new.id, new.v / 2); END;",
    );
    let buffer = scratch.buffer();
    let doubled = buffer.table("doubled").insert().producer().unwrap();
    (0..60).for_each(|id| doubled.push(&(id, 2 * id)).unwrap());
    buffer.flush().unwrap();
    assert_eq!(scratch.column::<i64>("SELECT v FROM t ORDER BY id"), (0..60).collect::<Vec<_>>());
    refused(&buffer, "doubled", |table| table.upsert(["id"]), &["there is none"]);
}

#[test]
fn a_view_that_takes_no_rows_is_refused() {
    let scratch = Scratch::new("CREATE TABLE t(id); CREATE VIEW v AS SELECT id FROM t");
    let buffer = scratch.buffer();
    let error = buffer.table("v").insert().producer().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.to_string().contains("INSTEAD OF"), "{error}");
}

#[test]
fn a_table_of_sqlites_own_is_no_table_for_rows() {
    let scratch = Scratch::new("CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT)");
    let buffer = scratch.buffer();
    for table in ["sqlite_schema", "sqlite_master", "SQLITE_SCHEMA", "sqlite_temp_schema"] {
        let error = buffer.table(table).insert().producer().map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema, "{error:#}");
        assert!(error.to_string().contains(table), "{error}");
    }
}
