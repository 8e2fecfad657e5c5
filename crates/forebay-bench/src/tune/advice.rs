//! The settings that follow from the figures, and why.

use std::time::Duration;

use forebay::{Config, Durability};
use forebay_trial::{Mode, Synchronous};
use serde::{Deserialize, Serialize};

use super::fit::Fit;
use super::linger::{LingerPoint, Lingers};
use super::sweep::BatchPoint;
use super::{TunePlan, sweep, table};
use crate::report::units::time;

/// The part of the best rate that is enough: beyond, a little more costs much larger batches.
const ENOUGH: f64 = 0.9;

/// Which settings, and whether they keep what was asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Advice {
    /// The settings.
    pub config: Config,
    /// Rows in each second that these batches came to.
    pub rows_per_second: f64,
    /// Why the budget cannot be kept, if it cannot.
    pub unmet: Option<String>,
}

/// A batch size that was chosen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    pub(super) batch: usize,
    pub(super) rows_per_second: f64,
    /// Seconds of its transaction, in push.
    pub(super) transaction_seconds: f64,
    pub(super) unmet: Option<String>,
}

/// Seconds that a row may take with this batch size. Rows that nobody waits for come as a transaction has begun, and
/// are in the next one: two of them.
fn worst(point: &BatchPoint, mode: Mode) -> Option<f64> {
    match mode {
        Mode::Push => point.transaction_seconds.as_ref().map(|seconds| 2.0 * seconds.median),
        Mode::Await => point.latency.p99,
    }
}

/// The smallest batch size that comes to nine tenths of the plateau within the budget. The plateau is that of the
/// model, where it holds and a batch size has come so near to it; else the best rate that was measured within the budget.
pub(super) fn batch(
    batches: &[BatchPoint],
    fit: Option<&Fit>,
    mode: Mode,
    budget: Option<Duration>,
) -> Choice {
    let budget = budget.map(|budget| budget.as_secs_f64());
    let keeps = |point: &&BatchPoint| match budget {
        Some(budget) => worst(point, mode).is_some_and(|seconds| seconds <= budget),
        None => true,
    };
    let within: Vec<&BatchPoint> = batches.iter().filter(keeps).collect();
    let all: Vec<&BatchPoint> = batches.iter().collect();
    let among = if within.is_empty() { &all } else { &within };
    let rate = |point: &BatchPoint| point.rows_per_second.median;
    let best = among.iter().map(|point| rate(point)).fold(0.0, f64::max);
    let plateau = fit.filter(|fit| fit.poor.is_none()).map(Fit::plateau);
    let enough = plateau
        .map(|plateau| ENOUGH * plateau)
        .filter(|enough| *enough <= best)
        .unwrap_or(ENOUGH * best);
    let chosen = among.iter().find(|point| rate(point) >= enough);
    let unmet = budget.filter(|_| within.is_empty()).map(|budget| {
        let least = all.iter().filter_map(|point| Some((worst(point, mode)?, point.batch)));
        let (what, of) = match mode {
            Mode::Push => ("two transactions take", "a row"),
            Mode::Await => ("99 of 100 calls take up to", "a call"),
        };
        match least.min_by(|a, b| a.0.total_cmp(&b.0)) {
            Some((seconds, batch)) => format!(
                "no batch size keeps {of} within {}: {what} {} at best, in batches of {batch}",
                time(budget),
                time(seconds)
            ),
            None => format!("no batch size was seen to keep {of} within {}", time(budget)),
        }
    });
    Choice {
        batch: chosen.map_or(1, |point| point.batch),
        rows_per_second: chosen.map_or(0.0, |point| rate(point)),
        transaction_seconds: chosen
            .and_then(|point| Some(point.transaction_seconds.as_ref()?.median))
            .unwrap_or(0.0),
        unmet,
    }
}

/// The largest linger whose rows are committed within the budget, also where fewer come and none fills a batch; with
/// none, the smallest, and why.
pub(super) fn linger(
    lingers: &Lingers,
    transaction_seconds: f64,
    budget: f64,
) -> (Duration, Option<String>) {
    let keeps = |point: &&LingerPoint| {
        let seen = point.delay.p99.is_some_and(|seconds| seconds <= budget);
        seen && point.linger_seconds + transaction_seconds <= budget
    };
    if let Some(point) = lingers.points.iter().rev().find(keeps) {
        return (Duration::from_secs_f64(point.linger_seconds), None);
    }
    let delays =
        lingers.points.iter().filter_map(|point| Some((point.delay.p99?, point.linger_seconds)));
    let why = match delays.min_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((delay, linger)) => format!(
            "no linger has 99 of 100 rows committed within {}: at best it is {}, with a linger of {}",
            time(budget),
            time(delay),
            table::linger(linger)
        ),
        None => {
            "no row was seen to be committed while lingers were compared: let trials take longer"
                .to_owned()
        }
    };
    (Duration::ZERO, Some(why))
}

/// A buffer for what comes in a second at the most, and for a few batches. One that is larger than need be costs speed
/// too, while it fills: its memory is new to the process, and not in a cache.
fn room(bytes_per_second: f64, max_batch_bytes: usize) -> usize {
    let least = (bytes_per_second as usize).max(4 * max_batch_bytes).next_power_of_two();
    least.min(Config::default().max_buffer_bytes.max(4 * max_batch_bytes))
}

/// Puts the settings together.
pub(super) fn advice(plan: &TunePlan, choice: Choice, lingers: Option<&Lingers>) -> Advice {
    let default = Config::default();
    let (linger, too_old) = match (lingers, plan.budget) {
        (Some(lingers), Some(budget)) => {
            linger(lingers, choice.transaction_seconds, budget.as_secs_f64())
        }
        _ => (default.linger, None),
    };
    let max_batch_bytes =
        default.max_batch_bytes.max(sweep::settings(plan, choice.batch).max_batch_bytes);
    let max_buffer_bytes =
        room(choice.rows_per_second * plan.table.row_size().0 as f64, max_batch_bytes);
    let config = Config {
        batch_size: choice.batch,
        max_transaction_rows: choice.batch,
        max_batch_bytes,
        max_buffer_bytes,
        linger,
        durability: match plan.synchronous {
            Synchronous::Normal => Durability::Normal,
            Synchronous::Full => Durability::Full,
        },
        ..default
    };
    Advice { config, rows_per_second: choice.rows_per_second, unmet: choice.unmet.or(too_old) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Quantiles;
    use crate::spread::Spread;
    use crate::tune::Triggers;

    /// A sweep whose transactions take `fixed` and `row` microseconds.
    fn sweep(fixed: f64, row: f64) -> Vec<BatchPoint> {
        let point = |batch: usize| {
            let micros = fixed + row * batch as f64;
            BatchPoint {
                batch,
                rows_per_second: Spread::of([batch as f64 / micros * 1e6]).unwrap(),
                rows_per_transaction: batch as f64,
                transaction_seconds: Spread::of([micros / 1e6]),
                latency: Quantiles { p99: Some(micros * 3.0 / 1e6), ..Quantiles::default() },
                ..BatchPoint::default()
            }
        };
        [1, 10, 100, 200, 400, 1_000, 4_000].map(point).into()
    }

    fn choose(batches: &[BatchPoint], budget: Option<u64>) -> Choice {
        let points: Vec<_> = batches
            .iter()
            .map(|point| {
                (point.rows_per_transaction, point.transaction_seconds.as_ref().unwrap().median)
            })
            .collect();
        batch(batches, Fit::of(&points).as_ref(), Mode::Push, budget.map(Duration::from_micros))
    }

    #[test]
    fn the_smallest_batch_that_comes_to_nine_tenths_of_the_plateau_is_chosen() {
        // 9 · 50 / 2 = 225 rows, and 400 is the next that was tried.
        assert_eq!(choose(&sweep(50.0, 2.0), None).batch, 400);
        assert_eq!(choose(&sweep(10.0, 2.0), None).batch, 100);
        assert_eq!(choose(&sweep(50.0, 2.0), Some(100_000)).batch, 400);
        // The plateau is far beyond what was tried: nine tenths of the best.
        assert_eq!(choose(&sweep(5_000.0, 2.0), None).batch, 4_000);
    }

    #[test]
    fn without_a_knee_the_smallest_batch_near_the_best_rate_is_chosen() {
        let mut batches = sweep(50.0, 2.0);
        for (point, rate) in batches.iter_mut().zip([50.0, 91.0, 60.0, 100.0, 20.0, 95.0, 10.0]) {
            point.rows_per_second = Spread::of([rate]).unwrap();
        }
        assert_eq!(batch(&batches, None, Mode::Push, None).batch, 10);
    }

    #[test]
    fn a_budget_bounds_the_batch_and_what_cannot_be_kept_is_told() {
        // Two transactions of 100 rows take 500 µs, of 200 rows 900.
        let choice = choose(&sweep(50.0, 2.0), Some(600));
        assert_eq!((choice.batch, choice.unmet), (100, None));
        let choice = choose(&sweep(50.0, 2.0), Some(60));
        assert_eq!(choice.batch, 400, "the fastest is told all the same");
        assert_eq!(
            choice.unmet.unwrap(),
            "no batch size keeps a row within 60 µs: two transactions take 104 µs at best, in batches of 1"
        );
        let calls = batch(&sweep(50.0, 2.0), None, Mode::Await, Some(Duration::from_micros(800)));
        assert_eq!((calls.batch, calls.unmet), (100, None));
    }

    #[test]
    fn a_buffer_has_room_for_a_second_and_for_its_batches() {
        assert_eq!(room(1e6, 4 << 20), 16 << 20);
        assert_eq!(room(3e7, 4 << 20), 32 << 20);
        assert_eq!(room(1e9, 4 << 20), 64 << 20);
        assert_eq!(room(1e9, 16 << 20), 64 << 20);
    }

    fn lingers(delays: &[(u64, f64, u64)]) -> Lingers {
        let point = |&(millis, delay, count): &(u64, f64, u64)| LingerPoint {
            linger_seconds: millis as f64 / 1e3,
            delay: Quantiles { p99: Some(delay / 1e3), ..Quantiles::default() },
            rows_per_second: Spread::default(),
            transactions_per_second: Spread::default(),
            cpu_seconds_per_million_rows: Spread::default(),
            triggers: Triggers { count, linger: 10, ..Triggers::default() },
        };
        Lingers { rate: 1_000.0, batch: 400, points: delays.iter().map(point).collect() }
    }

    #[test]
    fn the_largest_linger_within_the_budget_is_chosen() {
        let seen = lingers(&[(0, 0.5, 0), (10, 11.0, 0), (50, 51.0, 0), (100, 101.0, 0)]);
        assert_eq!(linger(&seen, 1e-3, 0.1), (Duration::from_millis(50), None));
        assert_eq!(linger(&seen, 1e-3, 0.2), (Duration::from_millis(100), None));
        let (zero, why) = linger(&seen, 1e-3, 0.000_4);
        assert_eq!(zero, Duration::ZERO);
        assert!(why.unwrap().ends_with("at best it is 500 µs, with a linger of 0 s"));
    }

    #[test]
    fn batches_that_fill_before_do_not_make_a_linger_longer_than_the_budget() {
        let seen = lingers(&[(0, 0.5, 0), (20, 5.0, 99), (50, 5.0, 99), (100, 5.0, 99)]);
        assert!(seen.points[1].is_filled_before());
        assert_eq!(linger(&seen, 1e-3, 0.030), (Duration::from_millis(20), None));
    }
}
