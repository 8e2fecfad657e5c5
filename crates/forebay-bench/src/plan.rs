//! What a run is to do.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use forebay::Config;
use forebay_trial::{Mode, PROTOCOL, Request, Settings, Synchronous, WorkerKind, Workers};

use crate::contender::Contender;
use crate::contenders;
use crate::error::{Error, Result};
use crate::sink::Sink;
use crate::workload::{RowKind, Workload};

/// Seconds of a trial at the most.
const MAX_SECONDS: f64 = 3_600.0;
/// Rows that a trial at a steady pace has at the least.
const LEAST_ROWS: f64 = 10.0;
/// Rows in a second that workers can mean to write.
const RATES: RangeInclusive<f64> = 0.001..=1e9;

/// What a run is to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Which kind of database is written.
    pub sink: Sink,
    /// The PostgreSQL server that is; `None` for one that is started for the run, and for SQLite.
    pub url: Option<String>,
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
    /// In how many processes, as threads, where they are processes; `None` for one each.
    pub processes: Option<u32>,
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
    /// Naming what is wrong, by the argument of `forebay bench`, and what it must be.
    pub fn check(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::of_arguments(message));
        check_trials(self.workers, self.kind, self.rounds, self.time, self.rate)?;
        let (workers, processes) = (self.workers, self.processes.unwrap_or(self.workers));
        if processes == 0 || !workers.is_multiple_of(processes) {
            return wrong(format!(
                "--processes {processes}: {workers} workers cannot be spread evenly over them"
            ));
        }
        let seconds = self.time.as_secs_f64();
        if let Some(rate) = self.rate.filter(|rate| rate * seconds < LEAST_ROWS) {
            let rows = rate * seconds;
            return wrong(format!(
                "--rate {rate}: that is {rows:.1} rows in a trial of {seconds} seconds, which tells nothing: raise it, or --seconds, \
                 to {LEAST_ROWS} rows"
            ));
        }
        if self.contenders.is_empty() {
            return wrong("nobody takes part: name a contender".to_owned());
        }
        for (place, contender) in self.contenders.iter().enumerate() {
            if self.contenders[..place].iter().any(|other| other.name() == contender.name()) {
                return wrong(format!("contender {} is named twice", contender.name()));
            }
        }
        self.check_sink()?;
        if self.modes.is_empty() {
            return wrong("there is no mode: name push, await, or both".to_owned());
        }
        Ok(())
    }

    /// Refuses what there is no such thing of on a server.
    fn check_sink(&self) -> Result<()> {
        if self.sink == Sink::Sqlite {
            return Ok(());
        }
        let wrong = |message: &str| Err(Error::of_arguments(message));
        if self.kind == WorkerKind::Processes {
            return wrong("--sink postgres: workers are threads or tasks there, not processes");
        }
        match self.workload {
            Workload::Hot | Workload::Wide | Workload::Append => Ok(()),
            Workload::Mixed => wrong(
                "--workload mixed is for SQLite: with --sink postgres name hot, wide or append",
            ),
            Workload::Table(_) => {
                wrong("a table of a database is measured with --sink sqlite alone")
            }
        }
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

    /// These settings of a buffer with those in their place that are equal for all contenders: durability, busy timeout,
    /// cache and log (of pages of 4 KiB).
    pub fn equalized(&self, config: Config) -> Config {
        contenders::equalized(config, &self.settings("wal"), 4_096)
    }

    /// How many workers run in one process.
    pub(crate) fn workers_in_one(&self) -> u32 {
        match self.kind {
            WorkerKind::Processes => self.workers / self.processes.unwrap_or(self.workers).max(1),
            WorkerKind::Threads | WorkerKind::Tasks => self.workers,
        }
    }

    /// What a contender is asked for.
    pub(crate) fn request(&self, contender: &Contender, mode: Mode, database: PathBuf) -> Request {
        let total = self.workers;
        let count = if contender.is_alone() { 1 } else { total };
        let kind = if contender.is_alone() { WorkerKind::Threads } else { self.kind };
        let settings = self.settings(contender.journal_mode());
        let checkpoint_pages = contender.checkpoint_pages.unwrap_or(settings.checkpoint_pages);
        Request {
            protocol: PROTOCOL,
            contender: contender.kind.clone(),
            options: contender.options.clone(),
            database,
            server: None,
            settings: Settings { checkpoint_pages, ..settings },
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
}

/// Checks what depends neither on who takes part nor on what is written.
pub(crate) fn check_trials(
    workers: u32,
    kind: WorkerKind,
    rounds: u32,
    time: Duration,
    rate: Option<f64>,
) -> Result<()> {
    let wrong = |message: String| Err(Error::of_arguments(message));
    if workers == 0 {
        return wrong("--workers 0: there must be at least one".to_owned());
    }
    let most = if kind == WorkerKind::Processes { 1_000 } else { 10_000 };
    if workers > most {
        let kind = kind.name();
        return wrong(format!("--workers {workers}: as {kind} there can be at most {most}"));
    }
    if rounds == 0 {
        return wrong("--rounds 0: there must be at least one".to_owned());
    }
    let seconds = time.as_secs_f64();
    if time.is_zero() || seconds > MAX_SECONDS {
        return wrong(format!(
            "--seconds {seconds}: it must be more than 0 and at most {MAX_SECONDS}"
        ));
    }
    if let Some(rate) = rate.filter(|rate| !RATES.contains(rate)) {
        let (least, most) = (RATES.start(), RATES.end());
        return wrong(format!("--rate {rate:?}: it must be {least} to {most} rows in a second"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::plan;

    type Change = fn(&mut Plan);

    #[test]
    fn a_checkpoint_of_its_own_is_asked_of_one_contender_and_of_no_other() {
        let plan = plan();
        let pages = |name| {
            let own = &plan.contenders[0].program;
            let contender = Contender::named(Sink::Sqlite, name, own, plan.row.size()).unwrap();
            plan.request(&contender, Mode::Push, PathBuf::new()).settings.checkpoint_pages
        };
        assert_eq!((pages("limit@400"), pages("limit@400+default-checkpoint")), (10_240, 1_000));
    }

    #[test]
    fn what_a_server_has_not_is_told() {
        let said = |change: Change| {
            let mut plan = Plan { sink: Sink::Postgres, ..plan() };
            change(&mut plan);
            plan.check().map_err(|error| error.to_string())
        };
        assert_eq!(said(|_| ()), Ok(()));
        let processes = said(|plan| plan.kind = WorkerKind::Processes).unwrap_err();
        assert!(processes.contains("threads or tasks there, not processes"), "{processes}");
        let mixed = said(|plan| plan.workload = Workload::Mixed).unwrap_err();
        assert!(mixed.contains("name hot, wide or append"), "{mixed}");
    }

    #[test]
    fn what_cannot_be_run_is_told_by_its_argument() {
        let said = |change: Change| {
            let mut plan = plan();
            change(&mut plan);
            plan.check().map_err(|error| error.to_string())
        };
        assert_eq!(said(|_| ()), Ok(()));
        let cases: [(&str, Change); 10] = [
            ("--workers 0: there must be at least one", |plan| plan.workers = 0),
            ("--workers 10001: as threads there can be at most 10000", |plan| {
                plan.workers = 10_001;
            }),
            ("--workers 1001: as processes there can be at most 1000", |plan| {
                (plan.workers, plan.kind) = (1_001, WorkerKind::Processes);
            }),
            ("--processes 7: 80 workers cannot be spread evenly over them", |plan| {
                plan.processes = Some(7);
            }),
            ("--rounds 0: there must be at least one", |plan| plan.rounds = 0),
            ("--seconds 0: it must be more than 0 and at most 3600", |plan| {
                plan.time = Duration::ZERO;
            }),
            ("--seconds 1000000000: it must be more than 0 and at most 3600", |plan| {
                plan.time = Duration::from_secs(1_000_000_000);
            }),
            (
                "--rate 50: that is 5.0 rows in a trial of 0.1 seconds, which tells nothing: raise it, or --seconds, to 10 rows",
                |plan| {
                    plan.rate = Some(50.0);
                },
            ),
            ("--rate -1.0: it must be 0.001 to 1000000000 rows in a second", |plan| {
                plan.rate = Some(-1.0);
            }),
            ("--rate NaN: it must be 0.001 to 1000000000 rows in a second", |plan| {
                plan.rate = Some(f64::NAN);
            }),
        ];
        for (expected, change) in cases {
            assert_eq!(said(change).unwrap_err(), expected);
        }
    }
}
