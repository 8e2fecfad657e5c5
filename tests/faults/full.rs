//! A buffer that is full, under load: what each call does then, and how much memory there is.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use forebay::{Config, Error, ErrorKind, Producer, TableInfo, WriteBuffer};
use futures::FutureExt;
use support::{Gate, Seen, Trial, adds_up};

use crate::claims::{RUNTIME, wait_until, written};

const MAX_BUFFER_BYTES: usize = 65_536;
const THREADS: i64 = 40;
const ROWS: i64 = 40;

fn config() -> Config {
    Config {
        batch_size: 10,
        max_transaction_rows: 40,
        max_buffer_bytes: MAX_BUFFER_BYTES,
        max_batch_bytes: 16_384,
        max_row_bytes: 16_384,
        linger: Duration::ZERO,
        ..Config::default()
    }
}

/// Puts a row in, in the way of this thread. False when it was refused, as this way allows.
fn put(buffer: &WriteBuffer, rows: &Producer, thread: i64, id: i64) -> bool {
    let row = &(id, "x".repeat(1_000));
    let (told, allowed) = match thread % 8 {
        0 | 1 => (rows.push(row), None),
        2 => (rows.submit(row).and_then(forebay::Receipt::wait), None),
        3 => (RUNTIME.block_on(rows.push_async(row)), None),
        4 => (buffer.group(|group| group.add(rows, row)).map(drop), None),
        5 => (rows.try_push(row), Some(ErrorKind::Full)),
        6 => (rows.push_timeout(row, Duration::from_micros(100)), Some(ErrorKind::TimedOut)),
        // A future that is polled once and dropped takes its row back.
        _ => match rows.push_async(row).now_or_never() {
            Some(told) => (told, None),
            None => return false,
        },
    };
    match told {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(Some(error.kind()), allowed, "{error:#}");
            false
        }
    }
}

#[test]
fn a_full_buffer_blocks_or_refuses_by_the_call_and_keeps_to_its_memory() {
    Trial::of(
        20,
        "the buffer is full",
        "40 threads in 8 ways of pushing, against a sink that is held until all have met the full buffer; memory by the buffer's own gauge",
    )
    .rounds(10, 200)
    .run(|_| {
        let gate = Gate::closed();
        gate.set_table(TableInfo::new("landed").column("id").column("text"));
        let buffer = WriteBuffer::with_sink(gate.sink(), config()).unwrap();
        let rows = buffer.table("landed").insert().producer().unwrap();
        let (accepted, most) = (AtomicU64::new(0), AtomicU64::new(0));
        let watch = || {
            most.fetch_max(buffer.stats().buffer_bytes, Ordering::Relaxed);
        };
        let promised = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let (buffer, rows, accepted) = (&buffer, &rows, &accepted);
                    scope.spawn(move || {
                        let ids = (0..ROWS).map(|row| thread * 1_000 + row);
                        let put = ids.filter(|&id| put(buffer, rows, thread, id));
                        let put: Vec<i64> = put.collect();
                        accepted.fetch_add(put.len() as u64, Ordering::Relaxed);
                        put
                    })
                })
                .collect();
            wait_until(|| {
                watch();
                buffer.stats().full >= THREADS as u64
            });
            // One batch at a time, so that it is full over and over.
            while threads.iter().any(|thread| !thread.is_finished()) {
                watch();
                gate.pass(1);
                thread::park_timeout(Duration::from_micros(200));
            }
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        gate.open_up();
        buffer.close().unwrap();
        let (stats, most) = (buffer.stats(), most.into_inner());
        assert!(adds_up(&stats), "{stats:?}");
        assert_eq!(stats.accepted, accepted.into_inner());
        let limit = MAX_BUFFER_BYTES as u64;
        // One of the two segments is full; the other may have been taken when it held one row.
        assert!((limit / 4..=limit).contains(&most), "{most} bytes");
        look(&promised, &written(&gate))
    });
}

fn look(promised: &[i64], written: &HashMap<i64, u64>) -> Seen {
    assert!(written.len() <= promised.len(), "a row that was refused is there");
    Seen {
        rows: promised.len() as u64,
        lost: promised.iter().filter(|id| !written.contains_key(id)).count() as u64,
        twice: written.values().filter(|&&count| count > 1).count() as u64,
    }
}

/// What a row, a group or a list of fields is refused with that is larger than a limit.
fn refused(told: Result<(), Error>, kind: ErrorKind, limit: &str) {
    let error = told.unwrap_err();
    assert_eq!(error.kind(), kind, "{error:#}");
    assert!(error.to_string().contains(limit), "{error}");
}

/// A row of more columns than its database binds values for.
fn too_many_columns() {
    let gate = Gate::open();
    let columns = ["a", "b", "c", "d"].into_iter();
    gate.set_table(columns.fold(TableInfo::new("wide"), TableInfo::column).max_columns(3));
    let buffer = WriteBuffer::with_sink(gate.sink(), config()).unwrap();
    let told = buffer.table("wide").insert().producer().and_then(|wide| wide.push(&(1, 2, 3, 4)));
    refused(told, ErrorKind::Schema, "which is 3");
    buffer.close().unwrap();
    assert!(gate.written().is_empty());
}

#[test]
fn what_is_larger_than_a_limit_is_refused_at_once_and_named() {
    Trial::of(
        18,
        "a row larger than `max_row_bytes`, too many columns",
        "rows and groups of random sizes around the limit, from 4 threads; 4 fields where 3 may be; 3,000 fields; 40,000 parameters",
    )
    .rounds(5, 50)
    .run(|_| {
        too_many_columns();
        let columns: Vec<String> = (0..1_998).map(|number| format!("c{number}")).collect();
        let scratch = support::Scratch::new(&format!(
            "{}; CREATE TABLE wide(id, {})",
            Seen::SCHEMA,
            columns.join(",")
        ));
        let config = Config { max_row_bytes: 1_024, ..config() };
        let buffer = WriteBuffer::builder(scratch.path()).config(config).open().unwrap();
        refused(
            buffer.table("wide").insert().producer().and_then(|wide| {
                wide.push(&(0..3_000).map(|c| (format!("c{c}"), c)).collect::<HashMap<_, _>>())
            }),
            ErrorKind::UnknownField,
            "wide has no column for field",
        );
        let parameters = vec!["?"; 40_000].join(",");
        let sql = format!("INSERT INTO landed SELECT max({parameters})");
        let error = buffer.statement(&sql).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Statement);
        assert!(format!("{error:#}").contains("too many SQL variables"), "{error:#}");

        let (rows, text) = (
            buffer.statement("INSERT INTO landed VALUES (:id + 0 * length(:text))").unwrap(),
            "x".repeat(2_048),
        );
        let promised = thread::scope(|scope| {
            let threads = [0, 1, 2, 3].map(|thread| {
                let (buffer, rows, text) = (&buffer, &rows, &text);
                scope.spawn(move || {
                    let mut promised = Vec::new();
                    for id in (0..100).map(|row| thread * 1_000 + row) {
                        let length = fastrand::usize(0..2_048);
                        let row = (id, &text[..length]);
                        let told = match thread % 2 {
                            0 => rows.push(&row),
                            _ => buffer.group(|group| group.add(rows, &row)).map(drop),
                        };
                        // A frame's head and the tags of its values take a few bytes.
                        match length {
                            0..950 => told.unwrap(),
                            1_025.. => {
                                refused(told, ErrorKind::TooLarge, "max_row_bytes, which is 1024");
                                continue;
                            }
                            _ if told.is_err() => continue,
                            _ => {}
                        }
                        promised.push(id);
                    }
                    promised
                })
            });
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        buffer.close().unwrap();
        let stats = buffer.stats();
        assert!(adds_up(&stats), "{stats:?}");
        assert_eq!(stats.committed, promised.len() as u64, "what is refused is not counted");
        Seen { rows: stats.accepted, ..Seen::in_table(&scratch.path(), promised) }
    });
}
