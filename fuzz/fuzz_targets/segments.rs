//! Any bytes are refused as a spool's segment, or read as they would be written.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| forebay::spool::check_segment(bytes));
