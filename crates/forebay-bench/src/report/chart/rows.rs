//! One row for each name: a bar with whiskers, or marks on a line.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{
    Area, Axis, Drawn, FONT, GRAIN, GRID, Key, MUTED, Sign, TEXT, Tone, draw, font, write,
};
use crate::error::Result;
use crate::report::units;

/// Height of a row in pixels.
const ROW: i32 = 20;
/// Half the height of a bar, in rows.
const HALF: f64 = 0.34;

/// A chart of rows.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Above it.
    pub title: String,
    /// The horizontal axis.
    pub axis: Axis,
    /// What marks mean; none for bars.
    pub legend: Vec<(Mark, String)>,
    /// From the top.
    pub rows: Vec<Row>,
}

/// One row.
#[derive(Debug, Clone)]
pub struct Row {
    /// On its left.
    pub name: String,
    /// Who it is.
    pub tone: Tone,
    /// What is in it.
    pub shape: Shape,
}

/// What is in a row.
#[derive(Debug, Clone)]
pub enum Shape {
    /// A bar, with quartiles as whiskers.
    Bar {
        /// Where it ends.
        median: f64,
        /// Where the whiskers begin.
        lower: f64,
        /// And end.
        upper: f64,
    },
    /// Marks, joined by a line. Those that have no place on the axis are left out.
    Marks(Vec<(Mark, f64)>),
    /// A word why there is nothing.
    Nothing(String),
}

/// The form of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A filled circle.
    Dot,
    /// An empty circle.
    Ring,
    /// An empty square.
    Square,
    /// An upright line.
    Stroke,
}

impl Shape {
    fn values(&self) -> Vec<f64> {
        match self {
            Self::Bar { median, lower, upper } => vec![*median, *lower, *upper],
            Self::Marks(marks) => marks.iter().map(|(_, value)| *value).collect(),
            Self::Nothing(_) => Vec::new(),
        }
    }
}

impl Rows {
    /// The chart as a document of its own, which can also stand in a page.
    ///
    /// # Errors
    ///
    /// When it cannot be drawn.
    pub fn svg(&self) -> Result<String> {
        let keys: Vec<_> = self
            .legend
            .iter()
            .map(|(mark, name)| Key { name, ink: MUTED, sign: Sign::Mark(*mark) })
            .collect();
        let height = self.rows.len().max(1) as i32 * ROW + 44;
        draw(&self.title, "", &keys, height, |area| self.paint(area))
    }

    fn paint(&self, area: &Area<'_>) -> Drawn {
        // Room for the number at a bar's end.
        let room = if self.legend.is_empty() { 0.17 } else { 0.03 };
        let values = self.rows.iter().flat_map(|row| row.shape.values());
        let x = self.axis.span_of_bars(values, room);
        let left = x.from();
        let number = self.rows.len().max(1);
        let longest = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let names = (longest as i32 * FONT * 11 / 20 + 18).clamp(60, 190);
        let mut chart = ChartBuilder::on(area)
            .margin_right(12 * GRAIN)
            .x_label_area_size(36 * GRAIN)
            .y_label_area_size(names * GRAIN)
            // Rows go down.
            .build_cartesian_2d(x, number as f64..0.0)?;
        let text = font(FONT, FontStyle::Normal).color(&MUTED.light);
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(0)
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.light.stroke_width(2))
            .axis_style(MUTED.light.stroke_width(2))
            .label_style(text.clone())
            .x_desc(&self.axis.title)
            .axis_desc_style(text)
            .draw()?;
        let plot = chart.plotting_area();
        let at = |x: f64, y: f64| {
            let (x, y) = plot.map_coordinate(&(x, y));
            (x, y - area.get_base_pixel().1)
        };
        for (number, row) in self.rows.iter().enumerate() {
            let middle = number as f64 + 0.5;
            let (edge, height) = at(left, middle);
            let beside = ((edge - 14) / GRAIN, height / GRAIN);
            write(area, &row.name, beside, TEXT, FONT, HPos::Right, false)?;
            self.paint_row(area, row, left, &|place| at(place, middle))?;
        }
        Ok(())
    }

    fn paint_row(
        &self,
        area: &Area<'_>,
        row: &Row,
        left: f64,
        at: &dyn Fn(f64) -> (i32, i32),
    ) -> Drawn {
        let color = row.tone.ink().light;
        let place = |value: f64| self.axis.place(value).map(|place| at(place.max(left)));
        let line = |from, to, style: ShapeStyle| area.draw(&PathElement::new([from, to], style));
        match &row.shape {
            Shape::Bar { median, lower, upper } => {
                let half = (f64::from(ROW * GRAIN) * HALF) as i32;
                let (begin, y) = at(left);
                // What is not above zero has a number, and no bar.
                let end = place(*median).map_or(begin, |(end, _)| end);
                area.draw(&Rectangle::new([(begin, y - half), (end, y + half)], color.filled()))?;
                let whiskers = place(*lower).zip(place(*upper));
                let ((from, _), (to, _)) = whiskers.unwrap_or(((end, y), (end, y)));
                let style = TEXT.light.stroke_width(2);
                line((from, y), (to, y), style)?;
                for x in [from, to] {
                    line((x, y - half / 2), (x, y + half / 2), style)?;
                }
                let (x, text) = (end.max(to) / GRAIN + 4, units::short(*median));
                write(area, &text, (x, y / GRAIN), MUTED, FONT - 1, HPos::Left, false)
            }
            Shape::Marks(marks) => {
                let places: Vec<_> = marks
                    .iter()
                    .filter_map(|(mark, value)| Some((*mark, place(*value)?)))
                    .collect();
                if let (Some((_, first)), Some((_, last))) = (places.first(), places.last()) {
                    line(*first, *last, color.stroke_width(3))?;
                }
                for (mark, place) in places {
                    draw_mark(area, mark, place, color)?;
                }
                Ok(())
            }
            Shape::Nothing(why) => {
                let (x, y) = at(left);
                write(area, why, (x / GRAIN + 6, y / GRAIN), MUTED, FONT, HPos::Left, false)
            }
        }
    }
}

/// Draws a mark around a point.
pub(super) fn draw_mark(area: &Area<'_>, mark: Mark, (x, y): (i32, i32), color: RGBColor) -> Drawn {
    let inside = super::BACKGROUND.light.filled();
    match mark {
        Mark::Dot => area.draw(&Circle::new((x, y), 9, color.filled())),
        Mark::Ring => {
            area.draw(&Circle::new((x, y), 8, inside))?;
            area.draw(&Circle::new((x, y), 8, color.stroke_width(4)))
        }
        Mark::Square => {
            let corners = [(x - 8, y - 8), (x + 8, y + 8)];
            area.draw(&Rectangle::new(corners, color.filled()))?;
            area.draw(&Rectangle::new([(x - 4, y - 4), (x + 4, y + 4)], inside))
        }
        Mark::Stroke => {
            area.draw(&PathElement::new([(x, y - 11), (x, y + 11)], color.stroke_width(5)))
        }
    }
}
