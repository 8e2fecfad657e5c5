//! A statement of the application's runs once for each row, with the row as its parameters.

use std::collections::HashMap;
use std::time::Duration;

use forebay::{Error, ErrorKind, Health};
use serde::Serialize;
use serde_json::json;
use support::Scratch;

#[derive(Serialize)]
struct Note<'a> {
    what: &'a str,
    at: i64,
}

fn scratch() -> Scratch {
    Scratch::new("CREATE TABLE audit(at INTEGER, what TEXT)")
}

/// Fails unless the statement is refused as one that no producer can have.
fn refused(sql: &str) -> Error {
    let scratch = scratch();
    let error = scratch.buffer().statement(sql).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Statement, "{sql}: {error:#}");
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM audit", []), 0, "{sql}");
    error
}

#[test]
fn parameters_are_named_in_any_of_the_three_ways() {
    for sql in [
        "INSERT INTO audit(at, what) VALUES (:at, :what)",
        "INSERT INTO audit(at, what) VALUES (@at, @what)",
        "INSERT INTO audit(at, what) VALUES ($at, $what)",
        "INSERT INTO audit(what, at) VALUES ($what, :at) -- mixed, and the other way round",
        "INSERT INTO audit(at, what) SELECT :at, :what WHERE :at = :at AND :what IS NOT NULL;",
    ] {
        let scratch = scratch();
        let buffer = scratch.buffer();
        let audit = buffer.statement(sql).unwrap();
        audit.write(&Note { what: "struct", at: 1 }).unwrap();
        audit.write(&json!({"at": 2, "what": "map"})).unwrap();
        for at in 3..20 {
            let at = at.to_string();
            audit.write(&HashMap::from([("what", "map"), ("at", at.as_str())])).unwrap();
        }
        let whats: Vec<String> = scratch.column("SELECT at || what FROM audit ORDER BY at");
        assert_eq!(whats.len(), 19, "{sql}");
        assert_eq!(whats[..3], ["1struct", "2map", "3map"], "{sql}");
    }
}

#[test]
fn a_tuples_values_go_to_the_parameters_in_their_order() {
    for sql in [
        "INSERT INTO audit(at, what) VALUES (?, ?)",
        "INSERT INTO audit(what, at) VALUES (?2, ?1)",
        "INSERT INTO audit(at, what) VALUES (:b, :a)",
        "INSERT INTO audit(at, what) SELECT ?1, ?2 WHERE ?1 > 0",
    ] {
        let scratch = scratch();
        let audit = scratch.buffer().statement(sql).unwrap();
        audit.write(&(7, "tuple")).unwrap();
        assert_eq!(scratch.value::<String>("SELECT at || what FROM audit", []), "7tuple", "{sql}");
        let error = audit.push(&(7, "tuple", 8)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema);
        assert!(error.to_string().contains("tuple of 3"), "{error}");
    }
}

#[test]
fn a_statement_without_parameters_takes_the_empty_map() {
    let scratch = scratch();
    let audit = scratch.buffer().statement("INSERT INTO audit DEFAULT VALUES").unwrap();
    let nothing = HashMap::<String, i64>::new();
    audit.write(&nothing).unwrap();
    audit.write(&nothing).unwrap();
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM audit", []), 2);
}

#[test]
fn every_kind_of_write_is_a_statement() {
    let scratch = Scratch::new(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, n); INSERT INTO t VALUES (1, 1), (2, 2)",
    );
    let buffer = scratch.buffer();
    for (sql, row, expected) in [
        ("REPLACE INTO t VALUES (?, ?)", (1, 10), [(1, 10), (2, 2)].as_slice()),
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
    ] {
        buffer.statement(sql).unwrap().write(&row).unwrap();
        let connection = scratch.connection();
        let mut statement = connection.prepare("SELECT id, n FROM t ORDER BY id").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let rows: Vec<(i64, i64)> = rows.collect::<Result<_, _>>().unwrap();
        assert_eq!(rows, expected, "{sql}");
    }
}

#[test]
fn a_row_must_have_a_field_for_each_parameter() {
    let scratch = scratch();
    let buffer = scratch.buffer();
    let sql = "INSERT INTO audit(at, what) VALUES (:at, :what)";
    let audit = buffer.statement(sql).unwrap();
    let error = audit.push(&json!({"at": 1})).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.to_string().contains("`what`"), "{error}");
    assert!(error.to_string().contains(sql), "{error}");

    let positional = buffer.statement("INSERT INTO audit(at, what) VALUES (?, :what)").unwrap();
    let error = positional.push(&json!({"what": "x"})).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert!(error.to_string().contains("parameter 1"), "{error}");
    positional.write(&(1, "x")).unwrap();
    assert_eq!(buffer.stats().accepted, 1);
}

#[test]
fn a_field_without_a_parameter_is_refused_with_the_parameters_there_are() {
    let scratch = scratch();
    let buffer = scratch.buffer();
    let audit = buffer.statement("INSERT INTO audit(at, what) VALUES (:at, :what)").unwrap();
    for field in ["extra", "AT", ":at"] {
        let error = audit.push(&json!({"at": 1, "what": "x", field: 2})).unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::UnknownField, Some(field)));
        assert!(error.to_string().contains("at, what"), "{error}");
    }
    let unnamed = buffer.statement("INSERT INTO audit(at, what) VALUES (?, ?2)").unwrap();
    let error = unnamed.push(&json!({"at": 1, "what": "x"})).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownField);
    assert!(error.to_string().contains("send a tuple"), "{error}");
}

#[test]
fn what_is_not_a_write_row_by_row_is_refused() {
    for sql in [
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
    ] {
        refused(sql);
    }
}

#[test]
fn two_statements_in_one_are_refused() {
    for sql in [
        "INSERT INTO audit VALUES (1, 'x'); INSERT INTO audit VALUES (2, 'y')",
        "INSERT INTO audit VALUES (?, ?); DROP TABLE audit",
        "DELETE FROM audit; COMMIT;",
    ] {
        let error = refused(sql);
        assert!(error.to_string().contains("several statements"), "{error}");
        assert!(error.to_string().contains("group()"), "{error}");
    }
}

#[test]
fn a_statement_that_does_not_fit_the_schema_is_refused_with_the_cause() {
    for (sql, cause) in [
        ("INSERT INTO nowhere VALUES (?)", "no such table: nowhere"),
        ("INSERT INTO audit(absent) VALUES (?)", "no column named absent"),
        ("UPDATE audit SET at = ? WHERE", "incomplete input"),
        ("DELETE FORM audit", "syntax error"),
    ] {
        let error = refused(sql);
        assert!(format!("{error:#}").contains(cause), "{error:#}");
    }
}

#[test]
fn an_error_does_not_carry_a_long_statement_with_it() {
    let long = format!("INSERT INTO audit VALUES (1, '{}')", "x".repeat(100_000));
    for sql in
        [format!("{long} garbage"), format!("{long}; SELECT 1"), format!("{long} RETURNING at")]
    {
        let error = refused(&sql);
        let (plain, whole) = (error.to_string(), format!("{error:#} {error:?}"));
        assert!(plain.len() < 300, "{} bytes", plain.len());
        assert!(whole.len() < 1_000, "{} bytes", whole.len());
        assert!(plain.contains("INSERT INTO audit"), "{plain}");
    }
    let scratch = scratch();
    let buffer = scratch.buffer();
    let error = buffer.execute(&format!("{long} garbage")).unwrap_err();
    assert!(format!("{error:#} {error:?}").len() < 1_000);
    let audit = buffer.statement(&format!("{long} ON CONFLICT DO NOTHING")).unwrap();
    let error = audit.push(&json!({"at": 1})).unwrap_err();
    assert!(format!("{error:#} {error:?}").len() < 1_000);
}

#[test]
fn an_error_over_many_rows_does_not_carry_their_statement_with_it() {
    let columns: Vec<String> =
        (0..300).map(|number| format!("a_rather_long_name_{number}")).collect();
    let scratch = Scratch::new(&format!("CREATE TABLE wide({})", columns.join(", ")));
    let buffer = scratch.buffer();
    let rows = buffer.table("wide").insert().producer().unwrap();
    let row: HashMap<&str, i64> = columns.iter().map(|column| (column.as_str(), 1)).collect();
    (0..399).for_each(|_| rows.push(&row).unwrap());
    let rename = "ALTER TABLE wide RENAME COLUMN a_rather_long_name_7 TO seven";
    scratch.connection().execute_batch(rename).unwrap();
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

#[test]
fn equal_rows_run_once_each() {
    let scratch = Scratch::new("CREATE TABLE counter(n INTEGER); INSERT INTO counter VALUES (0)");
    let buffer = scratch.buffer();
    let add = buffer.statement("UPDATE counter SET n = n + :by").unwrap();
    let row = HashMap::from([("by", 1)]);
    (0..130).for_each(|_| add.push(&row).unwrap());
    buffer.flush().unwrap();
    assert_eq!(scratch.value::<i64>("SELECT n FROM counter", []), 130);
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.superseded, stats.transactions), (130, 0, 1));
}

#[test]
fn a_row_that_changed_nothing_is_counted_as_unchanged() {
    let scratch = scratch();
    let buffer = scratch.buffer();
    let update = buffer.statement("UPDATE audit SET what = 'x' WHERE at = ?").unwrap();
    let insert = buffer.statement("INSERT INTO audit SELECT value, 'v' FROM json_each(?)").unwrap();
    insert.push(&("[1, 2, 3]",)).unwrap();
    update.push(&(1,)).unwrap();
    update.push(&(9,)).unwrap();
    buffer.flush().unwrap();
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.unchanged), (3, 1));
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM audit", []), 3);
}

#[test]
fn one_row_may_be_refused_and_the_others_written() {
    let scratch = Scratch::new("CREATE TABLE t(id INTEGER PRIMARY KEY)");
    let buffer = scratch.buffer();
    let sql = "INSERT INTO t VALUES (abs(:id))";
    let t = buffer.statement(sql).unwrap();
    let receipts = [1, i64::MIN, -1, 2].map(|id| t.submit(&HashMap::from([("id", id)])).unwrap());
    buffer.flush().unwrap();
    let kinds = receipts.map(|receipt| receipt.decided().unwrap().err().map(|error| error.kind()));
    // abs() overflows at i64::MIN, and -1 is 1 once more.
    assert_eq!(kinds, [None, Some(ErrorKind::Rejected), Some(ErrorKind::Rejected), None]);
    assert_eq!(scratch.column::<i64>("SELECT id FROM t"), [1, 2]);
}
