//! The load that faults are tried under: four threads that await every row, four that push and look back at none.

use std::error::Error as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use forebay::{Error, ErrorKind, Health, Producer, WriteBuffer};
use serde::Serialize;
use support::{Seen, adds_up};

/// Longer than anything takes here that does not hang.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// What a thread that only pushes puts in every millisecond.
const PUSHED_AT_ONCE: usize = 4;

/// The ids of this process, each used once.
static NEXT: AtomicI64 = AtomicI64::new(1);

#[derive(Serialize)]
struct Row {
    id: i64,
}

/// Eight threads that write to the table `landed`.
pub(crate) struct Load<'b> {
    pub(crate) buffer: &'b WriteBuffer,
    stop: AtomicBool,
    done: Mutex<Done>,
}

/// What they did.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// The ids that a receipt said Ok of.
    pub(crate) acknowledged: Vec<i64>,
    /// The ids that were pushed.
    pub(crate) pushed: Vec<i64>,
    /// What anybody was told instead.
    pub(crate) errors: Vec<Error>,
}

/// Ends threads that look at it, also when a test fails in their midst.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<'b> Load<'b> {
    /// Threads that await their rows.
    pub(crate) const AWAITING: usize = 4;

    /// Writes for as long as `meanwhile` runs, or until the buffer fails.
    pub(crate) fn run(buffer: &'b WriteBuffer, meanwhile: impl FnOnce(&Load<'b>)) -> Done {
        let load = Self { buffer, stop: AtomicBool::new(false), done: Mutex::default() };
        let landed = buffer.table("landed").insert().producer().unwrap();
        thread::scope(|scope| {
            for _ in 0..Self::AWAITING {
                scope.spawn(|| load.await_rows(&landed));
                scope.spawn(|| load.push_rows(&landed));
            }
            let _stop = Stop(&load.stop);
            load.goes_on();
            meanwhile(&load);
        });
        load.done.into_inner().unwrap()
    }

    /// Blocks until some more rows have been acknowledged.
    pub(crate) fn goes_on(&self) {
        let before = self.done().acknowledged.len();
        eventually("rows are acknowledged", || self.done().acknowledged.len() >= before + 20);
    }

    /// Blocks until the buffer is paused, and says why it is.
    pub(crate) fn paused(&self) -> Error {
        let mut cause = None;
        eventually("the buffer is paused", || {
            if let Health::Paused(error) = self.buffer.health() {
                cause = Some(error);
            }
            cause.is_some()
        });
        cause.unwrap()
    }

    pub(crate) fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap()
    }

    fn await_rows(&self, landed: &Producer) {
        while !self.is_over() {
            let id = NEXT.fetch_add(1, Ordering::Relaxed);
            let receipt = match landed.submit(&Row { id }) {
                Ok(receipt) => receipt,
                Err(error) => return self.done().errors.push(error),
            };
            match receipt.wait() {
                Ok(()) => self.done().acknowledged.push(id),
                Err(error) => self.done().errors.push(error),
            }
        }
    }

    fn push_rows(&self, landed: &Producer) {
        while !self.is_over() {
            for _ in 0..PUSHED_AT_ONCE {
                let id = NEXT.fetch_add(1, Ordering::Relaxed);
                match landed.push(&Row { id }) {
                    Ok(()) => self.done().pushed.push(id),
                    Err(error) => return self.done().errors.push(error),
                }
            }
            thread::park_timeout(Duration::from_millis(1));
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Done {
    /// Closes a buffer that no producer of has seen anything go wrong, and looks for all of its rows.
    pub(crate) fn all_landed(self, buffer: &WriteBuffer, path: &Path) -> Seen {
        assert!(self.errors.is_empty(), "{:?}", self.errors);
        buffer.close().unwrap();
        let stats = buffer.stats();
        assert!(adds_up(&stats), "{stats:?}");
        assert_eq!(stats.committed, stats.accepted, "{stats:?}");
        let promised = self.acknowledged.into_iter().chain(self.pushed);
        Seen { rows: stats.accepted, ..Seen::in_table(path, promised) }
    }

    /// Closes a buffer that has failed, as everybody was told, because of `kind`.
    pub(crate) fn failed_because(&self, buffer: &WriteBuffer, kind: ErrorKind) {
        let closed = buffer.close().unwrap_err();
        assert_eq!(closed.kind(), ErrorKind::Failed, "{closed:?}");
        for error in self.errors.iter().chain([&closed]) {
            assert!(is_because(error, kind), "{error:?}");
        }
        assert!(!self.errors.is_empty(), "nobody was told");
        assert!(adds_up(&buffer.stats()), "{:?}", buffer.stats());
    }
}

/// Whether an error or one of its causes is of a kind.
pub(crate) fn is_because(error: &Error, kind: ErrorKind) -> bool {
    error.kind() == kind
        || error
            .source()
            .and_then(|cause| cause.downcast_ref::<Error>())
            .is_some_and(|cause| is_because(cause, kind))
}

/// Fails unless something becomes true before long.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not after {LONG:?}");
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Blocks for a moment: how long something lasts is part of the fault.
pub(crate) fn lasts(duration: Duration) {
    let end = Instant::now() + duration;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        thread::park_timeout(left);
    }
}
