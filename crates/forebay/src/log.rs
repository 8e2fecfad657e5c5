//! What a row log begins with, in memory or in a spool, and how a spool's segments grow in number.
//!
//! A thread of its own makes a spool's segments: a file takes milliseconds, for which no producer should wait, and the writer
//! may be waiting for the database when they are needed most.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::queue::Shared;
use crate::reject::DeadLetter;
use crate::segment::Segment;
use crate::shape::Shapes;
use crate::sink::Sink;
use crate::spool::{Opened, SegmentFile, Spool};
use crate::state::{Life, State};
use crate::sync::{self, MutexGuard};
use crate::wait::Holding;

/// The name of the thread that makes segments.
const THREAD: &str = "forebay-spool";

/// How long it waits before it tries again to make one.
const PAUSE: Duration = Duration::from_millis(500);

/// What a buffer begins with.
pub(crate) struct RowLog {
    pub(crate) spool: Option<Spool>,
    pub(crate) shapes: Shapes,
    /// The rows of an earlier process.
    pub(crate) waiting: VecDeque<Segment>,
    pub(crate) open: Segment,
    pub(crate) spare: Segment,
    pub(crate) growth: Growth,
    /// Dead letters that the earlier process may not have delivered.
    pub(crate) untold: Vec<DeadLetter>,
}

/// Another segment for the spool: whether one is wanted, and what is in the way.
#[derive(Default)]
pub(crate) struct Growth {
    /// Bytes of all files that hold segments.
    pub(crate) bytes: usize,
    /// What they may come to; 0 in memory.
    max_bytes: usize,
    segment_bytes: usize,
    asked: bool,
    hindrance: Option<Error>,
}

impl RowLog {
    pub(crate) fn new(config: &Config, sink: &mut dyn Sink) -> Result<Self> {
        if config.spool.is_some() {
            return Self::spooled(config, sink);
        }
        let segment = || Segment::new(config.segment_bytes());
        Ok(Self {
            spool: None,
            shapes: Shapes::new(),
            waiting: VecDeque::new(),
            open: segment(),
            spare: segment(),
            growth: Growth::default(),
            untold: Vec::new(),
        })
    }

    fn spooled(config: &Config, sink: &mut dyn Sink) -> Result<Self> {
        let mut shapes = Shapes::new();
        let opened = Spool::open(config, sink, &shapes)?;
        let Opened { spool, journal, first_seq, recovered, open, spare, untold } = opened;
        shapes.note_in(journal);
        let now = sync::now();
        let waiting: VecDeque<_> =
            recovered.into_iter().map(|rows| Segment::recovered(rows, now)).collect();
        let first_seq = waiting.back().map_or(first_seq, Segment::end_seq);
        let open = Segment::mapped(open, first_seq);
        let spare = Segment::mapped(spare, 0);
        let all = waiting.iter().chain([&open, &spare]);
        let growth = Growth {
            bytes: all.map(Segment::file_bytes).sum(),
            // Two files there are in any case.
            max_bytes: config.max_spool_bytes.max(2 * spool.segment_bytes()),
            segment_bytes: spool.segment_bytes(),
            ..Growth::default()
        };
        Ok(Self { spool: Some(spool), shapes, waiting, open, spare, growth, untold })
    }
}

impl State {
    /// Whether the spool has just come to need another segment.
    #[inline]
    pub(crate) fn asks_for_segment(&mut self) -> bool {
        self.spares.is_empty() && (self.pressed || self.open.is_half_full()) && self.growth.ask()
    }
}

impl Growth {
    /// Whether there is more than there may be, as an earlier process has left it: no row is accepted then.
    #[inline]
    pub(crate) fn is_too_large(&self) -> bool {
        self.bytes > self.max_bytes
    }

    fn ask(&mut self) -> bool {
        let may = self.max_bytes > 0 && self.bytes + self.segment_bytes <= self.max_bytes;
        may && !std::mem::replace(&mut self.asked, true)
    }

    /// Nothing is asked for any more. Returns whether there was something in the way.
    fn is_answered(&mut self) -> bool {
        self.asked = false;
        self.hindrance.take().is_some()
    }
}

impl Shared {
    /// Starts the thread that makes segments, where there is a spool.
    pub(crate) fn start_to_grow(self: &Arc<Self>) -> Result<()> {
        if self.spool.is_none() {
            return Ok(());
        }
        let shared = Arc::clone(self);
        let started = sync::spawn(THREAD, move || shared.grow());
        started.map(drop).map_err(|error| {
            let message = "cannot start the thread that makes the spool's segments";
            Error::new(ErrorKind::Open, message).because(error)
        })
    }

    /// Makes segments when they are asked for, until the buffer accepts nothing any more.
    fn grow(&self) {
        let Some(spool) = &self.spool else { return };
        // Who logs what is said here must not wait for room, which this thread makes.
        let _holding = Holding::sink_of(self.id());
        let mut state = self.lock();
        loop {
            if state.growth.asked {
                drop(state);
                let made = spool.make();
                state = self.lock();
                if matches!(state.life, Life::Open) {
                    state = self.grown(state, made);
                }
            }
            if !matches!(state.life, Life::Open) {
                return;
            }
            if state.growth.asked {
                self.growing.wait_until(&mut state, sync::now() + PAUSE);
            } else {
                self.growing.wait(&mut state);
            }
        }
    }

    fn grown<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        made: Result<SegmentFile>,
    ) -> MutexGuard<'s, State> {
        let name = self.name();
        let was_hindered = match made {
            Ok(file) => {
                let segment = Segment::mapped(file, 0);
                state.growth.bytes += segment.file_bytes();
                state.spares.push(segment);
                let was_hindered = state.growth.is_answered();
                self.wake_for_room(state);
                was_hindered
            }
            // The writer has come to the end of another in the meantime.
            Err(_) if !state.spares.is_empty() => {
                let was_hindered = state.growth.is_answered();
                drop(state);
                was_hindered
            }
            Err(error) => {
                let is_new = state.growth.hindrance.replace(error.clone()).is_none();
                drop(state);
                if is_new {
                    log(|| {
                        tracing::error!(
                            "the spool of {name} cannot grow, which is tried again; rows are accepted as long as there \
                             is room in it: {error:#}"
                        );
                    });
                }
                false
            }
        };
        if was_hindered {
            log(|| tracing::info!("the spool of {name} has room again"));
        }
        self.lock()
    }

    /// What a call is told that does not wait for room any longer.
    pub(crate) fn no_room(&self, kind: ErrorKind, message: String) -> Error {
        let Some(spool) = &self.spool else { return Error::new(kind, message) };
        if let Some(hindrance) = &self.lock().growth.hindrance {
            return Error::new(kind, message).because(hindrance.clone());
        }
        let (folder, limit) = (spool.folder().display(), self.config.max_spool_bytes);
        let message = format!(
            "{message}; its spool {folder} may take {limit} bytes, the max_spool_bytes, and health() says why rows gather there"
        );
        Error::new(kind, message)
    }
}

/// A subscriber of the log that panics does not end the thread.
fn log(say: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(say));
}
