//! The server stops as in a crash, and is started again, while everybody writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use forebay::{Config, WriteBuffer};
use forebay_postgres::PostgresSink;
use postgres::NoTls;
use support::{Cluster, Trial, adds_up, is_full};

use super::{TABLE, impatient, in_table};
use crate::load::{Load, eventually};

/// What the buffer may take for its rows, which is little enough to be full while the server is away.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

fn config() -> Config {
    impatient(Config {
        batch_size: 50,
        max_buffer_bytes: MAX_BUFFER_BYTES,
        max_batch_bytes: 16 * 1024,
        max_row_bytes: 1_024,
        linger: Duration::from_millis(1),
        ..Config::default()
    })
}

#[test]
fn a_server_that_crashes_and_comes_back_under_load_loses_nothing_and_nothing_is_there_twice() {
    let restarts = if is_full() { 50 } else { 3 };
    let how = format!("{restarts} times pg_ctl stop -m immediate and start, while 8 threads write");
    let trial = Trial::of(33, "PostgreSQL crashes and comes back", how);
    trial.patience(Duration::from_secs(900)).run(move |_| {
        let cluster = Cluster::private(&[]);
        let url = cluster.url("postgres");
        let mut client = cluster.config("postgres").connect(NoTls).unwrap();
        client.batch_execute(TABLE).unwrap();
        let buffer =
            WriteBuffer::with_sink(PostgresSink::connect(&url).unwrap(), config()).unwrap();
        let most = Arc::new(AtomicU64::new(0));
        let done = Load::run(&buffer, |load| {
            for _ in 0..restarts {
                cluster.stop_immediate();
                let (before, full) = (buffer.stats().retries, buffer.stats().full);
                eventually("the writer meets a server that is away", || {
                    buffer.stats().retries > before
                });
                eventually("the buffer is full, and within its bounds", || {
                    let bytes = buffer.stats().buffer_bytes;
                    most.fetch_max(bytes, Ordering::Relaxed);
                    assert!(bytes <= MAX_BUFFER_BYTES as u64, "{bytes} bytes");
                    buffer.stats().full > full
                });
                cluster.start();
                load.goes_on();
            }
        });
        assert!(done.errors.is_empty(), "{:?}", done.errors);
        buffer.close().unwrap();
        let stats = buffer.stats();
        assert!(adds_up(&stats), "{stats:?}");
        assert_eq!(stats.committed, stats.accepted, "{stats:?}");
        assert!(most.load(Ordering::Relaxed) > 0);
        let mut client = cluster.config("postgres").connect(NoTls).unwrap();
        let promised = done.acknowledged.into_iter().chain(done.pushed);
        in_table(&mut client, stats.accepted, promised)
    });
}

#[test]
fn a_server_that_turns_read_only_pauses_the_buffer_until_it_takes_writes_again() {
    let how = "default_transaction_read_only on and off, and the sessions ended";
    Trial::of(33, "PostgreSQL turns read-only", how).rounds(1, 20).run(|_| {
        let cluster = Cluster::private(&[("fsync", "off")]);
        let mut client = cluster.config("postgres").connect(NoTls).unwrap();
        client.batch_execute(TABLE).unwrap();
        let sink = PostgresSink::connect(&cluster.url("postgres")).unwrap();
        let buffer = WriteBuffer::with_sink(sink, config()).unwrap();
        let done = Load::run(&buffer, |load| {
            cluster.set("default_transaction_read_only", "on");
            let cause = load.paused();
            assert!(format!("{cause:#}").contains("no writes"), "{cause:#}");
            cluster.set("default_transaction_read_only", "off");
            load.goes_on();
        });
        assert!(done.errors.is_empty(), "{:?}", done.errors);
        buffer.close().unwrap();
        let stats = buffer.stats();
        assert_eq!(stats.committed, stats.accepted, "{stats:?}");
        let promised = done.acknowledged.into_iter().chain(done.pushed);
        in_table(&mut client, stats.accepted, promised)
    });
}
