//! Rows that are not written reach the application: by their receipt, or as dead letters.

use std::sync::Arc;
use std::time::Duration;

use forebay::{DeadLetter, ErrorKind, Value, WriteBuffer};
use parking_lot::Mutex;
use support::{Database, Log, lingering, on_both_sinks};

on_both_sinks!(
    a_pushed_row_that_is_refused_becomes_a_dead_letter_with_its_values,
    a_row_with_a_receipt_is_told_by_its_receipt_alone,
    a_row_whose_receipt_was_dropped_counts_as_pushed_without_one,
    neither_the_log_nor_an_error_holds_a_rows_values,
    rejects_are_logged_with_what_a_search_needs,
);

type Letters = Arc<Mutex<Vec<DeadLetter>>>;

const SCHEMA: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT UNIQUE)";

fn open(database: &impl Database) -> (WriteBuffer, Letters) {
    let letters = Letters::default();
    let seen = Arc::clone(&letters);
    let builder = database.builder(lingering(), Duration::from_secs(30));
    let buffer = builder.on_reject(move |letter| seen.lock().push(letter.clone())).open();
    (buffer.unwrap(), letters)
}

fn a_pushed_row_that_is_refused_becomes_a_dead_letter_with_its_values<D: Database>() {
    let database = D::new(SCHEMA);
    let (buffer, letters) = open(&database);
    let t = buffer.table("t").insert().producer().unwrap();
    for (id, name) in [(1, "a"), (2, "a"), (3, "b")] {
        t.push(&(id, name)).unwrap();
    }
    buffer.flush().unwrap();
    let letters = letters.lock();
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!(letter.table, "t");
    assert_eq!(
        letter.fields,
        [("id".to_owned(), Value::Integer(2)), ("name".to_owned(), Value::Text("a".to_owned()))]
    );
    assert_eq!(letter.error.kind(), ErrorKind::Rejected);
    let (constraint, code, message) = D::either(
        ("UNIQUE t.name", "2067", "UNIQUE constraint failed: t.name"),
        (
            "UNIQUE t_name_key",
            "23505",
            "duplicate key value violates unique constraint \"t_name_key\"",
        ),
    );
    assert_eq!(letter.error.constraint(), Some(constraint));
    assert_eq!(D::code(&letter.error), code);
    assert_eq!(letter.error.to_string(), format!("t refused a row: it violates {constraint}"));
    let said = letter.error.database_message().unwrap();
    assert!(said.starts_with(message), "{said}");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM t"), 2);
}

fn a_row_with_a_receipt_is_told_by_its_receipt_alone<D: Database>() {
    let database = D::new(SCHEMA);
    let (buffer, letters) = open(&database);
    let t = buffer.table("t").insert().producer().unwrap();
    t.write(&(1, "a")).unwrap();
    assert_eq!(t.write(&(2, "a")).unwrap_err().kind(), ErrorKind::Rejected);
    assert!(letters.lock().is_empty());
}

fn a_row_whose_receipt_was_dropped_counts_as_pushed_without_one<D: Database>() {
    let database = D::new(SCHEMA);
    let (buffer, letters) = open(&database);
    let t = buffer.table("t").insert().producer().unwrap();
    t.write(&(1, "a")).unwrap();
    drop(t.submit(&(2, "a")).unwrap());
    let held = t.submit(&(3, "a")).unwrap();
    buffer.close().unwrap();
    assert_eq!(letters.lock().len(), 1);
    assert_eq!(letters.lock()[0].fields[0].1, Value::Integer(2));
    assert_eq!(held.wait().unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!(buffer.stats().rejected, 2);
}

fn neither_the_log_nor_an_error_holds_a_rows_values<D: Database>() {
    let secret = "hunter2";
    let log = Log::default();
    tracing::subscriber::set_global_default(log.subscriber()).unwrap();
    let trigger = D::either(
        "CREATE TRIGGER guard BEFORE UPDATE ON t BEGIN SELECT RAISE(ABORT, 'no updates'); END;",
        "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'no update to %', new.name; END $$;
         CREATE TRIGGER guard BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION guard();",
    );
    let table =
        "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT UNIQUE CHECK (length(name) < 20))";
    let database = D::new(&format!("{table}; {trigger}"));
    let (buffer, letters) = open(&database);
    let t = buffer.table("t").upsert(["id"]).producer().unwrap();
    t.push(&(1, secret)).unwrap();
    t.push(&(2, secret)).unwrap();
    t.push(&(1, "updated hunter2")).unwrap();
    t.push(&(3, secret.repeat(10))).unwrap();
    buffer.close().unwrap();
    let letters = letters.lock();
    assert_eq!(letters.len(), 3);
    for letter in letters.iter() {
        assert!(!format!("{letter:?} {:#}", letter.error).contains(secret), "{letter:?}");
    }
    let text = log.text();
    assert!(text.contains("3 rows of a batch rejected"), "{text}");
    assert!(!text.contains(secret), "{text}");
}

fn rejects_are_logged_with_what_a_search_needs<D: Database>() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.subscriber()).unwrap();
    let database = D::new(SCHEMA);
    let buffer = database.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    t.push(&(1, "a")).unwrap();
    t.push(&(2, "a")).unwrap();
    buffer.close().unwrap();
    let text = log.text();
    let (code, constraint) =
        D::either(("code=2067", "UNIQUE t.name"), ("sqlstate=\"23505\"", "t_name_key"));
    for part in ["WARN", "1 row of a batch rejected", "table=\"t\"", "rows=1", code, constraint] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}
