//! The columns of the tables: which figure, and how it is told.

use super::units::{NONE, bytes, grouped, number, short, time};
use crate::results::{Entry, Figures, Results, Verdict};
use crate::spread::Spread;

/// A column beside the contender's name.
pub(super) struct Column {
    /// Its head, in two lines.
    pub(super) head: [&'static str; 2],
    figure: Figure,
    tell: fn(f64) -> String,
}

/// Where a column has its figures from.
enum Figure {
    /// Of each round.
    Spread(fn(&Figures) -> Option<&Spread>),
    /// Of all rounds together.
    Whole(fn(&Figures) -> Option<f64>),
    /// The quartiles of another.
    Quartiles(fn(&Figures) -> Option<&Spread>),
}

/// Whether cells have their quartiles with them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// Those of the rate have a column of their own, no other has them.
    Short,
    /// All have.
    Full,
}

/// The columns, from what matters most.
pub(super) fn columns(results: &Results, detail: Detail) -> Vec<Column> {
    use Figure::{Quartiles, Spread, Whole};
    let column = |head, figure, tell| Column { head, figure, tell };
    let rate =
        |figures: &Figures| -> Option<f64> { Some(figures.reads.as_ref()?.per_second.median) };
    let mut columns = vec![
        column(["", "rows/s"], Spread(|figures| Some(&figures.rows_per_second)), grouped),
        column(["", "quartiles"], Quartiles(|figures| Some(&figures.rows_per_second)), short),
        column(["×", "direct"], Spread(|figures| figures.versus_direct.as_ref()), number),
        column(["of", "limit"], Spread(|figures| figures.versus_limit.as_ref()), number),
        column(["rows/", "tx"], Spread(|figures| figures.rows_per_transaction.as_ref()), number),
        column(["", "p50"], Whole(|figures| figures.latency.p50), time),
        column(["", "p99"], Whole(|figures| figures.latency.p99), time),
        column(["", "p99.9"], Whole(|figures| figures.latency.p999), time),
        column(["", "max"], Whole(|figures| figures.latency.max), time),
    ];
    if results.workload.readers > 0 {
        columns.push(column(["reads", "/s"], Whole(rate), grouped));
        columns.push(column(
            ["read", "p99"],
            Whole(|figures| figures.reads.as_ref()?.latency.p99),
            time,
        ));
    }
    columns.extend([
        column(
            ["CPU s/", "M rows"],
            Spread(|figures| Some(&figures.cpu_seconds_per_million_rows)),
            number,
        ),
        column(["", "memory"], Spread(|figures| figures.peak_memory_bytes.as_ref()), bytes),
        column(["bytes/", "row"], Spread(|figures| figures.written_bytes_per_row.as_ref()), number),
    ]);
    if detail == Detail::Full {
        columns.retain(|column| !matches!(column.figure, Quartiles(_)));
    }
    let has_figure = |of: fn(&Figures) -> Option<&crate::spread::Spread>| {
        results
            .entries
            .iter()
            .filter_map(|entry| entry.figures.as_ref())
            .any(|figures| of(figures).is_some())
    };
    // Without the one that is compared with nobody has a ratio; of a server's contenders nobody knows the bytes.
    columns.retain(|column| match (column.head[1], &column.figure) {
        ("direct" | "limit" | "row", Spread(of)) => has_figure(*of),
        _ => true,
    });
    columns
}

impl Column {
    /// The head in one line.
    pub(super) fn name(&self) -> String {
        let [first, second] = self.head;
        let gap = if first.is_empty() || first.ends_with('/') || second.starts_with('/') {
            ""
        } else {
            " "
        };
        format!("{first}{gap}{second}")
    }

    /// What it says of an entry. One without figures has its verdict in the first column, and nothing else.
    pub(super) fn cell(&self, entry: &Entry, detail: Detail) -> String {
        let is_first = self.head[1] == "rows/s";
        match (&entry.verdict, &entry.figures) {
            (Verdict::Void(_), _) if is_first => "void".to_owned(),
            (Verdict::Failed(_), _) if is_first => "failed".to_owned(),
            (Verdict::Valid, Some(figures)) => {
                self.told(figures, detail).unwrap_or_else(|| NONE.to_owned())
            }
            _ => NONE.to_owned(),
        }
    }

    fn told(&self, figures: &Figures, detail: Detail) -> Option<String> {
        let tell = self.tell;
        Some(match self.figure {
            Figure::Spread(of) if detail == Detail::Short => tell(of(figures)?.median),
            Figure::Spread(of) => {
                let spread = of(figures)?;
                let range = if self.head[1] == "rows/s" { short } else { tell };
                let [median, lower, upper] =
                    [tell(spread.median), range(spread.lower), range(spread.upper)];
                if median == lower && lower == upper {
                    return Some(median);
                }
                format!("{median} ({lower}–{upper})")
            }
            Figure::Whole(of) => tell(of(figures)?),
            Figure::Quartiles(of) => {
                let spread = of(figures)?;
                format!("{}–{}", tell(spread.lower), tell(spread.upper))
            }
        })
    }
}
