//! What a contender answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Latencies, WorkerKind};

/// A line from a contender.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It has opened what it needs.
    Ready(Ready),
    /// It is done.
    Outcome(Box<Outcome>),
    /// It could not do it.
    Failed(Failed),
}

/// The contender waits to be told to go.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ready {}

/// Why a contender could not do what it was asked.
#[derive(Debug, Serialize, Deserialize)]
pub struct Failed {
    /// What was tried and why it failed.
    pub message: String,
}

/// How a trial went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// What the workers were.
    pub workers: WorkerKind,
    /// Versions of the libraries that did the work, by name; SQLite's under `sqlite`.
    pub versions: BTreeMap<String, String>,
    /// The time that was measured, as it turned out; not less than was asked for.
    pub seconds: f64,
    /// Rows committed in that time.
    pub rows: u64,
    /// Rows acknowledged by the end, for each worker of this process in turn.
    pub acknowledged: Vec<u64>,
    /// How long calls took that were not over within the warm-up: a call that hands a row over (push), or that returns
    /// after its commit (await). With a rate, from the time at which the call was meant to begin. Pairs of nanoseconds
    /// and how many calls took that long, give or take a hundredth.
    pub latency: Latencies,
    /// Of a worker's calls, every so manyth was timed; 1 where all were.
    #[serde(default = "all")]
    pub timed_every: u64,
    /// CPU time of the process, from `go` until everything was committed.
    pub cpu_seconds: f64,
    /// The most memory that the process has had.
    #[serde(default)]
    pub peak_memory_bytes: Option<u64>,
    /// Bytes that the process gave to write calls, from `go` until everything was committed.
    #[serde(default)]
    pub written_bytes: Option<u64>,
    /// What the contender counted.
    #[serde(flatten)]
    pub report: Report,
}

/// What a contender counted in the whole of a trial.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// Transactions committed; null where that cannot be known.
    #[serde(default)]
    pub transactions: Option<u64>,
    /// Times that an attempt to write ended because the database was locked.
    #[serde(default)]
    pub lock_errors: u64,
    /// Attempts made again for that reason.
    #[serde(default)]
    pub retries: u64,
    /// Rows given up for that reason: updates lost to an application that goes on.
    #[serde(default)]
    pub given_up: u64,
    /// Rows acknowledged for each worker of this process, where one thread wrote those of several.
    #[serde(skip)]
    pub acknowledged: Option<Vec<u64>>,
    /// What this contender alone tells.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub details: serde_json::Value,
}

fn all() -> u64 {
    1
}

/// What became of a row when the call returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It was committed, or handed over for that.
    Done,
    /// It was given up, because the database stayed locked.
    GivenUp,
}
