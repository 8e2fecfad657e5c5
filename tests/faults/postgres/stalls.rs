//! A network that carries nothing any more, and sessions that an administrator ends.

use std::time::Duration;

use forebay::WriteBuffer;
use forebay_postgres::PostgresOptions;
use support::{Cluster, Database, Postgres, Proxy, Seen, Trial};

use super::{TABLE, impatient, in_table};
use crate::load::{Load, eventually};

/// Writes through a proxy that something happens to, and looks for every row.
fn round(happens: impl Fn(&Postgres, &Proxy, &Load<'_>)) -> Seen {
    let database = Postgres::new(TABLE);
    let proxy = Proxy::before(Cluster::shared().address());
    let options = PostgresOptions {
        lock_timeout: Duration::from_millis(100),
        reply_timeout: Duration::from_millis(300),
        connect_timeout: Duration::from_millis(300),
        ..PostgresOptions::default()
    };
    // On a busy machine the first connection, too, may take longer than that.
    let url = proxy.url(&database.tcp_url());
    let sink = (0..20).find_map(|_| options.connect(&url).ok()).unwrap();
    let buffer = WriteBuffer::with_sink(sink, impatient(forebay::Config::default())).unwrap();
    let done = Load::run(&buffer, |load| happens(&database, &proxy, load));
    assert!(done.errors.is_empty(), "{:?}", done.errors);
    buffer.close().unwrap();
    let stats = buffer.stats();
    assert_eq!(stats.committed, stats.accepted, "{stats:?}");
    let promised = done.acknowledged.into_iter().chain(done.pushed);
    in_table(&mut database.connect(), stats.accepted, promised)
}

#[test]
fn a_network_that_stalls_is_given_up_and_nothing_is_lost_or_there_twice() {
    let how = "a proxy that passes nothing on for longer than reply_timeout";
    Trial::of(33, "PostgreSQL does not answer", how).rounds(2, 50).run(|_| {
        round(|_, proxy, load| {
            let before = load.buffer.stats().retries;
            proxy.stall();
            eventually("the writer has given an answer up", || {
                load.buffer.stats().retries > before
            });
            proxy.resume();
            load.goes_on();
        })
    });
}

#[test]
fn sessions_that_are_ended_are_made_again() {
    let how = "pg_terminate_backend of the writer's session, ten times, under load";
    Trial::of(33, "PostgreSQL ends the session", how).rounds(2, 50).run(|_| {
        round(|database, _, load| {
            let end = "SELECT pg_terminate_backend(pid)::int FROM pg_stat_activity \
                       WHERE application_name = 'forebay' AND datname = current_database()";
            for _ in 0..10 {
                assert!(!database.rows(end).is_empty(), "the writer has a session");
                load.goes_on();
            }
        })
    });
}

#[test]
fn a_proxy_that_refuses_connections_for_a_while_costs_no_row() {
    let how = "all connections cut, and new ones refused for ten tries";
    Trial::of(33, "PostgreSQL cannot be reached", how).rounds(2, 50).run(|_| {
        round(|_, proxy, load| {
            let before = load.buffer.stats().retries;
            proxy.refuse(true);
            proxy.cut();
            eventually("it was tried ten times", || load.buffer.stats().retries >= before + 10);
            proxy.refuse(false);
            load.goes_on();
        })
    });
}
