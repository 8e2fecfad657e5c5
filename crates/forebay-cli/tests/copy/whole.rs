//! A copy that nothing comes between: values, types, keys, and what is compared in the end.

use forebay::Sink as _;
use forebay::Value::{self, Blob, Integer, Null, Real};
use forebay_postgres::PostgresSink;

use ::support::Database;

use super::{Move, series, text};

/// The columns of a table with their types, and whether they take NULL.
fn columns(of: &Move, table: &str) -> Vec<String> {
    let sql = format!(
        "SELECT column_name::text || ' ' || data_type::text || CASE is_nullable WHEN 'NO' THEN ' not null' ELSE '' END \
         FROM information_schema.columns WHERE table_name = '{table}' ORDER BY ordinal_position"
    );
    let rows = of.rows(&sql);
    rows.iter()
        .map(|row| if let Value::Text(text) = &row[0] { text.clone() } else { String::new() })
        .collect()
}

#[test]
fn every_value_is_what_it_was() {
    let of = Move::with(
        "CREATE TABLE Samples(Id INTEGER PRIMARY KEY, whole INT, real REAL, name TEXT NOT NULL, bytes BLOB, flag BOOLEAN,
             at DATETIME, price DECIMAL(10,2), anything);
         INSERT INTO Samples VALUES (1, -9223372036854775808, 0.1, 'Grüße, \"quoted\", ''so''', x'00ff', 1, '2026-01-31', 9.99, 7);
         INSERT INTO Samples VALUES (2, NULL, NULL, '', x'', 0, NULL, 10, 'seven');
         INSERT INTO Samples VALUES (3, 9223372036854775807, 9e999, char(9, 10, 13), NULL, NULL, '', -0.5, 0.25);
         INSERT INTO Samples VALUES (-4, 0, 1e-300, '😀', NULL, NULL, '', NULL, NULL);",
        "",
    );
    let summary = of.equal("--table samples --table Samples", 0);
    let table = &summary["tables"][0];
    assert_eq!((&table["source_rows"], &table["passed"]), (&4.into(), &4.into()));
    assert_eq!((&table["created"], &table["rejected"]), (&true.into(), &0.into()));
    assert_eq!(
        columns(&of, "samples"),
        [
            "id bigint not null",
            "whole bigint",
            "real double precision",
            "name text not null",
            "bytes bytea",
            "flag boolean",
            "at text",
            "price double precision",
            "anything text",
        ]
    );
    assert_eq!(
        of.rows("SELECT * FROM samples ORDER BY id"),
        [
            vec![
                Integer(-4),
                Integer(0),
                Real(1e-300),
                text("😀"),
                Null,
                Null,
                text(""),
                Null,
                Null
            ],
            vec![
                Integer(1),
                Integer(i64::MIN),
                Real(0.1),
                text("Grüße, \"quoted\", 'so'"),
                Blob(vec![0, 255]),
                Integer(1),
                text("2026-01-31"),
                Real(9.99),
                text("7"),
            ],
            vec![
                Integer(2),
                Null,
                Null,
                text(""),
                Blob(Vec::new()),
                Integer(0),
                Null,
                Real(10.0),
                text("seven"),
            ],
            vec![
                Integer(3),
                Integer(i64::MAX),
                Real(f64::INFINITY),
                text("\t\n\r"),
                Null,
                Null,
                text(""),
                Real(-0.5),
                text("0.25"),
            ],
        ]
    );
}

#[test]
fn keys_and_unique_columns_are_kept() {
    let of = Move::with(
        "CREATE TABLE t(a TEXT, b INTEGER, c TEXT, PRIMARY KEY(b, a)) WITHOUT ROWID;
         CREATE UNIQUE INDEX by_c ON t(c);
         INSERT INTO t VALUES ('x', 1, 'one'), ('y', 1, 'two'), ('x', 2, NULL), ('z', 2, NULL);",
        "",
    );
    of.equal("--table t", 0);
    let definitions = of.rows(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 't'::regclass ORDER BY contype",
    );
    assert_eq!(definitions, [[text("PRIMARY KEY (b, a)")], [text("UNIQUE (c)")]]);
    // Once more: there is nothing new, and nothing is there twice.
    let again = of.equal("--table t", 0);
    assert_eq!(again["tables"][0]["passed"], 0);
    assert_eq!(of.count("t"), 4);
    of.folder.connection().execute("INSERT INTO t VALUES ('w', 9, 'new')", []).unwrap();
    let again = of.equal("--table t", 0);
    assert_eq!(again["tables"][0]["passed"], 1, "only what has been added is copied");
    assert_eq!(of.count("t"), 5);
}

#[test]
fn a_table_without_a_key_has_every_row_as_often_as_before() {
    let lines = series(5_000);
    let log = format!(
        "CREATE TABLE log(at, what); INSERT INTO log SELECT value / 10, 'line' FROM {lines}"
    );
    let of = Move::with(&log, "");
    of.equal("--table log", 0);
    assert_eq!(of.count("log"), 5_000);
    assert_eq!(
        of.rows("SELECT max(n) FROM (SELECT count(*) n FROM log GROUP BY at) g"),
        [[Integer(10)]]
    );
    assert_eq!(of.equal("--table log", 0)["tables"][0]["passed"], 0);
    of.folder.connection().execute("INSERT INTO log VALUES (7, 'added')", []).unwrap();
    assert_eq!(of.equal("--table log", 0)["tables"][0]["passed"], 1);
    assert_eq!(of.count("log"), 5_001);
}

#[test]
fn all_tables_are_all_that_are_the_users() {
    let of = Move::with(
        "CREATE TABLE a(id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO a VALUES (1), (2);
         CREATE TABLE \"Order\"(\"select\" TEXT PRIMARY KEY, \"a \"\"b\"\"\" TEXT); INSERT INTO \"Order\" VALUES ('x', 'y');
         CREATE TABLE empty(v); CREATE VIEW v AS SELECT * FROM a; CREATE VIRTUAL TABLE words USING fts5(text);",
        "",
    );
    let summary = of.equal("--all-tables", 0);
    let names: Vec<_> =
        summary["tables"].as_array().unwrap().iter().map(|table| &table["target"]).collect();
    assert_eq!(names, ["order", "a", "empty"]);
    assert_eq!(
        of.rows("SELECT \"select\", \"a \"\"b\"\"\" FROM \"order\""),
        [[text("x"), text("y")]]
    );
    assert_eq!((of.count("a"), of.count("empty")), (2, 0));
}

#[test]
fn a_table_that_is_there_has_the_types_that_it_was_made_with() {
    let of = Move::with(
        "CREATE TABLE events(id INTEGER PRIMARY KEY, at TEXT, done INTEGER, tags TEXT, price REAL, key TEXT);
         INSERT INTO events VALUES (1, '2026-01-31 09:30:00Z', 1, '[1, 2]', 2.5, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11');
         INSERT INTO events VALUES (2, NULL, 0, NULL, NULL, NULL);",
        "CREATE TABLE events(key uuid, id int PRIMARY KEY, at timestamptz, done bool, tags jsonb, price numeric(10,2),
             note text DEFAULT 'none')",
    );
    let summary = of.equal("--table events", 0);
    assert_eq!(summary["tables"][0]["created"], false);
    let left_out = &summary["tables"][0]["compared"]["checksums"]["left_out"];
    assert_eq!(*left_out, serde_json::json!(["at", "tags", "price", "key"]));
    assert_eq!(
        of.rows("SELECT id, extract(epoch FROM at)::int8, done, tags->>1, price, note FROM events ORDER BY id"),
        [
            vec![Integer(1), Integer(1_769_851_800), Integer(1), text("2"), Real(2.5), text("none")],
            vec![Integer(2), Null, Integer(0), Null, Null, text("none")],
        ]
    );
}

#[test]
fn a_copy_that_is_not_equal_says_so() {
    let rows = series(100);
    let t = format!(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t SELECT value, 'v' FROM {rows}"
    );
    let of = Move::with(&t, "");
    of.equal("--table t", 0);
    of.to.run("UPDATE t SET v = 'w' WHERE id = 50");
    let ran = of.copy("--table t").exits(3);
    assert!(ran.errors.contains("as many rows as it should, and other values in them"), "{ran:?}");
    of.equal("--table t --verify count", 0);
    of.to.run("DELETE FROM t WHERE id = 50");
    for how in ["checksum", "count"] {
        let ran = of.copy(&format!("--table t --verify {how}")).exits(3);
        assert!(ran.errors.contains("99 rows instead of 100"), "{ran:?}");
    }
    of.copy("--table t --verify none").exits(0);
    of.equal("--table t --from-start", 0);
}

#[test]
fn the_source_is_as_it_was() {
    let of = Move::with("CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)", "");
    let bytes = || std::fs::read(of.folder.path("app.db")).unwrap();
    let before = bytes();
    let files = || std::fs::read_dir(of.folder.path("")).unwrap().count();
    let there = files();
    of.equal("--table t", 0);
    assert!(bytes() == before && files() == there);
}

#[test]
fn the_server_is_called_what_the_sink_calls_it() {
    let of = Move::with("CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)", "");
    for url in [of.to.url(), of.to.tcp_url()] {
        let name = PostgresSink::connect(&url).unwrap().name();
        let copied = of.folder.run(&format!("forebay copy app.db {url} --table t --json"));
        assert_eq!(copied.exits(0).summary()["into"], name);
        let loaded = of.folder.run_on(
            &format!(
                "forebay load - --format csv --into {url} --table t --ignore-duplicates --json"
            ),
            "id\n1\n",
        );
        assert_eq!(loaded.exits(0).summary()["into"], name);
    }
}
