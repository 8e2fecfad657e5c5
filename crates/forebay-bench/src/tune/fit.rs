//! What a transaction costs: a part for itself and a part for each of its rows.

use serde::{Deserialize, Serialize};

use crate::spread::Spread;

/// Relative residual above which the model says nothing.
const MAX_RESIDUAL: f64 = 0.15;
/// Part of the variation that it must explain, in the same relative measure.
const MIN_EXPLAINED: f64 = 0.9;

/// The time of a transaction of `b` rows as `fixed + row · b`, by least squares on relative errors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fit {
    /// Seconds that each transaction takes, however many rows it has.
    pub fixed_seconds: f64,
    /// Seconds for each row.
    pub row_seconds: f64,
    /// The median of what the model is wrong by, as a part of the time.
    pub residual: f64,
    /// The part of the times' variation that it explains, of squares of relative errors.
    pub explained: f64,
    /// Why the model does not hold, if it does not.
    pub poor: Option<String>,
}

impl Fit {
    /// Fits the model to rows and seconds of transactions; `None` for fewer than three.
    pub fn of(points: &[(f64, f64)]) -> Option<Self> {
        let usable = |(rows, seconds): &&(f64, f64)| *rows > 0.0 && *seconds > 0.0;
        let points: Vec<(f64, f64)> = points.iter().filter(usable).copied().collect();
        if points.len() < 3 {
            return None;
        }
        // Each point weighs as much as its relative error: 1 over the square of its time.
        let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
            points.iter().map(|&(rows, seconds)| of(rows, seconds) / seconds.powi(2)).sum()
        };
        let (one, x, y) = (sum(&|_, _| 1.0), sum(&|rows, _| rows), sum(&|_, seconds| seconds));
        let (xx, xy) = (sum(&|rows, _| rows * rows), sum(&|rows, seconds| rows * seconds));
        let row_seconds = (one * xy - x * y) / (one * xx - x * x);
        let fixed_seconds = (y - row_seconds * x) / one;
        let relative = |&(rows, seconds): &(f64, f64)| {
            ((fixed_seconds + row_seconds * rows) / seconds - 1.0).abs()
        };
        let residual = Spread::of(points.iter().map(relative))?.median;
        let left: f64 = points.iter().map(|point| relative(point).powi(2)).sum();
        let mean = y / one;
        let whole = sum(&|_, seconds| (seconds - mean).powi(2));
        let explained = if whole > 0.0 { 1.0 - left / whole } else { 0.0 };
        let mut fit = Self { fixed_seconds, row_seconds, residual, explained, poor: None };
        fit.poor = fit.fault();
        Some(fit)
    }

    fn fault(&self) -> Option<String> {
        if self.row_seconds.is_nan() || self.row_seconds <= 0.0 {
            return Some("a transaction takes no longer for more rows".to_owned());
        }
        if self.fixed_seconds <= 0.0 {
            return Some("a transaction takes no time of its own".to_owned());
        }
        if self.residual > MAX_RESIDUAL {
            return Some(format!(
                "half of the times are off by more than {:.0} %",
                self.residual * 100.0
            ));
        }
        (self.explained < MIN_EXPLAINED).then(|| {
            let explained = (self.explained * 100.0).max(0.0);
            format!("it explains only {explained:.0} % of the differences between the times")
        })
    }

    /// Seconds of a transaction of so many rows.
    pub fn seconds(&self, rows: f64) -> f64 {
        self.fixed_seconds + self.row_seconds * rows
    }

    /// Rows in a second that endless transactions would come to.
    pub fn plateau(&self) -> f64 {
        1.0 / self.row_seconds
    }

    /// Rows in a transaction at which this part of the plateau is reached: `part / (1 - part) · fixed / row`.
    pub fn rows_for(&self, part: f64) -> f64 {
        part / (1.0 - part) * self.fixed_seconds / self.row_seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCHES: [f64; 12] =
        [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 400.0, 1e3, 2e3, 4e3];

    fn points(time: impl Fn(usize, f64) -> f64) -> Vec<(f64, f64)> {
        BATCHES.iter().enumerate().map(|(place, &rows)| (rows, time(place, rows))).collect()
    }

    #[test]
    fn exact_times_give_their_law_and_its_knee() {
        let fit = Fit::of(&points(|_, rows| 50e-6 + 2e-6 * rows)).unwrap();
        assert!((fit.fixed_seconds / 50e-6 - 1.0).abs() < 1e-9);
        assert!((fit.row_seconds / 2e-6 - 1.0).abs() < 1e-9);
        assert!((fit.plateau() / 500_000.0 - 1.0).abs() < 1e-9);
        // 9 · 50 / 2
        assert!((fit.rows_for(0.9) - 225.0).abs() < 1e-6);
        assert!(fit.residual < 1e-9 && fit.explained > 0.999_999);
        assert_eq!(fit.poor, None);
    }

    #[test]
    fn noisy_times_give_the_same_knee_more_or_less() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..100 {
            let mut noise = || 0.9 + 0.2 * random.f64();
            let noise: Vec<f64> = BATCHES.iter().map(|_| noise()).collect();
            let fit = Fit::of(&points(|place, rows| (50e-6 + 2e-6 * rows) * noise[place])).unwrap();
            assert_eq!(fit.poor, None, "{fit:?}");
            assert!((120.0..420.0).contains(&fit.rows_for(0.9)), "{fit:?}");
        }
    }

    #[test]
    fn times_that_do_not_depend_on_the_rows_have_no_knee() {
        for slope in [0.0, -1e-9] {
            let fit = Fit::of(&points(|_, rows| 5e-3 + slope * rows)).unwrap();
            assert!(fit.poor.is_some(), "{fit:?}");
        }
        let no_time_of_its_own = Fit::of(&points(|_, rows| 2e-6 * rows - 1e-7)).unwrap();
        assert!(no_time_of_its_own.poor.unwrap().contains("no time of its own"));
    }

    #[test]
    fn times_of_another_law_are_a_poor_fit() {
        let fit =
            Fit::of(&points(|place, rows| (50e-6 + 2e-6 * rows) * [1.0, 3.0][place % 2])).unwrap();
        assert!(fit.poor.is_some(), "{fit:?}");
        let wild = Fit::of(&points(|_, rows| 1e-6 * rows.powi(2) + 1e-4)).unwrap();
        assert!(wild.poor.is_some(), "{wild:?}");
    }

    #[test]
    fn two_points_are_too_few() {
        assert!(Fit::of(&[(1.0, 1.0), (2.0, 2.0), (0.0, 5.0), (3.0, 0.0)]).is_none());
    }
}
