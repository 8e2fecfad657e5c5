//! One page with the whole run: what was done, what it has shown, charts, tables. It needs no other file.

use std::iter;

use forebay_trial::Mode;

use super::chart::{Tone, escaped};
use super::columns::{Column, Detail, columns};
use super::heading::{circumstances, heading};
use super::html::{self, definitions, document, element, figure, list};
use super::notes::notes;
use super::plots::{Plot, tone};
use super::takeaways::takeaways;
use super::{entries, meaning};
use crate::results::{Entry, Results};

/// How figures come about, whatever was written.
const METHOD: [&str; 5] = [
    "In each round every contender has one trial in each mode, in an order that is shuffled anew for each round. A \
     trial has a fresh table and a process of its own.",
    "rows/s counts commits, not calls: rows committed between the end of the warm-up and the end of the time. What was \
     handed over by then and is committed later does not count for it.",
    "After each trial the table is read: it must hold what was acknowledged, neither less nor more. Else the \
     contender is void and has no figures.",
    "A ratio is made within each round, of trials that ran shortly after each other; what is told is the median of the \
     rounds, with their quartiles.",
    "p50, p99 and the longest call are of all calls of all rounds. In push a call ends when its row is handed over, \
     where the contender can do that; in await when its row is committed.",
];

/// A run as a page of HTML, with its charts in it.
pub fn page(results: &Results, plots: &[Plot]) -> String {
    let title = format!("forebay bench: {}", results.workload.name);
    let warnings: String =
        results.warnings.iter().map(|text| element("p", "warning", text)).collect();
    let done = heading(results).iter().map(|text| element("p", "muted", text)).collect::<String>();
    let says: String = takeaways(results).iter().map(|text| element("p", "says", text)).collect();
    let charts: String = plots.iter().map(|plot| figure(&plot.svg, &plot.caption)).collect();
    let tables: String =
        [Mode::Push, Mode::Await].into_iter().map(|mode| table(results, mode)).collect();
    let mut described: Vec<&Entry> = Vec::new();
    for entry in &results.entries {
        if described.iter().all(|other| other.contender != entry.contender) {
            described.push(entry);
        }
    }
    let described =
        described.iter().map(|entry| (entry.contender.as_str(), entry.description.clone()));
    let pieces = [
        warnings,
        done,
        says,
        format!("<h2>Charts</h2>\n<div class=\"charts\">\n{charts}</div>\n"),
        tables,
        "<h2>Notes</h2>\n".to_owned() + &list(notes(results).iter().map(String::as_str)),
        "<h2>How it was measured</h2>\n".to_owned() + &list(METHOD.into_iter()),
        "<h2>Contenders</h2>\n".to_owned() + &definitions(described),
        "<h2>Circumstances</h2>\n".to_owned() + &definitions(circumstances(results).into_iter()),
        "<footer>The same as <a href=\"results.json\">JSON</a>, <a href=\"results.csv\">CSV</a> and \
         <a href=\"results.md\">Markdown</a>.</footer>\n"
            .to_owned(),
    ];
    document(&title, &pieces.concat())
}

fn table(results: &Results, mode: Mode) -> String {
    let entries = entries(results, mode);
    if entries.is_empty() {
        return String::new();
    }
    let columns = columns(results, Detail::Full);
    let heads = columns.iter().map(|column| escaped(&column.name()));
    let heads: Vec<String> = iter::once("contender".to_owned()).chain(heads).collect();
    let rows: Vec<_> = entries.iter().map(|entry| row(entry, &columns)).collect();
    format!(
        "<h2>{}</h2>\n<p class=\"muted\">Medians of the rounds and their quartiles, {}.</p>\n{}",
        mode.name(),
        meaning(mode),
        html::table(&heads, &rows)
    )
}

fn row(entry: &Entry, columns: &[Column]) -> (&'static str, Vec<String>) {
    let class = match tone(&entry.contender) {
        Tone::Forebay => "forebay",
        Tone::Direct => "direct",
        Tone::Limit => "limit",
        Tone::Other => "other",
    };
    let cells = columns.iter().map(|column| cell(&column.cell(entry, Detail::Full)));
    (class, iter::once(escaped(&entry.contender)).chain(cells).collect())
}

/// A median with its quartiles below it.
fn cell(text: &str) -> String {
    let text = escaped(text);
    match text.strip_suffix(')').and_then(|text| text.split_once(" (")) {
        Some((median, quartiles)) => format!("{median}<small>{quartiles}</small>"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plots;
    use crate::report::tests::results;

    #[test]
    fn a_page_needs_nothing_but_itself() {
        let mut results = results();
        results.warnings.push("<memory>".to_owned());
        let page = page(&results, &plots(&results).unwrap());
        let without_namespaces = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for outside in ["http:", "https:", "//", "@import", "url(", "<script", "<link", "src="] {
            assert!(!without_namespaces.contains(outside), "{outside} is in the page");
        }
        assert!(page.contains("&lt;memory&gt;") && !page.contains("<memory>"));
        for entry in &results.entries {
            assert!(page.contains(&format!("<td>{}</td>", entry.contender)), "{}", entry.contender);
        }
    }

    #[test]
    fn a_chart_is_a_document_that_shows_every_contender() {
        let results = results();
        let plots = plots(&results).unwrap();
        assert_eq!(
            plots.iter().map(|plot| plot.file).collect::<Vec<_>>(),
            crate::report::PLOT_FILES
        );
        for plot in &plots {
            let document = roxmltree::Document::parse(&plot.svg).unwrap();
            assert_eq!(document.root_element().tag_name().name(), "svg");
            assert_eq!(plot.svg.matches("http").count(), 1, "the namespace in {}", plot.file);
        }
        for (mode, plot) in
            [(Mode::Push, &plots[0]), (Mode::Await, &plots[1]), (Mode::Await, &plots[3])]
        {
            let document = roxmltree::Document::parse(&plot.svg).unwrap();
            let texts: Vec<_> =
                document.descendants().filter_map(|node| node.text()).map(str::trim).collect();
            for entry in entries(&results, mode) {
                assert!(
                    texts.contains(&entry.contender.as_str()),
                    "{} in {texts:?}",
                    entry.contender
                );
            }
        }
    }

    #[test]
    fn a_run_of_one_contender_in_one_mode_is_a_page_too() {
        let mut results = results();
        results.entries.retain(|entry| entry.contender == "other" && entry.mode == Mode::Push);
        let plots = plots(&results).unwrap();
        assert_eq!(plots.len(), 1);
        assert!(page(&results, &plots).contains("void"));
    }
}
