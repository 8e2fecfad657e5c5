//! The table with its notes, in three forms: for a terminal, as Markdown, as JSON.

use std::path::Path;
use std::time::SystemTime;

use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use forebay_bench::results::{Disk, Host};
use forebay_bench::{Spread, host, report};
use forebay_cli::failure::{Exit, Failure, Result};
use serde::Serialize;

use crate::args::Args;
use crate::rounds::Measured;
use crate::target::{Bound, DecidedBy, Target, Unit};

/// Columns of a terminal that it fits.
const WIDTH: usize = 120;
/// A rule below the head, and nothing else.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
const HEAD: [&str; 6] = ["#", "case", "target", "figure", "quartiles", "verdict"];

/// All targets that were asked for, and what they were measured on. Times are in seconds.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    format: &'static str,
    version: u32,
    begun_at: String,
    forebay: &'static str,
    host: Host,
    disk: Disk,
    rounds: u32,
    seconds: f64,
    targets: Vec<Line>,
}

/// One target.
#[derive(Debug, Serialize)]
struct Line {
    id: &'static str,
    case: &'static str,
    target: String,
    bound: Bound,
    unit: Unit,
    decided_by: DecidedBy,
    /// The number that decides.
    figure: Option<f64>,
    spread: Option<Spread>,
    verdict: Verdict,
    /// Why it was not measured.
    why: Option<String>,
    notes: Vec<String>,
    /// Figure and quartiles, with their unit.
    #[serde(skip)]
    told: [String; 2],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum Verdict {
    #[serde(rename = "met")]
    Met,
    #[serde(rename = "missed")]
    Missed,
    #[serde(rename = "not measured")]
    NotMeasured,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::NotMeasured => "not measured",
        }
    }
}

impl Line {
    fn new(target: &Target, measured: Result<Measured>) -> Self {
        let (spread, notes, why) = match measured {
            Ok(Measured { spread, notes }) => (Some(spread), notes, None),
            Err(failure) => (None, Vec::new(), Some(in_one_line(failure.message()))),
        };
        let verdict = match &spread {
            Some(spread) if target.is_met(spread) => Verdict::Met,
            Some(_) => Verdict::Missed,
            None => Verdict::NotMeasured,
        };
        Self {
            id: target.id,
            case: target.case,
            target: target.asks(),
            bound: target.bound,
            unit: target.unit,
            decided_by: target.decided_by,
            figure: spread.as_ref().map(|spread| target.figure(spread)),
            told: spread.as_ref().map_or_else(
                || ["–", "–"].map(str::to_owned),
                |spread| [target.told(spread), target.quartiles(spread)],
            ),
            spread,
            verdict,
            why,
            notes,
        }
    }

    fn cells(&self) -> [&str; 6] {
        let [figure, quartiles] = &self.told;
        [self.id, self.case, &self.target, figure, quartiles, self.verdict.name()]
    }

    /// What its numbers were made of, or why there are none.
    fn note(&self) -> Option<String> {
        match &self.why {
            Some(why) => Some(format!("not measured: {why}")),
            None => (!self.notes.is_empty()).then(|| self.notes.join("; ")),
        }
    }
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Report {
    /// One without a target yet. Blocks for the flushes that are timed.
    pub(crate) fn begin(args: &Args) -> Self {
        Self {
            format: "forebay-targets",
            version: 1,
            begun_at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            forebay: env!("CARGO_PKG_VERSION"),
            host: host::host(),
            disk: host::disk(Path::new(&args.dir)),
            rounds: args.rounds,
            seconds: args.seconds.as_secs_f64(),
            targets: Vec::new(),
        }
    }

    /// Adds a target and what was measured of it.
    pub(crate) fn add(&mut self, target: &Target, measured: Result<Measured>) {
        self.targets.push(Line::new(target, measured));
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.targets.iter().filter(|line| line.verdict == verdict).count()
    }

    /// How the command ends.
    pub(crate) fn exit(&self) -> Exit {
        match (self.count(Verdict::Missed), self.count(Verdict::NotMeasured)) {
            (0, 0) => Exit::Success,
            (0, _) => Exit::Failed,
            _ => Exit::Missed,
        }
    }

    /// What it was measured on, and how.
    fn head(&self) -> Vec<String> {
        let mut facts = report::machine(&self.begun_at, &self.host, &self.disk);
        facts.push(("forebay", self.forebay.to_owned()));
        let seconds = report::units::time(self.seconds);
        facts.push(("rounds", format!("{} of {seconds} for each contender", self.rounds)));
        facts.into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    fn summary(&self) -> String {
        let verdicts = [Verdict::Met, Verdict::Missed, Verdict::NotMeasured];
        let told = verdicts.map(|verdict| format!("{} {}", self.count(verdict), verdict.name()));
        format!("Targets: {}.", told.join(", "))
    }

    /// Which number of the rounds is the figure.
    fn legend(&self) -> String {
        let named = |decided_by: DecidedBy| {
            let lines = self.targets.iter().filter(|line| line.decided_by == decided_by);
            lines.map(|line| line.id).collect::<Vec<_>>().join(", ")
        };
        let mut text = "The figure is the median of the rounds".to_owned();
        for (decided_by, what) in [
            (
                DecidedBy::Quartile,
                "the quartile on the wrong side of the target, for direct is erratic",
            ),
            (DecidedBy::Worst, "the worst round, for it must never be"),
        ] {
            let ids = named(decided_by);
            if !ids.is_empty() {
                text += &format!("; of {ids} it is {what}");
            }
        }
        text + ". Below is what the figures are made of, in medians."
    }

    fn notes(&self) -> Vec<(&'static str, String)> {
        self.targets.iter().filter_map(|line| Some((line.id, line.note()?))).collect()
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        let mut lines: Vec<String> = self.head().iter().flat_map(|line| wrapped(line, 2)).collect();
        lines.push(String::new());
        let mut table = Table::new();
        table.load_style(STYLE);
        table.set_header(HEAD);
        table.add_rows(self.targets.iter().map(Line::cells));
        for (place, column) in table.column_iter_mut().enumerate() {
            column.set_padding((u16::from(place > 0), 0));
            if (3..=4).contains(&place) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        lines.extend(table.lines().map(|line| line.trim_end().to_owned()));
        lines.extend([String::new(), self.summary()]);
        lines.extend(wrapped(&self.legend(), 2));
        lines.push(String::new());
        for (id, note) in self.notes() {
            lines.extend(wrapped(&format!("{id:<3} {note}"), 4));
        }
        lines.join("\n") + "\n"
    }

    /// As Markdown.
    pub(crate) fn markdown(&self) -> String {
        let row = |cells: [&str; 6]| format!("| {} |", cells.join(" | "));
        let mut table = vec![row(HEAD), "|---|---|---|---:|---:|---|".to_owned()];
        table.extend(self.targets.iter().map(|line| row(line.cells())));
        let list = |lines: Vec<String>| {
            lines.iter().map(|line| format!("* {line}")).collect::<Vec<_>>().join("\n")
        };
        let notes = self.notes().into_iter().map(|(id, note)| format!("{id}: {note}"));
        let blocks = [
            list(self.head()),
            table.join("\n"),
            format!("{} {}", self.summary(), self.legend()),
            list(notes.collect()),
        ];
        blocks.join("\n\n") + "\n"
    }

    /// As JSON, with every round.
    ///
    /// # Errors
    ///
    /// When a number cannot be written.
    pub(crate) fn json(&self) -> Result<String> {
        let text = serde_json::to_string_pretty(self);
        text.map(|text| text + "\n")
            .map_err(|error| Failure::new(format!("cannot make JSON: {error}")))
    }
}

/// A text in lines of [`WIDTH`] at the most, the later ones indented so far.
fn wrapped(text: &str, indent: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) => lines.push(format!("{}{word}", " ".repeat(indent))),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::TARGETS;
    use crate::target::tests::ratio;

    fn report() -> Report {
        Report {
            format: "forebay-targets",
            version: 1,
            begun_at: "2026-01-31T09:30:00Z".to_owned(),
            forebay: "0.1.0",
            host: Host {
                system: "Linux 6.18".to_owned(),
                processor: "AMD EPYC".to_owned(),
                cores: 2,
                memory_bytes: Some(24 << 30),
            },
            disk: Disk { filesystem: "ext4".to_owned(), flush_seconds: None },
            rounds: 3,
            seconds: 1.0,
            targets: Vec::new(),
        }
    }

    fn measured(rounds: [f64; 3]) -> Result<Measured> {
        Ok(Measured { spread: Spread::of(rounds).unwrap(), notes: vec!["of 2 rows".to_owned()] })
    }

    fn exit(figures: &[Option<f64>]) -> (Exit, String) {
        let mut report = report();
        for figure in figures {
            let target = ratio(Bound::AtLeast(2.0), DecidedBy::Median);
            let shown = figure.map_or(Err(Failure::new("no\nrival")), |one| measured([one; 3]));
            report.add(&target, shown);
        }
        (report.exit(), report.summary())
    }

    #[test]
    fn a_target_is_met_missed_or_not_measured_and_the_last_is_no_pass() {
        assert_eq!(exit(&[Some(2.0)]).0, Exit::Success);
        assert_eq!(exit(&[Some(2.0), None]).0, Exit::Failed);
        assert_eq!(
            exit(&[Some(2.0), None, Some(1.9)]),
            (Exit::Missed, "Targets: 1 met, 1 missed, 1 not measured.".to_owned())
        );
    }

    #[test]
    fn a_line_has_target_figure_quartiles_and_verdict() {
        let target = ratio(Bound::AtLeast(2.0), DecidedBy::Quartile);
        let line = Line::new(&target, measured([1.5, 2.5, 3.5]));
        let cells = ["1a", "push", "≥ 2 × direct", "2.00 ×", "2.00 · 2.50 · 3.00", "met"];
        assert_eq!(line.cells(), cells);
        assert_eq!(line.note().unwrap(), "of 2 rows");
        let line = Line::new(&target, Err(Failure::new("no\nrival")));
        assert_eq!(line.cells()[3..], ["–", "–", "not measured"]);
        assert_eq!(line.note().unwrap(), "not measured: no rival");
    }

    #[test]
    fn all_of_it_fits_120_columns_and_is_there_as_markdown_and_json() {
        let mut report = report();
        for target in TARGETS {
            report.add(target, measured([123.456, 0.999, 0.123]));
        }
        let text = report.text();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let (markdown, json) = (report.markdown(), report.json().unwrap());
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["targets"].as_array().unwrap().len(), TARGETS.len());
        let first = &value["targets"][0];
        assert_eq!(
            (&first["bound"]["at_least"], &first["unit"]["times"]),
            (&0.95.into(), &"limit@400".into())
        );
        for target in TARGETS {
            assert!(text.contains(&target.asks()), "{} in {text}", target.id);
            assert!(markdown.contains(&format!("| {} | {} |", target.id, target.case)));
        }
        assert!(text.contains("1b, 3a, 3b, 4, 6, 9a, 13a, 13c it is the quartile"), "{text}");
    }
}
