//! The settings that follow from the figures, and why.

use std::time::Duration;

use forebay::{Config, Durability};
use forebay_trial::Synchronous;
use serde::{Deserialize, Serialize};

use super::choice::Choice;
use super::copy::TableCopy;
use super::linger::{LingerPoint, Lingers};
use super::{TunePlan, sweep};
use crate::report::units::{grouped, time};

/// Bytes of a buffer for what comes in a second, at the most.
const ROOM: usize = 16 << 20;

/// Which settings, and whether they keep what was asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Advice {
    /// The settings.
    pub config: Config,
    /// Rows in each second that these batches came to in the sweep.
    pub rows_per_second: f64,
    /// Why the budget cannot be kept, if it cannot, and what the settings are then.
    pub unmet: Option<String>,
}

/// The largest linger whose rows are committed within the budget, also where fewer come and none fills a batch; where
/// none is, the one whose rows are committed soonest, and why.
pub(super) fn linger(
    lingers: &Lingers,
    transaction_seconds: f64,
    budget: f64,
) -> (Duration, Option<String>) {
    // Where fewer rows come than here, no batch is full before the linger is over.
    let age = |point: &LingerPoint| {
        point.delay.p99.map(|p99| p99.max(point.linger_seconds + transaction_seconds))
    };
    let keeps = |point: &&LingerPoint| age(point).is_some_and(|age| age <= budget);
    if let Some(point) = lingers.points.iter().rev().find(keeps) {
        return (Duration::from_secs_f64(point.linger_seconds), None);
    }
    let ages = lingers.points.iter().filter_map(|point| Some((age(point)?, point.linger_seconds)));
    match ages.min_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((age, linger)) => {
            let why = format!(
                "batches of {} are fast enough, but no linger has 99 of 100 rows committed within {}, however few come: at \
                 best it is {}, with a linger of {}, which the settings have",
                grouped(lingers.batch as f64),
                time(budget),
                time(age),
                time(linger)
            );
            (Duration::from_secs_f64(linger), Some(why))
        }
        None => {
            let why = "no row was seen to be committed while lingers were compared: let trials take longer";
            (Duration::ZERO, Some(why.to_owned()))
        }
    }
}

/// A buffer for what comes in a second, as far as that is little, and for four of the largest batches or rows. A larger
/// one bridges a longer outage, but until it has been full once, those who push take the writer's time, and each of its
/// pages is new to the process.
fn room(bytes_per_second: f64, max_batch_bytes: usize, max_row_bytes: usize) -> usize {
    let least = 4 * max_batch_bytes.max(max_row_bytes);
    (bytes_per_second as usize).min(ROOM).max(least).next_power_of_two()
}

/// Puts the settings together; without lingers, those that come to the same where rows never stop coming.
pub(super) fn advice(
    plan: &TunePlan,
    table: &TableCopy,
    choice: &Choice,
    lingers: Option<&Lingers>,
) -> Advice {
    let default = Config::default();
    let (linger, too_old) = match (lingers, plan.budget) {
        (Some(lingers), Some(budget)) => {
            linger(lingers, choice.transaction_seconds, budget.as_secs_f64())
        }
        _ => (default.linger, None),
    };
    let tried = sweep::settings(table, choice.batch);
    let bytes_per_second = choice.rows_per_second * table.row_size().0 as f64;
    let max_row_bytes = default.max_row_bytes.max(tried.max_row_bytes.next_power_of_two());
    let max_buffer_bytes = room(bytes_per_second, tried.max_batch_bytes, max_row_bytes);
    let config = Config {
        batch_size: choice.batch,
        max_transaction_rows: choice.batch,
        max_batch_bytes: default
            .max_batch_bytes
            .max(tried.max_batch_bytes)
            .min(max_buffer_bytes / 4),
        max_row_bytes,
        max_buffer_bytes,
        linger,
        durability: match plan.synchronous {
            Synchronous::Normal => Durability::Normal,
            Synchronous::Full => Durability::Full,
        },
        ..default
    };
    Advice {
        config,
        rows_per_second: choice.rows_per_second,
        unmet: choice.unmet.clone().or(too_old),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Quantiles;
    use crate::spread::Spread;
    use crate::tune::Triggers;

    #[test]
    fn a_buffer_has_room_for_a_second_and_for_its_largest_batches_and_rows() {
        let mib = 1 << 20;
        assert_eq!(room(5e4, 64 << 10, mib), 4 * mib);
        assert_eq!(room(5e6, 64 << 10, mib), 8 * mib);
        assert_eq!(room(5e9, 64 << 10, mib), 16 * mib);
        assert_eq!(room(5e6, 5 * mib, mib), 32 * mib);
        assert_eq!(room(5e6, mib, 100 * mib), 512 * mib);
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
    }

    #[test]
    fn where_no_linger_keeps_the_budget_the_one_that_comes_nearest_is_chosen() {
        let seen = lingers(&[(0, 13.0, 0), (1, 1.8, 0), (10, 1.5, 99)]);
        let (linger, why) = linger(&seen, 1e-4, 1e-3);
        assert_eq!(linger, Duration::from_millis(1));
        assert_eq!(
            why.unwrap(),
            "batches of 400 are fast enough, but no linger has 99 of 100 rows committed within 1 ms, however few come: at \
             best it is 1.8 ms, with a linger of 1 ms, which the settings have"
        );
    }

    #[test]
    fn batches_that_fill_before_do_not_make_a_linger_longer_than_the_budget() {
        let seen = lingers(&[(0, 0.5, 0), (20, 5.0, 99), (50, 5.0, 99), (100, 5.0, 99)]);
        assert!(seen.points[1].is_filled_before());
        assert_eq!(linger(&seen, 1e-3, 0.030), (Duration::from_millis(20), None));
    }
}
