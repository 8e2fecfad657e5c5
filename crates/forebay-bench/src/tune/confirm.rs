//! The settings that follow, tried at full speed beside the fastest batches of the sweep.

use std::time::Duration;

use forebay_trial::Mode;
use serde::{Deserialize, Serialize};

use super::advice;
use super::choice::{self, Choice, ENOUGH};
use super::sweep::{self, BatchPoint, Setting};
use super::{TuneEvent, Tuner};
use crate::error::Result;
use crate::spread::Spread;

/// How often larger batches are tried where settings do not come near enough to the fastest.
const STEPS: u32 = 2;

/// What settings came to when they were tried.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Confirmed {
    /// Rows of their batches.
    pub batch: usize,
    /// The batch size beside which they were tried: the fastest of the sweep within the budget.
    pub beside: usize,
    /// Rows committed in each second.
    pub rows_per_second: Spread,
    /// The same over that of the other in the same round.
    pub ratio: Spread,
}

impl Confirmed {
    /// Whether they were seen to come to less than nine tenths of the fastest.
    pub fn falls_short(&self) -> bool {
        !self.ratio.rounds.is_empty() && self.ratio.median < ENOUGH
    }
}

/// Tries the settings of a choice, and those of larger batches within the budget where they do not come near enough to
/// the fastest. Gives the choice that came nearest, and all that were tried. The linger is not settled yet: at full speed
/// batches fill before any is over.
pub(super) fn run(
    tuner: &Tuner<'_>,
    batches: &[BatchPoint],
    choice: Choice,
    tell: &mut dyn FnMut(TuneEvent),
) -> Result<(Choice, Vec<Confirmed>)> {
    let (mode, budget) = (tuner.plan.mode, tuner.plan.budget);
    let among = choice::within(batches, mode, budget);
    let beside = choice::fastest(&among).map_or(choice.batch, |point| point.batch);
    let mut tried = vec![one(tuner, beside, &choice, tell)?];
    let larger = among.iter().filter(|point| point.batch > choice.batch);
    for point in larger.take(STEPS as usize) {
        if tried.last().is_some_and(|last| last.ratio.median >= ENOUGH) {
            break;
        }
        tried.push(one(tuner, beside, &Choice::of(point), tell)?);
    }
    let nearest = nearest(&tried).map_or(choice.batch, |tried| tried.batch);
    let point = among.iter().find(|point| point.batch == nearest);
    let nearest = point.map_or_else(|| choice.clone(), |point| Choice::of(point));
    Ok((Choice { unmet: choice.unmet, ..nearest }, tried))
}

/// The first of those that came nearest to the fastest.
pub(super) fn nearest(tried: &[Confirmed]) -> Option<&Confirmed> {
    tried.iter().reduce(|a, b| if b.ratio.median > a.ratio.median { b } else { a })
}

/// Tries the settings of one choice, round by round in turns with batches of `beside`.
fn one(
    tuner: &Tuner<'_>,
    beside: usize,
    choice: &Choice,
    tell: &mut dyn FnMut(TuneEvent),
) -> Result<Confirmed> {
    let (plan, table) = (tuner.plan, tuner.table);
    let config = advice::advice(plan, table, choice, None).config;
    // What is in the buffer at the end is written before the next trial begins.
    let rows = config.max_buffer_bytes as f64 / table.row_size().0 as f64;
    let full = Duration::try_from_secs_f64(rows / choice.rows_per_second).unwrap_or_default();
    let setting = |name: String, config| Setting { name, config, time: plan.time };
    let settings = [
        setting(format!("the settings, batches of {}", choice.batch), config),
        setting(format!("batches of {beside}"), sweep::settings(table, beside)),
    ];
    let full = if plan.mode == Mode::Push { full } else { Duration::ZERO };
    tell(TuneEvent::Begins {
        what: "settings",
        settings: settings.len(),
        estimate: (tuner.takes(plan.time) * 2 + full) * plan.rounds,
    });
    let trials = sweep::rounds(tuner, &settings, plan.rounds, None, tell)?;
    let rates = trials.iter().map(|trials| trials.iter().map(sweep::rate).collect());
    let rates: Vec<Vec<f64>> = rates.collect();
    Ok(confirmed(choice.batch, beside, &rates[0], &rates[1]))
}

/// Of rates round by round.
fn confirmed(batch: usize, beside: usize, rates: &[f64], others: &[f64]) -> Confirmed {
    let ratios = rates.iter().zip(others).map(|(rate, other)| rate / other);
    Confirmed {
        batch,
        beside,
        rows_per_second: Spread::of(rates.iter().copied()).unwrap_or_default(),
        ratio: Spread::of(ratios.filter(|ratio| ratio.is_finite())).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_the_median_of_those_within_one_round() {
        let seen = confirmed(200, 400, &[90.0, 10.0, 80.0, 1.0], &[100.0, 20.0, 100.0, 0.0]);
        assert_eq!(seen.ratio.rounds, [0.9, 0.5, 0.8], "none to a round without a row");
        assert_eq!((seen.ratio.median, seen.rows_per_second.median), (0.8, 45.0));
    }

    #[test]
    fn of_settings_that_came_equally_near_the_smaller_batches_are_taken() {
        let of = |batch, ratio| confirmed(batch, 4_000, &[ratio], &[1.0]);
        let tried = [of(400, 0.7), of(1_000, 0.8), of(2_000, 0.8)];
        assert_eq!(nearest(&tried).map(|tried| tried.batch), Some(1_000));
        assert!(tried[1].falls_short() && !of(400, 0.9).falls_short());
        assert!(!Confirmed::default().falls_short(), "nothing was seen");
    }
}
