//! What tuning has shown, as tables for a terminal.

use comfy_table::{CellAlignment, Table, presets};
use forebay_trial::Mode;

use super::Tuning;
use crate::report::units::{NONE, grouped, number, short, time};
use crate::spread::Spread;

/// Width of the longest bar, in characters.
const BAR: f64 = 24.0;
/// Parts of a character, from an eighth on.
const PARTS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

impl Tuning {
    /// One line for each batch size.
    pub fn batch_table(&self) -> String {
        let push = self.mode == Mode::Push;
        let mut head = vec!["batch", "rows/s", "quartiles", "of best"];
        head.extend(if push { ["transaction", "model"] } else { ["p50", "p99"] });
        head.extend([if push { "" } else { "rows/tx" }, ""]);
        let best = self.best_rate();
        let rows = self.batches.iter().map(|point| {
            let rate = point.rows_per_second.median;
            let mark = if point.batch == self.advice.config.batch_size { "→ " } else { "" };
            let mut row = vec![
                format!("{mark}{}", grouped(point.batch as f64)),
                grouped(rate),
                quartiles(&point.rows_per_second),
                if best > 0.0 { format!("{:.0} %", 100.0 * rate / best) } else { NONE.to_owned() },
            ];
            let seconds = |seconds: Option<f64>| seconds.map_or_else(|| NONE.to_owned(), time);
            row.extend(if push {
                let median = point.transaction_seconds.as_ref().map(|spread| spread.median);
                [seconds(median), seconds(point.model_seconds), String::new()]
            } else {
                [
                    seconds(point.latency.p50),
                    seconds(point.latency.p99),
                    number(point.rows_per_transaction),
                ]
            });
            row.push(bar(rate / best));
            row
        });
        table(&head, rows)
    }

    /// One line for each linger, where they were compared.
    pub fn linger_table(&self) -> Option<String> {
        let lingers = self.lingers.as_ref()?;
        let head =
            ["linger", "delay p50", "p99", "transactions/s", "CPU s/M rows", "due by", "p99"];
        let longest = lingers.points.iter().filter_map(|point| point.delay.p99).fold(0.0, f64::max);
        let chosen = self.advice.config.linger.as_secs_f64();
        let rows = lingers.points.iter().map(|point| {
            let mark = if (point.linger_seconds - chosen).abs() < 1e-9 { "→ " } else { "" };
            let seconds = |seconds: Option<f64>| seconds.map_or_else(|| NONE.to_owned(), time);
            vec![
                format!("{mark}{}", linger(point.linger_seconds)),
                seconds(point.delay.p50),
                seconds(point.delay.p99),
                number(point.transactions_per_second.median),
                number(point.cpu_seconds_per_million_rows.median),
                if point.is_filled_before() { "count" } else { "linger" }.to_owned(),
                bar(point.delay.p99.unwrap_or(0.0) / longest),
            ]
        });
        Some(table(&head, rows))
    }

    /// Rows in each second of the fastest batch size.
    pub(super) fn best_rate(&self) -> f64 {
        self.batches.iter().map(|point| point.rows_per_second.median).fold(0.0, f64::max)
    }
}

/// A linger, which may be none.
pub(super) fn linger(seconds: f64) -> String {
    if seconds > 0.0 { time(seconds) } else { "0 s".to_owned() }
}

fn quartiles(spread: &Spread) -> String {
    format!("{}–{}", short(spread.lower), short(spread.upper))
}

/// All but the first and last columns are numbers.
fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.to_vec()).add_rows(rows);
    let last = head.len() - 1;
    for (place, column) in table.column_iter_mut().enumerate() {
        if place < last {
            column.set_cell_alignment(CellAlignment::Right);
        }
        column.set_padding((0, if place < last { 2 } else { 0 }));
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
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
