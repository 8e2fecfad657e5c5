//! Thresholds: ratios of rates that a run must reach.

use std::fmt;

use forebay_trial::Mode;

use crate::contender::{Contender, DIRECT};
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::report::units;
use crate::results::Results;
use crate::spread::Spread;

/// A ratio of rates that a run must reach: `forebay@400=25`, `push:forebay@400/limit@400=0.95`.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    modes: Vec<Mode>,
    contender: String,
    reference: String,
    ratio: f64,
}

/// A ratio that was not reached, or of which that is not known.
#[derive(Debug, Clone)]
pub struct Shortfall {
    threshold: Threshold,
    mode: Mode,
    /// None where one of the two has no figures.
    ratio: Option<Spread>,
}

impl Threshold {
    /// Reads `[MODE:]CONTENDER[/REFERENCE]=RATIO`: without a mode it is for each that the plan has, without a reference
    /// against `direct`.
    ///
    /// # Errors
    ///
    /// When it is not that, or names who or what is not in the plan.
    pub fn parse(text: &str, plan: &Plan) -> Result<Self> {
        let wrong = |what: String| Error::of_arguments(format!("--fail-below {text}: {what}"));
        let (who, ratio) = text.rsplit_once('=').ok_or_else(|| {
            wrong("it must be CONTENDER=RATIO, such as forebay@400=25".to_owned())
        })?;
        let number = ratio.parse().ok().filter(|ratio: &f64| ratio.is_finite() && *ratio > 0.0);
        let ratio = number.ok_or_else(|| wrong(format!("{ratio:?} is no number above 0")))?;
        let is_there = |name: &str| plan.contenders.iter().any(|other| other.name() == name);
        let (modes, who) = match who.split_once(':') {
            Some((mode, rest)) if !is_there(who) => {
                let found = plan.modes.iter().copied().find(|one| one.name() == mode);
                let missing =
                    || wrong(format!("mode {mode:?} is not run, only {}", modes_of(plan)));
                (vec![found.ok_or_else(missing)?], rest)
            }
            _ => (plan.modes.clone(), who),
        };
        let (contender, reference) = match who.split_once('/') {
            Some((contender, reference)) if !is_there(who) => (contender, reference),
            _ => (who, DIRECT),
        };
        for name in [contender, reference] {
            if !is_there(name) {
                let names: Vec<_> = plan.contenders.iter().map(Contender::name).collect();
                let why = format!("{name:?} does not take part, only {}", units::listed(&names));
                return Err(wrong(why));
            }
        }
        Ok(Self { modes, contender: contender.to_owned(), reference: reference.to_owned(), ratio })
    }

    /// In which modes a run has not reached it, by the median of the ratios within each round.
    pub fn shortfalls(&self, results: &Results) -> Vec<Shortfall> {
        let shortfall = |&mode| {
            let ratio = results.ratio(mode, &self.contender, &self.reference);
            let is_reached = ratio.as_ref().is_some_and(|ratio| ratio.median >= self.ratio);
            (!is_reached).then(|| Shortfall { threshold: self.clone(), mode, ratio })
        };
        self.modes.iter().filter_map(shortfall).collect()
    }
}

fn modes_of(plan: &Plan) -> String {
    units::listed(&plan.modes.iter().map(|mode| mode.name()).collect::<Vec<_>>())
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Threshold { contender, reference, ratio: least, .. } = &self.threshold;
        write!(f, "{contender}, {}: ", self.mode.name())?;
        match &self.ratio {
            Some(Spread { median, lower, upper, .. }) => {
                // A ratio just below must not read as if it were not.
                let tell = |ratio: f64| {
                    let told = units::number(ratio);
                    if told == units::number(*least) { format!("{ratio:.4}") } else { told }
                };
                let range = units::between(*lower, *upper, tell);
                write!(f, "{} × {reference} ({range}), below {least}", tell(*median))
            }
            None => write!(f, "no ratio to {reference}, which must be at least {least}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{plan, results};

    fn told(text: &str) -> Vec<String> {
        let threshold = Threshold::parse(text, &plan()).unwrap();
        threshold.shortfalls(&results()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_ratio_that_is_not_reached_is_told_in_each_mode() {
        assert_eq!(told("forebay@400=2"), [""; 0]);
        assert_eq!(
            told("forebay@400=25"),
            ["forebay@400, await: 2.77 × direct (2.38 to 3.32), below 25"]
        );
        assert_eq!(told("push:forebay@400=25"), [""; 0]);
        assert_eq!(
            told("push:forebay@400/limit@400=0.95"),
            ["forebay@400, push: 0.78 × limit@400 (0.72 to 0.85), below 0.95"]
        );
    }

    #[test]
    fn a_ratio_to_who_is_void_is_not_reached() {
        let why = ["direct, push: no ratio to other, which must be at least 0.5"];
        assert_eq!(told("push:direct/other=0.5"), why);
    }

    #[test]
    fn a_threshold_that_says_nothing_is_told_what_is_right() {
        for (text, why) in [
            ("forebay@400", "it must be CONTENDER=RATIO"),
            ("forebay@400=fast", "\"fast\" is no number above 0"),
            ("forebay@400=-1", "no number above 0"),
            ("forebay@400=NaN", "no number above 0"),
            ("pull:forebay@400=2", "mode \"pull\" is not run, only push and await"),
            ("forebay@40=2", "\"forebay@40\" does not take part, only rollback, direct,"),
            ("forebay@400/limit@4=2", "\"limit@4\" does not take part"),
        ] {
            let error = Threshold::parse(text, &plan()).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
            assert_eq!(error.kind(), crate::ErrorKind::Arguments);
        }
    }
}
