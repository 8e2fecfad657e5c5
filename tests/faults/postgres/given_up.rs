//! Batches that are given up in the middle of all kinds of cuts: each row is what its receipt says, and the next ones are written.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use forebay::{Config, ErrorKind, Producer, Retry, WriteBuffer};
use forebay_postgres::PostgresOptions;
use support::{Cluster, Database, Fate, Postgres, Proxy, adds_up, is_full, lingering};

/// A table that would take a row twice, and one whose rows are coalesced.
const TABLES: &str = "CREATE TABLE landed(id BIGINT NOT NULL);
    CREATE TABLE newest(id BIGINT PRIMARY KEY, v BIGINT NOT NULL)";

/// The number of the batch that nothing happens to.
const LAST: i64 = 1_000_000;

/// Rows of a batch in each of the tables.
const ROWS: i64 = 10;

/// What the receipts of some rows of `landed` have said, and which batch the receipts promise to be in `newest`, or a newer one.
#[derive(Default)]
struct Told {
    written: Vec<i64>,
    unwritten: Vec<i64>,
    unknown: Vec<i64>,
    newest: i64,
}

impl Told {
    /// Writes the rows of a batch, and hears what became of them.
    fn write(&mut self, buffer: &WriteBuffer, landed: &Producer, newest: &Producer, batch: i64) {
        let rows = batch * ROWS..(batch + 1) * ROWS;
        let receipts: Vec<_> = rows.map(|id| (id, landed.submit(&(id,)).unwrap())).collect();
        let values = [0, batch].map(|v| newest.submit(&(1, v)).unwrap());
        // It fails with the rows that are given up.
        let _ = buffer.flush();
        for (id, receipt) in receipts {
            match receipt.wait().map_err(|error| error.kind()) {
                Ok(()) => self.written.push(id),
                Err(ErrorKind::Unwritten) => self.unwritten.push(id),
                Err(ErrorKind::Unknown) => self.unknown.push(id),
                Err(kind) => panic!("row {id} is {kind:?}"),
            }
        }
        let [_, last] = values;
        match last.wait().map_err(|error| error.kind()) {
            Ok(()) => self.newest = batch,
            Err(kind) => assert!(matches!(kind, ErrorKind::Unwritten | ErrorKind::Unknown)),
        }
    }
}

/// Cuts a COMMIT in three, before it or behind it, and after some of the cuts takes no connection for a while.
fn cut_at_random(proxy: &Arc<Proxy>) {
    let mut random = fastrand::Rng::with_seed(33);
    let weak: Weak<Proxy> = Arc::downgrade(proxy);
    proxy.at_commit(move || {
        let fate = match random.u32(..6) {
            0 => Fate::Lost,
            1 => Fate::Unanswered,
            _ => return Fate::Pass,
        };
        if let Some(proxy) = weak.upgrade().filter(|_| random.bool()) {
            proxy.refuse(true);
        }
        fate
    });
}

#[test]
fn rows_that_are_given_up_are_what_their_receipts_say_and_the_next_batches_are_written() {
    let database = Postgres::new(TABLES);
    let proxy = Arc::new(Proxy::before(Cluster::shared().address()));
    let moment = Duration::from_millis(1);
    let retry =
        Retry { max_retries: 1, delay: moment, pause: moment, give_up: Some(Duration::ZERO) };
    let sink = PostgresOptions::default().connect(&proxy.url(&database.tcp_url())).unwrap();
    let buffer = WriteBuffer::with_sink(sink, Config { retry, ..lingering() }).unwrap();
    let landed = buffer.table("landed").insert().producer().unwrap();
    let newest = buffer.table("newest").upsert(["id"]).coalesce().producer().unwrap();
    cut_at_random(&proxy);
    let mut told = Told::default();
    for batch in 1..=if is_full() { 3_000 } else { 150 } {
        if batch % 7 == 0 {
            proxy.refuse(true);
            proxy.cut();
        }
        told.write(&buffer, &landed, &newest, batch);
        proxy.refuse(false);
    }
    proxy.at_commit(|| Fate::Pass);
    assert!(database.value::<i64>("SELECT v FROM newest") >= told.newest);
    told.write(&buffer, &landed, &newest, LAST);
    buffer.close().unwrap();
    assert!(adds_up(&buffer.stats()));
    assert!(!told.unwritten.is_empty(), "nothing was given up");
    assert!(!told.unknown.is_empty(), "nothing was given up in doubt");
    let counts = database.connect().query("SELECT id, count(*) FROM landed GROUP BY id", &[]);
    let counts: HashMap<i64, i64> =
        counts.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    let count = |id: &i64| counts.get(id).copied().unwrap_or(0);
    assert!(told.written.iter().all(|id| count(id) == 1), "a row is lost, or there twice");
    assert!(told.unwritten.iter().all(|id| count(id) == 0), "a row is there that was given up");
    assert!(told.unknown.iter().all(|id| count(id) <= 1), "a row is there twice");
    assert_eq!(told.newest, LAST);
    assert_eq!(database.value::<i64>("SELECT v FROM newest"), LAST);
}
