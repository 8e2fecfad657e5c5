//! Statements that are run alone: those that no transaction may hold, and what is said of one that may not have run.

use std::time::Duration;

use forebay::{Error, ErrorKind, WriteBuffer};
use forebay_postgres::{PostgresOptions, PostgresSink};
use support::{Cluster, Database, Fate, Postgres, Proxy, Session, eventually, lingering};

const TABLE: &str = "CREATE TABLE t(id INT PRIMARY KEY, v INT)";

/// Statements that cannot run in a transaction, and whether they have.
const ALONE: [(&str, &str); 4] = [
    ("VACUUM", "SELECT count(*) FROM pg_stat_user_tables WHERE relname = 't' AND vacuum_count > 0"),
    (
        "CREATE INDEX CONCURRENTLY by_v ON t(v)",
        "SELECT count(*) FROM pg_indexes WHERE indexname = 'by_v'",
    ),
    ("REINDEX INDEX CONCURRENTLY by_v", "SELECT count(*) FROM pg_indexes WHERE indexname = 'by_v'"),
    (
        "DROP INDEX CONCURRENTLY by_v",
        "SELECT count(*) = 0 FROM pg_indexes WHERE indexname = 'by_v'",
    ),
];

#[test]
fn statements_that_no_transaction_may_hold_run_in_their_turn() {
    let database = Postgres::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    for (id, (sql, has_run)) in ALONE.into_iter().enumerate() {
        t.push(&(id, 1)).unwrap();
        buffer.execute(sql).unwrap_or_else(|error| panic!("{sql}: {error:#}"));
        assert_eq!(database.value::<i64>("SELECT max(id) FROM t"), id as i64, "{sql}");
        eventually("it has run", || database.value::<i64>(has_run) == 1);
    }
    let error = buffer.execute("VACUUM nowhere").unwrap_err();
    assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Rejected, Some("42P01")), "{error:#}");
    t.write(&(9, 1)).unwrap();
    assert_eq!(buffer.stats().committed, 9);
}

#[test]
fn a_statement_is_never_told_to_have_run_when_the_connection_was_lost_before_it_did() {
    for (fate, runs) in [(Fate::Lost, true), (Fate::Unanswered, false)] {
        let database = Postgres::new(TABLE);
        let proxy = Proxy::before(Cluster::shared().address());
        let sink = PostgresSink::connect(&proxy.url(&database.tcp_url())).unwrap();
        let buffer = WriteBuffer::with_sink(sink, lingering()).unwrap();
        let t = buffer.table("t").insert().producer().unwrap();
        t.write(&(0, 0)).unwrap();
        // Of its entry, which is the next transaction.
        let mut fates = vec![fate];
        proxy.at_commit(move || fates.pop().unwrap_or(Fate::Pass));
        let ran = buffer.execute("CREATE INDEX CONCURRENTLY by_v ON t(v)");
        let there = "SELECT count(*) FROM pg_indexes WHERE indexname = 'by_v'";
        assert_eq!(database.value::<i64>(there), i64::from(runs), "{fate:?}");
        assert_eq!(
            ran.as_ref().err().map(Error::kind),
            (!runs).then_some(ErrorKind::Rejected),
            "{fate:?}"
        );
        if let Err(error) = ran {
            assert!(
                format!("{error:#}").contains("connection was lost before it ran"),
                "{error:#}"
            );
        }
        assert_eq!(proxy.lost() + proxy.unanswered(), 1, "{fate:?}");
        t.write(&(1, 1)).unwrap();
        assert_eq!(database.value::<i64>("SELECT count(*) FROM t"), 2);
    }
}

#[test]
fn a_statement_in_a_transaction_whose_answer_is_lost_has_run_once() {
    for fate in [Fate::Lost, Fate::Unanswered] {
        let database = Postgres::new(TABLE);
        let proxy = Proxy::before(Cluster::shared().address());
        let sink = PostgresSink::connect(&proxy.url(&database.tcp_url())).unwrap();
        let buffer = WriteBuffer::with_sink(sink, lingering()).unwrap();
        database.run("INSERT INTO t VALUES (1, 0)");
        let mut fates = vec![fate];
        proxy.at_commit(move || fates.pop().unwrap_or(Fate::Pass));
        buffer.execute("UPDATE t SET v = v + 1").unwrap();
        assert_eq!(database.value::<i64>("SELECT v FROM t"), 1, "{fate:?}");
        assert_eq!(proxy.lost() + proxy.unanswered(), 1, "{fate:?}");
    }
}

#[test]
fn a_statement_whose_session_is_ended_while_it_runs_alone_is_unknown_and_not_run_again() {
    let database = Postgres::new(TABLE);
    let buffer = database.buffer();
    let t = buffer.table("t").insert().producer().unwrap();
    t.write(&(0, 0)).unwrap();
    // What it waits for.
    let mut other = database.session();
    other.run("BEGIN; INSERT INTO t VALUES (1, 1)");
    let receipt = std::thread::scope(|scope| {
        let run = scope.spawn(|| buffer.execute("CREATE INDEX CONCURRENTLY by_v ON t(v)"));
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                     AND query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock'";
        eventually("it runs", || database.value::<i64>(waits) == 1);
        database.run(
            "SELECT pg_terminate_backend(pid, 20000) FROM pg_stat_activity \
             WHERE datname = current_database() AND application_name = 'forebay'",
        );
        run.join().unwrap()
    });
    let error = receipt.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error:#}");
    other.run("COMMIT");
    t.write(&(2, 2)).unwrap();
    assert_eq!(database.column::<i64>("SELECT id FROM t ORDER BY id"), [0, 1, 2]);
    let valid =
        "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('by_v') AND indisvalid";
    assert_eq!(database.value::<i64>(valid), 0);
    assert_eq!((buffer.stats().unknown, buffer.stats().committed), (1, 2));
}

#[test]
fn a_copy_without_a_file_is_refused_and_the_buffer_goes_on() {
    let database = Postgres::new(TABLE);
    let buffer = database.buffer();
    for sql in ["COPY t FROM STDIN", "copy t to stdout"] {
        let error = buffer.execute(sql).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error:#}");
        assert!(error.to_string().contains("forebay load"), "{error}");
    }
    buffer.table("t").insert().producer().unwrap().write(&(1, 1)).unwrap();
    assert_eq!((buffer.stats().retries, buffer.stats().pauses), (0, 0));
}

/// A buffer whose server has a moment to answer in.
fn hurried(database: &Postgres) -> WriteBuffer {
    let options = PostgresOptions {
        lock_timeout: Duration::from_millis(100),
        reply_timeout: Duration::from_millis(200),
        ..PostgresOptions::default()
    };
    WriteBuffer::with_sink(options.connect(&database.url()).unwrap(), lingering()).unwrap()
}

#[test]
fn a_statement_is_waited_for_for_longer_than_another_answer() {
    let database = Postgres::new(TABLE);
    let buffer = hurried(&database);
    buffer.execute("DO $$ BEGIN PERFORM pg_sleep(0.6); END $$").unwrap();
    assert_eq!((buffer.stats().retries, buffer.stats().pauses), (0, 0));
}

#[test]
fn a_statement_that_is_cancelled_or_needs_a_file_that_is_not_there_is_refused_and_not_run_again() {
    let database = Postgres::new(TABLE);
    let name: String = database.value("SELECT current_database()");
    database.run(&format!("ALTER DATABASE {name} SET statement_timeout = 100"));
    let buffer = database.buffer();
    let cases = [
        ("DO $$ BEGIN PERFORM pg_sleep(60); END $$", "57014"),
        ("COPY t FROM '/no/such/file'", "58P01"),
        ("LOAD 'no_such_library'", "58P01"),
    ];
    for (sql, code) in cases {
        let error = buffer.execute(sql).unwrap_err();
        assert_eq!(
            (error.kind(), error.sqlstate()),
            (ErrorKind::Rejected, Some(code)),
            "{error:#}"
        );
    }
    buffer.table("t").insert().producer().unwrap().write(&(1, 1)).unwrap();
    assert_eq!((buffer.stats().retries, buffer.stats().pauses), (0, 0));
}

#[test]
fn a_statement_that_cannot_be_checked_while_its_table_is_locked_is_no_mistake_of_the_program() {
    let database = Postgres::new(TABLE);
    let buffer = hurried(&database);
    let mut other = database.session();
    other.lock("t");
    let error = buffer.statement("INSERT INTO t VALUES (:id, :v)").map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:#}");
    other.unlock();
    buffer.statement("INSERT INTO t VALUES (:id, :v)").unwrap().write(&(1, 1)).unwrap();
}
