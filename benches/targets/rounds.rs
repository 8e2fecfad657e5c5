//! What the rounds of a measurement have shown, made into one figure for each target.

use std::collections::BTreeMap;

use forebay_bench::Spread;
use forebay_bench::report::units;
use forebay_cli::failure::{Failure, Result};

/// What one round has shown of one target.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    /// The number that its bound is for.
    pub(crate) number: f64,
    /// What that was made of.
    pub(crate) made_of: Vec<Ingredient>,
}

/// A number that a ratio is made of.
#[derive(Debug, Clone)]
pub(crate) struct Ingredient {
    /// Whose it is.
    pub(crate) name: String,
    /// The number.
    pub(crate) value: f64,
    /// How it is told.
    pub(crate) unit: Plain,
}

/// What an ingredient is a number of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plain {
    /// Rows in each second.
    Rate,
    /// A time.
    Seconds,
    /// Memory or a file.
    Bytes,
    /// Rows.
    Rows,
}

/// One round: by target.
pub(crate) type Round = BTreeMap<&'static str, Result<Shown>>;

/// What all rounds have shown of one target.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    /// Its numbers.
    pub(crate) spread: Spread,
    /// What they were made of, in words.
    pub(crate) notes: Vec<String>,
}

impl Shown {
    /// A ratio of two.
    pub(crate) fn ratio(ours: Ingredient, theirs: Ingredient) -> Self {
        Self { number: ours.value / theirs.value, made_of: vec![ours, theirs] }
    }

    /// A number alone.
    pub(crate) fn alone(number: f64) -> Self {
        Self { number, made_of: Vec::new() }
    }
}

impl Ingredient {
    /// This number of somebody's.
    pub(crate) fn new(name: impl Into<String>, value: f64, unit: Plain) -> Self {
        Self { name: name.into(), value, unit }
    }

    fn tell(value: f64, unit: Plain) -> String {
        match unit {
            Plain::Rate => format!("{} rows/s", units::grouped(value)),
            Plain::Seconds => units::time(value),
            Plain::Bytes => units::bytes(value),
            Plain::Rows => format!("{} rows", units::grouped(value)),
        }
    }
}

/// One figure for each target. A target of which one round has shown nothing has none.
pub(crate) fn gathered(rounds: Vec<Round>) -> BTreeMap<&'static str, Result<Measured>> {
    let mut shown: BTreeMap<&'static str, Result<Vec<Shown>>> = BTreeMap::new();
    for (id, result) in rounds.into_iter().flatten() {
        let all = shown.entry(id).or_insert_with(|| Ok(Vec::new()));
        match (&mut *all, result) {
            (Ok(numbers), Ok(number)) => numbers.push(number),
            (Ok(_), Err(failure)) => *all = Err(failure),
            (Err(_), _) => {}
        }
    }
    shown.into_iter().map(|(id, all)| (id, all.and_then(|all| measured(&all)))).collect()
}

fn measured(rounds: &[Shown]) -> Result<Measured> {
    let spread = Spread::of(rounds.iter().map(|round| round.number)).ok_or_else(|| {
        Failure::new("a round has shown no number: raise --seconds, so that each commits something")
    })?;
    let most = rounds.iter().map(|round| round.made_of.len()).max().unwrap_or(0);
    let notes = (0..most).filter_map(|place| note(rounds, place)).collect();
    Ok(Measured { spread, notes })
}

/// The ingredient at this place: whose it was, in how many rounds, and the median.
fn note(rounds: &[Shown], place: usize) -> Option<String> {
    let here: Vec<&Ingredient> =
        rounds.iter().filter_map(|round| round.made_of.get(place)).collect();
    let unit = here.first()?.unit;
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for ingredient in &here {
        *names.entry(&ingredient.name).or_default() += 1;
    }
    let name = if let [(name, _)] = Vec::from_iter(&names)[..] {
        (*name).to_owned()
    } else {
        let told = names.iter().map(|(name, count)| format!("{name} ({count} of {})", here.len()));
        told.collect::<Vec<_>>().join(" or ")
    };
    let median = Spread::of(here.iter().map(|ingredient| ingredient.value))?.median;
    Some(format!("{name} {}", Ingredient::tell(median, unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(rival: &str, ours: f64, theirs: f64) -> Round {
        let rate = |name: &str, rate| Ingredient::new(name, rate, Plain::Rate);
        BTreeMap::from([("1c", Ok(Shown::ratio(rate("forebay", ours), rate(rival, theirs))))])
    }

    #[test]
    fn a_ratio_is_made_within_a_round_and_the_note_says_of_what() {
        let rounds =
            vec![round("sqlx", 20.0, 10.0), round("python", 30.0, 5.0), round("sqlx", 40.0, 10.0)];
        let measured = gathered(rounds).remove("1c").unwrap().unwrap();
        assert_eq!(measured.spread.rounds, [2.0, 6.0, 4.0]);
        let notes = ["forebay 30 rows/s", "python (1 of 3) or sqlx (2 of 3) 10 rows/s"];
        assert_eq!(measured.notes, notes);
    }

    #[test]
    fn a_round_without_a_number_leaves_the_target_unmeasured() {
        let failed = Round::from([("1c", Err(Failure::new("sqlx failed")))]);
        let rounds = vec![round("sqlx", 20.0, 10.0), failed, round("sqlx", 20.0, 10.0)];
        assert_eq!(gathered(rounds)["1c"].clone().unwrap_err().message(), "sqlx failed");
        let nothing = gathered(vec![round("sqlx", 20.0, 0.0)]);
        assert!(nothing["1c"].clone().unwrap_err().message().contains("has shown no number"));
    }
}
