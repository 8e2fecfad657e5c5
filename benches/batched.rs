//! Eighty producers through the buffer, against one thread that writes the same rows by hand.
//!
//! Both write batches of 400 hot keys into files on the same disk, with the same settings, in turns within
//! one run: it is their ratio that means something.

use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use forebay::{Config, WriteBuffer};
use forebay_benches::{connect, database, update, write_by_hand};

const PRODUCERS: i64 = 80;
const ROWS: i64 = 400_000;
const BATCH: usize = 400;

fn by_hand(rows: i64) -> Duration {
    let folder = tempfile::tempdir().expect("a folder");
    let connection = connect(&database(folder.path()));
    write_by_hand(&connection, 0..4_000, BATCH);
    let start = Instant::now();
    write_by_hand(&connection, 0..rows, BATCH);
    start.elapsed()
}

fn by_forebay(rows: i64, coalesce: bool) -> Duration {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config { batch_size: BATCH, max_transaction_rows: BATCH, ..Config::default() };
    let buffer =
        WriteBuffer::builder(database(folder.path())).config(config).open().expect("a buffer");
    let table = buffer.table("topic_status").upsert(["topic_id"]);
    let table = if coalesce { table.coalesce() } else { table };
    let topics = table.producer().expect("a producer");
    (0..4_000).for_each(|number| topics.push(&update(number)).expect("a push"));
    buffer.flush().expect("a flush");
    let start = Instant::now();
    std::thread::scope(|scope| {
        for producer in 0..PRODUCERS {
            let topics = topics.clone();
            scope.spawn(move || {
                for number in (producer..rows).step_by(PRODUCERS as usize) {
                    topics.push(&update(number)).expect("a push");
                }
            });
        }
    });
    buffer.flush().expect("a flush");
    let elapsed = start.elapsed();
    let stats = buffer.stats();
    assert_eq!(
        stats.committed + stats.superseded,
        4_000 + rows as u64,
        "every row is accounted for"
    );
    elapsed
}

fn batched(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("80 producers, batches of 400 hot keys");
    group
        .throughput(Throughput::Elements(ROWS as u64))
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(5));
    let repeat = |times: u64, run: &dyn Fn() -> Duration| (0..times).map(|_| run()).sum();
    for round in ["first", "second"] {
        group.bench_function(format!("by hand, one thread ({round} time)"), |bencher| {
            bencher.iter_custom(|times| repeat(times, &|| by_hand(ROWS)));
        });
        group.bench_function(format!("forebay ({round} time)"), |bencher| {
            bencher.iter_custom(|times| repeat(times, &|| by_forebay(ROWS, false)));
        });
    }
    group.bench_function("forebay, coalesced", |bencher| {
        bencher.iter_custom(|times| repeat(times, &|| by_forebay(ROWS, true)));
    });
    group.finish();
}

criterion_group!(benches, batched);
criterion_main!(benches);
