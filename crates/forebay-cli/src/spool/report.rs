//! What is in a spool, as text for people or JSON for programs.

use std::fmt::Write as _;
use std::path::Path;

use forebay::spool::{Inspection, Segment, SegmentState, Table};
use forebay_bench::report::units::bytes;
use serde::Serialize;

use super::books::Books;
use super::folder;
use crate::doctor::shell::{quoted, visible};
use crate::words::grouped;

/// The document that `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    folder: String,
    id: Option<&'a str>,
    database: &'a str,
    epoch: u32,
    in_use: bool,
    is_closed: bool,
    rows: u64,
    bytes: usize,
    tables: &'a [Table],
    segments: Vec<Part<'a>>,
    has_torn_tail: bool,
    books: Option<&'a Books>,
    refusal: Option<&'a str>,
}

/// A segment.
#[derive(Debug, Serialize)]
struct Part<'a> {
    file: String,
    state: SegmentState,
    first_row: u64,
    rows: u64,
    bytes: usize,
    capacity: usize,
    age_seconds: u64,
    damage: Option<&'a str>,
}

impl<'a> Report<'a> {
    pub(super) fn new(folder: &Path, seen: &'a Inspection, books: Option<&'a Books>) -> Self {
        let segments: Vec<_> = seen.segments.iter().map(Part::new).collect();
        Self {
            folder: folder.to_string_lossy().into_owned(),
            id: seen.id.as_deref(),
            database: &seen.database,
            epoch: seen.epoch,
            in_use: seen.in_use,
            is_closed: seen.is_closed,
            rows: segments.iter().map(|segment| segment.rows).sum(),
            bytes: segments.iter().map(|segment| segment.bytes).sum(),
            tables: &seen.tables,
            segments,
            has_torn_tail: seen.has_torn_tail,
            books,
            refusal: seen.refusal.as_deref(),
        }
    }

    /// Whether a buffer would open it, with this database.
    pub(super) fn is_sound(&self) -> bool {
        self.refusal.is_none()
            && self.segments.iter().all(|segment| segment.damage.is_none())
            && self.books.is_none_or(|books| books.problem.is_none())
    }

    /// Lines for people. `unasked` is why no database was asked.
    pub(super) fn text(&self, path: &Path, unasked: &str) -> String {
        let mut text = format!("{}\n\n", visible(&self.folder));
        let mut line = |name: &str, told: &str| {
            // A string takes whatever is written to it.
            let _ = writeln!(text, "  {name:<10}{}", visible(told));
        };
        line("spool", self.id.unwrap_or("which one cannot be told"));
        line("database", if self.database.is_empty() { "cannot be told" } else { self.database });
        line("state", &self.state(path));
        let used =
            self.segments.iter().filter(|segment| segment.state != SegmentState::Free).count();
        let as_far = if self.segments.iter().any(|segment| segment.damage.is_some()) {
            ", as far as they can be read"
        } else {
            ""
        };
        let sum = bytes(self.bytes as f64);
        let files = counted(used as u64, "segment");
        line("rows", &format!("{} in {files}, {sum}{as_far}", grouped(self.rows)));
        if self.has_torn_tail {
            line("torn tail", "the beginning of a row that was never accepted; it is left out");
        }
        line("books", &self.books.map_or_else(|| unasked.to_owned(), Books::told));
        text.push_str(&self.tables_text());
        text.push_str(&self.segments_text());
        let _ = writeln!(text, "\n{}", visible(&self.sum(path)));
        text
    }

    fn state(&self, path: &Path) -> String {
        let times = counted(self.epoch.into(), "time");
        let state = match (self.in_use, self.is_closed) {
            (true, _) => format!("in use by {}", folder::user(path)),
            (false, true) => "closed with all its rows written".to_owned(),
            (false, false) if self.refusal.is_some() => "not in use".to_owned(),
            (false, false) => "not in use; whoever had it open left rows, or was killed".to_owned(),
        };
        // A damaged spool does not say it.
        if self.epoch == 0 { state } else { format!("{state}; opened {times}") }
    }

    fn tables_text(&self) -> String {
        let mut table = Grid::new(&["table", "rows", "bytes"], "<>>");
        for Table { table: name, rows, bytes: size, .. } in self.tables {
            table.row(vec![visible(name), grouped(*rows), bytes(*size as f64)]);
        }
        table.text()
    }

    fn segments_text(&self) -> String {
        let heads = ["segment", "state", "first row", "rows", "bytes", "of", "changed"];
        let mut table = Grid::new(&heads, "<<>>>>>");
        for part in &self.segments {
            let is_free = part.state == SegmentState::Free;
            let or_none = |text: String| if is_free { "–".to_owned() } else { text };
            table.row(vec![
                file_name(&part.file),
                state(part.state).to_owned(),
                or_none(grouped(part.first_row)),
                or_none(grouped(part.rows)),
                or_none(bytes(part.bytes as f64)),
                bytes(part.capacity as f64),
                format!("{} ago", age(part.age_seconds)),
            ]);
        }
        let mut text = table.text();
        for part in &self.segments {
            if let Some(damage) = part.damage {
                let _ = writeln!(text, "  damaged: {}, {}", file_name(&part.file), visible(damage));
            }
        }
        text
    }

    /// What follows from it, in a sentence.
    fn sum(&self, path: &Path) -> String {
        let word = quoted(path);
        let problem = self.books.and_then(|books| books.problem.as_deref());
        match (self.refusal.or(problem), self.books) {
            (Some(why), _) => format!("a buffer would not open it: {why}"),
            _ if !self.is_sound() => {
                "a segment is damaged, as far as can be seen while it is in use".to_owned()
            }
            _ if self.in_use => "all is well".to_owned(),
            (None, Some(books)) if books.left > 0 => format!(
                "all is well; {} left, which `forebay spool replay {word} --database {}` writes, or the application when it opens its buffer",
                are(books.left),
                quoted(Path::new(&books.database))
            ),
            (None, None) if !self.is_closed && self.rows > 0 => {
                "all is well; --database says how many rows are left to write".to_owned()
            }
            _ => "all is well; nothing is left to write".to_owned(),
        }
    }
}

impl<'a> Part<'a> {
    fn new(segment: &'a Segment) -> Self {
        Self {
            file: segment.file.to_string_lossy().into_owned(),
            state: segment.state,
            first_row: segment.first_row,
            rows: segment.rows,
            bytes: segment.bytes,
            capacity: segment.capacity,
            age_seconds: segment.age.as_secs(),
            damage: segment.damage.as_deref(),
        }
    }
}

impl Books {
    fn told(&self) -> String {
        let Self { database, applied, decided, left, .. } = self;
        match applied {
            None => format!("{database} knows nothing of this spool"),
            Some(0) => format!("{database} has no row of it applied; {} left", are(*left)),
            Some(applied) => format!(
                "{database} has it applied up to row {}, which is {} of the rows here; {} left",
                grouped(applied - 1),
                grouped(*decided),
                are(*left)
            ),
        }
    }
}

/// A table with its columns side by side, each set left or right.
struct Grid {
    sides: &'static str,
    rows: Vec<Vec<String>>,
}

impl Grid {
    fn new(heads: &[&str], sides: &'static str) -> Self {
        Self { sides, rows: vec![heads.iter().map(|&head| head.to_owned()).collect()] }
    }

    fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Its lines below a blank one; nothing where there is no row.
    fn text(&self) -> String {
        if self.rows.len() < 2 {
            return String::new();
        }
        let width = |at: usize| self.rows.iter().map(|row| row[at].chars().count()).max();
        let mut text = String::from("\n");
        for row in &self.rows {
            let mut line = String::new();
            for (at, (cell, side)) in row.iter().zip(self.sides.chars()).enumerate() {
                let width = width(at).unwrap_or(0);
                let _ = match side {
                    '<' => write!(line, "  {cell:<width$}"),
                    _ => write!(line, "  {cell:>width$}"),
                };
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }
}

/// `1 segment`, `1,200 segments`.
pub(super) fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(number))
}

/// `1 row`, `1,200 rows`.
pub(super) fn rows(number: u64) -> String {
    counted(number, "row")
}

/// `1 row is`, `1,200 rows are`.
fn are(number: u64) -> String {
    format!("{} {}", rows(number), if number == 1 { "is" } else { "are" })
}

fn file_name(path: &str) -> String {
    let name = Path::new(path).file_name().unwrap_or_default();
    visible(&name.to_string_lossy())
}

fn state(state: SegmentState) -> &'static str {
    match state {
        SegmentState::Open => "open",
        SegmentState::Sealed => "sealed",
        SegmentState::Free => "free",
        _ => "damaged",
    }
}

/// In the largest unit of which there are two, as nobody needs it more exactly.
fn age(seconds: u64) -> String {
    let units = [(24 * 3_600, "days"), (3_600, "h"), (60, "min")];
    let unit = units.into_iter().find(|(size, _)| seconds >= 2 * size);
    let (size, unit) = unit.unwrap_or((1, "s"));
    format!("{} {unit}", grouped(seconds / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_the_largest_unit_that_says_enough() {
        for (seconds, text) in [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (7_199, "119 min"),
            (7_200, "2 h"),
            (172_800, "2 days"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }
}
