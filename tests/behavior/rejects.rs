//! Rows that are not written reach the application: by their receipt, or as dead letters.

use std::sync::Arc;
use std::time::Duration;

use forebay::{Config, DeadLetter, ErrorKind, Value, WriteBuffer};
use parking_lot::Mutex;
use support::{Log, Scratch};

type Letters = Arc<Mutex<Vec<DeadLetter>>>;

fn open(scratch: &Scratch) -> (WriteBuffer, Letters) {
    let letters = Letters::default();
    let seen = Arc::clone(&letters);
    let buffer =
        scratch.builder().on_reject(move |letter| seen.lock().push(letter.clone())).open().unwrap();
    (buffer, letters)
}

const SCHEMA: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT UNIQUE)";

#[test]
fn a_pushed_row_that_is_refused_becomes_a_dead_letter_with_its_values() {
    let scratch = Scratch::new(SCHEMA);
    let (buffer, letters) = open(&scratch);
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
    assert_eq!(letter.error.constraint(), Some("UNIQUE t.name"));
    assert_eq!(letter.error.code(), Some(2067));
    assert_eq!(letter.error.to_string(), "t refused a row: it violates UNIQUE t.name");
    assert_eq!(letter.error.database_message(), Some("UNIQUE constraint failed: t.name"));
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t", []), 2);
}

#[test]
fn a_row_with_a_receipt_is_told_by_its_receipt_alone() {
    let scratch = Scratch::new(SCHEMA);
    let (buffer, letters) = open(&scratch);
    let t = buffer.table("t").insert().producer().unwrap();
    t.write(&(1, "a")).unwrap();
    assert_eq!(t.write(&(2, "a")).unwrap_err().kind(), ErrorKind::Rejected);
    assert!(letters.lock().is_empty());
}

#[test]
fn a_row_whose_receipt_was_dropped_counts_as_pushed_without_one() {
    let scratch = Scratch::new(SCHEMA);
    let (buffer, letters) = open(&scratch);
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

#[test]
fn neither_the_log_nor_an_error_holds_a_rows_values() {
    let secret = "hunter2";
    let log = Log::default();
    tracing::subscriber::set_global_default(log.subscriber()).unwrap();
    let scratch = Scratch::new(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT UNIQUE CHECK (length(name) < 20));
         CREATE TRIGGER guard BEFORE UPDATE ON t BEGIN SELECT RAISE(ABORT, 'no updates'); END;",
    );
    let (buffer, letters) = open(&scratch);
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

#[test]
fn rejects_are_logged_with_what_a_search_needs() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.subscriber()).unwrap();
    let scratch = Scratch::new(SCHEMA);
    let config = Config { linger: Duration::from_secs(3_600), ..Config::default() };
    let buffer = WriteBuffer::builder(scratch.path()).config(config).open().unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    t.push(&(1, "a")).unwrap();
    t.push(&(2, "a")).unwrap();
    buffer.close().unwrap();
    let text = log.text();
    for part in
        ["WARN", "1 row of a batch rejected", "table=\"t\"", "rows=1", "code=2067", "UNIQUE t.name"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}
