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
fn a_table_that_is_not_there_is_refused_with_those_that_are() {
    let scratch = Scratch::new(
        "CREATE TABLE topics(id); CREATE TABLE audit(what); CREATE VIEW seen AS SELECT 1",
    );
    let buffer = scratch.buffer();
    let error = refused(&buffer, "topic", insert, &["no table topic", "audit, seen, topics"]);
    assert!(!error.to_string().contains("sqlite_"), "{error}");
    refused(&buffer, "", insert, &["audit, seen, topics"]);
    refused(&buffer, "main.topics", insert, &["audit, seen, topics"]);
}

#[test]
fn an_empty_database_is_said_to_be_empty() {
    let scratch = Scratch::new("");
    refused(&scratch.buffer(), "topics", insert, &["has no tables", "right file"]);
}

#[test]
fn many_tables_are_not_all_listed() {
    let tables: String = (100..200).map(|number| format!("CREATE TABLE t{number}(id);")).collect();
    let scratch = Scratch::new(&tables);
    let error = refused(&scratch.buffer(), "topics", insert, &["t100, ", "…"]);
    assert!(error.to_string().len() < 300, "{error}");
}

#[test]
fn a_key_column_that_is_not_there_is_refused_with_those_that_are() {
    let scratch = Scratch::new("CREATE TABLE topics(id INTEGER PRIMARY KEY, status TEXT)");
    let buffer = scratch.buffer();
    for make in [
        (|table| table.upsert(["topic_id"])) as Make,
        |table| table.update(["topic_id"]),
        |table| table.delete(["id", "topic_id"]),
    ] {
        let error = refused(&buffer, "topics", make, &["key column `topic_id`", "id, status"]);
        assert_eq!(error.field(), Some("topic_id"));
    }
    refused(&buffer, "topics", |table| table.upsert([""; 0]), &["key has no column"]);
}

#[test]
fn a_key_without_a_unique_index_is_refused_with_the_indexes_that_there_are() {
    let scratch = Scratch::new(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b, c, UNIQUE (a, b));
         CREATE INDEX plain ON t(c);
         CREATE TABLE heap(a)",
    );
    let buffer = scratch.buffer();
    let there: &[_] = &["(id)", "(a, b)", "CREATE UNIQUE INDEX"];
    for make in [
        (|table| table.upsert(["c"])) as Make,
        |table| table.upsert(["a"]),
        |table| table.update(["id", "a"]),
        |table| table.delete(["a", "b", "c"]),
    ] {
        let error = refused(&buffer, "t", make, there);
        assert!(!error.to_string().contains("(c),"), "a plain index is none: {error}");
    }
    refused(&buffer, "heap", |table| table.upsert(["a"]), &["(a)", "there is none"]);
}

#[test]
fn a_partial_or_expression_index_is_no_key() {
    let scratch = Scratch::new(
        "CREATE TABLE t(a, b, c);
         CREATE UNIQUE INDEX partial ON t(a) WHERE b IS NOT NULL;
         CREATE UNIQUE INDEX expression ON t(lower(b));
         CREATE UNIQUE INDEX mixed ON t(c, lower(b));",
    );
    let buffer = scratch.buffer();
    for make in [
        (|table| table.upsert(["a"])) as Make,
        |table| table.upsert(["b"]),
        |table| table.update(["c", "b"]),
        |table| table.delete(["c"]),
    ] {
        refused(&buffer, "t", make, &["there is none"]);
    }
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
fn a_key_of_several_columns_may_come_in_any_order() {
    for table in [
        "(a, b, c, v, PRIMARY KEY (c, a, b))",
        "(a, b, c, v, PRIMARY KEY (a, b, c)) WITHOUT ROWID",
        "(a, b, c, v, UNIQUE (b, c, a))",
    ] {
        let scratch = Scratch::new(&format!("CREATE TABLE t{table}"));
        let buffer = scratch.buffer();
        for (v, key) in [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]].iter().enumerate() {
            let upsert = buffer.table("t").upsert(*key).producer().unwrap();
            upsert.write(&json!({"v": v, "b": 2, "a": 1, "c": 3})).unwrap();
            assert_eq!(scratch.column::<i64>("SELECT v FROM t"), [v as i64], "{table} {key:?}");
        }
        let update = buffer.table("t").update(["c", "a", "b"]).producer().unwrap();
        update.write(&(1, 2, 3, 50)).unwrap();
        assert_eq!(scratch.column::<i64>("SELECT v FROM t"), [50], "{table}");
        let delete = buffer.table("t").delete(["b", "a", "c"]).producer().unwrap();
        delete.write(&json!({"c": 3, "a": 1, "b": 2})).unwrap();
        assert_eq!(scratch.column::<i64>("SELECT v FROM t"), [0; 0], "{table}");
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
fn a_generated_column_is_not_written() {
    let scratch = Scratch::new(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, twice AS (2 * a), thrice AS (3 * a) STORED, b)",
    );
    let buffer = scratch.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    for field in ["twice", "thrice"] {
        let error = t.push(&json!({"id": 1, field: 4})).unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::Schema, Some(field)), "{error:#}");
        assert_says(&error, &[field, "computed"]);
    }
    t.write(&(1, 2, "a tuple passes it over")).unwrap();
    assert_eq!(scratch.value::<i64>("SELECT twice + thrice FROM t", []), 10);
    assert!(t.push(&(1, 2, 4, 6, "b")).is_err());
}

#[test]
fn unordered_is_refused_where_the_order_can_be_seen() {
    let scratch = Scratch::new(
        "CREATE TABLE plain(id INTEGER PRIMARY KEY, v);
         CREATE TABLE no_rowid(id TEXT PRIMARY KEY, v) WITHOUT ROWID;
         CREATE TABLE watched(id INTEGER PRIMARY KEY, v);
         CREATE TRIGGER watch AFTER UPDATE ON watched BEGIN DELETE FROM plain; END;
         CREATE TABLE parent(id INTEGER PRIMARY KEY, v);
         CREATE TABLE child(id INTEGER PRIMARY KEY, parent REFERENCES PARENT);
         CREATE TABLE twofold(id INTEGER PRIMARY KEY, v UNIQUE);",
    );
    let buffer = scratch.buffer();
    let unordered: Make = |table| table.upsert(["id"]).unordered();
    refused(&buffer, "watched", unordered, &["unordered()", "triggers"]);
    refused(&buffer, "parent", unordered, &["unordered()", "foreign keys"]);
    refused(&buffer, "child", unordered, &["unordered()", "foreign keys"]);
    refused(&buffer, "twofold", unordered, &["unordered()", "second unique index"]);
    refused(&buffer, "plain", |table| table.insert().unordered(), &["needs a key"]);
    for table in ["plain", "no_rowid"] {
        buffer.table(table).upsert(["id"]).unordered().producer().unwrap();
    }
}

#[test]
fn an_option_that_does_not_go_with_the_operation_is_refused() {
    let scratch = Scratch::new("CREATE TABLE t(id INTEGER PRIMARY KEY, at INTEGER)");
    let buffer = scratch.buffer();
    refused(&buffer, "t", |table| table.insert().coalesce(), &["coalesce()", "upsert()"]);
    refused(&buffer, "t", |table| table.insert().newest_by("at"), &["newest_by()", "upsert()"]);
    refused(&buffer, "t", |table| table.update(["id"]).newest_by("at"), &["newest_by()"]);
    refused(&buffer, "t", |table| table.delete(["id"]).newest_by("at"), &["newest_by()"]);
    let duplicates: Make = |table| table.upsert(["id"]).ignore_duplicates();
    refused(&buffer, "t", duplicates, &["ignore_duplicates()", "insert()"]);
}

#[test]
fn a_partial_and_an_expression_index_count_as_a_second_one() {
    for index in ["t(v) WHERE v > 0", "t(lower(v))"] {
        let scratch = Scratch::new(&format!(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, v); CREATE UNIQUE INDEX second ON {index}"
        ));
        let unordered: Make = |table| table.upsert(["id"]).unordered();
        refused(&scratch.buffer(), "t", unordered, &["second unique index"]);
    }
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
fn a_field_without_a_column_is_refused_with_the_columns_there_are() {
    let scratch = Scratch::new("CREATE TABLE topics(id INTEGER PRIMARY KEY, status TEXT, at)");
    let buffer = scratch.buffer();
    let topics = buffer.table("topics").upsert(["id"]).producer().unwrap();
    let row = json!({"id": 1, "state": "running"});
    for error in [topics.push(&row), topics.try_push(&row), topics.write(&row)] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownField);
        assert_eq!((error.table(), error.field()), (Some("topics"), Some("state")));
        assert_says(&error, &["topics", "`state`", "id, status, at"]);
    }
    let error = topics.push(&(1, "running")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert_says(&error, &["2 values", "3 columns", "id, status, at"]);
    assert_eq!(buffer.stats().accepted, 0);
}

#[test]
fn a_row_without_its_key_is_refused_with_the_key_it_lacks() {
    let scratch = Scratch::new("CREATE TABLE t(a, b, v, at INTEGER, PRIMARY KEY (a, b))");
    let buffer = scratch.buffer();
    let key = ["a", "b"];
    let upsert = buffer.table("t").upsert(key).newest_by("at").producer().unwrap();
    let update = buffer.table("t").update(key).producer().unwrap();
    let delete = buffer.table("t").delete(key).producer().unwrap();
    for (producer, row, field) in [
        (&upsert, json!({"a": 1, "v": 2, "at": 3}), Some("b")),
        (&update, json!({"b": 1, "v": 2}), Some("a")),
        (&delete, json!({"b": 1}), Some("a")),
        (&upsert, json!({"a": 1, "b": 2, "v": 3}), Some("at")),
        (&update, json!({"a": 1, "b": 2}), None),
        (&delete, json!({"a": 1, "b": 2, "v": 3}), None),
    ] {
        let error = producer.push(&row).unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::Schema, field), "{error:#}");
        assert_eq!(error.table(), Some("t"));
        field.into_iter().for_each(|field| assert_says(&error, &[field]));
    }
}

#[test]
fn a_column_that_another_connection_added_is_seen_at_the_next_push() {
    let scratch = Scratch::new("CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    let buffer = scratch.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    let row = json!({"id": 1, "v": 2, "w": 3});
    assert_eq!(t.push(&row).unwrap_err().kind(), ErrorKind::UnknownField);
    scratch.connection().execute_batch("ALTER TABLE t ADD COLUMN w").unwrap();
    t.write(&row).unwrap();
    assert_eq!(scratch.value::<i64>("SELECT w FROM t", []), 3);
    t.write(&(2, 3, 4)).unwrap();
}

#[test]
fn a_try_push_that_met_an_old_table_fits_after_the_buffer_has_looked() {
    let scratch = Scratch::new("CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    let buffer = scratch.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    t.write(&json!({"id": 1, "v": 2})).unwrap();
    scratch.connection().execute_batch("ALTER TABLE t ADD COLUMN w").unwrap();
    let row = json!({"id": 1, "w": 3});
    assert_eq!(t.try_push(&row).unwrap_err().kind(), ErrorKind::UnknownField);
    // The look was asked for before this one, and so it is over when this one is.
    buffer.table("t").insert().producer().unwrap();
    t.try_push(&row).unwrap();
    buffer.flush().unwrap();
    assert_eq!(scratch.value::<i64>("SELECT w FROM t", []), 3);
}

#[test]
fn a_table_made_after_the_buffer_was_opened_can_be_written() {
    let scratch = Scratch::new("");
    let buffer = scratch.buffer();
    refused(&buffer, "t", insert, &["no tables"]);
    scratch.connection().execute_batch("CREATE TABLE t(id)").unwrap();
    buffer.table("t").insert().producer().unwrap().write(&(1,)).unwrap();
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t", []), 1);
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
