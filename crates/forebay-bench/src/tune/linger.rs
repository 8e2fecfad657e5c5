//! What linger does: how old a row gets before its commit when rows come at a steady pace.

use std::time::Duration;

use forebay::Config;
use forebay_trial::Latencies;
use serde::{Deserialize, Serialize};

use super::sweep::{self, BatchPoint, Setting, Triggers};
use super::{TuneEvent, Tuner};
use crate::error::Result;
use crate::results::Quantiles;
use crate::spread::Spread;

/// The lingers that are tried, in milliseconds.
const LINGERS: [u64; 7] = [0, 1, 5, 10, 20, 50, 100];
/// A trial's time, in lingers, at the least.
const TIMES: u32 = 5;
/// Rounds at the most: a delay differs less from one to the next than a rate.
const ROUNDS: u32 = 3;
/// The part of the best rate at which rows come.
const PART: f64 = 0.1;

/// What lingers have shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lingers {
    /// Rows in each second that came.
    pub rate: f64,
    /// Rows that make a batch due.
    pub batch: usize,
    /// One for each linger.
    pub points: Vec<LingerPoint>,
}

/// What one linger has shown, over all rounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LingerPoint {
    /// How long the first row of a batch waited for company, in seconds.
    pub linger_seconds: f64,
    /// From being handed over to being committed, of all rounds together.
    pub delay: Quantiles,
    /// Rows committed in each second.
    pub rows_per_second: Spread,
    /// Transactions in each second.
    pub transactions_per_second: Spread,
    /// CPU time of the process, of which a part is keeping the pace.
    pub cpu_seconds_per_million_rows: Spread,
    /// What made rows due, in all rounds.
    pub triggers: Triggers,
}

impl LingerPoint {
    /// Whether batches were full more often than the linger was over.
    pub fn is_filled_before(&self) -> bool {
        self.triggers.count > self.triggers.linger
    }
}

/// Tries all lingers with batches of this size.
pub(super) fn run(
    tuner: &Tuner<'_>,
    batches: &[BatchPoint],
    batch: usize,
    tell: &mut dyn FnMut(TuneEvent),
) -> Result<Lingers> {
    let best = batches.iter().map(|point| point.rows_per_second.median).fold(0.0, f64::max);
    let plan = tuner.plan;
    let rate = plan.rate.unwrap_or((best * PART).max(1.0));
    let setting = |millis: u64| {
        let linger = Duration::from_millis(millis);
        Setting {
            name: format!("linger {linger:?}"),
            config: Config { linger, ..sweep::settings(tuner.table, batch) },
            time: plan.time.max(linger * TIMES),
        }
    };
    let settings: Vec<Setting> = LINGERS.into_iter().map(setting).collect();
    let rounds = plan.rounds.min(ROUNDS);
    let once: Duration = settings.iter().map(|setting| tuner.takes(setting.time)).sum();
    tell(TuneEvent::Begins { what: "lingers", settings: settings.len(), estimate: once * rounds });
    let trials = sweep::rounds(tuner, &settings, rounds, Some(rate), tell)?;
    let points = settings.iter().zip(&trials).map(|(setting, trials)| {
        let mut delays = Latencies::new();
        trials.iter().filter_map(sweep::watched).for_each(|seen| delays.merge(&seen.delays));
        let spread = |of: &dyn Fn(&crate::trial::Trial) -> f64| {
            Spread::of(trials.iter().map(of)).unwrap_or_default()
        };
        LingerPoint {
            linger_seconds: setting.config.linger.as_secs_f64(),
            delay: Quantiles::of(&delays),
            rows_per_second: spread(&|trial| trial.rate),
            transactions_per_second: spread(&|trial| {
                trial.rate / sweep::rows_per_transaction(trial).max(1.0)
            }),
            cpu_seconds_per_million_rows: spread(&sweep::cpu_seconds_per_million_rows),
            triggers: Triggers::sum(trials),
        }
    });
    Ok(Lingers { rate, batch, points: points.collect() })
}
