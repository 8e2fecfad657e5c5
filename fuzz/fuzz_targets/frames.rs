//! Any bytes are refused as rows, or read as they would be written.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| forebay::check_frames(bytes));
