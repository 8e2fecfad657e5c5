//! What the child process of the model is asked, and what it answers: lines of JSON.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use support::Answer;

/// Rows that are accepted or refused together: one, or a group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Unit {
    pub(crate) ids: Vec<i64>,
    /// The database refuses the last of them.
    pub(crate) bad: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Step {
    Push(Unit),
    /// With a receipt that is kept.
    Submit(Unit),
    /// With a receipt that is waited for.
    Write(Unit),
    /// Waits for the oldest receipt that is kept.
    Await,
    /// Drops it.
    Drop,
    Flush,
}

/// What the sink does with the next batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fault {
    Busy,
    Down,
    UnknownBefore,
    UnknownAfter,
    PanicBefore,
    PanicAfter,
    Fatal,
    AbortBefore,
    AbortAfter,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Request {
    Do {
        thread: usize,
        step: Step,
    },
    Inject(Fault),
    /// Closes meanwhile, waits for all receipts, and ends.
    Close {
        patience: Duration,
    },
}

/// Of a unit its first id.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Reply {
    Accepted(i64),
    Refused(i64),
    /// What a receipt says.
    Told(i64, Answer),
    /// The receipt was dropped.
    Dropped(i64),
    /// A flush by a thread that succeeded.
    Flushed {
        thread: usize,
    },
    /// A dead letter.
    Letter {
        id: i64,
        answer: Answer,
    },
    /// A step is done.
    Done,
    Closed(Counts),
}

/// The counters at the end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) accepted: u64,
    pub(crate) committed: u64,
    pub(crate) rejected: u64,
    pub(crate) unknown: u64,
    pub(crate) unwritten: u64,
    pub(crate) pending: u64,
}
