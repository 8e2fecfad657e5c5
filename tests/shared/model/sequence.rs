//! One thread, any sequence: the tables, the receipts and the counters are those of the plain model.
//!
//! With `coalesce` a superseded row is never tried, so a refusal that the model sees may not happen: its
//! receipt succeeds with the survivor. There a row that the model accepts must be accepted, and the tables
//! must be equal; without `coalesce` every receipt and the number of refused rows must be equal too.

use std::collections::VecDeque;
use std::time::Duration;

use forebay::{Config, ErrorKind, Receipt, Result, Stats};
use proptest::prelude::*;
use support::{Database, on_both_sinks};

use super::operation::{self, Fields, How, Producers, SCHEMA, Step, Write};
use super::try_all;
use super::twin::{Twin, tables};

on_both_sinks!(
    without_coalesce_everything_is_as_if_each_row_were_its_own_transaction,
    with_coalesce_the_tables_are_as_if_each_row_were_its_own_transaction,
    what_a_refused_row_had_superseded_is_not_written_over_what_came_after,
);

const REGRESSIONS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/shared/model/regressions/sequence.txt");

const CASES: [u32; 2] = [200, 40];

fn without_coalesce_everything_is_as_if_each_row_were_its_own_transaction<D: Database>() {
    let cases = (config(), operation::steps(operation::without_coalesce()));
    try_all::<D, _>(CASES, REGRESSIONS, &cases, |(config, steps)| run::<D>(config, &steps));
}

fn with_coalesce_the_tables_are_as_if_each_row_were_its_own_transaction<D: Database>() {
    let cases = (config(), operation::steps(operation::all()));
    try_all::<D, _>(CASES, REGRESSIONS, &cases, |(config, steps)| run::<D>(config, &steps));
}

fn what_a_refused_row_had_superseded_is_not_written_over_what_came_after<D: Database>() {
    let write = |how, a| Step::Push(Write { how, fields: Fields::Amount { id: 1, a } });
    let steps = [
        write(How::UpsertCoalesced, 1),
        write(How::UpsertCoalesced, 95),
        write(How::Upsert, 2),
        write(How::UpsertCoalesced, 3),
        write(How::UpsertCoalesced, 96),
        Step::Push(Write { how: How::Delete, fields: Fields::Key { id: 1 } }),
    ];
    run::<D>(Config { linger: Duration::from_secs(3_600), ..Config::default() }, &steps);
}

fn config() -> impl Strategy<Value = Config> {
    // The hour first: a case that fails with it fails always, and proptest shrinks to it.
    let linger = prop_oneof![Just(Duration::from_secs(3_600)), Just(Duration::ZERO)];
    let max_batch_bytes = prop_oneof![3 => Just(4 * 1024 * 1024), 1 => 64..1_000_usize];
    (1..20_usize, 0..10_usize, linger, max_batch_bytes).prop_map(
        |(batch_size, more, linger, max_batch_bytes)| Config {
            batch_size,
            max_transaction_rows: batch_size + more,
            linger,
            max_batch_bytes,
            ..Config::default()
        },
    )
}

/// A receipt that is held, and what the model says of it.
struct Held {
    receipt: Receipt,
    accepted: bool,
    coalesced: bool,
    what: String,
}

impl Held {
    fn check(self) {
        let told = self.receipt.wait();
        if let Err(error) = &told {
            assert_eq!(error.kind(), ErrorKind::Rejected, "{}: {error:#}", self.what);
        }
        let equal = told.is_ok() == self.accepted;
        assert!(equal || (self.coalesced && !self.accepted), "{}: {told:?}", self.what);
    }
}

fn run<D: Database>(config: Config, steps: &[Step]) {
    let database = D::new(SCHEMA);
    let buffer = database.builder(config, Duration::from_secs(30)).open().expect("a buffer");
    let producers = Producers::of(&buffer);
    let mut twin = Twin::<D>::new();
    let mut held: VecDeque<Held> = VecDeque::new();
    let hold = |receipt: Result<Receipt>, accepted, writes: &[Write]| Held {
        receipt: receipt.expect("the buffer is open"),
        accepted,
        coalesced: writes.len() == 1 && writes[0].how.coalesces(),
        what: format!("{writes:?}"),
    };
    for step in steps {
        match step {
            Step::Push(write) => {
                producers.push(write).expect("the buffer is open");
                twin.apply(std::slice::from_ref(write));
            }
            Step::Submit(write) => {
                let receipt = producers.submit(write);
                let writes = std::slice::from_ref(write);
                held.push_back(hold(receipt, twin.apply(writes), writes));
            }
            Step::Group(writes) => {
                let receipt = producers.group(&buffer, writes);
                held.push_back(hold(receipt, twin.apply(writes), writes));
            }
            Step::Execute(sql) => {
                assert_eq!(buffer.execute(sql).is_ok(), twin.execute(sql), "{sql}");
            }
            Step::Flush => {
                buffer.flush().expect("the buffer is open");
                assert_eq!(tables(&database), twin.tables());
            }
            Step::Await => held.pop_front().into_iter().for_each(Held::check),
        }
    }
    buffer.flush().expect("the buffer is open");
    assert_eq!(tables(&database), twin.tables());
    held.into_iter().for_each(Held::check);
    check_stats(&buffer.stats(), &twin, steps);
    buffer.close().expect("nothing is left");
}

fn check_stats<D: Database>(stats: &Stats, twin: &Twin<D>, steps: &[Step]) {
    let rows = |step: &Step| match step {
        Step::Push(_) | Step::Submit(_) | Step::Execute(_) => 1,
        Step::Group(writes) => writes.len() as u64,
        Step::Flush | Step::Await => 0,
    };
    let coalesces = |step: &Step| match step {
        Step::Push(write) | Step::Submit(write) => write.how.coalesces(),
        _ => false,
    };
    assert_eq!(stats.accepted, steps.iter().map(rows).sum::<u64>(), "{stats:?}");
    assert_eq!((stats.pending, stats.unknown, stats.unwritten), (0, 0, 0), "{stats:?}");
    let decided = stats.committed + stats.superseded + stats.rejected;
    assert_eq!(stats.accepted, decided, "{stats:?}");
    if steps.iter().any(coalesces) {
        assert!(stats.rejected <= twin.rejected, "{stats:?}");
    } else {
        assert_eq!(stats.superseded, 0);
        assert_eq!((stats.rejected, stats.unchanged), (twin.rejected, twin.unchanged), "{stats:?}");
    }
}
