//! Sessions that the server ends, at each step of a batch: the batch is written once all the same.

use std::sync::mpsc::channel;
use std::time::Duration;

use forebay::{Config, Producer, Retry, WriteBuffer};
use forebay_postgres::PostgresOptions;
use support::{Cluster, Database, Fate, Postgres, Proxy, eventually, lingering};

/// Functions that end their own session, as an administrator would; how often one is called outlives its transaction.
const SCHEMA: &str = "CREATE TABLE t(id INT NOT NULL CHECK (id <> 13));
    CREATE SEQUENCE calls;
    CREATE FUNCTION ends() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('calls') <= TG_ARGV[0]::int THEN
            PERFORM pg_terminate_backend(pg_backend_pid());
            PERFORM pg_sleep(20);
        END IF;
        RETURN COALESCE(NEW, OLD);
    END $$;";

/// Where a session is ended, and by which trigger.
const STEPS: [(&str, &str); 5] = [
    (
        "its entry",
        "CREATE TRIGGER ends BEFORE UPDATE ON _forebay FOR EACH ROW EXECUTE FUNCTION ends(2)",
    ),
    (
        "behind its entry",
        "CREATE TRIGGER ends AFTER UPDATE ON _forebay FOR EACH ROW EXECUTE FUNCTION ends(2)",
    ),
    (
        "a row",
        "CREATE TRIGGER ends BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.id = 5) EXECUTE FUNCTION ends(2)",
    ),
    (
        "behind the rows",
        "CREATE TRIGGER ends AFTER INSERT ON t FOR EACH STATEMENT EXECUTE FUNCTION ends(2)",
    ),
    (
        "its COMMIT",
        "CREATE CONSTRAINT TRIGGER ends AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.id = 5) EXECUTE FUNCTION ends(2)",
    ),
];

fn soon() -> Config {
    let moment = Duration::from_millis(1);
    Config { retry: Retry { delay: moment, pause: moment, ..Retry::default() }, ..lingering() }
}

/// Writes rows of which one is refused if so wanted, and looks for them.
fn assert_written_once(
    buffer: &WriteBuffer,
    t: &Producer,
    database: &Postgres,
    has_bad: bool,
    step: &str,
) {
    let receipts: Vec<_> = (0..20)
        .filter(|id| has_bad || *id != 13)
        .map(|id| (id, t.submit(&(id,)).unwrap()))
        .collect();
    buffer.flush().unwrap();
    for (id, receipt) in receipts {
        assert_eq!(receipt.wait().is_ok(), id != 13, "{step}: {id}");
    }
    let expected: Vec<i64> = (0..20).filter(|id| *id != 13).collect();
    assert_eq!(database.column::<i64>("SELECT id FROM t ORDER BY id"), expected, "{step}");
}

#[test]
fn a_session_that_is_ended_at_any_step_of_a_batch_costs_no_row_and_none_is_there_twice() {
    for (step, trigger) in STEPS {
        for has_bad in [false, true] {
            let database = Postgres::new(SCHEMA);
            let sink = PostgresOptions::default().connect(&database.url()).unwrap();
            let buffer = WriteBuffer::with_sink(sink, soon()).unwrap();
            let t = buffer.table("t").insert().producer().unwrap();
            database.run(trigger);
            assert_written_once(&buffer, &t, &database, has_bad, step);
            assert!(database.value::<i64>("SELECT last_value FROM calls") > 2, "{step}");
            assert_eq!(buffer.stats().retries, 2, "{step}, with a bad row: {has_bad}");
        }
    }
}

#[test]
fn a_session_that_is_ended_at_any_step_of_a_statement_that_is_run_has_it_run_once() {
    for (step, trigger) in STEPS {
        let database = Postgres::new(SCHEMA);
        let sink = PostgresOptions::default().connect(&database.url()).unwrap();
        let buffer = WriteBuffer::with_sink(sink, soon()).unwrap();
        database.run(trigger);
        buffer.execute("INSERT INTO t VALUES (5)").unwrap();
        assert_eq!(database.column::<i64>("SELECT id FROM t"), [5], "{step}");
        assert_eq!(buffer.stats().retries, 2, "{step}");
    }
}

#[test]
fn a_session_that_is_ended_between_batches_is_made_again() {
    let database = Postgres::new(SCHEMA);
    let sink = PostgresOptions::default().connect(&database.url()).unwrap();
    let buffer = WriteBuffer::with_sink(sink, soon()).unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    for id in 0..5 {
        t.write(&(id,)).unwrap();
        let ended = "SELECT pg_terminate_backend(pid, 20000)::int FROM pg_stat_activity \
                     WHERE application_name = 'forebay' AND datname = current_database()";
        assert_eq!(database.column::<i64>(ended), [1]);
    }
    buffer.execute("UPDATE t SET id = id + 1").unwrap();
    assert_eq!(database.column::<i64>("SELECT id FROM t ORDER BY id"), [1, 2, 3, 4, 5]);
}

#[test]
fn a_session_that_is_ended_for_idling_before_its_commit_costs_no_row() {
    let database = Postgres::new(SCHEMA);
    let proxy = Proxy::before(Cluster::shared().address());
    let options = PostgresOptions {
        lock_timeout: Duration::from_millis(100),
        reply_timeout: Duration::from_millis(200),
        ..PostgresOptions::default()
    };
    let sink = options.connect(&proxy.url(&database.tcp_url())).unwrap();
    let buffer = WriteBuffer::with_sink(sink, soon()).unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    let (let_go, held) = channel::<()>();
    let mut holds = true;
    proxy.at_commit(move || {
        // Until the test has seen that the server has ended the session.
        if std::mem::take(&mut holds) {
            held.recv().unwrap();
        }
        Fate::Pass
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let idle = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                        AND application_name = 'forebay' AND state = 'idle in transaction'";
            let idles = || database.value::<i64>(idle) > 0;
            eventually("it waits for its COMMIT", idles);
            eventually("it is ended", || !idles());
            let_go.send(()).unwrap();
        });
        assert_written_once(&buffer, &t, &database, false, "idle");
    });
    assert!(buffer.stats().retries > 0);
}
