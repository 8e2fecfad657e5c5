//! Several threads, each with keys of its own, in whatever order they come.

use std::collections::BTreeMap;
use std::time::Duration;

use forebay::{Config, ErrorKind, Receipt, WriteBuffer};
use proptest::prelude::*;
use serde::Serialize;
use support::{Database, on_both_sinks};

use super::try_all;

const REGRESSIONS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/shared/model/regressions/threads.txt");

const THREADS: i64 = 4;
const KEYS: i64 = 4;

const SCHEMA: &str = "
    CREATE TABLE items(id INTEGER PRIMARY KEY, a INTEGER CHECK (a < 90));
    CREATE TABLE notes(n INTEGER PRIMARY KEY AUTOINCREMENT, thread INTEGER NOT NULL, step INTEGER NOT NULL);
";

#[derive(Debug, Clone)]
enum Step {
    Upsert { key: i64, a: i64, coalesced: bool, receipt: Then },
    Delete { key: i64, receipt: Then },
    Pair { keys: [i64; 2], a: [i64; 2], receipt: Then },
    Note,
    Flush,
}

/// What a thread does with a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Wait,
    Keep,
    Drop,
}

#[derive(Serialize)]
struct Item {
    id: i64,
    a: i64,
}

on_both_sinks!(each_key_ends_as_its_threads_last_accepted_row_whatever_the_others_do);

fn each_key_ends_as_its_threads_last_accepted_row_whatever_the_others_do<D: Database>() {
    let steps = prop::collection::vec(step(), 1..60);
    let cases = (config(), prop::collection::vec(steps, THREADS as usize));
    try_all::<D, _>([100, 20], REGRESSIONS, &cases, |(config, threads)| run::<D>(config, &threads));
}

fn config() -> impl Strategy<Value = Config> {
    let linger = prop_oneof![Just(Duration::ZERO), Just(Duration::from_secs(3_600))];
    let max_buffer_bytes = prop_oneof![Just(64 * 1024 * 1024), Just(24_000_usize)];
    (1..20_usize, linger, max_buffer_bytes).prop_map(|(batch_size, linger, max_buffer_bytes)| {
        Config {
            batch_size,
            max_transaction_rows: batch_size + 10,
            linger,
            max_buffer_bytes,
            max_batch_bytes: max_buffer_bytes / 8,
            max_row_bytes: 1_024,
            ..Config::default()
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS;
    let a = || prop_oneof![6 => 0..90_i64, 1 => 90..99_i64];
    let receipt = || prop::sample::select(vec![Then::Wait, Then::Keep, Then::Drop, Then::Drop]);
    prop_oneof![
        8 => (key(), a(), any::<bool>(), receipt())
            .prop_map(|(key, a, coalesced, receipt)| Step::Upsert { key, a, coalesced, receipt }),
        2 => (key(), receipt()).prop_map(|(key, receipt)| Step::Delete { key, receipt }),
        2 => ([key(), key()], [a(), a()], receipt())
            .prop_map(|(keys, a, receipt)| Step::Pair { keys, a, receipt }),
        2 => Just(Step::Note),
        1 => Just(Step::Flush),
    ]
}

fn run<D: Database>(config: Config, threads: &[Vec<Step>]) {
    let database = D::new(SCHEMA);
    let buffer = database.builder(config, Duration::from_secs(30)).open().expect("a buffer");
    let mut expected = BTreeMap::new();
    std::thread::scope(|scope| {
        for (thread, steps) in (0..THREADS).zip(threads) {
            let buffer = &buffer;
            scope.spawn(move || act(buffer, thread, steps));
            expected.extend(last_accepted(thread, steps));
        }
    });
    buffer.flush().expect("the buffer is open");
    let ids: Vec<i64> = database.column("SELECT id FROM items ORDER BY id");
    let amounts: Vec<i64> = database.column("SELECT a FROM items ORDER BY id");
    assert_eq!(ids.into_iter().zip(amounts).collect::<BTreeMap<_, _>>(), expected);
    let unordered: i64 = database.value(
        "SELECT count(*) FROM notes a JOIN notes b ON a.thread = b.thread AND a.n < b.n AND a.step > b.step",
    );
    assert_eq!(unordered, 0, "notes of a thread are in its order");
    let stats = buffer.stats();
    let decided = stats.committed + stats.superseded + stats.rejected;
    assert_eq!(stats.accepted, decided, "{stats:?}");
    assert_eq!(stats.pending, 0, "{stats:?}");
    buffer.close().expect("nothing is left");
}

/// Does a thread's steps, and holds its receipts against what is known of its rows.
fn act(buffer: &WriteBuffer, thread: i64, steps: &[Step]) {
    let items = || buffer.table("items");
    let upserts = items().upsert(["id"]).producer().expect("upserts");
    let coalesced = items().upsert(["id"]).coalesce().producer().expect("coalesced upserts");
    let deletes = items().delete(["id"]).producer().expect("deletes");
    let notes =
        buffer.statement("INSERT INTO notes(thread, step) VALUES (:thread, :step)").expect("notes");
    let id = |key: i64| thread * KEYS + key;
    let mut kept = Vec::new();
    let mut hold = |receipt: Receipt, then: Then, good: bool, coalesced: bool| match then {
        Then::Wait => check(receipt, good, coalesced),
        Then::Keep => kept.push((receipt, good, coalesced)),
        Then::Drop => drop(receipt),
    };
    for (number, step) in steps.iter().enumerate() {
        match *step {
            Step::Upsert { key, a, coalesced: together, receipt } => {
                let producer = if together { &coalesced } else { &upserts };
                let held = producer.submit(&Item { id: id(key), a }).expect("the buffer is open");
                hold(held, receipt, a < 90, together);
            }
            Step::Delete { key, receipt } => {
                #[derive(Serialize)]
                struct Key {
                    id: i64,
                }
                let held = deletes.submit(&Key { id: id(key) }).expect("the buffer is open");
                hold(held, receipt, true, false);
            }
            Step::Pair { keys, a, receipt } => {
                let pair = buffer.group(|group| {
                    let rows = keys.iter().zip(a);
                    rows.map(|(&key, a)| Item { id: id(key), a })
                        .try_for_each(|row| group.add(&upserts, &row))
                });
                hold(pair.expect("the buffer is open"), receipt, a.iter().all(|&a| a < 90), false);
            }
            Step::Note => notes.push(&(thread, number)).expect("the buffer is open"),
            Step::Flush => buffer.flush().expect("the buffer is open"),
        }
    }
    for (receipt, good, coalesced) in kept {
        check(receipt, good, coalesced);
    }
}

/// A superseded row succeeds with its survivor, even if it would have been refused itself.
fn check(receipt: Receipt, good: bool, coalesced: bool) {
    match receipt.wait() {
        Ok(()) => assert!(good || coalesced),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Rejected, "{error:#}");
            assert!(!good, "{error:#}");
        }
    }
}

/// What a thread's keys hold in the end.
fn last_accepted(thread: i64, steps: &[Step]) -> BTreeMap<i64, i64> {
    let mut items = BTreeMap::new();
    let id = |key: i64| thread * KEYS + key;
    for step in steps {
        match *step {
            Step::Upsert { key, a, .. } if a < 90 => {
                items.insert(id(key), a);
            }
            Step::Delete { key, .. } => {
                items.remove(&id(key));
            }
            Step::Pair { keys, a, .. } if a.iter().all(|&a| a < 90) => {
                items.extend(keys.iter().map(|&key| id(key)).zip(a));
            }
            _ => {}
        }
    }
    items
}
