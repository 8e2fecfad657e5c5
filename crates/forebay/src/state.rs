//! What a buffer's lock guards: the segments of the row log, and where the buffer is in its life.
//!
//! Invariants:
//!
//! * A row's sequence number is the count of rows accepted before it, over the whole life of a spool; the log is dense.
//! * In the log's order come the segment that is `in_flight`, those that are `waiting`, and the `open` one, which producers
//!   append to. Segments are taken to be decided in this order, one at a time.
//! * When none is in flight and none waits, there is a spare one, to take the place of the open one. For there are two at
//!   the least: only a segment that is one too many is deleted.
//! * Where segments are files, the one that follows is begun before the one before it is sealed, and one is freed only
//!   when every row of it is decided: what a process leaves behind, whenever it ends, is what
//!   [the scan](crate::spool) expects.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::admission::{Admitted, Refused};
use crate::decide::Ledger;
use crate::ending::{Kept, closed};
use crate::error::Error;
use crate::log::{Growth, RowLog};
use crate::policy::{Gathered, Trigger};
use crate::queue::Errand;
use crate::receipt::Outcome;
use crate::reject::DeadLetter;
use crate::segment::{Cursor, Segment};
use crate::sink::SinkError;
use crate::stats::Stats;
use crate::sync;
use crate::wait::{WaitList, Woken};
use crate::writer::Worker;

/// Segments that are kept for later rows. One more is deleted.
const MOST_SPARES: usize = 2;

pub(crate) struct State {
    pub(crate) in_flight: Option<InFlight>,
    /// Full ones, and those of an earlier process.
    pub(crate) waiting: VecDeque<Segment>,
    pub(crate) open: Segment,
    pub(crate) spares: Vec<Segment>,
    pub(crate) growth: Growth,
    /// The sequence number of this buffer's first row: not 0 where a spool had rows before.
    pub(crate) first_seq: u64,
    pub(crate) worker: Option<Box<Worker>>,
    /// A thread has it that waits for its row.
    pub(crate) is_sink_out: bool,
    pub(crate) life: Life,
    /// Why the database cannot be written at the moment.
    pub(crate) paused: Option<Error>,
    pub(crate) stats: Stats,
    /// The rows before this sequence number are decided.
    pub(crate) decided: u64,
    /// The outcome of the last rows that were taken out to be decided when the buffer ended, and the
    /// sequence number after them: a flush waits for these when there are no others.
    pub(crate) last: (Arc<Outcome>, u64),
    /// Rows that `close` hands back; `None` when it has.
    pub(crate) leftovers: Option<Vec<DeadLetter>>,
    pub(crate) errands: VecDeque<Errand>,
    /// The writer's thread has ended.
    pub(crate) writer_ended: bool,
    /// Every row is decided.
    pub(crate) all_decided: bool,
    /// They have been decided without the holder of the sink, who may never come back.
    pub(crate) abandoned: bool,
    /// Rows that were lost while the buffer was open.
    pub(crate) lost_before_closing: u64,
    pub(crate) kept: Kept,
    pub(crate) sleep: Sleep,
    pub(crate) pressed: bool,
    pub(crate) awaited: bool,
    /// Those who were told of their rows, or of a flush, and have not come back with another row. A guess: some never do.
    pub(crate) absent: usize,
    pub(crate) flushing: bool,
    pub(crate) room: WaitList,
    pub(crate) closers: WaitList,
}

/// The segment that is being written.
pub(crate) struct InFlight {
    pub(crate) segment: Arc<Segment>,
    /// Everything before it is decided.
    pub(crate) decided: Cursor,
    /// The end of the batch that the sink has been given; `decided` when it has none.
    pub(crate) applying: Cursor,
    /// What the thread that waited for its own row met when it tried to commit it.
    pub(crate) handed_over: Option<SinkError>,
    /// The sink's answer, while the dead letters that it means are delivered.
    pub(crate) answered: Option<Ledger>,
}

/// Where a buffer is in its life. Pushes are accepted in the first stage only.
pub(crate) enum Life {
    Open,
    /// Draining; `overdue` when there is no time left.
    Closing {
        overdue: bool,
    },
    /// Every row is decided. The error is what a push gets.
    Ended(Error),
}

/// How the writer sleeps, that is, what is worth waking it for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sleep {
    Awake,
    /// Until there is a row.
    Idle,
    /// Until the linger of the rows that are there is over, or they are due by something else.
    Timed,
    /// Until the thread that holds the sink gives it back.
    WithoutSink,
}

impl InFlight {
    pub(crate) fn new(segment: Segment) -> Self {
        Self {
            segment: Arc::new(segment),
            decided: Cursor::default(),
            applying: Cursor::default(),
            handed_over: None,
            answered: None,
        }
    }
}

impl State {
    pub(crate) fn new(log: RowLog, worker: Worker) -> Self {
        let RowLog { waiting, open, spare, growth, .. } = log;
        let first_seq = waiting.front().unwrap_or(&open).seq(0);
        let replayed = open.seq(0) - first_seq;
        Self {
            in_flight: None,
            waiting,
            open,
            spares: vec![spare],
            growth,
            first_seq,
            worker: Some(Box::new(worker)),
            is_sink_out: false,
            life: Life::Open,
            paused: None,
            stats: Stats { replayed, ..Stats::default() },
            decided: first_seq,
            last: (Arc::new(Outcome::new(1)), 1),
            leftovers: Some(Vec::new()),
            errands: VecDeque::new(),
            writer_ended: false,
            all_decided: false,
            abandoned: false,
            lost_before_closing: 0,
            kept: Kept::default(),
            sleep: Sleep::Awake,
            pressed: false,
            awaited: false,
            absent: 0,
            flushing: false,
            room: WaitList::default(),
            closers: WaitList::default(),
        }
    }

    #[inline]
    pub(crate) fn append(
        &mut self,
        frames: &[u8],
        check: u32,
        rows: usize,
        receipt: bool,
    ) -> Result<Admitted, Refused> {
        match &self.life {
            Life::Open => {}
            Life::Closing { .. } => return Err(Refused::Because(closed())),
            Life::Ended(error) => return Err(Refused::Because(error.clone())),
        }
        if !self.open.has_room(frames.len()) || self.growth.is_too_large() {
            self.roll()?;
        }
        let first = self.open.end_seq();
        self.open.append(frames, check, rows, sync::now);
        let outcome = receipt.then(|| {
            self.absent = self.absent.saturating_sub(1);
            Arc::clone(self.open.outcome())
        });
        Ok(Admitted { rows: first..first + rows as u64, outcome })
    }

    /// Whether there is room for a row of so many bytes.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        !self.growth.is_too_large() && (self.open.has_room(bytes) || !self.spares.is_empty())
    }

    /// Has the full segment wait to be written, and rows go to a spare one.
    #[cold]
    fn roll(&mut self) -> Result<(), Refused> {
        // Who comes here asks for both in one condition, which is what takes a push least.
        if self.growth.is_too_large() {
            return Err(Refused::Full);
        }
        let full = self.replace_open().ok_or(Refused::Full)?;
        self.waiting.push_back(full);
        self.stats.triggers.count(Trigger::Bytes);
        Ok(())
    }

    /// Puts a spare segment in the place of the open one.
    pub(crate) fn replace_open(&mut self) -> Option<Segment> {
        let mut next = self.spares.pop()?;
        next.restart(self.open.end_seq());
        self.open.seal();
        (self.pressed, self.awaited, self.flushing) = (false, false, false);
        Some(std::mem::replace(&mut self.open, next))
    }

    /// Takes out the segment in flight, which is decided. Returns it when it is one too many.
    pub(crate) fn recycle(&mut self) -> Option<Segment> {
        let segment = Arc::into_inner(self.in_flight.take()?.segment);
        let mut segment = segment.expect("the holder of the sink has let go of it");
        if segment.free() && self.spares.len() < MOST_SPARES {
            self.spares.push(segment);
            return None;
        }
        Some(segment)
    }

    /// Of a buffer that has ended: the files that no rows come to any more, which would take up room as long as they are mapped.
    pub(crate) fn let_go_of_files(&mut self) -> Vec<Segment> {
        let mut last = Segment::new(0);
        last.restart(self.open.end_seq());
        let mut files = std::mem::take(&mut self.spares);
        files.push(std::mem::replace(&mut self.open, last));
        files
    }

    /// A producer found no room: what is there is due. Returns whether that is news.
    pub(crate) fn press(&mut self) -> bool {
        !std::mem::replace(&mut self.pressed, true)
    }

    /// The next thread that waits for room, if there is some as far as anybody knows. Who has had a turn, or gives
    /// it up, wakes it.
    pub(crate) fn next_for_room(&mut self) -> Woken {
        self.room.first(usize::from(!self.pressed))
    }

    pub(crate) fn gathered(&self) -> Gathered {
        Gathered {
            rows: self.open.rows(),
            bytes: self.open.used(),
            oldest: self.open.oldest(),
            pressed: self.pressed,
            awaited: self.awaited,
            flushing: self.flushing,
            closing: !matches!(self.life, Life::Open),
        }
    }

    pub(crate) fn take_worker(&mut self) -> Box<Worker> {
        self.worker.take().expect("the caller has seen that it is there")
    }

    /// The segments with rows that are not decided, in the log's order.
    fn undecided(&self) -> impl Iterator<Item = &Segment> {
        let in_flight = self.in_flight.as_ref();
        let in_flight = in_flight.filter(|in_flight| in_flight.decided != in_flight.segment.end());
        in_flight
            .map(|in_flight| &*in_flight.segment)
            .into_iter()
            .chain(&self.waiting)
            .chain([&self.open])
    }

    /// When the oldest row that is not decided came, or one before it in its segment.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.undecided().find_map(Segment::oldest)
    }

    /// Rows accepted by this buffer, and those that it has taken over.
    pub(crate) fn accepted(&self) -> u64 {
        self.open.end_seq() - self.first_seq
    }

    /// Bytes of memory that the segments have allocated.
    pub(crate) fn allocated(&self) -> usize {
        let in_flight = self.in_flight.iter().map(|in_flight| &*in_flight.segment);
        let others = self.waiting.iter().chain(&self.spares).chain([&self.open]);
        in_flight.chain(others).map(Segment::allocated).sum()
    }
}
