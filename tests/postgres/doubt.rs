//! A COMMIT that the server is still about when the connection is cut: the batch is found out, or given up, and never there twice.

use std::thread;
use std::time::Duration;

use forebay::{ErrorKind, Health, Producer, Receipt, Result, Retry, Sink, WriteBuffer};
use forebay_postgres::{PostgresOptions, PostgresSink};
use postgres::{Client, NoTls};
use support::{Cluster, Database, LONG, Postgres, Proxy, Session, eventually, lingering};

/// `t` takes a row twice, and a COMMIT with rows for it waits until the test lets it go.
const SCHEMA: &str = "CREATE TABLE t(id INT NOT NULL);
    CREATE TABLE k(id INT PRIMARY KEY, v INT);
    CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$ BEGIN
        PERFORM pg_advisory_xact_lock(1);
        IF EXISTS (SELECT 1 FROM pg_class WHERE relname = 'refuse') THEN RAISE EXCEPTION 'no'; END IF;
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION hold()";

struct Held {
    database: Postgres,
    proxy: Proxy,
    gate: Client,
    buffer: WriteBuffer,
    t: Producer,
    k: Producer,
}

impl Held {
    /// A buffer whose COMMITs wait, and give their locks `patience`.
    fn new(patience: Duration, retry: Retry) -> Self {
        let database = Postgres::new(SCHEMA);
        let proxy = Proxy::before(Cluster::shared().address());
        let mut gate = database.session();
        gate.run("SELECT pg_advisory_lock(1)");
        let options = PostgresOptions { lock_timeout: patience, ..PostgresOptions::default() };
        let sink = options.connect(&proxy.url(&database.tcp_url())).unwrap();
        let config = forebay::Config { retry, ..lingering() };
        let buffer = WriteBuffer::with_sink(sink, config).unwrap();
        let t = buffer.table("t").insert().producer().unwrap();
        let k = buffer.table("k").upsert(["id"]).coalesce().producer().unwrap();
        Self { database, proxy, gate, buffer, t, k }
    }

    /// A batch of which some rows are coalesced and others are not.
    fn submit(&self, v: i32) -> Vec<Receipt> {
        let mut receipts = Vec::new();
        for step in 0..3 {
            receipts.extend([1, 2].map(|id| self.k.submit(&(id, v + step)).unwrap()));
        }
        receipts.extend([0, 1, 2].map(|step| self.t.submit(&(v + step,)).unwrap()));
        receipts
    }

    /// Has the batch written up to its COMMIT, and cuts the connection there.
    fn cut_at_commit(&self) {
        eventually("its COMMIT waits", || self.sessions_in_commit() == 1);
        self.proxy.cut();
    }

    fn sessions_in_commit(&self) -> i64 {
        self.database.value(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND query = 'COMMIT' AND wait_event = 'advisory'",
        )
    }

    /// Waits until the server has decided what it was about.
    fn decided(&self) {
        let committing = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                          AND query = 'COMMIT' AND state = 'active'";
        eventually("the server is done with it", || self.database.value::<i64>(committing) == 0);
    }

    fn waits_for_books(&self) -> bool {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND query LIKE 'UPDATE _forebay %' AND wait_event_type = 'Lock'";
        self.database.value::<i64>(waits) > 0
    }

    fn open_gate(&mut self) {
        self.gate.run("SELECT pg_advisory_unlock(1)");
    }

    fn contents(&self) -> (Vec<i64>, Vec<i64>) {
        let t = self.database.column("SELECT id FROM t ORDER BY id");
        (t, self.database.column("SELECT v FROM k ORDER BY id"))
    }
}

fn soon() -> Retry {
    let moment = Duration::from_millis(1);
    Retry { delay: moment, pause: moment, ..Retry::default() }
}

fn answers(receipts: Vec<Receipt>) -> Vec<Result<()>> {
    receipts.into_iter().map(|mut receipt| receipt.wait_timeout(LONG)).collect()
}

/// Runs `then` while the buffer is flushed.
fn while_flushing(held: &mut Held, then: impl FnOnce(&mut Held)) {
    let buffer = held.buffer.clone();
    thread::scope(|scope| {
        let flush = scope.spawn(move || buffer.flush());
        then(held);
        let _ = flush.join().unwrap();
    });
}

fn assert_goes_on(held: &Held, more: i32) {
    answers(held.submit(more)).into_iter().for_each(|answer| answer.unwrap());
    eventually("it is not paused", || matches!(held.buffer.health(), Health::Running));
}

#[test]
fn a_merged_batch_whose_commit_goes_through_late_is_there_once() {
    let mut held = Held::new(Duration::from_secs(30), soon());
    let receipts = held.submit(10);
    while_flushing(&mut held, |held| {
        held.cut_at_commit();
        eventually("the next attempt waits behind it", || held.waits_for_books());
        held.open_gate();
    });
    answers(receipts).into_iter().for_each(|answer| answer.unwrap());
    assert_eq!(held.contents(), (vec![10, 11, 12], vec![12, 12]));
    assert_goes_on(&held, 20);
    assert_eq!(held.contents().1, [22, 22]);
    let stats = held.buffer.stats();
    assert_eq!((stats.rejected, stats.unknown), (0, 0));
    assert_eq!(stats.superseded, 8, "the batches were merged");
}

#[test]
fn a_merged_batch_whose_commit_outlasts_the_patience_of_many_attempts_is_there_once() {
    let mut held = Held::new(Duration::from_millis(10), soon());
    let receipts = held.submit(10);
    while_flushing(&mut held, |held| {
        held.cut_at_commit();
        let tries = held.buffer.stats().retries;
        eventually("it was tried", || held.buffer.stats().retries > tries + 10);
        assert!(receipts.iter().all(|receipt| receipt.decided().is_none()));
        held.open_gate();
    });
    answers(receipts).into_iter().for_each(|answer| answer.unwrap());
    assert_eq!(held.contents(), (vec![10, 11, 12], vec![12, 12]));
    assert_goes_on(&held, 20);
}

#[test]
fn a_merged_batch_whose_commit_is_refused_late_is_written_again() {
    let mut held = Held::new(Duration::from_secs(30), soon());
    let receipts = held.submit(10);
    while_flushing(&mut held, |held| {
        held.cut_at_commit();
        eventually("the next attempt waits behind it", || held.waits_for_books());
        held.database.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event = 'advisory'",
        );
        eventually("the next one is at its COMMIT", || held.sessions_in_commit() == 1);
        held.open_gate();
    });
    answers(receipts).into_iter().for_each(|answer| answer.unwrap());
    assert_eq!(held.contents(), (vec![10, 11, 12], vec![12, 12]));
    assert_goes_on(&held, 20);
}

/// Gives up at the first chance.
fn giving_up() -> Retry {
    Retry { max_retries: 1, give_up: Some(Duration::ZERO), ..soon() }
}

#[test]
fn a_batch_that_is_given_up_in_doubt_is_unknown_and_the_next_ones_are_written() {
    for commits in [true, false] {
        let mut held = Held::new(Duration::from_millis(10), giving_up());
        let receipts = held.submit(10);
        while_flushing(&mut held, |held| {
            held.cut_at_commit();
            eventually("it is given up", || held.buffer.stats().unknown > 0);
            if !commits {
                held.database.run("CREATE TABLE refuse()");
            }
            held.open_gate();
            held.decided();
        });
        for answer in answers(receipts) {
            let error = answer.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unknown, "{error:#}");
        }
        held.database.run("DROP TABLE IF EXISTS refuse");
        assert_goes_on(&held, 20);
        assert_goes_on(&held, 30);
        let mut expected = if commits { vec![10, 11, 12] } else { vec![] };
        expected.extend([20, 21, 22, 30, 31, 32]);
        assert_eq!(held.contents().0, expected, "committed late: {commits}");
        let stats = held.buffer.stats();
        assert_eq!((stats.unknown, stats.unwritten), (9, 0), "{stats:?}");
    }
}

#[test]
fn a_batch_behind_one_in_doubt_that_was_given_up_waits_for_it_and_does_not_come_before_it() {
    let mut held = Held::new(Duration::from_millis(10), giving_up());
    let first = held.submit(10);
    while_flushing(&mut held, |held| {
        held.cut_at_commit();
        eventually("it is given up", || held.buffer.stats().unknown > 0);
    });
    let kinds = |receipts| {
        let kind = |answer: Result<()>| answer.unwrap_err().kind();
        let mut kinds: Vec<_> = answers(receipts).into_iter().map(kind).collect();
        kinds.dedup();
        kinds
    };
    assert_eq!(kinds(first), [ErrorKind::Unknown]);
    let second = held.submit(20);
    let _ = held.buffer.flush();
    assert_eq!(kinds(second), [ErrorKind::Unwritten], "the server is about the first one still");
    held.open_gate();
    held.decided();
    assert_goes_on(&held, 30);
    assert_eq!(held.contents().0, [10, 11, 12, 30, 31, 32]);
}

#[test]
fn a_batch_that_is_given_up_while_the_server_is_away_is_unwritten_and_the_next_ones_are_written() {
    let mut held = Held::new(Duration::from_secs(1), giving_up());
    held.open_gate();
    assert_goes_on(&held, 10);
    for round in 2..5 {
        held.proxy.refuse(true);
        held.proxy.cut();
        let receipts = held.submit(10 * round);
        let _ = held.buffer.flush();
        for answer in answers(receipts) {
            let error = answer.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unwritten, "{error:#}");
        }
        held.proxy.refuse(false);
        assert_goes_on(&held, 100 * round);
    }
    assert_eq!(held.contents().0, [10, 11, 12, 200, 201, 202, 300, 301, 302, 400, 401, 402]);
}

#[test]
fn an_entry_that_comes_late_does_not_take_the_books_back() {
    let database = Postgres::new("CREATE TABLE t(id INT)");
    let sink = PostgresSink::connect(&database.url()).unwrap();
    let name = sink.books_name().unwrap();
    let buffer = WriteBuffer::with_sink(sink, lingering()).unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    t.write(&(1,)).unwrap();
    t.write(&(2,)).unwrap();
    let applied = format!("SELECT applied FROM _forebay WHERE spool = '{name}'");
    assert_eq!(database.value::<i64>(&applied), 2);
    // What the sink sends to enter itself, over a connection that had been given up before the rows were written.
    let mut late = PostgresSink::connect(&database.url()).unwrap();
    late.open_books(&name, 0).unwrap();
    assert_eq!(database.value::<i64>(&applied), 2);
    t.write(&(3,)).unwrap();
    assert_eq!(database.column::<i64>("SELECT id FROM t ORDER BY id"), [1, 2, 3]);
}

#[test]
fn a_commit_that_waits_for_a_standby_is_not_acknowledged_until_the_standby_has_it() {
    let cluster = Cluster::private(&[("fsync", "off")]);
    let url = cluster.url("postgres");
    PostgresSink::create_books(&url).unwrap();
    let mut client = cluster.config("postgres").connect(NoTls).unwrap();
    client.batch_execute("CREATE TABLE t(id INT)").unwrap();
    let options = PostgresOptions {
        lock_timeout: Duration::from_millis(50),
        reply_timeout: Duration::from_millis(100),
        ..PostgresOptions::default()
    };
    let config = forebay::Config { retry: soon(), ..lingering() };
    let buffer = WriteBuffer::with_sink(options.connect(&url).unwrap(), config).unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    t.write(&(1,)).unwrap();
    cluster.set("synchronous_standby_names", "nobody");
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let mut count = |sql: &str| client.query_one(sql, &[]).unwrap().get::<_, i64>(0);
    let mut id = 1;
    // The server takes a moment to heed the setting.
    let mut receipt = loop {
        id += 1;
        let receipt = t.submit(&(id,)).unwrap();
        let flushed = buffer.clone();
        thread::spawn(move || flushed.flush());
        eventually("its COMMIT waits for the standby, or has gone through", || {
            receipt.decided().is_some() || count(waits) == 1
        });
        if receipt.decided().is_none() {
            break receipt;
        }
    };
    eventually("it was given up", || matches!(buffer.health(), Health::Paused { .. }));
    assert!(receipt.decided().is_none());
    assert_eq!((count(waits), count("SELECT count(*) FROM t")), (1, id - 1));
    cluster.set("synchronous_standby_names", "''");
    receipt.wait_timeout(LONG).unwrap();
    assert_eq!(count("SELECT count(*) FROM t"), id);
}
