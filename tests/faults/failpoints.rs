//! Every step of the writer fails: with each error that SQLite may give there, once and three times, with a panic, and
//! with the end of the process; on the writer's thread, and on that of a caller who commits himself.

use std::os::unix::process::ExitStatusExt;

use forebay::Failpoint::{self, *};
use forebay::rusqlite::ffi::{
    SQLITE_AUTH, SQLITE_BUSY, SQLITE_BUSY_RECOVERY, SQLITE_BUSY_SNAPSHOT, SQLITE_CANTOPEN,
    SQLITE_CORRUPT, SQLITE_FULL, SQLITE_INTERRUPT, SQLITE_IOERR_FSYNC, SQLITE_IOERR_READ,
    SQLITE_IOERR_SHMLOCK, SQLITE_IOERR_WRITE, SQLITE_LOCKED, SQLITE_NOMEM, SQLITE_NOTADB,
    SQLITE_PROTOCOL,
};
use forebay::{Failure, Holder};
use support::{Kind, Scratch, Seen, Trial};

use crate::witness::{Story, Unknown, Victim};

/// The errors that SQLite may give at a step.
fn errors(point: Failpoint) -> &'static [i32] {
    match point {
        BeforeReopen => &[SQLITE_CANTOPEN, SQLITE_BUSY, SQLITE_IOERR_READ],
        AfterReopen => &[SQLITE_IOERR_READ],
        BeforeBegin => &[
            SQLITE_BUSY,
            SQLITE_BUSY_RECOVERY,
            SQLITE_BUSY_SNAPSHOT,
            SQLITE_LOCKED,
            SQLITE_PROTOCOL,
            SQLITE_IOERR_SHMLOCK,
        ],
        AfterBegin => &[SQLITE_NOMEM],
        MidBatch => &[
            SQLITE_BUSY_RECOVERY,
            SQLITE_BUSY_SNAPSHOT,
            SQLITE_LOCKED,
            SQLITE_FULL,
            SQLITE_IOERR_WRITE,
            SQLITE_NOMEM,
            SQLITE_INTERRUPT,
        ],
        // It has not run: what SQLite says of an I/O error is believed all the same.
        BeforeCommit => &[SQLITE_BUSY, SQLITE_FULL, SQLITE_NOMEM, SQLITE_IOERR_FSYNC],
        // It has run, and its answer is lost.
        AfterCommit => &[SQLITE_IOERR_FSYNC],
        BeforeRollback => &[SQLITE_NOMEM],
        BeforeSavepoint | BeforeRelease | AfterRollbackTo | BeforeRehearsal => &[SQLITE_NOMEM],
        AfterSavepoint | BeforeRollbackTo => &[SQLITE_IOERR_READ],
        BeforeExecute => &[SQLITE_BUSY, SQLITE_IOERR_WRITE],
        AfterExecute => &[SQLITE_IOERR_FSYNC],
        BeforeCheckpoint | AfterCheckpoint => &[SQLITE_BUSY, SQLITE_FULL, SQLITE_IOERR_FSYNC],
        // Here SQLite is not asked, or has no error to give.
        BeforeBatch | AfterRollback | BeforeIsolation | AfterRehearsal | BeforeHandover
        | BeforeRetry | BeforeResolving | AfterDeadLetters | AfterResolving => &[],
    }
}

/// The errors after which the buffer fails, and what it says of each.
const FATAL: [(i32, &str); 4] = [
    (SQLITE_CORRUPT, "the database is damaged"),
    (SQLITE_NOTADB, "the database is damaged"),
    (SQLITE_AUTH, "SQLite refuses to write landed"),
    (SQLITE_CANTOPEN, "SQLite refuses to write landed"),
];

/// What must have failed before, for the writer to come to this step.
fn cause(point: Failpoint, holder: Holder) -> Option<Case> {
    let (point, code, times) = match point {
        // More than once: the next to come may be on another thread.
        BeforeReopen | AfterReopen => (AfterCommit, SQLITE_IOERR_FSYNC, 6),
        BeforeHandover | BeforeRetry => (BeforeBegin, SQLITE_BUSY, 1),
        _ => return None,
    };
    Some(Case { point, holder, failure: Failure::Error { code, times } })
}

/// House-keeping is the writer's, and so is what comes after a failed attempt.
fn comes_to(point: Failpoint, holder: Holder) -> bool {
    match point {
        BeforeHandover => holder == Holder::Caller,
        BeforeRetry | BeforeCheckpoint | AfterCheckpoint => holder == Holder::Writer,
        _ => true,
    }
}

#[derive(Debug, Clone, Copy)]
struct Case {
    point: Failpoint,
    holder: Holder,
    failure: Failure,
}

fn cases(failures: impl Fn(Failpoint) -> Vec<Failure>) -> Vec<Case> {
    let mut cases = Vec::new();
    for &point in Failpoint::ALL {
        for holder in [Holder::Writer, Holder::Caller] {
            for failure in failures(point) {
                if comes_to(point, holder) {
                    cases.push(Case { point, holder, failure });
                }
            }
        }
    }
    cases
}

impl Case {
    fn arguments(self) -> [String; 3] {
        let holder = match self.holder {
            Holder::Writer => "writer",
            Holder::Caller => "caller",
        };
        let failure = match self.failure {
            Failure::Error { code, times } => format!("error:{code}:{times}"),
            Failure::Panic => "panic".to_owned(),
            Failure::Abort => "abort".to_owned(),
        };
        [format!("{:?}", self.point), holder.to_owned(), failure]
    }

    /// What became of the rows of which nobody knows.
    fn unknown(self) -> Unknown {
        match (self.point, self.failure) {
            // Those of the cause are there.
            (BeforeReopen | AfterReopen, Failure::Error { .. }) => Unknown::Present,
            (BeforeReopen | AfterReopen, _) => Unknown::Either,
            (AfterCommit | AfterExecute, _) => Unknown::Present,
            (BeforeCommit | BeforeExecute, Failure::Error { code, .. })
                if code & 0xff == SQLITE_IOERR_FSYNC & 0xff =>
            {
                Unknown::Absent
            }
            // A transaction that cannot be rolled back is nothing that the buffer goes on from.
            (BeforeRollback, _) => Unknown::Absent,
            (_, Failure::Error { .. }) => Unknown::Never,
            (BeforeResolving, _) => Unknown::Present,
            // Here the answer has been put down, or there is no batch.
            (AfterDeadLetters | AfterResolving | BeforeCheckpoint | AfterCheckpoint, _) => {
                Unknown::Never
            }
            _ => Unknown::Absent,
        }
    }

    /// Has a process of its own fail so, and looks at what it leaves behind.
    fn run(self) -> Seen {
        let scratch = Scratch::new(Kind::SCHEMA);
        let mut arguments = vec!["rounds".to_owned()];
        arguments.extend(cause(self.point, self.holder).into_iter().flat_map(Self::arguments));
        arguments.extend(self.arguments());
        let story = Victim::start(&scratch.path(), &arguments, []).hear_out();
        self.check_end(&story);
        story.hold_against(&scratch.path(), self.unknown())
    }

    fn check_end(self, story: &Story) {
        if self.failure == Failure::Abort {
            return assert_eq!(story.end.signal(), Some(6), "nothing came to {self:?}");
        }
        let Some((trouble, stats, failures)) = story.closed() else {
            panic!("{self:?} ended the process: {}", story.end);
        };
        let fatal = self.fatal();
        let (times, goes_on) = match self.failure {
            Failure::Error { times, .. } => {
                (times.into(), self.point != BeforeRollback && fatal.is_none())
            }
            _ => (1, false),
        };
        // A caller's thread may not be the one that comes to it again.
        let enough = if self.holder == Holder::Caller { 1..=times } else { times..=times };
        assert!(enough.contains(&failures), "{failures} came to {self:?}: {stats}");
        // Rows are kept for as long as it takes.
        assert!(!goes_on || stats["unwritten"] == 0, "{self:?} gave rows up: {stats}");
        // House-keeping is also done when nothing else is, and then there is nobody to fail.
        let house_keeping = matches!(self.point, BeforeCheckpoint | AfterCheckpoint);
        assert!(trouble.is_empty() == goes_on || house_keeping, "{self:?}: {trouble:?}");
        if self.failure == Failure::Panic && !trouble.is_empty() {
            assert!(trouble.contains("panicked"), "{self:?}: {trouble:?}");
        }
        if let Some(cause) = fatal {
            assert!(trouble.contains(cause), "{self:?}: {trouble:?}");
            assert_eq!(stats["retries"], 0, "{self:?} was tried again: {stats}");
        } else if goes_on && !house_keeping && self.unknown() == Unknown::Never {
            assert_ne!(stats["retries"], 0, "{self:?} was not counted: {stats}");
        }
    }

    /// What is said when this fails the buffer, where other errors are waited for.
    fn fatal(self) -> Option<&'static str> {
        let Failure::Error { code, .. } = self.failure else { return None };
        let fatal = FATAL.iter().find(|(fatal, _)| self.point == MidBatch && *fatal == code);
        fatal.map(|(_, cause)| *cause)
    }
}

/// A line of the table for these cases.
fn try_all(trial: Trial, cases: Vec<Case>) {
    let count = cases.len();
    trial.rounds(count, 10 * count).run(move |round| cases[round % count].run());
}

fn with_errors(times: u32) -> Vec<Case> {
    cases(|point| {
        let errors = errors(point).iter();
        errors
            .map(|&code| Failure::Error { code, times })
            // The first fails the buffer.
            .filter(|_| point != BeforeRollback || times == 1)
            .collect()
    })
}

#[test]
fn an_error_at_any_step_loses_no_row_and_the_buffer_goes_on() {
    let how = "failpoints: SQLite's errors at each step, on either thread, once";
    try_all(Trial::of(3, "a step of the writer fails", how), with_errors(1));
}

#[test]
fn three_errors_at_any_step_lose_no_row_and_the_buffer_goes_on() {
    let how = "failpoints: SQLite's errors at each step, on either thread, three times: longer than it is tried again at once";
    try_all(Trial::of(3, "a step of the writer fails again and again", how), with_errors(3));
}

#[test]
fn an_error_that_no_retry_gets_over_is_the_cause_that_everybody_is_told() {
    let how = "failpoints: each of them in the midst of a batch, on either thread: the buffer fails, and nothing is tried again";
    let failed = |point| match point {
        MidBatch => FATAL.map(|(code, _)| Failure::Error { code, times: 1 }).into(),
        _ => Vec::new(),
    };
    try_all(Trial::of(5, "CORRUPT, NOTADB, AUTH, CANTOPEN", how), cases(failed));
}

#[test]
fn a_panic_at_any_step_is_the_cause_that_everybody_is_told() {
    let how = "failpoints: a panic at each step, on either thread";
    let trial = Trial::of(2, "the thread that commits panics", how);
    try_all(trial, cases(|_| vec![Failure::Panic]));
}

#[test]
fn a_process_that_ends_at_any_step_leaves_every_acknowledged_row() {
    let how = "failpoints: `abort` at each step, on either thread";
    let trial = Trial::of(14, "the process ends at a step of the writer", how);
    try_all(trial, cases(|_| vec![Failure::Abort]));
}
