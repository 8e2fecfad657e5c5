//! What tuning has shown, as charts for a terminal: rows per second against batch size and against latency.

use textplots::{Chart, LabelBuilder, LabelFormat, Plot, Shape, TickDisplay, TickDisplayBuilder};

use super::Tuning;
use crate::report::units::{grouped, short, time};

/// Dots of a chart, two to a character in width and four in height.
const SIZE: (u32, u32) = (120, 48);

impl Tuning {
    /// Both charts, each below what it shows; none where fewer than two batch sizes were measured.
    pub fn charts(&self) -> String {
        let rates = self.series(|point| Some(point.batch as f64));
        let delays = self.series(|point| point.delay_seconds(self.mode));
        let by_batch = chart("rows/s by rows in a batch", &rates, grouped);
        let by_delay = chart(&format!("rows/s by {}", self.delay_name()), &delays, time);
        [by_batch, by_delay].into_iter().flatten().collect::<Vec<_>>().join("\n")
    }
}

/// A line through points of positive `x`, whose axis has equal distances for equal ratios.
fn chart(title: &str, points: &[(f64, f64)], tell: fn(f64) -> String) -> Option<String> {
    let least = points.iter().map(|point| point.0).fold(f64::INFINITY, f64::min);
    let most = points.iter().map(|point| point.0).fold(0.0, f64::max);
    let top = points.iter().map(|point| point.1).fold(0.0, f64::max);
    if !(least > 0.0 && most > least && top > 0.0) {
        return None;
    }
    let place = move |x: f64| (x / least).log10() as f32;
    let value = move |place: f32| least * 10_f64.powf(place.into());
    let points: Vec<_> = points.iter().map(|&(x, y)| (place(x), y as f32)).collect();
    let line = Shape::Lines(&points);
    let mut chart =
        Chart::new_with_y_range(SIZE.0, SIZE.1, 0.0, place(most), 0.0, (top * 1.05) as f32);
    let chart = chart
        .lineplot(&line)
        .x_label_format(LabelFormat::Custom(Box::new(move |x| tell(value(x)))))
        .y_label_format(LabelFormat::Custom(Box::new(|y| short(y.into()))))
        .y_tick_display(TickDisplay::Sparse);
    chart.axis();
    chart.figures();
    let drawn = chart.to_string();
    // Blank braille is blank, also for whoever searches or copies it.
    let lines = drawn.lines().map(|line| line.replace('\u{2800}', " ").trim_end().to_owned());
    Some(lines.fold(format!("{title}\n"), |text, line| text + &line + "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_its_line_and_the_ends_of_its_axes() {
        let points: Vec<_> = [1.0, 10.0, 100.0, 1_000.0, 4_000.0]
            .iter()
            .map(|&rows| (rows, rows / (50e-6 + 2e-6 * rows)))
            .collect();
        insta::assert_snapshot!(chart("rows/s by rows in a batch", &points, grouped).unwrap());
    }

    #[test]
    fn one_point_is_no_chart() {
        assert_eq!(chart("none", &[(1.0, 5.0)], grouped), None);
        assert_eq!(chart("none", &[], grouped), None);
        assert_eq!(chart("none", &[(1.0, 0.0), (2.0, f64::NAN)], grouped), None);
    }
}
