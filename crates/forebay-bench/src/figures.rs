//! The figures of a run: what all rounds of a contender have shown, also beside others in the same round.

use forebay_trial::{Latencies, Mode};

use crate::contender::{Contender, DIRECT};
use crate::error::{ErrorKind, Result};
use crate::plan::Plan;
use crate::results::{Entry, Figures, Quantiles, Reads, Verdict};
use crate::spread::Spread;
use crate::trial::Trial;

/// What became of one contender in one mode, or in all that one trial of it stands for.
pub(crate) struct Place<'a> {
    pub(crate) contender: &'a Contender,
    pub(crate) modes: Vec<Mode>,
    pub(crate) verdict: Verdict,
    trials: Vec<Trial>,
}

impl<'a> Place<'a> {
    /// One for each trial of a round.
    pub(crate) fn all(plan: &'a Plan) -> Vec<Self> {
        let place = |(contender, modes)| Self {
            contender: &plan.contenders[contender],
            modes,
            verdict: Verdict::Valid,
            trials: Vec::new(),
        };
        plan.units().into_iter().map(place).collect()
    }

    /// Keeps what a trial has shown, or why it has shown nothing.
    ///
    /// # Errors
    ///
    /// When the run is to stop.
    pub(crate) fn take(&mut self, trial: Result<Trial>) -> Result<()> {
        self.verdict = match trial {
            Ok(Trial { void: Some(why), .. }) => Verdict::Void(why),
            Ok(trial) => {
                self.trials.push(trial);
                Verdict::Valid
            }
            Err(error) if error.kind() == ErrorKind::Stopped => return Err(error),
            Err(error) => Verdict::Failed(error.to_string()),
        };
        Ok(())
    }
}

/// One entry for each contender in each mode. The figures are of so many rounds.
pub(crate) fn entries(plan: &Plan, places: &[Place<'_>], rounds: usize) -> Vec<Entry> {
    let of_mode = |&mode: &Mode| {
        let in_mode = places.iter().filter(move |place| place.modes.contains(&mode));
        in_mode.map(move |place| entry(place, mode, places, rounds))
    };
    plan.modes.iter().flat_map(of_mode).collect()
}

fn entry(place: &Place<'_>, mode: Mode, places: &[Place<'_>], rounds: usize) -> Entry {
    let Place { contender, verdict, trials, .. } = place;
    let reference = |name: &str| {
        let same = |other: &&Place<'_>| other.contender.name == name && other.modes.contains(&mode);
        places.iter().find(same).filter(|other| other.verdict == Verdict::Valid)
    };
    let trials = Trials(&trials[..rounds.min(trials.len())]);
    let limit = contender.limit().as_deref().and_then(reference);
    let figures = || trials.figures(contender, reference(DIRECT), limit);
    Entry {
        mode,
        contender: contender.name.clone(),
        description: contender.description.clone(),
        batch: contender.batch,
        verdict: verdict.clone(),
        figures: if *verdict == Verdict::Valid { figures() } else { None },
    }
}

/// The trials of one contender, one of each round.
struct Trials<'a>(&'a [Trial]);

impl Trials<'_> {
    /// `None` without a trial.
    fn figures(
        &self,
        contender: &Contender,
        direct: Option<&Place<'_>>,
        limit: Option<&Place<'_>>,
    ) -> Option<Figures> {
        let last = &self.0.last()?.outcome;
        let rows_per_transaction = self.spread(|trial| {
            Some(trial.rows() as f64 / (trial.outcome.report.transactions? as f64).max(1.0))
        });
        // Whoever writes larger transactions than a limit is not bound by it.
        let rows = rows_per_transaction.as_ref().map_or(0.0, |rows| rows.median);
        let limit =
            limit.filter(|limit| limit.contender.batch.is_some_and(|most| rows <= most as f64));
        // One thread alone hands nothing over, and waits for nobody.
        let is_alone = contender.is_alone();
        let latency = self.merged(|trial| (!is_alone).then_some(&trial.outcome.latency));
        Some(Figures {
            worker_kind: last.workers,
            rows_per_second: self.spread(|trial| Some(trial.rate))?,
            versus_direct: direct.and_then(|direct| self.versus(direct)),
            versus_limit: limit.and_then(|limit| self.versus(limit)),
            limit: limit.map(|limit| limit.contender.name.clone()),
            rows_per_transaction,
            latency: Quantiles::of_every(last.timed_every, &latency),
            timed_every: last.timed_every,
            cpu_seconds_per_million_rows: self
                .spread(|trial| Some(per_row(trial.outcome.cpu_seconds * 1e6, trial)))?,
            peak_memory_bytes: self
                .spread(|trial| trial.outcome.peak_memory_bytes.map(|bytes| bytes as f64)),
            written_bytes_per_row: self
                .spread(|trial| Some(per_row(trial.outcome.written_bytes? as f64, trial))),
            lock_errors: self.sum(|trial| trial.outcome.report.lock_errors),
            retries: self.sum(|trial| trial.outcome.report.retries),
            given_up: self.sum(|trial| trial.outcome.report.given_up),
            starved_workers: if is_alone { 0 } else { self.starved() },
            rows: self.sum(Trial::rows),
            reads: self.reads(),
            versions: last.versions.clone(),
            details: last.report.details.clone(),
        })
    }

    /// A number that every round has.
    fn spread(&self, number: impl Fn(&Trial) -> Option<f64>) -> Option<Spread> {
        let numbers: Option<Vec<f64>> = self.0.iter().map(number).collect();
        numbers.and_then(Spread::of)
    }

    /// The rate over that of another in the same round.
    fn versus(&self, other: &Place<'_>) -> Option<Spread> {
        let ratios = self.0.iter().zip(&other.trials).map(|(ours, theirs)| ours.rate / theirs.rate);
        // JSON has no infinite numbers.
        Spread::of(ratios.filter(|ratio| ratio.is_finite()))
    }

    fn merged<'a>(&'a self, of: impl Fn(&'a Trial) -> Option<&'a Latencies>) -> Latencies {
        let mut merged = Latencies::new();
        self.0.iter().filter_map(of).for_each(|latencies| merged.merge(latencies));
        merged
    }

    fn sum(&self, number: impl Fn(&Trial) -> u64) -> u64 {
        self.0.iter().map(number).sum()
    }

    /// Workers without a row in a round, the most of all rounds.
    fn starved(&self) -> u64 {
        let starved = |trial: &Trial| {
            trial.outcome.acknowledged.iter().filter(|rows| **rows == 0).count() as u64
        };
        self.0.iter().map(starved).max().unwrap_or(0)
    }

    fn reads(&self) -> Option<Reads> {
        let per_second = self.spread(|trial| trial.reads.as_ref().map(|(rate, _)| *rate))?;
        let latencies = self.merged(|trial| trial.reads.as_ref().map(|(_, latencies)| latencies));
        Some(Reads { per_second, latency: Quantiles::of(&latencies) })
    }
}

/// A number of a trial for each of its rows.
fn per_row(number: f64, trial: &Trial) -> f64 {
    number / (trial.rows() as f64).max(1.0)
}
