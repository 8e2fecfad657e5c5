//! Bad input: what cannot work is said at once and clearly, to whoever can mend it, and never with the password.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use forebay::{Config, Error, ErrorKind, Health, WriteBuffer};
use forebay_postgres::{PostgresOptions, PostgresSink};
use postgres::NoTls;
use serde_json::json;
use support::{Cluster, Database, Postgres, lingering};

/// What no message may have in it.
const PASSWORD: &str = "hunter2-s3cret";

/// Fails unless connecting is refused with a message that says all of `said`, and not the password.
fn refused(url: &str, said: &[&str]) -> Error {
    let options =
        PostgresOptions { connect_timeout: Duration::from_secs(5), ..PostgresOptions::default() };
    let begun = Instant::now();
    let error = options.connect(url).map(drop).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(10), "{error:#}");
    assert_says(&error, said);
    error
}

fn assert_says(error: &Error, said: &[&str]) {
    let message = format!("{error:#} {error:?}");
    assert!(!message.contains(PASSWORD), "{message}");
    for part in said {
        assert!(message.contains(part), "`{message}` does not say `{part}`");
    }
}

/// A server that asks for passwords, with a user `app` that has one.
fn guarded() -> Cluster {
    let cluster = Cluster::private(&[("fsync", "off")]);
    let mut client = cluster.config("postgres").connect(NoTls).unwrap();
    client
        .batch_execute(&format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE locked"))
        .unwrap();
    cluster.admit("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n");
    cluster
}

#[test]
fn a_wrong_password_a_missing_one_and_a_missing_user_are_told_apart() {
    let cluster = guarded();
    let url = |user: &str| format!("postgres://{user}@{}/postgres", cluster.address());
    let right = url(&format!("app:{PASSWORD}"));
    let options = PostgresOptions { bookkeeping: false, ..PostgresOptions::default() };
    options.connect(&right).unwrap();
    // With a part of it: whoever tells the URL tells that, too.
    refused(&url(&format!("app:{PASSWORD}x")), &["password of app", "refused"]);
    refused(&url("app"), &["app", "password"]);
    refused(&url(&format!("nobody:{PASSWORD}")), &["nobody", "password"]);
    refused(&url(&format!("locked:{PASSWORD}")), &["locked"]);
}

#[test]
fn a_missing_database_an_unknown_host_and_a_port_where_nobody_listens_are_told_apart() {
    let address = Cluster::shared().address();
    refused(
        &format!("postgres://postgres:{PASSWORD}@{address}/nowhere"),
        &["no database nowhere", "CREATE DATABASE"],
    );
    refused(
        &format!("postgres://postgres:{PASSWORD}@no-such-host.invalid/app"),
        &["no-such-host.invalid", "check host and port"],
    );
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    refused(
        &format!("postgres://postgres:{PASSWORD}@{free}/app"),
        &[&free.to_string(), "server runs"],
    );
    refused(
        &format!("postgres://postgres:{PASSWORD}@%2Fno%2Fsuch%2Ffolder/app"),
        &["/no/such/folder", "server runs"],
    );
}

#[test]
fn a_database_without_books_names_all_three_ways_out() {
    let database = Postgres::new("DROP TABLE _forebay, _forebay_rejected");
    let error = refused(&database.url(), &["create_books", "BOOKS_SQL", "bookkeeping: false"]);
    assert_eq!(error.kind(), ErrorKind::Open);
    PostgresSink::create_books(&database.url()).unwrap();
    PostgresSink::create_books(&database.url()).unwrap();
    drop(PostgresSink::connect(&database.url()).unwrap());
    database.run("DROP TABLE _forebay, _forebay_rejected");
    let options = PostgresOptions { bookkeeping: false, ..PostgresOptions::default() };
    drop(options.connect(&database.url()).unwrap());
}

/// Answers like a server of this version, as far as that.
fn of_version(version: &'static str) -> (String, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://app:{PASSWORD}@{}/app", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut startup = [0; 1_024];
        assert!(client.read(&mut startup).unwrap() > 8);
        let message = |kind: u8, body: &[u8]| {
            let length = (body.len() as u32 + 4).to_be_bytes();
            [&[kind], &length[..], body].concat()
        };
        let parameter = [b"server_version\0".as_slice(), version.as_bytes(), b"\0"].concat();
        let mut answer = message(b'R', &0_u32.to_be_bytes());
        answer.extend(message(b'S', &parameter));
        answer.extend(message(b'K', &[0; 8]));
        answer.extend(message(b'Z', b"I"));
        client.write_all(&answer).unwrap();
        // Until the client goes.
        let _ = client.read_to_end(&mut Vec::new());
    });
    (url, server)
}

#[test]
fn a_server_that_is_too_old_or_does_not_say_its_version_is_refused() {
    for (version, said) in [
        ("9.6.24", ["9.6.24", "too old"]),
        ("11.22 (Debian 11.22-1)", ["11.22", "too old"]),
        ("", ["version", "PostgreSQL"]),
    ] {
        let (url, server) = of_version(version);
        refused(&url, &said);
        server.join().unwrap();
    }
}

#[test]
fn a_missing_table_column_and_key_are_said_when_the_producer_is_made() {
    let database = Postgres::new("CREATE TABLE topics(id BIGINT PRIMARY KEY, status TEXT)");
    let buffer = database.buffer();
    let error = buffer.table("topic").insert().producer().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Schema);
    assert_says(&error, &["no table topic", "topics"]);
    let error = buffer.table("topics").upsert(["status"]).producer().unwrap_err();
    assert_says(&error, &["topics", "(id)", "CREATE UNIQUE INDEX"]);
    let topics = buffer.table("topics").insert().producer().unwrap();
    let error = topics.push(&json!({"id": 1, "state": "x"})).unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::UnknownField, Some("state")));
    assert_says(&error, &["id, status"]);
}

#[test]
fn a_missing_right_pauses_the_buffer_and_says_what_to_grant_until_it_is_granted() {
    let cluster = guarded();
    let mut client = cluster.config("postgres").connect(NoTls).unwrap();
    client
        .batch_execute(
            "CREATE TABLE t(id BIGINT PRIMARY KEY); GRANT SELECT ON t TO app;
             GRANT SELECT, INSERT, UPDATE, DELETE ON _forebay, _forebay_rejected TO app",
        )
        .unwrap();
    let url = format!("postgres://app:{PASSWORD}@{}/postgres", cluster.address());
    let mut config = lingering();
    config.retry.pause = Duration::from_millis(5);
    let buffer = WriteBuffer::with_sink(PostgresSink::connect(&url).unwrap(), config).unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    let mut receipt = t.submit(&(1,)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let cause = loop {
        let _ = receipt.wait_timeout(Duration::from_millis(5));
        if let Health::Paused(cause) = buffer.health() {
            break cause;
        }
        assert!(Instant::now() < deadline, "the buffer is not paused");
    };
    assert_says(&cause, &["t cannot be written", "GRANT", "permission denied for table t"]);
    assert_eq!(cause.sqlstate(), Some("42501"));
    client.batch_execute("GRANT INSERT ON t TO app").unwrap();
    receipt.wait_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(buffer.stats().rejected, 0);
}

#[test]
fn values_of_a_wrong_type_are_rejected_alone_and_their_values_not_told() {
    let columns = [
        ("SMALLINT", json!(40_000)),
        ("INT", json!(3_000_000_000_i64)),
        ("BIGINT", json!(PASSWORD)),
        ("BIGINT", json!(1.5)),
        ("REAL", json!(PASSWORD)),
        ("NUMERIC(4, 2)", json!(12_345)),
        ("NUMERIC", json!(PASSWORD)),
        ("BOOLEAN", json!(PASSWORD)),
        ("VARCHAR(3)", json!(PASSWORD)),
        ("DATE", json!(PASSWORD)),
        ("TIMESTAMPTZ", json!(PASSWORD)),
        ("UUID", json!(PASSWORD)),
        ("JSONB", json!(format!("{{{PASSWORD}"))),
        ("INET", json!(PASSWORD)),
    ];
    for (declared, bad) in columns {
        let database =
            Postgres::new(&format!("CREATE TABLE t(id BIGINT PRIMARY KEY, v {declared})"));
        let buffer = database.buffer();
        let t = buffer.table("t").insert().producer().unwrap();
        let null = json!(null);
        let receipts: Vec<_> = (0..20)
            .map(|id| t.submit(&(id, if id == 7 { &bad } else { &null })).unwrap())
            .collect();
        buffer.flush().unwrap();
        for (id, receipt) in receipts.into_iter().enumerate() {
            match receipt.wait() {
                Ok(()) => assert_ne!(id, 7, "{declared} {bad}"),
                Err(error) => {
                    assert_eq!(
                        (id, error.kind()),
                        (7, ErrorKind::Rejected),
                        "{declared}: {error:#}"
                    );
                    assert_says(&error, &["t refused a row"]);
                }
            }
        }
        assert_eq!(database.rows("SELECT id FROM t").len(), 19, "{declared}");
        assert_eq!(buffer.stats().transactions, 1, "{declared}");
    }
}

#[test]
fn a_text_with_a_nul_is_refused_when_it_is_pushed() {
    let database = Postgres::new("CREATE TABLE t(id BIGINT PRIMARY KEY, v TEXT)");
    let buffer = database.builder(Config::default(), Duration::from_secs(1)).open().unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    let error = t.push(&(1, "a\0b")).unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::Encode, Some("v")), "{error:#}");
    assert_says(&error, &["NUL"]);
    assert_eq!(buffer.stats().accepted, 0);
}

#[test]
fn a_row_that_a_policy_refuses_is_refused_alone() {
    let cluster = guarded();
    let mut client = cluster.config("postgres").connect(NoTls).unwrap();
    client
        .batch_execute(
            "CREATE TABLE t(id BIGINT PRIMARY KEY); ALTER TABLE t ENABLE ROW LEVEL SECURITY;
             CREATE POLICY small ON t USING (true) WITH CHECK (id < 10);
             GRANT SELECT, INSERT, UPDATE, DELETE ON t, _forebay, _forebay_rejected TO app",
        )
        .unwrap();
    let url = format!("postgres://app:{PASSWORD}@{}/postgres", cluster.address());
    let sink = PostgresSink::connect(&url).unwrap();
    let buffer = WriteBuffer::with_sink(sink, lingering()).unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    let receipts = [1, 11, 2].map(|id| t.submit(&(id,)).unwrap());
    buffer.flush().unwrap();
    let [first, second, third] = receipts.map(forebay::Receipt::wait);
    assert!(first.is_ok() && third.is_ok());
    let error = second.unwrap_err();
    assert_eq!((error.kind(), error.sqlstate()), (ErrorKind::Rejected, Some("42501")));
    assert_says(&error, &["t refused a row", "row-level security"]);
}

#[test]
fn the_tables_of_the_books_may_be_made_by_several_at_once() {
    let database = Postgres::new("DROP TABLE _forebay, _forebay_rejected");
    let url = database.url();
    thread::scope(|scope| {
        let made: Vec<_> =
            (0..8).map(|_| scope.spawn(|| PostgresSink::create_books(&url))).collect();
        for made in made {
            made.join().unwrap().unwrap();
        }
    });
    PostgresSink::connect(&url).unwrap();
}
