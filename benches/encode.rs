//! What it costs to make bytes of a row, by its kind.
//!
//! One iteration is one row, made before the clock runs. The encoder is not public, so rows are added to a group,
//! which encodes each at once and keeps the bytes to itself, and the group is given up when it holds a hundred:
//! none of them meets the lock, the log or the writer.
//!
//! In the figure are therefore, besides the encoder: seeing that the row has the fields of the row before it, the
//! checks of its size and of its buffer, the mark that ties it to its group, and a hundredth of the group itself, which
//! is memory that grows from nothing and the error that gives it up. A push has no group; the bench `push` shows what
//! it has instead.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use forebay::{Config, Error, ErrorKind, Receipt, Result, WriteBuffer};
use forebay_benches::{Count, Nowhere, Rows, TopicStatus, check, fat_text, topics, update};
use serde::Serialize;

/// Rows in a group.
const GROUP: usize = 100;

/// A value of a map.
#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Integer(i64),
    Text(&'static str),
}

/// A topic whose status the database has no type for.
#[derive(Serialize)]
struct NestedStatus {
    topic_id: i64,
    status: Status,
    progress: i64,
    updated_at: i64,
}

#[derive(Serialize)]
struct Status {
    state: &'static str,
    attempts: [i64; 3],
    worker: Option<i64>,
}

fn measure<R: Serialize>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    row: impl Fn(u64) -> R,
) {
    let rows: Vec<R> = (0..GROUP as u64).map(row).collect();
    let buffer = WriteBuffer::with_sink(Nowhere, Config::default()).expect("a buffer");
    let topics = topics(&buffer, Rows::All);
    let encoded = Count::default();
    let encode = |rows: &[R], end: Result<()>| {
        buffer.group(|group| {
            rows.iter().try_for_each(|row| group.add(&topics, black_box(row)))?;
            encoded.next(rows.len() as u64);
            end
        })
    };
    encode(&rows, Ok(())).and_then(Receipt::wait).expect("a commit");
    let asked = Count::default();
    asked.next(GROUP as u64);
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|times| {
            asked.next(times);
            let start = Instant::now();
            for first in (0..times as usize).step_by(GROUP) {
                let count = GROUP.min(times as usize - first);
                let given_up = Error::new(ErrorKind::Unwritten, "given up");
                drop(black_box(encode(&rows[..count], Err(given_up))));
            }
            start.elapsed()
        });
    });
    assert_eq!(encoded.total(), asked.total(), "no row was refused");
    check(&buffer, GROUP as u64);
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group
        .throughput(Throughput::Elements(1))
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    measure(&mut group, "struct", update);
    measure(&mut group, "tuple", |number| {
        let row = update(number);
        (row.topic_id, row.status, row.progress, row.updated_at)
    });
    measure(&mut group, "map", |number| {
        let row = update(number);
        BTreeMap::from([
            ("topic_id", Value::Integer(row.topic_id)),
            ("status", Value::Text(row.status)),
            ("progress", Value::Integer(row.progress)),
            ("updated_at", Value::Integer(row.updated_at)),
        ])
    });
    let text = fat_text();
    measure(&mut group, "text of 1 KiB", |number| TopicStatus { status: &text, ..update(number) });
    measure(&mut group, "nested, as JSON", |number| {
        let TopicStatus { topic_id, status, progress, updated_at } = update(number);
        let status = Status { state: status, attempts: [progress, 1, 2], worker: Some(topic_id) };
        NestedStatus { topic_id, status, progress, updated_at }
    });
    group.finish();
}

criterion_group!(benches, encode);
criterion_main!(benches);
