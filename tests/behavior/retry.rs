//! A busy or broken database: retried, paused, resumed, given up; every state of the failure table.

use std::sync::Arc;
use std::time::Duration;

use forebay::{Config, Error, ErrorKind, Health, Retry, SinkError, WriteBuffer};
use parking_lot::Mutex;
use support::{Gate, Log};

fn config() -> Config {
    let retry =
        Retry { delay: Duration::ZERO, pause: Duration::from_millis(1), ..Retry::default() };
    Config { linger: Duration::from_secs(3_600), retry, ..Config::default() }
}

fn locked() -> SinkError {
    SinkError::busy(Error::new(ErrorKind::Busy, "database locked").with_code(5))
}

fn full() -> SinkError {
    SinkError::down(Error::new(ErrorKind::Unavailable, "the disk is full").with_code(13))
}

#[test]
fn a_busy_database_is_retried_with_a_warning_each_time() {
    let log = Log::default();
    let gate = Gate::open();
    gate.fail(5, &locked());
    // The subscriber of the thread that opens the buffer is not the writer's: this one is everybody's.
    tracing::subscriber::set_global_default(log.subscriber()).unwrap();
    let buffer = WriteBuffer::with_sink(gate.sink(), config()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.write(&(1, "x", 0)).unwrap();
    let text = log.text();
    for retry in 1..=5 {
        let line = format!("database locked in topics, retry {retry}/5 after 0.00s");
        assert!(text.contains(&line), "{text}");
    }
    assert!(
        text.contains("WARN") && text.contains("attempt=5") && text.contains("code=5"),
        "{text}"
    );
    assert!(!text.contains("paused"), "{text}");
    let stats = buffer.stats();
    assert_eq!((stats.retries, stats.pauses, stats.committed), (5, 0, 1));
}

#[test]
fn retries_that_run_out_pause_the_buffer_until_the_database_is_back() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.subscriber()).unwrap();
    let gate = Gate::closed();
    gate.fail(8, &locked());
    let buffer = WriteBuffer::with_sink(gate.sink(), config()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    let receipt = topics.submit(&(1, "x", 0)).unwrap();
    std::thread::scope(|scope| {
        let waited = scope.spawn(|| receipt.wait());
        gate.pass(6);
        gate.await_calls(6);
        gate.await_arrival();
        let Health::Paused(cause) = buffer.health() else { panic!("{:?}", buffer.health()) };
        assert_eq!(cause.to_string(), "database locked");
        topics.push(&(2, "x", 0)).unwrap();
        gate.open_up();
        waited.join().unwrap().unwrap();
    });
    assert!(matches!(buffer.health(), Health::Running));
    let text = log.text();
    assert_eq!(text.matches("is paused").count(), 1, "{text}");
    assert!(text.contains("writing to gate resumed after 0s, nothing lost"), "{text}");
    assert_eq!(buffer.stats().pauses, 1);
    buffer.close().unwrap();
    assert_eq!(gate.ids(), [[1], [2]]);
}

#[test]
fn a_database_that_is_down_pauses_at_once() {
    let gate = Gate::open();
    gate.fail(3, &full());
    let buffer = WriteBuffer::with_sink(gate.sink(), config()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.write(&(1, "x", 0)).unwrap();
    let stats = buffer.stats();
    assert_eq!((stats.retries, stats.pauses), (3, 1));
}

#[test]
fn a_batch_never_changes_between_attempts() {
    let gate = Gate::closed();
    gate.fail(3, &full());
    let buffer = WriteBuffer::with_sink(gate.sink(), Config { batch_size: 2, ..config() }).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.push(&(1, "x", 0)).unwrap();
    topics.push(&(2, "x", 0)).unwrap();
    gate.await_arrival();
    topics.push(&(3, "x", 0)).unwrap();
    gate.open_up();
    buffer.close().unwrap();
    let batches: Vec<Vec<i64>> = gate
        .calls()
        .iter()
        .map(|call| call.rows.iter().map(support::Written::id).collect())
        .collect();
    assert_eq!(batches, [vec![1, 2], vec![1, 2], vec![1, 2], vec![1, 2], vec![3]]);
}

#[test]
fn give_up_fails_the_batch_and_goes_on_with_the_next() {
    let gate = Gate::open();
    gate.fail(1, &full());
    let retry = Retry { give_up: Some(Duration::ZERO), ..config().retry };
    let letters: Arc<Mutex<Vec<(ErrorKind, String)>>> = Arc::default();
    let seen = Arc::clone(&letters);
    let buffer = WriteBuffer::builder_with_sink(gate.sink())
        .config(Config { retry, ..config() })
        .on_reject(move |letter| {
            seen.lock().push((letter.error.kind(), format!("{:#}", letter.error)));
        })
        .open()
        .unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.push(&(1, "x", 0)).unwrap();
    let error = topics.write(&(2, "x", 0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unwritten);
    let text = "the buffer gave up on this row to gate: the disk is full".to_owned();
    assert_eq!(*letters.lock(), [(ErrorKind::Unwritten, text)]);
    topics.write(&(3, "x", 0)).unwrap();
    assert!(matches!(buffer.health(), Health::Running));
    assert_eq!(buffer.stats().unwritten, 2);
}

#[test]
fn a_fatal_error_fails_the_buffer_and_acknowledges_nothing() {
    let gate = Gate::closed();
    gate.fail(1, &SinkError::fatal(Error::new(ErrorKind::Corrupt, "the file is damaged")));
    let buffer = WriteBuffer::with_sink(gate.sink(), Config { batch_size: 1, ..config() }).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    let written = topics.submit(&(1, "x", 0)).unwrap();
    gate.await_arrival();
    let waiting = topics.submit(&(2, "x", 0)).unwrap();
    gate.open_up();
    for receipt in [written, waiting] {
        let error = receipt.wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unwritten);
        assert!(format!("{error:#}").ends_with("the file is damaged"));
    }
    assert_eq!(topics.push(&(3, "x", 0)).unwrap_err().kind(), ErrorKind::Failed);
    assert!(matches!(buffer.health(), Health::Failed(_)));
    assert!(gate.ids().is_empty());
}

#[test]
fn a_panic_of_the_writer_fails_the_buffer_and_nobody_hangs() {
    let gate = Gate::closed();
    gate.answer(|_| panic!("a bug"));
    let buffer = WriteBuffer::with_sink(gate.sink(), Config { batch_size: 1, ..config() }).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    let in_the_batch = topics.submit(&(1, "x", 0)).unwrap();
    gate.await_arrival();
    let behind_it = topics.submit(&(2, "x", 0)).unwrap();
    gate.open_up();
    assert_eq!(in_the_batch.wait().unwrap_err().kind(), ErrorKind::Unknown);
    assert_eq!(behind_it.wait().unwrap_err().kind(), ErrorKind::Unwritten);
    let error = topics.push(&(3, "x", 0)).unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "the buffer for gate failed and accepts nothing: the writer panicked: a bug"
    );
    assert_eq!(buffer.close().unwrap_err().kind(), ErrorKind::Failed);
    let stats = buffer.stats();
    assert_eq!((stats.unknown, stats.unwritten, stats.pending), (1, 1, 0));
}

#[test]
fn producers_can_be_made_while_the_database_is_down() {
    let gate = Gate::open();
    gate.fail(usize::from(u16::MAX), &full());
    let hour = Duration::from_secs(3_600);
    let retry = Retry { pause: hour, ..config().retry };
    let buffer =
        WriteBuffer::with_sink(gate.sink(), Config { retry, batch_size: 1, ..config() }).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.push(&(1, "x", 0)).unwrap();
    gate.await_calls(1);
    buffer.table("audit").insert().producer().unwrap();
    let report = buffer.close_within(Duration::ZERO).unwrap();
    assert_eq!(report.leftovers.len(), 1);
}

#[test]
fn when_the_buffer_fails_in_the_middle_of_a_segment_the_rest_of_it_is_decided_too() {
    let gate = Gate::closed();
    gate.answer(|_| Ok(forebay::Applied { transactions: 1, ..Default::default() }));
    gate.answer(|_| Ok(forebay::Applied { transactions: 1, ..Default::default() }));
    gate.fail(1, &SinkError::fatal(Error::new(ErrorKind::Corrupt, "the file is damaged")));
    let config = Config { batch_size: 2, max_transaction_rows: 2, ..config() };
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.push(&(0, "x", 0)).unwrap();
    topics.push(&(1, "x", 0)).unwrap();
    gate.await_arrival();
    let receipts: Vec<_> = (2..12).map(|id| topics.submit(&(id, "x", 0)).unwrap()).collect();
    gate.open_up();
    let written: Vec<_> = receipts.into_iter().map(|receipt| receipt.wait().is_ok()).collect();
    assert_eq!(written, [[true; 2].as_slice(), &[false; 8]].concat());
    assert_eq!(buffer.close().unwrap_err().kind(), ErrorKind::Failed);
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.unwritten, stats.pending), (4, 8, 0));
}

#[test]
fn every_batch_gets_its_own_time_before_it_is_given_up() {
    let log = Log::default();
    tracing::subscriber::set_global_default(log.subscriber()).unwrap();
    let gate = Gate::open();
    gate.fail(2, &full());
    let retry = Retry { give_up: Some(Duration::ZERO), ..config().retry };
    let buffer = WriteBuffer::with_sink(gate.sink(), Config { retry, ..config() }).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    for id in 0..2 {
        assert_eq!(topics.write(&(id, "x", 0)).unwrap_err().kind(), ErrorKind::Unwritten);
    }
    topics.write(&(3, "x", 0)).unwrap();
    assert_eq!(buffer.stats().pauses, 2);
    assert!(!log.text().contains("nothing lost"), "{}", log.text());
}
