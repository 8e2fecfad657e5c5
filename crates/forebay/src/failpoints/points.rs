//! The steps of the writer at which forebay's own tests have it fail: with an error of SQLite's, a panic, or the end of
//! the process. Only with the feature `failpoints`; without it nothing of this is compiled.

use std::process;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::writer::THREAD;

/// How often each of them failed.
static FAILURES: [AtomicU64; Failpoint::ALL.len()] =
    [const { AtomicU64::new(0) }; Failpoint::ALL.len()];

/// What happens at a failpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// SQLite answers with this extended result code, so many times.
    Error {
        /// The code.
        code: i32,
        /// How often before the step is what it was.
        times: u32,
    },
    /// A panic, once.
    Panic,
    /// The process ends, with nothing cleaned up.
    Abort,
}

/// Whose thread holds the sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// The buffer's own.
    Writer,
    /// That of a caller who waits for his row.
    Caller,
}

macro_rules! failpoints {
    ($($(#[$doc:meta])* $point:ident,)*) => {
        /// A step of the writer at which it can be made to fail. For forebay's own tests: it may change with any release.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Failpoint {
            $($(#[$doc])* $point,)*
        }

        impl Failpoint {
            /// All of them, in the order in which a batch meets them.
            pub const ALL: &[Self] = &[$(Self::$point,)*];

            fn name(self, holder: Holder) -> &'static str {
                match (self, holder) {
                    $(
                        (Self::$point, Holder::Writer) => concat!("writer: ", stringify!($point)),
                        (Self::$point, Holder::Caller) => concat!("caller: ", stringify!($point)),
                    )*
                }
            }
        }
    };
}

failpoints! {
    /// A batch is cut, and the sink is not asked yet.
    BeforeBatch,
    /// After an unknown outcome: before the connection is opened again.
    BeforeReopen,
    /// It is open and set up, and not used yet.
    AfterReopen,
    /// Before the transaction begins.
    BeforeBegin,
    /// It has begun, with nothing in it.
    AfterBegin,
    /// After each statement of a batch that is written all at once.
    MidBatch,
    /// All rows are in the transaction.
    BeforeCommit,
    /// It is committed, and nobody knows.
    AfterCommit,
    /// Before a transaction that met an error is rolled back.
    BeforeRollback,
    /// It is rolled back.
    AfterRollback,
    /// Before the batch is run again to find the rows that are refused.
    BeforeIsolation,
    /// Before the savepoint of a statement.
    BeforeSavepoint,
    /// It is set.
    AfterSavepoint,
    /// The statement has passed; before its savepoint is released.
    BeforeRelease,
    /// The statement was refused; before the transaction goes back to its savepoint.
    BeforeRollbackTo,
    /// It has gone back.
    AfterRollbackTo,
    /// Before the COMMIT that only looks for violations of deferred foreign keys.
    BeforeRehearsal,
    /// It has answered.
    AfterRehearsal,
    /// Before the statement of an `execute`.
    BeforeExecute,
    /// It has run, which commits it, and nobody knows.
    AfterExecute,
    /// The sink has met an error on the caller's thread; before the batch is left to the writer.
    BeforeHandover,
    /// The sink has met an error that it may get over; before the delay.
    BeforeRetry,
    /// The sink has answered, and nobody is told.
    BeforeResolving,
    /// The dead letters are delivered, and no receipt is told.
    AfterDeadLetters,
    /// The receipts are told; before the house-keeping.
    AfterResolving,
    /// Before the log is copied into the database.
    BeforeCheckpoint,
    /// It is copied.
    AfterCheckpoint,
}

impl Failpoint {
    /// Has the step fail from now on, when this thread comes to it.
    ///
    /// # Panics
    ///
    /// When the crate `fail` refuses what it is told, which would be a mistake here.
    pub fn fail(self, holder: Holder, failure: Failure) {
        let name = self.name(holder);
        let set = match failure {
            Failure::Error { code, times } => fail::cfg(name, &format!("{times}*return({code})")),
            Failure::Panic => {
                let done = AtomicBool::new(false);
                fail::cfg_callback(name, move || {
                    if !done.swap(true, Ordering::Relaxed) {
                        self.count();
                        panic!("a test has the writer panic at {name}");
                    }
                })
            }
            Failure::Abort => fail::cfg_callback(name, || process::abort()),
        };
        set.expect("a failpoint is set");
    }

    /// How often the step has failed in this process, whoever came to it.
    pub fn failures(self) -> u64 {
        FAILURES[self as usize].load(Ordering::Relaxed)
    }

    fn count(self) {
        FAILURES[self as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// The writer is here. Returns the code of SQLite's that it is to meet.
    pub(crate) fn reach(self) -> Option<i32> {
        let of_buffer = thread::current().name() == Some(THREAD);
        let holder = if of_buffer { Holder::Writer } else { Holder::Caller };
        fail::fail_point!(self.name(holder), |code| {
            self.count();
            code.and_then(|code| code.parse().ok())
        });
        None
    }
}
