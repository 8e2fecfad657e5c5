//! A run: rounds in which every contender has its turn, in changing order.

use std::time::SystemTime;

use forebay_trial::{Latencies, Mode};

use crate::contender::{Contender, DIRECT, Program};
use crate::error::{ErrorKind, Result};
use crate::host;
use crate::plan::Plan;
use crate::program::Stop;
use crate::results::{Entry, FORMAT, Figures, Quantiles, Reads, Results, VERSION, Verdict};
use crate::scratch::Scratch;
use crate::spread::Spread;
use crate::trial::{self, Trial};

/// What a run tells while it goes on.
#[derive(Debug, Clone)]
pub enum Event {
    /// A trial begins.
    Begins {
        /// The round, from 1.
        round: u32,
        /// Trials that are over.
        done: u32,
        /// Trials of the run.
        of: u32,
        /// Who is on.
        contender: String,
        /// In which mode.
        mode: Mode,
    },
    /// A contender is out, for its trial failed or was void.
    Out {
        /// Who.
        contender: String,
        /// Why.
        why: String,
    },
}

/// What became of one contender in one mode.
struct Place<'a> {
    contender: &'a Contender,
    modes: Vec<Mode>,
    trials: Vec<Trial>,
    verdict: Verdict,
}

/// Runs a plan. `own` is the program of the contenders that come with forebay: one that calls
/// [`trial`](crate::trial_program). Blocks until all rounds are over; when it is told to stop it gives what the finished
/// rounds have shown.
///
/// # Errors
///
/// [`ErrorKind::Arguments`] for a plan that cannot be, [`ErrorKind::Stopped`] before the end of the first round, and
/// otherwise what stands in the way of every contender: a folder that cannot be written, no space. What one
/// contender fails of is its entry's verdict.
pub fn run(
    plan: &Plan,
    own: &Program,
    stop: &Stop,
    tell: &mut dyn FnMut(Event),
) -> Result<Results> {
    plan.check()?;
    let mut scratch = Scratch::new(&plan.folder, plan.workload.space())?;
    let begun_at = SystemTime::now();
    let disk = host::disk(scratch.path());
    let units = plan.units();
    let mut places: Vec<_> = units
        .into_iter()
        .map(|(place, modes)| Place {
            contender: &plan.contenders[place],
            modes,
            trials: Vec::new(),
            verdict: Verdict::Valid,
        })
        .collect();
    let mut order: Vec<usize> = (0..places.len()).collect();
    let mut random = fastrand::Rng::with_seed(plan.seed);
    let (mut done, mut rounds) = (0, 0);
    'rounds: for round in 1..=plan.rounds {
        random.shuffle(&mut order);
        for &place in &order {
            let Place { contender, modes, trials, verdict } = &mut places[place];
            if *verdict == Verdict::Valid {
                let (name, mode) = (contender.name.clone(), modes[0]);
                tell(Event::Begins {
                    round,
                    done,
                    of: plan.trials() * plan.rounds,
                    contender: name,
                    mode,
                });
                *verdict = match trial::run(plan, contender, mode, own, &mut scratch, stop) {
                    Ok(trial) if trial.void.is_none() => {
                        trials.push(trial);
                        Verdict::Valid
                    }
                    Ok(trial) => Verdict::Void(trial.void.unwrap_or_default()),
                    Err(error) if error.kind() == ErrorKind::Stopped && rounds > 0 => break 'rounds,
                    Err(error) if error.kind() == ErrorKind::Stopped => return Err(error),
                    Err(error) => Verdict::Failed(error.to_string()),
                };
                if let Verdict::Void(why) | Verdict::Failed(why) = verdict {
                    tell(Event::Out { contender: contender.name.clone(), why: why.clone() });
                }
            }
            done += 1;
        }
        rounds = round;
    }
    let mut results = Results {
        format: FORMAT.to_owned(),
        version: VERSION,
        begun_at: humantime::format_rfc3339_seconds(begun_at).to_string(),
        forebay: env!("CARGO_PKG_VERSION").to_owned(),
        host: host::host(),
        disk,
        settings: plan.settings("wal"),
        workload: plan.workload.facts(plan.row),
        workers: plan.workers,
        worker_kind: plan.kind,
        rate: plan.rate,
        rounds,
        rounds_planned: plan.rounds,
        seconds: plan.time.as_secs_f64(),
        warm_up_seconds: plan.warm_up.as_secs_f64(),
        seed: plan.seed,
        warnings: Vec::new(),
        entries: entries(plan, &places, rounds as usize),
    };
    results.warnings = warnings(&results);
    Ok(results)
}

fn entries(plan: &Plan, places: &[Place<'_>], rounds: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    for &mode in &plan.modes {
        for place in places.iter().filter(|place| place.modes.contains(&mode)) {
            let contender = place.contender;
            let reference = |name: &str| {
                let same = |other: &&Place<'_>| {
                    other.contender.name == name && other.modes.contains(&mode)
                };
                places.iter().find(same).filter(|other| other.verdict == Verdict::Valid)
            };
            entries.push(Entry {
                mode,
                contender: contender.name.clone(),
                description: contender.description.clone(),
                batch: contender.batch,
                verdict: place.verdict.clone(),
                figures: (place.verdict == Verdict::Valid)
                    .then(|| {
                        figures(
                            place,
                            reference(DIRECT),
                            contender.limit().as_deref().and_then(reference),
                            rounds,
                        )
                    })
                    .flatten(),
            });
        }
    }
    entries
}

fn figures(
    place: &Place<'_>,
    direct: Option<&Place<'_>>,
    limit: Option<&Place<'_>>,
    rounds: usize,
) -> Option<Figures> {
    let trials = &place.trials[..rounds.min(place.trials.len())];
    let each = |number: &dyn Fn(&Trial) -> Option<f64>| {
        let numbers: Option<Vec<f64>> = trials.iter().map(number).collect();
        numbers.and_then(Spread::of)
    };
    let versus = |other: &Place<'_>| {
        let pairs = trials.iter().zip(&other.trials);
        // JSON has no infinite numbers.
        Spread::of(
            pairs.map(|(ours, theirs)| ours.rate / theirs.rate).filter(|ratio| ratio.is_finite()),
        )
    };
    let all = |latencies: &dyn Fn(&Trial) -> Option<&Latencies>| {
        let mut merged = Latencies::new();
        trials.iter().filter_map(latencies).for_each(|latencies| merged.merge(latencies));
        Quantiles::of(&merged)
    };
    let sum = |number: &dyn Fn(&Trial) -> u64| trials.iter().map(number).sum();
    let starved =
        |trial: &Trial| trial.outcome.acknowledged.iter().filter(|rows| **rows == 0).count() as u64;
    let reads = each(&|trial| trial.reads.as_ref().map(|(rate, _)| *rate));
    let last = &trials.last()?.outcome;
    Some(Figures {
        worker_kind: last.workers,
        rows_per_second: each(&|trial| Some(trial.rate))?,
        versus_direct: direct.and_then(versus),
        versus_limit: limit.and_then(versus),
        limit: limit.map(|limit| limit.contender.name.clone()),
        rows_per_transaction: each(&|trial| {
            Some(trial.rows() as f64 / (trial.outcome.report.transactions? as f64).max(1.0))
        }),
        // One thread alone hands nothing over, and waits for nobody.
        latency: all(&|trial| (!place.contender.is_alone()).then_some(&trial.outcome.latency)),
        cpu_seconds_per_million_rows: each(&|trial| {
            Some(trial.outcome.cpu_seconds * 1e6 / (trial.rows() as f64).max(1.0))
        })?,
        peak_memory_bytes: each(&|trial| trial.outcome.peak_memory_bytes.map(|bytes| bytes as f64)),
        written_bytes_per_row: each(&|trial| {
            Some(trial.outcome.written_bytes? as f64 / (trial.rows() as f64).max(1.0))
        }),
        lock_errors: sum(&|trial| trial.outcome.report.lock_errors),
        retries: sum(&|trial| trial.outcome.report.retries),
        given_up: sum(&|trial| trial.outcome.report.given_up),
        starved_workers: trials
            .iter()
            .map(starved)
            .max()
            .filter(|_| !place.contender.is_alone())
            .unwrap_or(0),
        rows: sum(&Trial::rows),
        reads: reads.map(|per_second| Reads {
            per_second,
            latency: all(&|trial| trial.reads.as_ref().map(|(_, latencies)| latencies)),
        }),
        versions: last.versions.clone(),
        details: last.report.details.clone(),
    })
}

/// What a reader of the figures must know.
fn warnings(results: &Results) -> Vec<String> {
    let mut warnings = Vec::new();
    if host::is_memory(&results.disk) {
        warnings.push(format!(
            "the databases lay in memory ({}), where flushes cost nothing: name a folder on a disk with --dir",
            results.disk.filesystem
        ));
    }
    if results.is_partial() {
        warnings
            .push(format!("ended after {} of {} rounds", results.rounds, results.rounds_planned));
    }
    warnings
}
