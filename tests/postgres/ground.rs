//! The ground that the other tests stand on: servers that go with their users, and a proxy that cuts where it is told to.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};
use support::{Cluster, Database, Fate, Postgres, Proxy};

/// Longer than anything takes here that does not hang.
const LONG: Duration = Duration::from_secs(30);

const TABLE: &str = "CREATE TABLE t(id INTEGER NOT NULL)";

/// Blocks until something is so.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not after {LONG:?}");
        thread::park_timeout(Duration::from_millis(5));
    }
}

fn through(proxy: &Proxy, database: &Postgres) -> Client {
    Client::connect(&proxy.url(&database.tcp_url()), NoTls).unwrap()
}

fn count(database: &Postgres) -> usize {
    database.rows("SELECT id FROM t").len()
}

#[test]
fn a_private_server_goes_when_it_is_dropped_and_keeps_what_was_committed_before_a_crash() {
    let cluster = Cluster::private(&[]);
    let mut client = cluster.config("postgres").connect(NoTls).unwrap();
    client.batch_execute("CREATE TABLE t(id INT); INSERT INTO t VALUES (1)").unwrap();
    cluster.stop_immediate();
    assert!(client.batch_execute("INSERT INTO t VALUES (2)").is_err());
    assert!(cluster.config("postgres").connect(NoTls).is_err());
    cluster.start();
    let mut client = Client::connect(&cluster.tcp_url("postgres"), NoTls).unwrap();
    let row = client.query_one("SELECT count(*), current_setting('fsync') FROM t", &[]).unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, String>(1)), (1, "on".to_owned()));
    let folder = cluster.data();
    drop(cluster);
    eventually("its folder is gone", || !folder.parent().unwrap().exists());
}

#[test]
fn a_server_goes_when_the_process_that_made_it_is_killed() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fault-child"))
        .arg("server")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let url = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(Client::connect(&url, NoTls).is_ok());
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("it is gone", || Client::connect(&url, NoTls).is_err());
    let folder = url.split(['@', ':']).nth(2).unwrap().replace("%2F", "/");
    eventually("its folder is gone", || !Path::new(&folder).exists());
}

#[test]
fn every_test_has_a_database_of_its_own() {
    let (one, other) = (Postgres::new(TABLE), Postgres::new(TABLE));
    one.run("INSERT INTO t VALUES (1)");
    assert_eq!((count(&one), count(&other)), (1, 0));
}

#[test]
fn a_commit_that_is_lost_was_not_done_and_one_that_is_unanswered_was() {
    let database = Postgres::new(TABLE);
    let proxy = Proxy::before(Cluster::shared().address());
    for (fate, rows) in [(Fate::Lost, 0), (Fate::Unanswered, 1), (Fate::Pass, 2)] {
        proxy.at_commit(move || fate);
        let mut client = through(&proxy, &database);
        let mut transaction = client.transaction().unwrap();
        transaction.execute("INSERT INTO t VALUES (1)", &[]).unwrap();
        assert_eq!(transaction.commit().is_ok(), fate == Fate::Pass, "{fate:?}");
        assert_eq!(count(&database), rows, "{fate:?}");
        // The same with a COMMIT that was prepared.
        let mut client = through(&proxy, &database);
        client.batch_execute("BEGIN; INSERT INTO t VALUES (2)").unwrap();
        assert_eq!(client.execute("COMMIT", &[]).is_ok(), fate == Fate::Pass, "{fate:?}");
        database.run("DELETE FROM t WHERE id = 2");
    }
    assert_eq!((proxy.lost(), proxy.unanswered()), (2, 2));
}

#[test]
fn a_proxy_cuts_refuses_and_stalls_as_it_is_told() {
    let database = Postgres::new(TABLE);
    let proxy = Proxy::before(Cluster::shared().address());
    let mut client = through(&proxy, &database);
    client.batch_execute("INSERT INTO t VALUES (1)").unwrap();
    proxy.stall();
    let stalled = thread::spawn(move || {
        client.batch_execute("INSERT INTO t VALUES (2)").unwrap();
        client
    });
    assert_eq!(count(&database), 1, "it is not passed on");
    proxy.resume();
    let mut client = stalled.join().unwrap();
    assert_eq!(count(&database), 2);
    proxy.cut();
    assert!(client.batch_execute("INSERT INTO t VALUES (3)").is_err());
    proxy.refuse(true);
    assert!(Client::connect(&proxy.url(&database.tcp_url()), NoTls).is_err());
    proxy.refuse(false);
    through(&proxy, &database).batch_execute("INSERT INTO t VALUES (4)").unwrap();
    assert_eq!(count(&database), 3);
}
