//! What a push costs its caller, where the database is not in the way.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use forebay::{
    Applied, Batch, Config, Error, Sink, SinkError, StatementInfo, TableInfo, WriteBuffer,
};
use forebay_benches::update;

/// Takes everything at once, so that the buffer is never full.
struct Nowhere;

impl Sink for Nowhere {
    fn describe(&mut self, table: &str) -> Result<TableInfo, Error> {
        let columns = ["topic_id", "status", "progress", "updated_at"];
        Ok(columns.into_iter().fold(TableInfo::new(table), TableInfo::column).unique(["topic_id"]))
    }

    fn prepare(&mut self, _: &str) -> Result<StatementInfo, Error> {
        Ok(StatementInfo::default())
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Applied, SinkError> {
        black_box(batch.len());
        Ok(Applied { transactions: 1, ..Applied::default() })
    }
}

fn push(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("push");
    group.throughput(Throughput::Elements(1)).warm_up_time(Duration::from_secs(1));
    let config = Config { batch_size: 4_000, ..Config::default() };
    let buffer = WriteBuffer::with_sink(Nowhere, config).expect("a buffer");
    let topics = buffer.table("topic_status").upsert(["topic_id"]).producer().expect("a producer");
    let mut number = 0;
    group.bench_function("one producer, four columns", |bencher| {
        bencher.iter(|| {
            number += 1;
            topics.push(black_box(&update(number)))
        });
    });
    group.finish();
}

criterion_group!(benches, push);
criterion_main!(benches);
