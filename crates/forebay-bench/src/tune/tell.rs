//! What tuning has shown, in sentences.

use forebay_trial::Mode;

use super::table::linger as told_linger;
use super::{BatchPoint, Fit, Lingers, Tuning};
use crate::host;
use crate::report::units::{grouped, number, time};

impl Tuning {
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
        told.extend(self.choice());
        told.push(self.tried());
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
        if let Some(unmet) = &self.advice.unmet {
            told.push(format!(
                "The budget cannot be kept: {unmet}. What follows is near the best rate, however old rows get."
            ));
        }
        told
    }

    fn knee(&self) -> Option<String> {
        let most = self.batches.iter().map(|point| point.batch).max().unwrap_or(0);
        self.fit.as_ref().map(|fit| knee(fit, most))
    }

    fn choice(&self) -> Option<String> {
        let chosen = self.chosen()?;
        let best = self.best_rate();
        let rate = chosen.rows_per_second.median;
        let fastest = self
            .batches
            .iter()
            .max_by(|a, b| a.rows_per_second.median.total_cmp(&b.rows_per_second.median))?;
        if best <= 0.0 {
            return None;
        }
        let (batch, of) = (grouped(chosen.batch as f64), 100.0 * rate / best);
        Some(if fastest.batch == chosen.batch {
            format!("Batches of {batch} are the fastest: {} rows/s.", grouped(rate))
        } else {
            format!(
                "Batches of {batch} come to {} rows/s, {of:.0} % of what batches of {} come to.",
                grouped(rate),
                grouped(fastest.batch as f64)
            )
        })
    }

    /// What the settings came to when they were tried.
    fn tried(&self) -> String {
        let tried = &self.confirmed;
        if tried.ratio.rounds.is_empty() {
            return "The settings were tried as they are, and no transaction was seen to end meanwhile: let trials take longer."
                .to_owned();
        }
        format!(
            "The settings were tried as they are: {} rows/s, {:.2} times batches of {} in the same round (quartiles {:.2} to \
             {:.2}).",
            grouped(tried.rows_per_second.median),
            tried.ratio.median,
            grouped(tried.beside as f64),
            tried.ratio.lower,
            tried.ratio.upper
        )
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
        let large = self.batches.iter().find(|point| point.batch > workers)?;
        let due = large.triggers;
        let all = due.count + due.bytes + due.linger + due.receipt;
        (due.receipt > all / 2).then(|| {
            format!(
                "A batch of {} cannot fill with {} that wait: whoever waits is never made to linger, so batches are what \
                 gathers during a commit, {} rows on average here. Of {} times that rows were due, {} were for somebody \
                 who waited.",
                grouped(large.batch as f64),
                count(workers),
                number(large.rows_per_transaction),
                grouped(all as f64),
                grouped(due.receipt as f64)
            )
        })
    }

    fn of_lingers(&self, lingers: &Lingers) -> String {
        let rate = grouped(lingers.rate);
        let linger = self.advice.config.linger.as_secs_f64();
        let mut told = format!("Lingers were compared with {rate} rows in each second.");
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
                told_linger(linger),
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
    let knee = if rows > most as f64 {
        format!(
            "nine tenths of {plateau} rows/s, which no batch surpasses, would take {enough} rows, beyond what was tried"
        )
    } else {
        format!(
            "from {enough} rows on it is worth nine tenths of {plateau} rows/s, which no batch surpasses"
        )
    };
    format!("A transaction takes {fixed} and {row} more for each row: {knee}.")
}

fn count(workers: usize) -> String {
    if workers == 1 {
        "1 worker".to_owned()
    } else {
        format!("{} workers", grouped(workers as f64))
    }
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
            "A transaction takes 50 µs and 2 µs more for each row: from 225 rows on it is worth nine tenths of 500,000 rows/s, \
             which no batch surpasses."
        );
        assert_eq!(
            knee(&fit(4.9999e-3), 4_000),
            "A transaction takes 5 ms and 2 µs more for each row: nine tenths of 500,000 rows/s, which no batch surpasses, \
             would take 22,500 rows, beyond what was tried."
        );
    }
}
