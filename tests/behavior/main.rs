//! What a caller can rely on, one file for each promise.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod close;
mod coalesce;
mod dead_letter_file;
mod encoding;
mod execute;
mod flush;
mod fork;
mod golden;
mod groups;
mod metrics;
mod misplaced_file;
mod newest_by;
mod open;
mod ordering;
mod outage;
mod pressure;
mod readers;
mod readiness;
mod receipts;
mod reentrancy;
mod retry;
mod schema;
mod secrecy;
mod settings;
mod shapes;
mod spool;
mod triggers;
