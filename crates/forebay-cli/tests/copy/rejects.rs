//! Rows that cannot be copied: told by their place and column, kept, and no reason to leave out any other.

use forebay::Value::Integer;

use super::{Move, series};

const MIXED: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, size INTEGER, name TEXT);
    INSERT INTO t VALUES (1, 10, 'first'), (2, 'secret', 'second'), (3, 30, CAST(x'73656372657400' AS TEXT)),
        (4, 40, CAST(x'736563726574ff' AS TEXT)), (5, 0.5, 'fifth'), (6, 60, x'00'), (7, 70, 'last');";

/// The lines that tell of rows.
fn told(errors: &str) -> Vec<&str> {
    errors.lines().filter(|line| line.starts_with("app.db ")).collect()
}

#[test]
fn what_does_not_fit_is_told_by_rowid_and_column_and_never_by_value() {
    let of = Move::with(MIXED, "");
    let ran = of.copy("--table t --rejects bad.ndjson").exits(1);
    assert_eq!(
        told(&ran.errors),
        [
            "app.db t rowid 2: column size: it holds a text, and in PostgreSQL it is bigint",
            "app.db t rowid 3: column name: its text holds a NUL character, and PostgreSQL takes none",
            "app.db t rowid 4: column name: its text is not UTF-8 from byte 7 on, and PostgreSQL takes no other",
            "app.db t rowid 5: column size: it holds a number with a fraction, and in PostgreSQL it is bigint",
            "app.db t rowid 6: column name: it holds a blob, and in PostgreSQL it is text",
        ]
    );
    assert!(!ran.errors.contains("secret") && !ran.out.contains("secret"), "{ran:?}");
    assert!(ran.out.contains("5 rejected; counts and checksums are equal"), "{ran:?}");
    assert_eq!(of.rows("SELECT id FROM t ORDER BY id"), [[Integer(1)], [Integer(7)]]);
    let kept = of.folder.read("bad.ndjson");
    let rows: Vec<_> = kept.lines().filter(|line| !line.starts_with("#forebay:")).collect();
    assert_eq!(rows[0], r#"{"id":2,"name":"second","size":"secret"}"#);
    assert_eq!(rows[3], r#"{"id":5,"name":"fifth","size":0.5}"#);
    assert_eq!((rows.len(), kept.lines().count()), (5, 11));
}

#[test]
fn a_run_that_finds_nothing_to_do_still_says_what_was_rejected_before() {
    let of = Move::with(MIXED, "");
    assert_eq!(of.equal("--table t", 1)["tables"][0]["rejected"], 5);
    let again = of.equal("--table t", 1);
    assert_eq!(
        (&again["tables"][0]["passed"], &again["tables"][0]["rejected"]),
        (&0.into(), &5.into())
    );
    of.equal("--table t --verify count", 1);
}

#[test]
fn what_the_table_refuses_is_no_reason_to_leave_out_another() {
    for key in ["id INTEGER PRIMARY KEY", "id INTEGER"] {
        let of = Move::with(
            &format!(
                "CREATE TABLE t({key}, size INTEGER);
                 INSERT INTO t SELECT value, value FROM {};
                 UPDATE t SET size = -size WHERE id IN (1, 1500, 1501, 3000); UPDATE t SET size = 'x' WHERE id = 1502",
                series(3_000)
            ),
            &format!("CREATE TABLE t({key}, size INTEGER CHECK (size > 0))"),
        );
        let summary = of.equal("--table t --rejects bad.ndjson", 1);
        assert_eq!(summary["tables"][0]["rejected"], 5, "{summary}");
        assert_eq!(of.count("t"), 2_995);
        assert_eq!(of.rows("SELECT count(DISTINCT id) FROM t"), [[Integer(2_995)]]);
        let kept = of.folder.read("bad.ndjson");
        let rows: Vec<_> = kept.lines().filter(|line| line.starts_with('{')).collect();
        assert_eq!(rows.len(), 5);
        for id in ["1,", "1500", "1501", "1502", "3000"] {
            assert!(rows.iter().any(|row| row.starts_with(&format!("{{\"id\":{id}"))), "{kept}");
        }
    }
}

#[test]
fn what_the_table_refused_in_an_earlier_run_is_not_expected_in_a_later_one() {
    for key in ["id INTEGER PRIMARY KEY", "id INTEGER"] {
        let of = Move::with(
            &format!(
                "CREATE TABLE t({key}, size INTEGER);
                 INSERT INTO t SELECT value, value FROM {};
                 UPDATE t SET size = -size WHERE id IN (1, 1500, 3000); UPDATE t SET size = 'x' WHERE id = 1501",
                series(3_000)
            ),
            &format!("CREATE TABLE t({key}, size INTEGER CHECK (size > 0))"),
        );
        for (how, passed) in [("checksum", 3_000), ("checksum", 0), ("count", 0)] {
            let summary = of.equal(&format!("--table t --verify {how}"), 1);
            let table = &summary["tables"][0];
            assert_eq!((&table["passed"], &table["rejected"]), (&passed.into(), &4.into()));
        }
        of.folder.connection().execute_batch("INSERT INTO t VALUES (3001, -1), (3002, 2)").unwrap();
        for (how, passed) in [("count", 2), ("checksum", 0)] {
            let summary = of.equal(&format!("--table t --verify {how}"), 1);
            let table = &summary["tables"][0];
            assert_eq!((&table["passed"], &table["rejected"]), (&passed.into(), &5.into()));
        }
        // A row that is mended in SQLite is one that was changed, and not one that is equal.
        of.folder.connection().execute_batch("UPDATE t SET size = 1 WHERE id = 1").unwrap();
        let ran = of.copy("--table t").exits(3);
        assert!(
            ran.out.contains("2,997 rows copied, 2,997 of them before, 5 rejected;"),
            "{ran:?}"
        );
    }
}

#[test]
fn a_rejected_row_of_a_table_without_rowids_is_told_by_its_number() {
    let of = Move::with(
        "CREATE TABLE t(b TEXT, a TEXT, v INTEGER, PRIMARY KEY(a, b)) WITHOUT ROWID;
         INSERT INTO t VALUES ('x', 'y', 1), ('w', 'y', 'word'), ('u', 'z', 3);",
        "",
    );
    let ran = of.copy("--table t --rejects bad.ndjson").exits(1);
    assert_eq!(
        told(&ran.errors),
        ["app.db t row 1 by a, b: column v: it holds a text, and in PostgreSQL it is bigint"]
    );
    assert!(of.folder.read("bad.ndjson").contains(r#"{"a":"y","b":"w","v":"word"}"#));
    assert_eq!(of.count("t"), 2);
}
