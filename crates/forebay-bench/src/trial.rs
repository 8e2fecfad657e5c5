//! One trial: one contender, one mode, one fresh database.

use forebay_trial::{Latencies, Mode, Outcome, Report, Request, WorkerKind, Workers};

use crate::contender::{Contender, Program};
use crate::contenders::READERS;
use crate::databases::Databases;
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::program::{Errors, Running, Stop};

/// Queries that each reader means to make in a second.
const QUERIES: f64 = 100.0;

/// The part of a time that must have gone by where another clock measures it.
const SAME_TIME: f64 = 0.99;

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
    databases: &mut Databases,
    stop: &Stop,
) -> Result<Trial> {
    let request = databases.fresh(plan, contender, mode)?;
    let mut trial = measure(plan, contender, &request, own, stop)?;
    if trial.void.is_none() {
        trial.void = databases.check(plan, &request, &trial.outcome)?;
    }
    databases.clear()?;
    Ok(trial)
}

/// Runs one on a database that is there, and does not look into it afterwards. It is void where a program tells what
/// cannot be.
pub(crate) fn measure(
    plan: &Plan,
    contender: &Contender,
    request: &Request,
    own: &Program,
    stop: &Stop,
) -> Result<Trial> {
    let errors = Errors::new()?;
    let mut writers = start(&contender.program, request, plan.workers_in_one(), &errors, stop)?;
    let mut readers = start_readers(plan, own, request, &errors, stop)?;
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
    let void = of_writers.iter().chain(&of_readers).find_map(|outcome| implausible(outcome, plan));
    let rate = of_writers.iter().map(|outcome| outcome.rows as f64 / outcome.seconds).sum();
    let reads = of_readers.into_iter().next();
    let reads = reads.map(|outcome| (outcome.rows as f64 / outcome.seconds, outcome.latency));
    let mut outcome = together(of_writers).ok_or_else(|| Error::new("no program took part"))?;
    if request.workers.kind == WorkerKind::Processes {
        // To itself each was one with a thread or a task.
        outcome.workers = WorkerKind::Processes;
    }
    Ok(Trial { rate, outcome, reads, void })
}

/// Starts as many programs as the workers need: one for all, or one for so many of them.
fn start(
    program: &Program,
    request: &Request,
    in_one: u32,
    errors: &Errors,
    stop: &Stop,
) -> Result<Vec<Running>> {
    if request.workers.kind != WorkerKind::Processes {
        return Ok(vec![Running::start(program, request, errors, stop)?]);
    }
    let some = |first| {
        let mut request = request.clone();
        request.workers = Workers { first, count: in_one, ..request.workers };
        Running::start(program, &request, errors, stop)
    };
    (0..request.workers.total).step_by(in_one as usize).map(some).collect()
}

/// Those who query meanwhile, if the workload has them: a process of their own beside every contender.
fn start_readers(
    plan: &Plan,
    own: &Program,
    request: &Request,
    errors: &Errors,
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
    Ok(vec![Running::start(own, &request, errors, stop)?])
}

/// The outcome of several programs as that of one.
fn together(outcomes: Vec<Outcome>) -> Option<Outcome> {
    outcomes.into_iter().reduce(|mut all, one| {
        let sum = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a + b);
        all.rows += one.rows;
        all.acknowledged.extend(one.acknowledged);
        all.latency.merge(&one.latency);
        all.timed_every = all.timed_every.max(one.timed_every);
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

/// What cannot be of the rate that one program tells.
fn implausible(outcome: &Outcome, plan: &Plan) -> Option<String> {
    let (rows, seconds) = (outcome.rows, outcome.seconds);
    let acknowledged = outcome.acknowledged.iter().copied().fold(0, u64::saturating_add);
    let asked = plan.time.as_secs_f64();
    if rows > acknowledged {
        return Some(format!(
            "it counts {rows} rows committed in the time measured, and {acknowledged} acknowledged in all"
        ));
    }
    if seconds.is_finite() && seconds >= asked * SAME_TIME {
        return None;
    }
    Some(format!("it measured {seconds} s, and was asked for {asked} s"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::plan;

    #[test]
    fn a_rate_that_cannot_be_is_not_believed() {
        let plan = plan();
        let void = |rows: u64, seconds: f64| {
            let text = r#"{"workers":"threads","versions":{},"seconds":1,"rows":0,"acknowledged":[60,40],"latency":[],
                "cpu_seconds":0}"#;
            let outcome: Outcome = serde_json::from_str(text).unwrap();
            implausible(&Outcome { rows, seconds, ..outcome }, &plan)
        };
        assert_eq!(void(100, 0.1), None);
        assert!(
            void(101, 0.1).unwrap().contains("101 rows committed in the time measured, and 100")
        );
        for seconds in [0.0, 0.05, -1.0, f64::NAN, f64::INFINITY] {
            let why = void(100, seconds).unwrap();
            assert!(why.ends_with("and was asked for 0.1 s"), "{why}");
        }
    }
}
