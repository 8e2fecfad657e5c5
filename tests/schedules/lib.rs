//! What the models of loom and of shuttle share: a sink that they see through, settings, rows, an executor.
#![cfg(any(forebay_loom, forebay_shuttle))]

mod bell;
mod sink;

use std::time::Duration;

use forebay::{Config, Retry, Stats};

pub use bell::{Bell, block_on};
pub use sink::{Answer, Log, Recorder, Seen};

/// Rows are written as soon as the writer is free.
pub fn at_once() -> Config {
    // Without a delay, for which a clock would have to move.
    let retry = Retry { delay: Duration::ZERO, ..Retry::default() };
    Config { linger: Duration::ZERO, retry, ..Config::default() }
}

/// Rows are written when somebody asks.
pub fn lingering() -> Config {
    Config { linger: Duration::from_secs(3_600), ..at_once() }
}

/// A buffer that has room for two [`large`] rows, one in each segment.
pub fn tiny() -> Config {
    Config {
        batch_size: 5,
        max_transaction_rows: 5,
        max_buffer_bytes: 4_096,
        max_batch_bytes: 1_024,
        max_row_bytes: 1_024,
        ..lingering()
    }
}

/// A row of a few bytes.
pub fn row(id: i64) -> (i64, &'static str) {
    (id, "")
}

/// Two of these do not fit a [`tiny`] buffer's open segment; one alone does not make its batch due.
pub fn large(id: i64) -> (i64, String) {
    (id, "x".repeat(960))
}

/// Two of these fit the open segment of a [`tiny`] buffer, but none fits beside a [`large`] one.
pub fn medium(id: i64) -> (i64, String) {
    (id, "x".repeat(840))
}

/// Asserts that every row that was accepted is decided, and counted once.
///
/// # Panics
///
/// When one is not.
pub fn assert_adds_up(stats: &Stats) {
    let decided = stats.committed + stats.superseded + stats.rejected + stats.unknown;
    assert_eq!(stats.accepted, decided + stats.unwritten, "{stats:?}");
    assert_eq!((stats.pending, stats.unaccounted), (0, 0), "{stats:?}");
}
