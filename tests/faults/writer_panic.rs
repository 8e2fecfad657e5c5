//! A panic of whoever writes: in the sink, wherever it is called, in `on_reject`, in a subscriber of its log.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::{
    Applied, Batch, Config, Error, ErrorKind, Retry, Sink, SinkError, SqliteSink, TableInfo,
    ValueRef, WriteBuffer,
};
use rusqlite::Connection;
use support::{Around, Scratch, Seen, Surrounded, Trial, adds_up};

use crate::claims::{Claim, Crowd, Letters, Pushed, add_letters, settle, wait_until};

/// Where the sink panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    BeforeTheBatch,
    InTheTransaction,
    AfterTheCommit,
    Describe,
    DescribeAfterExecute,
    Tidy,
    Log,
    OnReject,
    Drop,
}

impl Place {
    /// Whether the buffer goes on, because nothing of its own can be half done.
    fn is_harmless(self) -> bool {
        matches!(self, Self::Describe | Self::OnReject | Self::Drop)
    }
}

/// Around the sink: a panic, once, in one place, after a few batches.
struct Explosive {
    /// For a transaction that is broken off: another real one.
    beside: Connection,
    place: Place,
    batches: Arc<AtomicU64>,
    exploded: AtomicBool,
}

const EXPLOSION: &str = "the sink of this test panics";
const AFTER: u64 = 5;

impl Explosive {
    fn explode(&self, place: Place) {
        let is_due = place == self.place && self.batches.load(Ordering::Relaxed) >= AFTER;
        assert!(!is_due || self.exploded.swap(true, Ordering::Relaxed), "{EXPLOSION}");
    }

    fn break_off(&self, batch: &Batch<'_>) {
        if self.place == Place::InTheTransaction && self.batches.load(Ordering::Relaxed) >= AFTER {
            self.beside.execute_batch("BEGIN IMMEDIATE").unwrap();
            for row in batch.rows() {
                let Some(ValueRef::Integer(id)) = row.values().next() else { panic!("no id") };
                self.beside.execute("INSERT INTO landed VALUES (?1)", [id]).unwrap();
            }
            self.explode(Place::InTheTransaction);
        }
    }
}

impl Around for Explosive {
    fn describe(&mut self, sink: &mut SqliteSink, table: &str) -> Result<TableInfo, Error> {
        self.explode(Place::Describe);
        self.explode(Place::DescribeAfterExecute);
        sink.describe(table)
    }

    fn apply(&mut self, sink: &mut SqliteSink, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        let count = self.batches.fetch_add(1, Ordering::Relaxed) + 1;
        self.explode(Place::BeforeTheBatch);
        self.break_off(batch);
        if self.place == Place::Log && count == AFTER {
            // On the writer's thread, for as long as it lives.
            std::mem::forget(tracing::subscriber::set_default(
                tracing_subscriber::layer::SubscriberExt::with(
                    tracing_subscriber::registry(),
                    Panicking,
                ),
            ));
            let error = Error::new(ErrorKind::Busy, "database locked");
            return Err(SinkError::busy(error));
        }
        let applied = sink.apply(batch);
        self.explode(Place::AfterTheCommit);
        applied
    }

    fn tidy(&mut self, sink: &mut SqliteSink) {
        self.explode(Place::Tidy);
        sink.tidy();
    }

    fn commits_on_caller(&self, _: &SqliteSink) -> bool {
        // The subscriber is for the writer's thread alone.
        self.place != Place::Log
    }
}

impl Drop for Explosive {
    fn drop(&mut self) {
        assert!(self.place != Place::Drop, "{EXPLOSION}");
    }
}

/// A subscriber that panics at every line.
struct Panicking;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Panicking {
    fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        panic!("the application's log panics");
    }
}

fn round(place: Place) -> Seen {
    let scratch = Scratch::new(
        "CREATE TABLE landed(id INTEGER NOT NULL CHECK (id % 1000000 <> 13)) STRICT;
         CREATE TABLE other(id)",
    );
    let batches = Arc::<AtomicU64>::default();
    let config = Config {
        batch_size: 20,
        max_transaction_rows: 50,
        max_buffer_bytes: 65_536,
        max_batch_bytes: 16_384,
        max_row_bytes: 1_024,
        linger: Duration::from_millis(1),
        retry: Retry { delay: Duration::ZERO, ..Retry::default() },
        ..Config::default()
    };
    let beside = scratch.connection();
    beside.busy_timeout(Duration::from_secs(30)).unwrap();
    let explosive = Explosive {
        beside,
        place,
        batches: Arc::clone(&batches),
        exploded: AtomicBool::new(false),
    };
    let sink = SqliteSink::open(scratch.path(), &config).unwrap();
    let sink = Surrounded::new(sink, explosive);
    let letters = Arc::<Mutex<Letters>>::default();
    let told = Arc::clone(&letters);
    let buffer = WriteBuffer::builder_with_sink(sink)
        .config(config)
        .on_reject(move |letter| {
            add_letters(&mut told.lock().unwrap(), std::slice::from_ref(letter));
            assert!(place != Place::OnReject, "on_reject panics");
        })
        .open()
        .unwrap();
    let rows = buffer.table("landed").insert().producer().unwrap();
    let crowd = Crowd::begin(&rows, drop);
    wait_until(|| batches.load(Ordering::Relaxed) >= AFTER);
    match place {
        Place::Describe => {
            let asked = buffer.table("other").insert().producer().map(drop);
            assert_eq!(asked.unwrap_err().kind(), ErrorKind::Panicked);
        }
        Place::DescribeAfterExecute => {
            let executed = buffer.execute("DELETE FROM other");
            assert_eq!(executed.unwrap_err().kind(), ErrorKind::Unknown);
        }
        _ => {}
    }
    if place.is_harmless() {
        wait_until(|| buffer.stats().accepted > 500 && buffer.stats().rejected >= 4);
        crowd.stop();
    }
    let pushed = crowd.join();
    end(place, &scratch, &buffer, pushed, &letters)
}

fn end(
    place: Place,
    scratch: &Scratch,
    buffer: &WriteBuffer,
    pushed: Vec<Pushed>,
    letters: &Mutex<Letters>,
) -> Seen {
    if !place.is_harmless() {
        let causes = pushed.iter().map(|pushed| pushed.ended.as_ref().unwrap());
        for error in causes.chain([&buffer.flush().unwrap_err()]) {
            assert_eq!(error.kind(), ErrorKind::Failed, "{error:#}");
            assert!(format!("{error:#}").contains("panicked"), "{error:#}");
        }
    }
    let report = buffer.close_within(Duration::from_secs(30)).unwrap();
    assert!(adds_up(&report.stats), "{:?}", report.stats);
    let closed = buffer.close();
    assert_eq!(closed.is_ok(), place.is_harmless() && place != Place::Drop, "{closed:?}");

    let mut letters = letters.lock().unwrap().clone();
    add_letters(&mut letters, &report.leftovers);
    let claims: Vec<Claim> = pushed.into_iter().flat_map(|pushed| pushed.claims).collect();
    let written: HashMap<i64, u64> =
        scratch.column::<i64>("SELECT id FROM landed").into_iter().map(|id| (id, 1)).collect();
    let (seen, troubles) = settle(&claims, &written, &letters);
    look_at_unknown(place, &troubles, &written);
    let lost_or_twice = Seen::in_table(&scratch.path(), []);
    Seen { twice: seen.twice + lost_or_twice.twice, ..seen }
}

/// The batch that the sink panicked over is in the database as a whole, or not at all.
fn look_at_unknown(place: Place, troubles: &HashMap<i64, ErrorKind>, written: &HashMap<i64, u64>) {
    let of = |kind| troubles.iter().filter(move |(_, told)| **told == kind).map(|(id, _)| *id);
    let unknown: HashSet<i64> = of(ErrorKind::Unknown).collect();
    let there = unknown.iter().filter(|id| written.contains_key(id)).count();
    let refused = unknown.iter().filter(|id| **id % 1_000_000 == 13).count();
    match place {
        Place::AfterTheCommit => assert_eq!(there + refused, unknown.len(), "it was committed"),
        _ => assert_eq!(there, 0, "it was rolled back"),
    }
    if place.is_harmless() {
        assert_eq!(of(ErrorKind::Unwritten).count() + unknown.len(), 0, "{place:?}");
    }
    assert!(of(ErrorKind::Rejected).all(|id| id % 1_000_000 == 13), "{place:?}");
}

fn trial(place: Place, fault: &'static str, how: &'static str) {
    Trial::of(2, fault, how).rounds(10, 50).run(move |_| round(place));
}

#[test]
fn a_sink_that_panics_before_it_writes_fails_the_buffer_and_nobody_waits() {
    let how = "a sink around the real one, under 8 threads and 2 tasks";
    trial(Place::BeforeTheBatch, "the sink panics before a batch", how);
}

#[test]
fn a_sink_that_panics_in_a_transaction_leaves_nothing_of_it() {
    let how = "a panic after BEGIN and the batch's rows on a real connection, under 8 threads and 2 tasks";
    trial(Place::InTheTransaction, "the sink panics within a transaction", how);
}

#[test]
fn a_sink_that_panics_after_the_commit_leaves_its_batch_unknown_and_whole() {
    let how = "a sink around the real one, under 8 threads and 2 tasks";
    trial(Place::AfterTheCommit, "the sink panics after a commit", how);
}

#[test]
fn a_sink_that_panics_when_it_looks_at_a_table_is_told_to_whoever_asked_and_the_buffer_goes_on() {
    let how = "for a producer that is made under 8 threads and 2 tasks";
    trial(Place::Describe, "the sink panics when it looks at a table", how);
}

#[test]
fn a_sink_that_panics_when_it_looks_again_after_execute_fails_the_buffer() {
    let how = "after an `execute` under 8 threads and 2 tasks";
    trial(Place::DescribeAfterExecute, "the sink panics when it looks at the tables again", how);
}

#[test]
fn a_sink_that_panics_when_it_tidies_up_fails_the_buffer_and_takes_nothing_back() {
    let how = "a sink around the real one, under 8 threads and 2 tasks";
    trial(Place::Tidy, "the sink panics when it tidies up", how);
}

#[test]
fn a_log_subscriber_that_panics_on_the_writers_thread_fails_the_buffer_and_nobody_waits() {
    let how = "one that panics at every line, under 8 threads and 2 tasks";
    trial(Place::Log, "the writer's log subscriber panics", how);
}

#[test]
fn an_on_reject_that_panics_changes_nothing() {
    let how = "at every rejected row, under 8 threads and 2 tasks";
    trial(Place::OnReject, "`on_reject` panics", how);
}

#[test]
fn a_sink_that_panics_when_it_is_dropped_fails_the_close_and_no_row() {
    let how = "at the close, after 8 threads and 2 tasks";
    trial(Place::Drop, "the sink panics when it is dropped", how);
}
