//! A process that writes rows while something in it fails, and tells what it was told:
//! `faults-victim DATABASE (rounds|brief|endless) [POINT HOLDER FAILURE]...`, for example `AfterCommit writer error:1034:3`.
//!
//! It ends by itself, is killed, or ends by the failure. A brief one gives up on rows that cannot be written.
#![allow(clippy::unwrap_used, reason = "the test sees it end")]

mod load;

use std::env;
use std::time::Duration;

use forebay::{
    Config, DeadLetter, Durability, Failpoint, Failure, Health, Holder, Retry, Value, WriteBuffer,
};
use support::{Answer, Told};

use self::load::Load;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [path, length, failures @ ..] = &arguments[..] else { panic!("no arguments") };
    let retry = Retry {
        max_retries: 2,
        delay: Duration::from_millis(1),
        pause: Duration::from_millis(2),
        give_up: (length == "brief").then_some(Duration::from_millis(5)),
    };
    let config = Config {
        batch_size: 20,
        linger: Duration::from_millis(2),
        max_wal_bytes: 64 * 1024,
        durability: if length == "rounds" { Durability::Normal } else { Durability::Full },
        close_timeout: Duration::from_secs(5),
        retry,
        ..Config::default()
    };
    let builder = WriteBuffer::builder(path).config(config).on_reject(tell);
    let buffer = match builder.open() {
        Ok(buffer) => buffer,
        Err(error) => return closed(&format!("{error:#}"), serde_json::Value::Null, 0),
    };
    let load = match Load::begin(&buffer) {
        Ok(load) => load,
        // A database that cannot be looked at: nothing was accepted.
        Err(error) => return closed(&format!("{error:#}"), serde_json::Value::Null, 0),
    };
    let failing: Vec<_> = failures.chunks_exact(3).map(set).collect();
    let failures = || failing.last().map_or(0, |(point, _)| point.failures());
    let wanted = failing.last().map_or(0, |(_, times)| *times);
    match length.as_str() {
        "brief" => load.run_once(),
        _ => load.run(|| length != "endless" && failures() >= wanted),
    }
    let trouble = match buffer.health() {
        Health::Running => String::new(),
        health => health.to_string(),
    };
    let report = buffer.close_within(buffer.config().close_timeout).unwrap();
    report.leftovers.iter().for_each(tell);
    closed(&trouble, serde_json::to_value(&report.stats).unwrap(), failures());
}

fn closed(trouble: &str, stats: serde_json::Value, failures: u64) {
    Told::Closed { trouble: trouble.to_owned(), stats, failures }.say();
}

fn tell(letter: &DeadLetter) {
    // An execute has no id to tell; its caller does.
    if let Some((_, Value::Integer(id))) = letter.fields.first() {
        Told::Letter(*id, Answer::of(&Err::<(), _>(letter.error.clone()))).say();
    }
}

/// Returns the failpoint, and how often it is to fail.
fn set(failure: &[String]) -> (Failpoint, u64) {
    let [point, holder, failure] = failure else { panic!("three words each") };
    let named = |candidate: &&Failpoint| format!("{candidate:?}") == *point;
    let point = Failpoint::ALL.iter().find(named).expect("a failpoint of this name");
    let holder = if holder == "writer" { Holder::Writer } else { Holder::Caller };
    let failure = match failure.split(':').collect::<Vec<_>>()[..] {
        ["panic"] => Failure::Panic,
        ["abort"] => Failure::Abort,
        ["error", code, times] => {
            Failure::Error { code: code.parse().unwrap(), times: times.parse().unwrap() }
        }
        _ => panic!("no failure"),
    };
    point.fail(holder, failure);
    let times = if let Failure::Error { times, .. } = failure { times.into() } else { 1 };
    (*point, times)
}
