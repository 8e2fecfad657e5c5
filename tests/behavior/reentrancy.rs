//! Pushes from where nobody expects them: they work, or say that they would deadlock; nothing hangs.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use forebay::{Applied, Config, Error, ErrorKind, Producer, Rejection, SinkError, WriteBuffer};
use futures::executor::block_on;
use serde::{Serialize, Serializer};
use support::{Gate, smallest};

fn lingering() -> Config {
    Config { linger: Duration::from_secs(3_600), ..Config::default() }
}

/// A value that pushes a row of its own while it is encoded.
struct Chatty<'a>(&'a Producer);

impl Serialize for Chatty<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.push(&("from inside",)).unwrap();
        serializer.serialize_str("outer")
    }
}

#[test]
fn a_serialize_impl_may_push() {
    let gate = Gate::open();
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    let audit = buffer.table("audit").insert().producer().unwrap();
    topics.push(&(1, Chatty(&audit), 0)).unwrap();
    buffer.close().unwrap();
    let tables: Vec<_> = gate.written().into_iter().map(|row| row.table).collect();
    assert_eq!(tables, ["audit", "topics"]);
}

struct Panics;

impl Serialize for Panics {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("in the application's own code")
    }
}

#[test]
fn a_panic_while_a_row_is_encoded_leaves_the_buffer_as_it_was() {
    let gate = Gate::open();
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    let panicked = std::panic::catch_unwind(|| topics.push(&(1, Panics, 0)));
    assert!(panicked.is_err());
    topics.push(&(2, "x", 0)).unwrap();
    buffer.close().unwrap();
    assert_eq!(gate.ids(), [[2]]);
}

/// What a callback on the writer's thread was told.
#[derive(Debug, Default)]
struct Told {
    pushed: Option<Result<(), Error>>,
    refused: Vec<ErrorKind>,
}

#[test]
fn on_reject_may_push_but_not_wait() {
    let gate = Gate::open();
    gate.answer(|_| {
        let error = Error::new(ErrorKind::Rejected, "no");
        Ok(Applied { rejected: vec![Rejection { row: 0, error }], transactions: 1, unchanged: 0 })
    });
    let home: Arc<OnceLock<(WriteBuffer, Producer)>> = Arc::default();
    let told: Arc<parking_lot::Mutex<Told>> = Arc::default();
    let buffer = {
        let (home, told) = (Arc::clone(&home), Arc::clone(&told));
        WriteBuffer::builder_with_sink(gate.sink()).config(lingering()).on_reject(move |_| {
            let (buffer, audit) = home.get().unwrap();
            let mut told = told.lock();
            told.pushed = Some(audit.push(&("rejected",)));
            told.refused = vec![
                audit.write(&("x",)).unwrap_err().kind(),
                buffer.flush().unwrap_err().kind(),
                buffer.close().unwrap_err().kind(),
                buffer.execute("VACUUM").unwrap_err().kind(),
                buffer.table("audit").insert().producer().unwrap_err().kind(),
                audit.submit(&("x",)).unwrap().wait_timeout(Duration::ZERO).unwrap_err().kind(),
                block_on(audit.submit(&("x",)).unwrap()).unwrap_err().kind(),
                block_on(buffer.flush_async()).unwrap_err().kind(),
                block_on(buffer.close_async()).unwrap_err().kind(),
            ];
        })
    };
    let buffer = buffer.open().unwrap();
    let audit = buffer.table("audit").insert().producer().unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    home.set((buffer.clone(), audit)).unwrap();
    topics.push(&(1, "bad", 0)).unwrap();
    buffer.flush().unwrap();
    buffer.close().unwrap();
    let told = told.lock();
    assert!(matches!(told.pushed, Some(Ok(()))));
    assert_eq!(told.refused, [ErrorKind::WouldDeadlock; 9]);
    assert!(gate.written().iter().any(|row| row.table == "audit"));
}

#[test]
fn a_push_into_the_full_buffer_from_on_reject_would_deadlock_and_says_so() {
    let gate = Gate::closed();
    gate.answer(|_| {
        let error = Error::new(ErrorKind::Rejected, "no");
        Ok(Applied { rejected: vec![Rejection { row: 0, error }], transactions: 1, unchanged: 0 })
    });
    let home: Arc<OnceLock<Producer>> = Arc::default();
    let told: Arc<OnceLock<[ErrorKind; 2]>> = Arc::default();
    let config = Config { linger: lingering().linger, ..smallest() };
    let buffer = {
        let (home, told) = (Arc::clone(&home), Arc::clone(&told));
        WriteBuffer::builder_with_sink(gate.sink()).config(config).on_reject(move |_| {
            let audit = home.get().unwrap();
            let (push, push_async) = (audit.push(&("x",)), block_on(audit.push_async(&("x",))));
            told.set([push, push_async].map(|told| told.unwrap_err().kind())).unwrap();
        })
    };
    let buffer = buffer.open().unwrap();
    let audit = buffer.table("audit").insert().producer().unwrap();
    home.set(audit.clone()).unwrap();
    audit.push(&("bad",)).unwrap();
    gate.await_arrival();
    while audit.try_push(&("x",)).is_ok() {}
    gate.open_up();
    buffer.flush().unwrap();
    assert_eq!(told.get(), Some(&[ErrorKind::WouldDeadlock; 2]));
    buffer.close().unwrap();
}

#[test]
fn a_panic_in_on_reject_does_not_stop_the_buffer() {
    let gate = Gate::open();
    gate.fail(1, &SinkError::unknown(Error::new(ErrorKind::Unavailable, "cut")));
    let buffer = WriteBuffer::builder_with_sink(gate.sink())
        .config(lingering())
        .on_reject(|_| panic!("in the application's own code"))
        .open()
        .unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.push(&(1, "x", 0)).unwrap();
    buffer.flush().unwrap();
    topics.write(&(2, "x", 0)).unwrap();
}

/// A log subscriber that writes every line into the very buffer that it logs for.
struct IntoTheBuffer(Arc<OnceLock<Producer>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for IntoTheBuffer {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if let Some(audit) = self.0.get() {
            audit.push(&(event.metadata().target(),)).unwrap();
        }
    }
}

#[test]
fn a_log_subscriber_may_write_into_the_buffer_that_it_logs_for() {
    use tracing_subscriber::layer::SubscriberExt;

    let home: Arc<OnceLock<Producer>> = Arc::default();
    let subscriber = tracing_subscriber::registry().with(IntoTheBuffer(Arc::clone(&home)));
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let gate = Gate::open();
    gate.fail(3, &SinkError::busy(Error::new(ErrorKind::Busy, "database locked")));
    let mut config = lingering();
    config.retry.delay = Duration::ZERO;
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    home.set(buffer.table("audit").insert().producer().unwrap()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.write(&(1, "x", 0)).unwrap();
    buffer.close().unwrap();
    assert_eq!(gate.written().iter().filter(|row| row.table == "audit").count(), 3);
}
