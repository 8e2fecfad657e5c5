//! What batching gains, by the rows of a transaction, and how close forebay comes to the ceiling.
//!
//! One iteration is one row, an update of one of 400 hot keys, in a file on the disk of the target folder. `by hand`
//! is the ceiling: one thread that has all rows at hand, no queue, upserts of up to 50 rows, as forebay's. `forebay`
//! is 80 producers that push, one writer, and `batch_size` and `max_transaction_rows` set to the number in the name;
//! the clock stops when the last row is committed. Both have the same settings of SQLite, and checkpoints are in the
//! figure. Each pair runs one after the other: on a shared disk it is their ratio that means something.
//!
//! `coalesced` counts the rows pushed. Those that a newer one supersedes are not written, so with 400 keys
//! one transaction settles all rows that wait.

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group,
    criterion_main,
};
use forebay::rusqlite::Connection;
use forebay::{Config, WriteBuffer};
use forebay_benches::{
    ByHand, Count, Rows, TOPICS, check, connect, database, share, topics, update,
};

const PRODUCERS: u64 = 80;

/// Rows before the clock runs: every key is there, every statement prepared.
const FIRST: u64 = 4_000;

fn by_hand(group: &mut BenchmarkGroup<'_, WallTime>, batch: usize) {
    let (_folder, path) = database(env!("CARGO_TARGET_TMPDIR"));
    let connection = connect(&path);
    let mut by_hand = ByHand::new(&connection, batch);
    let written = Count::default();
    by_hand.write(written.next(FIRST));
    group.bench_function(BenchmarkId::new("by hand", batch), |bencher| {
        bencher.iter_custom(|times| {
            let numbers = written.next(times);
            let start = Instant::now();
            by_hand.write(numbers);
            start.elapsed()
        });
    });
    assert_eq!(connection.total_changes(), written.total(), "every row is accounted for");
    assert_hot(&connection);
}

fn by_forebay(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, batch: usize, rows: Rows) {
    let (_folder, path) = database(env!("CARGO_TARGET_TMPDIR"));
    let config = Config { batch_size: batch, max_transaction_rows: batch, ..Config::default() };
    let buffer = WriteBuffer::builder(path).config(config).open().expect("a buffer");
    let topics = topics(&buffer, rows);
    let push = |number| topics.push(&update(number)).expect("a push");
    let pushed = Count::default();
    share(PRODUCERS, pushed.next(FIRST), push);
    buffer.flush().expect("a flush");
    group.bench_function(BenchmarkId::new(name, batch), |bencher| {
        bencher.iter_custom(|times| {
            let start = share(PRODUCERS, pushed.next(times), push).start;
            buffer.flush().expect("a flush");
            start.elapsed()
        });
    });
    check(&buffer, pushed.total());
    assert_hot(&buffer.readers().and_then(|readers| readers.get()).expect("a reader"));
}

fn assert_hot(connection: &Connection) {
    let count = "SELECT count(*) FROM topic_status";
    let keys: i64 = connection.query_row(count, [], |row| row.get(0)).expect("a count");
    assert_eq!(keys, TOPICS, "the same keys were written over and over");
}

fn single_vs_batched(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("single_vs_batched");
    group
        .throughput(Throughput::Elements(1))
        .sampling_mode(SamplingMode::Flat)
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(6));
    for batch in [1, 10, 100, 400, 4_000] {
        by_hand(&mut group, batch);
        by_forebay(&mut group, "forebay", batch, Rows::All);
    }
    by_forebay(&mut group, "coalesced", 400, Rows::Newest);
    group.finish();
}

criterion_group!(benches, single_vs_batched);
criterion_main!(benches);
