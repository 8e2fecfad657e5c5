//! The faults of docs/durability.md, each produced for real, in rounds, and held against what was promised.
//!
//! `tests/faults/run` runs them with as many rounds as the table there is made of, and writes the table.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod cancel;
mod claims;
mod clock;
mod damage;
mod disk;
mod failpoints;
mod files;
mod fork;
mod full;
mod hostile;
mod load;
mod locks;
mod nth;
mod poison;
mod postgres;
mod process;
mod processes;
mod producer;
mod reader;
mod reentry;
mod schema;
mod shutdown;
mod spool;
mod witness;
mod writer_panic;
