//! A producer is checked against the tables that there are, and so is every row.

use forebay::{Error, ErrorKind, Table, TableWrite, WriteBuffer};
use serde_json::json;
use support::{Database, on_both_sinks};

on_both_sinks!(
    a_key_column_that_is_not_there_is_refused_with_those_that_are,
    a_key_without_a_unique_index_is_refused_with_the_indexes_that_there_are,
    a_partial_or_expression_index_is_no_key,
    a_key_of_several_columns_may_come_in_any_order,
    unordered_is_refused_where_the_order_can_be_seen,
    an_option_that_does_not_go_with_the_operation_is_refused,
    a_partial_and_an_expression_index_count_as_a_second_one,
    a_field_without_a_column_is_refused_with_the_columns_there_are,
    a_row_without_its_key_is_refused_with_the_key_it_lacks,
    a_column_that_another_connection_added_is_seen_at_the_next_push,
    a_try_push_that_met_an_old_table_fits_after_the_buffer_has_looked,
    a_table_made_after_the_buffer_was_opened_can_be_written,
    a_table_that_is_not_there_is_refused_with_those_that_are,
    many_tables_are_not_all_listed,
    a_generated_column_is_not_written,
);

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

fn a_key_column_that_is_not_there_is_refused_with_those_that_are<D: Database>() {
    let database = D::new("CREATE TABLE topics(id INTEGER PRIMARY KEY, status TEXT)");
    let buffer = database.buffer();
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

fn a_key_without_a_unique_index_is_refused_with_the_indexes_that_there_are<D: Database>() {
    let database = D::new(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b TEXT, c TEXT, UNIQUE (a, b));
         CREATE INDEX plain ON t(c);
         CREATE TABLE heap(a TEXT)",
    );
    let buffer = database.buffer();
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

fn a_partial_or_expression_index_is_no_key<D: Database>() {
    let database = D::new(
        "CREATE TABLE t(a TEXT, b TEXT, c TEXT);
         CREATE UNIQUE INDEX partial ON t(a) WHERE b IS NOT NULL;
         CREATE UNIQUE INDEX expression ON t(lower(b));
         CREATE UNIQUE INDEX mixed ON t(c, lower(b));",
    );
    let buffer = database.buffer();
    for make in [
        (|table| table.upsert(["a"])) as Make,
        |table| table.upsert(["b"]),
        |table| table.update(["c", "b"]),
        |table| table.delete(["c"]),
    ] {
        refused(&buffer, "t", make, &["there is none"]);
    }
}

fn a_key_of_several_columns_may_come_in_any_order<D: Database>() {
    for table in [
        "(a INTEGER, b INTEGER, c INTEGER, v INTEGER, PRIMARY KEY (c, a, b))",
        D::either(
            "(a INTEGER, b INTEGER, c INTEGER, v INTEGER, PRIMARY KEY (a, b, c)) WITHOUT ROWID",
            "(a INTEGER, b INTEGER, c INTEGER, v INTEGER, PRIMARY KEY (a, b, c))",
        ),
        "(a INTEGER, b INTEGER, c INTEGER, v INTEGER, UNIQUE (b, c, a))",
    ] {
        let database = D::new(&format!("CREATE TABLE t{table}"));
        let buffer = database.buffer();
        for (v, key) in [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]].iter().enumerate() {
            let upsert = buffer.table("t").upsert(*key).producer().unwrap();
            upsert.write(&json!({"v": v, "b": 2, "a": 1, "c": 3})).unwrap();
            assert_eq!(database.column::<i64>("SELECT v FROM t"), [v as i64], "{table} {key:?}");
        }
        let update = buffer.table("t").update(["c", "a", "b"]).producer().unwrap();
        update.write(&(1, 2, 3, 50)).unwrap();
        assert_eq!(database.column::<i64>("SELECT v FROM t"), [50], "{table}");
        let delete = buffer.table("t").delete(["b", "a", "c"]).producer().unwrap();
        delete.write(&json!({"c": 3, "a": 1, "b": 2})).unwrap();
        assert_eq!(database.column::<i64>("SELECT v FROM t"), [0; 0], "{table}");
    }
}

fn unordered_is_refused_where_the_order_can_be_seen<D: Database>() {
    let trigger = D::either(
        "CREATE TRIGGER watch AFTER UPDATE ON watched BEGIN DELETE FROM plain; END;",
        "CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN DELETE FROM plain; RETURN NULL; END $$;
         CREATE TRIGGER watch AFTER UPDATE ON watched FOR EACH ROW EXECUTE FUNCTION watch();",
    );
    let without_rowid = D::either("WITHOUT ROWID", "");
    let database = D::new(&format!(
        "CREATE TABLE plain(id INTEGER PRIMARY KEY, v INTEGER);
         CREATE TABLE no_rowid(id TEXT PRIMARY KEY, v INTEGER) {without_rowid};
         CREATE TABLE watched(id INTEGER PRIMARY KEY, v INTEGER);
         {trigger}
         CREATE TABLE parent(id INTEGER PRIMARY KEY, v INTEGER);
         CREATE TABLE child(id INTEGER PRIMARY KEY, parent INTEGER REFERENCES PARENT);
         CREATE TABLE twofold(id INTEGER PRIMARY KEY, v INTEGER UNIQUE);",
    ));
    let buffer = database.buffer();
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

fn an_option_that_does_not_go_with_the_operation_is_refused<D: Database>() {
    let database = D::new("CREATE TABLE t(id INTEGER PRIMARY KEY, at INTEGER)");
    let buffer = database.buffer();
    refused(&buffer, "t", |table| table.insert().coalesce(), &["coalesce()", "upsert()"]);
    refused(&buffer, "t", |table| table.insert().newest_by("at"), &["newest_by()", "upsert()"]);
    refused(&buffer, "t", |table| table.update(["id"]).newest_by("at"), &["newest_by()"]);
    refused(&buffer, "t", |table| table.delete(["id"]).newest_by("at"), &["newest_by()"]);
    let duplicates: Make = |table| table.upsert(["id"]).ignore_duplicates();
    refused(&buffer, "t", duplicates, &["ignore_duplicates()", "insert()"]);
}

fn a_partial_and_an_expression_index_count_as_a_second_one<D: Database>() {
    for index in ["t(v) WHERE v > ''", "t(lower(v))"] {
        let database = D::new(&format!(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); CREATE UNIQUE INDEX second ON {index}"
        ));
        let unordered: Make = |table| table.upsert(["id"]).unordered();
        refused(&database.buffer(), "t", unordered, &["second unique index"]);
    }
}

fn a_field_without_a_column_is_refused_with_the_columns_there_are<D: Database>() {
    let database = D::new("CREATE TABLE topics(id INTEGER PRIMARY KEY, status TEXT, at INTEGER)");
    let buffer = database.buffer();
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

fn a_row_without_its_key_is_refused_with_the_key_it_lacks<D: Database>() {
    let database =
        D::new("CREATE TABLE t(a INTEGER, b INTEGER, v INTEGER, at INTEGER, PRIMARY KEY (a, b))");
    let buffer = database.buffer();
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

fn a_column_that_another_connection_added_is_seen_at_the_next_push<D: Database>() {
    let database = D::new("CREATE TABLE t(id INTEGER PRIMARY KEY, v INTEGER)");
    let buffer = database.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    let row = json!({"id": 1, "v": 2, "w": 3});
    assert_eq!(t.push(&row).unwrap_err().kind(), ErrorKind::UnknownField);
    database.run("ALTER TABLE t ADD COLUMN w INTEGER");
    t.write(&row).unwrap();
    assert_eq!(database.value::<i64>("SELECT w FROM t"), 3);
    t.write(&(2, 3, 4)).unwrap();
}

fn a_try_push_that_met_an_old_table_fits_after_the_buffer_has_looked<D: Database>() {
    let database = D::new("CREATE TABLE t(id INTEGER PRIMARY KEY, v INTEGER)");
    let buffer = database.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    t.write(&json!({"id": 1, "v": 2})).unwrap();
    database.run("ALTER TABLE t ADD COLUMN w INTEGER");
    let row = json!({"id": 1, "w": 3});
    assert_eq!(t.try_push(&row).unwrap_err().kind(), ErrorKind::UnknownField);
    // The look was asked for before this one, and so it is over when this one is.
    buffer.table("t").insert().producer().unwrap();
    t.try_push(&row).unwrap();
    buffer.flush().unwrap();
    assert_eq!(database.value::<i64>("SELECT w FROM t"), 3);
}

fn a_table_made_after_the_buffer_was_opened_can_be_written<D: Database>() {
    let database = D::new("");
    let buffer = database.buffer();
    refused(&buffer, "t", insert, &["no tables"]);
    database.run("CREATE TABLE t(id INTEGER)");
    buffer.table("t").insert().producer().unwrap().write(&(1,)).unwrap();
    assert_eq!(database.value::<i64>("SELECT count(*) FROM t"), 1);
}

fn a_table_that_is_not_there_is_refused_with_those_that_are<D: Database>() {
    let database = D::new(
        "CREATE TABLE topics(id INTEGER); CREATE TABLE audit(what TEXT); CREATE VIEW seen AS SELECT 1",
    );
    let buffer = database.buffer();
    let error = refused(&buffer, "topic", insert, &["no table topic", "audit, seen, topics"]);
    assert!(!error.to_string().contains(D::either("sqlite_", "pg_")), "{error}");
    refused(&buffer, "", insert, &["audit, seen, topics"]);
    refused(&buffer, "main.topics", insert, &["audit, seen, topics"]);
}

fn many_tables_are_not_all_listed<D: Database>() {
    let tables: String =
        (100..200).map(|number| format!("CREATE TABLE t{number}(id INTEGER);")).collect();
    let database = D::new(&tables);
    let error = refused(&database.buffer(), "topics", insert, &["t100, ", "…"]);
    assert!(error.to_string().len() < 300, "{error}");
}

fn a_generated_column_is_not_written<D: Database>() {
    let database = D::new(D::either(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, twice AS (2 * a), thrice AS (3 * a) STORED, b TEXT)",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER, twice INTEGER GENERATED ALWAYS AS (2 * a) STORED,
                        thrice INTEGER GENERATED ALWAYS AS (3 * a) STORED, b TEXT)",
    ));
    let buffer = database.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    for field in ["twice", "thrice"] {
        let error = t.push(&json!({"id": 1, field: 4})).unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::Schema, Some(field)), "{error:#}");
        assert_says(&error, &[field, "computed"]);
    }
    t.write(&(1, 2, "a tuple passes it over")).unwrap();
    assert_eq!(database.value::<i64>("SELECT twice + thrice FROM t"), 10);
    assert!(t.push(&(1, 2, 4, 6, "b")).is_err());
}
