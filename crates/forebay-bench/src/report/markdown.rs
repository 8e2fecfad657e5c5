//! Markdown, as GitHub shows it: medians with quartiles, the settings, the machine.

use forebay_trial::Mode;

use super::columns::{Column, Detail, columns};
use super::heading::{circumstances, heading};
use super::notes::notes;
use super::takeaways::takeaways;
use super::{entries, meaning};
use crate::results::Results;

/// A run as Markdown.
pub fn markdown(results: &Results) -> String {
    let mut blocks = vec![format!("# forebay bench: {}", escaped(&results.workload.name))];
    blocks.extend(results.warnings.iter().map(|text| format!("> **Warning:** {}", escaped(text))));
    blocks.push(list(&heading(results)));
    blocks.extend(takeaways(results).iter().map(|text| escaped(text)));
    for mode in [Mode::Push, Mode::Await] {
        if let Some(table) = table(results, mode) {
            blocks.push(format!("## {}", mode.name()));
            blocks.push(format!("Medians of the rounds and their quartiles, {}.", meaning(mode)));
            blocks.push(table);
        }
    }
    blocks.push(list(&notes(results)));
    blocks.push("## Circumstances".to_owned());
    let facts = circumstances(results);
    blocks.push(list(
        &facts.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>(),
    ));
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n\n") + "\n"
}

fn list(lines: &[String]) -> String {
    lines.iter().map(|line| format!("* {}", escaped(line))).collect::<Vec<_>>().join("\n")
}

fn table(results: &Results, mode: Mode) -> Option<String> {
    let entries = entries(results, mode);
    let columns = columns(results, Detail::Full);
    let heads: Vec<_> = columns.iter().map(Column::name).collect();
    let mut lines = vec![
        format!("| contender | {} |", heads.join(" | ")),
        format!("|---|{}", "---:|".repeat(heads.len())),
    ];
    for entry in &entries {
        let cells: Vec<_> = columns.iter().map(|column| column.cell(entry, Detail::Full)).collect();
        lines.push(format!("| {} | {} |", escaped(&entry.contender), cells.join(" | ")));
    }
    (!entries.is_empty()).then(|| lines.join("\n"))
}

/// A text that Markdown takes as it is.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '\n' | '\r' => safe.push(' '),
            '|' | '<' | '*' | '_' | '`' | '\\' | '[' => {
                safe.push('\\');
                safe.push(one);
            }
            one => safe.push(one),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::results;

    #[test]
    fn markdown_has_medians_with_quartiles_and_the_circumstances() {
        insta::assert_snapshot!("markdown", markdown(&results()));
    }
}
