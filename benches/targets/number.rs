//! From the results of one round of `forebay bench` to the number of a target.

use forebay_bench::results::{Entry, Figures, Verdict};
use forebay_bench::{Results, WorkerKind};
use forebay_cli::failure::{Failure, Result};

use crate::rounds::{Ingredient, Plain, Shown};

/// Rows in a transaction, on average, of who writes each row in one of its own: a bit more than one for the counts of a
/// transaction that was under way at the end.
const ONE_ROW: f64 = 1.05;
/// What is enough in any case of rows that are merged, in a second.
const ENOUGH: f64 = 10e6;
/// What is enough of the limit's.
const LIMITS: f64 = 4.0;

/// A number that results have.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    /// A contender's rate over that of another.
    Rate {
        /// Whose.
        of: &'static str,
        /// Over whose.
        over: Over,
    },
    /// How long its calls took, over those of another.
    Latency {
        /// Whose.
        of: &'static str,
        /// Over whose.
        over: &'static str,
        /// Which.
        at: Quantile,
    },
    /// The rate of a contender that merges rows, over ten million or four times the limit's, whichever is less.
    Merged {
        /// Whose.
        of: &'static str,
        /// Over whose.
        limit: &'static str,
    },
}

/// With whom a rate is compared.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Over {
    /// One.
    Contender(&'static str),
    /// The fastest of the round.
    BestRival(Who),
}

/// Which rivals count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// All.
    Any,
    /// Those that write each row in a transaction of its own.
    OneRow,
    /// Those whose workers are tasks.
    Tasks,
}

/// How long calls took.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Quantile {
    /// The median.
    P50,
    /// One of a thousand took longer.
    P999,
}

impl Number {
    /// The number of this round. Whoever is not among `own` is a rival.
    ///
    /// # Errors
    ///
    /// When one of the two has no figure.
    pub(crate) fn of(self, results: &Results, own: &[&str]) -> Result<Shown> {
        match self {
            Self::Rate { of, over } => {
                let theirs = match over {
                    Over::Contender(name) => rate(results, name)?,
                    Over::BestRival(who) => best_rival(results, own, who)?,
                };
                Ok(Shown::ratio(rate(results, of)?, theirs))
            }
            Self::Latency { of, over, at } => {
                Ok(Shown::ratio(latency(results, of, at)?, latency(results, over, at)?))
            }
            Self::Merged { of, limit } => merged(rate(results, of)?, rate(results, limit)?),
        }
    }
}

fn merged(ours: Ingredient, limit: Ingredient) -> Result<Shown> {
    let least = ENOUGH.min(LIMITS * limit.value);
    Ok(Shown { number: ours.value / least, made_of: vec![ours, limit] })
}

fn figures<'a>(results: &'a Results, name: &str) -> Result<&'a Figures> {
    let entry = results.entries.iter().find(|entry| entry.contender == name);
    let entry = entry.ok_or_else(|| Failure::new(format!("{name} did not take part")))?;
    entry.figures.as_ref().ok_or_else(|| match &entry.verdict {
        Verdict::Void(why) => Failure::new(format!("{name} is void: {why}")),
        Verdict::Failed(why) => Failure::new(format!("{name} failed: {why}")),
        Verdict::Valid => Failure::new(format!("{name} has shown nothing")),
    })
}

fn rate(results: &Results, name: &str) -> Result<Ingredient> {
    Ok(Ingredient::new(name, figures(results, name)?.rows_per_second.median, Plain::Rate))
}

fn latency(results: &Results, name: &str, at: Quantile) -> Result<Ingredient> {
    let quantiles = &figures(results, name)?.latency;
    let found = match at {
        Quantile::P50 => quantiles.p50,
        Quantile::P999 => quantiles.p999,
    };
    let found = found.ok_or_else(|| {
        Failure::new(format!(
            "{name} has too few calls in a trial for it, {}: raise --seconds",
            quantiles.samples
        ))
    })?;
    Ok(Ingredient::new(name, found, Plain::Seconds))
}

/// The fastest rival of the round. One that failed or is void has no rate to compare with, which its name says.
fn best_rival(results: &Results, own: &[&str], who: Who) -> Result<Ingredient> {
    let is_rival = |entry: &&Entry| !own.contains(&entry.contender.as_str());
    let rivals = || results.entries.iter().filter(is_rival);
    let rates = rivals().filter_map(|entry| {
        let figures = entry.figures.as_ref().filter(|figures| counts(who, figures))?;
        Some((&entry.contender, figures.rows_per_second.median))
    });
    let best = rates.max_by(|(_, one), (_, other)| one.total_cmp(other));
    let (name, rate) = best.ok_or_else(|| {
        let which = match who {
            Who::Any => "no rival",
            Who::OneRow => "no rival with one row in a transaction",
            Who::Tasks => "no rival of tasks",
        };
        Failure::new(format!("{which} has shown a rate: name one with --rival"))
    })?;
    let missing: Vec<_> = rivals()
        .filter(|entry| entry.figures.is_none())
        .map(|entry| entry.contender.as_str())
        .collect();
    let name = match missing.as_slice() {
        [] => name.clone(),
        missing => format!("{name} (without {}: void or failed)", missing.join(", ")),
    };
    Ok(Ingredient::new(name, rate, Plain::Rate))
}

fn counts(who: Who, figures: &Figures) -> bool {
    match who {
        Who::Any => true,
        Who::OneRow => {
            figures.rows_per_transaction.as_ref().is_some_and(|rows| rows.median <= ONE_ROW)
        }
        Who::Tasks => figures.worker_kind == WorkerKind::Tasks,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use forebay_bench::Spread;

    const OWN: [&str; 3] = ["direct", "limit@400", "forebay@400"];

    /// A round in which these had these rates, each row in a transaction of its own.
    fn results(rates: &[(&str, f64)]) -> Results {
        let mut results = sample();
        let valid = results.entries.iter().find(|entry| entry.figures.is_some()).unwrap().clone();
        results.entries.clear();
        for (name, rate) in rates {
            let mut entry = valid.clone();
            (*name).clone_into(&mut entry.contender);
            let figures = entry.figures.as_mut().unwrap();
            figures.rows_per_second = Spread::of([*rate]).unwrap();
            figures.rows_per_transaction = Spread::of([1.0]);
            results.entries.push(entry);
        }
        results
    }

    fn sample() -> Results {
        let text = include_str!("../../crates/forebay-bench/src/report/sample.json");
        serde_json::from_str(text).unwrap()
    }

    /// One without figures.
    fn void() -> Entry {
        let mut entries = sample().entries.into_iter();
        entries.find(|entry| matches!(entry.verdict, Verdict::Void(_))).unwrap()
    }

    fn rate_over(over: Over, results: &Results) -> Result<Shown> {
        Number::Rate { of: "forebay@400", over }.of(results, &OWN)
    }

    #[test]
    fn a_rate_is_compared_with_one_or_with_the_best_rival() {
        let mut results =
            results(&[("forebay@400", 60.0), ("direct", 2.0), ("a", 20.0), ("b", 30.0)]);
        assert_eq!(rate_over(Over::Contender("direct"), &results).unwrap().number, 30.0);
        let best = rate_over(Over::BestRival(Who::Any), &results).unwrap();
        assert_eq!((best.number, best.made_of[1].name.as_str()), (2.0, "b"));
        results.entries.push(void());
        let best = rate_over(Over::BestRival(Who::Any), &results).unwrap();
        assert_eq!(best.made_of[1].name, "b (without other: void or failed)");
    }

    #[test]
    fn a_rival_counts_by_what_it_is() {
        let mut results = results(&[("forebay@400", 60.0), ("a", 20.0), ("b", 30.0)]);
        let rivals = results.entries.iter_mut().filter(|entry| entry.contender == "b");
        for figures in rivals.filter_map(|entry| entry.figures.as_mut()) {
            figures.rows_per_transaction = Spread::of([2_000.0]);
            figures.worker_kind = WorkerKind::Tasks;
        }
        let best = |who| rate_over(Over::BestRival(who), &results).unwrap().made_of[1].name.clone();
        assert_eq!([Who::Any, Who::OneRow, Who::Tasks].map(best), ["b", "a", "b"]);
    }

    #[test]
    fn who_has_no_figure_leaves_the_target_unmeasured() {
        let mut results = results(&[("forebay@400", 60.0)]);
        results.entries.push(void());
        let why = |over| rate_over(over, &results).unwrap_err().message().to_owned();
        assert_eq!(why(Over::Contender("nobody")), "nobody did not take part");
        assert!(why(Over::Contender("other")).starts_with("other is void: key 7"));
        assert!(why(Over::BestRival(Who::Tasks)).contains("no rival of tasks"));
    }

    #[test]
    fn merged_rows_are_enough_at_ten_million_or_four_times_the_limit() {
        let merged = |ours, limit| {
            let results = results(&[("forebay@400", ours), ("limit@400", limit)]);
            let number = Number::Merged { of: "forebay@400", limit: "limit@400" };
            number.of(&results, &OWN).unwrap().number
        };
        assert_eq!((merged(8e6, 2e6), merged(8e6, 1e6), merged(10e6, 9e6)), (1.0, 2.0, 1.0));
    }

    #[test]
    fn a_latency_needs_calls_enough() {
        let mut results = results(&[("forebay@400", 60.0), ("direct", 2.0)]);
        let number = Number::Latency { of: "forebay@400", over: "direct", at: Quantile::P999 };
        for entry in &mut results.entries {
            if let Some(figures) = &mut entry.figures {
                figures.latency.p999 = (entry.contender != "direct").then_some(0.5);
            }
        }
        let why = number.of(&results, &OWN).unwrap_err();
        assert!(why.message().starts_with("direct has too few calls"), "{why}");
    }
}
