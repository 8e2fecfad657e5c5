//! What a user of `forebay load` can rely on, tested by running the command.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod create;
mod inputs;
mod outage;
mod postgres;
mod real_input;
mod rejects;
mod signals;
mod snapshots;
mod support;
mod types;
