//! A URL with several hosts: the first that takes writes is used, whatever is wrong with those before it.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use forebay::{ErrorKind, WriteBuffer};
use forebay_postgres::PostgresOptions;
use postgres::NoTls;
use support::{Cluster, Database, Postgres, Proxy, assert_says, lingering};

const TABLE: &str = "CREATE TABLE t(id INT)";

/// The two spellings of a URL with several hosts.
fn urls(places: &[String], database: &str) -> [String; 2] {
    let (hosts, ports): (Vec<&str>, Vec<&str>) =
        places.iter().map(|place| place.split_once(':').unwrap()).unzip();
    let query = format!("host={}&port={}", hosts.join(","), ports.join(","));
    [
        format!("postgres://postgres@{}/{database}", places.join(",")),
        format!("postgres:///{database}?user=postgres&{query}"),
    ]
}

fn options() -> PostgresOptions {
    PostgresOptions { connect_timeout: Duration::from_millis(500), ..PostgresOptions::default() }
}

fn name(database: &Postgres) -> String {
    database.value("SELECT current_database()")
}

/// Fails unless rows are written through each of these URLs.
fn assert_writes(urls: &[String], database: &Postgres) {
    for url in urls {
        let sink = options().connect(url).unwrap_or_else(|error| panic!("{url}: {error:#}"));
        let buffer = WriteBuffer::with_sink(sink, lingering()).unwrap();
        buffer.table("t").insert().producer().unwrap().write(&(1,)).unwrap();
    }
    assert_eq!(database.value::<i64>("SELECT count(*) FROM t"), urls.len() as i64);
}

#[test]
fn a_host_that_takes_connections_and_says_nothing_is_passed_over() {
    let database = Postgres::new(TABLE);
    // Connections wait in the queue of a listener that nobody accepts from.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let places = [mute.local_addr().unwrap().to_string(), Cluster::shared().address().to_string()];
    assert_writes(&urls(&places, &name(&database)), &database);
}

#[test]
fn a_host_that_stalls_or_where_nobody_listens_is_passed_over() {
    let database = Postgres::new(TABLE);
    let stalled = Proxy::before(Cluster::shared().address());
    stalled.stall();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let places = [free, stalled.address(), Cluster::shared().address()];
    let places = places.map(|place| place.to_string());
    assert_writes(&urls(&places, &name(&database)), &database);
}

#[test]
fn a_read_only_host_is_passed_over_and_when_none_is_left_each_hosts_reason_is_said() {
    let standby = Cluster::private(&[("fsync", "off")]);
    let database = Postgres::new(TABLE);
    standby
        .config("postgres")
        .connect(NoTls)
        .unwrap()
        .batch_execute(&format!("CREATE DATABASE {}", name(&database)))
        .unwrap();
    standby.set("default_transaction_read_only", "on");
    let (standby, primary) =
        (standby.address().to_string(), Cluster::shared().address().to_string());
    assert_writes(&urls(&[standby.clone(), primary], &name(&database)), &database);
    for url in urls(&[standby.clone(), standby.clone()], &name(&database)) {
        let error = options().connect(&url).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Open, "{error:#}");
        assert_says(
            &error,
            &[&format!("{standby}: it takes no writes"), "a standby, or read-only"],
        );
    }
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for url in urls(&[gone.clone(), standby.clone()], &name(&database)) {
        let error = options().connect(&url).map(drop).unwrap_err();
        let is_gone = format!("{gone}: check host and port, and that the server runs (");
        let says = [&is_gone, "refused", &format!("{standby}: it takes no writes")];
        assert_says(&error, &says);
    }
}

#[test]
fn a_writer_goes_over_to_the_next_host_when_the_first_is_gone() {
    let database = Postgres::new(TABLE);
    let first = Proxy::before(Cluster::shared().address());
    let places = [first.address().to_string(), Cluster::shared().address().to_string()];
    let [url, _] = urls(&places, &name(&database));
    let buffer = WriteBuffer::with_sink(options().connect(&url).unwrap(), lingering()).unwrap();
    let t = buffer.table("t").insert().producer().unwrap();
    t.write(&(1,)).unwrap();
    first.refuse(true);
    first.cut();
    t.write(&(2,)).unwrap();
    assert_eq!(database.column::<i64>("SELECT id FROM t ORDER BY id"), [1, 2]);
}

#[test]
fn hosts_that_all_say_nothing_are_given_up_after_the_time_of_each() {
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = mute.local_addr().unwrap().to_string();
    let [url, _] = urls(&[place.clone(), place.clone()], "app");
    let begun = Instant::now();
    let error = options().connect(&url).map(drop).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_says(&error, &[&place, "does not answer"]);
}
