//! The child that leaves rows for PostgreSQL in its spool.

use std::path::Path;
use std::time::Duration;

use forebay::{Config, Retry, WriteBuffer};
use forebay_postgres::PostgresSink;

/// Pushes rows with these ids to the table `t`, says that it has, and is killed.
pub(crate) fn push(url: &str, spool: &Path, from: i64, to: i64) {
    let moment = Duration::from_millis(1);
    let retry = Retry { delay: moment, pause: moment, ..Retry::default() };
    let config = Config {
        retry,
        batch_size: 10,
        max_transaction_rows: 10,
        spool: Some(spool.into()),
        ..Config::default()
    };
    let sink = PostgresSink::connect(url).unwrap();
    let buffer = WriteBuffer::with_sink(sink, config).unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    (from..to).for_each(|id| t.push(&(id, format!("CANARY {id}"))).unwrap());
    crate::say("pushed");
    loop {
        std::thread::park();
    }
}
