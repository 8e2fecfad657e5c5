//! What tuning has shown, as charts and one page.

use forebay_trial::Mode;

use super::{BatchPoint, LingerPoint, Tuning};
use crate::error::Result;
use crate::report::chart::{Axis, Line, Lines, Scale, Series, Tone, Unit, escaped};
use crate::report::heading::machine;
use crate::report::html::{definitions, document, element, figure};

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

    /// The rate of each batch size, at this place, in the order of the sizes.
    pub(super) fn series(&self, x: impl Fn(&BatchPoint) -> Option<f64>) -> Vec<(f64, f64)> {
        let points = self.batches.iter();
        points.filter_map(|point| Some((x(point)?, point.rows_per_second.median))).collect()
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
            x: Axis::new("rows in a batch, logarithmic", Scale::Log, Unit::Count),
            y: Axis::new("rows/s", Scale::Linear, Unit::Count),
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
            x: Axis::new(format!("{}, logarithmic", self.delay_name()), Scale::Log, Unit::Seconds),
            y: Axis::new("rows/s", Scale::Linear, Unit::Count),
            series,
        }
        .svg()
    }

    fn page(&self, charts: &[(&'static str, String)], toml: &str) -> String {
        let notes =
            self.notes.iter().map(|note| element("p", "warning", &format!("Note: {note}.")));
        let done = self.heading();
        let done = done.iter().map(|line| element("p", "muted", line));
        let says = self.sentences();
        let says = says.iter().map(|sentence| format!("<p>{}</p>\n", escaped(sentence)));
        let charts: String =
            charts.iter().map(|(name, chart)| figure(chart, caption(name))).collect();
        let mut page: String = notes.chain(done).chain(says).collect();
        page += &format!("<h2>Settings</h2>\n<pre>{}</pre>\n", escaped(toml));
        page += &format!("<h2>Charts</h2>\n<div class=\"charts\">\n{charts}</div>\n");
        page += &format!("<h2>Batch sizes</h2>\n{}", self.batch_grid().html());
        if let Some(grid) = self.linger_grid() {
            page += &format!("<h2>Lingers</h2>\n{}", grid.html());
        }
        page += "<h2>Circumstances</h2>\n";
        page += &definitions(self.circumstances().into_iter());
        page += "<footer>The same as <a href=\"tuning.json\">JSON</a>.</footer>\n";
        document(&format!("forebay tune: {}", self.table), &page)
    }

    /// The machine and the versions.
    fn circumstances(&self) -> Vec<(&'static str, String)> {
        let mut facts = machine(&self.begun_at, &self.host, &self.disk);
        facts.extend([
            ("durability", self.synchronous.name().to_owned()),
            ("forebay", self.forebay.clone()),
            ("SQLite", self.sqlite.clone()),
            ("seed", self.seed.to_string()),
        ]);
        facts
    }
}

/// What one sees on a chart.
fn caption(file: &str) -> &'static str {
    match file {
        "rates.svg" => "Rows committed in each second, medians of the rounds.",
        "latency.svg" => "The same rates; the line goes from the smallest batches to the largest.",
        _ => "From being handed over to being committed, of all rounds, at the pace of --rate.",
    }
}

fn delays(points: &[LingerPoint]) -> Result<String> {
    let of = |y: &dyn Fn(&LingerPoint) -> Option<f64>| -> Vec<(f64, f64)> {
        points.iter().filter_map(|point| Some((point.linger_seconds, y(point)?))).collect()
    };
    Lines {
        title: "How old a row gets before its commit, by linger".to_owned(),
        x: Axis::new("linger", Scale::Linear, Unit::Seconds),
        y: Axis::new("age", Scale::Linear, Unit::Seconds),
        series: vec![
            Series::new("p50", of(&|point| point.delay.p50), Tone::Forebay, Line::Solid),
            Series::new("p99", of(&|point| point.delay.p99), Tone::Forebay, Line::Dashed),
        ],
    }
    .svg()
}
