//! 9b and 9c: eight processes write to one database and wait for each row: what each of them gets.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use forebay::WriteBuffer;
use forebay_benches::{Rows, TOPICS, topics, update};
use forebay_cli::failure::{Failure, Result};
use serde::{Deserialize, Serialize};

use crate::child::Child;
use crate::conductor::Conductor;
use crate::database;
use crate::parts::{self, Part};
use crate::rounds::{Ingredient, Measured, Plain, Round, Shown, gathered};

const PROCESSES: u64 = 8;
/// In each of them.
const THREADS: u64 = 10;
/// In the times of the other trials: who is left out must have time for his turn.
const TRIALS: u32 = 10;
/// What a child says when it is ready, and is told then.
const READY: &str = "ready";

/// What a child is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ask {
    database: PathBuf,
    process: u64,
    time: Duration,
}

/// What it got.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Got {
    /// Rows whose commit was acknowledged.
    rows: u64,
    /// The longest time without one.
    longest: Duration,
}

/// Measures both.
pub(crate) fn measure(
    conductor: &Conductor<'_>,
) -> Result<BTreeMap<&'static str, Result<Measured>>> {
    let rounds = conductor.rounds("what each of 8 processes gets", |_| {
        let folder = conductor.folder()?;
        let database = database::make(folder.path(), TOPICS.unsigned_abs())?;
        let start = |process| {
            let ask = Ask { database: database.clone(), process, time: conductor.time(TRIALS) };
            let command = conductor.command(&Part::Process(ask))?;
            Child::start(&format!("process {process}"), command, &conductor.stop)
        };
        let mut children = (0..PROCESSES).map(start).collect::<Result<Vec<_>>>()?;
        for child in &mut children {
            // One that is not ready says why when it is asked for its answer.
            child.line()?;
        }
        // A child that has ended does not listen, and says why when it is asked for its answer.
        children.iter_mut().for_each(|child| drop(child.tell(READY)));
        let got = children.into_iter().map(Child::answer).collect::<Result<Vec<Got>>>()?;
        Ok(shown(&got))
    })?;
    Ok(gathered(rounds))
}

fn shown(got: &[Got]) -> Round {
    let rows = || got.iter().map(|got| got.rows as f64);
    let of = |name: &str, rows| Ingredient::new(name, rows, Plain::Rows);
    let mean = rows().sum::<f64>() / got.len() as f64;
    let slowest = rows().fold(f64::INFINITY, f64::min);
    let longest = got.iter().map(|got| got.longest).max();
    let longest = longest.ok_or_else(|| Failure::new("no process took part"));
    Round::from([
        ("9b", Ok(Shown::ratio(of("the slowest", slowest), of("their mean", mean)))),
        ("9c", longest.map(|longest| Shown::alone(longest.as_secs_f64()))),
    ])
}

/// When a process last got a commit.
struct Commits {
    last: Instant,
    longest: Duration,
}

impl Commits {
    fn note(&mut self, now: Instant) {
        self.longest = self.longest.max(now.saturating_duration_since(self.last));
        self.last = self.last.max(now);
    }
}

/// The child's part: waits for the others, then writes for the time.
pub(crate) fn write(ask: &Ask) -> parts::Result<Got> {
    let buffer = WriteBuffer::open(&ask.database)?;
    let producer = topics(&buffer, Rows::All);
    parts::print(READY)?;
    io::stdin().read_line(&mut String::new())?;
    let begun = Instant::now();
    let commits = Mutex::new(Commits { last: begun, longest: Duration::ZERO });
    let note = |now| commits.lock().unwrap_or_else(PoisonError::into_inner).note(now);
    let work = |thread: u64| {
        let first = (ask.process * THREADS + thread) << 40;
        let mut rows = 0;
        while begun.elapsed() < ask.time {
            producer.write(&update(first + rows))?;
            rows += 1;
            note(Instant::now());
        }
        forebay::Result::Ok(rows)
    };
    let rows = thread::scope(|scope| {
        let work = &work;
        parts::join((0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect())
    })?;
    note(begun + ask.time);
    buffer.close()?;
    let longest = commits.into_inner().unwrap_or_else(PoisonError::into_inner).longest;
    Ok(Got { rows: rows.into_iter().sum(), longest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_process_is_compared_with_the_mean_of_all() {
        let got = |rows, seconds| Got { rows, longest: Duration::from_secs(seconds) };
        let round = shown(&[got(30, 1), got(10, 3), got(20, 2)]);
        assert_eq!(round["9b"].clone().unwrap().number, 0.5);
        assert_eq!(round["9c"].clone().unwrap().number, 3.0);
    }

    #[test]
    fn a_time_without_a_commit_counts_from_the_last_also_at_the_end() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut commits = Commits { last: begun, longest: Duration::ZERO };
        [at(2), at(1), at(3)].into_iter().for_each(|now| commits.note(now));
        assert_eq!(commits.longest, Duration::from_secs(2));
        commits.note(at(8));
        assert_eq!(commits.longest, Duration::from_secs(5));
    }
}
