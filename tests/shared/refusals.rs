//! Whatever of the database's refuses a row: its receipt says so, and no other.

use serde_json::{Value as Json, json};
use support::{Database, SinkKind, on_both_sinks};

use crate::{error, refused};

on_both_sinks!(a_rejected_row_fails_its_own_receipt_and_no_other_whatever_refused_it);

/// What refuses one row of 400: the table, the bad row, the database's number, the constraint, and the others' value.
type Refusal = (&'static str, (Json, Json), &'static str, &'static str, Json);

fn refusals<D: Database>() -> Vec<Refusal> {
    let secret = || json!("s3cret");
    let sqlite = || {
        vec![
            (
                "t(id INTEGER PRIMARY KEY, v UNIQUE); INSERT INTO t VALUES (-1, 's3cret')",
                (json!(1_000), secret()),
                "2067",
                "UNIQUE t.v",
                json!(null),
            ),
            (
                "t(id TEXT PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO t VALUES ('s3cret', 0)",
                (secret(), json!(0)),
                "1555",
                "PRIMARY KEY t.id",
                json!(null),
            ),
            (
                "t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (7000, 0)",
                (json!(7_000), secret()),
                "1555",
                "PRIMARY KEY t.id",
                json!(null),
            ),
            (
                "t(id INTEGER PRIMARY KEY, v NOT NULL)",
                (json!(1_000), json!(null)),
                "1299",
                "NOT NULL t.v",
                json!(0),
            ),
            (
                "t(id INTEGER PRIMARY KEY, v CONSTRAINT harmless CHECK (v <> 's3cret'))",
                (json!(1_000), secret()),
                "275",
                "CHECK harmless",
                json!(null),
            ),
            (
                "t(id INTEGER PRIMARY KEY, v REFERENCES t(id))",
                (json!(1_000), secret()),
                "787",
                "FOREIGN KEY",
                json!(null),
            ),
            (
                "t(id INTEGER PRIMARY KEY, v INTEGER) STRICT",
                (json!(1_000), secret()),
                "3091",
                "the column's type: cannot store TEXT value in INTEGER column t.v",
                json!(null),
            ),
            (
                "t(id INTEGER PRIMARY KEY, v);
             CREATE TRIGGER guard BEFORE INSERT ON t WHEN new.v = 's3cret'
             BEGIN SELECT RAISE(ABORT, 'no s3cret here'); END",
                (json!(1_000), secret()),
                "1811",
                "a trigger's RAISE",
                json!(null),
            ),
            (
                "t(id INTEGER PRIMARY KEY, v)",
                (secret(), json!(0)),
                "20",
                "the type of the INTEGER PRIMARY KEY",
                json!(null),
            ),
            (
                "t(id INTEGER PRIMARY KEY, v CHECK (json(v) NOT NULL))",
                (json!(1_000), secret()),
                "1",
                "an expression of the schema",
                json!(0),
            ),
        ]
    };
    let postgres = || {
        vec![
            (
                "t(id BIGINT PRIMARY KEY, v TEXT UNIQUE); INSERT INTO t VALUES (-1, 's3cret')",
                (json!(1_000), secret()),
                "23505",
                "UNIQUE t_v_key",
                json!(null),
            ),
            (
                "t(id TEXT PRIMARY KEY, v BIGINT); INSERT INTO t VALUES ('s3cret', 0)",
                (secret(), json!(0)),
                "23505",
                "UNIQUE t_pkey",
                json!(null),
            ),
            (
                "t(id BIGINT PRIMARY KEY, v TEXT NOT NULL)",
                (json!(1_000), json!(null)),
                "23502",
                "NOT NULL v",
                json!("x"),
            ),
            (
                "t(id BIGINT PRIMARY KEY, v TEXT CONSTRAINT harmless CHECK (v <> 's3cret'))",
                (json!(1_000), secret()),
                "23514",
                "CHECK harmless",
                json!(null),
            ),
            (
                "t(id TEXT PRIMARY KEY, v TEXT REFERENCES t(id))",
                (json!("1000"), secret()),
                "23503",
                "FOREIGN KEY t_v_fkey",
                json!(null),
            ),
            (
                "t(id BIGINT PRIMARY KEY, v VARCHAR(4))",
                (json!(1_000), secret()),
                "22001",
                "a column's length",
                json!(null),
            ),
            (
                "t(id BIGINT PRIMARY KEY, v TEXT);
                 CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'no s3cret here'; END $$;
                 CREATE TRIGGER guard BEFORE INSERT ON t FOR EACH ROW WHEN (new.v = 's3cret') EXECUTE FUNCTION guard()",
                (json!(1_000), secret()),
                "P0001",
                "a trigger's RAISE",
                json!(null),
            ),
            (
                "t(id BIGINT PRIMARY KEY, v TEXT CHECK (v::bigint > 0))",
                (json!(1_000), secret()),
                "22P02",
                "a column's type",
                json!("1"),
            ),
            (
                "t(id BIGINT PRIMARY KEY, v BIGINT, EXCLUDE USING btree (v WITH =)); INSERT INTO t VALUES (-1, -5)",
                (json!(1_000), json!(-5)),
                "23P01",
                "EXCLUDE t_v_excl",
                json!(null),
            ),
        ]
    };
    match D::KIND {
        SinkKind::Sqlite => sqlite(),
        SinkKind::Postgres => postgres(),
    }
}

fn a_rejected_row_fails_its_own_receipt_and_no_other_whatever_refused_it<D: Database>() {
    for (schema, bad, code, constraint, value) in refusals::<D>() {
        for bad_at in [0, 177, 399] {
            let database = D::new(&format!("CREATE TABLE {schema}"));
            let there = database.value::<i64>("SELECT count(*) FROM t");
            let buffer = database.buffer();
            let producer = buffer.table("t").insert().producer().unwrap();
            let key = |place: i64| {
                if schema.starts_with("t(id TEXT") {
                    json!(place.to_string())
                } else {
                    json!(place)
                }
            };
            let submit = |place: i64| {
                let good = (key(place), value.clone());
                producer.submit(if place == bad_at { &bad } else { &good }).unwrap()
            };
            let receipts: Vec<_> = (0..400).map(submit).collect();
            buffer.flush().unwrap();

            assert_eq!(refused(&receipts), [bad_at as usize], "{schema}");
            let error = error(&receipts[bad_at as usize]);
            assert_eq!(D::code(&error), code, "{schema}: {error:#}");
            assert_eq!(error.constraint().unwrap_or_default(), constraint, "{schema}");
            assert_eq!(error.table(), Some("t"));
            assert!(!format!("{error:#} {error:?}").contains("s3cret"), "{error:?}");
            assert_eq!(database.value::<i64>("SELECT count(*) FROM t"), there + 399, "{schema}");
            let stats = buffer.stats();
            assert_eq!((stats.committed, stats.rejected, stats.transactions), (399, 1, 1));
        }
    }
}
