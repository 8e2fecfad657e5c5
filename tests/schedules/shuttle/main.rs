//! Promises that hold in many schedules of many threads at once, by shuttle.
//!
//! Run with `RUSTFLAGS="--cfg forebay_shuttle -C debug-assertions" cargo test --release -p forebay-schedules --test shuttle
//! --target-dir target/shuttle`. Everything is drawn: the settings, what each thread does, what the sink answers, how the buffer
//! ends, and the schedule. `SCHEDULES` is how many there are in all, 100,000 unless told. Whoever sleeps for ever is a
//! deadlock, which shuttle reports; of what fails it prints the schedule, which `REPLAY` runs again, for one test.
#![cfg(forebay_shuttle)]

mod account;
mod actor;

use std::sync::Arc;
use std::time::Duration;

use forebay::{Config, WriteBuffer};
use forebay_schedules::{Answer, Bell, Log, at_once, block_on, lingering, tiny};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::thread::{self, JoinHandle};

use actor::Actor;

/// How the buffer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Closed when all threads are done.
    After,
    /// Closed meanwhile, by two.
    Meanwhile,
    /// Closed meanwhile, by two who do not wait for long.
    Impatiently,
    /// Closed meanwhile, by a task.
    ByTask,
    /// Dropped by whoever is the last to hold it.
    Dropped,
}

#[test]
fn of_two_threads_every_row_is_decided_once_and_nobody_hangs() {
    run(0.5, RandomScheduler::new, || scenario(2));
}

#[test]
fn of_two_threads_with_few_preemptions_every_row_is_decided_once_and_nobody_hangs() {
    run(0.2, |schedules| PctScheduler::new(3, schedules), || scenario(2));
}

#[test]
fn of_eight_threads_every_row_is_decided_once_and_nobody_hangs() {
    run(0.2, RandomScheduler::new, || scenario(8));
}

#[test]
fn of_eight_threads_with_few_preemptions_every_row_is_decided_once_and_nobody_hangs() {
    run(0.1, |schedules| PctScheduler::new(5, schedules), || scenario(8));
}

fn run<S: Scheduler + 'static>(
    share: f64,
    scheduler: impl FnOnce(usize) -> S,
    scenario: impl Fn() + Send + Sync + 'static,
) {
    if let Ok(schedule) = std::env::var("REPLAY") {
        return shuttle::replay(scenario, &schedule);
    }
    let all = std::env::var("SCHEDULES").map_or(100_000.0, |count| count.parse().expect("a count"));
    let mut config = shuttle::Config::new();
    config.stack_size = 256 * 1024;
    // It would say in each execution that it knows no weak memory orderings, which loom does.
    config.silence_warnings = true;
    shuttle::Runner::new(scheduler((all * share) as usize), config).run(scenario);
}

/// One buffer, from the first row to its end.
fn scenario(threads: i64) {
    let end = one_of(&[End::After, End::Meanwhile, End::Impatiently, End::ByTask, End::Dropped]);
    let (log, farewell) = (Log::default(), Bell::new());
    log.with(|seen| {
        seen.on_caller = draw(2) == 0;
        seen.dawdle = Some(dawdle);
        seen.farewell = Some(Arc::clone(&farewell));
    });
    let config = config();
    let lingers = config.linger == lingering().linger;
    let (buffer, rows) = log.buffer(config, answers());
    let actors: Vec<_> = (1..=threads)
        .map(|number| Actor::new(number, end, log.clone(), buffer.clone(), rows.clone()))
        .map(|actor| thread::spawn(move || actor.act(4)))
        .collect();
    drop(rows);
    let closers = closers(end, &buffer, &log);
    let kept = (end != End::Dropped).then_some(buffer);
    let done = actors.into_iter().map(|actor| actor.join().expect("it has not panicked"));
    let accounts: Vec<_> = done.collect();
    for closer in closers {
        closer.join().expect("it has not panicked");
    }
    if let (End::After, Some(buffer)) = (end, &kept) {
        while !lingers && buffer.stats().pending > 0 {
            // They are written though nobody asks, or this has no end, which shuttle reports too.
            thread::yield_now();
        }
        let _ = (buffer.flush(), buffer.close());
    }
    // Who holds the sink may come back when the rows are decided without him.
    farewell.wait();
    log.with(|seen| account::check(&accounts, seen));
    if let Some(buffer) = kept {
        log.with(|seen| account::check_stats(&accounts, seen, &buffer.stats()));
    }
}

fn closers(end: End, buffer: &WriteBuffer, log: &Log) -> Vec<JoinHandle<()>> {
    let closer = |close: fn(&WriteBuffer, &Log)| {
        let (buffer, log) = (buffer.clone(), log.clone());
        thread::spawn(move || {
            dawdle();
            close(&buffer, &log);
            assert_eq!(buffer.stats().pending, 0, "every row is decided when the buffer is closed");
        })
    };
    match end {
        End::After | End::Dropped => Vec::new(),
        End::Meanwhile => (0..2).map(|_| closer(|buffer, _| drop(buffer.close()))).collect(),
        End::ByTask => vec![closer(|buffer, _| drop(block_on(buffer.close_async())))],
        End::Impatiently => (0..2).map(|_| closer(close_impatiently)).collect(),
    }
}

fn close_impatiently(buffer: &WriteBuffer, log: &Log) {
    let patience = one_of(&[Duration::ZERO, Duration::from_millis(10)]);
    let report = buffer.close_within(patience).expect("this thread may wait");
    report.leftovers.iter().for_each(|letter| log.keep(letter));
}

fn config() -> Config {
    let config = one_of(&[at_once(), lingering(), tiny(), Config::default()]);
    let batch_size = one_of(&[1, 2, 3, config.batch_size]);
    let max_transaction_rows = (batch_size + draw(3)).min(config.max_transaction_rows);
    Config { batch_size, max_transaction_rows, ..config }
}

/// What the sink does with the first batches. Nothing fails for good, as a rule.
fn answers() -> Vec<Answer> {
    use Answer::{
        Busy, Commit, Down, Fatal, Panic, PanicCommitted, Refuse, Unknown, UnknownCommitted,
    };
    let may_end = draw(4) == 0;
    let ends = [Fatal, Panic, PanicCommitted];
    let others = [Commit, Commit, Commit, Busy, Busy, Down, Refuse, Unknown, UnknownCommitted];
    let answer = || if may_end && draw(4) == 0 { one_of(&ends) } else { one_of(&others) };
    (0..draw(6)).map(|_| answer()).collect()
}

/// Gives way a few times.
fn dawdle() {
    (0..draw(6)).for_each(|_| thread::yield_now());
}

/// A number below `end`.
fn draw(end: usize) -> usize {
    thread_rng().gen_range(0..end)
}

fn one_of<T: Clone>(choices: &[T]) -> T {
    choices[draw(choices.len())].clone()
}
