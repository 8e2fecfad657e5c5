//! CSV (RFC 4180): one line for each contender in each mode, as in the table.
//!
//! Numbers are plain, with a point and no unit but that of the column's name. A figure that there is none of is an
//! empty field. Columns may be added at the end; none changes its meaning or its name while
//! [`VERSION`](crate::results::VERSION) stays.
//!
//! | column | meaning |
//! |---|---|
//! | `mode` | `push` or `await` |
//! | `contender` | its name |
//! | `batch` | rows in each transaction at the most, where that is fixed |
//! | `verdict` | `valid`, `void` or `failed`; only `valid` has figures |
//! | `reason` | why it is not valid |
//! | `worker_kind` | `threads`, `tasks` or `processes` |
//! | `rounds` | rounds that the figures are of |
//! | `rows_per_second` | rows committed in each second, median of the rounds |
//! | `rows_per_second_lower` | its lower quartile |
//! | `rows_per_second_upper` | its upper quartile |
//! | `versus_direct` | the rate over that of `direct` in the same round, median |
//! | `versus_direct_lower` | its lower quartile |
//! | `versus_direct_upper` | its upper quartile |
//! | `versus_limit` | the rate over that of `limit` in the same round, median |
//! | `versus_limit_lower` | its lower quartile |
//! | `versus_limit_upper` | its upper quartile |
//! | `limit` | which limit that is |
//! | `rows_per_transaction` | on average, median of the rounds |
//! | `rows_per_transaction_lower` | its lower quartile |
//! | `rows_per_transaction_upper` | its upper quartile |
//! | `latency_samples` | calls that were timed, in all rounds |
//! | `latency_p50_seconds` | half of the calls took longer |
//! | `latency_p99_seconds` | one of a hundred took longer |
//! | `latency_p999_seconds` | one of a thousand took longer; empty for less than 10,000 calls |
//! | `latency_max_seconds` | the longest call; empty where not all were timed |
//! | `cpu_seconds_per_million_rows` | CPU time of the contender's processes, median |
//! | `cpu_seconds_per_million_rows_lower` | its lower quartile |
//! | `cpu_seconds_per_million_rows_upper` | its upper quartile |
//! | `peak_memory_bytes` | the most memory that they had, median |
//! | `peak_memory_bytes_lower` | its lower quartile |
//! | `peak_memory_bytes_upper` | its upper quartile |
//! | `written_bytes_per_row` | bytes that they gave to write calls, median |
//! | `written_bytes_per_row_lower` | its lower quartile |
//! | `written_bytes_per_row_upper` | its upper quartile |
//! | `lock_errors` | attempts that ended because the database was locked, in all rounds |
//! | `retries` | attempts made again for that reason, in all rounds |
//! | `given_up` | rows given up for that reason, in all rounds |
//! | `starved_workers` | workers without a row acknowledged in a round, the most of all rounds |
//! | `rows` | rows acknowledged and found in the database, in all rounds |
//! | `reads_per_second` | queries answered beside the writers, median |
//! | `reads_per_second_lower` | its lower quartile |
//! | `reads_per_second_upper` | its upper quartile |
//! | `read_p50_seconds` | half of the queries took longer |
//! | `read_p99_seconds` | one of a hundred took longer |
//! | `read_p999_seconds` | one of a thousand took longer |
//! | `read_max_seconds` | the longest query |
//! | `latency_timed_every` | of a worker's calls, every so manyth was timed |

use crate::error::{Error, Result};
use crate::results::{Entry, Figures, Quantiles, Results, Verdict};
use crate::spread::Spread;

/// A run as CSV.
///
/// # Errors
///
/// When it cannot be made, which only a fault in forebay can be the reason of.
pub fn csv(results: &Results) -> Result<String> {
    let failed = |error: &dyn std::fmt::Display| Error::new(format!("cannot make CSV: {error}"));
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    let mut lines = super::shown(results).map(fields);
    // Without a contender there are no columns either; a run has one at the least.
    let mut header_is_due = true;
    lines
        .try_for_each(|fields| {
            if std::mem::take(&mut header_is_due) {
                writer.write_record(fields.iter().map(|(name, _)| name))?;
            }
            writer.write_record(fields.iter().map(|(_, value)| value))
        })
        .map_err(|error| failed(&error))?;
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

/// The fields of an entry: columns and values.
fn fields(entry: &Entry) -> Vec<(String, String)> {
    let (verdict, reason) = match &entry.verdict {
        Verdict::Valid => ("valid", ""),
        Verdict::Void(why) => ("void", why.as_str()),
        Verdict::Failed(why) => ("failed", why.as_str()),
    };
    let figures = entry.figures.as_ref();
    let mut line = Line(Vec::new());
    line.add("mode", Some(entry.mode.name()));
    line.add("contender", Some(&entry.contender));
    line.add("batch", entry.batch);
    line.add("verdict", Some(verdict));
    line.add("reason", Some(reason));
    line.add("worker_kind", figures.map(|of| of.worker_kind.name()));
    line.add("rounds", figures.map(|of| of.rows_per_second.rounds.len()));
    line.add_spread("rows_per_second", figures.map(|of| &of.rows_per_second));
    line.add_spread("versus_direct", figures.and_then(|of| of.versus_direct.as_ref()));
    line.add_spread("versus_limit", figures.and_then(|of| of.versus_limit.as_ref()));
    line.add("limit", figures.and_then(|of| of.limit.as_ref()));
    line.add_spread(
        "rows_per_transaction",
        figures.and_then(|of| of.rows_per_transaction.as_ref()),
    );
    line.add("latency_samples", figures.map(|of| of.latency.samples));
    line.add_quantiles("latency", figures.map(|of| &of.latency));
    line.add_spread(
        "cpu_seconds_per_million_rows",
        figures.map(|of| &of.cpu_seconds_per_million_rows),
    );
    line.add_spread("peak_memory_bytes", figures.and_then(|of| of.peak_memory_bytes.as_ref()));
    line.add_spread(
        "written_bytes_per_row",
        figures.and_then(|of| of.written_bytes_per_row.as_ref()),
    );
    let counts: [(&str, Of<Figures, u64>); 5] = [
        ("lock_errors", |of| of.lock_errors),
        ("retries", |of| of.retries),
        ("given_up", |of| of.given_up),
        ("starved_workers", |of| of.starved_workers),
        ("rows", |of| of.rows),
    ];
    for (name, count) in counts {
        line.add(name, figures.map(count));
    }
    let reads = figures.and_then(|of| of.reads.as_ref());
    line.add_spread("reads_per_second", reads.map(|of| &of.per_second));
    line.add_quantiles("read", reads.map(|of| &of.latency));
    line.add("latency_timed_every", figures.map(|of| of.timed_every));
    line.0
}

/// Where a field's value is.
type Of<T, V> = fn(&T) -> V;

struct Line(Vec<(String, String)>);

impl Line {
    fn add(&mut self, name: impl Into<String>, value: Option<impl ToString>) {
        self.0.push((name.into(), value.map_or_else(String::new, |value| value.to_string())));
    }

    fn add_spread(&mut self, name: &str, spread: Option<&Spread>) {
        self.add(name, spread.map(|of| of.median));
        self.add(format!("{name}_lower"), spread.map(|of| of.lower));
        self.add(format!("{name}_upper"), spread.map(|of| of.upper));
    }

    fn add_quantiles(&mut self, name: &str, quantiles: Option<&Quantiles>) {
        let parts: [(&str, Of<Quantiles, Option<f64>>); 4] = [
            ("p50", |of| of.p50),
            ("p99", |of| of.p99),
            ("p999", |of| of.p999),
            ("max", |of| of.max),
        ];
        for (part, of) in parts {
            self.add(format!("{name}_{part}_seconds"), quantiles.and_then(of));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_documented_in_its_place() {
        let results = super::super::tests::results();
        let text = csv(&results).unwrap();
        let documented: Vec<_> = include_str!("csv.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `")?.split_once('`'))
            .map(|(name, _)| name)
            .collect();
        insta::assert_snapshot!("csv", text);
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().unwrap().iter().collect::<Vec<_>>(), documented);
        assert_eq!(
            reader.records().filter(std::result::Result::is_ok).count(),
            super::super::shown(&results).count()
        );
    }
}
