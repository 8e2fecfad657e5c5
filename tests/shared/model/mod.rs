//! What a buffer makes of any sequence of operations, held against the same operations done one by one.

mod operation;
mod sequence;
mod threads;
mod twin;

use std::panic::RefUnwindSafe;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, FileFailurePersistence, TestRunner};
use support::Database;

/// Tries so many cases, fewer where each takes a server's time, and keeps one that fails in a file beside the tests, for it to
/// be committed. `PROPTEST_CASES` is for more.
fn try_all<D: Database, S: Strategy>(
    [sqlite, postgres]: [u32; 2],
    regressions: &'static str,
    strategy: &S,
    check: impl Fn(S::Value) + RefUnwindSafe,
) {
    let cases = std::env::var("PROPTEST_CASES")
        .map_or(D::either(sqlite, postgres), |count| count.parse().unwrap());
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(regressions))),
        max_shrink_iters: 3_000,
        ..Config::default()
    });
    let tried = runner.run(strategy, |value| {
        check(value);
        Ok(())
    });
    tried.unwrap_or_else(|error| panic!("{error}"));
}
