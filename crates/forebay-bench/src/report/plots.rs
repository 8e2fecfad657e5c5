//! The charts of a run.

use std::collections::BTreeMap;

use forebay_trial::Mode;

use super::chart::{Axis, Line, Lines, Mark, Row, Rows, Scale, Series, Shape, Tone, Unit};
use crate::contender::DIRECT;
use crate::error::Result;
use crate::results::{Entry, Figures, Results, Verdict};

/// A chart of a run.
#[derive(Debug, Clone)]
pub struct Plot {
    /// The file that it goes to.
    pub file: &'static str,
    /// What one sees on it.
    pub caption: String,
    /// The chart.
    pub svg: String,
}

/// Files that [`plots`] may have charts for.
pub const FILES: [&str; 4] =
    ["rates-push.svg", "rates-await.svg", "batch-sizes.svg", "latency-await.svg"];

/// The charts of a run, those that it has figures for.
///
/// # Errors
///
/// When one cannot be drawn.
pub fn plots(results: &Results) -> Result<Vec<Plot>> {
    let rates = [(Mode::Push, FILES[0]), (Mode::Await, FILES[1])].map(|(mode, file)| {
        let entries = super::entries(results, mode);
        (!entries.is_empty()).then(|| rates(mode, file, &entries))
    });
    let more = [batch_sizes(results), latency(results)];
    rates.into_iter().chain(more).flatten().collect()
}

/// Whose colour a contender has, by its name.
pub(super) fn tone(contender: &str) -> Tone {
    match contender.split(['@', '+']).next().unwrap_or_default() {
        "forebay" | "configured" => Tone::Forebay,
        DIRECT => Tone::Direct,
        "limit" => Tone::Limit,
        _ => Tone::Other,
    }
}

fn row(entry: &Entry, shape: impl Fn(&Figures) -> Option<Shape>) -> Row {
    let shape = match &entry.verdict {
        Verdict::Void(_) => Shape::Nothing("void".to_owned()),
        Verdict::Failed(_) => Shape::Nothing("failed".to_owned()),
        Verdict::Valid => entry
            .figures
            .as_ref()
            .and_then(shape)
            .unwrap_or_else(|| Shape::Nothing("no figure".to_owned())),
    };
    Row { name: entry.contender.clone(), tone: tone(&entry.contender), shape }
}

fn rates(mode: Mode, file: &'static str, entries: &[&Entry]) -> Result<Plot> {
    let bar = |figures: &Figures| {
        let rate = &figures.rows_per_second;
        Some(Shape::Bar { median: rate.median, lower: rate.lower, upper: rate.upper })
    };
    let rows = Rows {
        title: format!("Rows/s, {}", mode.name()),
        // From zero: the length of a bar is what people compare.
        axis: Axis::new("rows/s", Scale::Linear, Unit::Count),
        legend: Vec::new(),
        rows: entries.iter().map(|entry| row(entry, bar)).collect(),
    };
    let caption = format!(
        "Rows committed in each second, {}. Bars end at the median of the rounds, whiskers at the quartiles.",
        super::meaning(mode)
    );
    Ok(Plot { file, caption, svg: rows.svg()? })
}

/// Rates against batch sizes, from two sizes on.
fn batch_sizes(results: &Results) -> Option<Result<Plot>> {
    let of = |kind: &str, mode: Mode| -> Vec<(f64, f64)> {
        let mut rates = BTreeMap::new();
        for entry in results.entries.iter().filter(|entry| entry.mode == mode) {
            let batch = entry.batch.filter(|batch| entry.contender == format!("{kind}@{batch}"));
            if let Some((batch, figures)) = batch.zip(entry.figures.as_ref()) {
                rates.insert(batch, figures.rows_per_second.median);
            }
        }
        rates.into_iter().map(|(batch, rate)| (batch as f64, rate)).collect()
    };
    let some = |mode| results.entries.iter().any(|entry| entry.mode == mode);
    let first = if some(Mode::Push) { Mode::Push } else { Mode::Await };
    let mut series = vec![
        Series::new("limit", of("limit", first), Tone::Limit, Line::Solid),
        Series::new("forebay, push", of("forebay", Mode::Push), Tone::Forebay, Line::Solid),
        Series::new("forebay, await", of("forebay", Mode::Await), Tone::Forebay, Line::Dashed),
    ];
    series.retain(|series| series.points.len() > 1);
    let sizes = || series.iter().flat_map(|series| &series.points).map(|point| point.0);
    let (least, most) = (sizes().reduce(f64::min)?, sizes().reduce(f64::max)?);
    if let Some(direct) = results.entry(first, DIRECT).and_then(|entry| entry.figures.as_ref()) {
        let rate = direct.rows_per_second.median;
        let level = vec![(least, rate), (most, rate)];
        series.insert(0, Series::new(DIRECT, level, Tone::Direct, Line::Bare));
    }
    let chart = Lines {
        title: "Rows/s by batch size".to_owned(),
        x: Axis::new("rows in a batch, logarithmic", Scale::Log, Unit::Count),
        y: Axis::new("rows/s, logarithmic", Scale::Log, Unit::Count),
        series,
    };
    let caption =
        "Medians. Batches of limit are full; those of forebay in await hold what gathers while \
                   the last one is written, at most a row of each worker."
            .to_owned();
    Some(chart.svg().map(|svg| Plot { file: FILES[2], caption, svg }))
}

/// How long calls took where workers wait.
fn latency(results: &Results) -> Option<Result<Plot>> {
    let marks = |figures: &Figures| {
        let latency = &figures.latency;
        let all = [
            (Mark::Dot, latency.p50),
            (Mark::Ring, latency.p99),
            (Mark::Square, latency.p999),
            (Mark::Stroke, latency.max),
        ];
        let marks: Vec<_> =
            all.into_iter().filter_map(|(mark, latency)| Some((mark, latency?))).collect();
        (!marks.is_empty()).then_some(Shape::Marks(marks))
    };
    let entries = super::entries(results, Mode::Await);
    if entries.is_empty() {
        return None;
    }
    let names = [
        (Mark::Dot, "p50"),
        (Mark::Ring, "p99"),
        (Mark::Square, "p99.9"),
        (Mark::Stroke, "longest"),
    ];
    let rows = Rows {
        title: "How long a call takes, await".to_owned(),
        axis: Axis::new("time until the commit, logarithmic", Scale::Log, Unit::Seconds),
        legend: names.map(|(mark, name)| (mark, name.to_owned())).to_vec(),
        rows: entries.iter().map(|entry| row(entry, marks)).collect(),
    };
    let caption = format!(
        "All calls of all rounds. p99.9 is told from {} calls on.",
        super::units::grouped(crate::results::SAMPLES_FOR_P999 as f64)
    );
    Some(rows.svg().map(|svg| Plot { file: FILES[3], caption, svg }))
}
