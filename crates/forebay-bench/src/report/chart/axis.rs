//! An axis: where values are on it, and which are told.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::report::units;

/// How values become places on an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences, equal distances; from zero.
    Linear,
    /// Equal ratios, equal distances. What is not above zero has no place on it.
    Log,
}

/// What the numbers at an axis are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Numbers: `400`, `10k`, `1M`.
    Count,
    /// Seconds: `100 µs`, `1 ms`.
    Seconds,
}

/// An axis of a chart.
#[derive(Debug, Clone)]
pub struct Axis {
    /// What it shows.
    pub title: String,
    /// How.
    pub scale: Scale,
    /// In what.
    pub unit: Unit,
}

impl Axis {
    /// An axis.
    pub fn new(title: impl Into<String>, scale: Scale, unit: Unit) -> Self {
        Self { title: title.into(), scale, unit }
    }

    /// Where a value is; `None` if it is nowhere.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let place = if self.scale == Scale::Log { value.log10() } else { value };
        Some(place).filter(|place| place.is_finite())
    }

    /// What is told at a place.
    fn tell(&self, place: f64) -> String {
        let value = if self.scale == Scale::Log { 10_f64.powf(place) } else { place };
        match self.unit {
            Unit::Count => units::short(value),
            Unit::Seconds => units::time(value),
        }
    }

    /// The part that bars for these values need, with a part of it as room at their ends.
    pub(super) fn span_of_bars(&self, values: impl Iterator<Item = f64>, room: f64) -> Span<'_> {
        let (lowest, highest) = self.ends(values);
        let from = match self.scale {
            // A value on the edge of its decade would have a bar of no length.
            Scale::Log => (lowest - 0.02).floor(),
            Scale::Linear => lowest.min(0.0),
        };
        self.span(from, highest + (highest - from) * room)
    }

    /// The part that points for these values need, with a little room around them.
    pub(super) fn span_of_points(&self, values: impl Iterator<Item = f64>) -> Span<'_> {
        let (lowest, highest) = self.ends(values);
        let (from, room) = match self.scale {
            Scale::Log => (lowest, (highest - lowest).max(0.5) * 0.05),
            Scale::Linear => (lowest.min(0.0), (highest - lowest.min(0.0)) * 0.05),
        };
        self.span(
            if from < 0.0 || self.scale == Scale::Log { from - room } else { from },
            highest + room,
        )
    }

    /// The lowest and the highest place.
    fn ends(&self, values: impl Iterator<Item = f64>) -> (f64, f64) {
        let places = values.filter_map(|value| self.place(value));
        let (lowest, highest) = places
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), place| {
                (low.min(place), high.max(place))
            });
        match self.scale {
            _ if lowest > highest => (0.0, 1.0),
            Scale::Linear if highest <= 0.0 => (lowest, 1.0),
            _ => (lowest, highest),
        }
    }

    fn span(&self, from: f64, to: f64) -> Span<'_> {
        Span { axis: self, from, to, ticks: self.ticks(from, to) }
    }

    /// Places that are told.
    fn ticks(&self, from: f64, to: f64) -> Vec<f64> {
        if self.scale == Scale::Log && to - from < 1.5 {
            let decades = (from.floor() as i32)..=(to.ceil() as i32);
            let steps = decades.flat_map(|decade| {
                [1.0_f64, 2.0, 5.0].map(|step| step.log10() + f64::from(decade))
            });
            return steps.filter(|place| (from..=to).contains(place)).collect();
        }
        let step = match self.scale {
            Scale::Log => ((to - from) / 6.0).ceil(),
            Scale::Linear => round_step((to - from) / 5.0),
        };
        let first = (from / step).ceil();
        let number = ((to / step).floor() - first).clamp(0.0, 50.0) as i32;
        (0..=number).map(|at| (first + f64::from(at)) * step).collect()
    }
}

/// The next of 1, 2, 5, 10, 20 and so on.
fn round_step(least: f64) -> f64 {
    let decade = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|step| step * decade)
        .find(|step| *step >= least)
        .unwrap_or(10.0 * decade)
}

/// The part of an axis that a chart shows.
pub(super) struct Span<'a> {
    axis: &'a Axis,
    from: f64,
    to: f64,
    ticks: Vec<f64>,
}

impl Span<'_> {
    pub(super) fn from(&self) -> f64 {
        self.from
    }
}

impl Ranged for Span<'_> {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, (begin, end): (i32, i32)) -> i32 {
        let part = (place - self.from) / (self.to - self.from);
        begin + (part * f64::from(end - begin)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Span<'_> {
    fn format_ext(&self, place: &f64) -> String {
        self.axis.tell(*place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(scale: Scale, unit: Unit, values: &[f64]) -> Vec<String> {
        let axis = Axis::new("", scale, unit);
        let span = axis.span_of_bars(values.iter().copied(), 0.0);
        span.ticks.iter().map(|place| axis.tell(*place)).collect()
    }

    #[test]
    fn an_axis_tells_round_numbers() {
        let of = told;
        assert_eq!(
            of(Scale::Log, Unit::Count, &[489.0, 1.3e6]),
            ["100", "1k", "10k", "100k", "1M"]
        );
        assert_eq!(of(Scale::Log, Unit::Count, &[3.1e4, 4.5e4]), ["10k", "20k"]);
        assert_eq!(of(Scale::Log, Unit::Seconds, &[6e-8, 1.8]).len(), 5);
        assert_eq!(of(Scale::Linear, Unit::Count, &[7.0, 93.0]), ["0", "20", "40", "60", "80"]);
    }

    #[test]
    fn an_axis_without_values_is_still_one() {
        for scale in [Scale::Log, Scale::Linear] {
            assert!(told(scale, Unit::Count, &[f64::NAN, -1.0]).len() > 1);
        }
    }
}
