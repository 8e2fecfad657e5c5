//! A run: rounds in which every contender has its turn, in changing order.

use std::time::SystemTime;

use forebay_trial::Mode;

use crate::contender::Program;
use crate::databases::Databases;
use crate::error::{ErrorKind, Result};
use crate::figures::{self, Place};
use crate::host;
use crate::plan::Plan;
use crate::program::{Stop, allow_files};
use crate::results::{Disk, Entry, FORMAT, Results, ServerFacts, VERSION, Verdict};
use crate::trial;

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
    allow_files();
    let databases = Databases::open(plan, stop)?;
    let begun_at = SystemTime::now();
    let (disk, server) = (databases.disk(), databases.server());
    let mut run = Run { plan, own, stop, databases };
    let mut places = Place::all(plan);
    let mut order: Vec<usize> = (0..places.len()).collect();
    let mut random = fastrand::Rng::with_seed(plan.seed);
    let mut rounds = 0;
    while rounds < plan.rounds {
        random.shuffle(&mut order);
        match run.round(rounds, &order, &mut places, tell) {
            Ok(()) => rounds += 1,
            Err(error) if error.kind() == ErrorKind::Stopped && rounds > 0 => break,
            Err(error) => return Err(error),
        }
    }
    let entries = figures::entries(plan, &places, rounds as usize);
    Ok(results(plan, begun_at, (disk, server), rounds, entries))
}

/// What every trial of a run needs.
struct Run<'a> {
    plan: &'a Plan,
    own: &'a Program,
    stop: &'a Stop,
    databases: Databases,
}

impl Run<'_> {
    /// Has all who are not out take their turn.
    fn round(
        &mut self,
        rounds: u32,
        order: &[usize],
        places: &mut [Place<'_>],
        tell: &mut dyn FnMut(Event),
    ) -> Result<()> {
        let trials = self.plan.trials();
        for (turn, &place) in (0..).zip(order) {
            let place = &mut places[place];
            if place.verdict != Verdict::Valid {
                continue;
            }
            tell(Event::Begins {
                round: rounds + 1,
                done: rounds * trials + turn,
                of: trials * self.plan.rounds,
                contender: place.contender.name.clone(),
                mode: place.modes[0],
            });
            let (contender, mode) = (place.contender, place.modes[0]);
            let databases = &mut self.databases;
            place.take(trial::run(self.plan, contender, mode, self.own, databases, self.stop))?;
            if let Verdict::Void(why) | Verdict::Failed(why) = &place.verdict {
                tell(Event::Out { contender: contender.name.clone(), why: why.clone() });
            }
        }
        Ok(())
    }
}

/// All that a run has shown.
fn results(
    plan: &Plan,
    begun_at: SystemTime,
    (disk, server): (Disk, Option<ServerFacts>),
    rounds: u32,
    entries: Vec<Entry>,
) -> Results {
    let mut results = Results {
        format: FORMAT.to_owned(),
        version: VERSION,
        begun_at: humantime::format_rfc3339_seconds(begun_at).to_string(),
        forebay: env!("CARGO_PKG_VERSION").to_owned(),
        host: host::host(),
        disk,
        settings: server.is_none().then(|| plan.settings("wal")),
        server,
        workload: plan.workload.facts(plan.row, plan.workers),
        workers: plan.workers,
        worker_kind: plan.kind,
        processes: plan.workers / plan.workers_in_one(),
        rate: plan.rate,
        rounds,
        rounds_planned: plan.rounds,
        seconds: plan.time.as_secs_f64(),
        warm_up_seconds: plan.warm_up.as_secs_f64(),
        seed: plan.seed,
        warnings: Vec::new(),
        entries,
    };
    results.warnings = warnings(&results);
    results
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
    if let Some(server) = &results.server {
        warnings.extend(server.warnings());
    }
    if results.is_partial() {
        warnings
            .push(format!("ended after {} of {} rounds", results.rounds, results.rounds_planned));
    }
    warnings
}
