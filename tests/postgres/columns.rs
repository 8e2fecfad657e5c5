//! Columns of types that SQLite does not have, and columns that change while they are written to.

use forebay::Receipt;
use serde_json::{Value as Json, json};
use support::{Database, Postgres};

/// A type, values of it with what the server makes of them, and one that it refuses with this code.
type Case = (&'static str, [(&'static str, &'static str); 2], &'static str, &'static str);

const TYPES: &str = "CREATE TYPE pair AS (a INT, b TEXT);
    CREATE TYPE mood AS ENUM ('good', 'bad');
    CREATE DOMAIN even AS INT CHECK (VALUE % 2 = 0);
    CREATE DOMAIN evens AS INT[] CHECK (VALUE[1] % 2 = 0);";

const CASES: [Case; 10] = [
    ("pair", [("(1,\"x, y\")", "(1,\"x, y\")"), ("(,)", "(,)")], "(x,y)", "22P02"),
    (
        "pair[]",
        [("{\"(1,a)\",\"(2,b)\"}", "{\"(1,a)\",\"(2,b)\"}"), ("{}", "{}")],
        "(1,a)",
        "22P02",
    ),
    ("box", [("(1,1),(0,0)", "(1,1),(0,0)"), ("((2,3),(4,5))", "(4,5),(2,3)")], "(1,1)", "22P02"),
    (
        "box[]",
        [("{(1,1),(0,0);(2,2),(0,0)}", "{(1,1),(0,0);(2,2),(0,0)}"), ("{}", "{}")],
        "x",
        "22P02",
    ),
    ("mood", [("good", "good"), ("bad", "bad")], "fair", "22P02"),
    ("even", [("2", "2"), ("4", "4")], "3", "23514"),
    ("evens", [("{2,3}", "{2,3}"), ("{4}", "{4}")], "{3}", "23514"),
    ("INT[]", [("{1,NULL,3}", "{1,NULL,3}"), ("{{1,2},{3,4}}", "{{1,2},{3,4}}")], "{1,x}", "22P02"),
    (
        "TEXT[]",
        [("{\"a,b\",\"c\\\"d\"}", "{\"a,b\",\"c\\\"d\"}"), ("{NULL,\"NULL\"}", "{NULL,\"NULL\"}")],
        "a",
        "22P02",
    ),
    ("tsvector", [("a fat cat", "'a' 'cat' 'fat'"), ("'it''s':3", "'it''s':3")], "'open", "42601"),
];

#[test]
fn values_of_types_that_sqlite_lacks_are_written_as_they_are_and_a_bad_one_is_refused_alone() {
    for (declared, good, bad, code) in CASES {
        let database =
            Postgres::new(&format!("{TYPES} CREATE TABLE t(id INT PRIMARY KEY, v {declared})"));
        let buffer = database.buffer();
        let t = buffer.table("t").upsert(["id"]).producer().unwrap();
        let rows: [(i32, Option<&str>); 5] =
            [(0, Some(good[0].0)), (1, None), (2, Some(bad)), (3, Some(good[1].0)), (4, None)];
        let receipts = rows.map(|row| t.submit(&row).unwrap());
        buffer.flush().unwrap();
        for (id, receipt) in receipts.into_iter().enumerate() {
            let refused = receipt.wait().err().map(|error| error.sqlstate().unwrap().to_owned());
            assert_eq!(refused.as_deref(), (id == 2).then_some(code), "{declared}, row {id}");
        }
        let text = "SELECT id || coalesce(' ' || v::text, '') FROM t ORDER BY id";
        let expected =
            [format!("0 {}", good[0].1), "1".into(), format!("3 {}", good[1].1), "4".into()];
        assert_eq!(database.column::<String>(text), expected, "{declared}");
    }
}

#[test]
fn a_column_that_was_widened_takes_what_did_not_fit_on_the_same_connection() {
    let wider = [
        ("INT", "BIGINT", json!(3_000_000_000_i64)),
        ("SMALLINT", "INT", json!(70_000)),
        ("VARCHAR(3)", "VARCHAR(9)", json!("longer")),
        ("NUMERIC(3)", "NUMERIC(9)", json!(12_345)),
        ("FLOAT4", "FLOAT8", json!(1e300)),
        ("INT", "TEXT", json!("words")),
        ("pair", "TEXT", json!("words")),
    ];
    for (before, after, value) in wider {
        let database =
            Postgres::new(&format!("{TYPES} CREATE TABLE t(id INT PRIMARY KEY, v {before})"));
        let buffer = database.buffer();
        let t = buffer.table("t").insert().producer().unwrap();
        let write = |id: i32, value: &Json| {
            let receipt = t.submit(&(id, value)).unwrap();
            t.push(&(id + 1, Json::Null)).unwrap();
            buffer.flush().unwrap();
            receipt.wait()
        };
        assert!(write(0, &value).is_err(), "{before} cannot hold {value}");
        let session = session_of(&database);
        database.run(&format!("ALTER TABLE t ALTER v TYPE {after}"));
        write(2, &value).unwrap_or_else(|error| panic!("{after}, {value}: {error:#}"));
        write(4, &value).unwrap();
        assert_eq!(database.value::<i64>("SELECT count(*) FROM t WHERE v IS NOT NULL"), 2);
        assert_eq!(database.value::<i64>("SELECT count(*) FROM t WHERE v IS NULL"), 3);
        assert_eq!(session_of(&database), session, "{before} to {after}");
        assert_eq!((buffer.stats().rejected, buffer.stats().pauses), (1, 0), "{before} to {after}");
    }
}

fn session_of(database: &Postgres) -> i64 {
    database.value(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'forebay'",
    )
}

#[test]
fn a_name_that_is_too_long_for_a_column_of_names_is_refused_alone() {
    let database = Postgres::new("CREATE TABLE t(id INT PRIMARY KEY, v NAME)");
    let buffer = database.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    let long = "n".repeat(70);
    let receipts = ["short", &long, "another"].map(|name| t.submit(&(name.len(), name)).unwrap());
    buffer.flush().unwrap();
    let [first, refused, last] = receipts.map(Receipt::wait);
    assert!(first.is_ok() && last.is_ok());
    assert_eq!(refused.unwrap_err().sqlstate(), Some("42622"));
    assert_eq!(buffer.stats().pauses, 0);
}

#[test]
fn columns_that_differ_in_case_alone_are_told_apart() {
    let database = Postgres::new(
        "CREATE TABLE t(\"ID\" INT UNIQUE, id INT UNIQUE, \"Status\" TEXT, status TEXT)",
    );
    let buffer = database.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    t.write(&json!({"id": 1, "status": "a"})).unwrap();
    t.write(&json!({"id": 1, "ID": 7, "Status": "B"})).unwrap();
    let rows = "SELECT concat_ws(' ', \"ID\", id, \"Status\", status) FROM t";
    assert_eq!(database.column::<String>(rows), ["7 1 B a"]);
    let upper = buffer.table("t").upsert(["ID"]).producer().unwrap();
    upper.write(&json!({"ID": 7, "id": 2})).unwrap();
    assert_eq!(database.column::<String>(rows), ["7 2 B a"]);
}
