//! What a row takes where it is kept in a spool, in instructions, held against what it took when somebody looked last, and
//! against what it takes without.

mod counting;

use counting::{Case, Part};

/// What a push may take, in hundredths of one without a spool.
const MOST_OF_A_PUSH: u64 = 150;

/// Columns by their names.
const STRUCT: Case = Case {
    name: "a push of a struct into a spool",
    workload: "spooled",
    part: Part::Push,
    baseline: 820,
};

/// The same by the same program without a spool.
const IN_MEMORY: Case =
    Case { name: "a push of a struct", workload: "structs", part: Part::Push, baseline: 580 };

/// A row's share of a batch that the sink does not read.
const BATCH: Case = Case {
    name: "a row of a spool in a batch",
    workload: "spooled",
    part: Part::Batch,
    baseline: 111,
};

/// A lone row, committed by the thread that waits for it: a segment is begun and sealed for each.
const WRITE: Case = Case {
    name: "a write into a spool that its caller commits",
    workload: "spooled-writes",
    part: Part::Write,
    baseline: 3_523,
};

#[test]
fn a_push_into_a_spool_takes_no_more_instructions_than_it_did_and_half_more_than_without_at_most() {
    let (with, without) = (STRUCT.check(), IN_MEMORY.check());
    assert!(
        with * 100 <= without * MOST_OF_A_PUSH,
        "{} takes {with} instructions, and {without} without\n{}",
        STRUCT.name,
        STRUCT.way_to_find_out()
    );
}

#[test]
fn a_row_of_a_spool_in_a_batch_takes_no_more_instructions_than_it_did() {
    BATCH.check();
}

#[test]
fn a_write_into_a_spool_takes_no_more_instructions_than_it_did() {
    WRITE.check();
}
