//! `execute` runs any one statement, alone and in its turn.

use std::error::Error as _;
use std::time::Duration;

use forebay::{Error, ErrorKind, WriteBuffer};
use serde_json::json;
use support::{Database, Session, on_both_sinks};

on_both_sinks!(
    it_runs_in_its_turn_between_the_rows_before_and_after_it,
    a_field_fits_as_soon_as_its_column_is_there_and_no_longer_than_that,
    a_tuple_goes_to_the_columns_that_there_are_now,
    a_table_that_was_made_again_with_other_columns_is_seen,
    transaction_control_is_refused,
    two_statements_are_refused_and_neither_runs,
    a_statement_that_fails_is_rejected_with_the_databases_words_as_the_cause,
    the_rows_before_a_statement_that_fails_are_written,
);

const TABLE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);
                     CREATE TABLE parents(id INTEGER PRIMARY KEY);
                     CREATE TABLE children(id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parents)";

/// Nothing here takes so long unless it hangs.
const LONG: Duration = Duration::from_secs(20);

/// Fails unless the statement is rejected with a message that says `said`.
fn rejected(buffer: &WriteBuffer, sql: &str, said: &str) -> Error {
    let error = buffer.execute(sql).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{sql}: {error:#}");
    assert!(format!("{error:#}").contains(said), "{sql}: {error:#}");
    error
}

fn it_runs_in_its_turn_between_the_rows_before_and_after_it<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    (0..60).for_each(|id| t.push(&(id, "before")).unwrap());
    buffer.execute("UPDATE t SET v = 'seen'").unwrap();
    (60..70).for_each(|id| t.push(&(id, "after")).unwrap());
    buffer.execute("DELETE FROM t WHERE id % 10 <> 0").unwrap();
    let rows = database.column::<String>("SELECT id || v FROM t ORDER BY id");
    assert_eq!(rows, ["0seen", "10seen", "20seen", "30seen", "40seen", "50seen", "60after"]);
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.transactions), (72, 4));
}

fn a_field_fits_as_soon_as_its_column_is_there_and_no_longer_than_that<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    let row = json!({"id": 1, "v": "2", "w": 3});
    assert_eq!(t.try_push(&row).unwrap_err().kind(), ErrorKind::UnknownField);
    buffer.execute("ALTER TABLE t ADD COLUMN w INTEGER").unwrap();
    t.try_push(&row).unwrap();
    t.write(&(2, "3", 4)).unwrap();
    assert_eq!(database.column::<i64>("SELECT w FROM t"), [3, 4]);

    buffer.execute("ALTER TABLE t DROP COLUMN w").unwrap();
    let error = t.push(&row).unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::UnknownField, Some("w")));
    assert!(error.to_string().contains("id, v"), "{error}");
    t.write(&json!({"id": 3, "v": "4"})).unwrap();
    t.write(&(4, "5")).unwrap();
}

fn a_tuple_goes_to_the_columns_that_there_are_now<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    t.write(&(1, "10")).unwrap();
    buffer.execute("ALTER TABLE t RENAME COLUMN v TO value").unwrap();
    t.submit(&(2, "20")).unwrap().wait_timeout(LONG).unwrap();
    assert_eq!(database.column::<String>("SELECT value FROM t ORDER BY id"), ["10", "20"]);

    buffer.execute("DROP TABLE t").unwrap();
    buffer.execute("CREATE TABLE t(value INTEGER, id INTEGER PRIMARY KEY)").unwrap();
    t.submit(&(30, 3)).unwrap().wait_timeout(LONG).unwrap();
    assert_eq!(database.column::<i64>("SELECT value FROM t"), [30], "the columns' order changed");
}

fn a_table_that_was_made_again_with_other_columns_is_seen<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    t.write(&(1, "2")).unwrap();
    buffer.execute("DROP TABLE t").unwrap();
    buffer.execute("CREATE TABLE t(v TEXT, more TEXT, id INTEGER)").unwrap();
    t.write(&("v", "more", 1)).unwrap();
    t.write(&json!({"id": 2, "v": "v"})).unwrap();
    let rows = database.column::<String>("SELECT v || coalesce(more, '-') || id FROM t");
    assert_eq!(rows, ["vmore1", "v-2"]);
}

fn transaction_control_is_refused<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    for sql in [
        "BEGIN",
        D::either("begin immediate transaction", "start transaction read only"),
        " -- quietly\n BEGIN",
        "COMMIT",
        "END TRANSACTION",
        "ROLLBACK",
        "SAVEPOINT s",
        "RELEASE s",
        "ROLLBACK TO s",
    ] {
        let error = rejected(&buffer, sql, "group()");
        assert!(error.to_string().contains(sql.trim().split('\n').next_back().unwrap().trim()));
    }
    buffer.table("t").insert().producer().unwrap().write(&(1, "2")).unwrap();
    let mut other = database.session();
    other.run("INSERT INTO t VALUES (2, 'no transaction was left open')");
}

fn two_statements_are_refused_and_neither_runs<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    for sql in [
        "INSERT INTO t VALUES (1, '1'); INSERT INTO t VALUES (2, '2')",
        D::either(
            "PRAGMA user_version = 1; PRAGMA user_version = 2",
            "COMMENT ON TABLE t IS '1'; COMMENT ON TABLE t IS '2'",
        ),
        "INSERT INTO t VALUES (3, '3'); BEGIN",
    ] {
        rejected(&buffer, sql, "several statements");
    }
    assert_eq!(database.value::<i64>("SELECT count(*) FROM t"), 0);
    let other = D::either(
        "SELECT user_version = 0 FROM pragma_user_version",
        "SELECT obj_description('t'::regclass) IS NULL",
    );
    assert_eq!(database.value::<i64>(other), 1, "nor does the other");
}

fn a_statement_that_fails_is_rejected_with_the_databases_words_as_the_cause<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    buffer.execute("INSERT INTO t VALUES (1, '1')").unwrap();
    let sqlite: &[_] = &[
        ("CREAT TABLE x(id INTEGER)", "syntax error", "1"),
        ("CREATE TABLE t(id INTEGER)", "already exists", "1"),
        ("DROP TABLE nowhere", "no such table: nowhere", "1"),
        ("INSERT INTO t VALUES (2, '2'), (1, '1')", "UNIQUE", "1555"),
        ("INSERT INTO children VALUES (1, 99)", "FOREIGN KEY", "787"),
    ];
    let postgres: &[_] = &[
        ("CREAT TABLE x(id INTEGER)", "syntax error", "42601"),
        ("CREATE TABLE t(id INTEGER)", "already exists", "42P07"),
        ("DROP TABLE nowhere", "table \"nowhere\" does not exist", "42P01"),
        ("INSERT INTO t VALUES (2, '2'), (1, '1')", "t_pkey", "23505"),
        ("INSERT INTO children VALUES (1, 99)", "children_parent_fkey", "23503"),
    ];
    for (sql, cause, code) in D::either(sqlite, postgres) {
        let error = rejected(&buffer, sql, cause);
        assert!(error.source().is_some(), "{sql}");
        assert_eq!(D::code(&error), *code, "{sql}");
        assert!(error.to_string().contains(&sql[..12]), "{error}");
    }
    assert_eq!(database.column::<i64>("SELECT id FROM t"), [1]);
    let stats = buffer.stats();
    assert_eq!((stats.rejected, stats.committed), (5, 1));
    buffer.table("t").insert().producer().unwrap().write(&(2, "2")).unwrap();
}

fn the_rows_before_a_statement_that_fails_are_written<D: Database>() {
    let database = D::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    (0..10).for_each(|id| t.push(&(id, "x")).unwrap());
    buffer.execute("nonsense").unwrap_err();
    assert_eq!(database.value::<i64>("SELECT count(*) FROM t"), 10);
}
