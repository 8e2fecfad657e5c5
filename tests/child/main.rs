//! The processes that the faults kill, hold up or mislead: `fault-child load|spool|replay|letters|outage|count|hold|clock DATABASE …`,
//! `fault-child keep URL …`, or `fault-child server`.
//!
//! Each says with a line on standard output that it begins. Whatever goes wrong in one ends it with a code and a message.
#![allow(clippy::unwrap_used, reason = "a child that cannot go on fails at once")]

mod clock;
mod count;
mod keep;
mod letters;
mod load;
mod outage;
mod recorded;
mod spool;

use std::io::{self, Read, Write};
use std::{env, process, thread};

use forebay::Config;
use support::Cluster;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if !matches!(arguments.first(), Some(&("count" | "outage"))) {
        thread::spawn(end_with_parent);
    }
    match arguments[..] {
        ["load", database, life, seed, max_wal_bytes] => load::run(
            database.as_ref(),
            life.parse().unwrap(),
            seed.parse().unwrap(),
            max_wal_bytes.parse().unwrap(),
        ),
        ["spool", database, life, seed] => {
            spool::push(database.as_ref(), life.parse().unwrap(), seed.parse().unwrap());
        }
        ["letters", database, point, after] => {
            letters::replay(database.as_ref(), point, after.parse().unwrap());
        }
        ["outage", database, workers, rows] => {
            outage::push(database.as_ref(), workers.parse().unwrap(), rows.parse().unwrap());
        }
        ["replay", database] => spool::replay(database.as_ref()),
        ["count", database, process] => count::run(database.as_ref(), process.parse().unwrap()),
        ["clock", database] => clock::run(database.as_ref()),
        ["keep", url, spool, from, to] => {
            keep::push(url, spool.as_ref(), from.parse().unwrap(), to.parse().unwrap());
        }
        ["server"] => serve(),
        ["hold", database] => count::hold(database.as_ref()),
        _ => panic!("no such task: {arguments:?}"),
    }
}

/// Whoever started this process holds its standard input open for as long as it is wanted.
fn end_with_parent() {
    let _ = io::stdin().read_to_end(&mut Vec::new());
    process::exit(1);
}

/// Has a PostgreSQL server of its own, says where, and is killed.
fn serve() {
    let cluster = Cluster::private(&[]);
    say(&cluster.url("postgres"));
    loop {
        thread::park();
    }
}

/// A small buffer: it is full all the time, and a close has little left to write.
fn small() -> Config {
    Config {
        batch_size: 50,
        max_transaction_rows: 200,
        max_buffer_bytes: 512 * 1024,
        max_batch_bytes: 64 * 1024,
        max_row_bytes: 8 * 1024,
        ..Config::default()
    }
}

/// Tells the parent something, in a line.
fn say(line: &str) {
    let mut out = io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).unwrap();
}
