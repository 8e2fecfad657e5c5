//! Series of points, joined by lines.

use plotters::prelude::*;

use super::rows::Mark;
use super::{Axis, Drawn, FONT, GRAIN, GRID, Key, MUTED, Sign, Tone, draw, font};
use crate::error::Result;

/// Height of the part below title and legend, in pixels.
const HEIGHT: i32 = 300;

/// A chart of series.
///
/// ```
/// use forebay_bench::report::chart::{Axis, Line, Lines, Scale, Series, Tone, Unit};
///
/// let rates = vec![(1.0, 3e4), (10.0, 2e5), (100.0, 8e5)];
/// let svg = Lines {
///     title: "Rows/s by batch size".to_owned(),
///     x: Axis::new("rows in a batch", Scale::Log, Unit::Count),
///     y: Axis::new("rows/s", Scale::Log, Unit::Count),
///     series: vec![Series::new("forebay", rates, Tone::Forebay, Line::Solid)],
/// }
/// .svg()?;
/// assert!(svg.starts_with("<svg"));
/// # Ok::<(), forebay_bench::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Lines {
    /// Above it.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The later ones above the earlier ones.
    pub series: Vec<Series>,
}

/// A series of points.
#[derive(Debug, Clone)]
pub struct Series {
    /// What the legend says.
    pub name: String,
    /// In the order in which they are joined. Those that have no place on an axis are left out.
    pub points: Vec<(f64, f64)>,
    /// Whose it is.
    pub tone: Tone,
    /// How it is drawn.
    pub line: Line,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// A line with its points.
    Solid,
    /// A broken line with its points.
    Dashed,
    /// A line without points: a bound, a model.
    Bare,
}

impl Series {
    /// A series.
    pub fn new(name: impl Into<String>, points: Vec<(f64, f64)>, tone: Tone, line: Line) -> Self {
        Self { name: name.into(), points, tone, line }
    }

    fn ink(&self) -> super::Ink {
        self.tone.ink()
    }

    /// A point alone has no line.
    fn sign(&self) -> Sign {
        match self.points.len() {
            1 => Sign::Mark(Mark::Dot),
            _ => Sign::Line(self.line),
        }
    }
}

impl Lines {
    /// The chart as a document of its own, which can also stand in a page.
    ///
    /// # Errors
    ///
    /// When it cannot be drawn.
    pub fn svg(&self) -> Result<String> {
        let keys: Vec<_> = self
            .series
            .iter()
            .map(|series| Key { name: &series.name, ink: series.ink(), sign: series.sign() })
            .collect();
        draw(&self.title, &self.y.title, &keys, HEIGHT, |area| self.paint(area))
    }

    fn paint(&self, area: &super::Area<'_>) -> Drawn {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = self.x.span_of_points(points().map(|point| point.0));
        let y = self.y.span_of_points(points().map(|point| point.1));
        let mut chart = ChartBuilder::on(area)
            .margin_right(10 * GRAIN)
            .margin_top(4 * GRAIN)
            .x_label_area_size(36 * GRAIN)
            .y_label_area_size(48 * GRAIN)
            .build_cartesian_2d(x, y)?;
        let text = font(FONT, FontStyle::Normal).color(&MUTED.light);
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.light.stroke_width(2))
            .axis_style(MUTED.light.stroke_width(2))
            .label_style(text.clone())
            .x_desc(&self.x.title)
            .axis_desc_style(text)
            .draw()?;
        for series in &self.series {
            let color = series.ink().light;
            let style = color.stroke_width(2 * GRAIN as u32);
            let places: Vec<_> = series
                .points
                .iter()
                .filter_map(|(x, y)| self.x.place(*x).zip(self.y.place(*y)))
                .collect();
            match series.line {
                Line::Dashed => chart.draw_series(DashedLineSeries::new(
                    places.iter().copied(),
                    7 * GRAIN,
                    4 * GRAIN,
                    style,
                ))?,
                Line::Solid | Line::Bare => {
                    chart.draw_series(LineSeries::new(places.iter().copied(), style))?
                }
            };
            if series.line != Line::Bare {
                let dot = |place| Circle::new(place, 7, color.filled());
                chart.draw_series(places.iter().copied().map(dot))?;
            }
        }
        Ok(())
    }
}
