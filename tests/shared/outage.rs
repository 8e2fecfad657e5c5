//! Trouble with the database: locks, and a schema that changes. No row is lost in silence.

use std::time::Duration;

use forebay::{Config, Error, ErrorKind, Health, Receipt, Result, Retry, WriteBuffer};
use support::{Database, Log, Session, SinkKind, on_both_sinks};

use crate::{LONG, eventually};

on_both_sinks!(
    rows_wait_for_a_lock_that_is_held_elsewhere,
    a_lock_that_outlasts_the_retries_pauses_the_buffer_and_loses_nothing,
    a_table_that_was_dropped_pauses_the_buffer_until_it_is_back,
    what_a_row_needs_of_the_schema_pauses_the_buffer_until_it_is_back,
);

const TABLE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)";

/// Blocks until the buffer is paused, and says why it is.
fn paused(buffer: &WriteBuffer) -> Error {
    let mut cause = None;
    eventually("the buffer is paused", || match buffer.health() {
        Health::Paused(error) => {
            cause = Some(error);
            true
        }
        Health::Running => false,
        other => panic!("the buffer is {other:?}"),
    });
    cause.unwrap()
}

fn is_running(buffer: &WriteBuffer) -> bool {
    matches!(buffer.health(), Health::Running)
}

/// A buffer that tries at once, and again a moment later.
fn open(database: &impl Database) -> WriteBuffer {
    let moment = Duration::from_millis(1);
    let retry = Retry { delay: moment, pause: moment, ..Retry::default() };
    let config = Config { linger: Duration::ZERO, retry, ..Config::default() };
    database.builder(config, Duration::from_millis(10)).open().unwrap()
}

/// The answer to a receipt, which does come.
fn answer(mut receipt: Receipt) -> Result<()> {
    let answer = receipt.wait_timeout(LONG);
    assert_ne!(answer.as_ref().err().map(Error::kind), Some(ErrorKind::TimedOut));
    answer
}

fn rows_wait_for_a_lock_that_is_held_elsewhere<D: Database>() {
    let database = D::new(TABLE);
    let config = Config { linger: Duration::ZERO, ..Config::default() };
    let buffer = database.builder(config, Duration::from_secs(30)).open().unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    let mut other = database.session();
    other.lock("t");
    let receipt = t.submit(&(1, "waits")).unwrap();
    eventually("somebody waits for the lock", || database.is_waiting(&buffer));
    t.push(&(2, "is accepted meanwhile")).unwrap();
    assert!(receipt.decided().is_none());
    assert!(is_running(&buffer), "to wait is not to be down");
    if D::KIND == SinkKind::Sqlite {
        assert_eq!(buffer.stats().busy_waits, 1);
    }

    other.unlock();
    answer(receipt).unwrap();
    buffer.flush().unwrap();
    assert_eq!(database.value::<i64>("SELECT count(*) FROM t"), 2);
    let stats = buffer.stats();
    assert_eq!((stats.retries, stats.pauses), (0, 0), "waits and retries are counted apart");
}

fn a_lock_that_outlasts_the_retries_pauses_the_buffer_and_loses_nothing<D: Database>() {
    let database = D::new(TABLE);
    let log = Log::default();
    tracing::subscriber::set_global_default(log.subscriber()).unwrap();
    let buffer = open(&database);
    let t = buffer.table("t").insert().producer().unwrap();
    let mut other = database.session();
    other.lock("t");
    let receipts: Vec<_> = (0..60).map(|id| t.submit(&(id, "kept")).unwrap()).collect();

    let cause = paused(&buffer);
    assert_eq!(cause.kind(), ErrorKind::Busy, "{cause:#}");
    assert!(cause.to_string().contains("locked"), "{cause}");
    t.push(&(60, "accepted while it is paused")).unwrap();
    buffer.table("t").upsert(["id"]).producer().expect("to look at a table waits for no lock");
    let tries = buffer.stats().retries;
    eventually("it is tried again", || buffer.stats().retries > tries + 3);
    assert!(receipts.iter().all(|receipt| receipt.decided().is_none()));

    other.unlock();
    receipts.into_iter().for_each(|receipt| answer(receipt).unwrap());
    buffer.flush().unwrap();
    assert!(is_running(&buffer));
    let stats = buffer.stats();
    assert_eq!((stats.committed, stats.unwritten, stats.pauses), (61, 0, 1));
    assert!(stats.retries >= 6, "{stats:?}");
    assert!(D::KIND == SinkKind::Postgres || stats.busy_waits >= 6, "{stats:?}");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM t"), 61);

    let said = log.text();
    for retry in 1..=5 {
        let locked = D::either("database locked in t", "");
        let line = format!("{locked}, retry {retry}/5 after 0.0");
        assert_eq!(said.matches(&line).count(), 1, "{line}:\n{said}");
    }
    assert_eq!(said.matches(" is paused, the rows are kept").count(), 1, "once: {said}");
    assert_eq!(said.matches("ERROR").count(), 1, "{said}");
    assert!(said.contains(" resumed after 0s, nothing lost"), "{said}");
    assert!(said.find("retry 5/5") < said.find(" is paused"), "{said}");
    assert!(said.find(" is paused") < said.find(" resumed"), "{said}");
}

fn a_table_that_was_dropped_pauses_the_buffer_until_it_is_back<D: Database>() {
    let database = D::new(TABLE);
    let buffer = open(&database);
    let t = buffer.table("t").insert().producer().unwrap();
    t.write(&(1, "before")).unwrap();
    let mut other = database.session();
    other.run("DROP TABLE t");
    let receipts: Vec<_> = (2..60).map(|id| t.submit(&(id, "kept")).unwrap()).collect();
    let cause = paused(&buffer);
    assert_eq!((cause.kind(), cause.table()), (ErrorKind::Unavailable, Some("t")));
    let said = D::either("no such table", "relation \"t\" does not exist");
    assert!(format!("{cause:#}").contains(said), "{cause:#}");
    assert!(receipts.iter().all(|receipt| receipt.decided().is_none()));

    other.run(TABLE);
    receipts.into_iter().for_each(|receipt| answer(receipt).unwrap());
    assert!(is_running(&buffer));
    assert_eq!(database.value::<i64>("SELECT count(*) FROM t"), 58);
    assert_eq!((buffer.stats().rejected, buffer.stats().unwritten), (0, 0));
}

fn what_a_row_needs_of_the_schema_pauses_the_buffer_until_it_is_back<D: Database>() {
    let no_table = D::either("no such table", "does not exist");
    let broken = D::either(
        "CREATE TRIGGER broken AFTER INSERT ON t BEGIN INSERT INTO nowhere VALUES (1); END",
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN INSERT INTO nowhere VALUES (1); RETURN NULL; END $$;
         CREATE TRIGGER broken AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION broken()",
    );
    let cases = [
        ("ALTER TABLE t DROP COLUMN w", "ALTER TABLE t ADD COLUMN w INTEGER", "w"),
        ("DROP INDEX by_key", "CREATE UNIQUE INDEX by_key ON t(id)", "ON CONFLICT"),
        ("ALTER TABLE t RENAME TO u", "ALTER TABLE u RENAME TO t", no_table),
        (broken, D::either("DROP TRIGGER broken", "DROP TRIGGER broken ON t"), "nowhere"),
    ];
    for (away, back, said) in cases {
        let database = D::new(
            "CREATE TABLE t(id INTEGER, v INTEGER, w INTEGER); CREATE UNIQUE INDEX by_key ON t(id)",
        );
        let buffer = open(&database);
        let t = buffer.table("t").upsert(["id"]).producer().unwrap();
        t.write(&(1, 2, 3)).unwrap();
        let mut other = database.session();
        other.run(away);
        let receipts = [1, 2].map(|id| t.submit(&(id, 5, 6)).unwrap());
        let cause = paused(&buffer);
        assert_eq!(cause.kind(), ErrorKind::Unavailable, "{away}: {cause:#}");
        assert!(format!("{cause:#}").contains(said), "{away}: {cause:#}");
        other.run(back);
        receipts.into_iter().for_each(|receipt| answer(receipt).unwrap());
        assert_eq!(database.column::<i64>("SELECT w FROM t ORDER BY id"), [6, 6], "{away}");
        assert_eq!(buffer.stats().rejected, 0, "{away}");
    }
}
