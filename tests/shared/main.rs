//! What a caller can rely on whatever the database: one source, run on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod barriers;
mod coalesce;
mod conflicts;
mod encoding;
mod execute;
mod groups;
mod isolation;
mod model;
mod newest_by;
mod ordering;
mod outage;
mod receipts;
mod references;
mod rejects;
mod schema;
mod shapes;
mod statements;

use std::thread;
use std::time::{Duration, Instant};

use forebay::{Error, ErrorKind, Receipt};

/// Longer than anything here takes that does not hang.
const LONG: Duration = Duration::from_secs(20);

/// Blocks until something is so, and fails when it is not before long.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not after {LONG:?}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Whether the row was accepted; if it was not, it was rejected and nothing else.
fn is_accepted(receipt: &Receipt) -> bool {
    match receipt.decided().expect("it was flushed") {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Rejected, "{error:#}");
            false
        }
    }
}

/// The places of the receipts that were refused.
fn refused(receipts: &[Receipt]) -> Vec<usize> {
    (0..receipts.len()).filter(|&place| !is_accepted(&receipts[place])).collect()
}

fn error(receipt: &Receipt) -> Error {
    receipt.decided().expect("it was flushed").unwrap_err()
}
