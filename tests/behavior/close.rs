//! Closing refuses, drains, lets go of the sink, and says what it could not write.

use std::time::Duration;

use forebay::{Config, Error, ErrorKind, Health, Producer, SinkError, Value, WriteBuffer};
use support::{Gate, Log, adds_up};

const HOUR: Duration = Duration::from_secs(3_600);

fn lingering() -> Config {
    Config { linger: HOUR, ..Config::default() }
}

/// From now on no batch can be written.
fn disk_is_full(gate: &Gate) {
    let error = Error::new(ErrorKind::Unavailable, "the disk is full");
    gate.fail(usize::from(u16::MAX), &SinkError::down(error));
}

#[test]
fn close_writes_the_rest_and_lets_go_of_the_sink() {
    let gate = Gate::open();
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.push(&(1, "x", 0)).unwrap();
    buffer.close().unwrap();
    assert!(gate.is_dropped());
    assert_eq!(gate.ids(), [[1]]);
    assert!(matches!(buffer.health(), Health::Closed));
    let error = topics.push(&(2, "x", 0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(buffer.table("topics").insert().producer().unwrap_err().kind(), ErrorKind::Closed);
    buffer.flush().unwrap();
}

#[test]
fn close_is_for_all_clones_and_may_be_called_again() {
    let gate = Gate::open();
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let clone = buffer.clone();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| clone.close().unwrap());
        }
        buffer.close().unwrap();
    });
    buffer.close().unwrap();
}

/// Whoever flushes is told by the thread that commits its own row, and has no row to come back with.
#[test]
fn flushes_beside_lone_writes_keep_nobody_waiting() {
    let gate = Gate::open();
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..2_000).for_each(|id| topics.write(&(id, "x", 0)).unwrap()));
        for _ in 0..2 {
            scope.spawn(|| (0..2_000).for_each(|_| buffer.flush().unwrap()));
        }
    });
    topics.write(&(2_000, "x", 0)).unwrap();
    buffer.close().unwrap();
    assert_eq!(gate.ids().concat().len(), 2_001);
    assert!(adds_up(&buffer.stats()));
}

#[test]
fn rows_that_cannot_be_written_in_time_are_handed_back() {
    let gate = Gate::open();
    disk_is_full(&gate);
    let buffer =
        WriteBuffer::with_sink(gate.sink(), Config { batch_size: 2, ..lingering() }).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    for id in 0..5 {
        topics.push(&(id, "x", 0)).unwrap();
    }
    let receipt = topics.submit(&(5, "x", 0)).unwrap();
    let report = buffer.close_within(Duration::ZERO).unwrap();
    let ids: Vec<_> = report.leftovers.iter().map(|letter| letter.fields[0].clone()).collect();
    assert_eq!(ids, (0..5).map(|id| ("id".to_owned(), Value::Integer(id))).collect::<Vec<_>>());
    assert!(report.leftovers.iter().all(|letter| letter.error.kind() == ErrorKind::Unwritten));
    assert_eq!(receipt.wait().unwrap_err().kind(), ErrorKind::Unwritten);
    assert_eq!(report.stats.unwritten, 6);
    assert!(adds_up(&report.stats), "{:?}", report.stats);
}

/// A buffer in front of a full disk, which may take no time to close.
fn with_a_row_that_there_is_no_time_for() -> (WriteBuffer, Producer) {
    let gate = Gate::open();
    disk_is_full(&gate);
    let config = Config { close_timeout: Duration::ZERO, ..lingering() };
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.push(&(1, "x", 0)).unwrap();
    (buffer, topics)
}

#[test]
fn close_says_how_many_rows_it_could_not_write_and_why() {
    let (buffer, _topics) = with_a_row_that_there_is_no_time_for();
    assert!(buffer.table("audit").insert().producer().is_ok());
    let error = buffer.close().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unwritten);
    assert!(error.to_string().starts_with("closing gate left 1 row not written"), "{error}");
}

#[test]
fn a_commit_that_does_not_return_in_time_is_unknown_and_what_follows_unwritten() {
    let gate = Gate::closed();
    let buffer =
        WriteBuffer::with_sink(gate.sink(), Config { batch_size: 1, ..lingering() }).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    let stuck = topics.submit(&(1, "x", 0)).unwrap();
    gate.await_arrival();
    topics.push(&(2, "x", 0)).unwrap();
    let report = buffer.close_within(Duration::from_millis(1)).unwrap();
    assert_eq!(stuck.wait().unwrap_err().kind(), ErrorKind::Unknown);
    assert_eq!(report.leftovers.len(), 1);
    assert_eq!(report.leftovers[0].error.kind(), ErrorKind::Unwritten);
    let stats = buffer.stats();
    assert_eq!((stats.unknown, stats.unwritten), (1, 1));
    assert!(adds_up(&stats), "{stats:?}");
    gate.open_up();
    assert_eq!(buffer.close().unwrap_err().kind(), ErrorKind::Unwritten);
    assert_eq!(buffer.stats(), stats, "the late answer changed nothing");
}

#[test]
fn dropping_the_last_handle_writes_the_rest() {
    let gate = Gate::open();
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    drop(buffer);
    topics.push(&(1, "x", 0)).unwrap();
    drop(topics);
    assert_eq!(gate.ids(), [[1]]);
    assert!(gate.is_dropped());
}

#[test]
fn a_drop_that_leaves_rows_says_so_in_the_log() {
    let log = Log::default();
    tracing::subscriber::with_default(log.subscriber(), || {
        drop(with_a_row_that_there_is_no_time_for());
    });
    assert!(log.text().contains("1 row not written"), "{}", log.text());
}

#[test]
fn a_drop_on_a_runtimes_thread_does_not_block_it_and_the_writer_goes_on() {
    let gate = Gate::closed();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
        let topics = buffer.table("topics").insert().producer().unwrap();
        topics.push_async(&(1, "x", 0)).await.unwrap();
    });
    gate.open_up();
    gate.await_calls(1);
    assert_eq!(gate.ids(), [[1]]);
}

#[test]
fn closing_works_from_async_code() {
    let gate = Gate::open();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
        let topics = buffer.table("topics").insert().producer().unwrap();
        topics.push_async(&(1, "x", 0)).await.unwrap();
        buffer.flush_async().await.unwrap();
        topics.submit_async(&(2, "x", 0)).await.unwrap().await.unwrap();
        topics.push_async(&(3, "x", 0)).await.unwrap();
        let report = buffer.close_within_async(HOUR).await.unwrap();
        assert!(report.leftovers.is_empty());
        buffer.close_async().await.unwrap();
    });
    assert_eq!(gate.ids(), [[1], [2], [3]]);
}

#[test]
fn dropping_while_panicking_still_writes_the_rest() {
    let gate = Gate::open();
    let sink = gate.sink();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let buffer = WriteBuffer::with_sink(sink, lingering()).unwrap();
        let topics = buffer.table("topics").insert().producer().unwrap();
        topics.push(&(1, "x", 0)).unwrap();
        panic!("of the application's");
    }));
    assert!(panicked.is_err());
    assert_eq!(gate.ids(), [[1]]);
}

#[test]
fn every_leftover_is_handed_back_however_many_there_are() {
    let gate = Gate::open();
    disk_is_full(&gate);
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    for id in 0..100_000 {
        topics.push(&(id, "x", 0)).unwrap();
    }
    let report = buffer.close_within(Duration::from_millis(1)).unwrap();
    assert_eq!(report.leftovers.len(), 100_000);
    assert_eq!(report.stats.unwritten, 100_000);
    assert!(adds_up(&report.stats), "{:?}", report.stats);
}

#[test]
fn a_row_that_comes_back_after_close_has_returned_still_becomes_a_dead_letter() {
    let gate = Gate::open();
    let cause = Error::new(ErrorKind::Unavailable, "the connection was cut");
    gate.fail(1, &SinkError::unknown(cause));
    let (arrived, arrival) = std::sync::mpsc::channel();
    let (go_on, told) = std::sync::mpsc::channel();
    let told = parking_lot::Mutex::new(told);
    let buffer = WriteBuffer::builder_with_sink(gate.sink())
        .config(Config { batch_size: 3, ..lingering() })
        .on_reject(move |letter| {
            arrived.send(letter.fields[0].1.clone()).unwrap();
            told.lock().recv().unwrap();
        });
    let buffer = buffer.open().unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    (1..=3).for_each(|id| topics.push(&(id, "x", 0)).unwrap());
    let mut letters = vec![arrival.recv().unwrap()];
    let report = buffer.close_within(Duration::ZERO).unwrap();
    assert!(report.leftovers.is_empty(), "on_reject is still at it");
    assert_eq!((report.stats.unknown, report.stats.pending), (3, 0));
    (0..3).for_each(|_| go_on.send(()).unwrap());
    letters.extend(arrival.iter().take(2));
    assert_eq!(letters, [1, 2, 3].map(Value::Integer));
}

#[test]
fn closing_ends_the_wait_of_whoever_asked_for_a_table() {
    let gate = Gate::closed();
    let config = Config { batch_size: 1, ..lingering() };
    let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.push(&(1, "x", 0)).unwrap();
    gate.await_arrival();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| buffer.table("audit").insert().producer().unwrap_err().kind());
        buffer.close_within(Duration::from_millis(1)).unwrap();
        assert_eq!(asked.join().unwrap(), ErrorKind::Closed);
    });
    gate.open_up();
}

#[test]
fn a_drop_on_a_runtimes_thread_is_bounded_by_the_close_timeout() {
    let gate = Gate::open();
    disk_is_full(&gate);
    let config = Config { close_timeout: Duration::from_millis(1), ..lingering() };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut receipt = None;
    runtime.block_on(async {
        let buffer = WriteBuffer::with_sink(gate.sink(), config).unwrap();
        let topics = buffer.table("topics").insert().producer().unwrap();
        receipt = Some(topics.submit_async(&(1, "x", 0)).await.unwrap());
    });
    assert_eq!(receipt.unwrap().wait().unwrap_err().kind(), ErrorKind::Unwritten);
}

#[test]
fn a_buffer_in_a_thread_local_closes_when_its_thread_ends() {
    thread_local! {
        static BUFFER: std::cell::RefCell<Option<WriteBuffer>> = const { std::cell::RefCell::new(None) };
    }
    let gate = Gate::open();
    let sink = gate.sink();
    let thread = std::thread::spawn(|| {
        let buffer = WriteBuffer::with_sink(sink, lingering()).unwrap();
        buffer.table("topics").insert().producer().unwrap().push(&(1, "x", 0)).unwrap();
        BUFFER.set(Some(buffer));
    });
    thread.join().unwrap();
    gate.await_calls(1);
    assert_eq!(gate.ids(), [[1]]);
}

#[test]
fn a_timeout_that_no_clock_will_show_is_for_ever() {
    let gate = Gate::open();
    let buffer = WriteBuffer::with_sink(gate.sink(), lingering()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.push_timeout(&(1, "x", 0), Duration::MAX).unwrap();
    topics.submit(&(2, "x", 0)).unwrap().wait_timeout(Duration::MAX).unwrap();
    buffer.close_within(Duration::MAX).unwrap();
}

#[test]
fn a_commit_that_was_answered_is_not_unknown_however_slow_on_reject_is() {
    let gate = Gate::open();
    gate.answer(|_| {
        let error = Error::new(ErrorKind::Rejected, "no");
        let rejected = vec![forebay::Rejection { row: 0, error }];
        Ok(forebay::Applied { rejected, transactions: 1, unchanged: 0 })
    });
    let (called, calls) = std::sync::mpsc::channel();
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let held = parking_lot::Mutex::new(held);
    let buffer = WriteBuffer::builder_with_sink(gate.sink())
        .config(Config { batch_size: 2, ..lingering() })
        .on_reject(move |_| {
            called.send(()).unwrap();
            let _ = held.lock().recv();
        })
        .open()
        .unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    topics.push(&(1, "refused", 0)).unwrap();
    let receipt = topics.submit(&(2, "x", 0)).unwrap();
    calls.recv().unwrap();
    let report = buffer.close_within(Duration::from_millis(1)).unwrap();
    assert!(report.leftovers.is_empty(), "{:?}", report.leftovers);
    receipt.wait().unwrap();
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.rejected, stats.unknown), (1, 1, 0));
    assert!(matches!(buffer.health(), Health::Closed));
    let_go.send(()).unwrap();
    drop(let_go);
    assert!(calls.recv().is_err(), "the dead letter came once, and the writer has ended");
    assert_eq!(buffer.stats(), stats);
}

/// A sink that fails for good, and takes its time to go.
struct Lingering(std::sync::Arc<parking_lot::Mutex<std::sync::mpsc::Receiver<()>>>);

impl forebay::Sink for Lingering {
    fn describe(&mut self, table: &str) -> Result<forebay::TableInfo, Error> {
        Ok(forebay::TableInfo::new(table).column("id"))
    }

    fn prepare(&mut self, _: &str) -> Result<forebay::StatementInfo, Error> {
        Ok(forebay::StatementInfo::default())
    }

    fn apply(&mut self, _: &forebay::Batch<'_>) -> Result<forebay::Applied, SinkError> {
        Err(SinkError::fatal(Error::new(ErrorKind::Corrupt, "the file is damaged")))
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let _ = self.0.lock().recv();
    }
}

#[test]
fn close_is_bounded_when_the_buffer_has_failed_and_its_sink_does_not_go() {
    let (let_go, held) = std::sync::mpsc::channel::<()>();
    let sink = Lingering(std::sync::Arc::new(parking_lot::Mutex::new(held)));
    let buffer = WriteBuffer::with_sink(sink, lingering()).unwrap();
    let topics = buffer.table("topics").insert().producer().unwrap();
    assert!(topics.write(&(1,)).is_err());
    let report = buffer.close_within(Duration::from_millis(1)).unwrap();
    assert!(adds_up(&report.stats), "{:?}", report.stats);
    drop(let_go);
}
