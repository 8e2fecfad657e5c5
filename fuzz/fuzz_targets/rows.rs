//! Any record becomes the row that it says, or is refused without a word of what is in it.
#![no_main]

#[expect(dead_code, reason = "the other target checks the records")]
#[path = "../../crates/forebay-cli/tests/records/lines.rs"]
mod lines;
#[path = "../../crates/forebay-cli/tests/records/rows.rs"]
mod rows;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| rows::fuzz(bytes));
