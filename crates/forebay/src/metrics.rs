//! What a buffer tells the recorder of the crate `metrics`; without the feature nothing, at no cost.
//!
//! Counters and gauges are copied from [`Stats`](crate::Stats) at certain moments, so that there is one place
//! where things are counted; histograms are told of things as they happen. The recorder is the
//! application's code: it is called without the queue's lock, and its panics end here. One thread at a time
//! tells it how things are, so that an older look never overtakes a newer one; nobody waits for that thread.

#[cfg(feature = "metrics")]
mod recorded {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::{Duration, Instant};

    use metrics::{
        Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, Unit,
        with_recorder,
    };

    use crate::buffer::WriteBuffer;
    use crate::series::{COUNTERS, GAUGES, Read};
    use crate::signals::Signals;
    use crate::stats::{Health, Stats};
    use crate::sync::{self, AtomicBool, AtomicU64, Ordering};

    /// What tells the recorder of one buffer.
    pub(crate) struct Metrics {
        series: Series,
        /// Calls of `publish` that the thread which tells the recorder has not answered yet.
        asked: AtomicU64,
        /// The recorder has panicked, and the log has said so.
        broken: AtomicBool,
    }

    thread_local! {
        /// Whether this thread is telling a recorder how things are.
        static TELLING: Cell<bool> = const { Cell::new(false) };
    }

    /// The series of one buffer.
    struct Series {
        counters: Vec<Count>,
        gauges: Vec<(Gauge, Read<f64>)>,
        batch_rows: Histogram,
        batch_wait: Histogram,
        commit: Histogram,
        lock_wait: Histogram,
    }

    /// A counter, told of what has been added since it was told last. Not of the sum: of two buffers that had
    /// the same database one after the other, the second would not be seen until it has passed the first.
    struct Count {
        counter: Counter,
        read: Read<u64>,
        told: AtomicU64,
    }

    impl Metrics {
        /// Registers the series of a buffer with the recorder that is installed now.
        pub(crate) fn register(database: &str) -> Self {
            let broken = AtomicBool::new(false);
            let series = contain(&broken, || Series::register(database));
            Self { series: series.unwrap_or_else(Series::none), asked: AtomicU64::new(0), broken }
        }

        /// Tells of a batch that is begun, of the segment that began at `oldest`.
        pub(crate) fn begin(&self, rows: usize, oldest: Option<Instant>) {
            contain(&self.broken, || {
                self.series.batch_rows.record(rows as f64);
                let age = oldest.map(|oldest| sync::now().saturating_duration_since(oldest));
                self.series.batch_wait.record(age.unwrap_or_default());
            });
        }

        /// Makes an attempt and tells how long it took.
        pub(crate) fn time<T, E>(
            &self,
            signals: &Signals,
            attempt: impl FnOnce() -> Result<T, E>,
        ) -> Result<T, E> {
            let (_, waited_before) = signals.waits();
            let begun = sync::now();
            let answer = attempt();
            let took = sync::now().saturating_duration_since(begun);
            let waited = signals.waits().1.saturating_sub(waited_before);
            contain(&self.broken, || {
                if answer.is_ok() {
                    self.series.commit.record(took);
                }
                if waited > Duration::ZERO {
                    self.series.lock_wait.record(waited);
                }
            });
            answer
        }

        /// Brings counters and gauges to what `look` sees, or leaves that to the thread that is at it, which
        /// then looks once more. From inside a recorder it does nothing: that would never end.
        pub(crate) fn publish(&self, look: impl Fn() -> (Stats, Health)) {
            if TELLING.get() || self.asked.fetch_add(1, Ordering::AcqRel) > 0 {
                return;
            }
            TELLING.set(true);
            let mut answering = 1;
            loop {
                let (stats, health) = look();
                contain(&self.broken, || self.series.tell(&stats, &health));
                let asked = self.asked.fetch_sub(answering, Ordering::AcqRel);
                if asked == answering {
                    break;
                }
                answering = asked - answering;
            }
            TELLING.set(false);
        }
    }

    impl Series {
        fn register(database: &str) -> Self {
            with_recorder(|recorder| {
                let registry = Registry { recorder, database };
                Self {
                    counters: registry.counters(),
                    gauges: registry.gauges(),
                    batch_rows: registry.histogram(
                        "forebay_batch_rows",
                        Unit::Count,
                        "Rows of a batch that the database was given.",
                    ),
                    batch_wait: registry.histogram(
                        "forebay_batch_wait_seconds",
                        Unit::Seconds,
                        "Age of a batch's oldest row when the batch was begun.",
                    ),
                    commit: registry.histogram(
                        "forebay_commit_seconds",
                        Unit::Seconds,
                        "Time that a successful attempt to write a batch took.",
                    ),
                    lock_wait: registry.histogram(
                        "forebay_lock_wait_seconds",
                        Unit::Seconds,
                        "Time that an attempt waited for a lock, of those that did.",
                    ),
                }
            })
        }

        /// Of a recorder that cannot be used.
        fn none() -> Self {
            Self {
                counters: Vec::new(),
                gauges: Vec::new(),
                batch_rows: Histogram::noop(),
                batch_wait: Histogram::noop(),
                commit: Histogram::noop(),
                lock_wait: Histogram::noop(),
            }
        }

        fn tell(&self, stats: &Stats, health: &Health) {
            for Count { counter, read, told } in &self.counters {
                let sum = read(stats, health);
                let before = told.swap(sum, Ordering::Relaxed);
                if sum > before {
                    counter.increment(sum - before);
                }
            }
            for (gauge, read) in &self.gauges {
                gauge.set(read(stats, health));
            }
        }
    }

    /// Runs the recorder's code, and says it once if that panics.
    fn contain<T>(broken: &AtomicBool, tell: impl FnOnce() -> T) -> Option<T> {
        let told = catch_unwind(AssertUnwindSafe(tell)).ok();
        if told.is_none() && !broken.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "the metrics recorder panicked, which is said once; the buffer goes on"
            );
        }
        told
    }

    /// A recorder, and the label that all series of a buffer have.
    struct Registry<'a> {
        recorder: &'a dyn Recorder,
        database: &'a str,
    }

    impl Registry<'_> {
        const METADATA: Metadata<'static> =
            Metadata::new("forebay", Level::INFO, Some(module_path!()));

        fn counters(&self) -> Vec<Count> {
            let mut counters = Vec::new();
            for family in COUNTERS {
                let name = KeyName::from_const_str(family.name);
                self.recorder.describe_counter(name, Some(family.unit), family.meaning.into());
                for &(value, read) in family.series {
                    let key = self.key(family.name, family.label, value);
                    let counter = self.recorder.register_counter(&key, &Self::METADATA);
                    counters.push(Count { counter, read, told: AtomicU64::new(0) });
                }
            }
            counters
        }

        fn gauges(&self) -> Vec<(Gauge, Read<f64>)> {
            let mut gauges = Vec::new();
            for family in GAUGES {
                let name = KeyName::from_const_str(family.name);
                self.recorder.describe_gauge(name, Some(family.unit), family.meaning.into());
                for &(value, read) in family.series {
                    let key = self.key(family.name, family.label, value);
                    gauges.push((self.recorder.register_gauge(&key, &Self::METADATA), read));
                }
            }
            gauges
        }

        fn histogram(&self, name: &'static str, unit: Unit, meaning: &'static str) -> Histogram {
            let described = KeyName::from_const_str(name);
            self.recorder.describe_histogram(described, Some(unit), meaning.into());
            self.recorder.register_histogram(&self.key(name, "", ""), &Self::METADATA)
        }

        fn key(&self, name: &'static str, label: &'static str, value: &'static str) -> Key {
            let mut labels = vec![Label::new("database", self.database.to_owned())];
            if !label.is_empty() {
                labels.push(Label::from_static_parts(label, value));
            }
            Key::from_parts(name, labels)
        }
    }

    impl WriteBuffer {
        /// Brings the metrics up to this moment. With the feature `metrics`.
        ///
        /// A buffer tells the recorder of the crate [`metrics`](https://docs.rs/metrics) what it does.
        /// Install the recorder first: the series are registered when the buffer opens. Counters and gauges
        /// are brought up to date then, after each batch, after each attempt that failed, and at the end, on the
        /// thread that writes. While that thread waits for a lock, the gauges stay as they were: call this
        /// before you render the metrics for a scrape, or every few seconds. It blocks for the queue's lock at the
        /// most, never for the database; while another thread is telling the recorder it returns at once, and
        /// that thread tells it once more.
        ///
        /// Every series has the label `database`, the file's path as SQLite knows it, which is absolute, or the
        /// [name](crate::Sink::name) of another sink. Two buffers with one name in a process have the same series:
        /// the counters add up, and the gauges are those of the buffer that told them last.
        ///
        /// | metric | kind | unit | label | meaning |
        /// |---|---|---|---|---|
        /// | `forebay_rows_accepted_total` | counter | count | | Rows that a push, submit, write or group took, and those that were in the spool; an execute counts as one. |
        /// | `forebay_rows_replayed_total` | counter | count | | Of the accepted rows, those that an earlier process had left in the spool. |
        /// | `forebay_rows_decided_total` | counter | count | `outcome`: committed, superseded, rejected, unknown, unwritten, spooled | Rows of which it is settled what became of them. |
        /// | `forebay_rows_unaccounted_total` | counter | count | | Rows of which nothing was known when the buffer ended: always 0. |
        /// | `forebay_rows_unchanged_total` | counter | count | | Committed rows that changed nothing. |
        /// | `forebay_transactions_total` | counter | count | | Transactions committed. |
        /// | `forebay_batches_due_total` | counter | count | `trigger`: count, bytes, linger, receipt, flush, close | Times that the rows gathered so far became due, by what made them so. |
        /// | `forebay_busy_waits_total` | counter | count | | Waits for a lock that somebody else held. |
        /// | `forebay_retries_total` | counter | count | | Attempts that failed and were made again. |
        /// | `forebay_pauses_total` | counter | count | | Times that the buffer paused. |
        /// | `forebay_commits_on_caller_total` | counter | count | | Attempts to commit made by the thread that waited for the row. |
        /// | `forebay_buffer_full_total` | counter | count | | Times that a producer found no room. |
        /// | `forebay_letters_unkept_total` | counter | count | | Dead letters that the file could not take. |
        /// | `forebay_pending_rows` | gauge | count | | Rows accepted and not decided yet. |
        /// | `forebay_oldest_pending_seconds` | gauge | seconds | | Age of the oldest row that is not decided yet, 0 when there is none. |
        /// | `forebay_buffer_bytes` | gauge | bytes | | Memory allocated for rows, at most max_buffer_bytes; with a spool only that of a replay. |
        /// | `forebay_spool_bytes` | gauge | bytes | | Size of the spool's files, 0 without one. |
        /// | `forebay_log_bytes` | gauge | bytes | | Size of the write-ahead log in use. |
        /// | `forebay_state` | gauge | count | `state`: running, paused, failed, closed | 1 for the state that the buffer is in, 0 for the others. |
        /// | `forebay_batch_rows` | histogram | count | | Rows of a batch that the database was given. |
        /// | `forebay_batch_wait_seconds` | histogram | seconds | | Age of a batch's oldest row when the batch was begun. |
        /// | `forebay_commit_seconds` | histogram | seconds | | Time that a successful attempt to write a batch took. |
        /// | `forebay_lock_wait_seconds` | histogram | seconds | | Time that an attempt waited for a lock, of those that did. |
        ///
        /// Rows are not stamped one by one: ages count from the first of the rows that gathered together, while
        /// the ones before them were written.
        pub fn publish_metrics(&self) {
            self.shared().publish_metrics();
        }
    }
}

#[cfg(not(feature = "metrics"))]
mod absent {
    use std::time::Instant;

    use crate::signals::Signals;
    use crate::stats::{Health, Stats};

    /// Tells nobody.
    pub(crate) struct Metrics;

    impl Metrics {
        pub(crate) fn register(_database: &str) -> Self {
            Self
        }

        pub(crate) fn begin(&self, _rows: usize, _oldest: Option<Instant>) {}

        pub(crate) fn time<T, E>(
            &self,
            _signals: &Signals,
            attempt: impl FnOnce() -> Result<T, E>,
        ) -> Result<T, E> {
            attempt()
        }

        pub(crate) fn publish(&self, _look: impl FnOnce() -> (Stats, Health)) {}
    }
}

#[cfg(not(feature = "metrics"))]
pub(crate) use absent::Metrics;
#[cfg(feature = "metrics")]
pub(crate) use recorded::Metrics;
