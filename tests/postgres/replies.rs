//! How long an answer may take.

use std::time::Duration;

use forebay::WriteBuffer;
use forebay_postgres::PostgresOptions;
use support::{Database, Postgres, lingering};

fn options() -> PostgresOptions {
    PostgresOptions {
        lock_timeout: Duration::from_millis(500),
        reply_timeout: Duration::from_secs(1),
        ..PostgresOptions::default()
    }
}

#[test]
fn a_batch_of_many_slow_statements_may_take_longer_than_one_answer() {
    let database = Postgres::new("CREATE TABLE t(id BIGINT)");
    let sink = options().connect(&database.url()).unwrap();
    let buffer = WriteBuffer::with_sink(sink, lingering()).unwrap();
    let slow = buffer.statement("INSERT INTO t SELECT :id::bigint FROM pg_sleep(0.05)").unwrap();
    let receipts: Vec<_> = (0..40).map(|id| slow.submit(&(id,)).unwrap()).collect();
    buffer.flush().unwrap();
    receipts.into_iter().for_each(|receipt| receipt.wait().unwrap());
    assert_eq!(database.value::<i64>("SELECT count(*) FROM t"), 40);
    let stats = buffer.stats();
    assert_eq!((stats.transactions, stats.retries, stats.pauses), (1, 0, 0), "{stats:?}");
}
