//! All findings, as text for people or JSON for programs.

use std::fmt::Write as _;

use forebay::rusqlite;
use serde::Serialize;

use super::finding::{Finding, Level};
use super::shell::visible;
use crate::words::count;

/// Where what was seen begins in a line.
const INDENT: usize = 25;

/// The document that `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    database: String,
    sqlite_version: Option<String>,
    command_sqlite_version: &'static str,
    changes: Vec<String>,
    findings: Vec<Finding>,
    worst: Level,
}

impl Report {
    pub(super) fn new(
        database: String,
        sqlite_version: Option<String>,
        changes: Vec<String>,
        findings: Vec<Finding>,
    ) -> Self {
        let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
        let command_sqlite_version = rusqlite::version();
        Self { database, sqlite_version, command_sqlite_version, changes, findings, worst }
    }

    pub(super) fn worst(&self) -> Level {
        self.worst
    }

    /// Lines of at most `width` columns, but for commands, which are not broken; without one, a line for each sentence.
    pub(super) fn text(&self, width: Option<usize>) -> String {
        let mut text = format!("{}\n\n", visible(&self.database));
        for change in &self.changes {
            entry(&mut text, "fix", "", &visible(change), width);
        }
        if !self.changes.is_empty() {
            text.push('\n');
        }
        for finding in &self.findings {
            let level = finding.level.name();
            entry(&mut text, level, finding.check, &visible(&finding.seen), width);
            if let Some(fix) = &finding.fix {
                entry(&mut text, "", "", &format!("fix: {}", visible(fix)), width);
            }
        }
        // A string takes whatever is written to it.
        let _ = writeln!(text, "\n{}", self.sum());
        text
    }

    /// How many findings there are of each level that is not ok, and of which checks; the worst last.
    fn sum(&self) -> String {
        let of_level = |level: Level| {
            let found = self.findings.iter().filter(move |finding| finding.level == level);
            let mut checks: Vec<_> = found.map(|finding| finding.check).collect();
            let sum = count(checks.len() as u64, level.name());
            checks.dedup();
            match (checks.is_empty(), level) {
                (true, _) => None,
                (_, Level::Note) => Some(sum),
                _ => Some(format!("{sum} ({})", checks.join(", "))),
            }
        };
        let sums = [Level::Note, Level::Warning, Level::Error].into_iter().filter_map(of_level);
        match sums.collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => "all is well".to_owned(),
            notes if self.worst == Level::Note => format!("all is well; {notes}"),
            sums => sums,
        }
    }
}

fn entry(text: &mut String, level: &str, check: &str, told: &str, width: Option<usize>) {
    let mut first = format!("  {level:<9}{check:<14}");
    for line in wrapped(told, width.map(|width| width.saturating_sub(INDENT).max(20))) {
        let _ = writeln!(text, "{first:<INDENT$}{line}");
        first.clear();
    }
}

/// The text in lines of at most so many characters where it can be broken, which is not within backticks.
fn wrapped(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else { return vec![text.to_owned()] };
    let (mut lines, mut line, mut word) = (Vec::new(), String::new(), String::new());
    let mut is_command = false;
    for character in text.chars().chain([' ']) {
        is_command ^= character == '`';
        if character != ' ' || is_command {
            word.push(character);
            continue;
        }
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&std::mem::take(&mut word));
    }
    // A command that does not end has a line of its own.
    let rest = [line, word.trim_end().to_owned()];
    lines.extend(rest.into_iter().filter(|line| !line.is_empty()));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_not_within_commands() {
        let text = "one two three `a command that is longer` four";
        let lines = ["one two", "three", "`a command that is longer`", "four"];
        assert_eq!(wrapped(text, Some(10)), lines);
        assert_eq!(wrapped(text, None), [text]);
        assert_eq!(wrapped("an `unclosed one", Some(4)), ["an", "`unclosed one"]);
    }
}
