//! 7d: how far the write-ahead log grows beyond its limit while rows all over a large table are pushed.
//!
//! Rows are as long as those that they replace, so each changes one page of the table at the most, and a batch of N rows
//! adds at most N frames, of a page and the 24 bytes before it, to the log. That is what a batch is here. The file is only
//! looked at by its name: to open it would be to close it again, which drops the locks of the process.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use forebay::{Config, WriteBuffer};
use forebay_benches::{Rows, topics};
use forebay_cli::failure::{Failure, Result};
use serde::{Deserialize, Serialize};

use crate::conductor::Conductor;
use crate::database::{self, WIDE};
use crate::parts::{self, Part};
use crate::rounds::{Ingredient, Measured, Plain, Round, Shown, gathered};

/// Those who push.
const THREADS: u64 = 8;
/// Rows in a transaction at the most: those of the other targets, and those of the defaults.
const BATCHES: [usize; 2] = [400, 4_000];
/// Bytes before each page in the log.
const FRAME: u64 = 24;
/// In the times of the other trials: several checkpoints.
const TRIALS: u32 = 3;
/// How often the file is looked at.
const LOOK: Duration = Duration::from_micros(500);

/// What a child is asked for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ask {
    database: PathBuf,
    batch: usize,
    time: Duration,
}

/// What it has seen, in bytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Seen {
    peak: u64,
    limit: u64,
    batch: u64,
}

/// Measures it with each size of batches; the worse one counts.
pub(crate) fn measure(
    conductor: &Conductor<'_>,
) -> Result<BTreeMap<&'static str, Result<Measured>>> {
    let name = "the log of a wide table";
    let rounds = conductor.rounds(name, |_| {
        let folder = conductor.folder()?;
        let mut worst: Option<Shown> = None;
        for batch in BATCHES {
            let folder = tempfile::tempdir_in(&folder)
                .map_err(|error| Failure::new(format!("cannot make a folder: {error}")))?;
            let database = database::make(folder.path(), WIDE)?;
            let ask = Ask { database, batch, time: conductor.time(TRIALS) };
            let shown = shown(batch, &conductor.ask(name, &Part::Log(ask))?)?;
            if worst.as_ref().is_none_or(|worst| shown.number > worst.number) {
                worst = Some(shown);
            }
        }
        Ok(Round::from([("7d", worst.ok_or_else(|| Failure::new("nothing was tried")))]))
    })?;
    Ok(gathered(rounds))
}

fn shown(rows: usize, seen: &Seen) -> Result<Shown> {
    let Seen { peak, limit, batch } = *seen;
    let beyond = peak.checked_sub(limit).ok_or_else(|| {
        Failure::new("the log has not reached its limit in a trial: raise --seconds")
    })?;
    let bytes = |name: String, bytes: u64| Ingredient::new(name, bytes as f64, Plain::Bytes);
    Ok(Shown {
        number: beyond as f64 / batch as f64,
        made_of: vec![
            bytes(format!("batches of {rows}: peak"), peak),
            bytes("limit".to_owned(), limit),
            bytes(format!("batches of {rows}: one"), batch),
        ],
    })
}

/// The child's part: pushes for the time, and watches the file.
pub(crate) fn watch(ask: &Ask) -> parts::Result<Seen> {
    let config = Config { batch_size: 400, max_transaction_rows: ask.batch, ..Config::default() };
    let limit = config.max_wal_bytes as u64;
    let page: u32 =
        forebay_benches::connect(&ask.database)
            .pragma_query_value(None, "page_size", |row| row.get(0))?;
    let buffer = WriteBuffer::builder(&ask.database).config(config).open()?;
    let producer = topics(&buffer, Rows::All);
    let mut log = ask.database.clone().into_os_string();
    log.push("-wal");
    let is_over = AtomicBool::new(false);
    let push = |thread| {
        let mut random = fastrand::Rng::with_seed(thread);
        let mut numbers = (0..).take_while(|_| !is_over.load(Ordering::Relaxed));
        numbers.try_for_each(|number| producer.push(&database::update(&mut random, WIDE, number)))
    };
    let peak = thread::scope(|scope| {
        let push = &push;
        let threads = (0..THREADS).map(|thread| scope.spawn(move || push(thread))).collect();
        let peak = largest(Path::new(&log), ask.time);
        is_over.store(true, Ordering::Relaxed);
        parts::join(threads)?;
        parts::Result::Ok(peak)
    })?;
    // What is left would take longer than the trial, and what is under way may.
    let stats = buffer.close_within(Duration::ZERO)?.stats;
    if stats.rejected > 0 {
        return Err(format!("rows were not written: {stats:?}").into());
    }
    Ok(Seen { peak, limit, batch: ask.batch as u64 * (u64::from(page) + FRAME) })
}

/// The largest size that a file has within a time.
fn largest(file: &Path, time: Duration) -> u64 {
    let until = Instant::now() + time;
    let mut largest = 0;
    while Instant::now() < until {
        largest = largest.max(fs::metadata(file).map_or(0, |file| file.len()));
        thread::park_timeout(LOOK);
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_may_be_as_far_beyond_its_limit_as_a_batch_is_long() {
        let number =
            |peak| shown(400, &Seen { peak, limit: 1_000, batch: 100 }).map(|it| it.number);
        assert_eq!(number(1_100).unwrap(), 1.0);
        assert_eq!(number(1_000).unwrap(), 0.0);
        assert!(number(999).unwrap_err().message().contains("raise --seconds"));
    }
}
