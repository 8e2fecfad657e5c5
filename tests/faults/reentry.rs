//! Calls into the buffer from where nobody expects them: they work, or say that they would deadlock; none hangs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use forebay::{
    Applied, Batch, Config, Error, ErrorKind, Producer, Sink, SinkError, SqliteSink, WriteBuffer,
};
use serde::{Serialize, Serializer};
use support::{Around, Scratch, Seen, Surrounded, Trial, adds_up};
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;

use crate::claims::RUNTIME;

/// What is called from inside: each of the calls in turn.
#[derive(Clone)]
struct Inside {
    home: Arc<Mutex<Option<(WriteBuffer, Producer)>>>,
    next: Arc<AtomicI64>,
    /// The rows that were accepted from inside.
    accepted: Arc<Mutex<Vec<i64>>>,
    /// How often it was called from there.
    calls: Arc<Mutex<HashMap<Place, u64>>>,
    would_deadlock: Arc<AtomicU64>,
}

/// From where the buffer is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    OnReject,
    Log,
    Row,
}

/// Rows from inside have ids from here on.
const FROM_INSIDE: i64 = 1_000_000;

impl Inside {
    fn new() -> Self {
        let next = Arc::new(AtomicI64::new(FROM_INSIDE));
        Self {
            home: Arc::default(),
            next,
            accepted: Arc::default(),
            calls: Arc::default(),
            would_deadlock: Arc::default(),
        }
    }

    /// The next of the calls that may be made from there.
    fn call(&self, place: Place) {
        // Taken out, so that no lock of the test's own is held while it calls.
        let Some((buffer, rows)) = self.home.lock().unwrap().clone() else { return };
        *self.calls.lock().unwrap().entry(place).or_default() += 1;
        let (calls, allowed) = match place {
            Place::Row => (ALL_BUT_CLOSE, &FROM_A_ROW[..]),
            Place::OnReject | Place::Log => (ALL, &FROM_THE_WRITER[..]),
        };
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let row = &(id, ());
        let (accepts, told) = match id % calls {
            0 => (true, rows.push(row)),
            1 => (true, rows.try_push(row)),
            2 => (true, rows.push_timeout(row, Duration::from_micros(100))),
            3 => (true, RUNTIME.handle().block_on(rows.push_async(row))),
            4 => {
                // The row is written whatever becomes of the wait.
                let receipt = rows.submit(row);
                let told = receipt.map(|receipt| (self.accept(id), receipt.wait()).1);
                (false, told.and_then(|waited| waited))
            }
            5 => (false, buffer.flush()),
            6 => (false, buffer.execute("DELETE FROM other")),
            7 => (false, buffer.table("other").insert().producer().map(drop)),
            8 => (
                false,
                RUNTIME
                    .handle()
                    .block_on(buffer.close_within_async(HOUR))
                    .map(drop)
                    .map_err(deadlock),
            ),
            _ => (false, buffer.close_within(HOUR).map(drop).map_err(deadlock)),
        };
        match told {
            Ok(()) if accepts => self.accept(id),
            Ok(()) => {}
            Err(error) => {
                assert!(allowed.contains(&error.kind()), "call {}: {error:#}", id % calls);
                let would_deadlock = error.kind() == ErrorKind::WouldDeadlock;
                self.would_deadlock.fetch_add(u64::from(would_deadlock), Ordering::Relaxed);
            }
        }
    }

    fn accept(&self, id: i64) {
        self.accepted.lock().unwrap().push(id);
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

/// The buffer is closed from outside only: from inside it must not be.
fn deadlock(error: Error) -> Error {
    assert_eq!(error.kind(), ErrorKind::WouldDeadlock, "{error:#}");
    error
}

/// Around the sink: a subscriber for the log of the writer's thread.
struct Subscribed {
    inside: Inside,
    subscribed: bool,
    _gone: Sender<()>,
}

impl Around for Subscribed {
    fn apply(&mut self, sink: &mut SqliteSink, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        let by_writer = thread::current().name() == Some("forebay-writer");
        if by_writer && !std::mem::replace(&mut self.subscribed, true) {
            let log = || registry().with(IntoTheBuffer(self.inside.clone()));
            // While there is only one subscriber, a thread without one could switch a line off for all: have two.
            std::mem::forget(Dispatch::new(log()));
            // For as long as the writer's thread lives.
            std::mem::forget(tracing::subscriber::set_default(log()));
        }
        sink.apply(batch)
    }
}

/// A log that is kept in the very buffer that it is of.
struct IntoTheBuffer(Inside);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for IntoTheBuffer {
    fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        self.0.call(Place::Log);
    }
}

/// A value that calls into the buffer while it is encoded.
struct Chatty<'a>(&'a Inside);

impl Serialize for Chatty<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.call(Place::Row);
        serializer.serialize_none()
    }
}

/// From the thread that writes nothing may close the buffer; from inside a row that would work.
const ALL: i64 = 10;
const ALL_BUT_CLOSE: i64 = 8;

/// What a call from the thread that writes may be told: never to wait for itself.
const FROM_THE_WRITER: [ErrorKind; 5] = [
    ErrorKind::WouldDeadlock,
    ErrorKind::Full,
    ErrorKind::TimedOut,
    ErrorKind::Closed,
    ErrorKind::Rejected,
];
const FROM_A_ROW: [ErrorKind; 2] = [ErrorKind::Full, ErrorKind::TimedOut];

fn config() -> Config {
    Config {
        batch_size: 10,
        max_transaction_rows: 40,
        max_buffer_bytes: 32_768,
        max_batch_bytes: 8_192,
        max_row_bytes: 1_024,
        linger: Duration::from_micros(100),
        ..Config::default()
    }
}

#[test]
fn calls_from_on_reject_a_log_subscriber_and_a_row_work_or_would_deadlock() {
    Trial::of(
        21,
        "a call into the buffer from `on_reject`, from a log subscriber on the writer's thread, from a `Serialize`",
        "push in five ways, flush, execute, a producer made, close, by turns, under load of 6 threads, each fifth row rejected; \
         the last handle dropped in `on_reject`",
    )
    .rounds(10, 200)
    .run(|_| {
        let scratch = Scratch::new(
            "CREATE TABLE landed(id INTEGER NOT NULL CHECK (id >= 1000000 OR id % 5 <> 3), note); CREATE TABLE other(id)",
        );
        let inside = Inside::new();
        let (gone, end) = channel();
        let subscribed = Subscribed { inside: inside.clone(), subscribed: false, _gone: gone };
        let sink = SqliteSink::open(scratch.path(), &config()).unwrap();
        let sink = Surrounded::new(sink, subscribed);
        let on_reject = inside.clone();
        let buffer = WriteBuffer::builder_with_sink(sink)
            .config(config())
            .on_reject(move |letter| match letter.fields[0].1 {
                forebay::Value::Integer(3) => {
                    let last = on_reject.home.lock().unwrap().take();
                    drop(last);
                }
                _ => on_reject.call(Place::OnReject),
            })
            .open()
            .unwrap();
        let rows = buffer.table("landed").insert().producer().unwrap();
        *inside.home.lock().unwrap() = Some((buffer.clone(), rows.clone()));
        let promised = thread::scope(|scope| {
            let threads: Vec<_> = (1..7)
                .map(|thread| {
                    let (rows, inside) = (&rows, &inside);
                    scope.spawn(move || {
                        let ids = (0..60).map(|row| thread * 1_000 + row);
                        let put = ids.filter(|id| {
                            if id % 2 == 0 {
                                rows.push(&(id, Chatty(inside))).unwrap();
                            } else {
                                rows.push(&(id, ())).unwrap();
                            }
                            id % 5 != 3
                        });
                        put.collect::<Vec<i64>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        // What is said and rejected from inside ends when there is nobody to call.
        rows.push(&(3, ())).unwrap();
        drop((buffer, rows));
        assert!(end.recv().is_err(), "the sink is dropped and says nothing");

        let calls = inside.calls.lock().unwrap().clone();
        assert_eq!(calls.len(), 3, "from each of the places there are calls: {calls:?}");
        assert!(inside.would_deadlock.load(Ordering::Relaxed) > 0, "{calls:?}");
        let mut promised = promised;
        promised.append(&mut inside.accepted.lock().unwrap());
        let seen = Seen::in_table(&scratch.path(), promised.iter().copied());
        let there: i64 = scratch.value("SELECT count(*) FROM landed", []);
        assert_eq!(there as usize, promised.len(), "nothing is there that was not accepted");
        Seen { rows: promised.len() as u64, ..seen }
    });
}

#[test]
fn a_buffer_that_is_closed_or_dropped_from_inside_a_row_ends_and_the_row_is_refused() {
    struct Closes<'a>(&'a Mutex<Option<WriteBuffer>>, bool);

    impl Serialize for Closes<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if let Some(buffer) = self.0.lock().unwrap().take()
                && self.1
            {
                buffer.close().unwrap();
            }
            serializer.serialize_none()
        }
    }

    Trial::of(
        21,
        "the buffer is closed, or a handle of it dropped, from inside a `Serialize`",
        "beside 4 threads that push",
    )
    .rounds(10, 200)
    .run(|round| {
        let scratch = Scratch::new("CREATE TABLE landed(id INTEGER NOT NULL, note)");
        let buffer = WriteBuffer::builder(scratch.path()).config(config()).open().unwrap();
        let rows = buffer.table("landed").insert().producer().unwrap();
        let closes = round % 2 == 0;
        let (watched, home) = (buffer.clone(), Mutex::new(Some(buffer)));
        let promised = Mutex::new(HashMap::new());
        thread::scope(|scope| {
            for thread in 0..4 {
                let (rows, home, promised) = (&rows, &home, &promised);
                scope.spawn(move || {
                    for id in (0..100).map(|row| thread * 1_000 + row) {
                        let told = match id {
                            50 => rows.push(&(id, Closes(home, closes))),
                            _ => rows.push(&(id, ())),
                        };
                        match told {
                            Ok(()) => drop(promised.lock().unwrap().insert(id, ())),
                            Err(error) => {
                                assert!(closes && error.kind() == ErrorKind::Closed, "{error:#}");
                                return;
                            }
                        }
                    }
                });
            }
        });
        watched.close().unwrap();
        let (stats, promised) = (watched.stats(), promised.into_inner().unwrap());
        assert!(adds_up(&stats), "{stats:?}");
        assert_eq!(
            closes,
            !promised.contains_key(&50),
            "the row that closes the buffer is late for it"
        );
        Seen { rows: stats.accepted, ..Seen::in_table(&scratch.path(), promised.into_keys()) }
    });
}
