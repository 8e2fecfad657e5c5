//! The settings that follow, tried as they are beside the fastest batches of the sweep.

use serde::{Deserialize, Serialize};

use super::advice::{self, Advice, Choice};
use super::linger::Lingers;
use super::sweep::{self, AROUND, BatchPoint, Setting};
use super::{TuneEvent, Tuner};
use crate::error::Result;
use crate::spread::Spread;

/// The part of the fastest batches' rate that settings must come to.
const ENOUGH: f64 = 0.9;
/// How often larger batches are tried where they do not.
const STEPS: u32 = 2;

/// What the settings came to when they were tried.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Confirmed {
    /// The batch size beside which they were tried: the fastest of the sweep within the budget.
    pub beside: usize,
    /// Rows committed in each second.
    pub rows_per_second: Spread,
    /// The same over that of the other in the same round.
    pub ratio: Spread,
}

/// Tries the settings of a choice, and those of larger batches within the budget where they do not come near enough to
/// the fastest. Gives those that came nearest.
pub(super) fn run(
    tuner: &Tuner<'_>,
    batches: &[BatchPoint],
    choice: Choice,
    lingers: Option<&Lingers>,
    tell: &mut dyn FnMut(TuneEvent),
) -> Result<(Advice, Confirmed)> {
    let (mode, budget) = (tuner.plan.mode, tuner.plan.budget);
    let among = advice::within(batches, mode, budget);
    let beside = advice::fastest(&among).map_or(choice.batch, |point| point.batch);
    let mut place = choice.clone();
    let mut nearest = one(tuner, beside, &place, lingers, tell)?;
    for _ in 0..STEPS {
        if nearest.1.ratio.median >= ENOUGH {
            break;
        }
        let larger = among.iter().find(|point| point.batch > place.batch);
        let Some(larger) = larger else { break };
        place = Choice { unmet: choice.unmet.clone(), ..Choice::of(larger) };
        let next = one(tuner, beside, &place, lingers, tell)?;
        if next.1.ratio.median > nearest.1.ratio.median {
            nearest = next;
        }
    }
    Ok(nearest)
}

/// Tries the settings of one choice, round by round in turns with batches of `beside`.
fn one(
    tuner: &Tuner<'_>,
    beside: usize,
    choice: &Choice,
    lingers: Option<&Lingers>,
    tell: &mut dyn FnMut(TuneEvent),
) -> Result<(Advice, Confirmed)> {
    let (plan, table) = (tuner.plan, tuner.table);
    let advice = advice::advice(plan, table, choice, lingers);
    let setting = |name: String, config| Setting { name, config, time: plan.time };
    let settings = [
        setting(format!("the settings, batches of {}", choice.batch), advice.config.clone()),
        setting(format!("batches of {beside}"), sweep::settings(table, beside)),
    ];
    tell(TuneEvent::Begins {
        what: "settings",
        settings: settings.len(),
        estimate: (plan.time * 6 / 5 + AROUND) * plan.rounds * 2,
    });
    let trials = sweep::rounds(tuner, &settings, plan.rounds, None, tell)?;
    let rates = trials.iter().map(|trials| trials.iter().map(sweep::rate).collect());
    let rates: Vec<Vec<f64>> = rates.collect();
    Ok((advice, confirmed(beside, &rates[0], &rates[1])))
}

/// Of rates round by round.
fn confirmed(beside: usize, rates: &[f64], others: &[f64]) -> Confirmed {
    let ratios = rates.iter().zip(others).map(|(rate, other)| rate / other);
    Confirmed {
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
        let seen = confirmed(400, &[90.0, 10.0, 80.0, 1.0], &[100.0, 20.0, 100.0, 0.0]);
        assert_eq!(seen.ratio.rounds, [0.9, 0.5, 0.8], "none to a round without a row");
        assert_eq!((seen.ratio.median, seen.rows_per_second.median), (0.8, 45.0));
    }
}
