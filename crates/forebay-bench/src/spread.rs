//! Medians and quartiles.

use serde::{Deserialize, Serialize};

/// What several rounds have shown of one number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of the rounds were below.
    pub median: f64,
    /// A quarter of the rounds was below.
    pub lower: f64,
    /// A quarter of the rounds was above.
    pub upper: f64,
    /// Each round.
    pub rounds: Vec<f64>,
}

impl Spread {
    /// The spread of these numbers; `None` without any, or when one is none, such as a ratio to nothing.
    pub fn of(rounds: impl IntoIterator<Item = f64>) -> Option<Self> {
        let rounds: Vec<f64> = rounds.into_iter().collect();
        let mut sorted = rounds.clone();
        sorted.sort_by(f64::total_cmp);
        if sorted.is_empty() || sorted.iter().any(|number| !number.is_finite()) {
            return None;
        }
        let at = |part: f64| quantile(&sorted, part);
        Some(Self { median: at(0.5), lower: at(0.25), upper: at(0.75), rounds })
    }
}

/// Between two neighbours, the line between them.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let place = part * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_their_neighbours() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((spread.lower, spread.median, spread.upper), (1.75, 2.5, 3.25));
        assert_eq!(spread.rounds, [4.0, 1.0, 3.0, 2.0]);
        let one = Spread::of([7.0]).unwrap();
        assert_eq!((one.lower, one.median, one.upper), (7.0, 7.0, 7.0));
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([1.0, 1.0 / 0.0]), None);
    }
}
