//! What a row takes, in instructions and allocations, held against what it took when somebody looked last.
//!
//! valgrind counts, so the counts are the same on a machine that has other things to do: within 2 % from run to run.
//! The baselines are those of x86-64, of a release build, and of all threads together. `tests/run` leaves them out on
//! other machines, and says so.

mod counting;

use counting::{Case, Part, ROWS, Tool, WORKLOAD};

/// What a push of a struct of 4 columns may take, whatever it took before.
const MAX_PUSH_OF_A_STRUCT: u64 = 600;

/// What the batches of a run may allocate together: what a segment is shared by, and whatever grows once.
const MAX_ALLOCATIONS: u64 = 10;

const ALLOCATIONS: Tool =
    Tool { options: ["--tool=dhat", "--dhat-out-file=/dev/null"], mark: " bytes in " };

/// Columns by their names, which are compared with those of the row before.
const STRUCT: Case =
    Case { name: "a push of a struct", workload: "structs", part: Part::Push, baseline: 561 };

/// Values alone.
const TUPLE: Case =
    Case { name: "a push of a tuple", workload: "tuples", part: Part::Push, baseline: 453 };

/// Columns by names that are found anew in each row.
const MAP: Case =
    Case { name: "a push of a map", workload: "maps", part: Part::Push, baseline: 1_310 };

/// A struct that a newer one may supersede, which is the writer's matter: as without.
const COALESCING: Case =
    Case { name: "a push that coalesces", workload: "coalesced", part: Part::Push, baseline: 561 };

/// A lone row, committed by the thread that waits for it: push, a batch of one, receipt.
const WRITE: Case = Case {
    name: "a write that its caller commits",
    workload: "writes",
    part: Part::Write,
    baseline: 2_375,
};

/// A row's share of a batch that the sink does not read.
const BATCH: Case =
    Case { name: "a row in a batch", workload: "structs", part: Part::Batch, baseline: 106 };

/// The same where each row is looked up by its key, and every other one is superseded.
const COALESCED_BATCH: Case = Case {
    name: "a row in a coalesced batch",
    workload: "coalesced",
    part: Part::Batch,
    baseline: 326,
};

/// The same where the sink reads each of the 4 values, as one that binds them does.
const READ_BATCH: Case = Case {
    name: "a row in a batch whose values are read",
    workload: "read",
    part: Part::Batch,
    baseline: 298,
};

#[test]
fn a_push_of_a_struct_takes_at_most_600_instructions_and_no_more_than_it_did() {
    let count = STRUCT.check();
    assert!(
        count <= MAX_PUSH_OF_A_STRUCT,
        "{} takes {count} instructions, more than {MAX_PUSH_OF_A_STRUCT}\n{}",
        STRUCT.name,
        STRUCT.way_to_find_out()
    );
}

#[test]
fn a_push_of_a_tuple_takes_no_more_instructions_than_it_did() {
    TUPLE.check();
}

#[test]
fn a_push_of_a_map_takes_no_more_instructions_than_it_did() {
    MAP.check();
}

#[test]
fn a_push_that_coalesces_takes_no_more_instructions_than_it_did() {
    COALESCING.check();
}

#[test]
fn a_write_that_its_caller_commits_takes_no_more_instructions_than_it_did() {
    WRITE.check();
}

#[test]
fn a_row_in_a_batch_takes_no_more_instructions_than_it_did() {
    BATCH.check();
}

#[test]
fn a_row_in_a_coalesced_batch_takes_no_more_instructions_than_it_did() {
    COALESCED_BATCH.check();
}

#[test]
fn a_row_in_a_batch_whose_values_are_read_takes_no_more_instructions_than_it_did() {
    READ_BATCH.check();
}

#[test]
fn batches_allocate_nothing() {
    for case in [BATCH, COALESCED_BATCH, READ_BATCH] {
        let count = case.count(&ALLOCATIONS);
        assert!(
            count <= MAX_ALLOCATIONS,
            "the batches of {ROWS} `{0}` allocate {count} times, more than {MAX_ALLOCATIONS}\n\
             hint: see where: valgrind --tool=dhat {WORKLOAD} {0} {ROWS} written, for valgrind's dh_view.html",
            case.workload
        );
    }
}
