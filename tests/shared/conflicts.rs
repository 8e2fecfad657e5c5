//! What SQLite's conflict clauses and its triggers' RAISE do to a batch.

use support::Scratch;

use crate::isolation::{PLAIN, ROWS, Way, assert_groups_are_whole, assert_same_everywhere};
use crate::refused;

const CLAUSES: [&str; 5] = ["FAIL", "ABORT", "ROLLBACK", "REPLACE", "IGNORE"];

pub(crate) fn from_schema(clause: &str) -> String {
    format!(
        "CREATE TABLE t(
             id INTEGER PRIMARY KEY ON CONFLICT {clause},
             u INTEGER UNIQUE ON CONFLICT {clause},
             n INTEGER NOT NULL ON CONFLICT {clause} DEFAULT 7
         );
         INSERT INTO t VALUES (-1, -1, -1);"
    )
}

fn from_trigger(action: &str) -> String {
    let raise = if action == "IGNORE" { "IGNORE".to_owned() } else { format!("{action}, 'no'") };
    format!(
        "{PLAIN}
         CREATE TRIGGER guard BEFORE INSERT ON t WHEN new.n IS NULL OR new.u = -1
         BEGIN SELECT RAISE({raise}); END;"
    )
}

#[test]
fn a_conflict_clause_of_the_schema_does_to_a_batch_what_it_does_to_rows() {
    for clause in CLAUSES {
        assert_same_everywhere::<Scratch>(clause, &from_schema(clause), Way::Insert);
    }
}

#[test]
fn a_conflict_clause_of_the_schema_does_to_upserts_what_it_does_to_rows() {
    for clause in CLAUSES {
        assert_same_everywhere::<Scratch>(clause, &from_schema(clause), Way::Upsert);
    }
}

#[test]
fn a_conflict_clause_of_a_statement_does_to_a_batch_what_it_does_to_rows() {
    for clause in CLAUSES {
        let sql = format!("INSERT OR {clause} INTO t(id, u, n) VALUES (:id, :u, :n)");
        assert_same_everywhere::<Scratch>(clause, PLAIN, Way::Statement(&sql));
    }
}

#[test]
fn a_triggers_raise_does_to_a_batch_what_it_does_to_rows() {
    for action in ["FAIL", "ABORT", "ROLLBACK", "IGNORE"] {
        assert_same_everywhere::<Scratch>(action, &from_trigger(action), Way::Insert);
        assert_same_everywhere::<Scratch>(action, &from_trigger(action), Way::Upsert);
    }
}

#[test]
fn a_row_that_a_trigger_fails_after_it_was_inserted_is_not_in_the_table() {
    let scratch = Scratch::new(&format!(
        "{PLAIN} CREATE TRIGGER guard AFTER INSERT ON t WHEN new.n IS 0
         BEGIN INSERT INTO t VALUES (new.id + 1000, NULL, 1); SELECT RAISE(FAIL, 'no'); END;"
    ));
    let buffer = scratch.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    let receipts: Vec<_> =
        (0..ROWS).map(|place| t.submit(&(place, place, i64::from(place != 70))).unwrap()).collect();
    buffer.flush().unwrap();
    assert_eq!(refused(&receipts), [70]);
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t", []), ROWS);
    assert_eq!(scratch.value::<i64>("SELECT count(*) FROM t WHERE id IN (70, 1070)", []), 0);
}

#[test]
fn a_group_with_a_row_that_a_clause_or_a_trigger_refuses_is_refused_whole() {
    let schemas = CLAUSES.map(|clause| (clause, from_schema(clause)));
    let triggers =
        ["FAIL", "ABORT", "ROLLBACK", "IGNORE"].map(|action| (action, from_trigger(action)));
    for (what, schema) in schemas.into_iter().chain(triggers) {
        assert_groups_are_whole::<Scratch>(what, &schema);
    }
}
