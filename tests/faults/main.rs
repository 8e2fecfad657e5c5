//! The faults of docs/durability.md, each produced for real, in rounds, and held against what was promised.
//!
//! `tests/faults/run` runs them with as many rounds as the table there is made of, and writes the table.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod cancel;
mod claims;
mod clock;
mod failpoints;
mod fork;
mod full;
mod hostile;
mod nth;
mod processes;
mod producer;
mod reentry;
mod shutdown;
mod witness;
mod writer_panic;
