//! What a caller can rely on whatever the database: one source, run on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod barriers;
mod coalesce;
mod conflicts;
mod encoding;
mod execute;
mod give_up;
mod groups;
mod isolation;
mod model;
mod newest_by;
mod ordering;
mod outage;
mod receipts;
mod references;
mod refusals;
mod rejects;
mod replaced;
mod schema;
mod shapes;
mod statements;
mod statements_refused;

use forebay::{Error, ErrorKind, Receipt};

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
