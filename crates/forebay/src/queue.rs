//! The queue between producers and whoever holds the sink: admission, back-pressure, the swap of segments.
//!
//! Everything is in one [`State`] under one lock, held for a copy and never for I/O, a callback or a log
//! line. Whoever has taken `worker` out of it holds the sink, and only he changes `in_flight`, until he puts it back. Rows
//! are decided under the lock, in order, each once. What is true of the segments is said at the [state](crate::state).

use std::ops::Range;
use std::panic::{AssertUnwindSafe, RefUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::admission::{Admitted, Refused};
use crate::config::Config;
use crate::error::{Error, ErrorKind, Result};
use crate::log::RowLog;
use crate::metrics::Metrics;
use crate::policy::{Due, Policy, Trigger};
use crate::promise::promise;
use crate::receipt::Barrier;
use crate::segment::{Cursor, Segment};
use crate::shape::{Place, Shapes, Stream, Target};
use crate::signals::Signals;
use crate::sink::{Sink, SinkError};
use crate::spool::{self, Spool};
use crate::state::{InFlight, Life, Sleep, State};
use crate::sync::{self, Condvar, Mutex, MutexGuard};
use crate::turns::{Gathering, Turns};
use crate::wait;
use crate::writer::Worker;

/// Threads that are woken at once when there is room again. One in a model, so that it shows what the next needs.
const AT_ONCE: usize = if cfg!(forebay_loom) { 1 } else { 2 };

/// How long a lock is waited for before a call asks whether it is in another process.
const SOON: Duration = Duration::from_millis(10);

/// What handles, receipts and the writer share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) signals: Arc<Signals>,
    pub(crate) shapes: Shapes,
    pub(crate) metrics: Metrics,
    pub(crate) turns: Turns,
    pub(crate) spool: Option<Spool>,
    /// Whether the database takes texts with NUL characters in them.
    pub(crate) takes_nul: bool,
    name: String,
    policy: Policy,
    process: u32,
    streams: Mutex<Vec<Arc<Stream>>>,
    state: Mutex<State>,
    /// Where the writer sleeps.
    work: Condvar,
    /// Where the thread sleeps that makes a spool's segments.
    pub(crate) growing: Condvar,
}

/// A panic elsewhere leaves nothing half done here: what changes under a lock changes without calling out.
impl RefUnwindSafe for Shared {}

/// Something to be done with the sink between batches.
pub(crate) type Errand = Box<dyn FnOnce(Result<&mut dyn Sink>) + Send>;

/// Runs an errand. Whoever waits for one that panics is told by its promise being dropped.
pub(crate) fn run_errand(errand: Errand, sink: Result<&mut dyn Sink>) {
    if catch_unwind(AssertUnwindSafe(|| errand(sink))).is_err() {
        tracing::error!("the sink panicked between two batches: a bug in it; the buffer goes on");
    }
}

/// What the writer is to do next.
pub(crate) enum Job {
    Errand(Box<Worker>, Errand),
    /// Write what is in flight.
    Write(Box<Worker>),
    /// All is written and the buffer closes.
    Exit(Option<Box<Worker>>),
}

impl Shared {
    pub(crate) fn new(
        config: Config,
        name: String,
        mut log: RowLog,
        worker: Worker,
        signals: Arc<Signals>,
    ) -> Self {
        Self {
            policy: Policy::new(&config),
            metrics: Metrics::register(&name),
            turns: Turns::new(),
            name,
            signals,
            shapes: std::mem::take(&mut log.shapes),
            spool: log.spool.take(),
            takes_nul: worker.takes_nul(),
            process: std::process::id(),
            streams: Mutex::new(Vec::new()),
            state: Mutex::new(State::new(log, worker)),
            work: Condvar::new(),
            growing: Condvar::new(),
            config,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// What the buffer writes to, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What tells this buffer from others.
    pub(crate) fn id(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Fails in a child of the process that opened the buffer: there is no writer there, and using a
    /// database connection from both sides of a fork corrupts the database.
    pub(crate) fn check_process(&self) -> Result<()> {
        if std::process::id() == self.process {
            return Ok(());
        }
        Err(self.forked())
    }

    /// A lock of the buffer's, for calls that need not ask in which process they are. In a child of the one that opened the
    /// buffer it may be held for ever, by a thread that was not forked; elsewhere it is held for a copy's time. So whoever
    /// does not get it soon asks: to do so at every contended push would be a system call for each.
    pub(crate) fn lock_in_this_process<'a, T>(
        &self,
        mutex: &'a Mutex<T>,
    ) -> Result<MutexGuard<'a, T>> {
        if let Some(guard) = mutex.try_lock_for(SOON) {
            return Ok(guard);
        }
        self.check_process()?;
        Ok(mutex.lock())
    }

    fn forked(&self) -> Error {
        let message = format!(
            "the buffer for {} belongs to the parent process: open one after the fork",
            self.name
        );
        Error::new(ErrorKind::Forked, message)
    }

    /// Fails where a call that blocks could never return.
    pub(crate) fn may_wait(&self, to: &str) -> Result<()> {
        self.check_process()?;
        if !wait::holds_sink_of(self.id()) {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::WouldDeadlock,
            format!(
                "cannot {to} on the thread that writes to {}: from on_reject or a log subscriber use try_push",
                self.name
            ),
        ))
    }

    /// Appends encoded rows to the log, if there is room.
    pub(crate) fn admit(
        &self,
        frames: &[u8],
        rows: usize,
        receipt: bool,
    ) -> Result<Admitted, Refused> {
        let mut check = 0;
        if let Some(spool) = &self.spool {
            if spool.is_forked() {
                // The files are the parent's too.
                return Err(Refused::Because(self.forked()));
            }
            check = spool::check_of(frames);
        }
        let mut state = self.lock_in_this_process(&self.state).map_err(Refused::Because)?;
        let admitted = state.append(frames, check, rows, receipt);
        let wake = match admitted {
            Ok(_) => match state.sleep {
                Sleep::Idle => true,
                Sleep::Timed => {
                    self.policy.is_full(state.open.rows(), state.open.used())
                        || !state.waiting.is_empty()
                }
                Sleep::Awake | Sleep::WithoutSink => false,
            },
            Err(Refused::Full) => {
                state.stats.full += 1;
                state.press()
            }
            Err(Refused::Because(_)) => false,
        };
        if state.asks_for_segment() {
            self.growing.notify_one();
        }
        self.wake_writer(state, wake);
        admitted
    }

    /// Somebody waits for this row: its batch is due.
    pub(crate) fn ask_for(&self, seq: u64) {
        self.make_due(self.state.lock(), seq);
    }

    fn make_due(&self, mut state: MutexGuard<'_, State>, seq: u64) {
        let open = state.open.rows() > 0 && seq >= state.open.seq(0);
        state.awaited |= open;
        self.wake_writer(state, open);
    }

    /// A future for everything accepted so far to be decided, made due at once.
    pub(crate) fn barrier(&self) -> Barrier {
        let mut state = self.state.lock();
        let of = |segment: &Segment| Barrier::new(Arc::clone(segment.outcome()), segment.end_seq());
        let barrier = if state.open.rows() > 0 {
            state.flushing = true;
            of(&state.open)
        } else if let Some(last) = state.waiting.back() {
            of(last)
        } else if let Some(in_flight) = &state.in_flight {
            of(&in_flight.segment)
        } else {
            Barrier::new(Arc::clone(&state.last.0), state.last.1)
        };
        self.wake_writer(state, true);
        barrier
    }

    /// Has something done with the sink, between batches, by whoever holds it.
    pub(crate) fn send(&self, errand: Errand) {
        let mut state = self.state.lock();
        if let Life::Ended(error) = &state.life {
            let error = error.clone();
            drop(state);
            return run_errand(errand, Err(error));
        }
        state.errands.push_back(errand);
        self.wake_writer(state, true);
    }

    /// Has something asked of the sink and blocks for the answer.
    pub(crate) fn with_sink<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut dyn Sink) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.may_wait("look at the database")?;
        let (promise, promised) = promise();
        self.send(Box::new(move |sink| promise.keep(sink.and_then(ask))));
        wait::block_on(promised, None).flatten().unwrap_or_else(|| {
            Err(Error::new(
                ErrorKind::Panicked,
                format!("the sink for {} panicked while it was asked", self.name),
            ))
        })
    }

    /// Tells the metrics recorder how things are.
    pub(crate) fn publish_metrics(&self) {
        self.metrics.publish(|| self.look());
    }

    /// The stream of a target: one for all producers with the same definition, so that their shapes and
    /// cached statements are shared. `place` is what the table looks like now.
    pub(crate) fn stream(&self, target: Target, place: Place) -> Arc<Stream> {
        let mut streams = self.streams.lock();
        if let Some(stream) = streams.iter().find(|stream| *stream.target() == target) {
            if let Place::Table(info) = place {
                stream.update(info);
            }
            return Arc::clone(stream);
        }
        let stream = Arc::new(Stream::new(target, place));
        streams.push(Arc::clone(&stream));
        stream
    }

    pub(crate) fn streams(&self) -> Vec<Arc<Stream>> {
        self.streams.lock().clone()
    }

    /// Blocks the writer until there is something to do.
    pub(crate) fn next_job(&self) -> Job {
        let mut gathering = Gathering::default();
        let mut state = self.state.lock();
        loop {
            if matches!(state.life, Life::Ended(_)) {
                return Job::Exit(state.worker.take());
            }
            if state.worker.is_none() {
                self.sleep(&mut state, Sleep::WithoutSink, None);
                continue;
            }
            if let Some(errand) = state.errands.pop_front() {
                return Job::Errand(state.take_worker(), errand);
            }
            if state.in_flight.is_some() {
                return Job::Write(state.take_worker());
            }
            let due = match state.waiting.is_empty() {
                true => self.policy.due(&state.gathered(), sync::now),
                false => Due::Now(Trigger::Bytes),
            };
            let may_gather = matches!(state.life, Life::Open)
                && !matches!(due, Due::Now(trigger) if trigger != Trigger::Receipt);
            if may_gather && gathering.goes_on(&mut state.absent) {
                drop(state);
                let given = self.turns.give();
                state = self.state.lock();
                if !given {
                    state.absent = 0;
                }
                continue;
            }
            match due {
                Due::Now(trigger) => {
                    let worker = state.take_worker();
                    self.swap(state, trigger);
                    return Job::Write(worker);
                }
                Due::At(time) => self.sleep(&mut state, Sleep::Timed, Some(time)),
                Due::Never if matches!(state.life, Life::Open) => {
                    self.sleep(&mut state, Sleep::Idle, None);
                }
                Due::Never => return Job::Exit(state.worker.take()),
            }
        }
    }

    /// Gives the sink to the calling thread if it waits for these rows, they are all there is, and nobody and nothing
    /// else is to be expected. Otherwise asks the writer for them.
    pub(crate) fn take_sink_for(&self, rows: &Range<u64>) -> Option<Box<Worker>> {
        let mut state = self.state.lock();
        let alone = state.open.rows() > 0
            && (state.open.seq(0)..state.open.end_seq()) == *rows
            && state.in_flight.is_none()
            && state.waiting.is_empty()
            && state.errands.is_empty()
            && state.absent == 0
            && matches!(state.life, Life::Open);
        if !alone || !state.worker.as_ref().is_some_and(|worker| worker.commits_on_caller()) {
            self.make_due(state, rows.end - 1);
            return None;
        }
        let worker = state.take_worker();
        state.is_sink_out = true;
        state.stats.commits_on_caller += 1;
        self.swap(state, Trigger::Receipt);
        Some(worker)
    }

    /// Gives the sink back.
    pub(crate) fn return_sink(&self, worker: Box<Worker>) {
        let mut state = self.state.lock();
        if state.writer_ended {
            // Nobody will use it any more.
            drop(state);
            let _ = catch_unwind(AssertUnwindSafe(|| drop(worker)));
            return self.sink_is_gone();
        }
        state.worker = Some(worker);
        state.is_sink_out = false;
        if state.sleep == Sleep::WithoutSink {
            // The writer sleeps on, and from now on a row is worth waking it for.
            state.sleep = Sleep::Idle;
        }
        let work = state.open.rows() > 0
            || !state.waiting.is_empty()
            || state.in_flight.is_some()
            || !state.errands.is_empty()
            || !matches!(state.life, Life::Open);
        self.wake_writer(state, work);
    }

    /// The segment in flight has been decided: it is spare again.
    pub(crate) fn recycle(&self) {
        let mut state = self.lock();
        if let Some(superfluous) = state.recycle() {
            drop(state);
            let bytes = superfluous.file_bytes();
            // It counts as long as it takes up room.
            let may_go = self.spool.as_ref().is_none_or(Spool::is_in_place);
            let is_gone = may_go && superfluous.delete();
            state = self.lock();
            if is_gone {
                // The buffer may have ended meanwhile, and let go of all files.
                state.growth.bytes = state.growth.bytes.saturating_sub(bytes);
            }
        }
        if state.asks_for_segment() {
            self.growing.notify_one();
        }
        // When the open segment is what the writer takes next, that makes room, and those who found none are woken then.
        if state.pressed && (!state.waiting.is_empty() || state.open.rows() == 0) {
            self.wake_for_room(state);
        }
    }

    /// There is a spare segment: wakes those who found no room, as a swap does.
    pub(crate) fn wake_for_room(&self, mut state: MutexGuard<'_, State>) {
        if state.spares.is_empty() || state.growth.is_too_large() {
            return;
        }
        state.pressed = false;
        let blocked = state.room.first(AT_ONCE);
        drop(state);
        blocked.wake();
    }

    /// The segment in flight, how far it is decided, and the answer to an attempt made elsewhere.
    /// `None` when somebody has decided its rows without the holder of the sink.
    pub(crate) fn in_flight(&self) -> Option<(Arc<Segment>, Cursor, Option<SinkError>)> {
        let mut state = self.state.lock();
        let in_flight = state.in_flight.as_mut()?;
        let failed = in_flight.handed_over.take();
        Some((Arc::clone(&in_flight.segment), in_flight.decided, failed))
    }

    /// Notes that the sink is given the rows before `end`.
    pub(crate) fn begin_batch(&self, end: Cursor) {
        if let Some(in_flight) = &mut self.state.lock().in_flight {
            in_flight.applying = end;
        }
    }

    /// Leaves the segment in flight to the writer, with what the sink said.
    pub(crate) fn hand_over(&self, error: SinkError) {
        if let Some(in_flight) = &mut self.state.lock().in_flight {
            in_flight.handed_over = Some(error);
        }
    }

    pub(crate) fn next_errand(&self) -> Option<Errand> {
        self.state.lock().errands.pop_front()
    }

    /// Lets the holder of the sink wait until `time`, or until `close` has run out of time. He runs
    /// errands meanwhile.
    pub(crate) fn rest(&self, time: Instant, sink: &mut dyn Sink) {
        let mut state = self.state.lock();
        while sync::now() < time
            && !matches!(state.life, Life::Closing { overdue: true } | Life::Ended(_))
        {
            if let Some(errand) = state.errands.pop_front() {
                drop(state);
                run_errand(errand, Ok(sink));
                state = self.state.lock();
                continue;
            }
            self.sleep(&mut state, Sleep::WithoutSink, Some(time));
        }
    }

    fn sleep(&self, state: &mut MutexGuard<'_, State>, how: Sleep, until: Option<Instant>) {
        state.sleep = how;
        match until {
            Some(time) => {
                self.work.wait_until(state, time);
            }
            None => self.work.wait(state),
        }
        state.sleep = Sleep::Awake;
    }

    /// Takes the next segment to be written: the first that waits, or else the open one. Wakes those who found no room
    /// when there is some: of many threads the first few, each of which wakes the next. For a thread costs microseconds to
    /// wake, and there may be hundreds.
    fn swap(&self, mut state: MutexGuard<'_, State>, trigger: Trigger) {
        let next = state.waiting.pop_front().unwrap_or_else(|| {
            state.stats.triggers.count(trigger);
            state.replace_open().expect("one is spare when none is in flight or waits")
        });
        state.in_flight = Some(InFlight::new(next));
        let blocked = (!state.pressed).then(|| state.room.first(AT_ONCE));
        drop(state);
        if let Some(blocked) = blocked {
            blocked.wake();
        }
    }

    pub(crate) fn wake_writer(&self, mut state: MutexGuard<'_, State>, wake: bool) {
        let wake = wake && std::mem::replace(&mut state.sleep, Sleep::Awake) != Sleep::Awake;
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }
}
