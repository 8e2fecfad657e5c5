//! One trial: one contender, one mode, one fresh database.

use std::path::Path;

use forebay_trial::{Latencies, Mode, Outcome, Report, Request, Rows, Topics, WorkerKind, Workers};

use crate::contender::{Contender, Program};
use crate::contenders::READERS;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::program::{Running, Stop};
use crate::scratch::Scratch;
use crate::verify::{verify, verify_count};
use crate::workload::Workload;

/// Queries that each reader means to make in a second.
const QUERIES: f64 = 100.0;

/// What a trial has shown.
pub(crate) struct Trial {
    /// Rows committed in each second.
    pub(crate) rate: f64,
    /// Of all programs together.
    pub(crate) outcome: Outcome,
    /// Queries beside it: how many in each second, and how long they took.
    pub(crate) reads: Option<(f64, Latencies)>,
    /// Why its figures mean nothing, if they do not.
    pub(crate) void: Option<String>,
}

impl Trial {
    /// Rows acknowledged.
    pub(crate) fn rows(&self) -> u64 {
        self.outcome.acknowledged.iter().sum()
    }
}

/// Runs one.
pub(crate) fn run(
    plan: &Plan,
    contender: &Contender,
    mode: Mode,
    own: &Program,
    scratch: &mut Scratch,
    stop: &Stop,
) -> Result<Trial> {
    let journal_mode = contender.journal_mode();
    let database =
        scratch.database(journal_mode, |path| plan.workload.make(plan.row, path, journal_mode))?;
    let mut trial = measure(plan, contender, mode, own, &database, stop)?;
    trial.void = check(plan, &database, &trial.outcome)?;
    scratch.clear()?;
    Ok(trial)
}

/// Runs one on a database that is there, and does not look into it afterwards.
pub(crate) fn measure(
    plan: &Plan,
    contender: &Contender,
    mode: Mode,
    own: &Program,
    database: &Path,
    stop: &Stop,
) -> Result<Trial> {
    let database = database.to_owned();
    let request = plan.request(contender, mode, database);
    let mut writers = start(&contender.program, &request, stop)?;
    let mut readers = start_readers(plan, own, &request, stop)?;
    for program in writers.iter_mut().chain(&mut readers) {
        program.ready()?;
    }
    for program in writers.iter_mut().chain(&mut readers) {
        program.go()?;
    }
    let time = plan.warm_up + plan.time;
    let outcomes = |programs: &mut Vec<Running>| {
        programs.iter_mut().map(|program| program.outcome(time)).collect::<Result<Vec<_>>>()
    };
    let of_writers = outcomes(&mut writers)?;
    let of_readers = outcomes(&mut readers)?;
    let rate = of_writers.iter().map(|outcome| outcome.rows as f64 / outcome.seconds).sum();
    let reads = of_readers.into_iter().next();
    let reads = reads.map(|outcome| (outcome.rows as f64 / outcome.seconds, outcome.latency));
    let outcome = together(of_writers).ok_or_else(|| Error::new("no program took part"))?;
    Ok(Trial { rate, outcome, reads, void: None })
}

/// Starts as many programs as the workers need: one for all, or one for each.
fn start(program: &Program, request: &Request, stop: &Stop) -> Result<Vec<Running>> {
    if request.workers.kind != WorkerKind::Processes {
        return Ok(vec![Running::start(program, request, stop)?]);
    }
    let one = |first| {
        let mut request = request.clone();
        request.workers = Workers { first, count: 1, ..request.workers };
        Running::start(program, &request, stop)
    };
    (0..request.workers.total).map(one).collect()
}

/// Those who query meanwhile, if the workload has them: a process of their own beside every contender.
fn start_readers(
    plan: &Plan,
    own: &Program,
    request: &Request,
    stop: &Stop,
) -> Result<Vec<Running>> {
    let readers = plan.workload.readers();
    if readers == 0 {
        return Ok(Vec::new());
    }
    let mut request = request.clone();
    request.contender = READERS.to_owned();
    request.mode = Mode::Await;
    request.workers =
        Workers { total: readers, first: 0, count: readers, kind: WorkerKind::Threads };
    request.rate = Some(QUERIES * f64::from(readers));
    Ok(vec![Running::start(own, &request, stop)?])
}

/// The outcome of several programs as that of one.
fn together(outcomes: Vec<Outcome>) -> Option<Outcome> {
    outcomes.into_iter().reduce(|mut all, one| {
        let sum = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a + b);
        all.rows += one.rows;
        all.acknowledged.extend(one.acknowledged);
        all.latency.merge(&one.latency);
        all.cpu_seconds += one.cpu_seconds;
        all.peak_memory_bytes = sum(all.peak_memory_bytes, one.peak_memory_bytes);
        all.written_bytes = sum(all.written_bytes, one.written_bytes);
        all.report = Report {
            transactions: sum(all.report.transactions, one.report.transactions),
            lock_errors: all.report.lock_errors + one.report.lock_errors,
            retries: all.report.retries + one.report.retries,
            given_up: all.report.given_up + one.report.given_up,
            acknowledged: None,
            details: one.report.details,
        };
        all
    })
}

fn check(plan: &Plan, database: &Path, outcome: &Outcome) -> Result<Option<String>> {
    let workers = plan.workers;
    if outcome.acknowledged.len() != workers as usize {
        return Ok(Some(format!(
            "{workers} workers were asked for, and {} have answered",
            outcome.acknowledged.len()
        )));
    }
    match (&plan.workload, plan.workload.rows(plan.row)) {
        (Workload::Table(copy), _) => {
            let rows = copy.rows_after(outcome.acknowledged.iter().sum());
            verify_count(database, copy.table(), rows)
        }
        (_, Rows::Topics { keys, status_bytes }) => {
            let topics = Topics::new(workers, keys, status_bytes);
            verify(database, &topics, &outcome.acknowledged)
        }
        (_, Rows::Sample { .. }) => Ok(None),
    }
}
