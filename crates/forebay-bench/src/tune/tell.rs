//! What tuning has shown, in sentences.

use std::time::Duration;

use forebay_trial::Mode;

use super::advice::{self, ENOUGH};
use super::{BatchPoint, Fit, Lingers, Tuning};
use crate::host;
use crate::report::units::{counted, grouped, number, time};

/// What is said of settings that came to less than nine tenths of the fastest after all tries.
const FELL_SHORT: &str = "They fell short of nine tenths: the machine was busy, or the disk changed; run tune again on a quiet machine.";

impl Tuning {
    /// What was done, in two lines.
    pub fn heading(&self) -> [String; 2] {
        let how = match self.mode {
            Mode::Push => "nobody waits for commits",
            Mode::Await => "each waits for its own commit",
        };
        let settings = format!(
            "{}, {how}; {} of {}, on {}, durability {}",
            counted(self.workers.into(), "worker"),
            counted(self.rounds.into(), "round"),
            time(self.seconds),
            self.disk.filesystem,
            self.synchronous.name()
        );
        [self.workload.clone(), settings]
    }

    /// What a reader takes away. Each is only said where the figures say it.
    pub fn sentences(&self) -> Vec<String> {
        let mut told = Vec::new();
        if host::is_memory(&self.disk) {
            told.push(format!(
                "The copy lay in memory ({}), where flushes cost nothing: name a folder on a disk with --dir.",
                self.disk.filesystem
            ));
        }
        told.extend(self.knee());
        told.extend(self.rule());
        told.extend(self.larger());
        told.extend(self.choice());
        told.push(self.result());
        told.extend(self.shortfall().map(str::to_owned));
        match self.mode {
            Mode::Push => {
                told.extend(self.lingers.as_ref().map(|lingers| self.of_lingers(lingers)));
            }
            Mode::Await => {
                told.extend(self.waiting());
                told.push(
                    "Linger does not matter where all wait: it is left at its default.".to_owned(),
                );
            }
        }
        told.extend(
            self.advice.unmet.as_ref().map(|why| format!("The budget cannot be kept: {why}.")),
        );
        told
    }

    fn knee(&self) -> Option<String> {
        let most = self.batches.iter().map(|point| point.batch).max().unwrap_or(0);
        self.fit.as_ref().map(|fit| knee(fit, most))
    }

    fn budget(&self) -> Option<Duration> {
        self.budget_seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }

    /// Batch sizes among which one was chosen, and what is said of the best of them: nothing, or that they keep the budget.
    fn among(&self) -> (Vec<&BatchPoint>, String) {
        let among = advice::within(&self.batches, self.mode, self.budget());
        let best = |points: &[&BatchPoint]| advice::fastest(points).map(|point| point.batch);
        let all: Vec<_> = self.batches.iter().collect();
        let bound = self.budget_seconds.filter(|_| best(&among) != best(&all));
        let bound = bound.map_or_else(String::new, |budget| format!(" within {}", time(budget)));
        (among, bound)
    }

    /// How a batch size was chosen, where that is not plain from its rate and the model.
    fn rule(&self) -> Option<String> {
        let first = self.tried.first()?.batch;
        let (among, bound) = self.among();
        let best = advice::fastest(&among)?.rows_per_second.median;
        let near = |point: &&&BatchPoint| point.rows_per_second.median >= ENOUGH * best;
        let by_rate = among.iter().find(near)?.batch;
        let fit = self.fit.as_ref().filter(|fit| fit.poor.is_none());
        let by_model = fit.map(|fit| fit.rows_for(ENOUGH)).and_then(|rows| {
            self.batches.iter().map(|point| point.batch).find(|batch| *batch as f64 >= rows)
        });
        if by_rate == first && (fit.is_none() || by_model == Some(first)) {
            return None;
        }
        let scale = advice::scale(&self.batches, self.fit.as_ref(), self.mode, self.budget());
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
    fn larger(&self) -> Option<String> {
        let size = |batch: usize| grouped(batch as f64);
        let steps = self.tried.windows(2).map(|two| {
            format!(
                "Batches of {} came to {:.2} times batches of {} when they were tried as they are, so {} were tried.",
                size(two[0].batch),
                two[0].ratio.median,
                size(two[0].beside),
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

    fn choice(&self) -> Option<String> {
        let chosen = self.chosen()?;
        let (among, bound) = self.among();
        let fastest = advice::fastest(&among)?;
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
    fn result(&self) -> String {
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
        let (_, bound) = self.among();
        Some(format!(
            "{:.2} times batches of {} in the same round, the fastest{bound}",
            tried.ratio.median,
            grouped(tried.beside as f64)
        ))
    }

    /// What to know of settings that did not come near the fastest batches.
    pub fn shortfall(&self) -> Option<&'static str> {
        self.confirmed.falls_short().then_some(FELL_SHORT)
    }

    /// Rows in each second with the settings: when they were tried, or else in the sweep.
    pub fn rows_per_second(&self) -> f64 {
        match self.confirmed.rows_per_second.median {
            rate if rate > 0.0 => rate,
            _ => self.advice.rows_per_second,
        }
    }

    /// The figures of the batch size that was chosen.
    fn chosen(&self) -> Option<&BatchPoint> {
        self.batches.iter().find(|point| point.batch == self.advice.config.batch_size)
    }

    /// Why batches do not fill where workers wait.
    fn waiting(&self) -> Option<String> {
        let workers = self.workers as usize;
        let chosen = self.chosen().filter(|point| point.batch > workers);
        let large = chosen.or(self.batches.last()).filter(|point| point.batch > workers)?;
        let due = large.triggers;
        let all = due.count + due.bytes + due.linger + due.receipt;
        (due.receipt > all / 2).then(|| {
            format!(
                "A batch of {} cannot fill with {} that wait: whoever waits is never made to linger, so batches are what \
                 gathers during a commit, {} rows on average here. Of {} times that rows were due, {} were for somebody \
                 who waited.",
                grouped(large.batch as f64),
                counted(self.workers.into(), "worker"),
                number(large.rows_per_transaction),
                grouped(all as f64),
                grouped(due.receipt as f64)
            )
        })
    }

    fn of_lingers(&self, lingers: &Lingers) -> String {
        let rate = grouped(lingers.rate);
        let linger = self.advice.config.linger.as_secs_f64();
        let mut told = format!(
            "Lingers were compared in batches of {}, with {rate} rows in each second.",
            grouped(lingers.batch as f64)
        );
        let came = lingers
            .points
            .iter()
            .map(|point| point.rows_per_second.median)
            .fold(f64::INFINITY, f64::min);
        if came < 0.9 * lingers.rate {
            told += &format!(" The workers came to {} only.", grouped(came));
        }
        let at = |seconds: f64| {
            lingers.points.iter().find(|point| (point.linger_seconds - seconds).abs() < 1e-9)
        };
        if let (Some(chosen), Some(zero)) = (at(linger), at(0.0))
            && let Some(p99) = chosen.delay.p99
        {
            told += &format!(
                " With a linger of {} 99 of 100 rows are committed within {}",
                time(linger),
                time(p99)
            );
            told += &match linger > 0.0 {
                true => format!(
                    ", in {} transactions a second instead of {}.",
                    number(chosen.transactions_per_second.median),
                    number(zero.transactions_per_second.median)
                ),
                false => ".".to_owned(),
            };
        }
        let filled = lingers
            .points
            .iter()
            .find(|point| point.linger_seconds > 0.0 && point.is_filled_before());
        if let Some(first) = filled {
            told += &format!(
                " At that pace a batch of {} is full after {}, before a linger of {} is over: a longer one is felt only \
                 where fewer rows come.",
                grouped(lingers.batch as f64),
                time(lingers.batch as f64 / lingers.rate),
                time(first.linger_seconds)
            );
        }
        told
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
    use super::*;

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
