//! What a push costs its caller, where the database is not in the way.
//!
//! One iteration is one push, whoever makes it. Its time is wall time divided by the pushes of all producers, and
//! the throughput is that of all of them together. It is not what one of 8 or 80 producers waits for a push: that is
//! the same time as often as there are producers.
//!
//! In the figure are: making the row, a few nanoseconds; encoding it; the lock, which producers share with each other
//! and with the writer; copying the row into the log; and waking the writer for each batch. The sink takes everything
//! and the settings are the defaults. The writer takes the rows out of the log meanwhile and, where the producer
//! coalesces, looks for the newest of each key: on a core of its own, as long as producers leave one. The producers
//! push in rounds that fit the buffer, which is emptied in between, so that nobody ever waits for room.

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use forebay::{Config, WriteBuffer};
use forebay_benches::{Count, Nowhere, Rows, TopicStatus, check, fat_text, share, topics, update};

/// Bytes of rows in a round: well below the half of `max_buffer_bytes` that takes rows while the other is written.
const ROUND_BYTES: u64 = 20 * 1024 * 1024;

/// Bytes that a row takes in the log, rounded up, besides its text.
const ROW_BYTES: u64 = 96;

fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    producers: u64,
    rows: Rows,
    text: &str,
) {
    let buffer = WriteBuffer::with_sink(Nowhere, Config::default()).expect("a buffer");
    let topics = topics(&buffer, rows);
    let push = |number| {
        let row = TopicStatus { status: text, ..update(number) };
        topics.push(black_box(&row)).expect("a push");
    };
    let round = ROUND_BYTES / (ROW_BYTES + text.len() as u64);
    let pushed = Count::default();
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|times| {
            let mut elapsed = Duration::ZERO;
            for first in (0..times).step_by(round as usize) {
                let span = share(producers, pushed.next(round.min(times - first)), push);
                elapsed += span.end - span.start;
                buffer.flush().expect("a flush");
            }
            elapsed
        });
    });
    check(&buffer, pushed.total());
    assert_eq!(buffer.stats().full, 0, "nobody waited for room");
}

fn push(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("push");
    group
        .throughput(Throughput::Elements(1))
        .sampling_mode(SamplingMode::Flat)
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4));
    let small = update(0).status;
    measure(&mut group, "1 producer", 1, Rows::All, small);
    measure(&mut group, "8 producers", 8, Rows::All, small);
    measure(&mut group, "80 producers", 80, Rows::All, small);
    measure(&mut group, "1, coalescing", 1, Rows::Newest, small);
    measure(&mut group, "1, text of 1 KiB", 1, Rows::All, &fat_text());
    group.finish();
}

criterion_group!(benches, push);
criterion_main!(benches);
