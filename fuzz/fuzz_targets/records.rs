//! Any bytes, cut anywhere, fall apart into records of which no byte is lost.
#![no_main]

#[path = "../../crates/forebay-cli/tests/records/lines.rs"]
mod lines;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lines::fuzz(bytes));
