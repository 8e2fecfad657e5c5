//! A target: what a figure must be, and which of its rounds decides.

use forebay_bench::Spread;
use forebay_bench::report::units;
use serde::Serialize;

use crate::catalog::Job;
use crate::number::Number;

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its number and letter.
    pub(crate) id: &'static str,
    /// What is measured.
    pub(crate) case: &'static str,
    /// What it must be.
    pub(crate) bound: Bound,
    /// In which unit.
    pub(crate) unit: Unit,
    /// Which number of its rounds must be that.
    pub(crate) decided_by: DecidedBy,
    /// What measures it.
    pub(crate) job: Job,
    /// Which number of the job's results it is, where that is one of `forebay bench`.
    pub(crate) number: Option<Number>,
}

/// What a figure must be.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bound {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// What a figure is a number of.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// A ratio to this.
    Times(&'static str),
    /// A time, in seconds.
    Seconds,
    /// Whole things, called so.
    Count(&'static str),
}

/// Which number of the rounds decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DecidedBy {
    /// The median.
    Median,
    /// The quartile on the wrong side of the bound: for what is compared with `direct`, which is erratic.
    Quartile,
    /// The worst round: for what must never be.
    Worst,
}

impl Target {
    /// The number that decides.
    pub(crate) fn figure(&self, spread: &Spread) -> f64 {
        let rounds = || spread.rounds.iter().copied();
        match (self.decided_by, self.bound) {
            (DecidedBy::Median, _) => spread.median,
            (DecidedBy::Quartile, Bound::AtLeast(_)) => spread.lower,
            (DecidedBy::Quartile, Bound::AtMost(_)) => spread.upper,
            (DecidedBy::Worst, Bound::AtLeast(_)) => rounds().fold(f64::INFINITY, f64::min),
            (DecidedBy::Worst, Bound::AtMost(_)) => rounds().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    /// Whether it is met.
    pub(crate) fn is_met(&self, spread: &Spread) -> bool {
        let figure = self.figure(spread);
        match self.bound {
            Bound::AtLeast(least) => figure >= least,
            Bound::AtMost(most) => figure <= most,
        }
    }

    /// What it asks for: `≥ 25 × direct`, `≤ 80 ns`.
    pub(crate) fn asks(&self) -> String {
        let (sign, bound) = match self.bound {
            Bound::AtLeast(least) => ("≥", least),
            Bound::AtMost(most) => ("≤", most),
        };
        match self.unit {
            Unit::Times(of) => format!("{sign} {bound} × {of}"),
            Unit::Seconds => format!("{sign} {}", units::time(bound)),
            Unit::Count(things) => format!("{sign} {bound} {things}"),
        }
    }

    /// Its figure with the unit; one that misses by little does not read as if it met the bound.
    pub(crate) fn told(&self, spread: &Spread) -> String {
        let figure = self.figure(spread);
        let (Bound::AtLeast(bound) | Bound::AtMost(bound)) = self.bound;
        let told = self.tell(figure);
        if !self.is_met(spread) && told == self.tell(bound) {
            return match self.unit {
                Unit::Seconds => format!("{figure:e} s"),
                Unit::Times(_) => format!("{figure:.4} ×"),
                Unit::Count(_) => format!("{figure:.4}"),
            };
        }
        told
    }

    /// A number in its unit.
    fn tell(&self, number: f64) -> String {
        match self.unit {
            Unit::Times(_) => format!("{} ×", units::number(number)),
            Unit::Seconds => units::time(number),
            Unit::Count(_) => units::grouped(number),
        }
    }

    /// Lower quartile, median and upper quartile; one number where they are the same.
    pub(crate) fn quartiles(&self, spread: &Spread) -> String {
        let short = |number| match self.unit {
            Unit::Times(_) => units::number(number),
            Unit::Seconds | Unit::Count(_) => self.tell(number),
        };
        let told = [spread.lower, spread.median, spread.upper].map(short);
        if told.iter().all(|one| *one == told[0]) { told[0].clone() } else { told.join(" · ") }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A target of a ratio.
    pub(crate) const fn ratio(bound: Bound, decided_by: DecidedBy) -> Target {
        let unit = Unit::Times("direct");
        let job = Job::Import;
        Target { id: "1a", case: "push", bound, unit, decided_by, job, number: None }
    }

    fn spread() -> Spread {
        Spread::of([4.0, 1.0, 3.0, 2.0, 5.0]).unwrap()
    }

    #[test]
    fn the_median_decides_and_the_bound_itself_is_enough() {
        let decided = |bound| ratio(bound, DecidedBy::Median).is_met(&spread());
        assert_eq!(
            [Bound::AtLeast(3.0), Bound::AtMost(3.0), Bound::AtLeast(3.1), Bound::AtMost(2.9)]
                .map(decided),
            [true, true, false, false]
        );
    }

    #[test]
    fn against_direct_the_quartile_on_the_wrong_side_decides() {
        let decided = |bound| ratio(bound, DecidedBy::Quartile).is_met(&spread());
        assert_eq!(
            [Bound::AtLeast(2.0), Bound::AtMost(4.0), Bound::AtLeast(2.1), Bound::AtMost(3.9)]
                .map(decided),
            [true, true, false, false]
        );
    }

    #[test]
    fn what_must_never_be_is_decided_by_the_worst_round() {
        let figure = |bound| ratio(bound, DecidedBy::Worst).figure(&spread());
        assert_eq!([Bound::AtLeast(0.0), Bound::AtMost(0.0)].map(figure), [1.0, 5.0]);
    }

    #[test]
    fn a_target_says_what_it_asks_for_in_its_unit() {
        let asks = |bound, unit| Target { unit, ..ratio(bound, DecidedBy::Median) }.asks();
        assert_eq!(asks(Bound::AtLeast(25.0), Unit::Times("direct")), "≥ 25 × direct");
        assert_eq!(asks(Bound::AtMost(80e-9), Unit::Seconds), "≤ 80 ns");
        assert_eq!(asks(Bound::AtMost(0.0), Unit::Count("allocations")), "≤ 0 allocations");
    }

    #[test]
    fn a_figure_that_misses_by_little_does_not_read_as_the_bound() {
        let target = ratio(Bound::AtLeast(0.95), DecidedBy::Median);
        assert_eq!(target.told(&Spread::of([0.9496]).unwrap()), "0.9496 ×");
        assert_eq!(target.told(&Spread::of([0.9504]).unwrap()), "0.95 ×");
        assert_eq!(target.quartiles(&spread()), "2.00 · 3.00 · 4.00");
        assert_eq!(target.quartiles(&Spread::of([2.0]).unwrap()), "2.00");
        assert_eq!(target.quartiles(&Spread::of([2.0, 2.0, 3.0]).unwrap()), "2.00 · 2.00 · 2.50");
    }
}
