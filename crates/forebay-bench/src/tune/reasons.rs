//! Why the batch size is what it is, in sentences.

use std::time::Duration;

use super::choice::{self, ENOUGH};
use super::{BatchPoint, Confirmed, Fit, Tuning};
use crate::report::units::{grouped, time};

/// What is said of settings that came to less than nine tenths of the fastest after all tries.
const FELL_SHORT: &str = "They fell short of nine tenths: the machine was busy, the disk changed, or trials were too short for \
                          so large a buffer; run tune again on a quiet machine, or with longer --seconds.";

impl Tuning {
    pub(super) fn knee(&self) -> Option<String> {
        let most = self.batches.iter().map(|point| point.batch).max().unwrap_or(0);
        self.fit.as_ref().map(|fit| knee(fit, most))
    }

    fn budget(&self) -> Option<Duration> {
        self.budget_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }

    /// Batch sizes among which one was chosen, and what is said of the best of them: nothing, or that they keep the budget.
    fn among(&self) -> (Vec<&BatchPoint>, String) {
        let among = choice::within(&self.batches, self.mode, self.budget());
        let best = |points: &[&BatchPoint]| choice::fastest(points).map(|point| point.batch);
        let all: Vec<_> = self.batches.iter().collect();
        let bound = self.budget_seconds.filter(|_| best(&among) != best(&all));
        let bound = bound.map_or_else(String::new, |budget| format!(" within {}", time(budget)));
        (among, bound)
    }

    /// How a batch size was chosen, where that is not plain from its rate and the model.
    pub(super) fn rule(&self) -> Option<String> {
        let first = self.tried.first()?.batch;
        let (among, bound) = self.among();
        let best = choice::fastest(&among)?.rows_per_second.median;
        let near = |point: &&&BatchPoint| point.rows_per_second.median >= ENOUGH * best;
        let by_rate = among.iter().find(near)?.batch;
        let fit = self.fit.as_ref().filter(|fit| fit.poor.is_none());
        let by_model = fit.map(|fit| fit.rows_for(ENOUGH)).and_then(|rows| {
            self.batches.iter().map(|point| point.batch).find(|batch| *batch as f64 >= rows)
        });
        if by_rate == first && (fit.is_none() || by_model == Some(first)) {
            return None;
        }
        let scale = choice::scale(&self.batches, self.fit.as_ref(), self.mode, self.budget());
        let of = if scale.is_plateau {
            "the model's plateau".to_owned()
        } else {
            format!("the best{bound}")
        };
        let percent = |batch: usize| {
            let mut rates = self.batches.iter().zip(&scale.rates);
            let rate = rates.find(|(point, _)| point.batch == batch).map_or(0.0, |(_, rate)| *rate);
            format!("{:.0} %", 100.0 * rate / scale.best)
        };
        let size = |batch: usize| grouped(batch as f64);
        let smaller = among.iter().map(|point| point.batch).rfind(|batch| *batch < first);
        let smaller = smaller.map_or_else(String::new, |batch| {
            format!("batches of {} come to {} of {of}, ", size(batch), percent(batch))
        });
        Some(format!(
            "What was measured decides, each rate as the median of itself and those beside it: {smaller}batches of {} to {}{}.",
            size(first),
            percent(first),
            if smaller.is_empty() { format!(" of {of}") } else { String::new() }
        ))
    }

    /// Why larger batches were tried than those that were chosen at first.
    pub(super) fn larger(&self) -> Option<String> {
        let size = |batch: usize| grouped(batch as f64);
        let steps = self.tried.windows(2).map(|two| {
            format!(
                "Batches of {} came to {} when they were tried as they are, so {} were tried.",
                size(two[0].batch),
                ratio(&two[0]),
                size(two[1].batch)
            )
        });
        let mut told: Vec<_> = steps.collect();
        let last = self.tried.last().filter(|_| !told.is_empty())?;
        if last.batch != self.confirmed.batch {
            told.push(format!(
                "Those came to {:.2}, and batches of {} came nearest.",
                last.ratio.median,
                size(self.confirmed.batch)
            ));
        }
        Some(told.join(" "))
    }

    pub(super) fn choice(&self) -> Option<String> {
        let chosen = self.chosen()?;
        let (among, bound) = self.among();
        let fastest = choice::fastest(&among)?;
        let (rate, best) = (chosen.rows_per_second.median, fastest.rows_per_second.median);
        if best <= 0.0 {
            return None;
        }
        let (batch, of) = (grouped(chosen.batch as f64), 100.0 * rate / best);
        Some(if fastest.batch == chosen.batch {
            format!("Batches of {batch} are the fastest{bound}: {} rows/s.", grouped(rate))
        } else {
            format!(
                "Batches of {batch} come to {} rows/s, {of:.0} % of what batches of {} come to, the fastest{bound}.",
                grouped(rate),
                grouped(fastest.batch as f64)
            )
        })
    }

    /// What the settings came to when they were tried.
    pub(super) fn result(&self) -> String {
        match self.comparison() {
            Some(compared) => format!(
                "The settings were tried as they are, at full speed: {} rows/s, {compared} (quartiles {:.2} to {:.2}).",
                grouped(self.confirmed.rows_per_second.median),
                self.confirmed.ratio.lower,
                self.confirmed.ratio.upper
            ),
            None => "The settings were tried as they are, and no transaction was seen to end meanwhile: let trials take \
                     longer."
                .to_owned(),
        }
    }

    /// What the settings came to beside the fastest batches, in words, where both were seen.
    pub fn comparison(&self) -> Option<String> {
        let tried = Some(&self.confirmed).filter(|tried| !tried.ratio.rounds.is_empty())?;
        let fastest = match tried.batch == tried.beside {
            true => String::new(),
            false => format!(", the fastest{}", self.among().1),
        };
        Some(format!("{} in the same round{fastest}", ratio(tried)))
    }

    /// What to know of settings that did not come near the fastest batches.
    pub fn shortfall(&self) -> Option<&'static str> {
        self.confirmed.falls_short().then_some(FELL_SHORT)
    }
}

/// What settings came to beside the fastest batches, for which a trial of the sweep has a buffer of its own.
fn ratio(tried: &Confirmed) -> String {
    let ratio = tried.ratio.median;
    match tried.batch == tried.beside {
        true => format!("{ratio:.2} times the same batches with the sweep's small buffer"),
        false => format!("{ratio:.2} times batches of {}", grouped(tried.beside as f64)),
    }
}

/// What a model says of batches, of which the largest that was tried had `most` rows.
fn knee(fit: &Fit, most: usize) -> String {
    if let Some(why) = &fit.poor {
        return format!(
            "There is no knee: the model (a time for each transaction, and one for each row) does not hold, {why}."
        );
    }
    let (fixed, row) = (time(fit.fixed_seconds), time(fit.row_seconds));
    let (rows, plateau) = (fit.rows_for(0.9).ceil(), grouped(fit.plateau()));
    let enough = grouped(rows);
    let beyond = if rows > most as f64 { ", beyond what was tried" } else { "" };
    let knee = format!(
        "the model's plateau is {plateau} rows/s, nine tenths of which take batches of {enough}{beyond}"
    );
    format!("A transaction takes {fixed} and {row} more for each row: {knee}.")
}

#[cfg(test)]
mod tests {
    use forebay::Config;
    use forebay_trial::{Mode, Synchronous};

    use super::*;
    use crate::results::{Disk, Host};
    use crate::spread::Spread;
    use crate::tune::Advice;

    /// A tuning whose batches of 100, 200, 400, 1,000 and 2,000 came to these rates in as many microseconds each.
    fn tuning(rates: [f64; 5]) -> Tuning {
        let point = |(batch, rate): (usize, f64)| BatchPoint {
            batch,
            rows_per_second: Spread::of([rate]).unwrap(),
            transaction_seconds: Spread::of([batch as f64 / 1e6]),
            ..BatchPoint::default()
        };
        Tuning {
            format: String::new(),
            version: 1,
            begun_at: String::new(),
            forebay: String::new(),
            sqlite: String::new(),
            host: Host {
                system: String::new(),
                processor: String::new(),
                cores: 2,
                memory_bytes: None,
            },
            disk: Disk { filesystem: "ext4".to_owned(), flush_seconds: None },
            table: "t".to_owned(),
            workload: String::new(),
            notes: Vec::new(),
            row_bytes: 60,
            mode: Mode::Push,
            workers: 80,
            synchronous: Synchronous::Normal,
            rounds: 1,
            seconds: 0.1,
            seed: 1,
            budget_seconds: None,
            batches: [100, 200, 400, 1_000, 2_000].into_iter().zip(rates).map(point).collect(),
            fit: None,
            lingers: None,
            advice: Advice { config: Config::default(), rows_per_second: 0.0, unmet: None },
            confirmed: Confirmed::default(),
            tried: Vec::new(),
        }
    }

    /// The same, of which batches of these sizes were tried and came to these ratios; the last of them is recommended.
    fn tried(rates: [f64; 5], tried: &[(usize, f64)]) -> Tuning {
        let of = |&(batch, ratio): &(usize, f64)| Confirmed {
            batch,
            beside: 2_000,
            rows_per_second: Spread::of([1e6 * ratio]).unwrap(),
            ratio: Spread::of([ratio]).unwrap(),
        };
        let mut tuning = tuning(rates);
        tuning.tried = tried.iter().map(of).collect();
        tuning.confirmed = tuning.tried.last().cloned().unwrap();
        tuning.advice.config.batch_size = tuning.confirmed.batch;
        tuning
    }

    #[test]
    fn a_size_that_rates_and_model_agree_on_needs_no_reason() {
        let tuning = tried([50.0, 60.0, 95.0, 100.0, 100.0], &[(400, 0.95)]);
        assert_eq!((tuning.rule(), tuning.larger(), tuning.shortfall()), (None, None, None));
        assert_eq!(
            tuning.choice().unwrap(),
            "Batches of 400 come to 95 rows/s, 95 % of what batches of 2,000 come to, the fastest."
        );
    }

    #[test]
    fn a_size_that_is_not_the_first_near_the_best_rate_is_given_a_reason() {
        let tuning = tried([50.0, 91.0, 60.0, 85.0, 98.0], &[(2_000, 0.98)]);
        assert_eq!(choice::batch(&tuning.batches, None, Mode::Push, None).batch, 2_000);
        assert_eq!(
            tuning.rule().unwrap(),
            "What was measured decides, each rate as the median of itself and those beside it: batches of 1,000 come to \
             87 % of the best, batches of 2,000 to 100 %."
        );
    }

    #[test]
    fn each_step_to_larger_batches_is_told_with_what_it_came_to() {
        let rates = [50.0, 60.0, 95.0, 98.0, 100.0];
        assert_eq!(
            tried(rates, &[(400, 0.71), (1_000, 0.92)]).larger().unwrap(),
            "Batches of 400 came to 0.71 times batches of 2,000 when they were tried as they are, so 1,000 were tried."
        );
        let mut back = tried(rates, &[(400, 0.71), (1_000, 0.7)]);
        back.confirmed = back.tried[0].clone();
        assert!(
            back.larger()
                .unwrap()
                .ends_with("Those came to 0.70, and batches of 400 came nearest.")
        );
        assert!(back.shortfall().unwrap().contains("run tune again on a quiet machine"));
    }

    #[test]
    fn the_fastest_batches_are_not_compared_with_themselves() {
        let tuning = tried([50.0, 60.0, 65.0, 70.0, 100.0], &[(2_000, 0.95)]);
        assert_eq!(
            tuning.comparison().unwrap(),
            "0.95 times the same batches with the sweep's small buffer in the same round"
        );
    }

    #[test]
    fn the_fastest_are_those_that_keep_the_budget() {
        let rates = [50.0, 60.0, 95.0, 98.0, 120.0];
        let mut tuning = tried(rates, &[(400, 0.97)]);
        let compared = |tuning: &Tuning| tuning.comparison().unwrap();
        assert_eq!(compared(&tuning), "0.97 times batches of 2,000 in the same round, the fastest");
        // Two transactions of 2,000 rows take 4 ms here.
        tuning.budget_seconds = Some(2e-3);
        tuning.confirmed.beside = 1_000;
        assert_eq!(
            compared(&tuning),
            "0.97 times batches of 1,000 in the same round, the fastest within 2 ms"
        );
        assert_eq!(
            tuning.choice().unwrap(),
            "Batches of 400 come to 95 rows/s, 97 % of what batches of 1,000 come to, the fastest within 2 ms."
        );
    }

    #[test]
    fn a_knee_beyond_what_was_tried_is_told_as_one() {
        let fit = |fixed: f64| {
            let points = [1.0, 10.0, 100.0, 1_000.0, 4_000.0];
            Fit::of(&points.map(|rows| (rows, fixed + 2e-6 * rows))).unwrap()
        };
        assert_eq!(
            knee(&fit(49.9e-6), 4_000),
            "A transaction takes 50 µs and 2 µs more for each row: the model's plateau is 500,000 rows/s, nine tenths of which \
             take batches of 225."
        );
        assert_eq!(
            knee(&fit(4.9999e-3), 4_000),
            "A transaction takes 5 ms and 2 µs more for each row: the model's plateau is 500,000 rows/s, nine tenths of which \
             take batches of 22,500, beyond what was tried."
        );
    }
}
