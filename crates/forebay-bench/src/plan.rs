//! What a run is to do.

use std::path::PathBuf;
use std::time::Duration;

use forebay_trial::{Mode, PROTOCOL, Request, Settings, Synchronous, WorkerKind, Workers};

use crate::contender::{Contender, DIRECT};
use crate::error::{Error, Result};
use crate::workload::{RowKind, Workload};

/// What a run is to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is written.
    pub workload: Workload,
    /// How large its rows are.
    pub row: RowKind,
    /// Whether workers wait for their commits; both have figures of their own.
    pub modes: Vec<Mode>,
    /// How many write.
    pub workers: u32,
    /// As what.
    pub kind: WorkerKind,
    /// What a commit survives.
    pub synchronous: Synchronous,
    /// Rows in each second that all mean to write; `None` for as many as they can.
    pub rate: Option<f64>,
    /// Rounds, in each of which every contender has its turn.
    pub rounds: u32,
    /// How long a trial is measured.
    pub time: Duration,
    /// How long it runs before.
    pub warm_up: Duration,
    /// Who takes part.
    pub contenders: Vec<Contender>,
    /// Where the databases are made.
    pub folder: PathBuf,
    /// Of which the order of the contenders in each round is made.
    pub seed: u64,
}

impl Plan {
    /// Checks what can be wrong with it.
    ///
    /// # Errors
    ///
    /// Naming what is wrong, and what it must be.
    pub fn check(&self) -> Result<()> {
        self.check_trials()?;
        let wrong = |message: String| Err(Error::of_arguments(message));
        if self.contenders.is_empty() {
            return wrong("nobody takes part: name a contender".to_owned());
        }
        for (place, contender) in self.contenders.iter().enumerate() {
            if self.contenders[..place].iter().any(|other| other.name() == contender.name()) {
                return wrong(format!("contender {} is named twice", contender.name()));
            }
        }
        if self.modes.is_empty() {
            return wrong("there is no mode: name push, await, or both".to_owned());
        }
        Ok(())
    }

    /// Checks what does not depend on who takes part.
    pub(crate) fn check_trials(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::of_arguments(message));
        if !(1..=10_000).contains(&self.workers) {
            return wrong(format!("workers is {}: it must be 1 to 10000", self.workers));
        }
        if self.kind == WorkerKind::Processes && self.workers > 1_000 {
            return wrong(format!(
                "workers is {}: as processes it must be at most 1000",
                self.workers
            ));
        }
        if self.rounds == 0 {
            return wrong("rounds is 0: it must be at least 1".to_owned());
        }
        if self.time.is_zero() || self.time > Duration::from_secs(3_600) {
            return wrong(format!(
                "the time of a trial is {:?}: it must be more than 0 and at most an hour",
                self.time
            ));
        }
        if let Some(rate) = self.rate.filter(|rate| !(rate.is_finite() && *rate > 0.0)) {
            return wrong(format!("the rate is {rate}: it must be more than 0 rows in a second"));
        }
        Ok(())
    }

    /// Seconds that it takes, more or less.
    pub fn estimate(&self) -> Duration {
        // Opening, committing what is left, looking into the database.
        let around = Duration::from_millis(150);
        (self.warm_up + self.time + around) * self.trials() * self.rounds
    }

    /// Trials in each round.
    pub(crate) fn trials(&self) -> u32 {
        self.units().len() as u32
    }

    /// The trials of a round: contender and the modes that one stands for.
    pub(crate) fn units(&self) -> Vec<(usize, Vec<Mode>)> {
        let mut units = Vec::new();
        for (place, contender) in self.contenders.iter().enumerate() {
            for &mode in &self.modes {
                let modes = contender.modes_of_trial(mode, &self.modes);
                if modes[0] == mode {
                    units.push((place, modes));
                }
            }
        }
        units
    }

    /// What every connection is set to.
    pub(crate) fn settings(&self, journal_mode: &str) -> Settings {
        Settings {
            journal_mode: journal_mode.to_owned(),
            synchronous: self.synchronous,
            busy_timeout: Duration::from_secs(30),
            cache_kib: 16 * 1024,
            checkpoint_pages: 10_240,
        }
    }

    /// What a contender is asked for.
    pub(crate) fn request(&self, contender: &Contender, mode: Mode, database: PathBuf) -> Request {
        let total = self.workers;
        let count = if contender.is_alone() { 1 } else { total };
        let kind = if contender.is_alone() { WorkerKind::Threads } else { self.kind };
        Request {
            protocol: PROTOCOL,
            contender: contender.kind.clone(),
            options: contender.options.clone(),
            database,
            settings: self.settings(contender.journal_mode()),
            target: self.workload.target(),
            rows: self.workload.rows(self.row),
            mode,
            workers: Workers { total, first: 0, count, kind },
            // Its one worker has the pace of all.
            rate: self.rate.map(|rate| rate * f64::from(total / count)),
            warm_up: self.warm_up,
            time: self.time,
        }
    }

    /// Whether ratios to `direct` can be told.
    pub fn has_direct(&self) -> bool {
        self.contenders.iter().any(|contender| contender.name() == DIRECT)
    }
}
