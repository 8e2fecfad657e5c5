//! One trial of the bench: a contender writes rows into a database for a while, and says how that went.
//!
//! Every contender is a program that speaks this protocol, one line of JSON at a time, so that each has its
//! own memory, its own CPU time and its own libraries:
//!
//! 1. It reads a [`Request`] from standard input.
//! 2. It opens what it needs and answers `{"ready":{}}`.
//! 3. It reads a line, `go`, and begins. Its workers write rows until the warm-up and the time asked for are over;
//!    then it waits until everything that was handed over is committed.
//! 4. It answers `{"outcome":{…}}`, an [`Outcome`], and ends. When something fails it answers
//!    `{"failed":{"message":"…"}}` instead, at any step.
//!
//! Whoever asked looks into the database afterwards: it must hold what was acknowledged, else the trial is void.
//!
//! # Time
//!
//! The rate is that of commits, not of calls, and is measured from one commit to another, so that no part of a
//! transaction counts: from the first that is seen after the warm-up to the first that is seen once the time asked for
//! has gone by since. Where none comes within a second, and where each worker is a process that sees no commits but its
//! own, the rows of the time asked for are counted as they come. What is committed before and after does not count
//! for the rate, but must be there in the end. CPU time, bytes and transactions are those of the whole trial.
//!
//! The time of a call counts unless the call was over within the warm-up. Where a call returns before its commit and
//! there is no rate, every 17th of a worker's calls is timed, for looking at the clock takes as long as such a call;
//! the longest is not known then.
//!
//! # Rows
//!
//! Worker `w` of `W` writes rows number 0, 1, 2 …. With `keys` K it owns the keys below K that are `w` modulo `W`, and
//! visits each of them once before it comes back to the first: [`Cursor`] has the order. The row is
//! `(key, status, n, 1700000000000 + n)`. Without `keys` row `n` has the key `4294967296·w + n`, and
//! `1700000000000 + key` in its last column. So what must be in the table can be told from the number of rows that each
//! worker had acknowledged.
//!
//! A row that a worker gives up, because the database stayed locked, is tried again under the same number.
//!
//! # In Rust
//!
//! A contender implements [`Contender`] for threads, or [`TaskContender`] for tasks, and calls [`serve`]; then all of
//! the above is done for it.

mod course;
mod latency;
mod outcome;
mod pace;
mod quote;
mod request;
mod rows;
mod serve;
mod server;
mod tally;
#[cfg(feature = "tasks")]
mod tasks;
mod threads;
#[cfg(feature = "tasks")]
mod timer;
mod usage;
mod versions;
mod window;

pub use latency::Latencies;
pub use outcome::{Answer, Failed, Outcome, Ready, Report, Written};
pub use quote::{listed, quoted};
pub use request::{
    Mode, PROTOCOL, Request, Rows, Settings, Synchronous, Target, WorkerKind, Workers,
};
pub use rows::{Cursor, Row, Topics, stride};
pub use serve::{Start, serve};
pub use server::Server;
pub use tally::Tally;
#[cfg(feature = "tasks")]
pub use tasks::{TaskContender, TaskWorker, run_tasks};
pub use threads::{Contender, Worker, run_threads};
pub use versions::locked_versions;

/// What went wrong, for the person who runs the bench.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A result with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
