//! The rows that are written: which, by what key, and that any order of them goes.

use forebay::rusqlite::Connection;
use forebay_bench::ErrorKind;
use forebay_bench::tune::{TableCopy, Writing};

use crate::{Database, TOPICS, number, stopped, texts};

#[test]
fn the_second_half_of_the_sample_changes_every_row_but_its_keys() {
    let database = Database::with("WAL", &format!("{TOPICS} CREATE UNIQUE INDEX one_n ON t(n);"));
    let copy = database.copy("t");
    let sample = Connection::open(copy.folder().join("sample.db")).unwrap();
    assert_eq!(number(&sample, "SELECT count(*) FROM sample"), 800);
    assert_eq!(number(&sample, "SELECT count(DISTINCT id) FROM sample"), 400);
    assert_eq!(number(&sample, "SELECT count(DISTINCT n) FROM sample"), 400);
    assert_eq!(number(&sample, "SELECT count(*) FROM (SELECT DISTINCT id, v FROM sample)"), 800);
    assert!(number(&sample, "SELECT max(id) FROM sample") > 990, "from all over the table");
}

#[test]
fn the_largest_row_that_is_written_is_known() {
    let database = Database::with("WAL", TOPICS);
    assert!(database.copy("t").largest_row_bytes() < 100);
    let one = "UPDATE t SET v = printf('%.*c', 100000, 'x') WHERE id = 501";
    database.connection().execute_batch(one).unwrap();
    let bytes = database.copy("t").largest_row_bytes();
    assert!((100_000..100_100).contains(&bytes), "{bytes}");
}

#[test]
fn an_empty_table_gets_rows_made_up_that_fit_it() {
    let database = Database::with(
        "WAL",
        "CREATE TABLE p(id TEXT PRIMARY KEY); INSERT INTO p VALUES ('a'), ('b');
         CREATE TABLE t(id TEXT PRIMARY KEY, p TEXT NOT NULL REFERENCES p, at DATETIME CHECK(date(at) IS NOT NULL),
             n INT, r REAL CHECK(typeof(r) = 'real'), b BLOB, j JSON CHECK(json_valid(j)), ok BOOLEAN CHECK(ok IN (0, 1)));",
    );
    let copy = database.copy("t");
    assert_eq!(copy.rows(), 0);
    assert_eq!(
        copy.notes(),
        ["`t` is empty: what is written is made up from the types of its columns, 400 rows"]
    );
    assert!(copy.description().starts_with("400 made-up rows of `t`, "), "{}", copy.description());
    let refused =
        Database::with("WAL", "CREATE TABLE t(id INTEGER PRIMARY KEY, n INT CHECK(n > 1000000))");
    let told = refused.refusal("t", Writing::Upsert);
    assert!(
        told.starts_with(
            "`t` is empty, and it refuses rows that are made up: CHECK constraint failed"
        ),
        "{told}"
    );
    assert_eq!(refused.files().len(), 1);
}

#[test]
fn a_key_is_a_primary_key_or_a_unique_index_that_all_rows_have() {
    let database = Database::with(
        "WAL",
        "CREATE TABLE t(a INTEGER, b TEXT, c TEXT);
         CREATE UNIQUE INDEX some ON t(a) WHERE a > 0; CREATE UNIQUE INDEX lower_c ON t(lower(c));
         CREATE UNIQUE INDEX holes ON t(b);
         INSERT INTO t VALUES (1, 'x', 'p'), (2, NULL, 'q');",
    );
    let told = database.refusal("t", Writing::Upsert);
    assert!(told.contains("no key that all rows have") && told.contains("--insert"), "{told}");
    database.connection().execute_batch("DELETE FROM t WHERE b IS NULL").unwrap();
    assert!(database.copy("t").description().contains("written back by `b`"));
    let told = database.refusal("t", Writing::Insert);
    assert!(told.contains("without --insert"), "{told}");
    let none = Database::with("DELETE", "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 2)");
    assert!(none.refusal("t", Writing::Upsert).contains("no primary key and no unique index"));
}

#[test]
fn rows_are_inserted_without_the_key_that_sqlite_gives() {
    let database = Database::with("WAL", TOPICS);
    let copy = database.copy_of("t", Writing::Insert).unwrap();
    let sample = Connection::open(copy.folder().join("sample.db")).unwrap();
    assert_eq!(texts(&sample, "SELECT name FROM pragma_table_info('sample')"), ["v", "n"]);
    assert_eq!(copy.rows(), 1_000, "without those that were inserted to see that they can be");
    assert_eq!(copy.description(), "400 of the 1,000 copied rows of `t`, inserted over and over");
    let few = Database::with("WAL", "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 2)");
    let copy = few.copy_of("t", Writing::Insert).unwrap();
    assert_eq!(copy.rows(), 1);
    assert_eq!(copy.description(), "the only copied row of `t`, inserted over and over");
}

/// Writes the sample into the copy in several orders, as trials do.
fn can_be_written_in_any_order(copy: &TableCopy, columns: &str) {
    let connection = Connection::open(copy.folder().join("table.db")).unwrap();
    let sample = copy.folder().join("sample.db");
    connection.execute("ATTACH ? AS rows", [sample.to_str()]).unwrap();
    let all = number(&connection, "SELECT count(*) FROM rows.sample");
    for order in [format!("n * 7 % {all}"), "n".to_owned(), "-n".to_owned()] {
        let set: Vec<_> =
            columns.split(", ").map(|name| format!("{name} = excluded.{name}")).collect();
        let sql = format!(
            "INSERT INTO t(id, {columns}) SELECT id, {columns} FROM (SELECT *, rowid AS n FROM rows.sample) WHERE true
             ORDER BY {order} ON CONFLICT(id) DO UPDATE SET {}",
            set.join(", ")
        );
        connection.execute_batch(&sql).unwrap();
    }
}

#[test]
fn rows_that_a_partial_index_keeps_apart_can_be_written_in_any_order() {
    let database = Database::with(
        "WAL",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, email TEXT, deleted_at TEXT, n INTEGER);
         CREATE UNIQUE INDEX live ON t(email) WHERE deleted_at IS NULL;
         INSERT INTO t VALUES (1, 'a', NULL, 1), (2, 'b', '2026', 2), (3, 'c', NULL, 3), (4, 'a', '2025', 4);",
    );
    let copy = database.copy("t");
    can_be_written_in_any_order(&copy, "email, deleted_at, n");
    let sample = Connection::open(copy.folder().join("sample.db")).unwrap();
    assert_eq!(number(&sample, "SELECT count(*) FROM (SELECT DISTINCT id, n FROM sample)"), 8);
}

#[test]
fn rows_stay_as_they_are_where_an_index_is_on_more_than_columns() {
    for (column, index) in [
        ("e TEXT", "lower(v)"),
        ("e TEXT AS (lower(v)) VIRTUAL", "e"),
        ("e TEXT AS (lower(v)) VIRTUAL", "id) WHERE (e > 'a'"),
    ] {
        let sql = format!(
            "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, {column}); CREATE UNIQUE INDEX one ON t({index});
             INSERT INTO t(id, v) VALUES (1, 'A'), (2, 'b'), (3, 'C');"
        );
        let database = Database::with("WAL", &sql);
        let copy = database.copy("t");
        can_be_written_in_any_order(&copy, "v");
        assert!(copy.notes()[0].contains("changes nothing in them"), "{index}: {:?}", copy.notes());
    }
}

#[test]
fn being_told_to_stop_while_rows_are_tried_is_no_refusal_of_them() {
    let database = Database::with(
        "WAL",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); CREATE TABLE many(n INTEGER);
         WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 300) INSERT INTO many SELECT i FROM c;
         CREATE TRIGGER long BEFORE UPDATE ON t BEGIN SELECT count(*) FROM many AS a, many AS b; END;
         INSERT INTO t VALUES (1, 'a'), (2, 'b');",
    );
    let error = TableCopy::make(&database.choice("t", Writing::Upsert), &stopped()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stopped, "{error}");
}
