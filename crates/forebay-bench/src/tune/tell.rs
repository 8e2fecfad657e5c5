//! What tuning has shown, in sentences.

use forebay_trial::Mode;

use super::{BatchPoint, Lingers, Tuning};
use crate::host;
use crate::report::units::{counted, grouped, number, time};

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

    /// Rows in each second with the settings: when they were tried, or else in the sweep.
    pub fn rows_per_second(&self) -> f64 {
        match self.confirmed.rows_per_second.median {
            rate if rate > 0.0 => rate,
            _ => self.advice.rows_per_second,
        }
    }

    /// The figures of the batch size that was chosen.
    pub(super) fn chosen(&self) -> Option<&BatchPoint> {
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
