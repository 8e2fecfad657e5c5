//! Tuning: which batch size and which linger suit a table, its disk and its writers.
//!
//! [`TableCopy::make`] copies the table beside its database; [`tune`] writes rows of it back, with one batch
//! size after the other and several rounds, tries the settings that follow, and gives them with the figures: a [`Tuning`].

mod advice;
mod choice;
mod confirm;
mod copy;
mod copying;
mod fit;
mod linger;
mod page;
mod plot;
mod reasons;
mod sample;
mod schema;
mod source;
mod sweep;
mod table;
mod tell;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use forebay::rusqlite;
use forebay_trial::{Mode, Synchronous, WorkerKind};
use serde::{Deserialize, Serialize};

pub use advice::Advice;
pub use confirm::Confirmed;
pub(crate) use copy::count;
pub use copy::{TableChoice, TableCopy, Writing};
pub use fit::Fit;
pub use linger::{LingerPoint, Lingers};
pub use sweep::{BatchPoint, Triggers};

use crate::contender::Program;
use crate::error::{Error, Result};
use crate::host;
use crate::plan::{self, Plan};
use crate::program::Stop;
use crate::results::{Disk, Host};
use crate::sink::Sink;
use crate::workload::{RowKind, Workload};

/// The name of the format.
pub const FORMAT: &str = "forebay-tune";
/// Its version: a field that changes its meaning, or goes, makes a new one.
pub const VERSION: u32 = 1;

/// Threads that keep a rate at the most.
const PACED: u32 = 4;

/// What to find out.
#[derive(Debug, Clone)]
pub struct TunePlan {
    /// Whether workers wait for their commits.
    pub mode: Mode,
    /// How many write.
    pub workers: u32,
    /// What a commit survives.
    pub synchronous: Synchronous,
    /// What all but one of a hundred rows must stay within: from being handed over to its commit (push), or the
    /// call (await). `None` for as long as it takes.
    pub budget: Option<Duration>,
    /// Rows in each second that come while lingers are compared; `None` for a tenth of the best rate.
    pub rate: Option<f64>,
    /// Rounds, in each of which every setting has its turn.
    pub rounds: u32,
    /// How long a trial is measured; one of a long linger takes a few of those.
    pub time: Duration,
    /// Of which the order in each round is made.
    pub seed: u64,
}

/// What tuning has shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tuning {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// When it began, in UTC.
    pub begun_at: String,
    /// The version of forebay.
    pub forebay: String,
    /// The version of SQLite.
    #[serde(default)]
    pub sqlite: String,
    /// The machine.
    pub host: Host,
    /// Where the copy lay.
    pub disk: Disk,
    /// The table.
    pub table: String,
    /// What was written, in words.
    pub workload: String,
    /// What was noticed about the table and its copy.
    pub notes: Vec<String>,
    /// What a row takes in a buffer, more or less.
    pub row_bytes: usize,
    /// Whether workers waited for their commits.
    pub mode: Mode,
    /// How many wrote.
    pub workers: u32,
    /// What a commit survives.
    pub synchronous: Synchronous,
    /// Rounds.
    pub rounds: u32,
    /// Seconds of each trial.
    pub seconds: f64,
    /// Of which the order in each round was made.
    pub seed: u64,
    /// What all but one of a hundred rows must stay within.
    pub budget_seconds: Option<f64>,
    /// One for each batch size.
    pub batches: Vec<BatchPoint>,
    /// What a transaction costs; push alone.
    pub fit: Option<Fit>,
    /// What linger does; push alone.
    pub lingers: Option<Lingers>,
    /// What follows.
    pub advice: Advice,
    /// What the settings came to when they were tried at full speed.
    pub confirmed: Confirmed,
    /// All that were tried so, in this order.
    #[serde(default)]
    pub tried: Vec<Confirmed>,
}

/// What is told while it goes on.
#[derive(Debug, Clone)]
pub enum TuneEvent {
    /// Trials begin: so many settings, and what they take in all.
    Begins {
        /// What is compared: `batch sizes`, `lingers` or `settings`.
        what: &'static str,
        /// How many of them.
        settings: usize,
        /// The time it takes, more or less.
        estimate: Duration,
    },
    /// One trial begins.
    Trial {
        /// Trials that are over.
        done: u32,
        /// Trials of these settings.
        of: u32,
        /// Which setting.
        name: String,
    },
}

impl TunePlan {
    /// Checks what can be wrong with it.
    ///
    /// # Errors
    ///
    /// Naming what is wrong, and what it must be.
    pub fn check(&self) -> Result<()> {
        if let Some(budget) = self.budget.filter(Duration::is_zero) {
            return Err(Error::of_arguments(format!(
                "the budget is {budget:?}: it must be more than 0"
            )));
        }
        plan::check_trials(self.workers, WorkerKind::Threads, self.rounds, self.time, self.rate)
    }
}

/// A plan, the table that it is for, and what runs its trials.
struct Tuner<'a> {
    plan: &'a TunePlan,
    table: &'a Arc<TableCopy>,
    own: &'a Program,
    stop: &'a Stop,
    /// What a trial takes beside its time.
    around: Duration,
}

impl Tuner<'_> {
    /// What a trial of so much time takes, more or less.
    fn takes(&self, time: Duration) -> Duration {
        warm_up(time) + time + self.around
    }

    /// The plan of one trial. With a rate, few threads keep it for all workers: where nobody waits it makes no difference
    /// to the buffer, and waking many up would take more time than what is measured.
    fn trial(&self, rate: Option<f64>, time: Duration) -> Plan {
        let plan = self.plan;
        Plan {
            sink: Sink::Sqlite,
            url: None,
            workload: Workload::Table(Arc::clone(self.table)),
            row: RowKind::Thin,
            modes: vec![plan.mode],
            workers: rate.map_or(plan.workers, |_| plan.workers.min(PACED)),
            kind: WorkerKind::Threads,
            processes: None,
            synchronous: plan.synchronous,
            rate,
            rounds: plan.rounds,
            time,
            warm_up: warm_up(time),
            contenders: Vec::new(),
            folder: self.table.folder().to_owned(),
            seed: plan.seed,
        }
    }
}

/// How long a trial warms up.
fn warm_up(time: Duration) -> Duration {
    (time / 5).min(Duration::from_millis(200))
}

/// Finds out what suits this table. `own` is a program that calls [`trial`](crate::trial_program). Blocks until all
/// rounds are over.
///
/// # Errors
///
/// [`ErrorKind::Arguments`](crate::ErrorKind::Arguments) for a plan that cannot be,
/// [`ErrorKind::Stopped`](crate::ErrorKind::Stopped) when it was told to stop, and otherwise what a trial failed of.
pub fn tune(
    plan: &TunePlan,
    table: &Arc<TableCopy>,
    own: &Program,
    stop: &Stop,
    tell: &mut dyn FnMut(TuneEvent),
) -> Result<Tuning> {
    plan.check()?;
    let begun_at = SystemTime::now();
    let mut tuner = Tuner { plan, table, own, stop, around: Duration::ZERO };
    tuner.around = sweep::around(&tuner)?;
    let disk = host::disk(table.folder());
    let mut batches = sweep::run(&tuner, tell)?;
    let fit = sweep::fit(plan.mode, &mut batches);
    let choice = choice::batch(&batches, fit.as_ref(), plan.mode, plan.budget);
    let (choice, tried) = confirm::run(&tuner, &batches, choice, tell)?;
    let lingers = match plan.mode {
        Mode::Push => Some(linger::run(&tuner, &batches, choice.batch, tell)?),
        Mode::Await => None,
    };
    sweep::verify(table)?;
    let advice = advice::advice(plan, table, &choice, lingers.as_ref());
    Ok(Tuning {
        format: FORMAT.to_owned(),
        version: VERSION,
        begun_at: humantime::format_rfc3339_seconds(begun_at).to_string(),
        forebay: env!("CARGO_PKG_VERSION").to_owned(),
        sqlite: rusqlite::version().to_owned(),
        host: host::host(),
        disk,
        table: table.table().to_owned(),
        workload: table.description(),
        notes: table.notes().to_vec(),
        row_bytes: table.row_size().0,
        mode: plan.mode,
        workers: plan.workers,
        synchronous: plan.synchronous,
        rounds: plan.rounds,
        seconds: plan.time.as_secs_f64(),
        seed: plan.seed,
        budget_seconds: plan.budget.map(|budget| budget.as_secs_f64()),
        batches,
        fit,
        lingers,
        advice,
        confirmed: confirm::nearest(&tried).cloned().unwrap_or_default(),
        tried,
    })
}
