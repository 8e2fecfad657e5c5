//! The pieces that the pages of a run and of a tuning are made of.

use super::chart::escaped;

const STYLE: &str = include_str!("page.css");

/// A page that needs no other file, with what is below its heading.
pub(crate) fn document(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}</body>\n</html>\n"
    )
}

/// A text in an element of this class.
pub(crate) fn element(name: &str, class: &str, text: &str) -> String {
    format!("<{name} class=\"{class}\">{}</{name}>\n", escaped(text))
}

/// A chart, and below it what one sees on it.
pub(crate) fn figure(svg: &str, caption: &str) -> String {
    format!("<figure>\n{svg}<figcaption>{}</figcaption>\n</figure>\n", escaped(caption))
}

/// Lines with bullets.
pub(crate) fn list<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let items: String = lines.map(|line| format!("<li>{}</li>\n", escaped(line))).collect();
    format!("<ul>\n{items}</ul>\n")
}

/// Names and values.
pub(crate) fn definitions<'a>(facts: impl Iterator<Item = (&'a str, String)>) -> String {
    let facts: String = facts
        .map(|(name, value)| format!("<dt>{}</dt><dd>{}</dd>\n", escaped(name), escaped(&value)))
        .collect();
    format!("<dl>\n{facts}</dl>\n")
}

/// A table of rows, each with its class; heads and cells are HTML.
pub(crate) fn table(heads: &[String], rows: &[(&str, Vec<String>)]) -> String {
    let heads: String = heads.iter().map(|head| format!("<th>{head}</th>")).collect();
    let row = |(class, cells): &(&str, Vec<String>)| {
        let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        format!("<tr class=\"{class}\">{cells}</tr>\n")
    };
    let rows: String = rows.iter().map(row).collect();
    format!(
        "<div class=\"wide\">\n<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</div>\n"
    )
}
