//! The sweep: one batch size after the other, in rounds of changing order.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use forebay::Config;
use forebay_trial::{Latencies, Mode};
use serde::{Deserialize, Serialize};

use super::copy::{TableCopy, Writing};
use super::fit::Fit;
use super::{TuneEvent, Tuner};
use crate::contender::Contender;
use crate::contenders::watch::Watched;
use crate::error::{Error, Result};
use crate::results::Quantiles;
use crate::spread::Spread;
use crate::trial::{self, Trial};
use crate::verify::verify_count;

/// The batch sizes that are tried.
const BATCHES: [usize; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 400, 1_000, 2_000, 4_000];
/// Bytes of a batch at the most: a quarter of these is what a default buffer lets a batch have.
const MAX_BATCH_BYTES: usize = 16 << 20;
/// Batches that the buffer of a trial has room for, more or less.
const BATCHES_HELD: usize = 8;
/// Transactions that a trial sees at the least, from the second round on.
const TRANSACTIONS: u32 = 8;
/// Unless it took longer than this.
const MAX_TIME: Duration = Duration::from_secs(2);
/// Room on the disk that a trial begins with at the least: its log, and what it adds to tables.
const RESERVE: u64 = 256 << 20;
/// The batch size of the trial that shows what trials take beside their time, and what it takes at the most.
const FIRST: (usize, Duration) = (20, Duration::from_millis(50));

/// What one batch size has shown, over all rounds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct BatchPoint {
    /// Rows in a transaction at the most.
    pub batch: usize,
    /// Rows committed in each second.
    pub rows_per_second: Spread,
    /// Rows in each transaction, on average.
    pub rows_per_transaction: f64,
    /// Seconds of a transaction; push alone, where the writer is always busy.
    pub transaction_seconds: Option<Spread>,
    /// The same by the model.
    pub model_seconds: Option<f64>,
    /// How long calls took, of all rounds together.
    pub latency: Quantiles,
    /// What made rows due, in all rounds.
    pub triggers: Triggers,
    /// CPU time of the process.
    pub cpu_seconds_per_million_rows: Spread,
}

impl BatchPoint {
    /// Seconds that all but one of a hundred rows stay within. Where nobody waits, a row may come as a transaction has
    /// begun, and is in the next one: two of the slower quarter.
    pub fn delay_seconds(&self, mode: Mode) -> Option<f64> {
        match mode {
            Mode::Push => self.transaction_seconds.as_ref().map(|seconds| 2.0 * seconds.upper),
            Mode::Await => self.latency.p99,
        }
    }
}

/// How often each trigger made the gathered rows due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Triggers {
    /// As many rows as a batch has were there.
    pub count: u64,
    /// As many bytes, or the buffer was full.
    pub bytes: u64,
    /// The first of them was old enough.
    pub linger: u64,
    /// Somebody waited.
    pub receipt: u64,
}

impl Triggers {
    /// Those of one trial.
    pub(super) fn of(trial: &Trial) -> Self {
        let triggers = &trial.outcome.report.details["stats"]["triggers"];
        let of = |name: &str| triggers[name].as_u64().unwrap_or(0);
        Self {
            count: of("count"),
            bytes: of("bytes"),
            linger: of("linger"),
            receipt: of("receipt"),
        }
    }

    /// Those of several.
    pub(super) fn sum(trials: &[Trial]) -> Self {
        trials.iter().map(Self::of).fold(Self::default(), |a, b| Self {
            count: a.count + b.count,
            bytes: a.bytes + b.bytes,
            linger: a.linger + b.linger,
            receipt: a.receipt + b.receipt,
        })
    }
}

/// A setting that takes part: what it is called, and how long its trials are.
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) config: Config,
    pub(super) time: Duration,
}

/// Settings of a buffer for batches of this size. It holds few of them, so that a trial ends soon after its time, and
/// the largest row.
pub(super) fn settings(table: &TableCopy, batch: usize) -> Config {
    let default = Config::default();
    let (size, largest) = (table.row_size().0, table.largest_row_bytes());
    let batches = (BATCHES_HELD * batch * size).max(768 * batch).max(256 * 1024);
    let max_buffer_bytes = default.max_buffer_bytes.min(batches).max(4 * largest);
    let max_batch_bytes = default.max_batch_bytes.max(2 * batch * size).min(max_buffer_bytes / 4);
    let max_row_bytes = default.max_row_bytes.max(largest).min(max_buffer_bytes / 4);
    Config {
        batch_size: batch,
        max_transaction_rows: batch,
        max_batch_bytes,
        max_buffer_bytes,
        max_row_bytes,
        ..default
    }
}

/// Runs trials of all settings, in so many rounds. Gives those of each.
pub(super) fn rounds(
    tuner: &Tuner<'_>,
    settings: &[Setting],
    rounds: u32,
    rate: Option<f64>,
    tell: &mut dyn FnMut(TuneEvent),
) -> Result<Vec<Vec<Trial>>> {
    let plan = tuner.plan;
    let mut trials: Vec<Vec<Trial>> = settings.iter().map(|_| Vec::new()).collect();
    let mut order: Vec<usize> = (0..settings.len()).collect();
    let mut random = fastrand::Rng::with_seed(plan.seed);
    let mut done = 0;
    for _ in 0..rounds {
        random.shuffle(&mut order);
        for &place in &order {
            let Setting { name, config, time } = &settings[place];
            let of = rounds * settings.len() as u32;
            tell(TuneEvent::Trial { done, of, name: name.clone() });
            let time = match (rate, trials[place].first()) {
                (None, Some(first)) => (*time).max(transactions(first)),
                _ => *time,
            };
            trials[place].push(one(tuner, name, config, rate, time)?);
            done += 1;
        }
    }
    Ok(trials)
}

/// Runs one trial.
fn one(
    tuner: &Tuner<'_>,
    name: &str,
    config: &Config,
    rate: Option<f64>,
    time: Duration,
) -> Result<Trial> {
    let mode = tuner.plan.mode;
    let mut contender = Contender::configured(name, config, tuner.own);
    if mode == Mode::Push {
        contender = contender.watched();
    }
    let database = database(tuner.table)?;
    let folder = tuner.table.folder();
    has_room(free(folder), folder)?;
    let trial = tuner.trial(rate, time);
    let request = trial.request(&contender, mode, database);
    trial::measure(&trial, &contender, &request, tuner.own, tuner.stop)
}

/// What a trial takes beside its time, seen by one: the database is made, a program started, and what its buffer holds
/// at the end written.
pub(super) fn around(tuner: &Tuner<'_>) -> Result<Duration> {
    let (batch, most) = FIRST;
    let time = tuner.plan.time.min(most);
    let begun = Instant::now();
    one(tuner, "first", &settings(tuner.table, batch), None, time)?;
    Ok(begun.elapsed().saturating_sub(tuner.takes(time)))
}

/// Bytes that are left on the disk of a folder, as far as that can be told.
fn free(folder: &Path) -> u64 {
    rustix::fs::statvfs(folder).map_or(u64::MAX, |disk| disk.f_bavail * disk.f_frsize)
}

/// Looks whether so many bytes are enough for a trial in this folder.
fn has_room(free: u64, folder: &Path) -> Result<()> {
    if free >= RESERVE {
        return Ok(());
    }
    Err(Error::new(format!(
        "there is no space: the disk of {} has {} MiB left, and {} MiB are kept free while trials run",
        folder.parent().unwrap_or(folder).display(),
        free >> 20,
        RESERVE >> 20
    ))
    .with_hint("free some, name a folder on another disk with --dir, or make trials shorter with --seconds"))
}

/// The time of a few transactions like those of a trial.
fn transactions(trial: &Trial) -> Duration {
    let one = rows_per_transaction(trial) / rate(trial);
    Duration::try_from_secs_f64(one * f64::from(TRANSACTIONS)).unwrap_or(MAX_TIME).min(MAX_TIME)
}

/// The database of a trial: the copy itself where rows are written back, which leaves it as large as it is, else one
/// made of it.
fn database(table: &TableCopy) -> Result<PathBuf> {
    if table.writing == Writing::Upsert {
        return Ok(table.database.clone());
    }
    let database = table.folder().join("trial.db");
    table.copy_to(&database, "wal")?;
    Ok(database)
}

/// Looks whether the copy is sound after all trials.
pub(super) fn verify(table: &TableCopy) -> Result<()> {
    match verify_count(&table.database, table.table(), table.filled)? {
        Some(wrong) => {
            Err(Error::new(format!("the figures mean nothing: after the trials {wrong}")))
        }
        None => Ok(()),
    }
}

/// Tries all batch sizes.
pub(super) fn run(tuner: &Tuner<'_>, tell: &mut dyn FnMut(TuneEvent)) -> Result<Vec<BatchPoint>> {
    let (plan, size) = (tuner.plan, tuner.table.row_size().0);
    let sizes: Vec<usize> = BATCHES
        .into_iter()
        .filter(|batch| *batch == 1 || 2 * batch * size <= MAX_BATCH_BYTES)
        .collect();
    let setting = |batch: &usize| Setting {
        name: format!("batches of {batch}"),
        config: settings(tuner.table, *batch),
        time: plan.time,
    };
    let settings: Vec<Setting> = sizes.iter().map(setting).collect();
    tell(TuneEvent::Begins {
        what: "batch sizes",
        settings: sizes.len(),
        estimate: tuner.takes(plan.time) * plan.rounds * sizes.len() as u32,
    });
    let trials = rounds(tuner, &settings, plan.rounds, None, tell)?;
    sizes.iter().zip(&trials).map(|(batch, trials)| point(plan.mode, *batch, trials)).collect()
}

fn point(mode: Mode, batch: usize, trials: &[Trial]) -> Result<BatchPoint> {
    let mut latency = Latencies::new();
    trials.iter().for_each(|trial| latency.merge(&trial.outcome.latency));
    let spread = |of: &dyn Fn(&Trial) -> f64| Spread::of(trials.iter().map(of)).unwrap_or_default();
    let seconds = spread(&|trial| rows_per_transaction(trial) / rate(trial));
    let timed = mode == Mode::Push && seconds.median.is_finite() && seconds.median > 0.0;
    Ok(BatchPoint {
        batch,
        rows_per_second: spread(&rate),
        rows_per_transaction: spread(&rows_per_transaction).median,
        transaction_seconds: timed.then_some(seconds),
        model_seconds: None,
        latency: Quantiles::of(&latency),
        triggers: Triggers::sum(trials),
        cpu_seconds_per_million_rows: spread(&cpu_seconds_per_million_rows),
    })
}

/// Rows committed in each second: between the ends of transactions, where those were seen.
pub(super) fn rate(trial: &Trial) -> f64 {
    watched(trial).and_then(|seen| seen.rows_per_second).unwrap_or(trial.rate)
}

/// What a watched buffer has told of itself.
pub(super) fn watched(trial: &Trial) -> Option<Watched> {
    serde_json::from_value(trial.outcome.report.details.get("watched")?.clone()).ok()
}

/// Rows that a buffer has committed: what it still held was not written.
fn rows(trial: &Trial) -> f64 {
    let stats = &trial.outcome.report.details["stats"];
    let of = |name: &str| stats[name].as_u64().unwrap_or(0);
    (of("committed") + of("superseded")) as f64
}

pub(super) fn rows_per_transaction(trial: &Trial) -> f64 {
    rows(trial) / (trial.outcome.report.transactions.unwrap_or(0) as f64).max(1.0)
}

pub(super) fn cpu_seconds_per_million_rows(trial: &Trial) -> f64 {
    trial.outcome.cpu_seconds * 1e6 / rows(trial).max(1.0)
}

/// Fits the model to the times of transactions, and notes what it says beside each.
pub(super) fn fit(mode: Mode, batches: &mut [BatchPoint]) -> Option<Fit> {
    if mode == Mode::Await {
        return None;
    }
    let points = batches.iter().filter_map(|point| {
        Some((point.rows_per_transaction, point.transaction_seconds.as_ref()?.median))
    });
    let fit = Fit::of(&points.collect::<Vec<_>>())?;
    for point in batches {
        point.model_seconds = Some(fit.seconds(point.rows_per_transaction));
    }
    Some(fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_end_before_they_fill_a_disk() {
        let folder = Path::new("/data/.forebay-tune-1");
        has_room(RESERVE, folder).unwrap();
        let error = has_room(RESERVE - 1, folder).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no space: the disk of /data has 255 MiB left, and 256 MiB are kept free while trials run"
        );
        assert!(error.hint().unwrap().contains("--dir"));
    }
}
