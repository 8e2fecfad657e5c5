//! A spool grows while the database cannot be written, up to its limit: then there is back-pressure, and nobody is forgotten.

use std::fs;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use forebay::{Config, Error, ErrorKind, SqliteSink, WriteBuffer};
use futures::FutureExt;
use serde::Serialize;
use support::{Surrounded, adds_up};

use super::{LONG, Place, Row, Stuck, all, eventually, names, rows_of};

/// Segments of 4 KiB, as many as this.
fn tiny(place: &Place, segments: usize) -> Config {
    Config {
        batch_size: 1,
        max_transaction_rows: 5,
        max_buffer_bytes: 8_192,
        max_batch_bytes: 1_024,
        max_row_bytes: 1_024,
        max_spool_bytes: 4_096 * segments,
        ..place.config()
    }
}

fn open(place: &Place, segments: usize) -> WriteBuffer {
    WriteBuffer::builder(place.path()).config(tiny(place, segments)).open().unwrap()
}

#[test]
fn a_spool_that_is_full_pushes_back_until_rows_are_written() {
    let place = Place::new();
    let buffer = open(&place, 6);
    let rows = rows_of(&buffer);
    let lock = place.lock();
    let mut next = 100;
    let mut full: Option<Error> = None;
    eventually("the spool is full", || {
        match rows.try_push(&Row { id: next }) {
            Ok(()) => next += 1,
            Err(error) => full = Some(error),
        }
        full.is_some() && buffer.stats().spool_bytes == 6 * 4_096
    });
    // It may have been full once while the last file was made.
    while rows.try_push(&Row { id: next }).is_ok() {
        next += 1;
    }
    let full = rows.try_push(&Row { id: 0 }).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Full);
    let text = format!("{full:#}");
    assert!(text.contains("max_spool_bytes"), "{text}");
    let late = rows.push_timeout(&Row { id: 0 }, Duration::from_millis(1)).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    let text = format!("{late:#}");
    assert!(text.contains("max_spool_bytes"), "{text}");
    assert!(rows.push_async(&Row { id: 0 }).now_or_never().is_none(), "it waits");

    thread::scope(|scope| {
        let blocked = scope.spawn(|| rows.push(&Row { id: next }));
        eventually("it has found no room", || buffer.stats().full >= 4);
        assert!(!blocked.is_finished());
        drop(lock);
        blocked.join().unwrap().unwrap();
    });
    buffer.close().unwrap();
    assert_eq!(place.ids(), all(100..=next));
    assert!(adds_up(&buffer.stats()));
    place.is_empty();
}

#[test]
fn a_file_that_cannot_be_removed_counts_as_long_as_it_is_there() {
    let place = Place::new();
    let buffer = open(&place, 6);
    let rows = rows_of(&buffer);
    let lock = place.lock();
    let mut next = 0;
    eventually("the spool is full", || {
        while rows.try_push(&Row { id: next }).is_ok() {
            next += 1;
        }
        buffer.stats().spool_bytes == 6 * 4_096
    });
    let segments = names(&place.folder()).into_iter().filter(|name| name.starts_with("segment-"));
    for path in segments.map(|name| place.folder().join(name)) {
        // The process has it mapped.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
    }
    drop(lock);
    buffer.flush().unwrap();
    // The last of them is done with before this one is written.
    rows.write(&Row { id: next }).unwrap();
    assert_eq!(buffer.stats().spool_bytes, 6 * 4_096);
    buffer.close().unwrap();
    assert_eq!(place.ids(), all(0..=next));
}

#[test]
fn a_row_of_the_largest_size_fits_and_a_larger_one_is_refused() {
    #[derive(Serialize)]
    struct Text {
        text: String,
    }
    let place = Place::with("CREATE TABLE texts(text)");
    let buffer = open(&place, 100);
    let texts = buffer.table("texts").insert().producer().unwrap();
    let text = |length| Text { text: "x".repeat(length) };
    let largest = (0..=1_024).rev().find(|length| texts.try_push(&text(*length)).is_ok()).unwrap();
    assert_eq!(texts.push(&text(largest + 1)).unwrap_err().kind(), ErrorKind::TooLarge);
    assert!(largest > 900, "{largest}");
    place.left_by(&buffer, || (0..20).for_each(|_| texts.push(&text(largest)).unwrap()));
    assert_eq!(place.drain().replayed, 20);
    let lengths = place.scratch.column::<i64>("SELECT length(text) FROM texts");
    assert_eq!(lengths, [largest as i64; 21]);
}

#[test]
fn many_small_segments_that_have_gathered_are_written_in_order_and_removed() {
    let place = Place::new();
    let buffer = open(&place, 200);
    let rows = rows_of(&buffer);
    let lock = place.lock();
    (100..8_100).for_each(|id| rows.push(&Row { id }).unwrap());
    let most = buffer.stats().spool_bytes;
    assert!(most > 50 * 4_096, "{most}");
    drop(lock);
    buffer.flush().unwrap();
    assert_eq!(place.ids(), all(100..8_100));
    rows.write(&Row { id: 8_100 }).unwrap();
    let least = buffer.stats().spool_bytes;
    assert!(least <= 4 * 4_096, "what is not needed any more is removed: {least}");
    let files = names(&place.folder());
    assert!(files.len() <= 4 + 4, "{files:?}");
    buffer.close().unwrap();
    place.is_empty();
}

#[test]
fn many_small_segments_that_were_left_are_replayed_in_order_before_new_rows() {
    let place = Place::new();
    let buffer = open(&place, 200);
    let rows = rows_of(&buffer);
    place.left_by(&buffer, || (100..8_100).for_each(|id| rows.push(&Row { id }).unwrap()));
    // Larger segments, and one that is smaller than what is left may take.
    let lock = place.lock();
    drop(lock);
    let buffer = open(&place, 2);
    let rows = rows_of(&buffer);
    assert_eq!(buffer.stats().replayed, 8_000);
    (8_100..9_000).for_each(|id| rows.push(&Row { id }).unwrap());
    buffer.close().unwrap();
    assert_eq!(place.ids(), all(100..9_000));
    assert!(adds_up(&buffer.stats()));
    place.is_empty();
}

#[test]
fn many_who_wait_for_room_all_get_it() {
    let place = Place::new();
    let buffer = open(&place, 3);
    let rows = rows_of(&buffer);
    let lock = place.lock();
    let done = AtomicI64::new(0);
    thread::scope(|scope| {
        for thread in 1..=16 {
            let (rows, done) = (&rows, &done);
            scope.spawn(move || {
                for n in 0..200 {
                    rows.push(&Row { id: thread * 1_000 + n }).unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        eventually("they wait", || buffer.stats().full >= 16);
        drop(lock);
        // Those who come and go keep nobody from it; nor does somebody else's lock, again and again.
        for _ in 0..20 {
            let lock = place.lock();
            let _ = rows.push_async(&Row { id: 1 }).now_or_never();
            let _ = rows.try_push(&Row { id: 1 });
            drop(lock);
            let before = done.load(Ordering::Relaxed);
            eventually("they get on", || {
                done.load(Ordering::Relaxed) > before || done.load(Ordering::Relaxed) == 3_200
            });
        }
        eventually("all have had their turn", || done.load(Ordering::Relaxed) == 3_200);
    });
    buffer.close().unwrap();
    let ids = place.ids();
    for thread in 1..=16 {
        let own: Vec<_> = ids.iter().copied().filter(|id| id / 1_000 == thread).collect();
        assert_eq!(own, all(thread * 1_000..thread * 1_000 + 200));
    }
    assert!(adds_up(&buffer.stats()));
}

#[test]
fn flushes_and_receipts_are_answered_while_segments_roll() {
    let place = Place::new();
    let buffer = open(&place, 40);
    let rows = rows_of(&buffer);
    thread::scope(|scope| {
        for thread in 1..=4 {
            let (rows, buffer) = (&rows, &buffer);
            scope.spawn(move || {
                for n in 0..300 {
                    let row = Row { id: thread * 1_000 + n };
                    match n % 50 {
                        49 => buffer.flush().unwrap(),
                        _ if thread == 1 && n % 10 == 0 => rows.write(&row).unwrap(),
                        _ => rows.push(&row).unwrap(),
                    }
                }
            });
        }
    });
    buffer.close().unwrap();
    assert_eq!(place.ids().len(), 4 * (300 - 6));
    assert!(adds_up(&buffer.stats()));
}

#[test]
fn a_close_while_others_wait_for_room_tells_them_and_keeps_the_rest() {
    let place = Place::new();
    let buffer = open(&place, 2);
    let rows = rows_of(&buffer);
    let lock = place.lock();
    let accepted: Vec<i64> = thread::scope(|scope| {
        let push = |thread: i64| {
            let rows = &rows;
            scope.spawn(move || {
                let pushed = (0..).map_while(|n| {
                    let id = thread * 100_000 + n;
                    match rows.push(&Row { id }) {
                        Ok(()) => Some(id),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::Closed, "{error:#}");
                            None
                        }
                    }
                });
                pushed.collect::<Vec<_>>()
            })
        };
        let pushing: Vec<_> = (1..=8).map(push).collect();
        eventually("they wait", || buffer.stats().full >= 8);
        let report = buffer.close_within(Duration::ZERO).unwrap();
        assert!(adds_up(&report.stats), "{:?}", report.stats);
        pushing.into_iter().flat_map(|pushing| pushing.join().unwrap()).collect()
    });
    drop(lock);
    assert_eq!(buffer.stats().spooled, accepted.len() as u64);
    place.drain();
    let mut ids = place.ids();
    ids.sort_unstable();
    assert_eq!(ids, accepted);
}

#[test]
fn lives_that_all_end_before_a_row_is_written_take_no_more_room_than_one_may() {
    let place = Place::new();
    let mut pushed = 0;
    for _ in 0..5 {
        let buffer = open(&place, 8);
        let deletes = buffer.statement("INSERT INTO t(id) VALUES (:id)");
        let lock = place.lock();
        // What was left may be written already, or while the statement was looked at.
        let rows = deletes.unwrap();
        eventually("the spool is full", || match rows.try_push(&Row { id: pushed }) {
            Ok(()) => {
                pushed += 1;
                false
            }
            Err(_) => buffer.stats().spool_bytes >= 8 * 4_096,
        });
        // Two files are made whatever is there, and nothing is put into them.
        assert!(buffer.stats().spool_bytes <= 10 * 4_096, "{:?}", buffer.stats());
        let report = buffer.close_within(Duration::ZERO).unwrap();
        assert!(adds_up(&report.stats), "{:?}", report.stats);
        drop(lock);
    }
    let buffer = open(&place, 8);
    rows_of(&buffer).push(&Row { id: pushed }).unwrap();
    buffer.close().unwrap();
    assert_eq!(place.ids(), all(0..=pushed));
    place.is_empty();
}

#[test]
fn a_spool_with_more_than_it_may_hold_takes_rows_again_as_soon_as_there_is_room() {
    let place = Place::new();
    let buffer = open(&place, 16);
    let rows = rows_of(&buffer);
    let mut left = 0;
    place.left_by(&buffer, || {
        eventually("the spool is full", || match rows.try_push(&Row { id: left }) {
            Ok(()) => {
                left += 1;
                false
            }
            Err(_) => buffer.stats().spool_bytes == 16 * 4_096,
        });
    });
    // No more than the two that this one has made.
    let config = tiny(&place, 2);
    let (committed, is_committed) = channel();
    let (let_go, go_on) = channel();
    let sink = SqliteSink::open(place.path(), &config).unwrap();
    let sink = Surrounded::new(sink, Stuck { committed, go_on, commits_on_caller: false });
    let buffer = WriteBuffer::with_sink(sink, config).unwrap();
    thread::scope(|scope| {
        // The table is looked at between two batches of the replay.
        let rows = scope.spawn(|| rows_of(&buffer));
        while !rows.is_finished() {
            is_committed.recv_timeout(LONG).unwrap();
            let_go.send(()).unwrap();
        }
        let rows = rows.join().unwrap();
        let pusher = scope.spawn(move || rows.push(&Row { id: left }).unwrap());
        eventually("it waits for room", || buffer.stats().full > 0);
        drop(let_go);
        eventually("there is room, and it is told", || pusher.is_finished());
    });
    buffer.close().unwrap();
    assert_eq!(place.ids(), all(0..=left));
    place.is_empty();
}

#[test]
fn many_tasks_that_wait_for_room_all_get_it() {
    let place = Place::new();
    let buffer = open(&place, 3);
    let rows = rows_of(&buffer);
    let lock = place.lock();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let tasks: Vec<_> = (1..=32)
        .map(|task| {
            let rows = rows.clone();
            runtime.spawn(async move {
                for n in 0..50 {
                    rows.push_async(&Row { id: task * 100 + n }).await.unwrap();
                }
            })
        })
        .collect();
    // Some give up before there is room.
    // The first few may have put all of theirs in.
    eventually("they wait", || buffer.stats().full >= 16);
    let (mut given_up, mut taken) = (0, 0);
    while given_up < 10 {
        // The last file may have been made just now.
        match rows.push_async(&Row { id: 1 }).now_or_never() {
            None => given_up += 1,
            Some(pushed) => {
                pushed.unwrap();
                taken += 1;
            }
        }
    }
    drop(lock);
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    buffer.close().unwrap();
    let ids = place.ids();
    assert_eq!(ids.len(), 32 * 50 + taken);
    for task in 1..=32 {
        let own: Vec<_> = ids.iter().copied().filter(|id| id / 100 == task).collect();
        assert_eq!(own, all(task * 100..task * 100 + 50));
    }
    assert!(adds_up(&buffer.stats()));
}
