//! A statement of the application's runs once for each row, with the row as its parameters.

use std::collections::HashMap;
use std::time::Duration;

use forebay::{Error, ErrorKind, Health, Value};
use serde::Serialize;
use serde_json::json;
use support::{Database, on_both_sinks};

on_both_sinks!(
    a_tuples_values_go_to_the_parameters_in_their_order,
    a_statement_without_parameters_takes_the_empty_map,
    every_kind_of_write_is_a_statement,
    a_row_must_have_a_field_for_each_parameter,
    a_field_without_a_parameter_is_refused_with_the_parameters_there_are,
    what_is_not_a_write_row_by_row_is_refused,
    two_statements_in_one_are_refused,
    a_statement_that_does_not_fit_the_schema_is_refused_with_the_cause,
    an_error_does_not_carry_a_long_statement_with_it,
    an_error_over_many_rows_does_not_carry_their_statement_with_it,
    equal_rows_run_once_each,
    a_row_that_changed_nothing_is_counted_as_unchanged,
    one_row_may_be_refused_and_the_others_written,
    parameters_are_named_in_any_of_the_databases_ways,
);

#[derive(Serialize)]
struct Note<'a> {
    what: &'a str,
    at: i64,
}

fn audited<D: Database>() -> D {
    D::new("CREATE TABLE audit(at INTEGER, what TEXT)")
}

/// Fails unless the statement is refused as one that no producer can have.
fn refused<D: Database>(sql: &str) -> Error {
    let database = audited::<D>();
    let error = database.buffer().statement(sql).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Statement, "{sql}: {error:#}");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM audit"), 0, "{sql}");
    error
}

fn a_tuples_values_go_to_the_parameters_in_their_order<D: Database>() {
    let sqlite: &[_] = &[
        "INSERT INTO audit(at, what) VALUES (?, ?)",
        "INSERT INTO audit(what, at) VALUES (?2, ?1)",
        "INSERT INTO audit(at, what) VALUES (:b, :a)",
        "INSERT INTO audit(at, what) SELECT ?1, ?2 WHERE ?1 > 0",
    ];
    let postgres: &[_] = &[
        "INSERT INTO audit(at, what) VALUES ($1, $2)",
        "INSERT INTO audit(what, at) VALUES ($2, $1)",
        "INSERT INTO audit(at, what) VALUES (:b, :a)",
        "INSERT INTO audit(at, what) SELECT $1, $2 WHERE $1 > 0",
    ];
    for sql in D::either(sqlite, postgres) {
        let database = audited::<D>();
        let audit = database.buffer().statement(sql).unwrap();
        audit.write(&(7, "tuple")).unwrap();
        assert_eq!(database.value::<String>("SELECT at || what FROM audit"), "7tuple", "{sql}");
        let error = audit.push(&(7, "tuple", 8)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema);
        assert!(error.to_string().contains("tuple of 3"), "{error}");
    }
}

fn a_statement_without_parameters_takes_the_empty_map<D: Database>() {
    let database = audited::<D>();
    let audit = database.buffer().statement("INSERT INTO audit DEFAULT VALUES").unwrap();
    let nothing = HashMap::<String, i64>::new();
    audit.write(&nothing).unwrap();
    audit.write(&nothing).unwrap();
    assert_eq!(database.value::<i64>("SELECT count(*) FROM audit"), 2);
}

fn every_kind_of_write_is_a_statement<D: Database>() {
    type Case = (&'static str, (i64, i64), &'static [(i64, i64)]);

    let database = D::new(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO t VALUES (1, 1), (2, 2)",
    );
    let buffer = database.buffer();
    let sqlite: &[Case] = &[
        ("REPLACE INTO t VALUES (?, ?)", (1, 10), &[(1, 10), (2, 2)]),
        ("INSERT OR IGNORE INTO t VALUES (?, ?)", (1, 11), &[(1, 10), (2, 2)]),
        ("UPDATE t SET n = n + ?2 WHERE id = ?1", (2, 3), &[(1, 10), (2, 5)]),
        ("DELETE FROM t WHERE id = ? OR n = ?", (1, 5), &[]),
        ("WITH v(a, b) AS (VALUES (?, ?)) INSERT INTO t SELECT a, b FROM v", (3, 4), &[(3, 4)]),
        (
            "with recursive c(x) as (select ?1 union all select x + 1 from c where x < ?2) \
          insert into t select x, 0 from c",
            (7, 9),
            &[(3, 4), (7, 0), (8, 0), (9, 0)],
        ),
        (
            "WITH v(a, b) AS (VALUES (?, ?)) DELETE FROM t WHERE id IN (SELECT a FROM v) OR id > 3",
            (3, 0),
            &[],
        ),
        (
            "-- comment\n /* another */ INSERT INTO t VALUES (?, ?); -- and a third",
            (5, 6),
            &[(5, 6)],
        ),
    ];
    let postgres: &[Case] = &[
        (
            "INSERT INTO t VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET n = excluded.n",
            (1, 10),
            &[(1, 10), (2, 2)],
        ),
        ("INSERT INTO t VALUES ($1, $2) ON CONFLICT DO NOTHING", (1, 11), &[(1, 10), (2, 2)]),
        ("UPDATE t SET n = n + $2 WHERE id = $1", (2, 3), &[(1, 10), (2, 5)]),
        ("DELETE FROM t WHERE id = :id OR n = :n", (1, 5), &[]),
        (
            "WITH v(a, b) AS (VALUES ($1::bigint, $2::bigint)) INSERT INTO t SELECT a, b FROM v",
            (3, 4),
            &[(3, 4)],
        ),
        (
            "with recursive c(x) as (select :from::bigint union all select x + 1 from c where x < :to) \
          insert into t select x, 0 from c",
            (7, 9),
            &[(3, 4), (7, 0), (8, 0), (9, 0)],
        ),
        (
            "WITH v(a, b) AS (VALUES ($1::bigint, $2::bigint)) \
             DELETE FROM t WHERE id IN (SELECT a FROM v) OR id > 3",
            (3, 0),
            &[],
        ),
        (
            "-- it's a comment\n /* another :one */ INSERT INTO t VALUES (:a, :b); -- and a third",
            (5, 6),
            &[(5, 6)],
        ),
    ];
    for (sql, row, expected) in D::either(sqlite, postgres) {
        buffer.statement(sql).unwrap().write(row).unwrap();
        let rows = database.rows("SELECT id, n FROM t ORDER BY id");
        let expected = expected.iter().map(|&(id, n)| vec![Value::Integer(id), Value::Integer(n)]);
        assert_eq!(rows, expected.collect::<Vec<_>>(), "{sql}");
    }
}

fn a_row_must_have_a_field_for_each_parameter<D: Database>() {
    let database = audited::<D>();
    let buffer = database.buffer();
    let sql = "INSERT INTO audit(at, what) VALUES (:at, :what)";
    let audit = buffer.statement(sql).unwrap();
    let error = audit.push(&json!({"at": 1})).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.to_string().contains("`what`"), "{error}");
    assert!(error.to_string().contains(sql), "{error}");

    // PostgreSQL's own parameters have numbers, and no names beside them.
    let (sql, row) = D::either(
        ("INSERT INTO audit(at, what) VALUES (?, :what)", json!({"what": "x"})),
        ("INSERT INTO audit(at, what) VALUES ($1, $2)", json!({})),
    );
    let positional = buffer.statement(sql).unwrap();
    let error = positional.push(&row).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.to_string().contains("parameter 1"), "{error}");
    positional.write(&(1, "x")).unwrap();
    assert_eq!(buffer.stats().accepted, 1);
}

fn a_field_without_a_parameter_is_refused_with_the_parameters_there_are<D: Database>() {
    let database = audited::<D>();
    let buffer = database.buffer();
    let audit = buffer.statement("INSERT INTO audit(at, what) VALUES (:at, :what)").unwrap();
    for field in ["extra", "AT", ":at"] {
        let error = audit.push(&json!({"at": 1, "what": "x", field: 2})).unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::UnknownField, Some(field)));
        assert!(error.to_string().contains("at, what"), "{error}");
    }
    let sql = D::either("VALUES (?, ?2)", "VALUES ($1, $2)");
    let unnamed = buffer.statement(&format!("INSERT INTO audit(at, what) {sql}")).unwrap();
    let error = unnamed.push(&json!({"at": 1, "what": "x"})).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownField);
    assert!(error.to_string().contains("send a tuple"), "{error}");
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

fn equal_rows_run_once_each<D: Database>() {
    let database = D::new("CREATE TABLE counter(n INTEGER); INSERT INTO counter VALUES (0)");
    let buffer = database.buffer();
    let add = buffer.statement("UPDATE counter SET n = n + :by").unwrap();
    let row = HashMap::from([("by", 1)]);
    (0..130).for_each(|_| add.push(&row).unwrap());
    buffer.flush().unwrap();
    assert_eq!(database.value::<i64>("SELECT n FROM counter"), 130);
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.superseded, stats.transactions), (130, 0, 1));
}

fn a_row_that_changed_nothing_is_counted_as_unchanged<D: Database>() {
    let database = audited::<D>();
    let buffer = database.buffer();
    let update = buffer.statement("UPDATE audit SET what = 'x' WHERE at = :at").unwrap();
    let insert = buffer.statement(D::either(
        "INSERT INTO audit SELECT value, 'v' FROM json_each(?)",
        "INSERT INTO audit SELECT value::bigint, 'v' FROM json_array_elements_text($1::json)",
    ));
    let insert = insert.unwrap();
    insert.push(&("[1, 2, 3]",)).unwrap();
    update.push(&(1,)).unwrap();
    update.push(&(9,)).unwrap();
    buffer.flush().unwrap();
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.unchanged), (3, 1));
    assert_eq!(database.value::<i64>("SELECT count(*) FROM audit"), 3);
}

fn one_row_may_be_refused_and_the_others_written<D: Database>() {
    let database = D::new("CREATE TABLE t(id INTEGER PRIMARY KEY)");
    let buffer = database.buffer();
    let sql = "INSERT INTO t VALUES (abs(:id))";
    let t = buffer.statement(sql).unwrap();
    let receipts = [1, i64::MIN, -1, 2].map(|id| t.submit(&HashMap::from([("id", id)])).unwrap());
    buffer.flush().unwrap();
    let kinds = receipts.map(|receipt| receipt.decided().unwrap().err().map(|error| error.kind()));
    // abs() overflows at i64::MIN, and -1 is 1 once more.
    assert_eq!(kinds, [None, Some(ErrorKind::Rejected), Some(ErrorKind::Rejected), None]);
    assert_eq!(database.column::<i64>("SELECT id FROM t"), [1, 2]);
}

fn parameters_are_named_in_any_of_the_databases_ways<D: Database>() {
    let sqlite: &[_] = &[
        "INSERT INTO audit(at, what) VALUES (:at, :what)",
        "INSERT INTO audit(at, what) VALUES (@at, @what)",
        "INSERT INTO audit(at, what) VALUES ($at, $what)",
        "INSERT INTO audit(what, at) VALUES ($what, :at) -- mixed, and the other way round",
        "INSERT INTO audit(at, what) SELECT :at, :what WHERE :at = :at AND :what IS NOT NULL;",
    ];
    let postgres: &[_] = &[
        "INSERT INTO audit(at, what) VALUES (:at, :what)",
        "INSERT INTO audit(what, at) VALUES (:what, :at) -- the other way round",
        "INSERT INTO audit(at, what) SELECT :at::bigint, :what WHERE :at = :at AND :what::text IS NOT NULL;",
    ];
    for sql in D::either(sqlite, postgres) {
        let database = audited::<D>();
        let buffer = database.buffer();
        let audit = buffer.statement(sql).unwrap();
        audit.write(&Note { what: "struct", at: 1 }).unwrap();
        audit.write(&json!({"at": 2, "what": "map"})).unwrap();
        for at in 3..20 {
            let at = at.to_string();
            audit.write(&HashMap::from([("what", "map"), ("at", at.as_str())])).unwrap();
        }
        let whats: Vec<String> = database.column("SELECT at || what FROM audit ORDER BY at");
        assert_eq!(whats.len(), 19, "{sql}");
        assert_eq!(whats[..3], ["1struct", "2map", "3map"], "{sql}");
    }
}
