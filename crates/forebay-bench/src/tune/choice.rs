//! Which batch size: the smallest near the best rate, within the budget.

use std::time::Duration;

use forebay_trial::Mode;

use super::fit::Fit;
use super::sweep::BatchPoint;
use crate::report::units::{grouped, time};

/// The part of the best rate that is enough: beyond, a little more costs much larger batches.
pub(super) const ENOUGH: f64 = 0.9;

/// What the rates of batch sizes are compared with, where one is chosen.
pub(super) struct Scale {
    /// Of all batch sizes: each is the median of itself and its neighbours, so that none is chosen, and none sets the
    /// mark, for being lucky.
    pub(super) rates: Vec<f64>,
    /// The best of those that keep the budget, or the model's plateau.
    pub(super) best: f64,
    /// Whether it is the plateau.
    pub(super) is_plateau: bool,
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

impl Choice {
    /// That of a batch size in the sweep.
    pub(super) fn of(point: &BatchPoint) -> Self {
        Self {
            batch: point.batch,
            rows_per_second: point.rows_per_second.median,
            transaction_seconds: point
                .transaction_seconds
                .as_ref()
                .map_or(0.0, |spread| spread.median),
            unmet: None,
        }
    }
}

/// Batch sizes that keep the budget; all of them where none does.
pub(super) fn within(
    batches: &[BatchPoint],
    mode: Mode,
    budget: Option<Duration>,
) -> Vec<&BatchPoint> {
    let keeps = |point: &&BatchPoint| keeps(point, mode, budget);
    match batches.iter().any(|point| keeps(&point)) {
        true => batches.iter().filter(keeps).collect(),
        false => batches.iter().collect(),
    }
}

fn keeps(point: &BatchPoint, mode: Mode, budget: Option<Duration>) -> bool {
    budget.is_none_or(|budget| {
        point.delay_seconds(mode).is_some_and(|seconds| seconds <= budget.as_secs_f64())
    })
}

/// The one with the best rate.
pub(super) fn fastest<'a>(among: &[&'a BatchPoint]) -> Option<&'a BatchPoint> {
    let rate = |point: &BatchPoint| point.rows_per_second.median;
    among.iter().copied().max_by(|a, b| rate(a).total_cmp(&rate(b)))
}

/// The scale: the plateau where the model holds and a batch size has come near it.
pub(super) fn scale(
    batches: &[BatchPoint],
    fit: Option<&Fit>,
    mode: Mode,
    budget: Option<Duration>,
) -> Scale {
    let among = within(batches, mode, budget);
    let rates = evened(batches);
    let is_among = |batch: usize| among.iter().any(|point| point.batch == batch);
    let seen = batches.iter().zip(&rates).filter(|(point, _)| is_among(point.batch));
    let best = seen.map(|(_, rate)| *rate).fold(0.0, f64::max);
    let plateau = fit.filter(|fit| fit.poor.is_none()).map(Fit::plateau);
    match plateau.filter(|plateau| *plateau > best && ENOUGH * plateau <= best) {
        Some(plateau) => Scale { rates, best: plateau, is_plateau: true },
        None => Scale { rates, best, is_plateau: false },
    }
}

/// The smallest batch size that comes to nine tenths of the best of the scale.
pub(super) fn batch(
    batches: &[BatchPoint],
    fit: Option<&Fit>,
    mode: Mode,
    budget: Option<Duration>,
) -> Choice {
    let among = within(batches, mode, budget);
    let scale = scale(batches, fit, mode, budget);
    let is_enough = |point: &&&BatchPoint| {
        let mut seen = batches.iter().zip(&scale.rates);
        seen.any(|(other, rate)| other.batch == point.batch && *rate >= ENOUGH * scale.best)
    };
    let chosen = among.iter().find(is_enough);
    let choice = chosen.or(among.first()).map(|point| Choice::of(point));
    let choice = choice.unwrap_or(Choice {
        batch: 1,
        rows_per_second: 0.0,
        transaction_seconds: 0.0,
        unmet: None,
    });
    Choice { unmet: unmet(batches, mode, budget), ..choice }
}

/// The rate of each batch size, as the median of itself and the two beside it; the first and last are as they are.
fn evened(batches: &[BatchPoint]) -> Vec<f64> {
    let mut rates: Vec<f64> = batches.iter().map(|point| point.rows_per_second.median).collect();
    let middles: Vec<f64> = rates
        .windows(3)
        .map(|three| {
            let (low, high) = (three[0].min(three[2]), three[0].max(three[2]));
            three[1].max(low).min(high)
        })
        .collect();
    for (rate, middle) in rates.iter_mut().skip(1).zip(middles) {
        *rate = middle;
    }
    rates
}

/// Why no batch size keeps the budget, where none does.
fn unmet(batches: &[BatchPoint], mode: Mode, budget: Option<Duration>) -> Option<String> {
    let seconds = budget?.as_secs_f64();
    if batches.iter().any(|point| keeps(point, mode, budget)) {
        return None;
    }
    let delays = batches.iter().filter_map(|point| Some((point.delay_seconds(mode)?, point.batch)));
    let (what, of) = match mode {
        Mode::Push => ("two transactions take", "a row"),
        Mode::Await => ("99 of 100 calls take up to", "a call"),
    };
    let why = match delays.min_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((least, batch)) => format!(
            "no batch size keeps {of} within {}: {what} {} at best, in batches of {}",
            time(seconds),
            time(least),
            grouped(batch as f64)
        ),
        None => format!("no batch size was seen to keep {of} within {}", time(seconds)),
    };
    Some(why + "; the settings come near the best rate instead")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Quantiles;
    use crate::spread::Spread;

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
        rates(&mut batches, [50.0, 61.0, 60.0, 85.0, 92.0, 100.0, 98.0]);
        assert_eq!(batch(&batches, None, Mode::Push, None).batch, 400);
    }

    fn rates(batches: &mut [BatchPoint], rates: [f64; 7]) {
        for (point, rate) in batches.iter_mut().zip(rates) {
            point.rows_per_second = Spread::of([rate]).unwrap();
        }
    }

    #[test]
    fn a_lucky_rate_between_lower_ones_neither_is_chosen_nor_sets_the_mark() {
        let mut batches = sweep(50.0, 2.0);
        rates(&mut batches, [50.0, 91.0, 60.0, 85.0, 92.0, 100.0, 98.0]);
        assert_eq!(batch(&batches, None, Mode::Push, None).batch, 400);
        rates(&mut batches, [50.0, 60.0, 85.0, 90.0, 160.0, 92.0, 90.0]);
        assert_eq!(batch(&batches, None, Mode::Push, None).batch, 100);
    }

    #[test]
    fn a_plateau_that_was_surpassed_does_not_lower_the_mark() {
        let mut batches = sweep(50.0, 2.0);
        let rates_seen: Vec<f64> =
            batches.iter().map(|point| point.rows_per_second.median).collect();
        let points: Vec<_> = batches
            .iter()
            .map(|point| (point.batch as f64, point.delay_seconds(Mode::Push).unwrap()))
            .collect();
        // A model that takes twice as long: its plateau is half of what was measured.
        let slow = Fit::of(&points).unwrap();
        assert!(slow.poor.is_none() && slow.plateau() < rates_seen[6]);
        assert_eq!(batch(&batches, Some(&slow), Mode::Push, None).batch, 400);
        rates(&mut batches, [50.0, 60.0, 85.0, 90.0, 91.0, 92.0, 90.0]);
        assert_eq!(batch(&batches, Some(&slow), Mode::Push, None).batch, 100);
    }

    #[test]
    fn a_delay_is_that_of_the_slower_transactions() {
        let mut batches = sweep(50.0, 2.0);
        assert_eq!(choose(&batches, Some(600)).batch, 100);
        // A quarter of them took 400 µs and longer.
        batches[2].transaction_seconds = Spread::of([250e-6, 250e-6, 250e-6, 400e-6, 400e-6]);
        assert_eq!(batch(&batches, None, Mode::Push, Some(Duration::from_micros(600))).batch, 10);
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
            "no batch size keeps a row within 60 µs: two transactions take 104 µs at best, in batches of 1; the settings come \
             near the best rate instead"
        );
        let calls = batch(&sweep(50.0, 2.0), None, Mode::Await, Some(Duration::from_micros(800)));
        assert_eq!((calls.batch, calls.unmet), (100, None));
    }
}
