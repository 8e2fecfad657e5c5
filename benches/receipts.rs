//! How long a caller waits for the commit of a row.
//!
//! The database is a file on the disk of the target folder. One iteration is a round: every thread writes one row and
//! waits for its receipt. Threads do not wait for each other between rounds, so the time of a round is also what
//! each of them waits for a row on average, and the throughput is that of all of them together.
//!
//! * `write` is a lone thread. Nothing else is pending, so it commits the row itself.
//! * `write, full` is the same with full durability: the disk flushes the log for each commit.
//! * `80 threads` share commits: whatever came while the last one ran is the next.
//! * `await` is a lone task on tokio. A future never commits itself: the writer does, two thread switches away.
//!
//! In each figure is also the push.

use std::ops::Range;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use forebay::{Config, Durability, Producer, WriteBuffer};
use forebay_benches::{Count, Rows, check, database, share, topics, update};

/// Measures `write`, which takes the numbers of all rows, for rounds of so many rows.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    durability: Durability,
    rows: u64,
    write: impl Fn(&Producer, Range<u64>) -> Duration,
) {
    let (_folder, path) = database(env!("CARGO_TARGET_TMPDIR"));
    let config = Config { durability, ..Config::default() };
    let buffer = WriteBuffer::builder(path).config(config).open().expect("a buffer");
    let topics = topics(&buffer, Rows::All);
    let written = Count::default();
    group.throughput(Throughput::Elements(rows)).bench_function(name, |bencher| {
        bencher.iter_custom(|times| write(&topics, written.next(times * rows)));
    });
    check(&buffer, written.total());
}

fn in_threads(threads: u64, topics: &Producer, numbers: Range<u64>) -> Duration {
    let span = share(threads, numbers, |number| {
        topics.write(&update(number)).expect("a commit");
    });
    span.end - span.start
}

fn receipts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("receipts");
    group
        .sampling_mode(SamplingMode::Flat)
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5));
    let (normal, full) = (Durability::Normal, Durability::Full);
    measure(&mut group, "write", normal, 1, |topics, numbers| in_threads(1, topics, numbers));
    measure(&mut group, "write, full", full, 1, |topics, numbers| in_threads(1, topics, numbers));
    measure(&mut group, "80 threads", normal, 80, |topics, numbers| {
        in_threads(80, topics, numbers)
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    measure(&mut group, "await", normal, 1, |topics, numbers| {
        runtime.block_on(async {
            let start = Instant::now();
            for number in numbers {
                let receipt = topics.submit_async(&update(number)).await.expect("a receipt");
                receipt.await.expect("a commit");
            }
            start.elapsed()
        })
    });
    group.finish();
}

criterion_group!(benches, receipts);
criterion_main!(benches);
