//! What a process has seen of a database that was locked while its workers pushed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Told by the process when all is written.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Outage {
    /// How long all workers took to push.
    pub pushing: Duration,
    /// How long it took to write what had gathered, from when the lock was let go.
    pub draining: Duration,
    /// Rows that had gathered by then.
    pub pending: u64,
    /// How often a worker found no room.
    pub full: u64,
    /// Bytes of the spool's files when the last row was pushed.
    pub spool_bytes: u64,
    /// Rows in the database in the end.
    pub committed: u64,
    /// Anonymous memory of the process, in bytes, before the first row was pushed.
    pub memory: u64,
    /// The most that it came to until all was written.
    pub most_memory: u64,
}
