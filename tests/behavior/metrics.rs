//! What a metrics recorder is told, that it is what the documentation says, and that it can do no harm.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use forebay::{Config, Error, ErrorKind, Producer, Retry, SinkError, WriteBuffer};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString,
    Unit, with_local_recorder,
};
use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use parking_lot::Mutex;
use support::{Gate, Log, Scratch, smallest};

const HOUR: Duration = Duration::from_secs(3_600);

fn config() -> Config {
    Config { linger: HOUR, ..Config::default() }
}

/// A buffer whose metrics go to `recorder`, of whatever thread.
fn open(gate: &Gate, recorder: &dyn Recorder, config: Config) -> (WriteBuffer, Producer) {
    let open = || WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let buffer = with_local_recorder(recorder, open);
    let topics = buffer.table("topics").upsert(["id"]).producer().unwrap();
    (buffer, topics)
}

/// The series with their values, by name and own label. To look resets counters and gauges.
struct Seen(BTreeMap<String, DebugValue>);

impl Seen {
    fn by(snapshotter: &Snapshotter) -> Self {
        let series = snapshotter.snapshot().into_vec().into_iter().map(|(key, _, _, value)| {
            let mut name = key.key().name().to_owned();
            for label in key.key().labels().filter(|label| label.key() != "database") {
                write!(name, " {}={}", label.key(), label.value()).unwrap();
            }
            (name, value)
        });
        Self(series.collect())
    }

    fn counter(&self, name: &str) -> u64 {
        match self.0[name] {
            DebugValue::Counter(value) => value,
            ref other => panic!("{name} is {other:?}"),
        }
    }

    fn gauge(&self, name: &str) -> f64 {
        match self.0[name] {
            DebugValue::Gauge(value) => value.into_inner(),
            ref other => panic!("{name} is {other:?}"),
        }
    }

    fn histogram(&self, name: &str) -> Vec<f64> {
        match &self.0[name] {
            DebugValue::Histogram(values) => {
                values.iter().map(|value| value.into_inner()).collect()
            }
            other => panic!("{name} is {other:?}"),
        }
    }

    /// The one state that the gauges say.
    fn state(&self) -> &str {
        let states = self.0.keys().filter_map(|name| name.strip_prefix("forebay_state state="));
        let mut on =
            states.filter(|state| self.gauge(&format!("forebay_state state={state}")) == 1.0);
        let state = on.next().expect("the buffer is in a state");
        assert_eq!(on.next(), None, "and in no other");
        state
    }
}

#[test]
fn the_documentation_names_every_metric_that_there_is_as_it_is() {
    let recorder = DebuggingRecorder::new();
    let (_buffer, _) = open(&Gate::open(), &recorder, config());
    let mut metrics = Vec::<(String, String, String)>::new();
    for (key, unit, meaning, _) in recorder.snapshotter().snapshot().into_vec() {
        let (kind, key) = key.into_parts();
        let labels: Vec<_> = key.labels().map(|label| (label.key(), label.value())).collect();
        let (database, own) = labels.split_first().unwrap();
        assert_eq!(*database, ("database", "gate"));
        let (label, value) = own.first().map_or(("", ""), |label| *label);
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let unit = unit.expect("a unit").as_str();
        let head = format!("/// | `{}` | {kind} | {unit} |", key.name());
        let tail = format!("| {} |", meaning.expect("a meaning"));
        match metrics.last_mut() {
            Some((last, labels, _)) if *last == head => write!(labels, ", {value}").unwrap(),
            _ if label.is_empty() => metrics.push((head, String::new(), tail)),
            _ => metrics.push((head, format!(" `{label}`: {value}"), tail)),
        }
    }
    let emitted: Vec<_> =
        metrics.iter().map(|(head, labels, tail)| format!("{head}{labels} {tail}")).collect();
    let source = include_str!("../../crates/forebay/src/metrics.rs");
    let table = source.lines().map(str::trim).filter(|line| line.starts_with("/// | `forebay_"));
    let table: Vec<_> = table.collect();
    assert_eq!(table, emitted, "it should read:\n{}", emitted.join("\n"));
}

#[test]
fn the_metrics_of_a_closed_buffer_are_its_last_counters() {
    let recorder = DebuggingRecorder::new();
    let gate = Gate::open();
    let (buffer, topics) = open(&gate, &recorder, Config { batch_size: 3, ..config() });
    gate.answer(|batch| {
        assert_eq!(batch.len(), 3);
        let error = Error::new(ErrorKind::Rejected, "it is refused");
        let rejected = vec![forebay::Rejection { row: 1, error }];
        Ok(forebay::Applied { rejected, unchanged: 1, transactions: 1 })
    });
    (0..3).for_each(|id| topics.push(&(id, "x", 0)).unwrap());
    gate.await_calls(1);
    topics.push(&(3, "x", 0)).unwrap();
    buffer.flush().unwrap();
    topics.push(&(4, "x", 0)).unwrap();
    buffer.close().unwrap();

    let (seen, stats) = (Seen::by(&recorder.snapshotter()), buffer.stats());
    assert_eq!((stats.accepted, stats.committed, stats.rejected, stats.unchanged), (5, 4, 1, 1));
    for (name, value) in [
        ("forebay_rows_accepted_total", 5),
        ("forebay_rows_decided_total outcome=committed", 4),
        ("forebay_rows_decided_total outcome=rejected", 1),
        ("forebay_rows_decided_total outcome=unwritten", 0),
        ("forebay_rows_unchanged_total", 1),
        ("forebay_transactions_total", 3),
        ("forebay_batches_due_total trigger=count", 1),
        ("forebay_batches_due_total trigger=flush", 1),
        ("forebay_batches_due_total trigger=close", 1),
        ("forebay_batches_due_total trigger=linger", 0),
        ("forebay_retries_total", 0),
    ] {
        assert_eq!(seen.counter(name), value, "{name}");
    }
    assert_eq!((seen.gauge("forebay_pending_rows"), seen.state()), (0.0, "closed"));
    assert_eq!(seen.gauge("forebay_buffer_bytes"), stats.buffer_bytes as f64);
    assert_eq!(seen.histogram("forebay_batch_rows"), [3.0, 1.0, 1.0]);
    assert_eq!(seen.histogram("forebay_commit_seconds").len(), 3);
    assert_eq!(seen.histogram("forebay_batch_wait_seconds").len(), 3);
    assert_eq!(seen.histogram("forebay_lock_wait_seconds").len(), 0);
}

#[test]
fn a_row_that_its_own_thread_commits_is_counted_as_all_others_are() {
    let recorder = DebuggingRecorder::new();
    let gate = Gate::open().commits_on_caller();
    let (buffer, topics) = open(&gate, &recorder, config());
    while buffer.stats().commits_on_caller == 0 {
        topics.write(&(1, "x", 0)).unwrap();
    }
    let seen = Seen::by(&recorder.snapshotter());
    assert_eq!(seen.counter("forebay_commits_on_caller_total"), 1);
    assert_eq!(
        seen.counter("forebay_rows_decided_total outcome=committed"),
        buffer.stats().committed,
        "told before write returned"
    );
}

#[test]
fn gauges_are_brought_to_the_moment_while_a_batch_waits() {
    let recorder = DebuggingRecorder::new();
    let gate = Gate::closed();
    let (buffer, topics) = open(&gate, &recorder, Config { batch_size: 1, ..config() });
    topics.push(&(1, "x", 0)).unwrap();
    gate.await_arrival();
    topics.push(&(2, "x", 0)).unwrap();
    buffer.publish_metrics();
    let seen = Seen::by(&recorder.snapshotter());
    assert_eq!((seen.gauge("forebay_pending_rows"), seen.state()), (2.0, "running"));
    assert!(seen.gauge("forebay_oldest_pending_seconds") > 0.0);
    assert!(seen.gauge("forebay_buffer_bytes") > 0.0);
    gate.open_up();
    buffer.flush().unwrap();
    buffer.publish_metrics();
    let seen = Seen::by(&recorder.snapshotter());
    assert_eq!(seen.gauge("forebay_pending_rows"), 0.0);
    assert_eq!(seen.gauge("forebay_oldest_pending_seconds"), 0.0);
}

#[test]
fn a_failed_attempt_is_told_at_once_and_its_batch_is_one_batch() {
    let recorder = DebuggingRecorder::new();
    let gate = Gate::closed();
    gate.fail(1, &SinkError::down(Error::new(ErrorKind::Unavailable, "the disk is full")));
    let retry = Retry { pause: Duration::from_millis(1), ..Retry::default() };
    let (buffer, topics) = open(&gate, &recorder, Config { batch_size: 1, retry, ..config() });
    topics.push(&(1, "x", 0)).unwrap();
    gate.pass(1);
    gate.await_calls(1);
    gate.await_arrival();
    let seen = Seen::by(&recorder.snapshotter());
    assert_eq!((seen.state(), seen.counter("forebay_pauses_total")), ("paused", 1));
    assert_eq!(seen.counter("forebay_retries_total"), 1);
    assert_eq!(seen.histogram("forebay_batch_rows"), [1.0]);
    assert_eq!(seen.histogram("forebay_commit_seconds").len(), 0);
    gate.open_up();
    buffer.close().unwrap();
    let seen = Seen::by(&recorder.snapshotter());
    assert_eq!(seen.state(), "closed");
    assert_eq!(seen.counter("forebay_retries_total"), 0, "what was told is not told again");
    assert_eq!(seen.histogram("forebay_batch_rows").len(), 0);
    assert_eq!(seen.histogram("forebay_commit_seconds").len(), 1);
}

#[test]
fn a_batch_that_is_begun_again_is_recorded_once() {
    let recorder = DebuggingRecorder::new();
    let gate = Gate::open().commits_on_caller();
    let retry = Retry { delay: Duration::ZERO, ..Retry::default() };
    let (buffer, topics) = open(&gate, &recorder, Config { retry, ..config() });
    let mut writes = 0;
    while buffer.stats().commits_on_caller == 0 {
        // What goes wrong on the caller the writer begins again.
        gate.fail(1, &SinkError::busy(Error::new(ErrorKind::Busy, "database locked")));
        topics.write(&(1, "x", 0)).unwrap();
        writes += 1;
    }
    let merging = buffer.table("topics").upsert(["id"]).coalesce().producer().unwrap();
    gate.answer(|_| Err(SinkError::unmerge(Error::new(ErrorKind::Rejected, "it is refused"))));
    [1, 1, 2].iter().for_each(|id| merging.push(&(*id, "x", 0)).unwrap());
    buffer.flush().unwrap();
    buffer.close().unwrap();
    let seen = Seen::by(&recorder.snapshotter());
    // The recorder keeps no order between many.
    let mut batches = seen.histogram("forebay_batch_rows");
    batches.sort_by(f64::total_cmp);
    assert_eq!(batches, [vec![1.0; writes], vec![2.0]].concat());
    assert_eq!(seen.histogram("forebay_commit_seconds").len(), writes + 1);
    assert_eq!(seen.counter("forebay_retries_total"), writes as u64);
}

#[test]
fn a_close_that_gives_up_a_sink_which_does_not_answer_is_told_too() {
    let recorder = DebuggingRecorder::new();
    let gate = Gate::closed();
    let (buffer, topics) = open(&gate, &recorder, Config { batch_size: 1, ..config() });
    topics.push(&(1, "x", 0)).unwrap();
    gate.await_arrival();
    topics.push(&(2, "x", 0)).unwrap();
    buffer.close_within(Duration::ZERO).unwrap();
    let seen = Seen::by(&recorder.snapshotter());
    assert_eq!((seen.state(), seen.gauge("forebay_pending_rows")), ("closed", 0.0));
    assert_eq!(seen.counter("forebay_rows_decided_total outcome=unknown"), 1);
    assert_eq!(seen.counter("forebay_rows_decided_total outcome=unwritten"), 1);
    gate.open_up();
}

#[test]
fn a_second_buffer_for_a_database_goes_on_counting_where_the_first_ended() {
    let recorder = DebuggingRecorder::new();
    for rows in [2, 1] {
        let (buffer, topics) = open(&Gate::open(), &recorder, config());
        (0..rows).for_each(|id| topics.push(&(id, "x", 0)).unwrap());
        buffer.close().unwrap();
    }
    let seen = Seen::by(&recorder.snapshotter());
    assert_eq!(seen.counter("forebay_rows_accepted_total"), 3);
    assert_eq!(seen.counter("forebay_rows_decided_total outcome=committed"), 3);
}

#[test]
fn an_attempt_that_waits_for_a_lock_tells_how_long() {
    let scratch = Scratch::new("CREATE TABLE t(id INTEGER PRIMARY KEY)");
    let recorder = DebuggingRecorder::new();
    let buffer = with_local_recorder(&recorder, || scratch.buffer());
    let t = buffer.table("t").insert().producer().unwrap();
    let other = scratch.connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let write = scope.spawn(|| t.write(&(1,)));
        while buffer.stats().busy_time.is_zero() {
            std::thread::yield_now();
        }
        other.execute_batch("COMMIT").unwrap();
        write.join().unwrap().unwrap();
    });
    t.write(&(2,)).unwrap();
    buffer.close().unwrap();
    let seen = Seen::by(&recorder.snapshotter());
    assert_eq!(seen.counter("forebay_busy_waits_total"), 1);
    let waited = seen.histogram("forebay_lock_wait_seconds");
    assert_eq!(waited, [buffer.stats().busy_time.as_secs_f64()]);
    let commits = seen.histogram("forebay_commit_seconds");
    assert!(commits.len() == 2 && commits[0] >= waited[0], "{commits:?}, {waited:?}");
}

#[test]
fn rows_left_in_a_spool_are_counted_there_and_again_when_they_are_replayed() {
    let scratch = Scratch::new("CREATE TABLE t(id INTEGER PRIMARY KEY)");
    let spool = Some(scratch.path().with_extension("spool"));
    let recorder = DebuggingRecorder::new();
    let open = || {
        let config = Config { linger: HOUR, spool: spool.clone(), ..smallest() };
        let builder = WriteBuffer::builder(scratch.path()).config(config);
        with_local_recorder(&recorder, || builder.open().unwrap())
    };
    let buffer = open();
    let t = buffer.table("t").insert().producer().unwrap();
    let other = scratch.connection();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    (0..3).for_each(|id| t.push(&(id,)).unwrap());
    buffer.publish_metrics();
    let seen = Seen::by(&recorder.snapshotter());
    assert_eq!(seen.gauge("forebay_spool_bytes"), buffer.stats().spool_bytes as f64);
    assert!(seen.gauge("forebay_spool_bytes") > 0.0);
    assert_eq!(buffer.close_within(Duration::ZERO).unwrap().stats.spooled, 3);
    let seen = Seen::by(&recorder.snapshotter());
    assert_eq!(seen.counter("forebay_rows_decided_total outcome=spooled"), 3);
    assert_eq!(seen.counter("forebay_rows_decided_total outcome=unwritten"), 0);
    assert_eq!(seen.counter("forebay_rows_replayed_total"), 0);

    other.execute_batch("ROLLBACK").unwrap();
    open().close().unwrap();
    let seen = Seen::by(&recorder.snapshotter());
    assert_eq!(seen.counter("forebay_rows_replayed_total"), 3);
    assert_eq!(seen.counter("forebay_rows_accepted_total"), 3);
    assert_eq!(seen.counter("forebay_rows_decided_total outcome=committed"), 3);
    assert_eq!(scratch.column::<i64>("SELECT id FROM t"), [0, 1, 2]);
}

/// A recorder that does something whenever a counter grows or a gauge is set, and keeps the gauges.
struct Reacting<F>(Arc<F>, DebuggingRecorder);

impl<F> Reacting<F> {
    fn new(react: F) -> Self {
        Self(Arc::new(react), DebuggingRecorder::new())
    }
}

struct Reaction<F>(Arc<F>, Gauge);

impl<F: Fn() + Send + Sync + 'static> CounterFn for Reaction<F> {
    fn increment(&self, _value: u64) {
        (self.0)();
    }

    fn absolute(&self, _value: u64) {
        (self.0)();
    }
}

impl<F: Fn() + Send + Sync + 'static> GaugeFn for Reaction<F> {
    fn increment(&self, value: f64) {
        self.1.increment(value);
    }

    fn decrement(&self, value: f64) {
        self.1.decrement(value);
    }

    fn set(&self, value: f64) {
        (self.0)();
        self.1.set(value);
    }
}

impl<F: Fn() + Send + Sync + 'static> Recorder for Reacting<F> {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(Reaction(Arc::clone(&self.0), Gauge::noop())))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        let kept = self.1.register_gauge(key, metadata);
        Gauge::from_arc(Arc::new(Reaction(Arc::clone(&self.0), kept)))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn a_recorder_that_panics_costs_no_row() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.subscriber()).unwrap();
    let recorder = Reacting::new(|| panic!("the recorder is broken"));
    let gate = Gate::open();
    let (buffer, topics) = open(&gate, &recorder, config());
    (0..3).for_each(|id| topics.write(&(id, "x", 0)).unwrap());
    buffer.publish_metrics();
    buffer.ready(HOUR).unwrap();
    buffer.close().unwrap();
    assert_eq!(gate.ids(), [[0], [1], [2]]);
    assert_eq!(log.text().matches("the metrics recorder panicked").count(), 1, "{}", log.text());
}

/// A recorder that cannot even be told what there is.
struct Unusable;

impl Recorder for Unusable {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        panic!("the recorder is broken");
    }
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn a_recorder_that_panics_when_the_buffer_opens_is_done_without() {
    let gate = Gate::open();
    let (buffer, topics) = open(&gate, &Unusable, config());
    topics.write(&(1, "x", 0)).unwrap();
    buffer.publish_metrics();
    buffer.close().unwrap();
    assert_eq!(gate.ids(), [[1]]);
}

#[test]
fn the_gauges_are_there_from_the_start() {
    let recorder = DebuggingRecorder::new();
    let (_buffer, _) = open(&Gate::open(), &recorder, config());
    let seen = Seen::by(&recorder.snapshotter());
    assert_eq!((seen.gauge("forebay_pending_rows"), seen.state()), (0.0, "running"));
}

#[test]
fn what_a_slow_scraper_saw_does_not_overtake_the_end() {
    let (arrived, arrival) = channel();
    let (go_on, told) = channel::<()>();
    let first = Mutex::new(Some((arrived, told)));
    let armed = Arc::new(AtomicBool::new(false));
    let recorder = {
        let armed = Arc::clone(&armed);
        Reacting::new(move || {
            if armed.swap(false, Ordering::Relaxed)
                && let Some((arrived, told)) = first.lock().take()
            {
                arrived.send(()).unwrap();
                told.recv().unwrap();
            }
        })
    };
    let gate = Gate::open();
    let (buffer, topics) = open(&gate, &recorder, config());
    armed.store(true, Ordering::Relaxed);
    topics.push(&(1, "x", 0)).unwrap();
    std::thread::scope(|scope| {
        let scrape = scope.spawn(|| buffer.publish_metrics());
        arrival.recv().unwrap();
        buffer.close().unwrap();
        go_on.send(()).unwrap();
        scrape.join().unwrap();
    });
    let seen = Seen::by(&recorder.1.snapshotter());
    assert_eq!((seen.gauge("forebay_pending_rows"), seen.state()), (0.0, "closed"));
}

#[test]
fn a_recorder_may_look_at_the_buffer_and_push_into_it() {
    let back = Arc::new(OnceLock::<(WriteBuffer, Producer)>::new());
    let again = Arc::clone(&back);
    let recorder = Reacting::new(move || {
        let Some((buffer, topics)) = again.get() else { return };
        buffer.publish_metrics();
        if buffer.stats().accepted < 2 {
            topics.try_push(&(2, "from the recorder", 0)).unwrap();
        }
    });
    let gate = Gate::open();
    let (buffer, topics) = open(&gate, &recorder, config());
    back.set((buffer.clone(), topics.clone())).expect("it is set once");
    topics.push(&(1, "x", 0)).unwrap();
    buffer.flush().unwrap();
    while buffer.stats().accepted < 2 {
        std::thread::yield_now();
    }
    buffer.close().unwrap();
    assert_eq!(gate.ids(), [[1], [2]]);
}
