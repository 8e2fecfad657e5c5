//! What tuning has shown, as tables for a terminal and a page.

use comfy_table::{CellAlignment, Table, presets};
use forebay_trial::Mode;

use super::Tuning;
use crate::report::chart::escaped;
use crate::report::html;
use crate::report::units::{NONE, grouped, number, short, time};
use crate::spread::Spread;

/// Width of the longest bar, in characters.
const BAR: f64 = 24.0;
/// Parts of a character, from an eighth on.
const PARTS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// A table, for a terminal or a page.
pub(super) struct Grid {
    head: Vec<&'static str>,
    rows: Vec<GridRow>,
}

struct GridRow {
    cells: Vec<String>,
    is_chosen: bool,
    /// The length of its bar, as a part of the longest.
    part: f64,
}

impl Tuning {
    /// One line for each batch size.
    pub fn batch_table(&self) -> String {
        self.batch_grid().text()
    }

    /// One line for each linger, where they were compared.
    pub fn linger_table(&self) -> Option<String> {
        self.linger_grid().map(|grid| grid.text())
    }

    pub(super) fn batch_grid(&self) -> Grid {
        let push = self.mode == Mode::Push;
        let mut head = vec!["batch", "rows/s", "quartiles", "of best"];
        head.extend(if push {
            ["transaction", "model"].as_slice()
        } else {
            &["p50", "p99", "rows/tx"]
        });
        let best = self.best_rate();
        let rows = self.batches.iter().map(|point| {
            let rate = point.rows_per_second.median;
            let mut cells = vec![
                grouped(point.batch as f64),
                grouped(rate),
                quartiles(&point.rows_per_second),
                if best > 0.0 { format!("{:.0} %", 100.0 * rate / best) } else { NONE.to_owned() },
            ];
            if push {
                let median = point.transaction_seconds.as_ref().map(|spread| spread.median);
                cells.extend([seconds(median), seconds(point.model_seconds)]);
            } else {
                cells.extend([point.latency.p50, point.latency.p99].map(seconds));
                cells.push(number(point.rows_per_transaction));
            }
            GridRow {
                cells,
                is_chosen: point.batch == self.advice.config.batch_size,
                part: rate / best,
            }
        });
        Grid { head, rows: rows.collect() }
    }

    pub(super) fn linger_grid(&self) -> Option<Grid> {
        let lingers = self.lingers.as_ref()?;
        let head = vec!["linger", "delay p50", "p99", "transactions/s", "CPU s/M rows", "due by"];
        let longest = lingers.points.iter().filter_map(|point| point.delay.p99).fold(0.0, f64::max);
        let chosen = self.advice.config.linger.as_secs_f64();
        let rows = lingers.points.iter().map(|point| GridRow {
            cells: vec![
                time(point.linger_seconds),
                seconds(point.delay.p50),
                seconds(point.delay.p99),
                number(point.transactions_per_second.median),
                number(point.cpu_seconds_per_million_rows.median),
                if point.is_filled_before() { "count" } else { "linger" }.to_owned(),
            ],
            is_chosen: (point.linger_seconds - chosen).abs() < 1e-9,
            part: point.delay.p99.unwrap_or(0.0) / longest,
        });
        Some(Grid { head, rows: rows.collect() })
    }

    /// Rows in each second of the fastest batch size.
    pub(super) fn best_rate(&self) -> f64 {
        self.batches.iter().map(|point| point.rows_per_second.median).fold(0.0, f64::max)
    }
}

fn quartiles(spread: &Spread) -> String {
    format!("{}–{}", short(spread.lower), short(spread.upper))
}

fn seconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| NONE.to_owned(), time)
}

impl Grid {
    /// With a bar at the end of each line, and an arrow before the chosen one.
    fn text(&self) -> String {
        let line = |row: &GridRow| {
            let mut cells = row.cells.clone();
            if row.is_chosen {
                cells[0].insert_str(0, "→ ");
            }
            cells.push(bar(row.part));
            cells
        };
        let mut table = Table::new();
        let head = self.head.iter().copied().chain([""]);
        table.load_style(presets::NOTHING).set_header(head).add_rows(self.rows.iter().map(line));
        let last = self.head.len();
        for (place, column) in table.column_iter_mut().enumerate() {
            if place < last {
                column.set_cell_alignment(CellAlignment::Right);
            }
            column.set_padding((0, if place < last { 2 } else { 0 }));
        }
        table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    /// With the chosen line in colour.
    pub(super) fn html(&self) -> String {
        let head: Vec<_> = self.head.iter().map(|head| escaped(head)).collect();
        let row = |row: &GridRow| {
            let cells = row.cells.iter().map(|cell| escaped(cell)).collect();
            (if row.is_chosen { "forebay" } else { "other" }, cells)
        };
        html::table(&head, &self.rows.iter().map(row).collect::<Vec<_>>())
    }
}

/// A bar for a part of the whole, to an eighth of a character.
fn bar(part: f64) -> String {
    let eighths =
        if part.is_finite() { (part.clamp(0.0, 1.0) * BAR * 8.0).round() as usize } else { 0 };
    let mut bar = PARTS[7].to_string().repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(PARTS[eighths % 8 - 1]);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_part() {
        assert_eq!(bar(1.0).chars().count(), 24);
        assert_eq!(bar(0.5), "█".repeat(12));
        assert_eq!(bar(1.0 / 192.0), "▏");
        assert_eq!((bar(0.0), bar(f64::NAN)), (String::new(), String::new()));
    }
}
