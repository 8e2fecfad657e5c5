//! What tuning has shown, as charts and one page.

use forebay_trial::Mode;

use super::{BatchPoint, LingerPoint, Tuning};
use crate::error::Result;
use crate::report::chart::{Axis, Line, Lines, Scale, Series, Tone, Unit};

/// Of the page, in light and dark.
const STYLE: &str = ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;\
                     margin:2rem auto;padding:0 1rem}pre{overflow-x:auto;font-size:13px}.settings{white-space:pre-wrap}svg{max-width:100%;height:auto}";

impl Tuning {
    /// The names of all files that [`files`](Self::files) may give.
    pub const FILES: [&str; 4] = ["rates.svg", "latency.svg", "linger.svg", "index.html"];

    /// Files of a folder that shows it all: charts, and `index.html`, which holds them and the recommended settings as `toml`.
    ///
    /// # Errors
    ///
    /// When a chart cannot be drawn.
    pub fn files(&self, toml: &str) -> Result<Vec<(&'static str, String)>> {
        let mut files = vec![("rates.svg", self.rates()?)];
        if self.batches.iter().any(|point| point.delay_seconds(self.mode).is_some()) {
            files.push(("latency.svg", self.latency()?));
        }
        if let Some(lingers) = &self.lingers {
            files.push(("linger.svg", delays(&lingers.points)?));
        }
        let page = self.page(&files, toml);
        files.push(("index.html", page));
        Ok(files)
    }

    /// The rate of each batch size, at this place, from the least to the largest.
    pub(super) fn series(&self, x: impl Fn(&BatchPoint) -> Option<f64>) -> Vec<(f64, f64)> {
        let points = self.batches.iter();
        let mut points: Vec<_> =
            points.filter_map(|point| Some((x(point)?, point.rows_per_second.median))).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    }

    /// What a batch size is said to take, and compared with the budget.
    pub(super) fn delay_name(&self) -> &'static str {
        match self.mode {
            Mode::Push => "time until a row is committed: two transactions",
            Mode::Await => "time of a call, p99",
        }
    }

    fn rates(&self) -> Result<String> {
        let measured = self.series(|point| Some(point.batch as f64));
        let mut series = vec![Series::new("measured", measured, Tone::Forebay, Line::Solid)];
        if self.fit.as_ref().is_some_and(|fit| fit.poor.is_none()) {
            let model = self.batches.iter().filter_map(|point| {
                Some((point.batch as f64, point.rows_per_transaction / point.model_seconds?))
            });
            series.push(Series::new("model", model.collect(), Tone::Other, Line::Bare));
        }
        series.extend(self.recommended(|point| Some(point.batch as f64)));
        Lines {
            title: "Rows/s by batch size".to_owned(),
            x: Axis::new("rows in a batch", Scale::Log, Unit::Count),
            y: Axis::new("rows/s", Scale::Log, Unit::Count),
            series,
        }
        .svg()
    }

    /// The batch size that is recommended, at this place.
    fn recommended(&self, x: impl Fn(&BatchPoint) -> Option<f64>) -> Option<Series> {
        let batch = self.advice.config.batch_size;
        let point = self.batches.iter().find(|point| point.batch == batch)?;
        let place = (x(point)?, point.rows_per_second.median);
        Some(Series::new("recommended", vec![place], Tone::Direct, Line::Solid))
    }

    fn latency(&self) -> Result<String> {
        let measured = self.series(|point| point.delay_seconds(self.mode));
        let mut series = vec![Series::new("measured", measured, Tone::Forebay, Line::Solid)];
        series.extend(self.recommended(|point| point.delay_seconds(self.mode)));
        Lines {
            title: "Rows/s by latency".to_owned(),
            x: Axis::new(self.delay_name(), Scale::Log, Unit::Seconds),
            y: Axis::new("rows/s", Scale::Log, Unit::Count),
            series,
        }
        .svg()
    }

    fn page(&self, charts: &[(&'static str, String)], toml: &str) -> String {
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width\"><title>forebay tune: {0}</title><style>{STYLE}</style>\n\
             <h1>forebay tune: {0}</h1>\n<p>{1}; {2} workers, {3}; {4} rounds of {5} s, on {6}.</p>\n",
            text(&self.table),
            text(&self.workload),
            self.workers,
            self.mode.name(),
            self.rounds,
            self.seconds,
            text(&self.disk.filesystem)
        );
        let notes = self.notes.iter().map(|note| format!("Note: {note}."));
        for sentence in notes.chain(self.sentences()) {
            page += &format!("<p>{}</p>\n", text(&sentence));
        }
        page += &format!("<pre class=\"settings\">{}</pre>\n", text(toml));
        for (_, chart) in charts {
            page += &format!("<figure>{chart}</figure>\n");
        }
        for table in [Some(self.batch_table()), self.linger_table()].into_iter().flatten() {
            page += &format!("<pre>{}</pre>\n", text(&table));
        }
        page + "</html>\n"
    }
}

fn delays(points: &[LingerPoint]) -> Result<String> {
    let of = |y: &dyn Fn(&LingerPoint) -> Option<f64>| -> Vec<(f64, f64)> {
        points.iter().filter_map(|point| Some((point.linger_seconds, y(point)?))).collect()
    };
    Lines {
        title: "How old a row gets before its commit, by linger".to_owned(),
        x: Axis::new("linger", Scale::Linear, Unit::Seconds),
        y: Axis::new("age", Scale::Log, Unit::Seconds),
        series: vec![
            Series::new("p50", of(&|point| point.delay.p50), Tone::Forebay, Line::Solid),
            Series::new("p99", of(&|point| point.delay.p99), Tone::Forebay, Line::Dashed),
        ],
    }
    .svg()
}

/// A text as it stands in HTML.
fn text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
