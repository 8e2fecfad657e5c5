//! Promises that hold in every interleaving of producers, waiters, closers and the writer, by loom.
//!
//! Run with `RUSTFLAGS="--cfg forebay_loom" cargo test --release -p forebay-schedules --test loom --target-dir
//! target/loom`. In a model a clock does not move and nothing times out: a thread that nobody wakes is
//! a deadlock, which loom reports. `LOOM_MAX_PREEMPTIONS` bounds the search; without it the bound is 3.
#![cfg(forebay_loom)]
#![allow(clippy::unwrap_used, reason = "a model that cannot go on fails at once")]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use forebay::{Config, ErrorKind, Producer, Receipt, Result, WriteBuffer};
use forebay_schedules::{
    Answer, Bell, Log, assert_adds_up, at_once, block_on, large, lingering, medium, row, tiny,
};
use loom::thread;

/// Explores from the point where the model calls [`loom::explore`]: opening a buffer and making producers
/// is the same in every model, and explored in one of them.
fn check(model: impl Fn() + Send + Sync + 'static) {
    check_from(true, model);
}

fn check_from(explicit: bool, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.max_branches = 10_000;
    builder.expect_explicit_explore = explicit;
    builder.check(model);
}

fn spawn(run: impl FnOnce() + 'static) -> thread::JoinHandle<()> {
    thread::spawn(run)
}

fn submit(rows: &Producer, id: i64) -> Receipt {
    rows.submit(&row(id)).expect("the buffer is open")
}

fn push(rows: &Producer, id: i64) {
    rows.push(&row(id)).expect("the buffer is open");
}

/// The end of a model, where nothing is left to find out.
fn end(buffer: &WriteBuffer) {
    loom::stop_exploring();
    buffer.close().expect("nothing is left");
    assert_adds_up(&buffer.stats());
}

#[test]
fn opening_and_asking_for_a_table_and_the_first_row_wake_the_writer() {
    check_from(false, || {
        let log = Log::default();
        let (buffer, rows) = log.buffer(at_once(), []);
        push(&rows, 1);
        buffer.flush().unwrap();
        assert_eq!(log.ids(), [1]);
        loom::stop_exploring();
        buffer.close().unwrap();
    });
}

#[test]
fn rows_that_do_not_linger_are_written_though_nobody_waits() {
    written_though_nobody_waits(at_once());
}

#[test]
fn a_full_batch_is_written_though_nobody_waits_and_it_would_linger() {
    written_though_nobody_waits(Config { batch_size: 2, ..lingering() });
}

fn written_though_nobody_waits(config: Config) {
    check(move || {
        let log = Log::default();
        let bell = log.bell();
        let (buffer, rows) = log.buffer(config.clone(), []);
        loom::explore();
        let other = rows.clone();
        let pusher = spawn(move || push(&other, 1));
        push(&rows, 2);
        while log.ids().len() < 2 {
            bell.wait();
        }
        assert_eq!(log.sorted_ids(), [1, 2]);
        pusher.join().expect("the pusher ends");
        end(&buffer);
    });
}

#[test]
fn every_row_reaches_the_sink_once_and_in_its_producers_order() {
    check(|| {
        let log = Log::default();
        let (buffer, rows) = log.buffer(at_once(), []);
        loom::explore();
        let other = rows.clone();
        let pusher = spawn(move || [10, 11].into_iter().for_each(|id| push(&other, id)));
        [20, 21].into_iter().for_each(|id| push(&rows, id));
        pusher.join().unwrap();
        buffer.flush().unwrap();
        let of = |tens: i64| log.ids().into_iter().filter(move |id| id / 10 == tens);
        assert!(of(1).eq([10, 11]) && of(2).eq([20, 21]), "{:?}", log.ids());
        end(&buffer);
    });
}

#[test]
fn a_flush_sees_the_rows_of_its_own_thread_whatever_others_do() {
    check(|| {
        let log = Log::default();
        let (buffer, rows) = log.buffer(lingering(), []);
        loom::explore();
        let (other, other_buffer, other_log) = (rows.clone(), buffer.clone(), log.clone());
        let flusher = spawn(move || {
            push(&other, 10);
            other_buffer.flush().unwrap();
            assert!(other_log.ids().contains(&10));
        });
        push(&rows, 20);
        buffer.flush().unwrap();
        assert!(log.ids().contains(&20));
        flusher.join().unwrap();
        end(&buffer);
    });
}

#[test]
fn two_who_wait_are_both_told_by_the_writer() {
    check(|| {
        let log = Log::default();
        let (buffer, rows) = log.buffer(lingering(), []);
        loom::explore();
        let other = rows.clone();
        let waiter = spawn(move || submit(&other, 1).wait().unwrap());
        submit(&rows, 2).wait().unwrap();
        assert!(log.ids().contains(&2));
        waiter.join().unwrap();
        end(&buffer);
    });
}

#[test]
fn two_who_may_commit_themselves_are_both_told_and_no_row_is_written_twice() {
    check(|| {
        let log = Log::default().commits_on_caller();
        let (buffer, rows) = log.buffer(lingering(), []);
        loom::explore();
        let other = rows.clone();
        let waiter = spawn(move || submit(&other, 1).wait().unwrap());
        submit(&rows, 2).wait().unwrap();
        assert!(log.ids().contains(&2));
        waiter.join().unwrap();
        assert_eq!(log.sorted_ids(), [1, 2]);
        end(&buffer);
    });
}

#[test]
fn a_row_pushed_while_a_waiter_commits_its_own_is_written_by_the_writer() {
    check(|| {
        let log = Log::default().commits_on_caller();
        let bell = log.bell();
        let (buffer, rows) = log.buffer(at_once(), []);
        loom::explore();
        let other = rows.clone();
        let pusher = spawn(move || push(&other, 1));
        submit(&rows, 2).wait().unwrap();
        while log.ids().len() < 2 {
            bell.wait();
        }
        assert_eq!(log.sorted_ids(), [1, 2]);
        pusher.join().unwrap();
        end(&buffer);
    });
}

#[test]
fn a_flush_while_a_waiter_commits_its_own_row_sees_both() {
    check(|| {
        let log = Log::default().commits_on_caller();
        let (buffer, rows) = log.buffer(lingering(), []);
        loom::explore();
        let other = rows.clone();
        let waiter = spawn(move || submit(&other, 1).wait().unwrap());
        push(&rows, 2);
        buffer.flush().unwrap();
        assert!(log.ids().contains(&2));
        waiter.join().unwrap();
        end(&buffer);
    });
}

#[test]
fn a_lone_waiter_who_meets_a_busy_sink_is_told_by_the_writer() {
    check(|| {
        let log = Log::default().commits_on_caller();
        let (buffer, rows) = log.buffer(lingering(), [Answer::Busy, Answer::Busy]);
        loom::explore();
        submit(&rows, 1).wait().unwrap();
        assert_eq!(log.ids(), [1]);
        assert_eq!((buffer.stats().commits_on_caller, buffer.stats().retries), (1, 2));
        end(&buffer);
    });
}

#[test]
fn a_lone_waiter_whose_sink_panics_is_told_by_the_writer() {
    check(|| {
        let log = Log::default().commits_on_caller();
        let (buffer, rows) = log.buffer(lingering(), [Answer::Panic]);
        loom::explore();
        assert_eq!(submit(&rows, 1).wait().unwrap_err().kind(), ErrorKind::Unknown);
        assert_eq!(buffer.close().unwrap_err().kind(), ErrorKind::Failed);
        assert_adds_up(&buffer.stats());
    });
}

#[test]
fn one_who_waits_one_who_flushes_and_one_who_pushes_do_not_keep_each_other_asleep() {
    check(|| {
        let log = Log::default().commits_on_caller();
        let (buffer, rows) = log.buffer(lingering(), []);
        loom::explore();
        let (waiting, pushing) = (rows.clone(), rows);
        let waiter = spawn(move || submit(&waiting, 1).wait().unwrap());
        let pusher = spawn(move || push(&pushing, 2));
        buffer.flush().unwrap();
        waiter.join().unwrap();
        pusher.join().unwrap();
        end(&buffer);
        assert_eq!(log.sorted_ids(), [1, 2]);
    });
}

#[test]
fn a_busy_sink_met_on_the_waiters_thread_is_tried_again_by_the_writer() {
    check(|| {
        let log = Log::default().commits_on_caller();
        let (buffer, rows) = log.buffer(lingering(), [Answer::Busy]);
        loom::explore();
        let other = rows.clone();
        let waiter = spawn(move || submit(&other, 1).wait().unwrap());
        submit(&rows, 2).wait().unwrap();
        waiter.join().unwrap();
        assert_eq!(log.sorted_ids(), [1, 2]);
        end(&buffer);
    });
}

#[test]
fn a_sink_that_panics_on_the_waiters_thread_fails_the_buffer_and_nobody_hangs() {
    panics_while_two_wait(Log::commits_on_caller);
}

#[test]
fn a_sink_that_panics_on_the_writers_thread_fails_the_buffer_and_nobody_hangs() {
    panics_while_two_wait(|log| log);
}

fn panics_while_two_wait(kind: fn(Log) -> Log) {
    check(move || {
        let log = kind(Log::default());
        let (buffer, rows) = log.buffer(lingering(), [Answer::Panic]);
        loom::explore();
        let told = |outcome: Result<()>| match outcome.expect_err("the sink panicked").kind() {
            ErrorKind::Unknown => 1,
            ErrorKind::Unwritten | ErrorKind::Failed => 0,
            other => panic!("{other:?}"),
        };
        let wait = move |rows: &Producer, id| told(rows.submit(&row(id)).and_then(Receipt::wait));
        let other = rows.clone();
        let waiter = thread::spawn(move || wait(&other, 1));
        let unknown = wait(&rows, 2) + waiter.join().expect("the waiter ends");
        assert!(unknown >= 1, "the rows that the sink had are unknown");
        assert_eq!(buffer.close().expect_err("the sink panicked").kind(), ErrorKind::Failed);
        assert!(log.ids().is_empty());
        assert_adds_up(&buffer.stats());
    });
}

#[test]
fn a_flush_of_rows_that_the_sink_failed_at_says_so() {
    check(|| {
        let log = Log::default();
        let (buffer, rows) = log.buffer(lingering(), [Answer::Fatal]);
        loom::explore();
        push(&rows, 1);
        assert_eq!(buffer.flush().unwrap_err().kind(), ErrorKind::Failed);
        assert_eq!(log.letters(), [1]);
        assert_eq!(buffer.close().unwrap_err().kind(), ErrorKind::Failed);
        assert_adds_up(&buffer.stats());
    });
}

#[test]
fn a_sink_that_fails_in_the_first_of_two_batches_fails_the_rows_of_both() {
    check(|| {
        let log = Log::default();
        let config = Config { batch_size: 1, max_transaction_rows: 1, ..lingering() };
        let (buffer, rows) = log.buffer(config, [Answer::Fatal]);
        loom::explore();
        let told = |id| rows.submit(&row(id)).map(Receipt::wait);
        let first = rows.submit(&row(1)).unwrap();
        if let Ok(second) = told(2) {
            assert_eq!(second.unwrap_err().kind(), ErrorKind::Unwritten);
        }
        assert_eq!(first.wait().unwrap_err().kind(), ErrorKind::Unwritten);
        assert_eq!(buffer.close().unwrap_err().kind(), ErrorKind::Failed);
        assert_adds_up(&buffer.stats());
    });
}

#[test]
fn a_push_against_a_close_is_refused_or_written() {
    check(|| {
        let log = Log::default();
        let (buffer, rows) = log.buffer(lingering(), []);
        loom::explore();
        let pusher = thread::spawn(move || {
            let told = [1, 2].map(|id| rows.push(&row(id)));
            let accepted = told.iter().filter(|told| told.is_ok()).count() as i64;
            for refused in told.into_iter().filter_map(Result::err) {
                assert_eq!(refused.kind(), ErrorKind::Closed);
            }
            accepted
        });
        buffer.close().unwrap();
        assert!(log.with(|seen| seen.dropped), "the sink is gone when close returns");
        let written = log.ids();
        let accepted = pusher.join().unwrap();
        assert!(written.into_iter().eq(1..=accepted));
        assert_adds_up(&buffer.stats());
    });
}

#[test]
fn a_receipt_got_against_a_close_is_kept() {
    for kind in [Log::commits_on_caller, |log| log] {
        check(move || {
            let log = kind(Log::default());
            let (buffer, rows) = log.buffer(lingering(), []);
            loom::explore();
            let waiter = thread::spawn(move || match rows.submit(&row(1)) {
                Ok(receipt) => receipt.wait().map(|()| 1).unwrap(),
                Err(refused) => {
                    assert_eq!(refused.kind(), ErrorKind::Closed);
                    0
                }
            });
            buffer.close().unwrap();
            let accepted = waiter.join().unwrap();
            assert!(log.ids().into_iter().eq(1..=accepted));
            assert_adds_up(&buffer.stats());
        });
    }
}

#[test]
fn two_who_close_meet_the_same_end() {
    check(|| {
        let log = Log::default();
        let (buffer, rows) = log.buffer(lingering(), []);
        push(&rows, 1);
        loom::explore();
        let (other, other_log) = (buffer.clone(), log.clone());
        let closer = spawn(move || {
            other.close().unwrap();
            assert_eq!(other_log.ids(), [1]);
        });
        buffer.close().unwrap();
        assert_eq!(log.ids(), [1]);
        closer.join().unwrap();
    });
}

#[test]
fn a_close_without_patience_hands_back_what_it_does_not_write() {
    check(|| {
        let log = Log::default();
        let (buffer, rows) = log.buffer(lingering(), [Answer::Busy]);
        push(&rows, 1);
        loom::explore();
        let other = rows.clone();
        let waiter = thread::spawn(move || other.submit(&row(2)).and_then(Receipt::wait));
        let report = buffer.close_within(Duration::ZERO).unwrap();
        let told = waiter.join().unwrap();
        let written = log.ids();
        assert_eq!(report.leftovers.is_empty(), written.contains(&1));
        assert_eq!(told.is_ok(), written.contains(&2));
        if let Err(error) = told {
            assert!(matches!(error.kind(), ErrorKind::Closed | ErrorKind::Unwritten), "{error}");
        }
        assert_adds_up(&buffer.stats());
    });
}

#[test]
fn a_flush_against_a_close_without_patience_returns_when_all_is_decided() {
    check(|| {
        let log = Log::default();
        let (bell, release) = (log.bell(), Bell::new());
        log.with(|seen| seen.release = Some(Arc::clone(&release)));
        let (buffer, rows) = log.buffer(at_once(), [Answer::Held]);
        push(&rows, 1);
        bell.wait();
        push(&rows, 2);
        loom::explore();
        let other = buffer.clone();
        let flusher = spawn(move || {
            other.flush().unwrap();
            assert_eq!(other.stats().pending, 0);
        });
        release.ring();
        buffer.close_within(Duration::ZERO).unwrap();
        flusher.join().unwrap();
        assert_adds_up(&buffer.stats());
    });
}

/// The rows that a tiny buffer is full with.
const FILLING: [i64; 2] = [0, 1];

/// Fills both segments of a tiny buffer.
fn fill(rows: &Producer) {
    FILLING.iter().for_each(|&id| rows.push(&large(id)).unwrap());
}

#[test]
fn a_push_into_the_full_buffer_goes_on_when_the_writer_has_taken_the_rows() {
    // There is room for one of them at a time, and so for the second when the first row has been written.
    two_wait_for_room(large, |log| assert!(log.ids().contains(&FILLING[0])));
}

#[test]
fn of_two_that_wait_for_room_which_there_is_for_both_one_wakes_the_other() {
    two_wait_for_room(medium, |_| ());
}

fn two_wait_for_room(row: fn(i64) -> (i64, String), look_when_both_are_in: fn(&Log)) {
    // The writer may be quick enough in one schedule, but not in all.
    let waits = Arc::new(AtomicUsize::new(0));
    let waited = Arc::clone(&waits);
    check(move || {
        let log = Log::default();
        let (buffer, rows) = log.buffer(tiny(), []);
        fill(&rows);
        loom::explore();
        let other = rows.clone();
        let pusher = spawn(move || other.push(&row(2)).unwrap());
        rows.push(&row(3)).unwrap();
        pusher.join().unwrap();
        waited.fetch_max(buffer.stats().full as usize, Ordering::Relaxed);
        look_when_both_are_in(&log);
        loom::stop_exploring();
        buffer.close().unwrap();
        assert_eq!(log.sorted_ids(), [FILLING[0], FILLING[1], 2, 3]);
    });
    assert!(waits.load(Ordering::Relaxed) >= 2, "both find no room");
}

#[test]
fn a_push_into_the_full_buffer_against_a_close_is_refused_or_written() {
    check(|| {
        let log = Log::default();
        let (buffer, rows) = log.buffer(tiny(), []);
        fill(&rows);
        loom::explore();
        let pusher = thread::spawn(move || rows.push(&large(2)));
        buffer.close().unwrap();
        let written = log.ids();
        match pusher.join().unwrap() {
            Ok(()) => assert_eq!(written, [FILLING[0], FILLING[1], 2]),
            Err(refused) => {
                assert_eq!(refused.kind(), ErrorKind::Closed);
                assert_eq!(written, FILLING);
            }
        }
        assert_adds_up(&buffer.stats());
    });
}

#[test]
fn an_async_push_into_the_full_buffer_is_woken_when_there_is_room() {
    check(|| {
        let log = Log::default();
        let (buffer, rows) = log.buffer(tiny(), []);
        fill(&rows);
        loom::explore();
        let other = rows.clone();
        let pusher = spawn(move || block_on(other.push_async(&large(2))).unwrap());
        rows.push(&large(3)).unwrap();
        pusher.join().unwrap();
        loom::stop_exploring();
        buffer.close().unwrap();
        assert_eq!(log.sorted_ids(), [FILLING[0], FILLING[1], 2, 3]);
    });
}

#[test]
fn a_push_given_up_leaves_its_place_to_the_next() {
    check(|| {
        let log = Log::default();
        let (buffer, rows) = log.buffer(tiny(), []);
        fill(&rows);
        loom::explore();
        let other = rows.clone();
        let fickle = spawn(move || {
            let waker = Waker::noop();
            let mut push = Box::pin(other.push_async(&large(2)));
            let _ = push.as_mut().poll(&mut Context::from_waker(waker));
        });
        rows.push(&large(3)).unwrap();
        fickle.join().unwrap();
        loom::stop_exploring();
        buffer.close().unwrap();
        assert!(log.ids().contains(&3));
        assert_adds_up(&buffer.stats());
    });
}

#[test]
fn a_receipt_wakes_the_task_that_polled_it_last() {
    check(|| {
        let log = Log::default().commits_on_caller();
        let (buffer, rows) = log.buffer(lingering(), []);
        loom::explore();
        let other = rows.clone();
        let task = spawn(move || {
            let mut receipt = pin!(submit(&other, 1));
            let first = receipt.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            match first {
                Poll::Ready(told) => told.unwrap(),
                Poll::Pending => block_on(receipt).unwrap(),
            }
        });
        submit(&rows, 2).wait().unwrap();
        task.join().unwrap();
        assert_eq!(log.sorted_ids(), [1, 2]);
        end(&buffer);
    });
}

#[test]
fn a_refused_row_is_told_by_its_receipt_or_as_a_dead_letter_never_both() {
    check(|| {
        let log = Log::default();
        let (buffer, rows) = log.buffer(at_once(), [Answer::Refuse]);
        loom::explore();
        let other = rows.clone();
        let asker = thread::spawn(move || {
            let receipt = submit(&other, 1);
            let told = receipt.decided().is_some();
            drop(receipt);
            told
        });
        buffer.flush().unwrap();
        let told = asker.join().unwrap();
        end(&buffer);
        assert!(log.ids().is_empty());
        assert!(!told || log.letters().is_empty());
        assert!(log.letters().len() <= 1);
    });
}

#[test]
fn a_receipt_dropped_before_its_row_is_due_leaves_a_dead_letter() {
    check(|| {
        let log = Log::default();
        let (buffer, rows) = log.buffer(lingering(), [Answer::Refuse]);
        loom::explore();
        let asker = spawn(move || drop(submit(&rows, 1)));
        asker.join().unwrap();
        buffer.flush().unwrap();
        assert_eq!(log.letters(), [1]);
        end(&buffer);
    });
}

#[test]
fn a_receipt_dropped_while_another_waits_takes_nobody_elses_place() {
    check(|| {
        let log = Log::default();
        let (buffer, rows) = log.buffer(lingering(), []);
        let (first, second) = (submit(&rows, 1), submit(&rows, 2));
        loom::explore();
        let waiter = spawn(move || first.wait().unwrap());
        let polled = thread::spawn(move || {
            let mut second = Box::pin(second);
            second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
        });
        let _ready = polled.join().unwrap();
        waiter.join().unwrap();
        end(&buffer);
        assert_eq!(log.ids(), [1, 2]);
    });
}

#[test]
fn the_last_handle_dropped_writes_the_rest_and_keeps_the_receipts() {
    check(|| {
        let log = Log::default().commits_on_caller();
        let (buffer, rows) = log.buffer(lingering(), []);
        loom::explore();
        let receipt = submit(&rows, 1);
        let waiter = spawn(move || receipt.wait().unwrap());
        let other = spawn(move || {
            push(&rows, 2);
            drop(rows);
        });
        drop(buffer);
        other.join().unwrap();
        waiter.join().unwrap();
        assert_eq!(log.ids(), [1, 2]);
        assert!(log.with(|seen| seen.dropped), "the sink is gone with the last handle");
    });
}

#[test]
fn a_question_to_the_database_is_answered_while_a_waiter_commits() {
    check(|| {
        let log = Log::default().commits_on_caller();
        let (buffer, rows) = log.buffer(lingering(), []);
        loom::explore();
        let other = buffer.clone();
        let asker = spawn(move || drop(other.table("others").insert().producer().unwrap()));
        submit(&rows, 1).wait().unwrap();
        asker.join().unwrap();
        end(&buffer);
    });
}

#[test]
fn a_question_against_a_close_is_answered_or_refused() {
    check(|| {
        let log = Log::default();
        let (buffer, _rows) = log.buffer(lingering(), []);
        loom::explore();
        let other = buffer.clone();
        let asker = spawn(move || match other.table("others").insert().producer() {
            Ok(_) => {}
            Err(refused) => assert_eq!(refused.kind(), ErrorKind::Closed),
        });
        buffer.close().unwrap();
        asker.join().unwrap();
    });
}

#[test]
fn a_group_stays_together_behind_the_rows_pushed_before_it() {
    check(|| {
        let log = Log::default();
        let (buffer, rows) = log.buffer(lingering(), []);
        loom::explore();
        let other = rows.clone();
        let pusher = spawn(move || push(&other, 1));
        push(&rows, 2);
        buffer
            .group(|group| [3, 4].iter().try_for_each(|&id| group.add(&rows, &row(id))))
            .unwrap()
            .wait()
            .unwrap();
        let ids = log.ids();
        let at = |id| ids.iter().position(|&seen| seen == id);
        assert!(at(2) < at(3) && at(4) == at(3).map(|at| at + 1), "{ids:?}");
        pusher.join().unwrap();
        end(&buffer);
    });
}
