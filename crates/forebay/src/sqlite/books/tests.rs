//! The books held against the rows that they are about.

#[cfg(feature = "failpoints")]
mod in_doubt;

use std::path::PathBuf;
use std::sync::{Arc, Barrier};

use rusqlite::Connection;

use crate::batch::{Batch, Entry, RowRef};
use crate::encode::{Fields, Names};
use crate::error::ErrorKind;
use crate::row::{self, Frame, MORE, RECEIPT, Value};
use crate::shape::{Operation, Place, Shape, Shapes, Stream, Target};
use crate::sink::{Applied, Sink, Verdict};
use crate::{Config, SqliteSink};

const SPOOL: &str = "0123456789abcdef0123456789abcdef";

/// A database with a table whose rows can be refused in three ways, opened by a sink, and the spool's books.
struct Database {
    _folder: tempfile::TempDir,
    path: PathBuf,
    /// Somebody else's.
    look: Connection,
}

impl Database {
    fn new() -> (Self, SqliteSink) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.db");
        let sink = SqliteSink::open(&path, &Config::default()).unwrap();
        let look = Connection::open(&path).unwrap();
        look.execute_batch(
            "CREATE TABLE parents(id INTEGER PRIMARY KEY);
             CREATE TABLE t(id INTEGER, v CHECK (v <> 'bad'), parent REFERENCES parents(id) DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER gone BEFORE INSERT ON t WHEN NEW.v = 'gone' BEGIN SELECT RAISE(ROLLBACK, 'gone'); END;",
        )
        .unwrap();
        let database = Self { _folder: folder, path, look };
        let mut sink = sink;
        sink.open_books(SPOOL, 0).unwrap();
        (database, sink)
    }

    fn sink(&self) -> SqliteSink {
        SqliteSink::open(&self.path, &Config::default()).unwrap()
    }

    fn numbers(&self, sql: &str) -> Vec<i64> {
        let mut statement = self.look.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn rows(&self) -> Vec<i64> {
        self.numbers("SELECT id FROM t ORDER BY id")
    }

    fn applied(&self) -> i64 {
        self.numbers("SELECT applied FROM _forebay")[0]
    }

    fn letters(&self) -> Vec<i64> {
        self.numbers("SELECT seq FROM _forebay_rejected ORDER BY seq")
    }
}

/// Rows as the engine would have encoded them.
#[derive(Default)]
struct Rows {
    shapes: Vec<Arc<Shape>>,
    bytes: Vec<u8>,
    rows: Vec<RowRef>,
}

impl Rows {
    /// Rows of `t`: the text is `v`, the flags are those of the frame.
    fn of_t(sink: &mut SqliteSink, rows: &[(i64, &str, u16)]) -> Self {
        let place = Place::Table(sink.describe("t").unwrap());
        let mut made = Self::of(Target::new("t".to_owned(), Operation::Insert), place, 3);
        for &(id, v, flags) in rows {
            let parent = if v == "orphan" { Value::Integer(-1) } else { Value::Null };
            made.add(flags, &[Value::Integer(id), Value::Text(v.to_owned()), parent]);
        }
        made
    }

    fn of_execute(sql: &str, flags: u16) -> Self {
        let mut made = Self::of(Target::execute(), Place::Execute, 1);
        made.add(flags, &[Value::Text(sql.to_owned())]);
        made
    }

    fn of(target: Target, place: Place, values: usize) -> Self {
        let stream = Stream::new(target, place);
        let shapes = Shapes::new();
        stream.register(Fields::Positional(values), &Names::default(), &shapes).unwrap();
        let mut made = Self::default();
        shapes.refresh(&mut made.shapes);
        made
    }

    fn add(&mut self, flags: u16, values: &[Value]) {
        let start = Frame::begin(&mut self.bytes);
        for value in values {
            match value {
                Value::Null => row::put_null(&mut self.bytes),
                Value::Integer(number) => row::put_integer(&mut self.bytes, *number),
                Value::Text(text) => row::put_text(&mut self.bytes, text.as_bytes()),
                other => panic!("{other:?} is in no row here"),
            }
        }
        Frame::finish(&mut self.bytes, start, 0, flags);
        let (offset, ordinal) = (start as u32, self.rows.len() as u32);
        self.rows.push(RowRef { offset, ordinal });
    }

    fn batch(&self, start: u64) -> Batch<'_> {
        let end = start + self.rows.len() as u64;
        let entry = Entry { spool: SPOOL, start, end, first_seq: start };
        self.unentered().with_entry(Some(entry))
    }

    fn unentered(&self) -> Batch<'_> {
        Batch::new(&self.bytes, &self.rows, &self.shapes, 0)
    }
}

fn refused(applied: &Applied) -> Vec<usize> {
    applied.rejected.iter().map(|rejection| rejection.row).collect()
}

#[test]
fn the_books_move_with_the_rows_of_a_batch() {
    let (database, mut sink) = Database::new();
    for (batch, ids) in [[1, 2], [3, 4]].into_iter().enumerate() {
        let rows = Rows::of_t(&mut sink, &ids.map(|id| (id, "ok", 0)));
        sink.apply(&rows.batch(2 * batch as u64)).unwrap();
        assert_eq!(database.applied(), 2 * (batch as i64 + 1));
    }
    assert_eq!(database.rows(), [1, 2, 3, 4]);
    assert_eq!(database.numbers("SELECT told FROM _forebay"), [2]);
    assert_eq!(sink.books(SPOOL).unwrap().unwrap().applied, 4);
}

#[test]
fn a_refused_row_without_a_receipt_is_in_the_books_with_the_rows_beside_it() {
    for fault in ["bad", "gone", "orphan"] {
        let (database, mut sink) = Database::new();
        let rows = [(1, "ok", 0), (2, fault, 0), (3, "ok", 0), (4, fault, RECEIPT), (5, "ok", 0)];
        let rows = Rows::of_t(&mut sink, &rows);
        let applied = sink.apply(&rows.batch(0)).unwrap();
        assert_eq!(refused(&applied), [1, 3], "{fault}");
        assert_eq!(database.rows(), [1, 3, 5], "{fault}");
        assert_eq!((database.applied(), database.letters()), (5, vec![1]), "{fault}");
        let letters = sink.books(SPOOL).unwrap().unwrap().untold;
        let (letter, error) = (&letters[0], &applied.rejected[0].error);
        assert_eq!(letters.len(), 1);
        assert_eq!(letter.fields[0], ("id".to_owned(), Value::Integer(2)));
        assert_eq!(letter.error.kind(), ErrorKind::Rejected);
        assert_eq!(letter.error.to_string(), format!("{error:#}"));
        assert_eq!(letter.error.constraint(), error.constraint());
        assert_eq!(letter.error.code(), error.code());
    }
}

#[test]
fn every_row_of_a_refused_group_is_in_the_books() {
    let (database, mut sink) = Database::new();
    let rows = [(1, "ok", MORE), (2, "bad", MORE), (3, "ok", 0), (4, "ok", 0)];
    let rows = Rows::of_t(&mut sink, &rows);
    assert_eq!(refused(&sink.apply(&rows.batch(0)).unwrap()), [0]);
    assert_eq!((database.rows(), database.applied()), (vec![4], 4));
    assert_eq!(database.letters(), [0, 1, 2]);
}

#[test]
fn what_cannot_be_written_moves_no_books() {
    let (database, mut sink) = Database::new();
    let rows = Rows::of_t(&mut sink, &[(1, "ok", 0), (2, "bad", 0)]);
    let hidden = [("t", "away"), ("_forebay", "away"), ("_forebay_rejected", "away")];
    for (table, away) in hidden {
        let rename = |from, to| {
            database.look.execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}")).unwrap();
        };
        rename(table, away);
        let error = sink.apply(&rows.batch(0)).unwrap_err();
        assert_eq!(error.verdict, Verdict::Pause, "{table}: {:#}", error.error);
        rename(away, table);
        assert_eq!((database.rows(), database.applied()), (vec![], 0), "{table}");
    }
    sink.apply(&rows.batch(0)).unwrap();
    assert_eq!((database.rows(), database.applied()), (vec![1], 2));
}

#[test]
fn a_batch_that_does_not_follow_the_books_is_fenced_off() {
    let (database, mut sink) = Database::new();
    let rows = Rows::of_t(&mut sink, &[(1, "ok", 0)]);
    sink.apply(&rows.batch(0)).unwrap();
    for start in [0, 2] {
        let error = sink.apply(&rows.batch(start)).unwrap_err();
        assert_eq!((error.verdict, error.error.kind()), (Verdict::Fail, ErrorKind::Spool));
        assert!(error.error.to_string().contains("another process writes with a copy"));
    }
    database.look.execute("DELETE FROM _forebay", []).unwrap();
    let error = sink.apply(&rows.batch(1)).unwrap_err();
    assert_eq!((error.verdict, error.error.kind()), (Verdict::Fail, ErrorKind::Spool));
    assert_eq!(database.rows(), [1]);
}

#[test]
fn letters_are_untold_until_the_next_batch_begins() {
    let (database, mut sink) = Database::new();
    let rows = Rows::of_t(&mut sink, &[(1, "bad", 0), (2, "ok", 0)]);
    sink.apply(&rows.batch(0)).unwrap();
    drop(sink);
    let mut sink = database.sink();
    let books = sink.books(SPOOL).unwrap().unwrap();
    assert_eq!((books.applied, books.untold.len()), (2, 1));
    let rows = Rows::of_t(&mut sink, &[(3, "ok", 0)]);
    sink.apply(&rows.batch(2)).unwrap();
    let books = sink.books(SPOOL).unwrap().unwrap();
    assert_eq!((books.applied, books.untold.len()), (3, 0));
    assert_eq!(database.letters(), [0], "whoever has dealt with it deletes it");
}

#[test]
fn a_letter_that_was_changed_keeps_nobody_from_the_others() {
    let (database, mut sink) = Database::new();
    let rows = Rows::of_t(&mut sink, &[(1, "bad", 0), (2, "bad", 0)]);
    sink.apply(&rows.batch(0)).unwrap();
    database.look.execute("UPDATE _forebay_rejected SET letter = '{' WHERE seq = 0", []).unwrap();
    let untold = sink.books(SPOOL).unwrap().unwrap().untold;
    assert_eq!(untold.len(), 1);
    assert_eq!(untold[0].fields[0].1, Value::Integer(2));
}

#[test]
fn a_batch_without_an_entry_needs_no_books() {
    let (database, mut sink) = Database::new();
    let rows = Rows::of_t(&mut sink, &[(1, "ok", 0), (2, "bad", 0)]);
    sink.apply(&rows.unentered()).unwrap();
    assert_eq!((database.applied(), database.letters()), (0, vec![]));
    database.look.execute_batch("DROP TABLE _forebay; DROP TABLE _forebay_rejected").unwrap();
    sink.apply(&rows.unentered()).unwrap();
    sink.apply(&Rows::of_execute("DELETE FROM t", 0).unentered()).unwrap();
    assert!(sink.books(SPOOL).unwrap().is_none());
}

#[test]
fn books_that_are_opened_again_start_where_they_are_told_to() {
    let (_database, mut sink) = Database::new();
    assert!(sink.books("another").unwrap().is_none());
    let rows = Rows::of_t(&mut sink, &[(1, "bad", 0), (2, "ok", 0)]);
    sink.apply(&rows.batch(0)).unwrap();
    sink.open_books("another", 7).unwrap();
    sink.open_books(SPOOL, 9).unwrap();
    let books = sink.books(SPOOL).unwrap().unwrap();
    assert_eq!((books.applied, books.untold.len()), (9, 1), "its letters are still to be told");
    let books = sink.books("another").unwrap().unwrap();
    assert_eq!((books.applied, books.untold.len()), (7, 0));
}

#[test]
fn many_open_their_books_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    drop(SqliteSink::open(&path, &Config::default()).unwrap());
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let (path, barrier) = (&path, &barrier);
            scope.spawn(move || {
                let mut sink = SqliteSink::open(path, &Config::default()).unwrap();
                barrier.wait();
                sink.open_books(&format!("{number:032x}"), number).unwrap();
            });
        }
    });
    let look = Connection::open(&path).unwrap();
    let sum = look.query_row("SELECT sum(applied) FROM _forebay", [], |row| row.get(0));
    assert_eq!(sum, Ok(28));
}

#[test]
fn the_tables_of_the_books_are_nobody_elses() {
    let (_database, mut sink) = Database::new();
    for table in ["_forebay", "_Forebay_rejected"] {
        let error = sink.describe(table).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema);
        assert!(error.to_string().contains("is the buffer's own"), "{error}");
    }
    let error = sink.describe("nowhere").unwrap_err().to_string();
    assert!(error.ends_with("the tables are parents, t"), "{error}");
}

#[test]
fn a_statement_that_runs_alone_is_entered_with_what_it_does() {
    let (database, mut sink) = Database::new();
    let mut applied = 0;
    let mut execute = |sql: &str, flags| {
        let done = sink.apply(&Rows::of_execute(sql, flags).batch(applied)).unwrap();
        applied += 1;
        assert_eq!(database.applied(), applied as i64, "{sql}");
        done.rejected.into_iter().next().map(|rejection| rejection.error.to_string())
    };
    let passed = [
        "CREATE TABLE more(id INTEGER PRIMARY KEY)",
        "INSERT INTO more VALUES (1)",
        "SELECT * FROM more",
        "VACUUM",
        "PRAGMA user_version = 7",
    ];
    for sql in passed {
        assert_eq!(execute(sql, 0), None, "{sql}");
    }
    let refused = [
        ("INSERT INTO more VALUES (1)", "SQLite refused it"),
        ("INSERT INTO t VALUES (1, 'gone', NULL)", "SQLite refused it"),
        ("INSERT INTO t VALUES (1, 'orphan', -1)", "SQLite refused to commit it"),
        ("INSERT INTO nowhere VALUES (1)", "SQLite refused it"),
        ("DELETE FROM more; DELETE FROM t", "it is several statements"),
        ("COMMIT", "transactions are the writer's"),
        ("\u{feff}COMMIT", "transactions are the writer's"),
        ("ATTACH 'a' AS main", "SQLite refused it"),
    ];
    for (sql, why) in refused {
        for flags in [0, RECEIPT] {
            let error = execute(sql, flags).unwrap_or_default();
            assert!(error.contains(why), "{sql}: {error}");
        }
    }
    assert_eq!(database.letters(), [5, 7, 9, 11, 13, 15, 17, 19]);
    assert_eq!((database.numbers("SELECT id FROM more"), database.rows()), (vec![1], vec![]));
    assert_eq!(database.numbers("PRAGMA user_version"), [7]);
}
