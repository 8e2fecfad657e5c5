//! One bad row in a batch of 400, in every place and of every kind.

use std::time::Duration;

use forebay::{Config, Error, ErrorKind, WriteBuffer};
use rusqlite::ffi;
use serde_json::{Value, json};
use support::{Scratch, Seen, Trial, adds_up, is_full};

const ROWS: usize = 400;

const SCHEMA: &str = "
    CREATE TABLE parents(id INTEGER PRIMARY KEY) STRICT;
    INSERT INTO parents VALUES (1);
    CREATE TABLE landed(
        id INTEGER NOT NULL,
        u INTEGER UNIQUE,
        n INTEGER NOT NULL,
        c INTEGER CONSTRAINT small CHECK (c < 1000),
        parent INTEGER REFERENCES parents,
        later INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED,
        what TEXT
    ) STRICT;
    INSERT INTO landed VALUES (-1, -1, 0, 0, 1, 1, NULL);
    CREATE TRIGGER aborts BEFORE INSERT ON landed WHEN new.what = 'abort'
        BEGIN SELECT RAISE(ABORT, 'no'); END;
    CREATE TRIGGER rolls_back BEFORE INSERT ON landed WHEN new.what = 'roll back'
        BEGIN SELECT RAISE(ROLLBACK, 'no'); END;";

/// A kind of bad row: the field that is, its value, and what its receipt says.
struct Poison {
    field: &'static str,
    value: Value,
    code: i32,
    constraint: &'static str,
}

/// Those that a statement meets.
fn in_a_statement() -> Vec<Poison> {
    vec![
        poison("u", json!(-1), ffi::SQLITE_CONSTRAINT_UNIQUE, "UNIQUE landed.u"),
        poison("n", Value::Null, ffi::SQLITE_CONSTRAINT_NOTNULL, "NOT NULL landed.n"),
        poison("c", json!(1_000), ffi::SQLITE_CONSTRAINT_CHECK, "CHECK small"),
        poison("parent", json!(2), ffi::SQLITE_CONSTRAINT_FOREIGNKEY, "FOREIGN KEY"),
        poison(
            "n",
            json!("text"),
            ffi::SQLITE_CONSTRAINT_DATATYPE,
            "the column's type: cannot store TEXT value in INTEGER column landed.n",
        ),
        poison("what", json!("abort"), ffi::SQLITE_CONSTRAINT_TRIGGER, "a trigger's RAISE"),
    ]
}

fn poison(field: &'static str, value: Value, code: i32, constraint: &'static str) -> Poison {
    Poison { field, value, code, constraint }
}

impl Poison {
    fn is_told(&self, error: &Error) {
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error:?}");
        assert_eq!(error.code(), Some(self.code), "{error:?}");
        assert_eq!(error.constraint(), Some(self.constraint), "{error:?}");
    }
}

/// Where the bad row is in this round: everywhere, or at the edges and in every thirteenth place.
fn place(round: usize) -> usize {
    if is_full() { round } else { (round * 13).min(ROWS - 1) }
}

/// A batch for each kind of bad row, which is in this place of it, written to a fresh database.
fn write(place: usize, poisons: &[Poison]) -> Seen {
    let scratch = Scratch::new(SCHEMA);
    let hour = Duration::from_secs(3_600);
    let config = Config { batch_size: ROWS, linger: hour, ..Config::default() };
    let buffer = WriteBuffer::builder(scratch.path()).config(config).open().unwrap();
    let landed = buffer.table("landed").insert().producer().unwrap();
    let mut promised = Vec::new();
    for (kind, poison) in poisons.iter().enumerate() {
        let submit = |index: usize| {
            let id = kind * ROWS + index;
            let mut row = json!({
                "id": id, "u": id, "n": id, "c": index, "parent": 1, "later": 1, "what": null
            });
            if index == place {
                row[poison.field] = poison.value.clone();
            }
            (id, landed.submit(&row).unwrap())
        };
        let receipts: Vec<_> = (0..ROWS).map(submit).collect();
        buffer.flush().unwrap();
        for (index, (id, receipt)) in receipts.iter().enumerate() {
            let decided = receipt.decided().expect("it was flushed");
            assert_eq!(decided.is_err(), index == place, "{index} of bad {place}: {decided:?}");
            match decided {
                Ok(()) => promised.push(*id as i64),
                Err(error) => poison.is_told(&error),
            }
        }
    }
    buffer.close().unwrap();
    let stats = buffer.stats();
    let batches = poisons.len() as u64;
    assert!(adds_up(&stats), "{stats:?}");
    let counted = (stats.committed, stats.rejected, stats.transactions);
    assert_eq!(counted, (batches * 399, batches, batches), "{stats:?}");
    let there: i64 = scratch.value("SELECT count(*) FROM landed WHERE id >= 0", []);
    assert_eq!(there as u64, stats.committed, "the bad rows are not there");
    Seen { rows: stats.accepted, ..Seen::in_table(&scratch.path(), promised) }
}

#[test]
fn a_bad_row_fails_its_own_receipt_in_every_place_of_a_batch() {
    Trial::of(
        6,
        "one bad row of 400",
        "UNIQUE, NOT NULL, CHECK, an immediate foreign key, a STRICT type and a trigger's ABORT, in every place",
    )
    .rounds(32, ROWS)
    .run(|round| write(place(round), &in_a_statement()));
}

#[test]
fn a_row_that_only_commit_refuses_is_found_in_every_place_of_a_batch() {
    Trial::of(7, "a deferred foreign key at COMMIT", "in every place of a batch of 400")
        .rounds(32, ROWS)
        .run(|round| {
            let code = ffi::SQLITE_CONSTRAINT_FOREIGNKEY;
            write(place(round), &[poison("later", json!(2), code, "FOREIGN KEY")])
        });
}

#[test]
fn a_row_that_ends_the_transaction_is_found_in_every_place_of_a_batch() {
    Trial::of(8, "a trigger's `RAISE(ROLLBACK)`", "in every place of a batch of 400")
        .rounds(32, ROWS)
        .run(|round| {
            let code = ffi::SQLITE_CONSTRAINT_TRIGGER;
            write(place(round), &[poison("what", json!("roll back"), code, "a trigger's RAISE")])
        });
}
