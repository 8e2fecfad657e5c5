//! Constraint triggers that raise, many of them not before COMMIT, with a code of PostgreSQL's or their own.

use forebay::{Error, ErrorKind, Receipt, WriteBuffer};
use forebay_postgres::PostgresSink;
use support::{Database, Postgres, lingering};

/// A table whose trigger refuses what is negative at COMMIT, with this code.
fn guarded(code: &str) -> Postgres {
    guarded_by(code, "DEFERRED")
}

/// The same, when it is DEFERRED or IMMEDIATE.
fn guarded_by(code: &str, when: &str) -> Postgres {
    Postgres::new(&format!(
        "CREATE TABLE t(id INT PRIMARY KEY, v INT);
         CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.v < 0 THEN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END IF;
             RETURN NULL;
         END $$;
         CREATE CONSTRAINT TRIGGER guard AFTER INSERT OR UPDATE ON t
             DEFERRABLE INITIALLY {when} FOR EACH ROW EXECUTE FUNCTION guard();"
    ))
}

/// Of a RAISE, of their own, of a constraint; and some with which the server itself would say that no row is to blame.
const CODES: [&str; 8] = ["P0001", "XY001", "23514", "ZZ999", "42501", "55000", "57P01", "25006"];

fn assert_refused(error: &Error, code: &str) {
    assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Rejected, Some(code)), "{error:#}");
}

#[test]
fn a_row_that_a_trigger_refuses_at_once_or_at_commit_is_refused_alone() {
    let cases = CODES.iter().flat_map(|code| ["IMMEDIATE", "DEFERRED"].map(|when| (*code, when)));
    for (code, when) in cases {
        let database = guarded_by(code, when);
        let buffer = database.buffer();
        let t = buffer.table("t").insert().producer().unwrap();
        let submit = |id: i32| t.submit(&(id, if id % 7 == 3 { -1 } else { id })).unwrap();
        let receipts: Vec<Receipt> = (0..20).map(submit).collect();
        let group =
            buffer.group(|group| [20, 24].iter().try_for_each(|&id| group.add(&t, &(id, 20 - id))));
        buffer.flush().unwrap();
        for (id, receipt) in receipts.into_iter().enumerate() {
            match receipt.wait() {
                Ok(()) => assert_ne!(id % 7, 3, "{code}"),
                Err(error) => {
                    assert_eq!(id % 7, 3, "{code}: {error:#}");
                    assert_refused(&error, code);
                }
            }
        }
        assert_refused(&group.unwrap().wait().unwrap_err(), code);
        let left: Vec<i64> = (0..20).filter(|id| id % 7 != 3).collect();
        assert_eq!(database.column::<i64>("SELECT id FROM t ORDER BY id"), left, "{code}");
        assert_eq!((buffer.stats().transactions, buffer.stats().pauses), (1, 0), "{code}");
    }
}

#[test]
fn a_coalesced_row_that_a_trigger_refuses_at_commit_leaves_the_row_before_it() {
    for code in CODES {
        let database = guarded(code);
        let buffer = database.buffer();
        let t = buffer.table("t").upsert(["id"]).coalesce().producer().unwrap();
        let receipts = [(1, 5), (2, 6), (1, -5)].map(|row| t.submit(&row).unwrap());
        buffer.flush().unwrap();
        let [first, second, third] = receipts.map(Receipt::wait);
        assert!(first.is_ok() && second.is_ok(), "{code}");
        assert_refused(&third.unwrap_err(), code);
        assert_eq!(database.column::<i64>("SELECT v FROM t ORDER BY id"), [5, 6], "{code}");
    }
}

#[test]
fn a_statement_that_a_trigger_refuses_at_commit_is_refused_and_the_next_one_runs() {
    for code in CODES {
        let database = guarded(code);
        let buffer = database.buffer();
        let error = buffer.execute("INSERT INTO t VALUES (1, -1)").unwrap_err();
        assert_refused(&error, code);
        assert_eq!(error.database_message(), Some("no"));
        let said = format!("{error:#}");
        assert!(said.starts_with("`INSERT INTO t VALUES (1, -1)` failed: at COMMIT it"), "{said}");
        buffer.execute("INSERT INTO t VALUES (2, 2)").unwrap();
        assert_eq!(database.column::<i64>("SELECT id FROM t"), [2], "{code}");
        assert_eq!((buffer.stats().rejected, buffer.stats().pauses), (1, 0), "{code}");
    }
}

#[test]
fn a_row_whose_policy_refuses_what_a_trigger_writes_at_commit_is_refused_alone() {
    let user = format!("clerk_{}", std::process::id());
    let database = Postgres::new(&format!(
        "CREATE TABLE t(id INT PRIMARY KEY);
         CREATE TABLE audit(id INT);
         ALTER TABLE audit ENABLE ROW LEVEL SECURITY;
         CREATE POLICY small ON audit USING (true) WITH CHECK (id < 10);
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO audit VALUES (NEW.id); RETURN NULL;
         END $$;
         CREATE CONSTRAINT TRIGGER note AFTER INSERT ON t
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION note();
         CREATE ROLE {user} LOGIN;
         GRANT ALL ON t, audit, _forebay, _forebay_rejected TO {user};"
    ));
    let url = database.url().replacen("postgres@", &format!("{user}@"), 1);
    let buffer = WriteBuffer::with_sink(PostgresSink::connect(&url).unwrap(), lingering()).unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    let receipts = [1, 11, 2].map(|id| t.submit(&(id,)).unwrap());
    buffer.flush().unwrap();
    let [first, refused, last] = receipts.map(Receipt::wait);
    assert!(first.is_ok() && last.is_ok());
    assert_refused(&refused.unwrap_err(), "42501");
    assert_refused(&buffer.execute("INSERT INTO t VALUES (12)").unwrap_err(), "42501");
    assert_eq!(database.column::<i64>("SELECT id FROM audit ORDER BY id"), [1, 2]);
    buffer.close().unwrap();
    database.run(&format!("DROP OWNED BY {user}; DROP ROLE {user}"));
}

#[test]
fn rows_that_could_only_be_good_in_another_order_are_refused_and_the_others_are_written() {
    let database = Postgres::new(
        "CREATE TABLE t(id INT PRIMARY KEY, next INT REFERENCES t DEFERRABLE INITIALLY DEFERRED)",
    );
    let buffer = database.buffer();
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    let rows = [(7, None), (1, Some(2)), (2, Some(1)), (1, Some(99)), (8, Some(7))];
    let receipts = rows.map(|row| t.submit(&row).unwrap());
    buffer.flush().unwrap();
    let told = receipts.map(|receipt| receipt.wait().is_ok());
    assert_eq!(told, [true, false, false, false, true]);
    assert_eq!(database.column::<i64>("SELECT id FROM t ORDER BY id"), [7, 8]);
    assert_eq!((buffer.stats().retries, buffer.stats().pauses), (0, 0));
}

#[test]
fn of_a_long_chain_against_the_order_of_its_rows_only_the_orphan_is_refused() {
    let database = Postgres::new(
        "CREATE TABLE t(id INT PRIMARY KEY, next INT REFERENCES t DEFERRABLE INITIALLY DEFERRED)",
    );
    let buffer = database.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    for id in 0..40 {
        t.push(&(id, (id < 39).then_some(id + 1))).unwrap();
    }
    let orphan = t.submit(&(50, 99)).unwrap();
    buffer.flush().unwrap();
    assert_refused(&orphan.wait().unwrap_err(), "23503");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM t"), 40);
}
