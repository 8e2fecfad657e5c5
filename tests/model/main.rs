//! What a buffer makes of any sequence of operations, held against the same operations done one by one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails at once")]

mod fates;
mod lives;
mod process;
mod protocol;

use proptest::test_runner::{Config, FileFailurePersistence};

/// Settings that keep a failing case in a file beside the tests, for it to be committed. `PROPTEST_CASES` is for more cases.
fn settings(cases: u32, regressions: &'static str) -> Config {
    let cases = std::env::var("PROPTEST_CASES").map_or(cases, |count| count.parse().unwrap());
    Config {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        max_shrink_iters: 3_000,
        ..Config::default()
    }
}
