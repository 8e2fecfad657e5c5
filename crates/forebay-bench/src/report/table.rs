//! The table for a terminal, with what was done above it and what it says below.

use comfy_table::LineStyle;
use comfy_table::{CellAlignment, Table, TableStyle};
use forebay_trial::Mode;

use super::columns::{Column, Detail, columns};
use super::entries;
use super::heading::heading;
use super::notes::notes;
use super::takeaways::takeaways;
use crate::results::Results;

/// Columns of a terminal that the table fits, when nothing is left out.
pub const FULL_WIDTH: usize = 120;
/// A rule below the head, and nothing else.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
/// Columns that are always there: who, and how fast.
const LEAST: usize = 1;

/// All that is to be said about a run, at most `width` characters wide. Where the table does not fit, columns are left
/// out from the right, and it says so.
pub fn table(results: &Results, width: usize) -> String {
    let mut text = String::new();
    let mut paragraph = |lines: Vec<String>| {
        for line in lines {
            text.push_str(&line);
            text.push('\n');
        }
    };
    let wrapped =
        |lines: Vec<String>| lines.iter().flat_map(|line| wrap(line, width)).collect::<Vec<_>>();
    paragraph(wrapped(heading(results)));
    paragraph(wrapped(
        results.warnings.iter().map(|warning| format!("warning: {warning}")).collect(),
    ));
    paragraph(vec![String::new()]);
    let (lines, left_out) = fitted(results, width);
    paragraph(lines);
    paragraph(vec![String::new()]);
    if !left_out.is_empty() {
        paragraph(wrapped(vec![format!(
            "Left out, for they do not fit {width} columns: {}. --csv and --markdown have them.",
            left_out.join(", ")
        )]));
    }
    paragraph(wrapped(notes(results)));
    let takeaways = wrapped(takeaways(results));
    if !takeaways.is_empty() {
        paragraph(vec![String::new()]);
        paragraph(takeaways);
    }
    text
}

/// The table's lines, and the columns that they had no room for.
fn fitted(results: &Results, width: usize) -> (Vec<String>, Vec<String>) {
    let mut columns = columns(results, Detail::Short);
    let mut left_out = Vec::new();
    loop {
        let lines = lines(results, &columns);
        let widest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        if widest <= width || columns.len() <= LEAST {
            return (lines, left_out);
        }
        left_out.splice(0..0, columns.pop().map(|column| column.name()));
    }
}

fn lines(results: &Results, columns: &[Column]) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(STYLE);
    let heads = columns.iter().map(|column| column.head.join("\n"));
    table.set_header(std::iter::once("\ncontender".to_owned()).chain(heads));
    for mode in [Mode::Push, Mode::Await] {
        let entries = entries(results, mode);
        if !entries.is_empty() {
            table.add_row([mode.name()]);
        }
        for entry in entries {
            let cells = columns.iter().map(|column| column.cell(entry, Detail::Short));
            table.add_row(std::iter::once(format!("  {}", entry.contender)).chain(cells));
        }
    }
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((u16::from(place > 0), 0));
        if place > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// A text in lines of at most `width` characters, the later ones indented.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) => lines.push(format!("  {word}")),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::results;

    #[test]
    fn a_table_says_it_all_in_120_columns() {
        let text = table(&results(), FULL_WIDTH);
        assert!(text.lines().all(|line| line.chars().count() <= FULL_WIDTH), "{text}");
        insta::assert_snapshot!("table", text);
    }

    #[test]
    fn a_narrow_table_says_what_it_leaves_out() {
        let text = table(&results(), 60);
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
        insta::assert_snapshot!("narrow_table", text);
    }

    #[test]
    fn a_warning_is_above_the_table_and_queries_have_columns() {
        let mut results = results();
        results.warnings.push("the databases lay in memory".to_owned());
        results.workload.readers = 8;
        let text = table(&results, 200);
        let place =
            |what: &str| text.find(what).unwrap_or_else(|| panic!("{what} is not in {text}"));
        assert!(place("warning: the databases lay in memory") < place("─"));
        assert!(place("reads") < place("bytes/"));
    }
}
