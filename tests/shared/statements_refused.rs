//! What no producer can have as its statement, and what errors say of statements.

use std::collections::HashMap;
use std::time::Duration;

use forebay::{Error, ErrorKind, Health};
use serde_json::json;
use support::{Database, on_both_sinks};

use crate::statements::audited;

on_both_sinks!(
    what_is_not_a_write_row_by_row_is_refused,
    two_statements_in_one_are_refused,
    a_statement_that_does_not_fit_the_schema_is_refused_with_the_cause,
    an_error_does_not_carry_a_long_statement_with_it,
    an_error_over_many_rows_does_not_carry_their_statement_with_it,
);

/// Fails unless the statement is refused as one that no producer can have.
fn refused<D: Database>(sql: &str) -> Error {
    let database = audited::<D>();
    let error = database.buffer().statement(sql).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Statement, "{sql}: {error:#}");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM audit"), 0, "{sql}");
    error
}

fn what_is_not_a_write_row_by_row_is_refused<D: Database>() {
    let sqlite: &[_] = &[
        "SELECT 1",
        "VALUES (1)",
        "WITH v AS (SELECT 1) SELECT * FROM v",
        "INSERT INTO audit VALUES (?, ?) RETURNING at",
        "UPDATE audit SET at = ? RETURNING *",
        "DELETE FROM audit RETURNING rowid",
        "CREATE TABLE t(id)",
        "DROP TABLE audit",
        "ALTER TABLE audit ADD COLUMN more",
        "CREATE INDEX i ON audit(at)",
        "PRAGMA journal_mode=DELETE",
        "PRAGMA user_version",
        "BEGIN",
        "begin immediate",
        "COMMIT",
        "END",
        "ROLLBACK",
        "SAVEPOINT s",
        "RELEASE s",
        "VACUUM",
        "ANALYZE",
        "REINDEX",
        "ATTACH ':memory:' AS other",
        "DETACH other",
        "EXPLAIN INSERT INTO audit VALUES (1, 2)",
        "EXPLAIN QUERY PLAN DELETE FROM audit",
        "/* INSERT */ SELECT 1 -- INSERT",
        "INSERT",
        "",
        " ; ",
        "-- nothing",
    ];
    let postgres: &[_] = &[
        "SELECT 1",
        "VALUES (1)",
        "TABLE audit",
        "WITH v AS (SELECT 1) SELECT * FROM v",
        "WITH gone AS (DELETE FROM audit RETURNING at) SELECT * FROM gone",
        "INSERT INTO audit VALUES ($1, $2) RETURNING at",
        "UPDATE audit SET at = $1 RETURNING *",
        "DELETE FROM audit RETURNING at",
        "CREATE TABLE t(id int)",
        "CREATE TABLE t AS SELECT 1",
        "SELECT 1 INTO t",
        "DROP TABLE audit",
        "TRUNCATE audit",
        "ALTER TABLE audit ADD COLUMN more int",
        "CREATE INDEX i ON audit(at)",
        "COPY audit FROM STDIN",
        "SET search_path = 'x'",
        "SHOW search_path",
        "LOCK TABLE audit",
        "DO $$ BEGIN DELETE FROM audit; END $$",
        "BEGIN",
        "start transaction",
        "COMMIT",
        "END",
        "ROLLBACK",
        "ABORT",
        "SAVEPOINT s",
        "RELEASE s",
        "PREPARE TRANSACTION 'x'",
        "VACUUM",
        "ANALYZE",
        "LISTEN x",
        "NOTIFY x",
        "EXPLAIN INSERT INTO audit VALUES (1, 'x')",
        "EXPLAIN ANALYZE DELETE FROM audit",
        "/* INSERT */ SELECT 1 -- INSERT",
        "INSERT",
        "",
        " ; ",
        "-- nothing",
    ];
    for sql in D::either(sqlite, postgres) {
        refused::<D>(sql);
    }
}

fn two_statements_in_one_are_refused<D: Database>() {
    for sql in [
        "INSERT INTO audit VALUES (1, 'x'); INSERT INTO audit VALUES (2, 'y')",
        D::either(
            "INSERT INTO audit VALUES (?, ?); DROP TABLE audit",
            "INSERT INTO audit VALUES ($1, $2); DROP TABLE audit",
        ),
        "DELETE FROM audit; COMMIT;",
    ] {
        let error = refused::<D>(sql);
        assert!(error.to_string().contains("several statements"), "{error}");
        assert!(error.to_string().contains("group()"), "{error}");
    }
}

fn a_statement_that_does_not_fit_the_schema_is_refused_with_the_cause<D: Database>() {
    let sqlite: &[_] = &[
        ("INSERT INTO nowhere VALUES (?)", "no such table: nowhere"),
        ("INSERT INTO audit(absent) VALUES (?)", "no column named absent"),
        ("UPDATE audit SET at = ? WHERE", "incomplete input"),
        ("DELETE FORM audit", "syntax error"),
    ];
    let postgres: &[_] = &[
        ("INSERT INTO nowhere VALUES ($1)", "relation \"nowhere\" does not exist"),
        ("INSERT INTO audit(absent) VALUES ($1)", "column \"absent\""),
        ("UPDATE audit SET at = $1 WHERE", "syntax error at end of input"),
        ("DELETE FORM audit", "syntax error"),
    ];
    for (sql, cause) in D::either(sqlite, postgres) {
        let error = refused::<D>(sql);
        assert!(format!("{error:#}").contains(cause), "{error:#}");
    }
}

fn an_error_does_not_carry_a_long_statement_with_it<D: Database>() {
    let long = format!("INSERT INTO audit VALUES (1, '{}')", "x".repeat(100_000));
    for sql in
        [format!("{long} garbage"), format!("{long}; SELECT 1"), format!("{long} RETURNING at")]
    {
        let error = refused::<D>(&sql);
        let (plain, whole) = (error.to_string(), format!("{error:#} {error:?}"));
        assert!(plain.len() < 300, "{} bytes", plain.len());
        assert!(whole.len() < 1_000, "{} bytes", whole.len());
        assert!(plain.contains("INSERT INTO audit"), "{plain}");
    }
    let database = audited::<D>();
    let buffer = database.buffer();
    let error = buffer.execute(&format!("{long} garbage")).unwrap_err();
    assert!(format!("{error:#} {error:?}").len() < 1_000);
    let audit = buffer.statement(&format!("{long} ON CONFLICT DO NOTHING")).unwrap();
    let error = audit.push(&json!({"at": 1})).unwrap_err();
    assert!(format!("{error:#} {error:?}").len() < 1_000);
}

fn an_error_over_many_rows_does_not_carry_their_statement_with_it<D: Database>() {
    let columns: Vec<String> =
        (0..300).map(|number| format!("a_rather_long_name_{number}")).collect();
    let database = D::new(&format!("CREATE TABLE wide({} INTEGER)", columns.join(" INTEGER, ")));
    let buffer = database.buffer();
    let rows = buffer.table("wide").insert().producer().unwrap();
    let row: HashMap<&str, i64> = columns.iter().map(|column| (column.as_str(), 1)).collect();
    (0..399).for_each(|_| rows.push(&row).unwrap());
    let rename = "ALTER TABLE wide RENAME COLUMN a_rather_long_name_7 TO seven";
    database.run(rename);
    let mut receipt = rows.submit(&row).unwrap();
    while buffer.stats().pauses == 0 {
        let _ = receipt.wait_timeout(Duration::from_millis(1));
    }
    let Health::Paused(error) = buffer.health() else { panic!("{:?}", buffer.health()) };
    let (plain, whole) = (error.to_string(), format!("{error:#} {error:?}"));
    assert!(plain.len() < 300 && whole.len() < 1_000, "{whole}");
    let error = buffer.close_within(Duration::ZERO).unwrap().leftovers.remove(0).error;
    assert!(format!("{error:#} {error:?}").len() < 1_500, "{error:#}");
    assert!(receipt.wait().is_err());
}
